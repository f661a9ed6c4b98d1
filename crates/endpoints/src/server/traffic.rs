//! Traffic: what the connections of a server have in common to count.

use core::cell::Cell;
use core::time::Duration;
use inspect::{Histogram, Metric};
use web::Status;

/// What a server of web requests counts.
#[derive(Debug, Default)]
pub struct Traffic {
    connections: Cell<usize>,
    accepted: Cell<u64>,
    requests: Cell<u64>,
    in_flight: Cell<usize>,
    /// By the first digit of their status.
    responses: [Cell<u64>; 6],
    failed: Cell<u64>,
    times: Histogram,
}

/// The metrics of servers of web requests.
pub static METRICS: &[Metric<Traffic>] = &[
    Metric::counter("web_connections_accepted", "Connections that were accepted.", |it| {
        it.accepted.get()
    }),
    Metric::counter("web_requests", "Requests that came.", Traffic::requests),
    Metric::gauge("web_requests_in_flight", "Requests whose handlers are not done.", |it| {
        it.in_flight.get() as u64
    }),
    Metric::counter_by(
        "web_responses",
        "code",
        "Responses, by the class of status.",
        |it, visit| {
            for (class, count) in CLASSES.iter().zip(&it.responses[1..]) {
                visit(class, count.get());
            }
        },
    ),
    Metric::counter("web_handlers_failed", "Handlers that panicked or broke off.", |it| {
        it.failed.get()
    }),
    Metric::histogram("web_response", "From a request to its handler's response.", |it| &it.times),
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Traffic {
    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.connections.get()
    }

    /// Requests since the start.
    pub fn requests(&self) -> u64 {
        self.requests.get()
    }

    pub(super) fn opened(&self) {
        self.connections.set(self.connections.get() + 1);
        add(&self.accepted);
    }

    pub(super) fn closed(&self) {
        self.connections.set(self.connections.get() - 1);
    }

    #[inline]
    pub(super) fn asked(&self) {
        add(&self.requests);
    }

    /// A request's handler did not answer at once.
    pub(super) fn begin_work(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(super) fn end_work(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
    }

    /// A handler that was asked at `began` has answered.
    pub(super) fn answered(&self, status: Status, began: Duration, now: Duration) {
        self.responded(status);
        self.times.observe(now.saturating_sub(began));
    }

    /// A handler has answered as soon as it was asked.
    #[inline]
    pub(super) fn answered_at_once(&self, status: Status) {
        self.responded(status);
        self.times.observe_none();
    }

    #[inline]
    fn responded(&self, status: Status) {
        if let Some(count) = self.responses.get(usize::from(status.code() / 100)) {
            add(count);
        }
    }

    pub(super) fn failed(&self) {
        add(&self.failed);
    }
}

#[inline]
fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}
