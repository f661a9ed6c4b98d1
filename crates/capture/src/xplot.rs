//! The time-sequence graph of tcptrace, as a file of xplot: of one direction of a connection the segments that its sender sent,
//! and, of the answers, how far they were acknowledged and how far the receiver's window reached.
//!
//! | | |
//! |---|---|
//! | white line between two arrows | a segment; a diamond at its end where it had PSH |
//! | red, with `R` | data that was sent before |
//! | green line | what is acknowledged; a tick for each acknowledgement that says nothing new, and `3` at the third |
//! | yellow line | the end of the receiver's window; a tick where it stays; `Z` where it is zero |
//! | purple line, with `S` | data that arrived out of order (SACK) |
//! | orange, with `SYN`, `FIN`, `RST` | control segments |
//!
//! (tcptrace manual, "The Time Sequence Graph"; xplot's file format.) A ring of shared memory is drawn likewise: [`RingGraph`].

mod ring;

pub use ring::{RingGraph, RingStep};

use crate::{Segment, TcpFlags};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

/// Writes a graph while segments come.
#[derive(Clone, Debug)]
pub struct Graph {
    sender: SocketAddr,
    receiver: SocketAddr,
    /// The number that is drawn as zero, once there is one.
    origin: Option<u32>,
    /// The end of what was sent.
    sent: i64,
    /// By how many bits the receiver's windows are shifted; none while that is not known.
    window_shift: u8,
    answers: Option<Answers>,
}

/// Where the receiver's lines are.
#[derive(Clone, Copy, Debug)]
struct Answers {
    at: Duration,
    acknowledged: i64,
    window_end: i64,
    repeated: u32,
}

impl Graph {
    /// Of what `sender` sends to `receiver`. Windows are in bytes if the receiver's SYN is seen, or by this shift if that is known
    /// otherwise.
    pub fn new(sender: SocketAddr, receiver: SocketAddr, window_shift: Option<u8>) -> Self {
        Self {
            sender,
            receiver,
            origin: None,
            sent: i64::MIN,
            window_shift: window_shift.unwrap_or(0),
            answers: None,
        }
    }

    /// The beginning of the file.
    pub fn begin(&self, out: &mut Vec<u8>) {
        let Self { sender, receiver, .. } = self;
        put(
            out,
            format_args!(
                "timeval unsigned\ntitle\n{sender}_==>_{receiver} (time sequence graph)\n"
            ),
        );
        put(out, format_args!("xlabel\ntime\nylabel\nsequence number\n"));
    }

    /// A segment that was seen at this time, of either direction; others are not drawn.
    pub fn segment(&mut self, out: &mut Vec<u8>, at: Duration, segment: &Segment) {
        let ends = (segment.source, segment.destination);
        if ends == (self.sender, self.receiver) {
            self.sent(out, at, segment);
        } else if ends == (self.receiver, self.sender) {
            self.answered(out, at, segment);
        }
    }

    /// The end of the file.
    pub fn end(&self, out: &mut Vec<u8>) {
        put(out, format_args!("go\n"));
    }

    fn sent(&mut self, out: &mut Vec<u8>, at: Duration, segment: &Segment) {
        let start = self.place(segment.sequence);
        let end = start + i64::from(segment.sequence_bytes());
        let at = Seconds(at);
        let is_again = segment.sequence_bytes() > 0 && start < self.sent;
        let color = match () {
            () if is_again => "red",
            () if segment.flags.has(TcpFlags::SYN) || segment.flags.has(TcpFlags::FIN) => "orange",
            () => "white",
        };
        if end > start {
            put(
                out,
                format_args!(
                    "{color}\ndarrow {at} {start}\nuarrow {at} {end}\nline {at} {start} {at} {end}\n"
                ),
            );
            if segment.flags.has(TcpFlags::PSH) {
                put(out, format_args!("diamond {at} {end}\n"));
            }
        }
        let mark = match () {
            () if is_again => Some("R"),
            () if segment.flags.has(TcpFlags::SYN) => Some("SYN"),
            () if segment.flags.has(TcpFlags::FIN) => Some("FIN"),
            () => None,
        };
        if let Some(mark) = mark {
            put(out, format_args!("atext {at} {end}\n{mark}\n"));
        }
        if segment.flags.has(TcpFlags::RST) {
            put(out, format_args!("orange\natext {at} {end}\nRST\n"));
        }
        self.sent = self.sent.max(end);
    }

