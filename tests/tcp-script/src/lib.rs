//! Packet scripts, in the manner of packetdrill, played to the TCP engine: [`run`].
//!
//! A line is `[+MILLIS] ACTION`, with `#` before a comment. Time goes on by that much first; timers run meanwhile, and
//! what they send must be expected where it happens, to a millisecond.
//!
//! ```text
//! set KEY VALUE            a setting, before the open
//! connect | listen         an open of ours, or one that waits for the first SYN
//! established [rtt MILLIS] [win N] [active]      a handshake that is not looked at
//! < FLAGS SEQ:END(LEN) [ack N] [win N] [urg N] [ce] [<OPTIONS>]     a segment comes
//! > FLAGS SEQ:END(LEN) [ack N] [win N] [ect | not-ect] [<OPTIONS>]  a segment leaves; what is not said is not looked at,
//!                          but for SACK, which must be said
//! none                     nothing leaves
//! write N [of M] (M are offered, N find room) | share N | read N | close | abort | stop | mss N [SEQ] | unreachable SEQ
//! state NAME | event NAME | no-event | queue N (bytes to be read) | cwnd N | unacked N | count NAME N
//! ```
//!
//! Numbers are relative to both initial sequence numbers. Flags are tcpdump's: `S F R P U E W .`, `-` for none.
#![forbid(unsafe_code)]

pub mod line;

use line::{Line, Outcome, option, parse};
use std::collections::VecDeque;
use tcp::listen::{Listened, listen};
use tcp::options::{SackBlocks, Timestamps};
use tcp::{
    Algorithm, CloseReason, Config, Connection, Duration, Ecn, Event, Flags, Instant, Open,
    Options, Payload, Segment, SeqNumber, Shared, State,
};

/// Plays a script to a new engine.
///
/// # Errors
/// A line does not fit what the engine did, or is none: which, and what was found.
pub fn run(text: &str) -> Outcome {
    let mut script = Script::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if !line.is_empty() {
            script
                .line(line)
                .map_err(|problem| format!("line {}: {line}\n    {problem}", index + 1))?;
        }
    }
    script.nothing_left().map_err(|problem| format!("at the end: {problem}"))
}

struct Sent {
    at: Instant,
    segment: Segment,
    len: u32,
}

struct Script {
    now: Instant,
    shared: Shared,
    mss: u16,
    gso: usize,
    initial: u32,
    peer_initial: u32,
    connection: Option<Connection>,
    listens: bool,
    sent: VecDeque<Sent>,
}

const START: Instant = Instant::from_micros(1_000_000);

impl Script {
    fn new() -> Self {
        let config = Config {
            congestion_control: Algorithm::Reno,
            timestamps: false,
            window_scaling: false,
            pacing: false,
            receive_initial_bytes: 60_000,
            receive_bytes_max: 60_000,
            ..Config::default()
        };
        Self {
            now: START,
            shared: Shared::new(config),
            mss: 1_000,
            gso: 0,
            initial: 0x1000_0000,
            peer_initial: 0x2000_0000,
            connection: None,
            listens: false,
            sent: VecDeque::new(),
        }
    }

    fn line(&mut self, line: &str) -> Outcome {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if let Some(millis) = words[0].strip_prefix('+') {
            let millis: f64 = millis.parse().map_err(|_| "a time".to_string())?;
            self.pass(Duration::from_micros((millis * 1_000.0) as u64));
            words.remove(0);
        }
        let Some((verb, rest)) = words.split_first() else { return Ok(()) };
        match *verb {
            ">" => return self.expect(rest),
            "set" => return self.set(rest),
            "state" | "event" | "no-event" | "queue" | "cwnd" | "unacked" | "count" => {
                return self.look(verb, rest);
            }
            _ => self.nothing_left()?,
        }
        match *verb {
            "none" => {}
            "<" => self.receive(rest)?,
            "established" => self.establish(rest)?,
            "listen" => self.listens = true,
            "connect" => {
                let open = self.open();
                self.connection = Some(Connection::connect(&mut self.shared, self.now, &open));
            }
            _ => self.call(verb, rest)?,
        }
        self.transmit();
        Ok(())
    }

    fn open(&self) -> Open {
        Open {
            initial: SeqNumber(self.initial),
            mss: self.mss,
            path_mss: None,
            timestamp_offset: 0,
        }
    }

