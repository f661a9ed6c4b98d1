//! ZeroMQ sockets over flows.
//!
//! A [`ZmqSocket`] may bind any number of listeners and connect to any number of targets; each
//! connection is a task, and one that we opened is opened again when it is lost. [`WebSockets`] lets pages in.

mod attach;
mod driver;
mod follow;
mod stream;
mod websocket;

pub use attach::{Attach, Backoff, Bind, Connect};
pub use driver::Reason;
pub use follow::Follow;
pub use stream::{Incoming, Outgoing};
pub use websocket::{WebSocketConnector, WebSocketListener, WebSockets};
pub use zmq::*;

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use flow::Address;
use flow::ledger::{Account, Holder, ServiceLedger};
use flow::sync::{Notify, WakerList};
use flow::task::waiting;
use flow::task::{Spawner, TaskId};
use flow::time::Timers;
use log::info;

/// What a socket needs of the place it runs in. Clones are the same place.
#[derive(Clone)]
pub struct Host {
    /// Makes the tasks.
    pub spawner: Spawner,
    /// Tells the time.
    pub timers: Timers,
    /// Fills a buffer with bytes from a cryptographic source.
    pub entropy: Entropy,
    /// Weighs what peers make the sockets hold; none: nothing but their own limits bounds it.
    pub ledger: Option<ServiceLedger>,
}

/// Fills a buffer with bytes from a cryptographic source.
pub type Entropy = Rc<dyn Fn(&mut [u8])>;

/// A ZeroMQ socket. Clones are the same socket; all its tasks end when it is closed.
#[derive(Clone)]
pub struct ZmqSocket(Rc<Shared>);

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailed {
    /// The pattern does not allow it now, or ever.
    Refused(Refusal),
    /// The socket is closed.
    Closed,
}

/// Why no message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvFailed {
    /// The pattern does not allow it now, or the peer that was to reply is gone.
    Refused(RecvError),
    /// The socket is closed.
    Closed,
}

struct Shared {
    host: Host,
    socket: RefCell<Socket>,
    // The tasks that carry bytes, by the peers they do it for.
    carriers: RefCell<BTreeMap<PeerId, Carrier>>,
    // What is left of peers that are gone.
    left: Option<Account>,
    receivers: WakerList,
    senders: WakerList,
    // Why the latest connection ended, and who waits to be told.
    ended: RefCell<Option<Reason>>,
    ends: Notify,
    // Who waits for there to be no carriers any more.
    closer: Notify,
    tasks: RefCell<Vec<TaskId>>,
    closing: Cell<Closing>,
    // While it drains: messages of a lost peer wait, and connections stay open for them.
    unsent_waits: Cell<bool>,
}

/// The task of a connection, as the socket knows it.
struct Carrier {
    waker: Waker,
    address: Address,
    /// Takes weights on the peer's account.
    holder: Option<Holder>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// What is queued still goes out.
    Draining,
    Now,
}

impl ZmqSocket {
    /// A socket without peers.
    pub fn new(host: &Host, options: Options) -> Self {
        Self(Rc::new(Shared {
            host: host.clone(),
            socket: RefCell::new(Socket::new(options)),
            carriers: RefCell::default(),
            left: host.ledger.as_ref().map(ServiceLedger::account),
            receivers: WakerList::default(),
            senders: WakerList::default(),
            ended: RefCell::default(),
            ends: Notify::default(),
            closer: Notify::default(),
            tasks: RefCell::default(),
            closing: Cell::new(Closing::No),
            unsent_waits: Cell::new(false),
        }))
    }

    /// Binds or connects: see [`Bind`] and [`Connect`].
    pub fn attach(&self, how: impl Attach) {
        how.attach(self);
    }

