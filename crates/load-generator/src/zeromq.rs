//! ZeroMQ: a REQ socket for each connection, whose messages have the request's body as their only part.

use super::calls::{Failed, Protocol, judge};
use ::flow::task::{Spawner, wait_fn};
use ::flow::time::Timers;
use ::flow::{ConnectError, Connector, Flow, Target};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use bytes::Bytes;
use core::cell::RefCell;
use core::pin::pin;
use core::task::Poll;
use endpoints::zmq::{Connect, Error, Host, Options, Reason, SocketType, ZmqSocket};
use load::{Failure, RequestKind};

/// What the sockets of a thread need.
#[derive(Clone)]
pub(crate) struct ZeroMq {
    host: Host,
    target: Target,
}

impl ZeroMq {
    pub(crate) fn new(target: &Target, seed: u64, spawner: &Spawner, timers: &Timers) -> Self {
        // For the jitter of reconnections, and for no secret: the sockets have no keys.
        let random = RefCell::new(fastrand::Rng::with_seed(seed));
        let entropy = Rc::new(move |bytes: &mut [u8]| random.borrow_mut().fill(bytes));
        let host = Host { spawner: spawner.clone(), timers: timers.clone(), entropy, ledger: None };
        Self { host, target: target.clone() }
    }
}

impl Protocol for ZeroMq {
    type Peer = Open;

    fn connect(&self, flow: impl Flow + Unpin + 'static) -> Open {
        let socket = ZmqSocket::new(&self.host, Options::new(SocketType::Req));
        let flow: Box<dyn Flow> = Box::new(flow);
        let connector = Given(Rc::new(RefCell::new(Some(flow))));
        socket.attach(Connect::new(connector, self.target.clone()));
        Open(socket)
    }

    async fn call(Open(socket): &Open, kind: &RequestKind) -> Result<(), Failed> {
        let mut asked = pin!(ask(socket, kind));
        let mut ended = pin!(socket.ended());
        // The socket would wait for another connection, which it does not get: why it lost the only one is what is to be told.
        wait_fn(move |cx| match asked.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => ended.as_mut().poll(cx).map(|reason| Err(lost(&reason))),
        })
        .await
    }
}

async fn ask(socket: &ZmqSocket, kind: &RequestKind) -> Result<(), Failed> {
    let body = Bytes::copy_from_slice(kind.body.as_bytes());
    let sent = socket.send(body).await;
    sent.map_err(|error| Failed::saying(Failure::Reset, "request", &error))?;
    let answer = socket.recv().await;
    let answer = answer.map_err(|error| Failed::saying(Failure::Reset, "reply", &error))?;
    judge(kind, answer.last())
}

/// The only connection has ended.
fn lost(reason: &Reason) -> Failed {
    match reason {
        // RFC 37, "The ERROR command": the handshake is refused.
        Reason::Protocol(Error::Peer(text)) => {
            Failed::saying(Failure::Connect, "ERROR", &format!("the service refuses: {text}"))
        }
        Reason::Protocol(error) => Failed::saying(Failure::Protocol, "connection", error),
        Reason::Peer | Reason::Flow(_) | Reason::Closed => {
            Failed::saying(Failure::Reset, "connection", reason)
        }
    }
}

/// A socket, which is closed when nobody uses it any more.
pub(crate) struct Open(ZmqSocket);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.shut();
    }
}

/// A flow that is there already, once: a socket whose flow is lost is given up, not connected again.
#[derive(Clone)]
struct Given(Rc<RefCell<Option<Box<dyn Flow>>>>);

impl Connector for Given {
    type Flow = Box<dyn Flow>;

    async fn connect(&self, _: &Target) -> Result<Box<dyn Flow>, ConnectError> {
        self.0.borrow_mut().take().ok_or(ConnectError::Refused)
    }
}
