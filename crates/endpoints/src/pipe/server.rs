//! A handler as a service.

use super::codec::Codec;
use super::service::{Answer, Compress, Marked, reply_writer, request_reader};
use crate::zmq::{Attach, Host, ZmqSocket};
use ::pipe::{Bytes, Piece};
use ::zmq::{Message, Options, SocketType};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use log::warn;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Requests being handled at a time; further ones wait in their connections. 1,024: each costs
/// a task and its request.
const REQUESTS_MAX: usize = 1024;

/// Serves `handler`: each request is a task of its own, and one that panics answers its caller
/// with an error. Callers are [`make_client`](super::make_client), or any REQ or DEALER that
/// sends a byte `p` and a CBOR object. Ends when the socket that it gives is closed.
pub fn make_server<Request, Reply, H>(host: &Host, handler: H, how: impl Attach) -> ZmqSocket
where
    Request: DeserializeOwned + 'static,
    Reply: Serialize + 'static,
    H: AsyncFn(Request) -> Reply + 'static,
{
    let mut options = Options::new(SocketType::Router);
    // A reply waits for room instead of being dropped.
    options.router_mandatory = true;
    let socket = ZmqSocket::new(host, options);
    socket.attach(how);
    let server = Server {
        host: host.clone(),
        socket: socket.clone(),
        handler,
        writer: RefCell::new(reply_writer()),
        live: Cell::new(0),
        room: Cell::new(None),
    };
    host.spawner.spawn("service", serve(Rc::new(server), request_reader()));
    socket
}

struct Server<Reply, H> {
    host: Host,
    socket: ZmqSocket,
    handler: H,
    writer: RefCell<Codec<Marked<Answer<Reply>>, Piece>>,
    live: Cell<usize>,
    room: Cell<Option<Waker>>,
}

async fn serve<Request, Reply, H>(
    server: Rc<Server<Reply, H>>,
    mut reader: Codec<Piece, Marked<Request>>,
) where
    Request: DeserializeOwned + 'static,
    Reply: Serialize + 'static,
    H: AsyncFn(Request) -> Reply + 'static,
{
    loop {
        poll_fn(|cx| {
            if server.live.get() < REQUESTS_MAX {
                return Poll::Ready(());
            }
            server.room.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        let Ok(message) = server.socket.recv().await else {
            return;
        };
        // The route, the caller's envelope, an empty delimiter, the request.
        let mut envelope: Vec<Bytes> = message.into_parts().collect();
        let Some(body) = envelope.pop() else {
            continue;
        };
        match reader.read(body) {
            Err(fault) => {
                let why = Marked { object: Err(fault.to_string()), compress: Compress::No };
                server.reply(envelope, why).await;
            }
            Ok(request) => {
                server.live.set(server.live.get() + 1);
                let task = handle(server.clone(), envelope, request);
                server.host.spawner.spawn("request", task);
            }
        }
    }
}

async fn handle<Request, Reply, H>(
    server: Rc<Server<Reply, H>>,
    envelope: Vec<Bytes>,
    request: Marked<Request>,
) where
    Reply: Serialize + 'static,
    H: AsyncFn(Request) -> Reply + 'static,
{
    let compress = request.compress;
    let outcome = server.host.spawner.catching((server.handler)(request.object)).await;
    let object = outcome.map_err(|failure| {
        warn!("service: {failure}");
        String::from("the handler failed")
    });
    server.reply(envelope, Marked { object, compress }).await;
    server.live.set(server.live.get() - 1);
    if let Some(waker) = server.room.take() {
        waker.wake();
    }
}

impl<Reply: Serialize + 'static, H> Server<Reply, H> {
    async fn reply(&self, mut envelope: Vec<Bytes>, reply: Marked<Answer<Reply>>) {
        let written = self.writer.borrow_mut().write(reply);
        let body = written.or_else(|fault| {
            let object = Err(format!("the reply cannot be sent: {fault}"));
            self.writer.borrow_mut().write(Marked { object, compress: Compress::No })
        });
        envelope.extend(body);
        if let Some(message) = Message::from_parts(envelope) {
            // A caller that is gone wants no reply.
            let _ = self.socket.send(message).await;
        }
    }
}
