//! Listener: a listening socket of the kernel's.

use super::Reactor;
use super::flow::HermitFlow;
use alloc::format;
use alloc::rc::Rc;
use aqueduct::platform::ListenError;
use core::cell::{Cell, RefCell};
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::task::{Context, Poll, Waker, ready};
use flow::{Address, FlowError, Listener};
use hermit_system::socket::Socket;

/// Listens on a kernel socket.
pub(crate) struct HermitListener {
    reactor: Reactor,
    queue: Rc<Queue>,
    port: u16,
}

/// What the reactor sees of it: at most one connection that was accepted and not taken.
pub(super) struct Queue {
    socket: Socket,
    next: RefCell<Option<(Socket, SocketAddrV4)>>,
    waiting: Cell<Option<Waker>>,
}

impl HermitListener {
    /// Listens on a port of all addresses, with room for `backlog` connections that nobody accepted yet, or for as many as
    /// memory allows.
    pub(crate) fn bind(reactor: &Reactor, port: u16, backlog: usize) -> Result<Self, ListenError> {
        let backlog = backlog.clamp(1, reactor.0.backlog_max);
        let socket = Socket::listen(port, backlog as u16)
            .map_err(|error| ListenError::Other(format!("listening: {error}").into()))?;
        let queue = Rc::new(Queue { socket, next: RefCell::new(None), waiting: Cell::new(None) });
        reactor.0.queues.borrow_mut().push(Rc::downgrade(&queue));
        Ok(Self { reactor: reactor.clone(), queue, port })
    }
}

impl Listener for HermitListener {
    type Flow = HermitFlow;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<HermitFlow, FlowError>> {
        let place = ready!(self.reactor.poll_place(cx));
        self.queue.look();
        let Some((socket, peer)) = self.queue.next.take() else {
            self.queue.waiting.set(Some(cx.waker().clone()));
            return Poll::Pending;
        };
        let local = socket.local().unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, self.port));
        Poll::Ready(Ok(HermitFlow::new(&self.reactor, place, socket, local, peer)))
    }

    fn local(&self) -> Address {
        Address::Ip(SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port)))
    }
}

impl Queue {
    /// Accepts the next connection, if there is one and who takes it; whether somebody was woken for it. The kernel's
    /// `poll` looks at the first place of a listener's queue only, so it is not asked.
    pub(super) fn look(&self) -> bool {
        if self.next.borrow().is_some() {
            return false;
        }
        match self.socket.accept() {
            Ok(Some(next)) => {
                *self.next.borrow_mut() = Some(next);
                self.waiting.take().map(Waker::wake).is_some()
            }
            Ok(None) => false,
            // A connection that died in the queue is not the listener's failure.
            Err(error) => {
                log::debug!("cannot accept a connection: {error}");
                false
            }
        }
    }
}
