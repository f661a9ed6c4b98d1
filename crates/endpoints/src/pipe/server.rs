//! Service server: a handler as a service.

use super::codec::{BoxedNode, Codec};
use super::load::{Load, Slot};
use super::scale::Scale;
use super::service::{Answer, Compress, Marked, ServiceLimits, reply_writer, request_reader};
use crate::supervise::supervised;
use crate::zmq::{Attach, Host, ZmqSocket};
use ::pipe::{Bytes, NodeExt, Piece, map};
use ::zmq::{Message, Received};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;
use flow::ledger::{Holder, ServiceLedger};
use inspect::Metric;
use log::{info, warn};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Serves `handler`, within the default [`ServiceLimits`]: each request is a task of its own, in which it is
/// read, handled and answered. A request that cannot be read is answered with the cause, and one that
/// panics anywhere on that way with an error; neither concerns any other, of the same caller or of
/// others. Callers are [`make_client`](super::make_client), or any REQ or DEALER that sends a byte `p`
/// and a CBOR object.
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
    let scale = Scale::new(host.ledger.as_ref());
    let reader = request_reader(limits, scale.clone());
    let refusals = [HANDLER_FAILED, MEMORY_SHORT].map(|reply| Some(Bytes::from_static(reply)));
    make_server_of(host, handler, how, limits, scale, (reader, reply_writer(), refusals))
}

/// As [`make_server_within`], with a format of its own: `read` makes the node that makes a request of a message, `write` the one that
/// a reply goes through, or the text of an error: that the request cannot be read, that the handler failed, or that there is no memory
/// for it. Of `limits`, nesting and expansion are for the nodes of `read` to keep. A caller whose error cannot be written loses its
/// connection.
pub fn make_server_with<Request, Reply, H>(
    host: &Host,
    handler: H,
    how: impl Attach,
    limits: ServiceLimits,
    read: impl Fn() -> BoxedNode<Piece, Request> + 'static,
    write: impl Fn() -> BoxedNode<Result<Reply, String>, Piece> + 'static,
) -> Service
where
    Request: 'static,
    Reply: 'static,
    H: AsyncFn(Request) -> Reply + 'static,
{
    let mark = |object| Marked { object, compress: Compress::No };
    let reader = Codec::new(move || Box::new(read().then(map(mark))) as BoxedNode<_, _>);
    let answer = |reply: Marked<Answer<Reply>>| reply.object;
    let mut writer = Codec::new(move || Box::new(map(answer).then(write())) as BoxedNode<_, _>);
    // Written now: later there may be no memory, or the handler's own writer is what failed.
    let refusals = ["the handler failed", "the memory for requests is used up now"].map(|why| {
        writer.write(Marked { object: Err(why.to_string()), compress: Compress::No }).ok()
    });
    let scale = Scale::new(host.ledger.as_ref());
    make_server_of(host, handler, how, limits, scale, (reader, writer, refusals))
}

/// How requests are read and replies written, and the replies to requests that failed and to those for which there is no memory.
type Format<Request, Reply> =
    (Codec<Piece, Marked<Request>>, Codec<Marked<Answer<Reply>>, Piece>, [Option<Bytes>; 2]);

fn make_server_of<Request, Reply, H>(
    host: &Host,
    handler: H,
    how: impl Attach,
    limits: ServiceLimits,
    scale: Rc<Scale>,
    (reader, writer, [failed, short]): Format<Request, Reply>,
) -> Service
where
    Request: 'static,
    Reply: 'static,
    H: AsyncFn(Request) -> Reply + 'static,
{
    let socket = ZmqSocket::new(host, limits.options());
    socket.attach(how);
    let load = Load::new(&socket, limits.requests_max);
    let service = Service { host: host.clone(), socket, load };
    let server = Server {
        service: service.clone(),
        handler,
        reader: RefCell::new(reader),
        writer: RefCell::new(writer),
        scale,
        failed,
        short,
    };
    let (server, spawner, timers) = (Rc::new(server), host.spawner.clone(), host.timers.clone());
    host.spawner.spawn("service", async move {
        supervised(&spawner, &timers, "service", async || serve(&server).await).await;
    });
    service
}

/// A running service; it runs on when this is dropped. Clones are the same one.
#[derive(Clone)]
pub struct Service {
    host: Host,
    socket: ZmqSocket,
    load: Rc<Load>,
}

/// The metrics of a service over ZeroMQ.
pub static METRICS: &[Metric<Service>] = &[
    Metric::gauge("zmq_peers", "Callers whose handshake is done.", |it| it.peers() as u64),
    Metric::gauge("zmq_requests_in_flight", "Requests that are being handled.", |it| {
        it.requests() as u64
    }),
    Metric::counter("zmq_requests", "Requests that came.", |it| it.load.begun()),
    Metric::byte_gauge("zmq_held", "What callers make the socket hold.", |it| {
        it.held_bytes() as u64
    }),
    Metric::counter("zmq_dropped", "Messages that were dropped, as the pattern says.", |it| {
        it.socket.dropped()
    }),
];

