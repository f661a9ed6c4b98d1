//! Listeners: ports in LISTEN (RFC 9293 section 3.3.2) and their accept queues.

use crate::tcp::flow::TcpFlow;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::net::{Ipv6Addr, SocketAddr};
use core::task::{Context, Poll};
use flow::sync::{Queue, WakerKey};
use flow::{Address, FlowError, Listener};

/// Yields the connections that others open to one port, on every address of the stacks that it
/// listens on. Dropping it resets those that were not accepted and closes the port.
pub struct TcpListener {
    pub(crate) accept_queue: Rc<AcceptQueue>,
}

impl Listener for TcpListener {
    type Flow = TcpFlow;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<TcpFlow, FlowError>> {
        self.accept_queue.flows.poll_pop(cx).map(Ok)
    }

    fn local(&self) -> Address {
        Address::Ip(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), self.accept_queue.port))
    }
}

/// A listener's queue, which the stacks fill.
pub(crate) struct AcceptQueue {
    port: u16,
    capacity: usize,
    flows: Queue<TcpFlow>,
}

impl AcceptQueue {
    pub(crate) fn new(port: u16, capacity: usize) -> Rc<Self> {
        Rc::new(Self { port, capacity, flows: Queue::default() })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Who waits for a connection.
    pub(crate) fn waker(&self) -> Option<WakerKey> {
        self.flows.waker()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    pub(crate) fn push(&self, flow: TcpFlow) {
        self.flows.push(flow);
    }
}

/// The ports that one stack listens on: a handful, searched only for segments that open
/// connections.
#[derive(Default)]
pub(crate) struct ListenTable(Vec<(u16, Weak<AcceptQueue>)>);

impl ListenTable {
    pub(crate) fn find(&self, port: u16) -> Option<Rc<AcceptQueue>> {
        self.0.iter().find(|(listening, _)| *listening == port)?.1.upgrade()
    }

    /// Those that have a listener.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Rc<AcceptQueue>> {
        self.0.iter().filter_map(|(_, queue)| queue.upgrade())
    }

    /// Adds all ports of another stack that have a listener.
    pub(crate) fn open_all(&mut self, others: &Self) {
        for accept_queue in others.0.iter().filter_map(|(_, accept_queue)| accept_queue.upgrade()) {
            self.open(&accept_queue);
        }
    }

    /// Adds the listener's port; false when another listener holds it.
    pub(crate) fn open(&mut self, accept_queue: &Rc<AcceptQueue>) -> bool {
        self.0.retain(|(_, accept_queue)| accept_queue.strong_count() > 0);
        if self.find(accept_queue.port).is_some() {
            return false;
        }
        self.0.push((accept_queue.port, Rc::downgrade(accept_queue)));
        true
    }
}
