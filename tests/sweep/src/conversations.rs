//! Whole conversations of each protocol, as a client has them, with all that it sees as a text.

use crate::{CERTIFICATE, FASTCGI_PORT, GOPHER_PORT, KEY, VSOCK_PORT, VsockHost, target};
use aqueduct::appliance_capnp::{calculator, directory};
use aqueduct::handlers::transform::Request;
use capnp::capability::FromClientHook;
use endpoints::pipe::{Compress, make_client};
use endpoints::rpc::{Limits, Rpc};
use endpoints::tls::{TlsConfig, TlsConnector};
use endpoints::zmq::Connect;
use flow::memory::MemoryNetwork;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{Connector, Flow, FlowError, Target};
use std::fmt::{Debug, Write};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;
use tls::{ClientContext, ClientOptions, Clock, Identity, Trust};
use vsock::VsockNetwork;

/// What a client needs.
#[derive(Clone)]
pub struct Handle {
    pub(crate) network: MemoryNetwork,
    pub(crate) vsock: VsockNetwork,
    pub(crate) spawner: Spawner,
    pub(crate) timers: Timers,
}

/// A conversation.
pub struct Conversation {
    /// Of which protocol.
    pub name: &'static str,
    pub(crate) talk: fn(Handle) -> Talk,
}

/// What a client saw, or what went wrong.
type Talk = Pin<Box<dyn Future<Output = Result<String, String>>>>;

/// One of each protocol.
pub static CONVERSATIONS: &[Conversation] = &[
    Conversation { name: "http", talk: |handle| Box::pin(http(handle)) },
    Conversation { name: "http by vsock", talk: |handle| Box::pin(http_by_vsock(handle)) },
    Conversation { name: "rpc", talk: |handle| Box::pin(rpc(handle)) },
    Conversation { name: "zmq", talk: |handle| Box::pin(zmq(handle)) },
    Conversation { name: "websocket", talk: |handle| Box::pin(websocket(handle)) },
    Conversation { name: "sessions", talk: |handle| Box::pin(sessions(handle)) },
    Conversation { name: "fastcgi", talk: |handle| Box::pin(fastcgi(handle)) },
    Conversation { name: "gopher", talk: |handle| Box::pin(gopher(handle)) },
];

/// HTTP's by TLS: apart, since a handshake has more allocations than all of them together.
pub static HTTPS: Conversation =
    Conversation { name: "https", talk: |handle| Box::pin(https(handle)) };

/// A page, uploads with and without a length, a handler that waits, a path that is not there, several requests at once,
/// all on one connection.
async fn http(handle: Handle) -> Result<String, String> {
    let flow = handle.network.connect(&target(80)).await.map_err(say)?;
    pages(flow).await
}

/// The same by the host of a virtual machine.
async fn http_by_vsock(handle: Handle) -> Result<String, String> {
    let flow = handle.vsock.connect(&VsockHost::target(VSOCK_PORT)).await.map_err(say)?;
    pages(flow).await
}

/// The same by TLS: a handshake, records, and both ends.
async fn https(handle: Handle) -> Result<String, String> {
    let identity = Identity::from_pem(CERTIFICATE, KEY).map_err(say)?;
    let trust = Trust::fingerprints([identity.fingerprint()]);
    let clock = Clock::new(Duration::from_secs(1_700_000_000));
    let context = ClientContext::new(ClientOptions::new(trust, clock)).map_err(say)?;
    let config = TlsConfig::default();
    let connector = TlsConnector::new(handle.network.clone(), context, config, &handle.timers);
    let flow = connector.connect(&Target::Tls("here".into(), 443)).await.map_err(say)?;
    pages(flow).await
}

async fn pages(mut flow: impl Flow) -> Result<String, String> {
    let body = "water ".repeat(200);
    let requests = [
        "GET /page HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        format!("POST /waits HTTP/1.1\r\nHost: a\r\nContent-Length: 1200\r\n\r\n{body}"),
        "GET /missing HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /page HTTP/1.1\r\nHost: a\r\n\r\nHEAD /page HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        format!(
            "POST /_test/sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4b0\r\n{body}\r\n0\r\n\r\n"
        ),
        "GET /waits HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
    ];
    let mut seen = Vec::new();
    let ended = exchange(&mut flow, requests.concat().as_bytes(), &mut seen).await;
    let seen = undated(&seen);
    ended.map(|()| seen.clone()).map_err(|error| format!("{error} after {seen}"))
}

/// A close frame with 1011 (RFC 6455 section 7.4.1).
const CLOSED_BY_FAILURE: &str = r"\x88\x02\x03\xf3";

