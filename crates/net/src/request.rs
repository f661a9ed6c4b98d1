//! Request: something that the stack does for one task.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use flow::ConnectError;
use flow::sync::OneShot;

/// Something that the stack does for one task, which holds the other reference to it.
pub(crate) struct Request<Q, A> {
    pub(crate) wanted: Q,
    outcome: OneShot<Result<A, ConnectError>>,
}

/// The addresses of a name.
pub(crate) type LookupRequest = Request<String, Vec<IpAddr>>;

impl<Q, A> Request<Q, A> {
    pub(crate) fn new(wanted: Q) -> Rc<Self> {
        Rc::new(Self { wanted, outcome: OneShot::default() })
    }

    /// The task no longer waits.
    pub(crate) fn is_abandoned(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) == 1
    }

    pub(crate) fn complete(&self, result: Result<A, ConnectError>) {
        self.outcome.set(result);
    }

    /// Waits for what became of it.
    pub(crate) async fn completed(self: Rc<Self>) -> Result<A, ConnectError> {
        self.outcome.take().await
    }
}
