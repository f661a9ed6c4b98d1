//! Service client: a service as an async function.

use super::codec::{BoxedNode, Codec};
use super::service::{Answer, Compress, Marked, reply_reader, request_writer};
use crate::supervise::supervised;
use crate::zmq::{Attach, Host, ZmqSocket};
use ::pipe::{Bytes, Fault, NodeExt, Piece, map};
use ::zmq::{Message, Options, PeerId, Received, SocketType};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use flow::sync::OneShot;
use flow::task::waiting;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Connects to a service (or waits for it, by [`Bind`](crate::zmq::Bind)).
pub fn make_client<Request, Reply>(host: &Host, how: impl Attach) -> Client<Request, Reply>
where
    Request: Serialize + 'static,
    Reply: DeserializeOwned + 'static,
{
    make_client_of(host, how, request_writer(), reply_reader())
}

/// As [`make_client`], of a service with a format of its own, as [`make_server_with`](super::make_server_with) serves one: `write`
/// makes the node that a request goes through on its way, `read` the one that makes a reply of a message, or an error's text, which
/// the caller hears as [`CallFailed::Remote`]. Each call has one message for its request and one for its reply. What a call says of
/// compression is without effect: the format's nodes decide.
pub fn make_client_with<Request: 'static, Reply: 'static>(
    host: &Host,
    how: impl Attach,
    write: impl Fn() -> BoxedNode<Request, Piece> + 'static,
    read: impl Fn() -> BoxedNode<Piece, Result<Reply, String>> + 'static,
) -> Client<Request, Reply> {
    let object = |request: Marked<Request>| request.object;
    let writer = Codec::new(move || Box::new(map(object).then(write())) as BoxedNode<_, _>);
    make_client_of(host, how, writer, Codec::new(read))
}

fn make_client_of<Request: 'static, Reply: 'static>(
    host: &Host,
    how: impl Attach,
    writer: Codec<Marked<Request>, Piece>,
    reader: Codec<Piece, Answer<Reply>>,
) -> Client<Request, Reply> {
    let options = Options { tells_moves: true, ..Options::new(SocketType::Dealer) };
    let socket = ZmqSocket::new(host, options);
    socket.attach(how);
    let inner = Rc::new(Inner {
        host: host.clone(),
        socket,
        writer: RefCell::new(writer),
        reader: RefCell::new(reader),
        calls: RefCell::default(),
        last_call: Cell::new(0),
    });
    let (calls, spawner, timers) = (inner.clone(), host.spawner.clone(), host.timers.clone());
    host.spawner.spawn("calls", async move {
        supervised(&spawner, &timers, "calls", async || receive(&calls).await).await;
    });
    Client { owner: Rc::new(Owner(inner)), timeout: Duration::from_secs(30) }
}

/// A remote function. Clones share its connections, which close with the last of them; any
/// number of calls may be under way.
pub struct Client<Request, Reply> {
    owner: Rc<Owner<Request, Reply>>,
    timeout: Duration,
}

/// Why a call gave no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallFailed {
    /// None came in time: no service, a lost connection, a slow handler. It is not known
    /// whether the request was handled.
    TimedOut,
    /// The service says why it has none.
    Remote(String),
    /// The request could not be written.
    Request(Fault),
    /// The reply could not be read.
    Reply(Fault),
    /// The client is closed.
    Closed,
}

/// What all clones share. The task that receives replies holds only what is inside.
struct Owner<Request, Reply>(Rc<Inner<Request, Reply>>);

impl<Request, Reply> Drop for Owner<Request, Reply> {
    fn drop(&mut self) {
        self.0.socket.shut();
    }
}

struct Inner<Request, Reply> {
    host: Host,
    socket: ZmqSocket,
    writer: RefCell<Codec<Marked<Request>, Piece>>,
    reader: RefCell<Codec<Piece, Answer<Reply>>>,
    calls: RefCell<BTreeMap<u64, Call>>,
    last_call: Cell<u64>,
}

/// A call that waits for its reply.
#[derive(Default)]
struct Call {
    /// Whose reply is taken: that of nobody else.
    asked: Cell<Option<PeerId>>,
    /// Where the task that receives leaves the reply, as it came: to read it is the caller's work, and a
    /// panic in that the caller's.
    reply: OneShot<Result<Bytes, CallFailed>>,
}