/// Messages in fragments, compressed and long, a ping, and a close frame.
async fn websocket(handle: Handle) -> Result<String, String> {
    let mut flow = handle.network.connect(&target(80)).await.map_err(say)?;
    let handshake =
        b"GET /echoes HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let frame = |first: u8, payload: &[u8]| -> Vec<u8> {
        let length = (payload.len() as u16).to_be_bytes();
        let short = [0x80 | payload.len() as u8];
        let length = if payload.len() < 126 { &short[..] } else { &[0xfe, length[0], length[1]] };
        [&[first], length, &[0; 4], payload].concat()
    };
    let bytes = [
        handshake.to_vec(),
        frame(0x01, b"in two "),
        frame(0x89, b"are you there"),
        frame(0x80, b"fragments"),
        frame(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
        frame(0x82, &[5; 3000]),
        // After its echo the server closes the socket, and then the connection, since nobody answers.
        frame(0x82, b""),
    ];
    let mut seen = Vec::new();
    let ended = exchange(&mut flow, &bytes.concat(), &mut seen).await;
    let seen = seen.escape_ascii().to_string();
    let (head, frames) = seen.split_once(r"\r\n\r\n").unwrap_or((&seen, ""));
    let seen = format!("{} {frames}", head.split(r"\r\n").next().unwrap_or(""));
    // What fails is said, before the socket is there and after.
    if seen.starts_with("HTTP/1.1 500 ") || frames.ends_with(CLOSED_BY_FAILURE) {
        return Err(format!("failed after {seen}"));
    }
    ended.map(|()| seen.clone()).map_err(|error| format!("{error} after {seen}"))
}

