//! Connections that others open, until somebody accepts them.

use crate::tcp::flow::TcpFlow;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::{Ipv6Addr, SocketAddr};
use core::task::{Context, Poll, Waker};
use flow::{Address, FlowError, Listener};

/// Yields the connections that others open to one port, on every address of the stacks that it
/// listens on. Dropping it resets those that were not accepted and closes the port.
pub struct TcpListener {
    pub(crate) backlog: Rc<Backlog>,
}

impl Listener for TcpListener {
    type Flow = TcpFlow;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<TcpFlow, FlowError>> {
        let mut queue = self.backlog.queue.borrow_mut();
        if let Some(flow) = queue.flows.pop_front() {
            return Poll::Ready(Ok(flow));
        }
        queue.acceptor = Some(cx.waker().clone());
        Poll::Pending
    }

    fn local(&self) -> Address {
        Address::Ip(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), self.backlog.port))
    }
}

/// A listener's queue, which the stacks fill.
pub(crate) struct Backlog {
    port: u16,
    capacity: usize,
    queue: RefCell<Queue>,
}

#[derive(Default)]
struct Queue {
    flows: VecDeque<TcpFlow>,
    acceptor: Option<Waker>,
}

impl Backlog {
    pub(crate) fn new(port: u16, capacity: usize) -> Rc<Self> {
        Rc::new(Self { port, capacity, queue: RefCell::default() })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.borrow().flows.len() >= self.capacity
    }

    pub(crate) fn push(&self, flow: TcpFlow) {
        let mut queue = self.queue.borrow_mut();
        queue.flows.push_back(flow);
        let acceptor = queue.acceptor.take();
        drop(queue);
        if let Some(acceptor) = acceptor {
            acceptor.wake();
        }
    }
}

/// The ports that one stack listens on: a handful, searched only for segments that open
/// connections.
#[derive(Default)]
pub(crate) struct Ports(Vec<(u16, Weak<Backlog>)>);

impl Ports {
    pub(crate) fn find(&self, port: u16) -> Option<Rc<Backlog>> {
        self.0.iter().find(|(listening, _)| *listening == port)?.1.upgrade()
    }

    /// Adds all ports of another stack that have a listener.
    pub(crate) fn open_all(&mut self, others: &Self) {
        for backlog in others.0.iter().filter_map(|(_, backlog)| backlog.upgrade()) {
            self.open(&backlog);
        }
    }

    /// Adds the listener's port; false when another listener holds it.
    pub(crate) fn open(&mut self, backlog: &Rc<Backlog>) -> bool {
        self.0.retain(|(_, backlog)| backlog.strong_count() > 0);
        if self.find(backlog.port).is_some() {
            return false;
        }
        self.0.push((backlog.port, Rc::downgrade(backlog)));
        true
    }
}
