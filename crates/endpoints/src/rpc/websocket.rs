//! Cap'n Proto RPC over WebSockets, for programs in browsers.
//!
//! Binary messages carry the byte stream that a TCP connection would: messages in the standard framing
//! (<https://capnproto.org/encoding.html#serialization-over-a-stream>), not packed. Each that is
//! sent is a WebSocket message of its own. Of what is received the bounds mean nothing: several Cap'n Proto messages may come in
//! one, and one in several. Text is refused with 1003. The
//! subprotocol is [`SUBPROTOCOL`]; a client that offers none is served, too. Messages are not compressed.
//!
//! ```no_run
//! # use endpoints::{rpc::Rpc, websocket::{Host, Origins}};
//! # fn example(routes: web::Routes, rpc: Rpc, host: Host, service: capnp::capability::Client) -> web::Routes {
//! routes.get("/rpc", move |request: web::Request| {
//!     let service = service.clone();
//!     core::future::ready(rpc.accept_websocket(&host, &request, Origins::SameHost, |_| Some(service)))
//! })
//! # }
//! ```

use super::{Peer, Rpc};
use crate::websocket::{
    ByteStream, ClientOptions, ConnectFailed, Framing, Host, Limits, Options, Origins,
};
use ::rpc::MessageBounds;
use alloc::boxed::Box;
use capnp::capability::FromClientHook;
use flow::{Address, Connector, Flow, Target};
use web::{Reply, Request, Response, Status};

/// The name of the subprotocol (RFC 6455 section 1.9). None is registered for Cap'n Proto.
pub const SUBPROTOCOL: &str = "capnp-rpc";

const PROTOCOLS: &[&str] = &[SUBPROTOCOL];

impl Rpc {
    /// The reply to a request for a WebSocket, whose peer is offered what `service` gives for it. Pages of these
    /// origins may connect, and programs. Refused is what [`Host::negotiate`] refuses, and with 503 everybody once the vat
    /// drains.
    pub fn accept_websocket<C: FromClientHook + 'static>(
        &self,
        host: &Host,
        request: &Request,
        origins: Origins,
        service: impl FnOnce(&Peer) -> Option<C> + 'static,
    ) -> Reply {
        if self.shared.draining.get() {
            return Response::plain(Status::SERVICE_UNAVAILABLE).into();
        }
        let options =
            Options { protocols: PROTOCOLS, origins, limits: self.message_limits(), deflate: None };
        let (response, agreed) = match host.negotiate(request, &options) {
            Ok(accepted) => accepted,
            Err(refusal) => return refusal.into(),
        };
        let (rpc, host) = (self.clone(), host.clone());
        Reply::upgrade(response, move |flow: Box<dyn Flow>| async move {
            let (peer, local) = (flow.peer(), flow.local());
            let (socket, carrying) = host.open(flow, agreed, options.limits);
            let stream = ByteStream::new(socket, peer, local).framed(Messages::default());
            rpc.serve_flow(stream, &Peer::unknown(peer), service);
            carrying.await;
        })
    }

    /// Connects to a path of a server and asks for what it offers, as [`connect`](Self::connect) does.
    ///
    /// # Errors
    /// See [`ConnectFailed`].
    pub async fn connect_websocket<N: Connector, C: FromClientHook>(
        &self,
        host: &Host,
        client: &crate::http::client::Client<N>,
        target: &Target,
        path: &str,
    ) -> Result<C, ConnectFailed> {
        let options = ClientOptions { protocols: PROTOCOLS, ..ClientOptions::default() };
        let socket = host.connect(client, target, path, options, self.message_limits()).await?;
        // Whatever the connection is below: the server's name is that of the HTTP client's target.
        let address = Address::Memory(0);
        let stream = ByteStream::new(socket, address, address).framed(Messages::default());
        Ok(self.connect_flow(stream))
    }

    /// A WebSocket's message may be as long as one of the vat's; the host's ledger may allow less.
    fn message_limits(&self) -> Limits {
        Limits { message_bytes_max: self.shared.message_bytes_max, ..Limits::default() }
    }
}

/// Those of Cap'n Proto.
#[derive(Default)]
struct Messages(MessageBounds);

impl Framing for Messages {
    fn wanted_bytes(&self) -> usize {
        self.0.wanted_bytes()
    }

    fn advance(&mut self, bytes: &[u8]) -> bool {
        self.0.advance(bytes)
    }
}
