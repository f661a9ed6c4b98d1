//! Opening handshake (RFC 6455 section 4): an HTTP request that asks for a WebSocket, and the answer to it.
//!
//! For a server, [`accept`] makes a 101 response and what was agreed of a request, or the response that refuses it. For a
//! client, [`Opening`] has the fields of the request and checks the response.

use crate::extension::{self, AgreedDeflate, Deflate};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64, Encoding};
use core::fmt;
use sha1::{Digest, Sha1};
use web::syntax::{is_token, trim};
use web::{ContentLength, Method, RequestHead, Response, Status};

/// The one version there is (section 4.1).
const VERSION: &[u8] = b"13";
/// What the key is hashed with (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A key is so many bytes in base64 (section 4.1), so many characters.
const KEY_BYTES: usize = 16;
const KEY_CHARACTERS: usize = 24;

const ACCEPT: &str = "Sec-WebSocket-Accept";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const KEY: &str = "Sec-WebSocket-Key";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const VERSION_FIELD: &str = "Sec-WebSocket-Version";

/// What a server agrees to.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Subprotocols that it speaks; of those that a client offers the first one that is among them is chosen. A client
    /// that offers none of them gets a connection without one.
    pub protocols: &'static [&'static str],
    /// Whose pages may connect.
    pub origins: Origins,
    /// How messages are compressed; `None` not at all.
    pub deflate: Option<Deflate>,
}

/// Whose pages may connect. A browser sends the origin of the page (RFC 6455 section 10.2), and cookies with it, whoever's
/// page it is; programs send none, and are let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Those of the host that is asked. The scheme is not compared, since TLS may end at a proxy.
    #[default]
    SameHost,
    /// The same and these, as `https://example.com`.
    SameHostAnd(&'static [&'static str]),
    /// These alone.
    These(&'static [&'static str]),
    /// Anybody's. For what needs no cookie.
    Any,
}

/// What was agreed upon.
#[derive(Clone, Debug, Default)]
pub struct Agreed {
    /// The subprotocol.
    pub protocol: Option<String>,
    /// How messages are compressed, if they are.
    pub deflate: Option<AgreedDeflate>,
}

/// Answers a request for a WebSocket: with 101 and what was agreed, to be followed by frames.
///
/// # Errors
/// The response that refuses it: 405 for another method than GET, 426 for a request that does not ask for a WebSocket, or
/// for another version, 403 for another origin, 400 for what is malformed.
pub fn accept(
    request: &RequestHead,
    options: &ServerOptions,
) -> Result<(Response, Agreed), Response> {
    if request.method() != Method::Get {
        return Err(Response::plain(Status::METHOD_NOT_ALLOWED).with_header("Allow", "GET"));
    }
    // Section 4.2.1, items 3 and 4.
    if !request.upgrade().is_some_and(|_| has_upgrade(request.headers_named("upgrade"))) {
        let refusal = Response::plain(Status::UPGRADE_REQUIRED);
        return Err(refusal.with_header("Upgrade", "websocket"));
    }
    // Section 4.4: the version that is spoken is told.
    if only(request.headers_named(VERSION_FIELD)) != Some(VERSION) {
        let refusal = Response::plain(Status::UPGRADE_REQUIRED).with_header("Upgrade", "websocket");
        return Err(refusal.with_header(VERSION_FIELD, VERSION));
    }
    let bad_request = || Response::plain(Status::BAD_REQUEST);
    // What would follow the head is the WebSocket's already, so that there is no content.
    if request.content_length() != ContentLength::Empty {
        return Err(bad_request());
    }
    let key = only(request.headers_named(KEY)).filter(|key| is_key(key)).ok_or_else(bad_request)?;
    if !options.origins.admit(request) {
        return Err(Response::plain(Status::FORBIDDEN));
    }
    let protocol = choose(request.headers_named(PROTOCOL), options.protocols);
    let protocol = protocol.map_err(|Malformed| bad_request())?;
    let offers = request.headers_named(EXTENSIONS);
    let deflate = match &options.deflate {
        Some(deflate) => extension::accept(offers, deflate).map_err(|_| bad_request())?,
        None => None,
    };
    let mut response = Response::new(Status::SWITCHING_PROTOCOLS)
        .with_header("Upgrade", "websocket")
        .with_header(ACCEPT, accept_value(key));
    if let Some(protocol) = protocol {
        response = response.with_header(PROTOCOL, protocol);
    }
    if let Some((_, field)) = &deflate {
        response = response.with_header(EXTENSIONS, field);
    }
    let agreed = Agreed {
        protocol: protocol.map(str::to_owned),
        deflate: deflate.map(|(agreed, _)| agreed),
    };
    Ok((response, agreed))
}

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Subprotocols, the favourite first.
    pub protocols: &'static [&'static str],
    /// How messages are compressed, if the server agrees; `None` not at all.
    pub deflate: Option<Deflate>,
    /// The page that asks, for servers that look at it.
    pub origin: Option<&'static str>,
}

/// A client's handshake: the request that was sent, to check the response by.
#[derive(Debug)]
pub struct Opening {
    key: [u8; KEY_CHARACTERS],
    options: ClientOptions,
}

/// Why a response makes no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The server answers with this status.
    Status(Status),
    /// 101, and not to a request for a WebSocket: `Upgrade` or `Sec-WebSocket-Accept` is not as it should be.
    NoWebSocket,
    /// A subprotocol that was not asked for.
    Protocol,
    /// An extension, or parameters of one, that were not asked for.
    Extension,
}

