//! Door: a listener that has so many connections at most.

use alloc::rc::Rc;
use core::task::{Context, Poll, ready};
use endpoints::server::Traffic;
use flow::{Address, Flow, FlowError, Listener};

/// Resets whoever comes while a server has as many connections as it may.
pub(super) struct Door<L> {
    listener: L,
    traffic: Rc<Traffic>,
    connections_max: usize,
}

impl<L> Door<L> {
    pub(super) fn new(listener: L, traffic: Rc<Traffic>, connections_max: usize) -> Self {
        Self { listener, traffic, connections_max }
    }
}

impl<L: Listener> Listener for Door<L> {
    type Flow = L::Flow;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<L::Flow, FlowError>> {
        loop {
            let mut flow = ready!(self.listener.poll_accept(cx))?;
            if self.traffic.connections() < self.connections_max {
                return Poll::Ready(Ok(flow));
            }
            log::debug!("admin: {} is turned away: there are enough connections", flow.peer());
            flow.abort();
        }
    }

    fn local(&self) -> Address {
        self.listener.local()
    }
}
