//! The same graph of a ring in shared memory: what is written, how far it is read, and how far there is room.
//!
//! | | |
//! |---|---|
//! | white line between two arrows | bytes that were written |
//! | green line | how far they are read |
//! | yellow line | how far there is room; `F` where the ring is full |
//! | red, with `W` | a task of this side began to wait, for room or for bytes |
//! | blue, with `N`; magenta, with `n` | the other side was notified; it notified us |

use super::{Seconds, put};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;
use core::time::Duration;

/// Writes the graph of one ring while steps come.
#[derive(Clone, Debug)]
pub struct RingGraph {
    title: String,
    before: Option<Before>,
}

/// How far a ring is; all but its size is counted since it was laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingStep {
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Of them, those that were read.
    pub read_bytes: u64,
    /// What the ring holds.
    pub ring_bytes: u64,
    /// Times that a task of this side began to wait for room, or for bytes.
    pub waits: u64,
    /// Notifications that this side sent.
    pub notifications_out: u64,
    /// Notifications that came to this side.
    pub notifications_in: u64,
}

#[derive(Clone, Copy, Debug)]
struct Before {
    at: Duration,
    step: RingStep,
}

impl RingGraph {
    /// Of what `writer` writes and `reader` reads.
    pub fn new(writer: &dyn Display, reader: &dyn Display) -> Self {
        Self { title: alloc::format!("{writer}_==>_{reader} (ring)"), before: None }
    }

    /// The beginning of the file.
    pub fn begin(&self, out: &mut Vec<u8>) {
        let title = &self.title;
        put(out, format_args!("timeval unsigned\ntitle\n{title}\nxlabel\ntime\nylabel\nbytes\n"));
    }

    /// How far the ring is at this time. The first step is where the graph begins.
    pub fn step(&mut self, out: &mut Vec<u8>, at: Duration, step: &RingStep) {
        if let Some(before) = self.before {
            draw(out, before, at, step);
        }
        self.before = Some(Before { at, step: *step });
    }

    /// The end of the file.
    pub fn end(&self, out: &mut Vec<u8>) {
        put(out, format_args!("go\n"));
    }
}

fn draw(out: &mut Vec<u8>, before: Before, at: Duration, step: &RingStep) {
    let (from, time, old) = (Seconds(before.at), Seconds(at), before.step);
    let (start, written) = (old.written_bytes, step.written_bytes);
    if written > start {
        put(
            out,
            format_args!(
                "white\ndarrow {time} {start}\nuarrow {time} {written}\nline {time} {start} {time} {written}\n"
            ),
        );
    }
    let ends = |step: &RingStep| [step.read_bytes, step.read_bytes + step.ring_bytes];
    for ((color, old), new) in ["green", "yellow"].into_iter().zip(ends(&old)).zip(ends(step)) {
        put(out, format_args!("{color}\nline {from} {old} {time} {old}\n"));
        if new != old {
            put(out, format_args!("line {time} {old} {time} {new}\n"));
        }
    }
    let mut mark = |is_due: bool, color: &str, command: &str, place: u64, text: &str| {
        if is_due {
            put(out, format_args!("{color}\n{command} {time} {place}\n{text}\n"));
        }
    };
    mark(written == step.read_bytes + step.ring_bytes, "white", "atext", written, "F");
    mark(step.waits > old.waits, "red", "rtext", written, "W");
    mark(step.notifications_out > old.notifications_out, "blue", "btext", step.read_bytes, "N");
    mark(step.notifications_in > old.notifications_in, "magenta", "btext", step.read_bytes, "n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: RingStep = RingStep {
        written_bytes: 1000,
        read_bytes: 900,
        ring_bytes: 4096,
        waits: 1,
        notifications_out: 2,
        notifications_in: 3,
    };

    /// What is drawn of one step after another.
    fn drawn(step: RingStep) -> String {
        let mut graph = RingGraph::new(&"a", &"b");
        let mut out = Vec::new();
        graph.step(&mut out, Duration::from_secs(1), &FIRST);
        assert!(out.is_empty(), "what was before nobody knows");
        graph.step(&mut out, Duration::from_millis(2_500), &step);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn where_nothing_moved_two_lines_go_on() {
        assert_eq!(
            drawn(FIRST),
            "green\nline 1.000000 900 2.500000 900\nyellow\nline 1.000000 4996 2.500000 4996\n"
        );
    }

    #[test]
    fn what_is_written_is_a_line_between_arrows_and_what_is_read_moves_both_lines() {
        let step = RingStep { written_bytes: 1500, read_bytes: 1000, ..FIRST };
        assert_eq!(
            drawn(step),
            "white\ndarrow 2.500000 1000\nuarrow 2.500000 1500\nline 2.500000 1000 2.500000 1500\n\
             green\nline 1.000000 900 2.500000 900\nline 2.500000 900 2.500000 1000\n\
             yellow\nline 1.000000 4996 2.500000 4996\nline 2.500000 4996 2.500000 5096\n"
        );
    }

    #[test]
    fn a_full_ring_waits_and_notifications_are_marked() {
        let almost = RingStep { written_bytes: 4995, ..FIRST };
        assert!(!drawn(almost).contains("\nF\n"));
        let full = RingStep { written_bytes: 4996, ..FIRST };
        assert!(drawn(full).ends_with("white\natext 2.500000 4996\nF\n"));
        let waits = RingStep { waits: 2, ..FIRST };
        assert!(drawn(waits).ends_with("red\nrtext 2.500000 1000\nW\n"));
        let sent = RingStep { notifications_out: 3, ..FIRST };
        assert!(drawn(sent).ends_with("blue\nbtext 2.500000 900\nN\n"));
        let came = RingStep { notifications_in: 4, ..FIRST };
        assert!(drawn(came).ends_with("magenta\nbtext 2.500000 900\nn\n"));
    }

    #[test]
    fn a_file_has_a_title_and_an_end() {
        let (graph, mut out) = (RingGraph::new(&"a", &"b"), Vec::new());
        graph.begin(&mut out);
        graph.end(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "timeval unsigned\ntitle\na_==>_b (ring)\nxlabel\ntime\nylabel\nbytes\ngo\n"
        );
    }
}