impl Opening {
    /// A handshake with this random key.
    pub fn new(key: [u8; KEY_BYTES], options: ClientOptions) -> Self {
        let mut encoded = [0; KEY_CHARACTERS];
        let length = Base64::encode(&key, &mut encoded).map(str::len);
        debug_assert_eq!(length, Ok(KEY_CHARACTERS));
        Self { key: encoded, options }
    }

    /// The request's fields, besides `Connection: upgrade` and `Upgrade: websocket`.
    pub fn fields(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut fields = Vec::from([(VERSION_FIELD, VERSION.to_vec()), (KEY, self.key.to_vec())]);
        if !self.options.protocols.is_empty() {
            fields.push((PROTOCOL, self.options.protocols.join(", ").into_bytes()));
        }
        if let Some(deflate) = &self.options.deflate {
            fields.push((EXTENSIONS, extension::offer(deflate).into_bytes()));
        }
        if let Some(origin) = self.options.origin {
            fields.push(("Origin", origin.into()));
        }
        fields
    }

    /// Checks the response (section 4.1). `fields` gives all values of a field by its name.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn check<'a, I: Iterator<Item = &'a [u8]>>(
        &self,
        status: Status,
        fields: impl Fn(&'static str) -> I,
    ) -> Result<Agreed, Refused> {
        if status != Status::SWITCHING_PROTOCOLS {
            return Err(Refused::Status(status));
        }
        let accept = accept_value(&self.key);
        if !has_upgrade(fields("upgrade")) || only(fields(ACCEPT)) != Some(&accept) {
            return Err(Refused::NoWebSocket);
        }
        let protocol = match (only(fields(PROTOCOL)), fields(PROTOCOL).next()) {
            (None, None) => None,
            (protocol, _) => {
                let asked = |own: &&&str| Some(own.as_bytes()) == protocol;
                let chosen = self.options.protocols.iter().find(asked);
                Some((*chosen.ok_or(Refused::Protocol)?).to_owned())
            }
        };
        let deflate = extension::agree(fields(EXTENSIONS), self.options.deflate.as_ref());
        Ok(Agreed { protocol, deflate: deflate.map_err(|_| Refused::Extension)? })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the server answered {}", status.code()),
            Self::NoWebSocket => f.write_str("the server's answer is not one to this handshake"),
            Self::Protocol => f.write_str("the server chose a subprotocol that was not offered"),
            Self::Extension => f.write_str("the server chose an extension that was not offered"),
        }
    }
}

impl core::error::Error for Refused {}

impl Origins {
    fn admit(self, request: &RequestHead) -> bool {
        let mut origins = request.headers_named("origin");
        let Some(origin) = origins.next() else { return true };
        if origins.next().is_some() {
            return false;
        }
        match self {
            Self::Any => true,
            Self::These(these) => is_one_of(origin, these),
            Self::SameHostAnd(these) => {
                is_one_of(origin, these) || is_same_host(origin, request.authority())
            }
            Self::SameHost => is_same_host(origin, request.authority()),
        }
    }
}

fn is_one_of(origin: &[u8], these: &[&str]) -> bool {
    these.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(origin))
}

/// Whether an origin (RFC 6454 section 7) is of this host and port; `null` is of none. A port that is left out on
/// either side is the one of the origin's scheme.
fn is_same_host(origin: &[u8], authority: &[u8]) -> bool {
    let (scheme, default_port) = match origin.first() {
        Some(b'h' | b'H') if starts_with(origin, b"http://") => (b"http://".len(), &b":80"[..]),
        Some(b'h' | b'H') if starts_with(origin, b"https://") => (b"https://".len(), &b":443"[..]),
        _ => return false,
    };
    let host = &origin[scheme..];
    let bare = |host: &[u8]| host.strip_suffix(default_port).unwrap_or(host).to_ascii_lowercase();
    !host.is_empty() && bare(host) == bare(authority)
}

fn starts_with(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.get(..prefix.len()).is_some_and(|front| front.eq_ignore_ascii_case(prefix))
}

/// Whether `websocket` is among the protocols (section 4.2.1), letter case aside.
fn has_upgrade<'a>(fields: impl Iterator<Item = &'a [u8]>) -> bool {
    elements(fields).any(|element| element.eq_ignore_ascii_case(b"websocket"))
}

/// The elements of a list (RFC 9110 section 5.6.1), which may stand in several fields.
fn elements<'a>(fields: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let elements = fields.flat_map(|field| field.split(|byte| *byte == b',')).map(trim);
    elements.filter(|element| !element.is_empty())
}

/// The value of a field that is there once.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let value = values.next();
    if values.next().is_none() { value.map(trim) } else { None }
}

struct Malformed;

/// The first of the client's subprotocols that is ours, too (section 4.2.2, item 5).
fn choose<'a>(
    fields: impl Iterator<Item = &'a [u8]>,
    protocols: &'static [&'static str],
) -> Result<Option<&'static str>, Malformed> {
    let mut chosen = None;
    for offered in elements(fields) {
        if !offered.split(|byte| *byte == b'/').all(is_token) {
            return Err(Malformed);
        }
        let same = protocols.iter().find(|own| own.as_bytes() == offered).copied();
        chosen = chosen.or(same);
    }
    Ok(chosen)
}

fn is_key(key: &[u8]) -> bool {
    let mut decoded = [0; KEY_BYTES + 2];
    key.len() == KEY_CHARACTERS
        && Base64::decode(key, &mut decoded).is_ok_and(|bytes| bytes.len() == KEY_BYTES)
}

/// Section 4.2.2, item 5.4.
fn accept_value(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut encoded = [0; 28];
    let length = Base64::encode(&digest, &mut encoded).map(str::len);
    debug_assert_eq!(length, Ok(28));
    encoded
}

#[cfg(test)]
mod tests;
