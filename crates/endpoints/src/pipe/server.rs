//! Service server: a handler as a service.

use super::codec::Codec;
use super::load::{Load, Slot};
use super::scale::Scale;
use super::service::{Answer, Compress, Marked, ServiceLimits, reply_writer, request_reader};
use crate::supervise::supervised;
use crate::zmq::{Attach, Host, ZmqSocket};
use ::pipe::{Bytes, Piece};
use ::zmq::{Message, Received};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
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
    let socket = ZmqSocket::new(host, limits.options());
    socket.attach(how);
    let load = Load::new(&socket, limits.requests_max);
    let service = Service { host: host.clone(), socket, load };
    let scale = Scale::new(host.ledger.as_ref());
    let server = Server {
        service: service.clone(),
        handler,
        reader: RefCell::new(request_reader(limits, scale.clone())),
        writer: RefCell::new(reply_writer()),
        scale,
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
    Request: DeserializeOwned + 'static,
    Reply: Serialize + 'static,
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
    Request: DeserializeOwned + 'static,
    Reply: Serialize + 'static,
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
        Bytes::from_static(MEMORY_SHORT)
    } else {
        let answered = server.answer(body, socket.holder(peer), message_bytes);
        let answered = host.spawner.catching(answered).await;
        answered.unwrap_or_else(|failure| {
            warn!("service: {failure}");
            Bytes::from_static(HANDLER_FAILED)
        })
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
    Request: DeserializeOwned + 'static,
    Reply: Serialize + 'static,
    H: AsyncFn(Request) -> Reply + 'static,
{
    /// The reply to a request, as bytes. All foreign code runs in here.
    async fn answer(&self, body: Bytes, holder: Option<Holder>, message_bytes: usize) -> Bytes {
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
        written.unwrap_or(Bytes::from_static(HANDLER_FAILED))
    }
}
