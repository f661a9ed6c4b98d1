//! Socket: what an application has of a WebSocket.

use ::websocket::{CloseCode, Connection, Event, Message, Refused};
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};
use flow::FlowError;
use flow::sync::{WakerList, WakerSlot};
use flow::task::waiting;
use flow::time::Timers;

/// A WebSocket.
pub struct Socket {
    reader: Reader,
    writer: Writer,
}

/// The receiving half of a [`Socket`].
pub struct Reader(Handle);

/// The sending half of a [`Socket`]. Clones send to the same peer.
#[derive(Clone)]
pub struct Writer(Handle);

/// Why nothing is received or sent any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The peer broke the protocol or its limits, did not answer, or ended the connection without closing the socket.
    Failed(::websocket::Error),
    /// The connection broke.
    Flow(FlowError),
    /// Nothing is sent any more, since one side has closed the socket.
    Closed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Flow(error) => error.fmt(f),
            Self::Closed => f.write_str("the socket is closed"),
        }
    }
}

impl core::error::Error for Error {}

impl Socket {
    pub(super) fn new(link: &Rc<Link>) -> Self {
        Self { reader: Reader(Handle::new(link)), writer: Writer(Handle::new(link)) }
    }

    /// The next message; `None` once the peer has closed the socket. Cancel-safe.
    ///
    /// # Errors
    /// The socket failed: see [`Error`].
    #[expect(clippy::should_implement_trait, reason = "it waits, and is no iterator's")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Result<Option<Message>, Error>> {
        waiting(async move { self.reader.next().await })
    }

    /// Sends a message. Returns when it is queued, which waits while the peer is behind. Cancel-safe: a dropped future has
    /// sent nothing.
    ///
    /// # Errors
    /// The socket is closed, or failed.
    #[track_caller]
    pub fn send(&self, message: impl Into<Message>) -> impl Future<Output = Result<(), Error>> {
        waiting(async move { self.writer.send(message).await })
    }

    /// Closes the socket behind what was sent. Messages of the peer still come, until its answer: then
    /// [`next`](Self::next) gives `None`. A reason that is longer than 123 bytes is cut.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.writer.close(code, reason);
    }

    /// The subprotocol that was agreed upon.
    pub fn protocol(&self) -> Option<&str> {
        self.writer.0.link.protocol.as_deref()
    }

    pub(super) fn link(&self) -> &Rc<Link> {
        &self.reader.0.link
    }

    /// Its two halves, to wait for both at once.
    pub fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }
}

impl Reader {
    /// As [`Socket::next`].
    ///
    /// # Errors
    /// See [`Socket::next`].
    #[expect(clippy::should_implement_trait, reason = "it waits, and is no iterator's")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Result<Option<Message>, Error>> {
        waiting(async move { poll_fn(|cx| self.poll_next(cx)).await })
    }

    /// The next message, once it is there.
    pub fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        self.0.link.poll_next(cx)
    }
}

impl Writer {
    /// As [`Socket::send`].
    ///
    /// # Errors
    /// See [`Socket::send`].
    #[track_caller]
    pub fn send(&self, message: impl Into<Message>) -> impl Future<Output = Result<(), Error>> {
        waiting(async move {
            let mut message = Some(message.into());
            poll_fn(|cx| self.0.link.poll_send(cx, &mut message)).await
        })
    }

    /// As [`Socket::close`].
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.0.link.close(code, reason);
    }

    /// Waits until nothing is sent any more, for whoever only sends.
    #[track_caller]
    pub fn closed(&self) -> impl Future<Output = ()> {
        waiting(async move {
            poll_fn(|cx| self.0.link.poll_closed(cx)).await;
        })
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket(..)")
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader(..)")
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer(..)")
    }
}

/// One of the application's hands on the link. The last one that is dropped closes the socket.
struct Handle {
    link: Rc<Link>,
}

impl Handle {
    fn new(link: &Rc<Link>) -> Self {
        link.handles.set(link.handles.get() + 1);
        Self { link: link.clone() }
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(&self.link)
    }
}

impl Drop for Handle {
    /// The driver closes what nobody holds: here a panic, or the want of memory, may be under way.
    fn drop(&mut self) {
        self.link.handles.set(self.link.handles.get() - 1);
        if self.link.is_abandoned() {
            self.link.changed();
        }
    }
}

