//! Messages that are passed on: what of a request and of its answer is for the other end, and what is for one connection.

use super::Reason;
use super::client::{self, ClientError};
use ::http::Error;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::pin;
use core::task::Poll;
use flow::ConnectError;
use flow::task::wait_fn;
use web::{
    Body, Content, ContentLength, ContentWriter, Fields, Method, Reply, Request, Response, Status,
};

/// Fields that belong to one connection, besides those that `Connection` names and those that the
/// protocol cores write themselves (RFC 9110 section 7.6.1).
const OF_THE_CONNECTION: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Who has passed a request on (RFC 8586 section 2).
const CDN_LOOP: &str = "cdn-loop";

/// How much further a request may go.
const MAX_FORWARDS: &str = "Max-Forwards";

/// Servers that a request may have passed; with more it is going round in circles, whoever takes marks off.
const HOPS_MAX: usize = 8;

/// The protocol to which a connection may be switched through the proxy.
const WEBSOCKET: &str = "websocket";

/// Whether the server of that name, or too many others, passed it on already.
pub(super) fn is_loop(request: &Request, name: &str) -> bool {
    let hops = || request.headers_named(CDN_LOOP).flat_map(|line| line.split(|&b| b == b','));
    // cdn-info = cdn-id *( OWS ";" OWS parameter )
    let id = |hop: &'_ [u8]| {
        let end = hop.iter().position(|&byte| byte == b';').unwrap_or(hop.len());
        hop[..end].trim_ascii().eq_ignore_ascii_case(name.as_bytes())
    };
    hops().count() >= HOPS_MAX || hops().any(id)
}

/// Whether it says that it goes no further than here (RFC 9110 section 7.6.2).
pub(super) fn is_at_its_end(request: &Request) -> bool {
    hops_left(request) == Some(0)
}

/// How much further it may go, if it says so: of other methods the field may be ignored (RFC 9110 section 7.6.2).
fn hops_left(request: &Request) -> Option<u32> {
    let is_counted = matches!(request.method(), Method::Options | Method::Trace);
    let digits = request.header(MAX_FORWARDS).filter(|_| is_counted)?;
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    // Of more than fit, fewer may be passed on.
    is_number.then(|| text(digits)?.parse().ok().or(Some(u32::MAX)))?
}

/// The request as the other server gets it, still without its body: those of its fields for the other end that `is_kept` says,
/// and that the server `name` passed it on. None if it cannot be passed on.
pub(super) fn outgoing(
    request: &Request,
    authority: &str,
    path: &str,
    name: &str,
    is_kept: impl Fn(&str) -> bool,
) -> Option<client::Request> {
    let outgoing = client::Request::new(request.method(), authority, path).ok()?;
    let hops = hops_left(request);
    let outgoing = end_to_end(request.headers())
        .filter(|(name, _)| is_kept(name))
        .filter(|(name, _)| hops.is_none() || !name.eq_ignore_ascii_case(MAX_FORWARDS))
        .fold(outgoing, |outgoing, (name, value)| outgoing.with_header(name, value))
        .with_header("CDN-Loop", name);
    let outgoing = match hops {
        Some(left) => outgoing.with_header(MAX_FORWARDS, format!("{}", left.saturating_sub(1))),
        None => outgoing,
    };
    let switches = request
        .upgrade()
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case(WEBSOCKET.as_bytes()));
    Some(if switches { outgoing.upgrading(WEBSOCKET) } else { outgoing })
}

/// What the next server is asked for: path and query, by which the request came here, too. Of an absolute form the rest is for us
/// (RFC 9112 sections 3.2.1 and 3.2.2).
pub(super) fn origin_form(request: &Request) -> Option<String> {
    let path = text(request.path())?;
    match request.query() {
        Some(query) => Some(path + "?" + &text(query)?),
        None => Some(path),
    }
}

/// What the client is told if there is no answer (RFC 9110 sections 15.6.3 to 15.6.5).
pub(super) fn status(error: ClientError) -> Status {
    match error {
        ClientError::Connect(ConnectError::TimedOut) | ClientError::Protocol(Error::Timeout) => {
            Status::GATEWAY_TIMEOUT
        }
        ClientError::NoPlace(_) | ClientError::Connect(ConnectError::Exhausted) => {
            Status::SERVICE_UNAVAILABLE
        }
        // The client's own body broke off.
        ClientError::StreamLength => Status::BAD_REQUEST,
        _ => Status::BAD_GATEWAY,
    }
}

/// Writes the body, once somebody takes it.
pub(super) async fn upload(body: Rc<RefCell<Option<Body>>>, mut writer: ContentWriter) {
    let Some(mut body) = body.take() else { return writer.abandon() };
    loop {
        match body.next().await {
            Ok(Some(piece)) => writer.write(piece).await,
            Ok(None) => return,
            Err(_) => return writer.abandon(),
        }
    }
}

/// The other server's response as the client gets it.
///
/// # Errors
/// It switches to another protocol than that which it was asked for (RFC 9110 section 15.2.2), or what came of its content
/// together with the head is wrong: the client can still be told so.
pub(super) async fn incoming<F: flow::Flow + 'static>(
    method: Method,
    mut answer: client::Response<F>,
) -> Result<Reply, Reason> {
    let response = end_to_end(answer.headers())
        .fold(Response::new(answer.status()), |response, (name, value)| {
            response.with_header(name, value)
        });
    if answer.status() == Status::SWITCHING_PROTOCOLS {
        let to = answer.header("upgrade").unwrap_or_default();
        if !to.eq_ignore_ascii_case(WEBSOCKET.as_bytes()) {
            return Err(Reason::OtherProtocol);
        }
        let response = response.with_header("Upgrade", WEBSOCKET);
        return Ok(Reply::upgrade(response, async |client| {
            let _busy = answer.take_lease();
            let Some(server) = answer.into_flow() else { return };
            if let Err(error) = flow::splice(client, server).await {
                log::debug!("proxy: a connection that was switched broke: {error}");
            }
        }));
    }
    if method == Method::Head {
        let length = answer.header("content-length").and_then(|value| text(value)?.parse().ok());
        return Ok(response.carrying(Content::Stream(length)).into());
    }
    if answer.content_length() == ContentLength::Empty {
        return Ok(response.into());
    }
    let mut first = arrived(&mut answer).await.transpose().map_err(Reason::Failed)?;
    let response = response.carrying(streamed(answer.content_length()));
    Ok(Reply::stream(response, async move |mut writer| {
        loop {
            let next = match first.take() {
                Some(first) => Ok(first),
                None => answer.next().await,
            };
            match next {
                Ok(Some(piece)) => writer.write(piece).await,
                Ok(None) => return,
                Err(error) => {
                    log::info!("proxy: an answer broke off: {error}");
                    return writer.abandon();
                }
            }
        }
    }))
}

/// The next of an answer's content, if it is here already.
async fn arrived<F: flow::Flow + 'static>(
    answer: &mut client::Response<F>,
) -> Option<Result<Option<Vec<u8>>, ClientError>> {
    let mut next = pin!(answer.next());
    wait_fn(|cx| match next.as_mut().poll(cx) {
        Poll::Ready(next) => Poll::Ready(Some(next)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

pub(super) fn streamed(length: ContentLength) -> Content {
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

pub(super) fn text(bytes: &[u8]) -> Option<String> {
    core::str::from_utf8(bytes).ok().map(String::from)
}
