//! HTTP reverse proxy: passes a request on to another server and its answer back, both bodies as streams, and after a
//! switch of protocols, as to WebSocket, whatever comes.

use super::Limits;
use super::client::{self, Client, ClientConfig, ClientError};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::time::Duration;
use flow::registry::Label;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{Connector, Target};
use web::{
    Body, Content, ContentLength, ContentWriter, Fields, Method, Reply, Request, Response, Status,
};

/// Fields that belong to one connection, besides those that `Connection` names and those that the
/// protocol cores write themselves (RFC 9110 section 7.6.1).
const OF_THE_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"];

/// Who has passed a request on (RFC 8586 section 2).
const CDN_LOOP: &str = "cdn-loop";

/// Servers that a request may have passed; with more it is going round in circles, whoever takes marks off.
const HOPS_MAX: usize = 8;

/// The protocol to which a connection may be switched through the proxy.
const WEBSOCKET: &str = "websocket";

/// Passes requests on. Clones share idle connections.
pub struct Proxy<C: Connector> {
    client: Client<C>,
    name: Label,
}

/// A request that was not answered. It comes back as far as it can be used again.
pub struct NotPassed {
    /// Why.
    pub reason: Reason,
    /// The request; its body is empty if some of it was passed on.
    pub request: Request,
    /// Whether nothing of it was passed on, so that somebody else may have it.
    pub is_untouched: bool,
}

/// Why a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has been here before, or passed too many servers.
    Loop,
    /// It has a method or a target that is not passed on.
    NotForOthers,
    /// The other server cannot be reached, or did not answer.
    Failed(ClientError),
}

impl NotPassed {
    /// Whether the other server could not be reached: what is wrong with the request is not the server's fault.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.reason, Reason::Failed(ClientError::Connect(_)))
    }

    /// What the client is told.
    pub fn status(&self) -> Status {
        match self.reason {
            // RFC 5842 section 7.2, RFC 8586 section 2.
            Reason::Loop => Status::LOOP_DETECTED,
            Reason::NotForOthers => Status::NOT_IMPLEMENTED,
            Reason::Failed(_) => Status::BAD_GATEWAY,
        }
    }
}

impl fmt::Debug for NotPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotPassed({:?})", self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop => f.write_str("it goes round in circles"),
            Self::NotForOthers => f.write_str("such a request is not passed on"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<C: Connector> Clone for Proxy<C> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), name: self.name.clone() }
    }
}

impl<C: Connector + 'static> Proxy<C> {
    /// A proxy that others know by `name`, which has to be its own among them: by that it sees loops.
    pub fn new(
        name: Label,
        connector: C,
        spawner: &Spawner,
        timers: &Timers,
        connect_timeout: Duration,
    ) -> Self {
        // Bodies pass as streams: they may have any length.
        let limits = Limits { body_bytes_max: u64::MAX, ..Limits::default() };
        let config = ClientConfig { limits, connect_timeout, ..ClientConfig::default() };
        Self { client: Client::new(config, connector, spawner, timers), name }
    }

    /// Passes a request on to `target`, as it came.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn pass_on(&self, target: &Target, request: Request) -> Result<Reply, NotPassed> {
        let path = text(request.target());
        self.pass_on_as(target, request, path.as_deref().unwrap_or_default()).await
    }

    /// As [`pass_on`](Self::pass_on), with another path and query.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn pass_on_as(
        &self,
        target: &Target,
        request: Request,
        path: &str,
    ) -> Result<Reply, NotPassed> {
        let not_passed = |reason, request| NotPassed { reason, request, is_untouched: true };
        if self.is_loop(&request) {
            return Err(not_passed(Reason::Loop, request));
        }
        match self.outgoing(target, &request, path) {
            Some(outgoing) => self.send(target, request, outgoing).await,
            None => Err(not_passed(Reason::NotForOthers, request)),
        }
    }

    async fn send(
        &self,
        target: &Target,
        mut request: Request,
        outgoing: client::Request,
    ) -> Result<Reply, NotPassed> {
        let method = request.method();
        let length = request.content_length();
        if length == ContentLength::Empty {
            return match self.client.send(target, outgoing).await {
                Ok(answer) => Ok(incoming(method, answer)),
                Err(error) => Err(failed(error, request, true)),
            };
        }
        // Until a connection is there the body is still to be had back.
        let body = core::mem::replace(request.body(), Body::empty());
        let body = Rc::new(RefCell::new(Some(body)));
        let taken = body.clone();
        let upload = |writer| upload(taken, writer);
        match self.client.send_stream(target, outgoing.carrying(streamed(length)), upload).await {
            Ok(answer) => Ok(incoming(method, answer)),
            Err(error) => {
                let untouched = body.take();
                let is_untouched = untouched.is_some();
                if let Some(body) = untouched {
                    *request.body() = body;
                }
                Err(failed(error, request, is_untouched))
            }
        }
    }

    /// Whether this server, or too many others, passed it on already.
    fn is_loop(&self, request: &Request) -> bool {
        let hops = || request.headers_named(CDN_LOOP).flat_map(|line| line.split(|&b| b == b','));
        // cdn-info = cdn-id *( OWS ";" OWS parameter )
        let id = |hop: &'_ [u8]| {
            let end = hop.iter().position(|&byte| byte == b';').unwrap_or(hop.len());
            hop[..end].trim_ascii().eq_ignore_ascii_case(self.name.as_str().as_bytes())
        };
        hops().count() >= HOPS_MAX || hops().any(id)
    }

    /// The request as the other server gets it, still without its body.
    fn outgoing(&self, target: &Target, request: &Request, path: &str) -> Option<client::Request> {
        // By FastCGI it may have none, where HTTP/1.1 has to (RFC 9112 section 3.2).
        let authority = match request.authority() {
            b"" => target.authority(),
            authority => text(authority)?,
        };
        let outgoing = client::Request::new(request.method(), &authority, path).ok()?;
        let outgoing = end_to_end(request.headers())
            .fold(outgoing, |outgoing, (name, value)| outgoing.with_header(name, value))
            .with_header("CDN-Loop", self.name.as_str());
        let switches = request
            .upgrade()
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case(WEBSOCKET.as_bytes()));
        Some(if switches { outgoing.upgrading(WEBSOCKET) } else { outgoing })
    }
}

