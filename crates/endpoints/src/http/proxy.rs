//! HTTP reverse proxy: passes a request on to another server and its answer back, both bodies as streams, and after a
//! switch of protocols, as to WebSocket, whatever comes.

mod forwarded;
mod message;
mod reverse;

pub use reverse::{RequestKey, ReverseProxy, ReverseProxyConfig};

use super::Limits;
use super::client::{self, Client, ClientConfig, ClientError};
use alloc::rc::Rc;
use core::cell::RefCell;
use core::fmt;
use core::time::Duration;
use flow::registry::Label;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{Connector, Target};
use message::{incoming, streamed, text, upload};
use web::{Body, ContentLength, Method, Reply, Request, Status};

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
    /// It says that it goes no further than here.
    AtItsEnd(Method),
    /// It has a method or a target that is not passed on.
    NotForOthers,
    /// Its path goes up again, by `..`: others may take it for one that they are not to be asked for.
    DotSegments,
    /// The other server switches to a protocol that it was not asked for.
    OtherProtocol,
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
        self.reason.status()
    }
}

impl Reason {
    /// What the client is told.
    pub fn status(self) -> Status {
        match self {
            // RFC 5842 section 7.2, RFC 8586 section 2.
            Self::Loop => Status::LOOP_DETECTED,
            // RFC 9110 section 7.6.2: who has it last answers it. No request is looped back here.
            Self::AtItsEnd(Method::Options) => Status::NO_CONTENT,
            Self::NotForOthers | Self::AtItsEnd(_) => Status::NOT_IMPLEMENTED,
            Self::DotSegments => Status::BAD_REQUEST,
            Self::OtherProtocol => Status::BAD_GATEWAY,
            Self::Failed(error) => message::status(error),
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
            Self::AtItsEnd(_) => f.write_str("it goes no further, by its Max-Forwards"),
            Self::NotForOthers => f.write_str("such a request is not passed on"),
            Self::DotSegments => f.write_str("its path has a segment `..`"),
            Self::OtherProtocol => {
                f.write_str("it is switched to a protocol that was not asked for")
            }
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
        let path = message::origin_form(&request);
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
        if message::is_loop(&request, self.name.as_str()) {
            return Err(not_passed(Reason::Loop, request));
        }
        if message::is_at_its_end(&request) {
            return Err(not_passed(Reason::AtItsEnd(request.method()), request));
        }
        // By FastCGI it may have none, where HTTP/1.1 has to (RFC 9112 section 3.2).
        let authority = match request.authority() {
            b"" => Some(target.authority()),
            authority => text(authority),
        };
        let outgoing = authority.and_then(|authority| {
            message::outgoing(&request, &authority, path, self.name.as_str(), |_| true)
        });
        match outgoing {
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
                Ok(answer) => incoming(method, answer).await.map_err(|reason| NotPassed {
                    reason,
                    request,
                    is_untouched: true,
                }),
                Err(error) => Err(failed(error, request, true)),
            };
        }
        // Until a connection is there the body is still to be had back.
        let body = core::mem::replace(request.body(), Body::empty());
        let body = Rc::new(RefCell::new(Some(body)));
        let taken = body.clone();
        let upload = |writer| upload(taken, writer);
        match self.client.send_stream(target, outgoing.carrying(streamed(length)), upload).await {
            Ok(answer) => incoming(method, answer).await.map_err(|reason| NotPassed {
                reason,
                request,
                is_untouched: false,
            }),
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
}

fn failed(error: ClientError, request: Request, is_untouched: bool) -> NotPassed {
    let is_untouched = is_untouched && matches!(error, ClientError::Connect(_));
    NotPassed { reason: Reason::Failed(error), request, is_untouched }
}
