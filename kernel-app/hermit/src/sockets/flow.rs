//! Flow: one TCP connection of the kernel's.
//!
//! It has no half-close: [`finish`](Flow::finish) ends both directions once all is sent, as the kernel does.

use super::{Place, Reactor, TRANSFER_BYTES};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::{SocketAddr, SocketAddrV4};
use core::task::{Context, Poll, Waker};
use flow::{Address, Flow, FlowError, Unread};
use hermit_system::socket::{Poller, Socket};

/// A flow over a kernel socket.
pub(crate) struct HermitFlow {
    connection: Rc<Connection>,
    /// Bytes read that the task did not consume.
    unread: Unread,
    peer_finished: bool,
    local: SocketAddrV4,
    peer: SocketAddrV4,
}

impl HermitFlow {
    pub(super) fn new(
        reactor: &Reactor,
        place: Place,
        socket: Socket,
        local: SocketAddrV4,
        peer: SocketAddrV4,
    ) -> Self {
        let connection = Rc::new(Connection {
            socket: RefCell::new(Some(socket)),
            unsent: RefCell::default(),
            queued: Cell::new(false),
            finishing: Cell::new(false),
            failed: Cell::new(None),
            reader: Cell::new(None),
            writer: Cell::new(None),
            reactor: reactor.clone(),
            _place: place,
        });
        reactor.0.connections.borrow_mut().push(Rc::downgrade(&connection));
        Self { connection, unread: Unread::default(), peer_finished: false, local, peer }
    }
}

