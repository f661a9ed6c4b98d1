//! Segments, calls and time for a TCP connection in every state: no panic; what is not acceptable changes nothing; bytes
//! are those of their numbers, sent and received; numbers only go on; timers come to rest; memory is given back.

use bytes::Bytes;
use tcp::options::{SackBlocks, Timestamps};
use tcp::{
    Algorithm, Config, Connection, Duration, Ecn, Flags, Handshake, Instant, Open, Options,
    Payload, Segment, SeqNumber, Shared, State, Transmit,
};

const OURS: SeqNumber = SeqNumber(0xffff_f000);
const THEIRS: SeqNumber = SeqNumber(0x7fff_f000);
const MSS: u16 = 1_000;
const BUDGET: usize = 96 << 10;
/// What can leave in one turn: the whole send buffer in the smallest segments.
const SENT_MAX: usize = 20_000;

pub(crate) fn target(data: &[u8]) {
    let mut input = Input(data);
    let mut world = World::open(&mut input);
    while !input.0.is_empty() {
        world.act(&mut input);
    }
    world.connection.release(&mut world.shared);
    assert_eq!(world.shared.memory.held_bytes(), 0, "all memory is given back");
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// Mostly what it is, sometimes near to it, seldom far away.
    fn near(&mut self, number: SeqNumber) -> SeqNumber {
        let kind = self.byte();
        match kind >> 6 {
            0 => number,
            1 => number + u32::from(kind & 0x3f),
            2 => number - u32::from(kind & 0x3f) - 1,
            _ => number + ((u32::from(self.word()) << 16 | u32::from(self.word())) >> (kind & 31)),
        }
    }
}

struct World {
    connection: Connection,
    shared: Shared,
    now: Instant,
    /// SND.NXT and RCV.NXT, and the right edge, as the segments that left say.
    next: SeqNumber,
    acknowledged: SeqNumber,
    edge: SeqNumber,
    /// Octets written, and read, so far.
    written: u32,
    read: u32,
    clock: u32,
}

impl World {
    /// Settings, and one of the three ways to open.
    fn open(input: &mut Input<'_>) -> Self {
        let settings = input.word();
        let has = |bit: u16| settings & (1 << bit) != 0;
        let algorithms = [Algorithm::Cubic, Algorithm::Reno, Algorithm::Bbr, Algorithm::Off];
        let mut shared = Shared::new(Config {
            buffers_bytes_max: BUDGET,
            receive_bytes_max: if has(0) { 6 << 20 } else { 20_000 },
            congestion_control: algorithms[usize::from(settings >> 14)],
            pacing: has(1),
            nagle: has(2),
            header_prediction: !has(3),
            timestamps: has(4),
            sack: !has(5),
            window_scaling: has(6),
            ecn: has(7),
            keep_alive_idle: if has(8) { Duration::from_secs(5) } else { Duration::ENDLESS },
            ..Config::default()
        });
        let now = Instant::from_micros(1_000_000);
        let open = Open { initial: OURS, mss: MSS, path_mss: None, timestamp_offset: 9 };
        let options = Options {
            mss: Some(1_460),
            sack_permitted: has(9),
            window_scale: has(10).then_some(7),
            timestamps: has(11).then_some(Timestamps { value: 5, echo: 0 }),
            sack: SackBlocks::NONE,
        };
        let mut syn = Segment::new(THEIRS, SeqNumber(0), Flags::SYN);
        (syn.window, syn.options) = (60_000, options);
        let connection = match settings >> 12 & 3 {
            0 => Connection::connect(&mut shared, now, &open),
            1 => Connection::accept(&mut shared, now, &open, &syn),
            _ => {
                let answered = shared.config.syn_options(MSS, 9, Some(&options));
                let handshake = Handshake {
                    peer_initial: THEIRS,
                    answered,
                    offered: options,
                    window: 60_000,
                    advertised: 20_000,
                    ecn: has(7),
                    round_trip: None,
                };
                Connection::from_handshake(&mut shared, now, &open, &handshake)
            }
        };
        let mut world = Self {
            connection,
            shared,
            now,
            next: OURS + 1,
            acknowledged: THEIRS + 1,
            edge: THEIRS + 1,
            written: 0,
            read: 0,
            clock: 5,
        };
        world.transmit();
        world
    }

