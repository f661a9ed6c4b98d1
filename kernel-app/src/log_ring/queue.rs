//! Log queue: lines that wait to be sent to a collector.

use super::LogLine;
use alloc::collections::VecDeque;
use log::Level;

/// Bytes of lines that wait; what is more is lost, and counted.
pub(super) const QUEUE_BYTES_MAX: usize = 256 << 10;
/// What a line costs beside its text.
const LINE_COST_BYTES: usize = size_of::<LogLine>();

/// Lines for a collector, once there is one.
pub(super) struct LogQueue {
    is_on: bool,
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Behind those that wait: once one was lost, all are until some are taken, so that the gap has one place.
    lost: u64,
    counts: Counts,
}

/// What became of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) lost: u64,
}

impl LogQueue {
    pub(super) const fn new() -> Self {
        let counts = Counts { sent: 0, lost: 0 };
        Self { is_on: false, lines: VecDeque::new(), bytes: 0, lost: 0, counts }
    }

    pub(super) fn turn_on(&mut self) {
        self.is_on = true;
    }

    /// Whether a line of this origin is sent: not those that sending causes, which would never end.
    pub(super) fn wants(&self, level: Level, target: &str) -> bool {
        self.is_on && level <= Level::Info && !target.starts_with(super::SENDER)
    }

    pub(super) fn push(&mut self, line: LogLine) {
        let bytes = line.text.len() + LINE_COST_BYTES;
        if self.lost > 0 || self.bytes + bytes > QUEUE_BYTES_MAX {
            self.lost += 1;
            self.counts.lost += 1;
            return;
        }
        self.bytes += bytes;
        self.lines.push_back(line);
    }

    /// Takes the first, as many as have this many bytes of text together; and how many were lost behind them, if these are all.
    pub(super) fn take(&mut self, text_bytes_max: usize) -> (VecDeque<LogLine>, u64) {
        let (mut taken, mut text_bytes) = (VecDeque::new(), 0);
        while let Some(line) = self.lines.front() {
            text_bytes += line.text.len();
            if text_bytes > text_bytes_max && !taken.is_empty() {
                return (taken, 0);
            }
            self.bytes -= line.text.len() + LINE_COST_BYTES;
            taken.extend(self.lines.pop_front());
        }
        (taken, core::mem::take(&mut self.lost))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost == 0
    }

    pub(super) fn sent(&mut self, lines: u64) {
        self.counts.sent += lines;
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use core::time::Duration;

    fn line(number: u64, bytes: usize) -> LogLine {
        let text: String = core::iter::repeat_n('x', bytes).collect();
        LogLine { number, time: Duration::ZERO, level: Level::Info, text, module: 0..0, message: 0 }
    }

    fn numbers(taken: &VecDeque<LogLine>) -> alloc::vec::Vec<u64> {
        taken.iter().map(|line| line.number).collect()
    }

    #[test]
    fn lines_are_taken_in_pieces_in_their_order() {
        let mut queue = LogQueue::new();
        for number in 0..4 {
            queue.push(line(number, 100));
        }
        let (first, lost) = queue.take(200);
        assert_eq!((numbers(&first), lost), ([0, 1].into(), 0));
        let (second, _) = queue.take(1);
        assert_eq!(numbers(&second), [2], "one at least, however long it is");
        let (third, _) = queue.take(100);
        assert_eq!(numbers(&third), [3]);
        assert!(queue.is_empty() && queue.bytes == 0);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_leaves_one_gap() {
        let mut queue = LogQueue::new();
        let bytes = QUEUE_BYTES_MAX / 4 - LINE_COST_BYTES;
        for number in 0..5 {
            queue.push(line(number, bytes));
        }
        queue.push(line(5, 1));
        let (first, lost) = queue.take(bytes);
        assert_eq!((numbers(&first), lost), ([0].into(), 0));
        queue.push(line(6, 1));
        let (rest, lost) = queue.take(usize::MAX);
        assert_eq!((numbers(&rest), lost), ([1, 2, 3].into(), 3));
        queue.push(line(7, 1));
        assert_eq!(numbers(&queue.take(usize::MAX).0), [7]);
        assert_eq!(queue.counts(), Counts { sent: 0, lost: 3 });
    }

    #[test]
    fn what_sending_logs_is_not_sent() {
        let mut queue = LogQueue::new();
        assert!(!queue.wants(Level::Error, "net"), "it is off at first");
        queue.turn_on();
        assert!(queue.wants(Level::Info, "net"));
        assert!(!queue.wants(Level::Debug, "net"), "the stack says much of each segment");
        assert!(!queue.wants(Level::Error, super::super::SENDER));
    }
}