    fn set(&mut self, words: &[&str]) -> Outcome {
        let [key, value] = words else { return Err("set KEY VALUE".into()) };
        let config = &mut self.shared.config;
        if *key == "congestion" {
            config.congestion_control = match *value {
                "cubic" => Algorithm::Cubic,
                "reno" => Algorithm::Reno,
                "bbr" => Algorithm::Bbr,
                "off" => Algorithm::Off,
                _ => return Err("an algorithm".into()),
            };
            return Ok(());
        }
        let on = *value == "on";
        let number: u64 = if on || *value == "off" { 0 } else { parse(value)? };
        match *key {
            "timestamps" => config.timestamps = on,
            "sack" => config.sack = on,
            "window_scaling" => config.window_scaling = on,
            "ecn" => config.ecn = on,
            "nagle" => config.nagle = on,
            "pacing" => config.pacing = on,
            "path_mtu_probing" => config.path_mtu_probing = on,
            "receive" => config.receive_initial_bytes = number as u32,
            "receive_max" => config.receive_bytes_max = number as u32,
            "send" => config.send_initial_bytes = number as u32,
            "send_max" => config.send_bytes_max = number as u32,
            "initial_window" => config.initial_window_segments = number as u32,
            "mss_base" => config.mss_base = number as u16,
            "user_timeout" => config.user_timeout = Duration::from_millis(number),
            "open_timeout" => config.open_timeout = Duration::from_millis(number),
            "keep_alive_idle" => config.keep_alive_idle = Duration::from_millis(number),
            "keep_alive_interval" => config.keep_alive_interval = Duration::from_millis(number),
            "keep_alive_probes" => config.keep_alive_probes = number as u8,
            "fin_wait_2_timeout" => config.fin_wait_2_timeout = Duration::from_millis(number),
            "time_wait" => config.time_wait = Duration::from_millis(number),
            "challenge_acks" => config.challenge_acks_per_second = number as u8,
            "mss" => self.mss = number as u16,
            "gso" => self.gso = number as usize,
            "initial" => self.initial = number as u32,
            "peer_initial" => self.peer_initial = number as u32,
            _ => return Err("a key".into()),
        }
        Ok(())
    }

    /// A handshake whose segments are not looked at.
    fn establish(&mut self, words: &[&str]) -> Outcome {
        let round_trip = option(words, "rtt")?.unwrap_or(100);
        let window = option(words, "win")?.unwrap_or(60_000).min(65_535);
        let config = &self.shared.config;
        let clock = 500;
        let mut syn = Segment::new(SeqNumber(self.peer_initial), SeqNumber(0), Flags::SYN);
        syn.options = config.syn_options(1_000, clock, None);
        syn.window = window as u16;
        let ecn = config.ecn;
        let mut ack = Segment::new(
            SeqNumber(self.peer_initial + 1),
            SeqNumber(self.initial.wrapping_add(1)),
            Flags::ACK,
        );
        ack.window = syn.window;
        if config.timestamps {
            ack.options.timestamps = Some(Timestamps { value: clock + 1, echo: 1_000 });
        }
        if words.contains(&"active") {
            self.line("connect")?;
            self.sent.clear();
            self.pass(Duration::from_millis(round_trip));
            syn.flags = Flags::SYN | Flags::ACK;
            if ecn {
                syn.flags = syn.flags | Flags::ECE;
            }
            syn.ack = ack.ack;
            self.arrive(&syn, 0);
            self.transmit();
        } else {
            if ecn {
                syn.flags = Flags::SYN | Flags::ECE | Flags::CWR;
            }
            self.listens = true;
            self.arrive(&syn, 0);
            self.transmit();
            self.pass(Duration::from_millis(round_trip));
            self.arrive(&ack, 0);
            self.transmit();
        }
        self.sent.clear();
        let connection = self.connection()?;
        while connection.poll_event().is_some() {}
        if connection.state() == State::Established { Ok(()) } else { Err("no handshake".into()) }
    }

