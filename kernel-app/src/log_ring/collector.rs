//! Collector: lines of the log wait here for whoever sends them elsewhere.

use super::{LOG, LogLine};
use alloc::collections::VecDeque;

/// Keeps lines for a collector from now on, those among them that are kept already.
pub(crate) fn queue_lines() {
    // In the order in which a line that is written takes both.
    let lines = LOG.lines.lock();
    let mut queue = LOG.queue.lock();
    queue.turn_on();
    for line in &lines.kept {
        if queue.wants(line.level, line.module()) {
            queue.push(line.clone());
        }
    }
}

/// Takes the first lines for the collector, with so many bytes of text together, or one; and how many were lost behind them,
/// for want of room, if these are all.
pub(crate) fn take_lines(text_bytes_max: usize) -> (VecDeque<LogLine>, u64) {
    LOG.queue.lock().take(text_bytes_max)
}

/// Whether lines wait for the collector.
pub(crate) fn has_queued_lines() -> bool {
    !LOG.queue.lock().is_empty()
}

/// So many have been sent to it.
pub(crate) fn lines_sent(count: u64) {
    LOG.queue.lock().sent(count);
}