/// Writes the body, once somebody takes it.
async fn upload(body: Rc<RefCell<Option<Body>>>, mut writer: ContentWriter) {
    let Some(mut body) = body.take() else { return writer.abandon() };
    loop {
        match body.next().await {
            Ok(Some(piece)) => writer.write(piece).await,
            Ok(None) => return,
            Err(_) => return writer.abandon(),
        }
    }
}

fn failed(error: ClientError, request: Request, is_untouched: bool) -> NotPassed {
    let is_untouched = is_untouched && matches!(error, ClientError::Connect(_));
    NotPassed { reason: Reason::Failed(error), request, is_untouched }
}

/// The other server's response as the client gets it.
fn incoming<F: flow::Flow + 'static>(method: Method, mut answer: client::Response<F>) -> Reply {
    let response = end_to_end(answer.headers())
        .fold(Response::new(answer.status()), |response, (name, value)| {
            response.with_header(name, value)
        });
    if answer.status() == Status::SWITCHING_PROTOCOLS {
        let response = response.with_header("Upgrade", WEBSOCKET);
        return Reply::upgrade(response, async |client| {
            let Some(server) = answer.into_flow() else { return };
            if let Err(error) = flow::splice(client, server).await {
                log::debug!("proxy: a connection that was switched broke: {error}");
            }
        });
    }
    if method == Method::Head {
        let length = answer.header("content-length").and_then(|value| text(value)?.parse().ok());
        return response.carrying(Content::Stream(length)).into();
    }
    if answer.content_length() == ContentLength::Empty {
        return response.into();
    }
    let response = response.carrying(streamed(answer.content_length()));
    Reply::stream(response, async move |mut writer| {
        loop {
            match answer.next().await {
                Ok(Some(piece)) => writer.write(piece).await,
                Ok(None) => return,
                Err(error) => {
                    log::info!("proxy: an answer broke off: {error}");
                    return writer.abandon();
                }
            }
        }
    })
}

fn streamed(length: ContentLength) -> Content {
    Content::Stream(match length {
        ContentLength::Empty => Some(0),
        ContentLength::Known(bytes) => Some(bytes),
        ContentLength::Unknown => None,
    })
}

/// The fields that are for the other end and not for its neighbour.
fn end_to_end(fields: Fields<'_>) -> impl Iterator<Item = (&str, &[u8])> {
    let named: Vec<&[u8]> = fields
        .clone()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"))
        .flat_map(|(_, value)| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    fields.filter_map(move |(name, value)| {
        let is_own = OF_THE_CONNECTION.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(name))
            || named.iter().any(|own| own.eq_ignore_ascii_case(name));
        let name = core::str::from_utf8(name).ok()?;
        (!is_own).then_some((name, value))
    })
}

fn text(bytes: &[u8]) -> Option<String> {
    core::str::from_utf8(bytes).ok().map(String::from)
}
