//! Whole conversations of each protocol, as a client has them, with all that it sees as a text.

use crate::target;
use aqueduct::appliance_capnp::{calculator, directory};
use aqueduct::handlers::transform::Request;
use capnp::capability::FromClientHook;
use endpoints::pipe::{Compress, make_client};
use endpoints::rpc::{Limits, Rpc};
use endpoints::zmq::Connect;
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::task::Spawner;
use flow::time::Timers;
use flow::{Connector, Flow, FlowError};
use std::fmt::{Debug, Write};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

/// What a client needs.
#[derive(Clone)]
pub struct Handle {
    pub(crate) network: MemoryNetwork,
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
    Conversation { name: "rpc", talk: |handle| Box::pin(rpc(handle)) },
    Conversation { name: "zmq", talk: |handle| Box::pin(zmq(handle)) },
    Conversation { name: "websocket", talk: |handle| Box::pin(websocket(handle)) },
];

/// A page, uploads with and without a length, a handler that waits, a path that is not there, several requests at once,
/// all on one connection.
async fn http(handle: Handle) -> Result<String, String> {
    let mut flow = handle.network.connect(&target(80)).await.map_err(say)?;
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
    let seen = String::from_utf8_lossy(&seen);
    let lines = seen.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: "));
    let seen: String = lines.collect();
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

/// Writes `bytes` and reads meanwhile, until the other end ends.
async fn exchange(
    flow: &mut MemoryFlow,
    bytes: &[u8],
    seen: &mut Vec<u8>,
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
            if ready!(read)? == 0 {
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
