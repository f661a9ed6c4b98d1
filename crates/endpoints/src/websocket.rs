//! WebSockets (RFC 6455) over flows: each is one straight-line function, over the connection of an HTTP request.
//!
//! ```
//! use endpoints::websocket::{self, Host, Options};
//! use web::{Reply, Request};
//!
//! async fn echo(host: Host, request: Request) -> Reply {
//!     host.accept(&request, Options::default(), async |mut socket| {
//!         while let Some(message) = socket.next().await? {
//!             socket.send(message).await?;
//!         }
//!         Ok(())
//!     })
//! }
//!
//! # fn table(routes: web::Routes, host: &Host) -> web::Routes {
//! # let host = host.clone();
//! routes.get("/echo", move |request| echo(host.clone(), request))
//! # }
//! ```
//!
//! - **Backpressure.** What the function does not take is not read, and [`Socket::send`] waits while the peer takes nothing.
//! - **The end.** [`Socket::next`] gives `None` when the peer has closed the socket, and an error when it failed. A
//!   function that returns closes the socket, with 1000, and with 1011 if it returns an error or panics. It may go on for
//!   as long as it likes after the peer has gone.
//! - **Two directions at once.** [`Socket::split`] gives a [`Reader`] and a [`Writer`]; writers may be cloned, and
//!   used in other tasks.
//! - **Pings** are answered, and sent to who is silent ([`Limits`]), whatever the function waits for.
//! - **Shutdown.** [`Host::drain`] closes all sockets with 1001.
//! - **Memory** is weighed on the host's ledger, and who makes us hold too much is not read for a while, or reset.
//!
//! A socket may also be run by hand: [`Host::negotiate`] answers the request, [`Host::open`] makes a socket of the
//! connection. [`Host::connect`] is the client's side. [`ByteStream`] makes a flow of a socket, for protocols that run over flows.

mod client;
mod driver;
mod socket;
mod stream;

pub use ::websocket::handshake::{Agreed, ClientOptions, Origins, Refused};
pub use ::websocket::{CloseCode, Closure, Deflate, Limits, Message};
pub use client::ConnectFailed;
pub use socket::{Error, Reader, Socket, Writer};
pub use stream::{ByteStream, Framing};

use crate::drive::{Drive, drive};
use ::websocket::handshake::{self, ServerOptions};
use ::websocket::{Connection, Role, Session, SharedCompressor};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;
use core::fmt;
use driver::Driver;
use flow::Flow;
use flow::ledger::ServiceLedger;
use flow::task::Spawner;
use flow::time::Timers;
use socket::Link;
use web::{Reply, RequestHead, Response, Status};

/// What a WebSocket route agrees to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Subprotocols that it speaks. Default none: see [`ServerOptions::protocols`].
    pub protocols: &'static [&'static str],
    /// Whose pages may connect. Default those of the host that is asked.
    pub origins: Origins,
    /// How messages are compressed. Default not at all.
    pub deflate: Option<Deflate>,
    /// Bounds on the peer. Of [`Limits::message_bytes_max`] and what the ledger allows, the less counts.
    pub limits: Limits,
}

/// Where WebSockets run. Clones are the same host.
#[derive(Clone)]
pub struct Host(Rc<HostShared>);

struct HostShared {
    spawner: Spawner,
    timers: Timers,
    entropy: Box<Entropy>,
    ledger: Option<ServiceLedger>,
    compressor: SharedCompressor,
    sockets: Cell<usize>,
    draining: Cell<bool>,
}

/// Fills a buffer with bytes from a cryptographic source.
type Entropy = dyn Fn(&mut [u8]);

impl Host {
    /// A host without sockets. `entropy` fills a buffer with bytes from a cryptographic source; `ledger` weighs what peers
    /// make it hold, and without one only their [`Limits`] bound it.
    pub fn new(
        spawner: &Spawner,
        timers: &Timers,
        entropy: impl Fn(&mut [u8]) + 'static,
        ledger: Option<ServiceLedger>,
    ) -> Self {
        Self(Rc::new(HostShared {
            spawner: spawner.clone(),
            timers: timers.clone(),
            entropy: Box::new(entropy),
            ledger,
            compressor: SharedCompressor::default(),
            sockets: Cell::new(0),
            draining: Cell::new(false),
        }))
    }

