//! A responder and a web server, over flows in memory, beside an HTTP server with the same handler.

use crate::fastcgi::{Config, Limits, Server, Shared};
use crate::http;
use alloc::rc::Rc;
use core::time::Duration;
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::task::{Executor, TaskHandle, block_on};
use flow::time::Timers;
use flow::{Connector, Flow, FlowExt, Target};
use std::string::String;
use std::vec::Vec;
use std::{format, vec};
use web::session::{Ended, Mapper, Session, SessionHost};
use web::{Content, Handler, Reply, Request, Response, Routes, Status};

const ROOM: usize = 700;

/// One server, and web servers that say bytes and read until the end.
struct Lab {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    server: Server,
}

fn executor() -> Executor {
    Executor::new(|body: &mut dyn FnMut()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
            .map_err(|_| String::from("boom"))
    })
}

fn target(port: u16) -> Target {
    Target::Name("web".into(), port)
}

impl Lab {
    fn new(handler: impl Handler) -> Self {
        Self::on(executor(), Timers::new(), Rc::new(handler), Limits::default())
    }

    fn on(executor: Executor, timers: Timers, handler: Rc<dyn Handler>, limits: Limits) -> Self {
        let spawner = executor.spawner();
        let network = MemoryNetwork::new(ROOM, 64);
        let core = Shared::new(Config { limits, wall_clock_start: None });
        let server = Server::sharing(core, None, &spawner, &timers, handler.clone());
        let listener = network.listen(&target(9000)).unwrap();
        spawner.spawn("listener", server.clone().serve(listener));
        let http = http::ServerConfig::default();
        let http = http::Server::with_handler(http, &spawner, &timers, handler);
        spawner.spawn("listener", http.serve(network.listen(&target(80)).unwrap()));
        Self { executor, timers, network, server }
    }

    fn run(&self) {
        self.executor.run_until_stalled();
    }

    /// Sends bytes in pieces, and reads all that comes back until the end.
    fn say(&self, port: u16, bytes: Vec<u8>, piece: usize) -> TaskHandle<Vec<u8>> {
        let network = self.network.clone();
        self.executor.spawner().spawn_joinable("client", async move {
            let mut flow: MemoryFlow = network.connect(&target(port)).await.unwrap();
            for piece in bytes.chunks(piece) {
                if flow.write_all(piece).await.is_err() {
                    break;
                }
            }
            let mut seen = Vec::new();
            let mut buffer = [0; 500];
            while let Ok(1..) = flow.read(&mut buffer).await.inspect(|&count| {
                seen.extend_from_slice(&buffer[..count]);
            }) {}
            seen
        })
    }

    /// What a request on a connection of its own is answered.
    fn answer(&self, request: Vec<u8>) -> String {
        let handle = self.say(9000, request, 100);
        self.run();
        stdout(&block_on(handle).unwrap())
    }
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16).to_be_bytes();
    [&[1, kind, 0, 1, length[0], length[1], 0, 0], content].concat()
}

