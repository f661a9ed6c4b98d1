//! Reverse proxy of a service: each request goes to one of the service's places.

use super::message::{self, incoming, streamed, text, upload};
use super::{Reason, forwarded};
use crate::http::client::{self, BalancedClient};
use crate::places::{Places, hash_key};
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use flow::Connector;
use web::{Body, ContentLength, Reply, Request, Response};

/// Passes requests on to a service that has several places. Clones share places and idle connections.
pub struct ReverseProxy<C: Connector> {
    client: BalancedClient<C>,
    config: Rc<ReverseProxyConfig>,
}

/// How requests are passed on.
#[derive(Clone, Debug)]
pub struct ReverseProxyConfig {
    /// What this server is called in `Via` (RFC 9110 section 7.6.3): a token.
    pub name: String,
    /// By which it knows a request that it has passed on already (RFC 8586): a token that nobody else has.
    pub id: String,
    /// What is taken off the front of a path before it is passed on.
    pub strip_prefix: String,
    /// Whether clients are proxies themselves, who say for whom they ask.
    pub trusts_clients: bool,
    /// What requests have in common that are to go to the same place, for
    /// [`Policy::ConsistentHash`](crate::places::Policy::ConsistentHash).
    pub key: RequestKey,
}

/// What requests have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequestKey {
    /// The client's address.
    #[default]
    Client,
    /// The path.
    Path,
    /// A field of the request, by its name. A request without it goes anywhere.
    Header(String),
    /// A cookie, by its name, likewise.
    Cookie(String),
}

impl<C: Connector> Clone for ReverseProxy<C> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), config: self.config.clone() }
    }
}

impl<C: Connector + 'static> ReverseProxy<C> {
    /// A proxy over a client of the service. Its limits on bodies are those of answers.
    pub fn new(client: BalancedClient<C>, config: ReverseProxyConfig) -> Self {
        Self { client, config: Rc::new(config) }
    }

    /// Where requests go.
    pub fn places(&self) -> &Places {
        self.client.places()
    }

    /// The answer of one of the places, or 502, 503 or 504, whose reason is in the log.
    pub async fn answer(&self, request: Request) -> Reply {
        match self.pass_on(request).await {
            Ok(reply) => reply,
            Err(reason) => {
                let status = reason.status();
                log::info!("{}: answered {}: {reason}", self.places().name(), status.code());
                Response::plain(status).into()
            }
        }
    }

    async fn pass_on(&self, mut request: Request) -> Result<Reply, Reason> {
        if message::is_loop(&request, &self.config.id) {
            return Err(Reason::Loop);
        }
        if message::is_at_its_end(&request) {
            return Err(Reason::AtItsEnd(request.method()));
        }
        if has_dot_segments(request.path()) {
            return Err(Reason::DotSegments);
        }
        let outgoing = self.outgoing(&request).ok_or(Reason::NotForOthers)?;
        let (method, key) = (request.method(), self.key(&request));
        let answer = match request.content_length() {
            ContentLength::Empty => self.client.send(outgoing, key).await,
            length => {
                let body = core::mem::replace(request.body(), Body::empty());
                // A try that comes to no connection takes nothing of it.
                let body = Rc::new(RefCell::new(Some(body)));
                let upload = move |writer| upload(body.clone(), writer);
                self.client.send_stream(outgoing.carrying(streamed(length)), key, upload).await
            }
        };
        let mut reply = incoming(method, answer.map_err(Reason::Failed)?).await?;
        // RFC 9110 section 7.6.3: the answer came by HTTP/1.1, too.
        let via = alloc::format!("1.1 {}", self.config.name);
        reply.response = reply.response.with_header("Via", via);
        Ok(reply)
    }

    fn outgoing(&self, request: &Request) -> Option<client::Request> {
        let ReverseProxyConfig { name, id, strip_prefix, trusts_clients, key: _ } = &*self.config;
        let path = path(&message::origin_form(request)?, strip_prefix);
        // By FastCGI or HTTP/1.0 it may have none.
        let authority = match request.authority() {
            b"" => "localhost".into(),
            authority => text(authority)?,
        };
        let is_kept = |field: &str| forwarded::is_kept(field, *trusts_clients);
        let outgoing = message::outgoing(request, &authority, &path, id, is_kept)?;
        Some(forwarded::told(outgoing, request, name, *trusts_clients))
    }

    fn key(&self, request: &Request) -> Option<u64> {
        match &self.config.key {
            RequestKey::Client => {
                request.peer().ip().map(|address| hash_key(alloc::format!("{address}").as_bytes()))
            }
            RequestKey::Path => Some(hash_key(request.path())),
            RequestKey::Header(name) => request.header(name).map(hash_key),
            RequestKey::Cookie(name) => request.cookie(name).map(hash_key),
        }
    }
}

/// Whether a path has a segment that is removed together with the one before it (RFC 3986 section 5.2.4), also by those who
/// decode it first, or take a backslash for a slash. Clients have removed them already.
fn has_dot_segments(path: &[u8]) -> bool {
    path.split(|byte| b"/\\".contains(byte)).any(|segment| {
        let decoded = web::percent::decode_leniently(segment);
        decoded.split(|byte| b"/\\;".contains(byte)).any(|part| part == b"..")
    })
}

/// A target without what is in front of it. It is absolute all the same.
fn path(target: &str, strip_prefix: &str) -> String {
    let rest = target.strip_prefix(strip_prefix.trim_end_matches('/')).unwrap_or(target);
    if rest.starts_with('/') || rest == "*" { rest.into() } else { alloc::format!("/{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3986_5_2_4_paths_that_go_up_again_are_seen_however_they_are_written() {
        for path in
            ["/..", "/a/../b", "/a/%2e%2E/b", "/a/.%2e", "/a%2f..%2fb", "/a\\..\\b", "/a/..;x/b"]
        {
            assert!(has_dot_segments(path.as_bytes()), "{path}");
        }
        for path in ["/", "/a..b/c", "/...", "/a/./b", "/%zz", "*"] {
            assert!(!has_dot_segments(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn prefixes_are_taken_off_and_what_is_left_is_a_path() {
        for (target, prefix, expected) in [
            ("/api/x?y", "/api", "/x?y"),
            ("/api/x", "/api/", "/x"),
            ("/api", "/api", "/"),
            ("/api?q=1", "/api", "/?q=1"),
            ("/other", "/api", "/other"),
            ("/x", "", "/x"),
            ("/x", "/", "/x"),
            ("*", "", "*"),
        ] {
            assert_eq!(path(target, prefix), expected, "{target} {prefix}");
        }
    }
}