/// What a socket's application and its driver share.
pub(super) struct Link {
    pub(super) core: RefCell<Connection>,
    timers: Timers,
    protocol: Option<String>,
    handles: Cell<usize>,
    /// Why the transport broke, if it did.
    pub(super) broken: Cell<Option<FlowError>>,
    /// The application runs inside the driver's turn, which looks afterwards at what it did.
    pub(super) is_inside: Cell<bool>,
    /// The application did something since the driver looked.
    pub(super) has_changed: Cell<bool>,
    /// Of a message that the application took and has not read to its end, where that is weighed.
    pub(super) kept_bytes: Cell<usize>,
    /// The peer's last was received.
    end: Cell<Option<Result<(), Error>>>,
    pub(super) driver: Cell<WakerSlot>,
    reader: Cell<WakerSlot>,
    writers: WakerList,
    /// Who waits for the end.
    closers: WakerList,
}

impl Link {
    pub(super) fn new(core: Connection, protocol: Option<String>, timers: &Timers) -> Rc<Self> {
        Rc::new(Self {
            core: RefCell::new(core),
            timers: timers.clone(),
            protocol,
            handles: Cell::new(0),
            broken: Cell::new(None),
            is_inside: Cell::new(false),
            has_changed: Cell::new(false),
            kept_bytes: Cell::new(0),
            end: Cell::new(None),
            driver: Cell::default(),
            reader: Cell::default(),
            writers: WakerList::default(),
            closers: WakerList::default(),
        })
    }

    /// The application has let go of it.
    pub(super) fn is_abandoned(&self) -> bool {
        self.handles.get() == 0
    }

    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        let mut core = self.core.borrow_mut();
        if !core.is_closing() {
            core.close(self.timers.now(), code, reason);
            drop(core);
            self.changed();
        }
    }

    /// Wakes whoever waits for what there is now, but for the task that is `running`. Tasks are woken after the core is let
    /// go.
    pub(super) fn wake_waiting(&self, running: Option<&Context<'_>>) {
        let (has_event, can_send, is_closing) = {
            let core = self.core.borrow();
            (core.has_event(), core.can_send() != Err(Refused::Full), core.is_closing())
        };
        let mut reader = self.reader.take();
        if has_event && !running.is_some_and(|cx| reader.wakes(cx)) {
            reader.wake();
        } else {
            self.reader.set(reader);
        }
        if can_send {
            self.writers.wake();
        }
        if is_closing {
            self.closers.wake();
        }
    }

    /// Nobody carries it any more.
    pub(super) fn end(&self) {
        self.core.borrow_mut().handle_end(self.timers.now());
        self.core.borrow_mut().output_lost(self.timers.now());
        self.wake_waiting(None);
    }

    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        if let Some(end) = self.end.get() {
            return Poll::Ready(end.map(|()| None));
        }
        let event = self.core.borrow_mut().poll_event();
        let Some(event) = event else {
            let mut waiting = self.reader.take();
            waiting.register(cx);
            self.reader.set(waiting);
            return Poll::Pending;
        };
        self.changed();
        Poll::Ready(match event {
            Event::Message(message) => Ok(Some(message)),
            Event::Closed(how) => {
                let end = how.map(drop).map_err(|error| self.failed(error));
                self.end.set(Some(end));
                end.map(|()| None)
            }
        })
    }

    /// Queues a message, or without one waits until one would be taken.
    pub(super) fn poll_send(
        &self,
        cx: &Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), Error>> {
        let mut core = self.core.borrow_mut();
        match core.can_send() {
            Err(Refused::Full) => {
                self.writers.register(cx);
                return Poll::Pending;
            }
            Err(Refused::Closing) => {
                let failure = core.failure().map(|error| self.failed(error));
                return Poll::Ready(Err(failure.unwrap_or(Error::Closed)));
            }
            Ok(()) => {}
        }
        let Some(message) = message.take() else { return Poll::Ready(Ok(())) };
        let sent = core.send(self.timers.now(), message);
        drop(core);
        self.changed();
        Poll::Ready(sent.map_err(|_| Error::Closed))
    }

    /// Waits until all that was queued went to the transport.
    pub(super) fn poll_flushed(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        let core = self.core.borrow();
        if let Some(failure) = core.failure() {
            return Poll::Ready(Err(self.failed(failure)));
        }
        if core.wants_transmit() {
            self.writers.register(cx);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        if self.core.borrow().is_closing() {
            return Poll::Ready(());
        }
        self.closers.register(cx);
        Poll::Pending
    }

    /// The cause, if it is known below the protocol.
    pub(super) fn failed(&self, error: ::websocket::Error) -> Error {
        match self.broken.get() {
            Some(broken) if error == ::websocket::Error::Cut => Error::Flow(broken),
            _ => Error::Failed(error),
        }
    }

    fn changed(&self) {
        self.has_changed.set(true);
        if !self.is_inside.get() {
            self.driver.take().wake();
        }
    }
}