    fn act(&mut self, input: &mut Input<'_>) {
        let verb = input.byte();
        match verb & 15 {
            0..8 => self.segment(input, verb >> 4),
            8 => self.write(input, verb & 0x10 != 0),
            9 => self.read(input.word().into()),
            10 | 11 => self.pass(Duration::from_micros(1 << (input.byte() & 31))),
            12 => self.connection.close(&mut self.shared),
            13 if verb & 0x10 == 0 => self.connection.stop_reading(&mut self.shared, self.now),
            13 => self.connection.abort(&mut self.shared),
            14 => {
                let seq = (verb & 0x10 != 0).then(|| input.near(self.next - 1).0);
                self.connection.handle_path_mss(self.now, input.word(), seq);
            }
            _ => {
                let seq = input.near(self.next - 1).0;
                self.connection.handle_unreachable(&mut self.shared, seq);
            }
        }
        while self.connection.poll_event().is_some() {}
        self.transmit();
        self.look();
    }

    /// A segment near to what is expected.
    fn segment(&mut self, input: &mut Input<'_>, kind: u8) {
        let flags = match kind {
            0..8 => Flags::ACK,
            8 => Flags::ACK | Flags::PSH,
            9 => Flags::ACK | Flags::FIN,
            10 => Flags::SYN,
            11 => Flags::SYN | Flags::ACK,
            12 => Flags::RST,
            13 => Flags::RST | Flags::ACK,
            _ => Flags(input.byte()),
        };
        let before = self.connection.state();
        let is_first = matches!(before, State::SynSent);
        // What a peer sends first decides which bytes belong to which number: it is always the same.
        let base = if is_first { THEIRS } else { self.acknowledged };
        let seq = if is_first && flags.has(Flags::SYN) { THEIRS } else { input.near(base) };
        let mut segment = Segment::new(seq, input.near(self.next), flags);
        segment.window = if kind < 4 { 60_000 } else { input.word() };
        segment.ecn = Ecn::from_bits(kind >> 2);
        let shape = input.byte();
        let len = u32::from(shape & 0x0f) * 150;
        if shape & 0x80 != 0 {
            for _ in 0..=(shape >> 4 & 3) {
                let start = input.near(self.next - 2_000);
                segment.options.sack.push(start, input.near(start + 1_000));
            }
        }
        if shape & 0x40 == 0 {
            self.clock = self.clock.wrapping_add(u32::from(shape >> 4 & 1));
            let echo = (self.now.micros() / 1_000) as u32 + 9;
            segment.options.timestamps = Some(Timestamps { value: self.clock, echo });
        }
        if flags.has(Flags::SYN) {
            segment.options.mss = Some(input.word());
            segment.options.sack_permitted = shape & 0x20 != 0;
            segment.options.window_scale = (shape & 0x10 != 0).then_some(input.byte() & 15);
        }
        self.arrive(&segment, len, kind & 1 != 0);
    }

    fn arrive(&mut self, segment: &Segment, len: u32, is_page: bool) {
        let start =
            segment.seq + u32::from(segment.flags.has(Flags::SYN)) - (THEIRS.0.wrapping_add(1));
        let bytes: Vec<u8> = (0..len).map(|index| pattern(start.0.wrapping_add(index))).collect();
        let changes_nothing = self.changes_nothing(segment, len);
        let before = picture(&self.connection, &self.shared.config);
        let mut page: Box<[u8]> = bytes.clone().into();
        let payload = if is_page {
            Payload::of_page(&mut page, 0..bytes.len(), &mut self.shared.memory)
        } else {
            Payload::Slice(&bytes)
        };
        self.connection.handle_segment(&mut self.shared, self.now, segment, payload);
        if changes_nothing {
            assert_eq!(before, picture(&self.connection, &self.shared.config), "{segment:?} +{len}");
        }
    }

