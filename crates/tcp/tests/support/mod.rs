//! Two hosts, a link between them, and a clock that is moved by hand.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tcp::{
    Config, Connection, Duration, Ecn, Event, Instant, Open, Payload, Segment, SeqNumber, Shared,
    State,
};

/// A generator whose seed replays everything (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True so many times in a million.
    pub(crate) fn per_million(&mut self, share: u32) -> bool {
        self.below(1_000_000) < u64::from(share)
    }
}

/// What the way from one end to the other does to segments.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) delay: Duration,
    /// Bytes per second; 0 for no limit.
    pub(crate) rate: u64,
    /// Packets that wait for the rate at most.
    pub(crate) queue_packets: usize,
    /// In a million.
    pub(crate) loss: u32,
    pub(crate) duplication: u32,
    pub(crate) reordering: u32,
    pub(crate) reordering_by: Duration,
    pub(crate) marking: u32,
    /// Bytes of data and options that pass; larger ones vanish.
    pub(crate) mss: u32,
}

impl Path {
    pub(crate) const CLEAN: Self = Self {
        delay: Duration::from_millis(1),
        rate: 0,
        queue_packets: 1_000,
        loss: 0,
        duplication: 0,
        reordering: 0,
        reordering_by: Duration::ZERO,
        marking: 0,
        mss: 65_535,
    };
}

/// A segment on its way, as a wire has it.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) segment: Segment,
    pub(crate) data: Vec<u8>,
}

struct Way {
    path: Path,
    free_at: Instant,
    departures: std::collections::VecDeque<Instant>,
}

/// An end: a connection, what all share, and an application that counts.
pub(crate) struct Host {
    pub(crate) connection: Connection,
    pub(crate) shared: Shared,
    pub(crate) gso_bytes: usize,
    pub(crate) events: Vec<Event>,
    pub(crate) received: u64,
    pub(crate) to_send: u64,
    pub(crate) sent: u64,
    pub(crate) finishes: bool,
    pub(crate) peer_finished: bool,
    /// The number that says what bytes are sent.
    pub(crate) pattern: u64,
    pub(crate) expects: u64,
    pub(crate) checks: bool,
    /// Received data is handed over in pages, read with its memory, and sent from where it lies.
    pub(crate) in_place: bool,
    /// The application reads at most so many bytes at a time.
    pub(crate) reads: usize,
    pub(crate) ended_at: Option<Instant>,
    /// The last time that bytes arrived for the application.
    pub(crate) progress_at: Instant,
    pub(crate) longest_stall: Duration,
    closed: bool,
}

impl Host {
    pub(crate) fn new(connection: Connection, shared: Shared) -> Self {
        Self {
            connection,
            shared,
            gso_bytes: 65_536,
            events: Vec::new(),
            received: 0,
            to_send: 0,
            sent: 0,
            finishes: true,
            peer_finished: false,
            pattern: 1,
            expects: 2,
            checks: true,
            in_place: false,
            reads: usize::MAX,
            ended_at: None,
            progress_at: Instant::START,
            longest_stall: Duration::ZERO,
            closed: false,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.connection.state(), State::Closed | State::TimeWait)
    }

    /// The application has a turn.
    pub(crate) fn turn(&mut self, now: Instant) {
        while let Some(event) = self.connection.poll_event() {
            self.peer_finished |= event == Event::PeerFinished;
            self.events.push(event);
        }
        self.read(now);
        self.write();
        let is_sent = self.sent == self.to_send && self.finishes && !self.closed;
        if is_sent && self.connection.state() != State::SynSent {
            self.closed = true;
            self.connection.close(&mut self.shared);
        }
        if self.is_over() && self.ended_at.is_none() {
            self.ended_at = Some(now);
        }
    }

    fn read(&mut self, now: Instant) {
        let mut left = self.reads;
        loop {
            let bytes = self.connection.received_mut();
            let count = bytes.len().min(left);
            if count == 0 {
                break;
            }
            if self.checks {
                let bytes = bytes[..count].to_vec();
                self.check(&bytes);
            }
            left -= count;
            self.connection.consume(&mut self.shared, now, count);
            self.note_read(now, count);
        }
    }

    fn check(&self, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate().filter(|_| self.checks) {
            let at = self.received + index as u64;
            assert_eq!(*byte, pattern(self.expects, at), "byte {at}");
        }
    }

    fn note_read(&mut self, now: Instant, count: usize) {
        self.received += count as u64;
        self.longest_stall = self.longest_stall.max(now.since(self.progress_at));
        self.progress_at = now;
    }