    /// Sends a message, waiting for a peer with room where the pattern says so. Cancel-safe: a
    /// dropped future has sent nothing.
    #[track_caller]
    pub fn send(
        &self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<(), SendFailed>> {
        waiting(async move { self.sending(message.into(), Socket::send).await })
    }

    /// As [`ZmqSocket::send`], and says to whom; to nobody where the pattern drops the message.
    #[track_caller]
    pub fn send_to(
        &self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<Option<PeerId>, SendFailed>> {
        waiting(async move {
            self.sending(message.into(), |socket, message| socket.send_start(message, 0)).await
        })
    }

    /// See [`Socket::poll_moved`].
    pub fn poll_moved(&self) -> Option<(Bytes, PeerId)> {
        self.0.socket.borrow_mut().poll_moved()
    }

    /// Receives a message. Cancel-safe.
    #[track_caller]
    pub fn recv(&self) -> impl Future<Output = Result<Message, RecvFailed>> {
        waiting(async move {
            let received = self.receiving(Socket::recv_whole).await?;
            self.0.weigh(received.peer);
            Ok(received.message)
        })
    }

    /// Receives a message, and says from whom. Cancel-safe.
    #[track_caller]
    pub fn recv_from(&self) -> impl Future<Output = Result<Received, RecvFailed>> {
        waiting(async move {
            let received = self.receiving(Socket::recv_from).await?;
            self.0.weigh(received.peer);
            Ok(received)
        })
    }

    /// Weighs bytes that are held for a peer beside what the socket holds, until the weight is dropped;
    /// those of a peer that is gone with what is left of all such. None: nothing is weighed.
    pub fn holder(&self, peer: PeerId) -> Option<Holder> {
        let carriers = self.0.carriers.borrow();
        match carriers.get(&peer) {
            Some(carrier) => carrier.holder.clone(),
            None => self.0.left.as_ref().map(Account::holder),
        }
    }

    /// See [`Socket::hold_back`].
    pub fn hold_back(&self, peer: PeerId, is_held: bool) {
        self.0.with(|socket| socket.hold_back(peer, is_held));
    }

    /// Ends the connection to a peer, once what is queued for it has gone out.
    pub fn disconnect(&self, peer: PeerId) {
        self.0.with(|socket| socket.disconnect(peer));
    }

    /// Waits until one of its connections has ended that nobody was told of, and says why: of several the latest. For one task.
    #[track_caller]
    pub fn ended(&self) -> impl Future<Output = Reason> {
        waiting(async move {
            loop {
                if let Some(reason) = self.0.ended.take() {
                    return reason;
                }
                self.0.ends.notified().await;
            }
        })
    }

    /// Waits until `send` takes the message.
    async fn sending<T>(
        &self,
        message: Message,
        send: impl Fn(&mut Socket, Message) -> Result<T, Refused>,
    ) -> Result<T, SendFailed> {
        let mut message = Some(message);
        poll_fn(|cx| {
            let Some(next) = message.take() else {
                return Poll::Ready(Err(SendFailed::Closed));
            };
            if self.0.is_closing() {
                return Poll::Ready(Err(SendFailed::Closed));
            }
            match self.0.with(|socket| send(socket, next)) {
                Ok(sent) => Poll::Ready(Ok(sent)),
                Err(Refused { message: back, why: Refusal::Full }) => {
                    message = Some(back);
                    self.0.senders.register(cx);
                    Poll::Pending
                }
                Err(refused) => Poll::Ready(Err(SendFailed::Refused(refused.why))),
            }
        })
        .await
    }

    /// Waits until `receive` has something.
    async fn receiving<T>(
        &self,
        receive: impl Fn(&mut Socket) -> Result<T, RecvError>,
    ) -> Result<T, RecvFailed> {
        poll_fn(|cx| match self.0.with(&receive) {
            Ok(received) => Poll::Ready(Ok(received)),
            Err(_) if self.0.is_closing() => Poll::Ready(Err(RecvFailed::Closed)),
            Err(RecvError::Empty) => {
                self.0.receivers.register(cx);
                Poll::Pending
            }
            Err(refused) => Poll::Ready(Err(RecvFailed::Refused(refused))),
        })
        .await
    }

    /// Sends a message if that can be done at once.
    pub fn try_send(&self, message: Message) -> Result<(), Refused> {
        if self.0.is_closing() {
            return Err(Refused { message, why: Refusal::Full });
        }
        self.0.with(|socket| socket.send(message))
    }

    /// SUB and XSUB: see [`Socket::subscribe`].
    pub fn subscribe(&self, prefix: impl Into<Bytes>) {
        self.0.with(|socket| socket.subscribe(prefix));
    }

    /// SUB and XSUB: see [`Socket::unsubscribe`].
    pub fn unsubscribe(&self, prefix: &[u8]) {
        self.0.with(|socket| socket.unsubscribe(prefix));
    }

    /// Peers whose handshake is done.
    pub fn ready_peers(&self) -> usize {
        self.0.socket.borrow().ready_peers()
    }

    /// Bytes that all peers make it hold: see [`Socket::held_bytes`].
    pub fn held_bytes(&self) -> usize {
        self.0.socket.borrow().held_bytes()
    }

    /// Messages dropped as the pattern says: see [`Socket::dropped`].
    pub fn dropped(&self) -> u64 {
        self.0.socket.borrow().dropped()
    }

    /// Takes no more messages, sends what is queued for at most `linger`, and closes all connections. What a
    /// lost peer left waits for another, or for that one to come back.
    pub async fn close(self, linger: Duration) {
        let shared = &self.0;
        shared.closing.set(Closing::Draining);
        shared.unsent_waits.set(shared.has_unsent());
        let deadline = shared.host.timers.now().saturating_add(linger);
        shared.wake_all();
        let carried = async {
            while !shared.carriers.borrow().is_empty() || shared.has_unsent() {
                shared.closer.notified().await;
            }
        };
        // What is left at the deadline is cut off.
        let _ = shared.host.timers.before(deadline, carried).await;
        self.shut();
    }

    /// Closes all connections now; what is queued is lost.
    pub fn shut(&self) {
        let shared = &self.0;
        shared.closing.set(Closing::Now);
        shared.wake_all();
        for task in shared.tasks.take() {
            shared.host.spawner.cancel(task);
        }
    }
}

impl Shared {
    /// Works on the socket and wakes whom that concerns.
    fn with<R>(&self, work: impl FnOnce(&mut Socket) -> R) -> R {
        let mut socket = self.socket.borrow_mut();
        let result = work(&mut socket);
        while let Some(wake) = socket.poll_event() {
            match wake {
                SocketEvent::Recv => self.receivers.wake(),
                SocketEvent::Send => self.senders.wake(),
                SocketEvent::Transmit(id) | SocketEvent::Input(id) => {
                    if let Some(carrier) = self.carriers.borrow().get(&id) {
                        carrier.waker.wake_by_ref();
                    }
                }
                SocketEvent::Refused(id) => {
                    if let Some(Carrier { address, .. }) = self.carriers.borrow().get(&id) {
                        info!("zmq: {address}: subscriptions are refused: too many, or too long");
                    }
                }
            }
        }
        if let Some(left) = &self.left {
            left.set(socket.left_bytes());
        }
        if self.closing.get() == Closing::Draining {
            let has_unsent = socket.has_unsent();
            drop(socket);
            if self.unsent_waits.replace(has_unsent) && !has_unsent {
                self.wake_all();
            }
        }
        result
    }

    /// Something was taken from a peer: it holds less than its connection said last.
    fn weigh(&self, peer: PeerId) {
        if let Some(Carrier { holder: Some(holder), .. }) = self.carriers.borrow().get(&peer) {
            holder.set(self.socket.borrow().peer_held_bytes(peer));
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.get() != Closing::No
    }

    /// Messages of a lost peer wait for another.
    fn has_unsent(&self) -> bool {
        self.socket.borrow().has_unsent()
    }

    /// Nothing is left to send.
    fn has_drained(&self) -> bool {
        self.closing.get() == Closing::Now
            || self.closing.get() == Closing::Draining && !self.has_unsent()
    }

    fn is_closed(&self) -> bool {
        self.closing.get() == Closing::Now
    }

    fn wake_all(&self) {
        self.receivers.wake();
        self.senders.wake();
        for carrier in self.carriers.borrow().values() {
            carrier.waker.wake_by_ref();
        }
    }

    fn now(&self) -> Duration {
        self.host.timers.now()
    }
}

impl fmt::Display for SendFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::Closed => f.write_str("the socket is closed"),
        }
    }
}

impl core::error::Error for SendFailed {}

impl fmt::Display for RecvFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::Closed => f.write_str("the socket is closed"),
        }
    }
}

impl core::error::Error for RecvFailed {}

#[cfg(test)]
pub(crate) mod tests;