    /// The reply to a request for a WebSocket: `handler` is run with it. A request that asks for none is refused.
    pub fn accept<H>(&self, request: &RequestHead, options: Options, handler: H) -> Reply
    where
        H: AsyncFnOnce(Socket) -> Result<(), Error> + 'static,
    {
        match self.negotiate(request, &options) {
            Ok((response, agreed)) => {
                let host = self.clone();
                Reply::upgrade(response, move |flow| {
                    host.run(flow, agreed, options.limits, handler)
                })
            }
            Err(refusal) => refusal.into(),
        }
    }

    /// The answer to a request for a WebSocket, and what was agreed; the connection is then for [`run`](Self::run) or
    /// [`open`](Self::open).
    ///
    /// # Errors
    /// The response that refuses it: see [`handshake::accept`]; 503 while memory is short or the host drains.
    pub fn negotiate(
        &self,
        request: &RequestHead,
        options: &Options,
    ) -> Result<(Response, Agreed), Response> {
        let Options { protocols, origins, deflate, limits: _ } = *options;
        let options = ServerOptions { protocols, origins, deflate };
        let accepted = handshake::accept(request, &options)?;
        let ledger = self.0.ledger.as_ref().filter(|ledger| ledger.refuses());
        ledger.inspect(|ledger| ledger.make_room());
        if ledger.is_some() || self.0.draining.get() {
            let refusal = Response::plain(Status::SERVICE_UNAVAILABLE);
            return Err(refusal.with_header("Retry-After", "1"));
        }
        Ok(accepted)
    }

    /// Runs `handler` with the WebSocket that a connection has become, both in the calling task, until both are done.
    pub async fn run<H>(self, flow: Box<dyn Flow>, agreed: Agreed, limits: Limits, handler: H)
    where
        H: AsyncFnOnce(Socket) -> Result<(), Error> + 'static,
    {
        let link = self.link(Role::Server, agreed, limits);
        let socket = Socket::new(&link);
        // Called in the task, too: what it does first may fail as well as what follows.
        let handler = Box::pin(async move { handler(socket).await });
        let mut connection = self.drive(flow, link, Some(handler));
        (&mut connection).await;
        let (_, mut driver) = connection.into_parts();
        let handler = driver.take_handler();
        // Whoever still waits for the peer learns that it has gone.
        drop(driver);
        if let Some(handler) = handler
            && let Err(error) = self.0.spawner.catching(handler).await
        {
            log::error!("websocket: a handler {error}");
        }
    }

    /// The WebSocket that a connection has become, for any task, and what carries it, to be run in a task of its own. A
    /// socket that is dropped without [`close`](Socket::close) is closed with 1011.
    pub fn open(
        &self,
        flow: Box<dyn Flow>,
        agreed: Agreed,
        limits: Limits,
    ) -> (Socket, impl Future<Output = ()> + use<>) {
        self.open_as(Role::Server, flow, agreed, limits)
    }

    /// Closes all sockets with 1001, and refuses new ones.
    pub fn drain(&self) {
        self.0.draining.set(true);
        self.0.spawner.wake_all();
    }

    /// Sockets that are open.
    pub fn sockets(&self) -> usize {
        self.0.sockets.get()
    }

    fn open_as(
        &self,
        role: Role,
        flow: Box<dyn Flow>,
        agreed: Agreed,
        limits: Limits,
    ) -> (Socket, impl Future<Output = ()> + use<>) {
        let link = self.link(role, agreed, limits);
        let socket = Socket::new(&link);
        (socket, self.drive(flow, link, None))
    }

    fn link(&self, role: Role, agreed: Agreed, limits: Limits) -> Rc<Link> {
        let host = &*self.0;
        let longest = host.ledger.as_ref().map_or(usize::MAX, ServiceLedger::message_bytes_max);
        let message_bytes_max = limits.message_bytes_max.min(longest);
        let deflate = agreed.deflate.map(|agreed| (agreed, host.compressor.clone()));
        let session = Session { role, deflate, limits: Limits { message_bytes_max, ..limits } };
        Link::new(Connection::new(session, host.timers.now()), agreed.protocol, &host.timers)
    }

    fn drive(
        &self,
        flow: Box<dyn Flow>,
        link: Rc<Link>,
        handler: Option<driver::Handler>,
    ) -> Drive<Box<dyn Flow>, Driver> {
        let account = self.0.ledger.as_ref().map(ServiceLedger::account);
        let driver = Driver::new(self.0.clone(), link, flow.peer(), handler);
        drive(flow, driver, &self.0.timers).weighed(account)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({} sockets)", self.sockets())
    }
}