/// A request for a path, with more variables, and content in many records.
fn request(method: &str, path: &str, more: &[(&str, &str)], content: &[u8]) -> Vec<u8> {
    let mut params = Vec::new();
    let own = [("REQUEST_METHOD", method), ("REQUEST_URI", path)];
    for (name, value) in own.iter().chain(more) {
        params.extend_from_slice(&[name.len() as u8, value.len() as u8]);
        params.extend_from_slice(name.as_bytes());
        params.extend_from_slice(value.as_bytes());
    }
    let mut bytes = record(1, &[0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend(record(4, &params));
    bytes.extend(record(4, b""));
    for part in content.chunks(1_000) {
        bytes.extend(record(5, part));
    }
    bytes.extend(record(5, b""));
    bytes
}

/// What was said on `FCGI_STDOUT`, if that came to its end.
fn stdout(mut bytes: &[u8]) -> String {
    let mut text = Vec::new();
    let mut ended = false;
    while let Some(header) = bytes.first_chunk::<8>() {
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let Some(content) = bytes.get(8..8 + length) else { break };
        match header[1] {
            6 => text.extend_from_slice(content),
            3 => ended = true,
            _ => {}
        }
        bytes = &bytes[8 + length..];
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    if ended { text } else { format!("cut: {text}") }
}

async fn echo(mut request: Request) -> Response {
    match request.body().collect(1 << 20).await {
        Ok(body) => Response::ok("text/plain", body),
        Err(error) => Response::new(Status::BAD_REQUEST)
            .with_content("text/plain", format!("{error}, said by {}", request.peer())),
    }
}

#[test]
fn an_upload_much_longer_than_all_buffers_comes_back() {
    let lab = Lab::new(echo);
    let body = "0123456789".repeat(20_000);
    let length = [("CONTENT_LENGTH", "200000")];
    let answer = lab.answer(request("POST", "/", &length, body.as_bytes()));
    assert!(answer.starts_with("Status: 200 OK\r\n"), "{answer:.60}");
    assert!(answer.ends_with(&body));
    assert_eq!((lab.server.requests(), lab.server.connections()), (1, 0));
}

#[test]
fn less_content_than_declared_is_an_error_for_the_handler_who_knows_who_asks() {
    let lab = Lab::new(echo);
    let variables = [("CONTENT_LENGTH", "5"), ("REMOTE_ADDR", "::1"), ("REMOTE_PORT", "7")];
    let answer = lab.answer(request("POST", "/", &variables, b"four"));
    assert!(answer.ends_with("the body did not arrive whole, said by [::1]:7"), "{answer}");
}

#[test]
fn a_panic_is_a_500_and_others_go_on() {
    let handler = async |request: Request| {
        assert_ne!(request.path(), b"/panic", "as asked");
        Response::ok("text/plain", "fine")
    };
    let lab = Lab::new(handler);
    let answer = lab.answer(request("GET", "/panic", &[], b""));
    assert!(answer.starts_with("Status: 500 Internal Server Error\r\n"), "{answer}");
    assert!(lab.answer(request("GET", "/", &[], b"")).ends_with("\r\n\r\nfine"));
}

#[test]
fn streamed_content_is_made_as_the_web_server_takes_it_and_cut_if_it_fails() {
    let handler = async |request: Request| {
        let fails = request.path() == b"/fails";
        Reply::stream(
            Response::ok("text/plain", "").carrying(Content::Stream(None)),
            async move |mut writer| {
                for _ in 0..100 {
                    writer.write(vec![b'x'; 1_000]).await;
                }
                assert!(!fails, "as asked");
            },
        )
    };
    let lab = Lab::new(handler);
    assert!(lab.answer(request("GET", "/", &[], b"")).ends_with(&"x".repeat(100_000)));
    let cut = lab.answer(request("GET", "/fails", &[], b""));
    assert!(cut.starts_with("cut: "), "{cut:.20}");
}

#[test]
fn a_request_that_is_given_up_drops_its_handler() {
    let dropped = Rc::new(core::cell::Cell::new(false));
    struct Guard(Rc<core::cell::Cell<bool>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let seen = dropped.clone();
    let lab = Lab::new(move |_: Request| {
        let guard = Guard(seen.clone());
        async move {
            core::future::pending::<()>().await;
            drop(guard);
            Response::plain(Status::OK)
        }
    });
    let mut bytes = request("GET", "/", &[], b"");
    bytes.extend(record(2, b""));
    let answer = lab.answer(bytes);
    assert_eq!(answer, "");
    assert!(dropped.get());
}

#[test]
fn one_session_by_http_and_by_fastcgi() {
    async fn count(mut session: Session) -> Result<(), Ended> {
        for hits in 1.. {
            let hit = session.next().await?;
            hit.reply(Response::ok("text/plain", format!("{} {hits}", session.number())));
        }
        Ok(())
    }
    let executor = executor();
    let timers = Timers::new();
    let host =
        SessionHost::new(&executor.spawner(), &timers, web::session::Limits::default(), |bytes| {
            bytes.fill(7);
        });
    let routes = Routes::new().session(&host, "/cookie", Mapper::cookie(), count).session(
        &host,
        "/path/:name",
        Mapper::path("name"),
        count,
    );
    let lab = Lab::on(executor, timers, Rc::new(routes), Limits::default());
    let by_http = |path: &str, cookie: &str| {
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        );
        let handle = lab.say(80, text.into_bytes(), 100);
        lab.run();
        String::from_utf8(block_on(handle).unwrap()).unwrap()
    };
    let first = by_http("/cookie", "");
    let cookie =
        first.split("Set-Cookie: ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    let by_fastcgi = |path: &str| lab.answer(request("GET", path, &[("HTTP_COOKIE", cookie)], b""));
    assert!(by_fastcgi("/cookie").ends_with("\r\n\r\n1 2"));
    assert!(by_http("/cookie", cookie).ends_with("\r\n\r\n1 3"));
    assert!(by_fastcgi("/path/one").ends_with("\r\n\r\n2 1"));
    assert!(by_http("/path/one", "").ends_with("\r\n\r\n2 2"));
}

#[test]
fn a_web_server_that_says_nothing_is_let_go() {
    let lab = Lab::new(echo);
    let begun = lab.say(9000, request("GET", "/", &[], b"")[..40].to_vec(), 100);
    lab.run();
    assert_eq!(lab.server.connections(), 1);
    lab.timers.advance(Duration::from_secs(10));
    lab.run();
    let answer = stdout(&block_on(begun).unwrap());
    assert!(answer.starts_with("Status: 408 Request Timeout\r\n"), "{answer}");
    lab.timers.advance(Duration::from_secs(20));
    lab.run();
    assert_eq!(lab.server.connections(), 0);
}

#[test]
fn a_connection_that_is_kept_ends_when_the_server_goes_down() {
    let lab = Lab::new(echo);
    let mut keeping = request("GET", "/", &[], b"");
    keeping[8 + 2] = 1;
    let handle = lab.say(9000, keeping, 100);
    lab.run();
    assert_eq!(lab.server.connections(), 1);
    lab.server.drain();
    lab.run();
    assert!(stdout(&block_on(handle).unwrap()).starts_with("Status: 200 OK\r\n"));
    assert_eq!(lab.server.connections(), 0);
}

#[test]
fn garbage_ends_the_connection() {
    let lab = Lab::new(echo);
    let handle = lab.say(9000, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 100);
    lab.run();
    assert_eq!(block_on(handle).unwrap(), b"");
    assert_eq!(lab.server.connections(), 0);
    let mut flow = block_on(lab.network.connect(&target(9000))).unwrap();
    flow.abort();
}