    fn answered(&mut self, out: &mut Vec<u8>, at: Duration, segment: &Segment) {
        if let Some(shift) = segment.window_shift {
            self.window_shift = shift;
        }
        let time = Seconds(at);
        if segment.flags.has(TcpFlags::RST) {
            let place = self.answers.map_or(0, |answers| answers.acknowledged);
            put(out, format_args!("orange\nbtext {time} {place}\nRST\n"));
        }
        if !segment.flags.has(TcpFlags::ACK) {
            return;
        }
        let acknowledged = self.place(segment.acknowledgement);
        // RFC 7323 section 2.2: the window of a SYN is not scaled.
        let shift = if segment.flags.has(TcpFlags::SYN) { 0 } else { self.window_shift };
        let window_end = acknowledged + (i64::from(segment.window) << shift);
        let before = self.answers.unwrap_or(Answers { at, acknowledged, window_end, repeated: 0 });
        let from = Seconds(before.at);
        let (old, old_end) = (before.acknowledged, before.window_end);
        put(out, format_args!("green\nline {from} {old} {time} {old}\n"));
        let is_same = acknowledged == old && self.answers.is_some();
        let is_duplicate = is_same && window_end == old_end && segment.sequence_bytes() == 0;
        let repeated = if is_duplicate { before.repeated + 1 } else { 0 };
        if is_same {
            put(out, format_args!("dtick {time} {acknowledged}\n"));
        } else {
            put(out, format_args!("line {time} {old} {time} {acknowledged}\n"));
        }
        if repeated == 3 {
            put(out, format_args!("btext {time} {acknowledged}\n3\n"));
        }
        put(out, format_args!("yellow\nline {from} {old_end} {time} {old_end}\n"));
        if window_end == old_end && self.answers.is_some() {
            put(out, format_args!("utick {time} {window_end}\n"));
        } else {
            put(out, format_args!("line {time} {old_end} {time} {window_end}\n"));
        }
        if segment.window == 0 {
            put(out, format_args!("white\natext {time} {window_end}\nZ\n"));
        }
        for (start, end) in segment.sack.iter().flatten() {
            let (start, end) = (self.place(*start), self.place(*end));
            put(
                out,
                format_args!("purple\nline {time} {start} {time} {end}\nltext {time} {end}\nS\n"),
            );
        }
        self.answers = Some(Answers { at, acknowledged, window_end, repeated });
    }

    /// A number as bytes since the origin, near to what was sent last: numbers begin again after 4 GiB.
    fn place(&mut self, number: u32) -> i64 {
        let origin = *self.origin.get_or_insert(number);
        let near = if self.sent == i64::MIN { 0 } else { self.sent };
        let offset = number.wrapping_sub(origin.wrapping_add(near as u32)) as i32;
        near + i64::from(offset)
    }
}

/// A time as xplot reads it.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}