impl Flow for HermitFlow {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        if !self.unread.is_empty() {
            return Poll::Ready(Ok(self.unread.take(take)));
        }
        let connection = &self.connection;
        if let Some(error) = connection.failed.get() {
            return Poll::Ready(Err(error));
        }
        if self.peer_finished || connection.socket.borrow().is_none() {
            take(&mut []);
            return Poll::Ready(Ok(0));
        }
        let unread = &mut self.unread;
        let read = connection.reactor.with_scratch(|scratch| {
            let outcome = match &*connection.socket.borrow() {
                Some(socket) => socket.read(scratch),
                None => Ok(Some(0)),
            };
            outcome.map(|count| {
                count.map(|count| {
                    let consumed = take(&mut scratch[..count]).min(count);
                    unread.keep(&scratch[consumed..count]);
                    (count, consumed)
                })
            })
        });
        match read {
            Ok(Some((0, _))) => {
                self.peer_finished = true;
                Poll::Ready(Ok(0))
            }
            Ok(Some((_, consumed))) => Poll::Ready(Ok(consumed)),
            Ok(None) => {
                connection.reader.set(Some(cx.waker().clone()));
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(connection.fail())),
        }
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        let connection = &self.connection;
        connection.check()?;
        if connection.unsent.borrow().len() >= TRANSFER_BYTES {
            connection.send();
            connection.check()?;
            if connection.unsent.borrow().len() >= TRANSFER_BYTES {
                connection.writer.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
        }
        let written = connection.reactor.with_scratch(|scratch| {
            let space = TRANSFER_BYTES - connection.unsent.borrow().len();
            let written = fill(&mut scratch[..space]).min(space);
            connection.unsent.borrow_mut().extend_from_slice(&scratch[..written]);
            written
        });
        if !connection.queued.replace(true) {
            connection.reactor.0.unsent.borrow_mut().push(Rc::downgrade(connection));
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, FlowError>> {
        let connection = &self.connection;
        connection.check()?;
        let is_sent = connection.send();
        connection.check()?;
        match if is_sent { connection.write(bytes) } else { Ok(None) } {
            Ok(Some(count)) => Poll::Ready(Ok(count)),
            Ok(None) => {
                connection.writer.set(Some(cx.waker().clone()));
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// The kernel does not say when the peer acknowledged; what it took over counts as drained.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        let is_sent = self.connection.send();
        if let Some(error) = self.connection.failed.get() {
            return Poll::Ready(Err(error));
        }
        if is_sent {
            return Poll::Ready(Ok(()));
        }
        self.connection.writer.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn finish(&mut self) {
        self.connection.finishing.set(true);
        self.connection.send();
    }

    /// Unsent bytes are lost; the peer sees an end like any other, since the kernel resets nothing.
    fn abort(&mut self) {
        self.connection.failed.set(Some(FlowError::Closed));
        self.connection.unsent.take();
        self.connection.socket.take();
    }

    fn peer(&self) -> Address {
        Address::Ip(SocketAddr::V4(self.peer))
    }

    fn local(&self) -> Address {
        Address::Ip(SocketAddr::V4(self.local))
    }
}

impl Drop for HermitFlow {
    fn drop(&mut self) {
        let connection = &self.connection;
        if connection.finishing.get() && !connection.send() {
            connection.reactor.0.lingering.borrow_mut().push(connection.clone());
        }
    }
}

/// The connection itself, which the reactor watches, and whose bytes it sends when tasks have run.
pub(super) struct Connection {
    /// None once both directions are finished.
    socket: RefCell<Option<Socket>>,
    unsent: RefCell<Vec<u8>>,
    /// It is in the reactor's list of those that have bytes to send.
    queued: Cell<bool>,
    finishing: Cell<bool>,
    failed: Cell<Option<FlowError>>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
    reactor: Reactor,
    _place: Place,
}

impl Connection {
    /// Whether a task waits, or bytes do.
    pub(super) fn is_waited_for(&self) -> bool {
        self.socket.borrow().is_some() && (is_set(&self.reader) || self.wants_room())
    }

    /// Asks for what is waited for.
    pub(super) fn watch(&self, poller: &mut Poller) {
        if let Some(socket) = &*self.socket.borrow() {
            poller.add(socket, is_set(&self.reader), self.wants_room());
        }
    }

    /// Tells the tasks; whether anything was of use.
    pub(super) fn wake(&self, readable: bool, writable: bool) -> bool {
        let reader = if readable { self.reader.take() } else { None };
        let has_room = writable && self.wants_room();
        if has_room {
            self.send();
        }
        let writer = if writable { self.writer.take() } else { None };
        let any = reader.is_some() || writer.is_some() || has_room;
        reader.into_iter().chain(writer).for_each(Waker::wake);
        any
    }

    /// Sends what a turn's tasks wrote.
    pub(super) fn send_queued(&self) {
        self.queued.set(false);
        self.send();
    }

    /// Hands unsent bytes to the kernel as far as it takes them; whether none is left. The last of a finished flow's
    /// closes it.
    pub(super) fn send(&self) -> bool {
        let mut unsent = self.unsent.take();
        let mut sent = 0;
        while sent < unsent.len() {
            match self.write(&unsent[sent..]) {
                Ok(Some(count)) => sent += count,
                Ok(None) => break,
                Err(_) => sent = unsent.len(),
            }
        }
        unsent.drain(..sent);
        let is_sent = unsent.is_empty();
        *self.unsent.borrow_mut() = unsent;
        if is_sent && self.finishing.get() {
            self.socket.take();
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        is_sent
    }

    /// One write; `None` where there is no room.
    fn write(&self, bytes: &[u8]) -> Result<Option<usize>, FlowError> {
        let written = match &*self.socket.borrow() {
            Some(socket) => socket.write(bytes),
            None => Ok(Some(0)),
        };
        match written {
            // It takes none any more: the peer has finished or reset.
            Ok(Some(0)) | Err(_) => Err(self.fail()),
            Ok(count) => Ok(count),
        }
    }

    fn fail(&self) -> FlowError {
        let error = self.failed.get().unwrap_or(FlowError::Reset);
        self.failed.set(Some(error));
        error
    }

    /// Whether the task may write.
    fn check(&self) -> Result<(), FlowError> {
        match self.failed.get() {
            Some(error) => Err(error),
            None if self.finishing.get() => Err(FlowError::Closed),
            None => Ok(()),
        }
    }

    fn wants_room(&self) -> bool {
        is_set(&self.writer) || !self.queued.get() && !self.unsent.borrow().is_empty()
    }
}

fn is_set(waker: &Cell<Option<Waker>>) -> bool {
    let held = waker.take();
    let is_set = held.is_some();
    waker.set(held);
    is_set
}
