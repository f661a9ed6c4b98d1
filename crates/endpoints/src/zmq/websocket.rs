//! ZeroMQ over WebSockets (RFC 45, ZWS 2.0), for programs in browsers.
//!
//! ```
//! use endpoints::websocket::{self, Origins};
//! use endpoints::zmq::{Bind, Host, Options, SocketType, WebSockets, ZmqSocket};
//!
//! # fn serve(host: &Host, web_host: &websocket::Host, routes: web::Routes) -> web::Routes {
//! let options = Options::new(SocketType::Rep);
//! let doors = WebSockets::new(web_host, &options.config, Origins::SameHost);
//! let socket = ZmqSocket::new(host, options);
//! socket.attach(Bind(doors.listener()));
//! routes.get("/zmq", move |request| {
//!     let reply = doors.accept(&request);
//!     async move { reply }
//! })
//! # }
//! ```
//!
//! Each frame is a binary message. Which mechanism there is the subprotocol says: `ZWS2.0/NULL`, `ZWS2.0/PLAIN` or
//! `ZWS2.0/CURVE` as the socket's configuration has it, and for NULL `ZWS2.0`, too, which pages ask for. A client that offers none
//! of them is refused with 400.

use crate::http::client::{Client, ClientError};
use crate::websocket::{
    ByteStream, ClientOptions, ConnectFailed, Framing, Host, Limits, Options, Origins,
};
use ::zmq::{Config, PLAIN_SUBPROTOCOL, WebSocketFraming, websocket_subprotocols};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll};
use flow::sync::WakerSlot;
use flow::{Address, ConnectError, Connector, Flow, FlowError, Listener, Target};
use log::info;
use web::{Reply, Request, Response, Status};

/// Beside a message's content: the flags, what CURVE adds (RFC 26), and envelopes, whose parts are frames of their own.
const FRAME_OVERHEAD: usize = 2048;
/// Connections that wait until the socket takes them, which it does at once while it lives.
const WAITING_MAX: usize = 128;

/// Where WebSockets come in for a socket. Clones are the same.
#[derive(Clone)]
pub struct WebSockets(Rc<Doors>);

struct Doors {
    host: Host,
    config: Config,
    origins: Origins,
    waiting: RefCell<VecDeque<ByteStream>>,
    listener: Cell<WakerSlot>,
    is_open: Cell<bool>,
}

impl WebSockets {
    /// For a socket with these settings, and for pages of these origins; programs may come, too.
    pub fn new(host: &Host, config: &Config, origins: Origins) -> Self {
        Self(Rc::new(Doors {
            host: host.clone(),
            config: config.clone(),
            origins,
            waiting: RefCell::default(),
            listener: Cell::default(),
            is_open: Cell::new(false),
        }))
    }

    /// What the socket is to be bound to. WebSockets are refused with 503 before, and once it is gone.
    pub fn listener(&self) -> WebSocketListener {
        self.0.is_open.set(true);
        WebSocketListener(self.0.clone())
    }

    /// The reply to a request for a WebSocket.
    pub fn accept(&self, request: &Request) -> Reply {
        let doors = &self.0;
        if !doors.is_open.get() || doors.waiting.borrow().len() >= WAITING_MAX {
            return Response::plain(Status::SERVICE_UNAVAILABLE).into();
        }
        let options = Options {
            protocols: websocket_subprotocols(&doors.config.security),
            origins: doors.origins,
            deflate: None,
            limits: limits(&doors.config),
        };
        let (response, agreed) = match doors.host.negotiate(request, &options) {
            Ok(accepted) => accepted,
            Err(refusal) => return refusal.into(),
        };
        let framing = agreed.protocol.as_deref();
        let framing = framing.and_then(|name| WebSocketFraming::new(&doors.config, name));
        let Some(framing) = framing else {
            return Response::plain(Status::BAD_REQUEST).into();
        };
        let doors = doors.clone();
        Reply::upgrade(response, move |flow: Box<dyn Flow>| async move {
            let (peer, local) = (flow.peer(), flow.local());
            let (socket, carrying) = doors.host.open(flow, agreed, options.limits);
            doors.enter(ByteStream::new(socket, peer, local).framed(Frames(framing)));
            carrying.await;
        })
    }
}

