//! Traffic: what the connections of a server have in common to count.

use core::cell::Cell;
use core::time::Duration;
use inspect::Metric;
use web::Status;
use web::answers::{Answers, CLASSES};

/// What a server of web requests counts.
#[derive(Debug, Default)]
pub struct Traffic {
    connections: Cell<usize>,
    accepted: Cell<u64>,
    requests: Cell<u64>,
    failed: Cell<u64>,
    answers: Answers,
}

/// The metrics of servers of web requests.
pub static METRICS: &[Metric<Traffic>] = &[
    Metric::counter("web_connections_accepted", "Connections that were accepted.", |it| {
        it.accepted.get()
    }),
    Metric::counter("web_requests", "Requests that came.", Traffic::requests),
    Metric::gauge("web_requests_in_flight", "Requests whose handlers are not done.", |it| {
        it.answers.in_flight() as u64
    }),
    Metric::counter_by(
        "web_responses",
        "code",
        "Responses, by the class of status.",
        |it, visit| {
            for (class, count) in CLASSES.iter().zip(it.answers.by_class()) {
                visit(class, count);
            }
        },
    ),
    Metric::counter("web_handlers_failed", "Handlers that panicked or broke off.", |it| {
        it.failed.get()
    }),
    Metric::histogram("web_response", "From a request to its handler's response.", |it| {
        it.answers.times()
    }),
];

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
        self.answers.begin_work();
    }

    pub(super) fn end_work(&self) {
        self.answers.end_work();
    }

    /// A handler has answered that was asked so long before; its `route` counts that, too, if it has one.
    pub(super) fn answered(&self, route: Option<&Answers>, status: Status, time: Duration) {
        self.answers.answered(status, time);
        if let Some(route) = route {
            route.answered(status, time);
        }
    }

    /// A handler has answered as soon as it was asked, as most do.
    #[inline]
    pub(super) fn answered_at_once(&self, route: Option<&Answers>, status: Status) {
        self.answers.answered_at_once(status);
        if let Some(route) = route {
            route.answered_at_once(status);
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