    /// Pieces of several lengths, shared and copied by turns.
    fn share(&mut self) {
        let (sent, seed) = (self.sent, self.pattern);
        let count =
            ((self.to_send - sent) as usize).min([300, 20_000, 70, 5_000][sent as usize % 4]);
        let piece: Vec<u8> = (0..count).map(|index| pattern(seed, sent + index as u64)).collect();
        let taken = if sent % 3 == 0 {
            self.connection.write(&mut self.shared, &piece)
        } else {
            self.connection.share(&mut self.shared, &mut bytes::Bytes::from(piece))
        };
        self.sent += taken as u64;
    }

    fn write(&mut self) {
        while self.in_place && self.sent < self.to_send {
            let before = self.sent;
            self.share();
            if self.sent == before {
                return;
            }
        }
        while self.sent < self.to_send {
            let (sent, seed, checks) = (self.sent, self.pattern, self.checks);
            let left = (self.to_send - sent) as usize;
            let room = self.connection.room(&mut self.shared);
            let count = room.len().min(left);
            if checks {
                for (index, byte) in room[..count].iter_mut().enumerate() {
                    *byte = pattern(seed, sent + index as u64);
                }
            }
            self.connection.filled(&mut self.shared, count);
            self.sent += count as u64;
            if count == 0 {
                break;
            }
        }
    }
}

pub(crate) fn pattern(seed: u64, at: u64) -> u8 {
    (at.wrapping_mul(seed.wrapping_mul(2).wrapping_add(7)) >> 3 ^ at >> 11 ^ seed) as u8
}

type Tap = dyn FnMut(usize, Instant, &mut Packet) -> bool;

/// Two hosts and the ways between them.
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) hosts: [Host; 2],
    ways: [Way; 2],
    flying: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    packets: Vec<Option<Packet>>,
    spare: Vec<usize>,
    count: u64,
    pub(crate) random: Random,
    pub(crate) delivered: [u64; 2],
    pub(crate) dropped: u64,
    /// Sees each packet that is sent, and may change it; false drops it.
    pub(crate) tap: Option<Box<Tap>>,
}

pub(crate) const MSS: u16 = 1_460;

pub(crate) fn open(initial: u32) -> Open {
    Open {
        initial: SeqNumber(initial),
        mss: MSS,
        path_mss: None,
        timestamp_offset: initial ^ 0x5555,
    }
}

impl Net {
    /// A client and a server, whose handshake is under way.
    pub(crate) fn new(seed: u64, configs: [Config; 2], paths: &[Path; 2]) -> Self {
        let mut random = Random(seed);
        let now = Instant::START + Duration::from_secs(1);
        let [client_config, server_config] = configs;
        let mut client = Shared::new(client_config);
        let server = Shared::new(server_config);
        let connection = Connection::connect(&mut client, now, &open(random.next() as u32));
        let mut spare = Shared::new(Config::default());
        // Replaced when the SYN arrives.
        let listening = Connection::connect(&mut spare, now, &open(0));
        let way = |path: &Path| Way {
            path: path.clone(),
            free_at: now,
            departures: std::collections::VecDeque::new(),
        };
        let mut hosts = [Host::new(connection, client), Host::new(listening, server)];
        (hosts[1].pattern, hosts[1].expects) = (2, 1);
        hosts[0].progress_at = now;
        hosts[1].progress_at = now;
        Self {
            now,
            hosts,
            ways: [way(&paths[0]), way(&paths[1])],
            flying: BinaryHeap::new(),
            packets: Vec::new(),
            spare: Vec::new(),
            count: 0,
            random,
            delivered: [0; 2],
            dropped: 0,
            tap: None,
        }
    }

    pub(crate) fn set_path(&mut self, from: usize, path: Path) {
        self.ways[from].path = path;
    }

    /// Puts a packet on the way from `from`.
    pub(crate) fn send(&mut self, from: usize, mut packet: Packet) {
        if std::env::var_os("TCP_TRACE").is_some() {
            let segment = &packet.segment;
            eprintln!(
                "{:>10} {} {:?} {} +{} ack {} win {} {:?}",
                self.now.micros(),
                ["->", "<-"][from],
                segment.flags,
                segment.seq.0,
                packet.data.len(),
                segment.ack.0,
                segment.window,
                segment.options.sack.as_slice(),
            );
        }
        if let Some(tap) = &mut self.tap
            && !tap(from, self.now, &mut packet)
        {
            return;
        }
        let path = self.ways[from].path.clone();
        let size = packet.data.len() as u32 + packet.segment.options.emitted_len() as u32;
        if self.random.per_million(path.loss) || size > path.mss {
            self.dropped += 1;
            return;
        }
        if self.random.per_million(path.marking) && packet.segment.ecn != Ecn::NotCapable {
            packet.segment.ecn = Ecn::Congestion;
        }
        let way = &mut self.ways[from];
        let mut at = self.now;
        if path.rate > 0 {
            while way.departures.front().is_some_and(|departure| *departure <= at) {
                way.departures.pop_front();
            }
            if way.departures.len() >= path.queue_packets {
                self.dropped += 1;
                return;
            }
            let bytes = u64::from(size) + 54;
            let takes = Duration::from_micros((bytes * 1_000_000).div_ceil(path.rate));
            way.free_at = way.free_at.max(at) + takes;
            way.departures.push_back(way.free_at);
            at = way.free_at;
        }
        at = at + path.delay;
        if self.random.per_million(path.reordering) {
            at = at + path.reordering_by;
        }
        if self.random.per_million(path.duplication) {
            self.fly(at + Duration::from_micros(self.random.0 % 3_000), 1 - from, packet.clone());
        }
        self.fly(at, 1 - from, packet);
    }