impl Doors {
    fn enter(&self, stream: ByteStream) {
        if self.is_open.get() {
            self.waiting.borrow_mut().push_back(stream);
            self.listener.take().wake();
        }
    }
}

/// A frame may be as long as a message; the host's ledger may allow less.
fn limits(config: &Config) -> Limits {
    let message_bytes_max = config.limits.message_bytes_max.saturating_add(FRAME_OVERHEAD);
    Limits { message_bytes_max, ..Limits::default() }
}

/// Yields the WebSockets that came in.
pub struct WebSocketListener(Rc<Doors>);

impl Listener for WebSocketListener {
    type Flow = ByteStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<ByteStream, FlowError>> {
        if let Some(stream) = self.0.waiting.borrow_mut().pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let mut waiting = self.0.listener.take();
        waiting.register(cx);
        self.0.listener.set(waiting);
        Poll::Pending
    }

    /// Whatever HTTP listens on.
    fn local(&self) -> Address {
        Address::Memory(0)
    }
}

impl Drop for WebSocketListener {
    fn drop(&mut self) {
        self.0.is_open.set(false);
        self.0.waiting.take();
    }
}

/// Opens WebSockets at a path of a server, by way of an HTTP client: what `ws://HOST/PATH` is for other ZeroMQ libraries, and
/// `wss://` where the client goes by TLS. For [`Connect`](super::Connect).
#[derive(Clone)]
pub struct WebSocketConnector<N: Connector> {
    host: Host,
    client: Client<N>,
    path: String,
    config: Config,
    protocols: &'static [&'static str],
}

impl<N: Connector> WebSocketConnector<N> {
    /// For a socket with these settings.
    pub fn new(host: &Host, client: &Client<N>, path: &str, config: &Config) -> Self {
        let (path, config) = (path.into(), config.clone());
        let protocols = websocket_subprotocols(&config.security);
        Self { host: host.clone(), client: client.clone(), path, config, protocols }
    }

    /// Offers `ZWS2.0` alone, for servers that take whatever subprotocol is offered first and speak no mechanism, such as
    /// jszmq's. With another mechanism than NULL nothing is connected.
    #[must_use]
    pub fn without_mechanism(mut self) -> Self {
        self.protocols = &[PLAIN_SUBPROTOCOL];
        self
    }
}

impl<N: Connector> Connector for WebSocketConnector<N> {
    type Flow = ByteStream;

    async fn connect(&self, target: &Target) -> Result<ByteStream, ConnectError> {
        let options = ClientOptions { protocols: self.protocols, ..ClientOptions::default() };
        let limits = limits(&self.config);
        let opened = self.host.connect(&self.client, target, &self.path, options, limits).await;
        let socket = opened.map_err(|error| {
            info!("zmq: {target}{}: {error}", self.path);
            match error {
                ConnectFailed::Http(ClientError::Connect(error)) => error,
                _ => ConnectError::Refused,
            }
        })?;
        let framing = socket.protocol();
        let framing = framing.and_then(|name| WebSocketFraming::new(&self.config, name));
        let Some(framing) = framing else {
            info!("zmq: {target}{}: the server speaks no ZWS 2.0", self.path);
            return Err(ConnectError::Refused);
        };
        // Whatever the connection is below: the server's name is that of the HTTP client's target.
        let address = Address::Memory(0);
        Ok(ByteStream::new(socket, address, address).framed(Frames(framing)))
    }
}

/// Those of ZeroMQ.
struct Frames(WebSocketFraming);

impl Framing for Frames {
    fn wanted_bytes(&self) -> usize {
        self.0.wanted_bytes()
    }

    fn advance(&mut self, bytes: &[u8]) -> bool {
        self.0.advance(bytes)
    }

    fn encode(&mut self, message: Vec<u8>) -> Option<Vec<u8>> {
        self.0.encode(message)
    }

    fn decode(&mut self, message: Vec<u8>) -> Option<Vec<u8>> {
        self.0.decode(&message)
    }

    fn preamble(&mut self) -> Vec<u8> {
        self.0.preamble()
    }
}