    /// RFC 9293 section 3.10.7.4 and RFC 5961: in the states where both ends know of the connection.
    fn changes_nothing(&self, segment: &Segment, len: u32) -> bool {
        let state = self.connection.state();
        if state == State::Closed {
            return true;
        }
        if !state.is_synchronized() || state == State::TimeWait {
            return false;
        }
        let flags = segment.flags;
        let is_of_nothing_sent = flags.has(Flags::ACK) && segment.ack.is_after(self.next);
        !self.connection.is_acceptable(segment, len)
            || flags.has(Flags::SYN) && !flags.has(Flags::RST)
            || !flags.has_any(Flags::ACK | Flags::RST)
            || is_of_nothing_sent && !flags.has(Flags::RST)
    }

    fn write(&mut self, input: &mut Input<'_>, is_shared: bool) {
        let len = u32::from(input.word()) >> (input.byte() & 15);
        let bytes: Vec<u8> = (0..len).map(|index| pattern(self.written + index)).collect();
        let taken = if is_shared {
            self.connection.share(&mut self.shared, &mut Bytes::from(bytes))
        } else {
            self.connection.write(&mut self.shared, &bytes)
        };
        self.written += taken as u32;
    }

    fn read(&mut self, max: usize) {
        let bytes = self.connection.received_mut();
        let count = bytes.len().min(max);
        for byte in &bytes[..count] {
            assert_eq!(*byte, pattern(self.read), "byte {} was received", self.read);
            self.read += 1;
        }
        self.connection.consume(&mut self.shared, self.now, count);
    }

    /// Time goes on, with the timers that are due.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100 {
            let next = self.connection.next_deadline();
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.connection.handle_timeout(&mut self.shared, self.now);
            self.transmit();
            let again = self.connection.next_deadline();
            assert!(again > self.now, "a timer comes to rest: {:?}", self.connection);
        }
        self.now = self.now.max(end);
    }

    fn transmit(&mut self) {
        for _ in 0..SENT_MAX {
            let (now, shared) = (self.now, &mut self.shared);
            let Some(transmit) = self.connection.poll_transmit(shared, now, 30_000) else { return };
            self.check(&transmit);
        }
        panic!("it does not end: {:?}", self.connection);
    }

    fn check(&mut self, transmit: &Transmit) {
        let segment = &transmit.segment;
        let flags = segment.flags;
        let mut at = segment.seq + u32::from(flags.has(Flags::SYN)) - OURS.0.wrapping_add(1);
        for slice in self.connection.payload(transmit) {
            for byte in slice.bytes() {
                assert_eq!(*byte, pattern(at.0), "byte {} was sent", at.0);
                at = at + 1;
            }
        }
        if flags.has(Flags::RST) {
            return;
        }
        assert!(at.0 <= self.written || transmit.len == 0, "what was not written is not sent");
        let end = segment.seq + segment.sequence_len(transmit.len);
        self.next = self.next.or_later(end);
        if flags.has(Flags::ACK) {
            assert!(segment.ack.is_at_or_after(self.acknowledged), "acknowledgements go on");
            self.acknowledged = segment.ack;
            if !self.shared.config.window_scaling && !flags.has(Flags::SYN) {
                let edge = segment.ack + u32::from(segment.window);
                assert!(edge.is_at_or_after(self.edge), "the window never shrinks");
                self.edge = edge;
            }
        }
    }

    fn look(&self) {
        let info = self.connection.info(&self.shared.config);
        assert!(self.shared.memory.held_bytes() <= BUDGET);
        if info.state == State::Closed {
            return;
        }
        assert!(info.send_queue <= self.written + 1, "{info:?}");
        assert!(info.sacked + info.lost <= info.send_queue + 2, "{info:?}");
        assert!(info.in_flight <= info.send_queue + 2, "{info:?}");
    }
}

/// All that is to be seen of a connection but its counters and what it is about to answer.
fn picture(connection: &Connection, config: &Config) -> String {
    format!("{:?} {}", connection.info(config), connection.received_len())
}

/// The byte of a number behind the SYN.
fn pattern(at: u32) -> u8 {
    (at ^ at >> 8 ^ at >> 16) as u8
}
