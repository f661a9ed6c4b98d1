//! Peers that ask for as much as they can and take nothing, of each protocol.

use crate::conversations::{Handle, asked_by_fastcgi};
use crate::{FASTCGI_PORT, GOPHER_PORT, target};
use aqueduct::appliance_capnp::calculator;
use aqueduct::appliance_capnp::directory;
use capnp::capability::FromClientHook;
use endpoints::rpc::{Limits, Rpc};
use flow::memory::{self, MemoryFlow};
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Address, Connector, Flow, FlowError};
use std::task::{Context, Poll, Waker, ready};

/// Bytes of a call that are sent back.
const CALL_BYTES: usize = 50_000;

/// A peer that takes nothing.
pub struct Hog {
    /// What it does.
    pub name: &'static str,
    start: fn(Handle) -> Push,
}

/// Sends what it can; how much.
type Push = Box<dyn FnMut() -> usize>;

impl Hog {
    /// Begins; each call sends as much as the appliance takes.
    pub fn start(&self, handle: Handle) -> Box<dyn FnMut() -> usize> {
        (self.start)(handle)
    }
}

/// Of each protocol one or more.
pub static HOGS: &[Hog] = &[
    Hog { name: "http: uploads that are sent back", start: |handle| raw(handle, 80, upload()) },
    Hog { name: "rpc: calls that are sent back", start: echo_calls },
    Hog {
        name: "zmq: requests that are sent back",
        start: |handle| raw(handle, 5555, requests(500_000)),
    },
    Hog { name: "zmq: parts without bytes", start: |handle| raw(handle, 5555, empty_parts()) },
    Hog {
        name: "fastcgi: uploads that are sent back",
        start: |handle| raw(handle, FASTCGI_PORT, records()),
    },
    Hog {
        name: "gopher: selectors without an end",
        start: |handle| {
            raw(handle, GOPHER_PORT, Said { first: Vec::new(), again: vec![b'a'; 900] })
        },
    },
    Hog { name: "sessions: visitors who do not wait", start: |handle| raw(handle, 80, visits()) },
];

/// What a peer says that takes nothing, as bytes for a socket: first, and then over and over.
pub struct Speech {
    /// The service.
    pub name: &'static str,
    /// Its usual port.
    pub port: u16,
    /// First.
    pub first: Vec<u8>,
    /// Then, over and over.
    pub again: Vec<u8>,
}

/// One for each protocol.
pub fn speeches() -> [Speech; 3] {
    /// Some 20 MB of calls: more than one peer may make the appliance hold.
    const CALLS: usize = 400;
    let Said { first: dealer, again: requests } = requests(500_000);
    [
        Speech { name: "http", port: 80, first: Vec::new(), again: upload().again },
        Speech { name: "rpc", port: 7000, first: rpc_calls(CALLS), again: Vec::new() },
        Speech { name: "zmq", port: 5555, first: dealer, again: requests },
    ]
}

/// Small requests beside, that are answered: a service's object, and a word that is sent back.
pub fn small_requests() -> [Speech; 2] {
    let Said { first, again } = requests(5);
    let zmq = Speech { name: "zmq", port: 5555, first: [first, again].concat(), again: Vec::new() };
    [Speech { name: "rpc", port: 7000, first: rpc_calls(0), again: Vec::new() }, zmq]
}

/// What a client vat says that asks for the calculator and has it send so many long texts back.
fn rpc_calls(count: usize) -> Vec<u8> {
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let vat = Rpc::new(Limits::default(), &executor.spawner(), &Timers::new());
    let (near, mut far) = memory::pair((count + 1) * 2 * CALL_BYTES);
    let directory: directory::Client = vat.connect_flow(near);
    let mut get = directory.get_request();
    get.get().set_name("calculator");
    let calculator: calculator::Client =
        FromClientHook::new(get.send().pipeline.get_service().as_cap());
    let echo = |_| {
        let mut echo = calculator.echo_request();
        echo.get().set_data(&[5; CALL_BYTES]);
        echo.send().promise
    };
    let _calls: Vec<_> = (0..count).map(echo).collect();
    executor.run_until_stalled();
    let mut said = Vec::new();
    let read = far.poll_read_with(&mut Context::from_waker(Waker::noop()), &mut |bytes| {
        said.extend_from_slice(bytes);
        bytes.len()
    });
    assert!(read.is_ready() && said.len() >= count * CALL_BYTES, "{} bytes", said.len());
    said
}

