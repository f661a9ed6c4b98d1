//! Counters: what happened since the start, each with its metric.

use core::cell::Cell;
use inspect::Metric;

macro_rules! counters {
    ($($(#[doc = $help:literal])* $name:ident = $metric:ident $text:literal,)*) => {
        /// One thing that is counted since the start.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Counter {
            $($(#[doc = $help])* $name,)*
        }

        /// The counters of flows through shared memory.
        pub static COUNTER_METRICS: &[Metric<Counts>] = &[$(
            Metric::$metric(
                concat!("shared_memory_", $text),
                concat!($($help),*).trim_ascii(),
                |counts| counts.0[Counter::$name as usize],
            ),
        )*];

        const COUNTERS: usize = [$(Counter::$name,)*].len();
    };
}

counters! {
    /// Flows through shared memory, those included that are closed.
    Opened = counter "flows_opened",
    /// Bytes read from shared memory.
    BytesIn = byte_counter "received",
    /// Bytes written to shared memory.
    BytesOut = byte_counter "sent",
    /// Notifications that came.
    NotificationsIn = counter "notifications_in",
    /// Notifications sent.
    NotificationsOut = counter "notifications_out",
    /// Times that something was read or written and the other side was not notified, since it did not ask.
    Suppressed = counter "notifications_suppressed",
    /// Waits since there was nothing to read.
    EmptyStalls = counter "stalls_empty",
    /// Waits since the other side had not read.
    FullStalls = counter "stalls_full",
    /// Flows ended since the other side wrote what cannot be.
    Violations = counter "violations",
}

/// All counters, as they were when they were asked for.
#[derive(Clone, Debug)]
pub struct Counts([u64; COUNTERS]);

#[derive(Default)]
pub(crate) struct Counters([Cell<u64>; COUNTERS]);

impl Counters {
    pub(crate) fn add(&self, counter: Counter) {
        self.add_many(counter, 1);
    }

    pub(crate) fn add_many(&self, counter: Counter, many: usize) {
        let cell = &self.0[counter as usize];
        cell.set(cell.get() + many as u64);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts(self.0.each_ref().map(Cell::get))
    }
}

impl Counts {
    pub(crate) fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }
}