/// A session from its first visit to its last, on one connection; no conversation has the session of another.
async fn sessions(handle: Handle) -> Result<String, String> {
    static NAMES: AtomicU64 = AtomicU64::new(0);
    let name = NAMES.fetch_add(1, Ordering::Relaxed);
    let mut flow = handle.network.connect(&target(80)).await.map_err(say)?;
    let requests = [
        format!("GET /visits/{name:08} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("POST /visits/{name:08} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nwater"),
        format!("GET /visits/{name:08} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ];
    let mut seen = Vec::new();
    let ended = exchange(&mut flow, requests.concat().as_bytes(), &mut seen).await;
    whole(ended, undated(&seen), "HTTP/1.1 500 ")
}

/// Requests by FastCGI on a connection that is kept: a page, content that a handler waits for, a path that is not there.
async fn fastcgi(handle: Handle) -> Result<String, String> {
    let mut flow = handle.network.connect(&target(FASTCGI_PORT)).await.map_err(say)?;
    let content = "water ".repeat(200);
    let requests = [
        asked_by_fastcgi("GET", "/page", "", true),
        asked_by_fastcgi("POST", "/waits", &content, true),
        asked_by_fastcgi("GET", "/missing", "", true),
        asked_by_fastcgi("GET", "/waits", "", false),
    ];
    let mut all = String::new();
    for request in requests {
        let mut seen = Vec::new();
        let is_whole = |seen: &[u8]| seen.ends_with(ENDED_BY_FASTCGI);
        let ended = exchange_until(&mut flow, &request, &mut seen, is_whole).await;
        all += &undated(&seen);
        ended.map_err(|error| format!("{error} after {all}"))?;
        if !is_whole(&seen) {
            return Err(format!("cut off after {all}"));
        }
    }
    whole(Ok(()), all, "Status: 500 ")
}

/// The record that ends a request: no application's status, and `FCGI_REQUEST_COMPLETE` (FastCGI section 5.5).
const ENDED_BY_FASTCGI: &[u8] = b"\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0";

/// A request's records: BEGIN_REQUEST, PARAMS, STDIN (FastCGI section 5).
pub(crate) fn asked_by_fastcgi(method: &str, path: &str, content: &str, keeps: bool) -> Vec<u8> {
    let length = content.len().to_string();
    let variables = [
        ("REQUEST_METHOD", method),
        ("REQUEST_URI", path),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("CONTENT_LENGTH", if content.is_empty() { "" } else { &length }),
        ("HTTP_HOST", "a"),
    ];
    let mut params = Vec::new();
    for (name, value) in variables {
        params.extend_from_slice(&[name.len() as u8, value.len() as u8]);
        params.extend_from_slice(name.as_bytes());
        params.extend_from_slice(value.as_bytes());
    }
    let record = |kind: u8, content: &[u8]| {
        let [high, low] = (content.len() as u16).to_be_bytes();
        [&[1, kind, 0, 1, high, low, 0, 0], content].concat()
    };
    let mut records = record(1, &[0, 1, u8::from(keeps), 0, 0, 0, 0, 0]);
    records.append(&mut [record(4, &params), record(4, &[])].concat());
    if !content.is_empty() {
        records.append(&mut record(5, content.as_bytes()));
    }
    records.append(&mut record(5, &[]));
    records
}

/// By Gopher, each on a connection of its own: the menu of the site, a page, handlers that wait, and what is not there.
async fn gopher(handle: Handle) -> Result<String, String> {
    let mut all = String::new();
    for selector in ["", "/page", "/waits", "/waits\twith a search", "/missing"] {
        let mut flow = handle.network.connect(&target(GOPHER_PORT)).await.map_err(say)?;
        let mut seen = Vec::new();
        let ended = exchange(&mut flow, format!("{selector}\r\n").as_bytes(), &mut seen).await;
        let seen = String::from_utf8_lossy(&seen);
        write!(all, "{seen}|").map_err(say)?;
        ended.map_err(|error| format!("{error} after {all}"))?;
    }
    whole(Ok(()), all, "3500 ")
}

/// Without the lines that differ from one second to the next.
fn undated(seen: &[u8]) -> String {
    let text = String::from_utf8_lossy(seen);
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect()
}

/// What was seen, unless the conversation was cut off, or has the line by which a handler's failure is said.
fn whole(ended: Result<(), FlowError>, seen: String, failure: &str) -> Result<String, String> {
    // RFC 9112 section 8: without the last chunk the answer is not whole.
    let is_cut = seen.contains("Transfer-Encoding: chunked\r\n") && !seen.contains("\r\n0\r\n\r\n");
    match ended {
        Err(error) => Err(format!("{error} after {seen}")),
        Ok(()) if is_cut => Err(format!("cut off after {seen}")),
        Ok(()) if seen.contains(failure) => Err(format!("failed after {seen}")),
        Ok(()) => Ok(seen),
    }
}

/// Writes `bytes` and reads meanwhile, until the other end ends.
async fn exchange(flow: &mut impl Flow, bytes: &[u8], seen: &mut Vec<u8>) -> Result<(), FlowError> {
    exchange_until(flow, bytes, seen, |_| false).await
}

/// Writes `bytes` and reads meanwhile, until what was read is all, or the other end ends.
async fn exchange_until(
    flow: &mut impl Flow,
    bytes: &[u8],
    seen: &mut Vec<u8>,
    is_all: impl Fn(&[u8]) -> bool,
) -> Result<(), FlowError> {
    let mut rest = bytes;
    poll_fn(|cx| {
        while !rest.is_empty()
            && let Poll::Ready(count) = flow.poll_write(cx, rest)?
        {
            rest = &rest[count..];
        }
        loop {
            let read = flow.poll_read_with(cx, &mut |bytes| {
                seen.extend_from_slice(bytes);
                bytes.len()
            });
            if ready!(read)? == 0 || is_all(seen) {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await
}

/// The directory, a call on a promised object, a long echo, objects in both directions.
async fn rpc(handle: Handle) -> Result<String, String> {
    let vat = Rpc::new(Limits::default(), &handle.spawner, &handle.timers);
    let directory: directory::Client =
        vat.connect(&handle.network, &target(7000)).await.map_err(say)?;
    let mut seen = String::new();
    let listed = directory.list_request().send().promise.await.map_err(say)?;
    for entry in listed.get().map_err(say)?.get_services().map_err(say)?.iter() {
        write!(seen, "{:?} ", entry.get_name().map_err(say)?).map_err(say)?;
    }
    let mut get = directory.get_request();
    get.get().set_name("calculator");
    let calculator: calculator::Client =
        FromClientHook::new(get.send().pipeline.get_service().as_cap());
    let mut echo = calculator.echo_request();
    echo.get().set_data(&[5; 3000]);
    let echo = echo.send().promise;
    let mut values = calculator.values_request();
    let mut numbers = values.get().init_numbers(3);
    (0..3).for_each(|at| numbers.set(at, f64::from(at) + 0.5));
    let values = values.send().promise.await.map_err(say)?;
    let mut function = calculator.function_request();
    function.get().set_operator(calculator::Operator::Add);
    let mut apply = calculator.apply_request();
    apply.get().set_function(function.send().pipeline.get_function());
    let operands = values.get().map_err(say)?.get_values().map_err(say)?;
    let mut passed = apply.get().init_operands(operands.len());
    for at in 0..operands.len() {
        passed.set(at, operands.get(at).map_err(say)?.into_client_hook());
    }
    let sum = apply.send().pipeline.get_value().read_request().send().promise;
    write!(seen, "{:?} ", sum.await.map_err(say)?.get().map_err(say)?.get_number()).map_err(say)?;
    let echoed = echo.await.map_err(say)?;
    let echoed = echoed.get().map_err(say)?.get_data().map_err(say)?;
    assert!(echoed.iter().all(|byte| *byte == 5), "nobody else's bytes");
    write!(seen, "{}", echoed.len()).map_err(say)?;
    Ok(seen)
}

/// Requests plain and compressed, short and long, one of which cannot be answered.
async fn zmq(handle: Handle) -> Result<String, String> {
    let connect = Connect::new(handle.network.clone(), target(5555));
    let service = make_client::<Request, Reply>(&handle.host(), connect);
    let requests = [
        (Request::Upper("water".into()), Compress::No),
        (Request::Echo("long and compressed ".repeat(200)), Compress::Both),
        (Request::Reverse((0..500).collect()), Compress::Reply),
        (Request::Sum(vec![1, 2, 3]), Compress::No),
    ];
    let mut seen = String::new();
    for (request, compress) in requests {
        let reply = service.call(request, compress).await.map_err(say)?;
        write!(seen, "{reply:?} ").map_err(say)?;
    }
    service.close();
    Ok(seen)
}

/// What the transform service answers, as clients read it.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
#[allow(dead_code, reason = "read by `Debug`")]
enum Reply {
    Text(String),
    Numbers(Vec<i64>),
    Number(i64),
}

fn say(error: impl Debug) -> String {
    format!("{error:?}")
}
