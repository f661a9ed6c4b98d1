//! Listener and connector: where flows come from.

use crate::task::wait_fn;
use crate::{Address, ConnectError, Flow, FlowError, Target};
use core::task::{Context, Poll};

/// A place that others open flows to.
pub trait Listener {
    /// What it yields.
    type Flow: Flow + Unpin + 'static;

    /// The next flow that somebody opened. An error ends the listener.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::Flow, FlowError>>;

    /// Where it listens.
    fn local(&self) -> Address;

    /// Waits for the next flow. Cancel-safe.
    #[track_caller]
    fn accept(&mut self) -> impl Future<Output = Result<Self::Flow, FlowError>> {
        wait_fn(|cx| self.poll_accept(cx))
    }
}

/// A way to open flows. Clones share what is below.
pub trait Connector: Clone + 'static {
    /// What it yields.
    type Flow: Flow + Unpin + 'static;

    /// Opens a flow to `target`, resolving its name where it has one. Dropping the future gives up.
    fn connect(&self, target: &Target) -> impl Future<Output = Result<Self::Flow, ConnectError>>;
}