struct Server<Request, Reply, H> {
    service: Service,
    handler: H,
    reader: RefCell<Codec<Piece, Marked<Request>>>,
    writer: RefCell<Codec<Marked<Answer<Reply>>, Piece>>,
    scale: Rc<Scale>,
    /// The reply to a request that panicked; none if it cannot be written.
    failed: Option<Bytes>,
    /// The reply to a request that comes while memory is short; none likewise.
    short: Option<Bytes>,
}

impl Service {
    /// Has callers come by one more way.
    pub fn attach(&self, how: impl Attach) {
        self.socket.attach(how);
    }

    /// Peers that are connected.
    pub fn peers(&self) -> usize {
        self.socket.ready_peers()
    }

    /// Bytes that all callers make its socket hold; requests that are being handled not among them.
    pub fn held_bytes(&self) -> usize {
        self.socket.held_bytes()
    }

    /// Requests that are being handled.
    pub fn requests(&self) -> usize {
        self.load.live()
    }

    /// Begins to stop: takes no more requests, answers those being handled, and closes all
    /// connections, after `linger` at the latest.
    pub fn drain(&self, linger: Duration) {
        self.load.drain();
        let service = self.clone();
        self.host.spawner.spawn("service stop", async move {
            let deadline = service.host.timers.now().saturating_add(linger);
            let _ = service.host.timers.before(deadline, service.load.is_over()).await;
            let left = deadline.saturating_sub(service.host.timers.now());
            service.socket.close(left).await;
        });
    }

    /// Closes all connections now; requests being handled get no answer.
    pub fn shut(&self) {
        self.socket.shut();
    }
}

/// Makes a task of each request.
async fn serve<Request, Reply, H>(server: &Rc<Server<Request, Reply, H>>)
where
    Request: 'static,
    Reply: 'static,
    H: AsyncFn(Request) -> Reply + 'static,
{
    let Service { host, socket, load } = &server.service;
    loop {
        load.has_room().await;
        let Ok(received) = socket.recv_from().await else {
            return;
        };
        if load.is_draining() {
            return;
        }
        let peer = received.peer;
        // There may be no memory for a task.
        let started = host.spawner.catch(|| {
            let task = handle(server.clone(), Slot::take(load, peer), received);
            host.spawner.spawn("request", task);
        });
        if let Err(failure) = started {
            warn!("service: a request ends its connection: {failure}");
            socket.disconnect(peer);
        }
    }
}

/// Answers a request, or ends its connection when not even that can be done.
async fn handle<Request, Reply, H>(
    server: Rc<Server<Request, Reply, H>>,
    slot: Slot,
    received: Received,
) where
    Request: 'static,
    Reply: 'static,
    H: AsyncFn(Request) -> Reply + 'static,
{
    let Service { host, socket, .. } = &server.service;
    let peer = received.peer;
    let message_bytes = received.message.held_bytes();
    // The route, the caller's envelope, an empty delimiter, the request.
    let mut envelope: Vec<Bytes> = received.message.into_parts().collect();
    let Some(body) = envelope.pop() else {
        return;
    };
    let is_short = host.ledger.as_ref().is_some_and(ServiceLedger::refuses);
    let body = if is_short {
        server.short.clone()
    } else {
        let answered = server.answer(body, socket.holder(peer), message_bytes);
        let answered = host.spawner.catching(answered).await;
        answered.unwrap_or_else(|failure| {
            warn!("service: {failure}");
            server.failed.clone()
        })
    };
    let Some(body) = body else {
        warn!("service: a reply that cannot be written ends its connection");
        socket.disconnect(peer);
        return;
    };
    let sent = host.spawner.catch(|| {
        envelope.push(body);
        if let Some(message) = Message::from_parts(envelope) {
            // A caller that is gone wants no reply.
            let _ = socket.try_send(message);
        }
    });
    if let Err(failure) = sent {
        warn!("service: a reply ends its connection: {failure}");
        socket.disconnect(peer);
    }
    drop(slot);
}

/// The reply to a request that panicked: written here, for where there is no memory, too.
const HANDLER_FAILED: &[u8] = b"e\x72the handler failed";
/// The reply to a request that comes while memory is short.
const MEMORY_SHORT: &[u8] = b"e\x78\x26the memory for requests is used up now";

impl<Request, Reply, H> Server<Request, Reply, H>
where
    Request: 'static,
    Reply: 'static,
    H: AsyncFn(Request) -> Reply + 'static,
{
    /// The reply to a request, as bytes. All foreign code runs in here.
    async fn answer(
        &self,
        body: Bytes,
        holder: Option<Holder>,
        message_bytes: usize,
    ) -> Option<Bytes> {
        let read = || self.reader.borrow_mut().read(body);
        // The weight stays as long as the request.
        let (read, _weight) = self.scale.weigh(holder, message_bytes, read);
        let reply = match read {
            Ok(Marked { object, compress }) => {
                Marked { object: Ok((self.handler)(object).await), compress }
            }
            Err(fault) => {
                info!("service: a request cannot be read: {fault}");
                Marked { object: Err(fault.to_string()), compress: Compress::No }
            }
        };
        let written = self.writer.borrow_mut().write(reply);
        let written = written.or_else(|fault| {
            let object = Err(format!("the reply cannot be sent: {fault}"));
            self.writer.borrow_mut().write(Marked { object, compress: Compress::No })
        });
        written.ok().or_else(|| self.failed.clone())
    }
}
