//! Listeners: ports that others may open connections to, and what waits there to be accepted.

use crate::flow::VsockFlow;
use crate::network::Network;
use crate::share::Share;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::task::{Context, Poll};
use flow::sync::Queue;
use flow::{Address, FlowError, Listener, VsockAddress};

/// Yields the connections that others open to one port. Dropping it resets those that were not accepted and closes the
/// port.
pub struct VsockListener {
    pub(crate) network: Rc<Network>,
    pub(crate) accept_queue: Rc<AcceptQueue>,
}

impl Listener for VsockListener {
    type Flow = VsockFlow;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<VsockFlow, FlowError>> {
        self.accept_queue.flows.poll_pop(cx).map(Ok)
    }

    fn local(&self) -> Address {
        let (cid, port) = (self.network.cid.get(), self.accept_queue.port);
        Address::Vsock(VsockAddress { cid, port })
    }
}

/// A listener's queue, which the network fills.
pub(crate) struct AcceptQueue {
    port: u32,
    capacity: usize,
    pub(crate) share: Share,
    flows: Queue<VsockFlow>,
}

impl AcceptQueue {
    pub(crate) fn is_full(&self) -> bool {
        self.flows.len() >= self.capacity
    }

    pub(crate) fn push(&self, flow: VsockFlow) {
        self.flows.push(flow);
    }
}

/// The ports that are listened on: a handful, searched only for requests.
#[derive(Default)]
pub(crate) struct ListenTable(Vec<(u32, Weak<AcceptQueue>)>);

impl ListenTable {
    pub(crate) fn find(&self, port: u32) -> Option<Rc<AcceptQueue>> {
        self.0.iter().find(|(listening, _)| *listening == port)?.1.upgrade()
    }

    /// The connections of each.
    pub(crate) fn shares(&self) -> impl Iterator<Item = Share> {
        self.0.iter().filter_map(|(_, listening)| Some(listening.upgrade()?.share.clone()))
    }

    /// Adds a port, with room for so many connections; `None` when another listener holds it.
    pub(crate) fn open(&mut self, port: u32, capacity: usize) -> Option<Rc<AcceptQueue>> {
        self.0.retain(|(_, accept_queue)| accept_queue.strong_count() > 0);
        if self.find(port).is_some() {
            return None;
        }
        let accept_queue = Rc::new(AcceptQueue {
            port,
            capacity,
            share: Share::default(),
            flows: Queue::default(),
        });
        self.0.push((port, Rc::downgrade(&accept_queue)));
        Some(accept_queue)
    }
}