/// What is said first, and then over and over.
struct Said {
    first: Vec<u8>,
    again: Vec<u8>,
}

/// Says it on a flow, on a new one when it is cut off.
fn raw(handle: Handle, port: u16, said: Said) -> Push {
    let mut flow: Option<(MemoryFlow, usize)> = None;
    let mut cx = Context::from_waker(Waker::noop());
    Box::new(move || {
        let mut sent = 0;
        loop {
            let (open, at) = flow.get_or_insert_with(|| {
                (block_on(handle.network.connect(&target(port))).expect("a listener"), 0)
            });
            let rest = match at.checked_sub(said.first.len()) {
                None => &said.first[*at..],
                Some(at) => &said.again[at % said.again.len()..],
            };
            match open.poll_write(&mut cx, rest) {
                Poll::Ready(Ok(count)) => {
                    *at += count;
                    sent += count;
                }
                Poll::Ready(Err(_)) => {
                    flow = None;
                    return sent;
                }
                Poll::Pending => return sent,
            }
        }
    })
}

fn upload() -> Said {
    let head = "POST /_test/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    Said { first: Vec::new(), again: [head.as_bytes(), &[b'a'; 1_000_000]].concat() }
}

/// A request by FastCGI whose content has no end.
fn records() -> Said {
    let first = asked_by_fastcgi("POST", "/_test/echo", "", true);
    // Without the record that ends the content (FastCGI section 5.3).
    let first = first[..first.len() - 8].to_vec();
    let again = [&[1, 5, 0, 1, 0xff, 0xff, 0, 0][..], &[b'a'; 0xffff]].concat();
    Said { first, again }
}

/// Visits that each begin a session.
fn visits() -> Said {
    let visit = |at: usize| format!("GET /visits/hog{at} HTTP/1.1\r\nHost: a\r\n\r\n");
    let again = (0..5000).map(visit).collect::<String>().into_bytes();
    Said { first: Vec::new(), again }
}

/// The greeting and READY of a DEALER (RFC 23 sections 3.2 and 3.3).
fn dealer() -> Vec<u8> {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    bytes.extend_from_slice(b"NULL");
    bytes.resize(64, 0);
    let ready = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0";
    bytes.extend_from_slice(&[4, ready.len() as u8]);
    bytes.extend_from_slice(ready);
    bytes
}

/// Requests with a text of so many bytes.
fn requests(text_bytes: usize) -> Said {
    let mut body = b"p\xa1\x64echo\x7a".to_vec();
    body.extend_from_slice(&(text_bytes as u32).to_be_bytes());
    body.resize(body.len() + text_bytes, b'a');
    let mut again = vec![1, 0, 2];
    again.extend_from_slice(&(body.len() as u64).to_be_bytes());
    again.append(&mut body);
    Said { first: dealer(), again }
}

fn empty_parts() -> Said {
    let mut again = [1, 0].repeat(1000);
    again.extend_from_slice(&[0, 1, b'p']);
    Said { first: dealer(), again }
}

/// Calls by a vat that reads nothing.
fn echo_calls(handle: Handle) -> Push {
    let vat = Rpc::new(Limits::default(), &handle.spawner, &handle.timers);
    let mut calculator = None;
    let mut calls = Vec::new();
    Box::new(move || {
        let calculator = calculator.get_or_insert_with(|| -> calculator::Client {
            let flow = block_on(handle.network.connect(&target(7000))).expect("a listener");
            let directory: directory::Client = vat.connect_flow(Deaf(flow));
            let mut get = directory.get_request();
            get.get().set_name("calculator");
            FromClientHook::new(get.send().pipeline.get_service().as_cap())
        });
        for _ in 0..10 {
            let mut echo = calculator.echo_request();
            echo.get().set_data(&[5; CALL_BYTES]);
            calls.push(echo.send().promise);
        }
        10 * CALL_BYTES
    })
}

/// A flow that nothing is read of.
struct Deaf(MemoryFlow);

impl Flow for Deaf {
    fn poll_read_with(
        &mut self,
        _: &mut Context<'_>,
        _: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        Poll::Pending
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        self.0.poll_write_with(cx, fill)
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        Poll::Ready(Ok(ready!(self.0.poll_drained(cx))?))
    }

    fn finish(&mut self) {
        self.0.finish();
    }

    fn abort(&mut self) {
        self.0.abort();
    }

    fn peer(&self) -> Address {
        self.0.peer()
    }

    fn local(&self) -> Address {
        self.0.local()
    }
}