    fn call(&mut self, verb: &str, words: &[&str]) -> Outcome {
        let count: Option<u64> = words.first().map(|word| parse(word)).transpose()?;
        let now = self.now;
        let initial = self.initial;
        let Some(connection) = &mut self.connection else { return Err("nothing is open".into()) };
        let shared = &mut self.shared;
        match (verb, count) {
            ("write", Some(count)) => {
                let offered = option(words, "of")?.unwrap_or(count);
                let written = connection.write(shared, &vec![7; offered as usize]);
                if written as u64 != count {
                    return Err(format!("wrote {written}"));
                }
            }
            ("share", Some(count)) => {
                let mut bytes = bytes::Bytes::from(vec![8; count as usize]);
                if connection.share(shared, &mut bytes) as u64 != count {
                    return Err(format!("{} are left", bytes.len()));
                }
            }
            ("read", Some(count)) => {
                let mut left = count as usize;
                while left > 0 {
                    let part = connection.received_mut().len().min(left);
                    if part == 0 {
                        return Err(format!("{left} bytes are missing"));
                    }
                    connection.consume(shared, now, part);
                    left -= part;
                }
            }
            ("close", _) => connection.close(shared),
            ("abort", _) => connection.abort(shared),
            ("stop", _) => connection.stop_reading(shared, now),
            ("mss", Some(mss)) => {
                let seq: Option<u32> =
                    words.get(1).map(|word| parse(word)).transpose()?.map(|seq: u64| seq as u32);
                let seq = seq.map(|seq| initial.wrapping_add(seq));
                connection.handle_path_mss(now, mss as u16, seq);
            }
            ("unreachable", Some(seq)) => {
                connection.handle_unreachable(shared, initial.wrapping_add(seq as u32));
            }
            _ => return Err("a verb".into()),
        }
        Ok(())
    }

    fn look(&mut self, verb: &str, words: &[&str]) -> Outcome {
        let counters = self.shared.counters;
        let connection = self.connection()?;
        let info = connection.info(&Config::default());
        let word = words.first().copied().unwrap_or_default();
        let (found, wanted) = match verb {
            "state" => (name(connection.state()).to_string(), word.to_string()),
            "event" => {
                let event = connection.poll_event();
                (event.map_or("no event".into(), event_name), word.to_string())
            }
            "no-event" => {
                let event = connection.poll_event();
                (event.map_or(String::new(), event_name), String::new())
            }
            "queue" => (info.receive_queue.to_string(), word.to_string()),
            "cwnd" => (info.congestion_window.to_string(), word.to_string()),
            "unacked" => (info.send_queue.to_string(), word.to_string()),
            _ => {
                let found = match word {
                    "challenge_acks" => counters.challenge_acks,
                    "challenge_acks_suppressed" => counters.challenge_acks_suppressed,
                    "undone" => counters.undone,
                    "recoveries" => counters.recoveries,
                    "timeouts" => counters.retransmission_timeouts,
                    "loss_probes" => counters.loss_probes,
                    "predicted" => counters.segments_predicted,
                    "black_holes" => counters.black_holes,
                    _ => return Err("a counter".into()),
                };
                (found.to_string(), words.get(1).copied().unwrap_or_default().to_string())
            }
        };
        if found == wanted { Ok(()) } else { Err(format!("found {found}")) }
    }

    fn connection(&mut self) -> Outcome<&mut Connection> {
        self.connection.as_mut().ok_or_else(|| "nothing is open".into())
    }