impl<Request: 'static, Reply: 'static> Client<Request, Reply> {
    /// The same with another limit on how long a call takes; the default is 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends a request and waits for its reply. Dropping the future gives the call up.
    #[track_caller]
    pub fn call(
        &self,
        request: Request,
        compress: Compress,
    ) -> impl Future<Output = Result<Reply, CallFailed>> {
        waiting(async move {
            let inner = &*self.owner.0;
            let written = inner.writer.borrow_mut().write(Marked { object: request, compress });
            let body = written.map_err(CallFailed::Request)?;
            let number = inner.last_call.get() + 1;
            inner.last_call.set(number);
            inner.calls.borrow_mut().insert(number, Call::default());
            let _guard = Forget { inner, number };
            let deadline = inner.host.timers.now().saturating_add(self.timeout);
            let reply = async {
                let id = Bytes::copy_from_slice(&number.to_be_bytes());
                let message = Message::from_parts([id, Bytes::new(), body]);
                let message = message.ok_or(CallFailed::Closed)?;
                let asked = inner.socket.send_to(message).await.map_err(|_| CallFailed::Closed)?;
                inner.asked(number, asked);
                inner.reply_to(number).await
            };
            let outcome = inner.host.timers.before(deadline, reply).await;
            let reply = outcome.unwrap_or(Err(CallFailed::TimedOut))?;
            let read = inner.reader.borrow_mut().read(reply);
            read.map_err(CallFailed::Reply)?.map_err(CallFailed::Remote)
        })
    }

    /// Bytes that its socket holds: see [`Socket::held_bytes`](crate::zmq::Socket::held_bytes).
    pub fn held_bytes(&self) -> usize {
        self.owner.0.socket.held_bytes()
    }

    /// Ends all calls and connections.
    pub fn close(self) {
        self.owner.0.socket.shut();
    }
}

impl<Request, Reply> Clone for Client<Request, Reply> {
    fn clone(&self) -> Self {
        Self { owner: self.owner.clone(), timeout: self.timeout }
    }
}

impl<Request, Reply> Inner<Request, Reply> {
    async fn reply_to(&self, number: u64) -> Result<Bytes, CallFailed> {
        poll_fn(|cx| match self.calls.borrow().get(&number) {
            Some(call) => call.reply.poll_take(cx),
            None => Poll::Ready(Err(CallFailed::Closed)),
        })
        .await
    }

    fn asked(&self, number: u64, peer: Option<PeerId>) {
        if let Some(call) = self.calls.borrow().get(&number) {
            call.asked.set(peer);
        }
    }

    /// Hands a reply to its call, if it is from whom that asked. What is no reply to a call that waits is
    /// nobody's.
    fn replied(&self, id: &Bytes, peer: PeerId, body: &Bytes) {
        // A call of which nothing had been sent when its peer was lost asks another.
        while let Some((id, peer)) = self.socket.poll_moved() {
            if let Some(number) = call_number(&id) {
                self.asked(number, Some(peer));
            }
        }
        let calls = self.calls.borrow();
        if let Some(call) = call_number(id).and_then(|number| calls.get(&number))
            && call.asked.get() == Some(peer)
        {
            call.reply.set(Ok(body.clone()));
        }
    }
}

/// Hands each reply to its call.
async fn receive<Request, Reply>(inner: &Inner<Request, Reply>) {
    while let Ok(Received { peer, message, .. }) = inner.socket.recv_from().await {
        inner.replied(message.first(), peer, message.last());
    }
    for call in inner.calls.borrow().values() {
        call.reply.set(Err(CallFailed::Closed));
    }
}

/// The number of a call, which is its envelope.
fn call_number(id: &Bytes) -> Option<u64> {
    id[..].try_into().map(u64::from_be_bytes).ok()
}

/// Forgets a call that is over, however it ended.
struct Forget<'a, Request, Reply> {
    inner: &'a Inner<Request, Reply>,
    number: u64,
}

impl<Request, Reply> Drop for Forget<'_, Request, Reply> {
    fn drop(&mut self) {
        self.inner.calls.borrow_mut().remove(&self.number);
    }
}

impl fmt::Display for CallFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no reply in time"),
            Self::Remote(why) => write!(f, "the service says: {why}"),
            Self::Request(fault) => write!(f, "the request cannot be sent: {fault}"),
            Self::Reply(fault) => write!(f, "the reply cannot be read: {fault}"),
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl core::error::Error for CallFailed {}