    fn fly(&mut self, at: Instant, to: usize, packet: Packet) {
        self.count += 1;
        let index = self.spare.pop().unwrap_or_else(|| {
            self.packets.push(None);
            self.packets.len() - 1
        });
        self.packets[index] = Some(packet);
        self.flying.push(Reverse((at, self.count << 1 | to as u64, index)));
    }

    /// Lets both applications have a turn and sends what there is to send.
    pub(crate) fn turn(&mut self) {
        for index in 0..2 {
            if index == 0 || self.is_accepted() {
                self.hosts[index].turn(self.now);
                self.transmit(index);
            }
        }
    }

    fn transmit(&mut self, index: usize) {
        loop {
            let host = &mut self.hosts[index];
            let Some(transmit) =
                host.connection.poll_transmit(&mut host.shared, self.now, host.gso_bytes)
            else {
                return;
            };
            let data: Vec<u8> = host
                .connection
                .payload(&transmit)
                .flat_map(|slice| slice.bytes().iter().copied())
                .collect();
            assert_eq!(data.len(), transmit.len as usize);
            for (segment, from, len) in transmit.segments() {
                let data = data[from as usize..(from + len) as usize].to_vec();
                assert!(data.len() + segment.options.emitted_len() <= usize::from(MSS));
                self.send(index, Packet { segment, data });
            }
        }
    }

    fn is_accepted(&self) -> bool {
        self.hosts[1].connection.state() != State::SynSent
    }

    /// Time goes on to what happens next; false when nothing does.
    pub(crate) fn step(&mut self) -> bool {
        self.turn();
        let mut next = Instant::NEVER;
        for index in 0..2 {
            if index == 0 || self.is_accepted() {
                next = next.min(self.hosts[index].connection.next_deadline());
            }
        }
        if let Some(Reverse((at, ..))) = self.flying.peek() {
            next = next.min(*at);
        }
        if next == Instant::NEVER {
            return false;
        }
        self.now = self.now.max(next);
        self.deliver();
        for index in 0..2 {
            let host = &mut self.hosts[index];
            if host.connection.next_deadline() <= self.now {
                host.connection.handle_timeout(&mut host.shared, self.now);
            }
        }
        true
    }

    fn deliver(&mut self) {
        while let Some(Reverse((at, order, index))) = self.flying.peek().copied() {
            if at > self.now {
                return;
            }
            self.flying.pop();
            self.spare.push(index);
            let packet = self.packets[index].take().expect("it is on its way");
            self.arrive((order & 1) as usize, &packet);
        }
    }

    pub(crate) fn arrive(&mut self, to: usize, packet: &Packet) {
        self.delivered[to] += 1;
        let now = self.now;
        let host = &mut self.hosts[to];
        if to == 1 && host.connection.state() == State::SynSent {
            let syn = tcp::listen::listen(&packet.segment) == tcp::listen::Listened::Open;
            if syn {
                let initial = self.random.next() as u32;
                host.connection =
                    Connection::accept(&mut host.shared, now, &open(initial), &packet.segment);
            }
            return;
        }
        let mut page;
        let payload = if host.in_place {
            page = packet.data.clone().into_boxed_slice();
            Payload::of_page(&mut page, 0..packet.data.len(), &mut host.shared.memory)
        } else {
            Payload::Slice(&packet.data)
        };
        host.connection.handle_segment(&mut host.shared, now, &packet.segment, payload);
    }

    /// Goes on until both have ended or time is up; true when they have.
    pub(crate) fn run(&mut self, limit: Duration) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if self.hosts.iter().all(Host::is_over) || !self.step() {
                break;
            }
        }
        // What was received before the end can still be read.
        for _ in 0..10_000 {
            self.turn();
            if self.hosts.iter().all(|host| host.connection.received_len() == 0) {
                break;
            }
        }
        self.hosts.iter().all(Host::is_over)
    }

    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut is_done: impl FnMut(&Self) -> bool,
    ) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if is_done(self) {
                return true;
            }
            if !self.step() {
                break;
            }
        }
        is_done(self)
    }
}