fn put(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    struct Text<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Text<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // It takes all there is.
    let _ = fmt::Write::write_fmt(&mut Text(out), text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use core::net::{IpAddr, Ipv4Addr};

    const SENDER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 80);
    const RECEIVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 1000);

    fn data(sequence: u32, bytes: u32, flags: TcpFlags) -> Segment {
        Segment {
            source: SENDER,
            destination: RECEIVER,
            sequence,
            data_bytes: bytes,
            acknowledgement: 0,
            window: 0,
            flags,
            window_shift: None,
            sack: [None; 4],
        }
    }

    fn answer(acknowledgement: u32, window: u16) -> Segment {
        Segment {
            source: RECEIVER,
            destination: SENDER,
            acknowledgement,
            window,
            ..data(0, 0, TcpFlags::ACK)
        }
    }

    /// What is drawn of one segment after others.
    fn drawn(before: &[Segment], segment: Segment) -> String {
        let mut graph = Graph::new(SENDER, RECEIVER, None);
        let mut out = Vec::new();
        for (second, segment) in before.iter().enumerate() {
            graph.segment(&mut out, Duration::from_secs(second as u64), segment);
        }
        out.clear();
        graph.segment(&mut out, Duration::from_millis(10_500), &segment);
        String::from_utf8(out).unwrap()
    }

    const NONE: TcpFlags = TcpFlags(0);

    #[test]
    fn segments_are_lines_between_arrows() {
        let syn = data(99, 0, TcpFlags::SYN);
        assert_eq!(
            drawn(&[], syn),
            "orange\ndarrow 10.500000 0\nuarrow 10.500000 1\nline 10.500000 0 10.500000 1\natext 10.500000 1\nSYN\n"
        );
        let first = data(100, 1000, NONE);
        assert_eq!(
            drawn(&[syn], first),
            "white\ndarrow 10.500000 1\nuarrow 10.500000 1001\nline 10.500000 1 10.500000 1001\n"
        );
        assert!(drawn(&[syn], data(100, 1, TcpFlags::PSH)).ends_with("diamond 10.500000 2\n"));
        let again = drawn(&[syn, first], data(600, 1000, NONE));
        assert!(again.starts_with("red\n") && again.ends_with("atext 10.500000 1501\nR\n"));
        assert!(drawn(&[syn, first], data(1100, 1000, NONE)).starts_with("white\n"));
        let end = drawn(&[syn, first], data(1100, 0, TcpFlags::FIN));
        assert!(end.starts_with("orange\n") && end.ends_with("FIN\n"));
        assert!(drawn(&[syn], data(100, 0, TcpFlags::RST)).ends_with("RST\n"));
        // An acknowledgement of the sender's says nothing of this direction.
        assert_eq!(drawn(&[syn], data(100, 0, TcpFlags::ACK)), "");
    }

    #[test]
    fn answers_are_two_lines() {
        let syn = data(99, 0, TcpFlags::SYN);
        let scaled = Segment { window_shift: Some(2), flags: TcpFlags(18), ..answer(100, 500) };
        let before = [syn, scaled, answer(100, 500)];
        assert_eq!(
            drawn(&before, answer(600, 500)),
            "green\nline 2.000000 1 10.500000 1\nline 10.500000 1 10.500000 501\n\
             yellow\nline 2.000000 2001 10.500000 2001\nline 10.500000 2001 10.500000 2501\n"
        );
        assert_eq!(
            drawn(&before, answer(100, 500)),
            "green\nline 2.000000 1 10.500000 1\ndtick 10.500000 1\n\
             yellow\nline 2.000000 2001 10.500000 2001\nutick 10.500000 2001\n"
        );
        assert!(drawn(&before, answer(100, 0)).ends_with("white\natext 10.500000 1\nZ\n"));
        let sack = Segment { sack: [Some((200, 300)), None, None, None], ..answer(100, 500) };
        assert!(
            drawn(&before, sack)
                .ends_with("purple\nline 10.500000 101 10.500000 201\nltext 10.500000 201\nS\n")
        );
    }

    #[test]
    fn the_third_repetition_is_marked_and_no_other() {
        let mut before = [data(99, 0, TcpFlags::SYN), answer(100, 500)].to_vec();
        for count in 1..6 {
            let same = drawn(&before, answer(100, 500));
            assert_eq!(same.contains("btext 10.500000 1\n3\n"), count == 3, "{count}");
            before.push(answer(100, 500));
        }
        // An update of the window is none.
        before.truncate(4);
        assert!(!drawn(&before, answer(100, 600)).contains("\n3\n"));
    }

    #[test]
    fn numbers_go_on_beyond_their_end() {
        let last = data(u32::MAX - 99, 100, NONE);
        let first = data(0, 100, NONE);
        assert!(drawn(&[last], first).contains("darrow 10.500000 100\nuarrow 10.500000 200\n"));
        assert!(drawn(&[last, first], last).starts_with("red\ndarrow 10.500000 0\n"));
        assert!(
            drawn(&[last, first], answer(100, 10)).contains("line 10.500000 210 10.500000 210\n")
        );
    }

    #[test]
    fn a_file_has_a_title_and_an_end_and_nothing_of_others() {
        let mut graph = Graph::new(SENDER, RECEIVER, Some(1));
        let mut out = Vec::new();
        graph.begin(&mut out);
        let other = Segment { source: RECEIVER, destination: RECEIVER, ..data(1, 1, NONE) };
        graph.segment(&mut out, Duration::ZERO, &other);
        graph.end(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "timeval unsigned\ntitle\n10.0.0.1:80_==>_10.0.0.2:1000 (time sequence graph)\n\
             xlabel\ntime\nylabel\nsequence number\ngo\n"
        );
    }
}
