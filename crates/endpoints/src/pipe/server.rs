//! Service server: a handler as a service.

use super::codec::Codec;
use super::service::{Answer, Compress, Marked, ServiceLimits, reply_writer, request_reader};
use crate::zmq::{Attach, Host, ZmqSocket};
use ::pipe::{Bytes, Piece};
use ::zmq::Message;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use flow::sync::WakerList;
use log::{info, warn};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Serves `handler`, within the default [`ServiceLimits`]: each request is a task of its own, and one that panics answers its caller
/// with an error. A request that cannot be read is answered with the cause, and then its
/// connection ends. Callers are [`make_client`](super::make_client), or any REQ or DEALER that
/// sends a byte `p` and a CBOR object.
pub fn make_server<Request, Reply, H>(host: &Host, handler: H, how: impl Attach) -> Service
where
    Request: DeserializeOwned + 'static,
    Reply: Serialize + 'static,
    H: AsyncFn(Request) -> Reply + 'static,
{
    make_server_within(host, handler, how, ServiceLimits::default())
}

/// As [`make_server`], within these limits.
pub fn make_server_within<Request, Reply, H>(
    host: &Host,
    handler: H,
    how: impl Attach,
    limits: ServiceLimits,
) -> Service
where
    Request: DeserializeOwned + 'static,
    Reply: Serialize + 'static,
    H: AsyncFn(Request) -> Reply + 'static,
{
    let socket = ZmqSocket::new(host, limits.options());
    socket.attach(how);
    let service = Service { host: host.clone(), socket, load: Rc::default() };
    let server = Server {
        service: service.clone(),
        handler,
        writer: RefCell::new(reply_writer()),
        requests_max: limits.requests_max,
    };
    host.spawner.spawn("service", serve(Rc::new(server), request_reader(limits)));
    service
}

/// A running service; it runs on when this is dropped. Clones are the same one.
#[derive(Clone)]
pub struct Service {
    host: Host,
    socket: ZmqSocket,
    load: Rc<Load>,
}

/// The requests that are being handled.
#[derive(Default)]
struct Load {
    live: Cell<usize>,
    draining: Cell<bool>,
    /// Who waits for there to be fewer.
    waiting: WakerList,
}

struct Server<Reply, H> {
    service: Service,
    handler: H,
    writer: RefCell<Codec<Marked<Answer<Reply>>, Piece>>,
    requests_max: usize,
}

impl Service {
    /// Peers that are connected.
    pub fn peers(&self) -> usize {
        self.socket.ready_peers()
    }

    /// Begins to stop: takes no more requests, answers those being handled, and closes all
    /// connections, after `linger` at the latest.
    pub fn drain(&self, linger: Duration) {
        self.load.draining.set(true);
        self.load.changed();
        let service = self.clone();
        self.host.spawner.spawn("service stop", async move {
            let deadline = service.host.timers.now().saturating_add(linger);
            let _ = service.host.timers.before(deadline, service.load.falls_below(1)).await;
            let left = deadline.saturating_sub(service.host.timers.now());
            service.socket.close(left).await;
        });
    }

    /// Closes all connections now; requests being handled get no answer.
    pub fn shut(&self) {
        self.socket.shut();
    }
}

impl Load {
    fn changed(&self) {
        self.waiting.wake();
    }

    async fn falls_below(&self, count: usize) {
        poll_fn(|cx| {
            if self.live.get() < count {
                return Poll::Ready(());
            }
            self.waiting.register(cx);
            Poll::Pending
        })
        .await;
    }
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
        server.service.load.falls_below(server.requests_max).await;
        let Ok(received) = server.service.socket.recv_from().await else {
            return;
        };
        if server.service.load.draining.get() {
            return;
        }
        // The route, the caller's envelope, an empty delimiter, the request.
        let mut envelope: Vec<Bytes> = received.message.into_parts().collect();
        let Some(body) = envelope.pop() else {
            continue;
        };
        match reader.read(body) {
            Err(fault) => {
                info!("service: a request ends its connection: {fault}");
                let why = Marked { object: Err(fault.to_string()), compress: Compress::No };
                server.reply(envelope, why);
                server.service.socket.disconnect(received.peer);
            }
            Ok(request) => {
                let service = &server.service;
                service.load.live.update(|live| live + 1);
                let task = handle(server.clone(), envelope, request);
                service.host.spawner.spawn("request", task);
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
    let outcome = server.service.host.spawner.catching((server.handler)(request.object)).await;
    let object = outcome.map_err(|failure| {
        warn!("service: {failure}");
        String::from("the handler failed")
    });
    server.reply(envelope, Marked { object, compress });
    server.service.load.live.update(|live| live - 1);
    server.service.load.changed();
}

impl<Reply: Serialize + 'static, H> Server<Reply, H> {
    fn reply(&self, mut envelope: Vec<Bytes>, reply: Marked<Answer<Reply>>) {
        let written = self.writer.borrow_mut().write(reply);
        let body = written.or_else(|fault| {
            let object = Err(format!("the reply cannot be sent: {fault}"));
            self.writer.borrow_mut().write(Marked { object, compress: Compress::No })
        });
        envelope.extend(body);
        if let Some(message) = Message::from_parts(envelope) {
            // A caller that is gone wants no reply.
            let _ = self.service.socket.try_send(message);
        }
    }
}
