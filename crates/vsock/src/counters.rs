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

        /// The counters of a network of vsocks.
        pub static COUNTER_METRICS: &[Metric<Counts>] = &[$(
            Metric::$metric(
                concat!("vsock_", $text),
                concat!($($help),*).trim_ascii(),
                |counts| counts.0[Counter::$name as usize],
            ),
        )*];

        const COUNTERS: usize = [$(Counter::$name,)*].len();
    };
}

counters! {
    /// Packets taken from the device.
    PacketsIn = counter "packets_in",
    /// Packets given to the device.
    PacketsOut = counter "packets_out",
    /// Bytes of streams received.
    BytesIn = byte_counter "received",
    /// Bytes of streams sent.
    BytesOut = byte_counter "sent",
    /// Packets dropped, since they are none or are for another machine.
    Dropped = counter "dropped",
    /// Connections that others opened.
    Accepted = counter "connections_accepted",
    /// Connections that we opened.
    Connected = counter "connections_connected",
    /// Connections refused, since the listener's backlog is full or all connections are in use.
    Full = counter "refused_full",
    /// Packets of connections that there are not, answered by a reset.
    ResetsOut = counter "resets_out",
    /// Connections ended since their peers broke the rules.
    Violations = counter "violations",
    /// Connections whose peers did not answer in time.
    TimedOut = counter "connections_timed_out",
    /// Panics, each of which ended a connection.
    Panics = counter "panics",
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

#[cfg(test)]
impl Counts {
    pub(crate) fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }
}