    /// Time goes on; timers run when they are due.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(connection) = &mut self.connection {
            let next = connection.next_deadline();
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            connection.handle_timeout(&mut self.shared, self.now);
            self.transmit();
        }
        self.now = end;
    }

    fn transmit(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        while let Some(transmit) = connection.poll_transmit(&mut self.shared, self.now, self.gso) {
            let len: usize = connection.payload(&transmit).map(|slice| slice.bytes().len()).sum();
            assert_eq!(len, transmit.len as usize);
            self.sent.push_back(Sent {
                at: self.now,
                segment: transmit.segment,
                len: transmit.len,
            });
            assert!(self.sent.len() < 10_000, "it does not end");
        }
    }

    fn arrive(&mut self, segment: &Segment, len: usize) {
        let payload = vec![9; len];
        match &mut self.connection {
            Some(connection) => {
                let payload = Payload::Slice(&payload);
                connection.handle_segment(&mut self.shared, self.now, segment, payload);
            }
            None if self.listens => match listen(segment) {
                Listened::Open => {
                    let open = self.open();
                    let accepted = Connection::accept(&mut self.shared, self.now, &open, segment);
                    self.connection = Some(accepted);
                }
                Listened::Reset(segment) => {
                    self.sent.push_back(Sent { at: self.now, segment, len: 0 });
                }
                Listened::Drop => {}
            },
            None => {
                if let Some(segment) = tcp::listen::closed(segment, len as u32) {
                    self.sent.push_back(Sent { at: self.now, segment, len: 0 });
                }
            }
        }
    }

    fn receive(&mut self, words: &[&str]) -> Outcome {
        let line = Line::parse(words)?;
        let seq = SeqNumber(self.peer_initial.wrapping_add(line.seq));
        let ack = SeqNumber(line.ack.map_or(0, |ack| self.initial.wrapping_add(ack)));
        let mut segment = Segment::new(seq, ack, line.flags);
        segment.window = line.window.unwrap_or(60_000);
        segment.urgent = line.urgent;
        segment.options = line.options.unwrap_or_default();
        segment.ecn = line.ecn;
        let mut sack = SackBlocks::NONE;
        for (start, end) in line.sack {
            let number = |number: u32| SeqNumber(self.initial.wrapping_add(number));
            sack.push(number(start), number(end));
        }
        segment.options.sack = sack;
        self.arrive(&segment, line.len as usize);
        Ok(())
    }

    fn expect(&mut self, words: &[&str]) -> Outcome {
        let line = Line::parse(words)?;
        let Some(sent) = self.sent.pop_front() else { return Err("nothing was sent".into()) };
        let found = self.show(&sent);
        let late = self.now.since(sent.at).max(sent.at.since(self.now));
        if late > Duration::from_millis(1) {
            let millis = sent.at.since(START).micros() as f64 / 1_000.0;
            return Err(format!(
                "sent at {millis} ms, {} ms earlier: {found}",
                late.micros() / 1_000
            ));
        }
        let segment = &sent.segment;
        let options = &segment.options;
        let sack: Vec<(u32, u32)> = options
            .sack
            .as_slice()
            .iter()
            .map(|block| {
                let number = |seq: SeqNumber| seq.0.wrapping_sub(self.peer_initial);
                (number(block.start), number(block.end))
            })
            .collect();
        let ack =
            segment.flags.has(Flags::ACK).then(|| segment.ack.0.wrapping_sub(self.peer_initial));
        let is_reset_alone = segment.flags == Flags::RST;
        let base =
            if segment.flags.has(Flags::RST) && segment.seq.0 == 0 { 0 } else { self.initial };
        let matches = segment.flags == line.flags
            && segment.seq.0.wrapping_sub(base) == line.seq
            && sent.len == line.len
            && (line.ack.is_none() || ack == line.ack || is_reset_alone)
            && line.window.is_none_or(|window| window == segment.window)
            && line
                .options
                .is_none_or(|wanted| wanted == Options { sack: SackBlocks::NONE, ..*options })
            && (line.ecn == Ecn::NotCapable || line.ecn == segment.ecn)
            && !(line.is_not_capable && segment.ecn != Ecn::NotCapable)
            && sack == line.sack;
        if matches { Ok(()) } else { Err(format!("sent: {found}")) }
    }

    fn nothing_left(&self) -> Outcome {
        match self.sent.front() {
            None => Ok(()),
            Some(sent) => {
                let millis = sent.at.since(START).micros() as f64 / 1_000.0;
                Err(format!("not expected, at {millis} ms: {}", self.show(sent)))
            }
        }
    }

    fn show(&self, sent: &Sent) -> String {
        let segment = &sent.segment;
        let seq = segment.seq.0.wrapping_sub(self.initial);
        let ack = segment.ack.0.wrapping_sub(self.peer_initial);
        format!(
            "{:?} {seq}:{}({}) ack {ack} win {} {:?} {:?}",
            segment.flags,
            seq.wrapping_add(sent.len),
            sent.len,
            segment.window,
            segment.ecn,
            segment.options,
        )
    }
}

fn name(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSED",
        State::SynSent => "SYN-SENT",
        State::SynReceived => "SYN-RECEIVED",
        State::Established => "ESTABLISHED",
        State::FinWait1 => "FIN-WAIT-1",
        State::FinWait2 => "FIN-WAIT-2",
        State::CloseWait => "CLOSE-WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST-ACK",
        State::TimeWait => "TIME-WAIT",
    }
}

fn event_name(event: Event) -> String {
    match event {
        Event::Connected => "connected",
        Event::Readable => "readable",
        Event::PeerFinished => "peer-finished",
        Event::Writable => "writable",
        Event::Drained => "drained",
        Event::PathMss => "path-mss",
        Event::TimeWait => "time-wait",
        Event::Closed(CloseReason::Finished) => "finished",
        Event::Closed(CloseReason::Aborted) => "aborted",
        Event::Closed(CloseReason::Refused) => "refused",
        Event::Closed(CloseReason::Reset) => "reset",
        Event::Closed(CloseReason::TimedOut) => "timed-out",
        Event::Closed(CloseReason::Unreachable) => "unreachable",
    }
    .into()
}
