//! Visits sessions on one connection in memory, for `valgrind --tool=callgrind`: instructions per request are the difference of
//! two runs.
//!
//! `session_cost REQUESTS plain|hit|new [SESSIONS]`: of a handler without a session, of visits to so many sessions in turn, and of
//! visits that each begin one.

use endpoints::http::{Server, ServerConfig};
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, Flow, Target};
use std::cell::Cell;
use std::task::{Context, Poll, Waker};
use web::session::{Ended, Limits, Mapper, Session, SessionHost};
use web::{Request, Response, Routes};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(default, |it| it.parse().expect("a number"));
    let requests: usize = number(1000);
    let kind = std::env::args().nth(2).unwrap_or_else(|| "hit".into());
    let sessions: usize = std::env::args().nth(3).map_or(10, |it| it.parse().expect("a number"));
    let mut world = World::new(2 * sessions + requests);
    match kind.as_str() {
        "plain" => world.ask_all("/plain", &strangers(sessions), requests),
        "new" => world.ask_all("/session", &strangers(sessions), requests),
        "hit" => {
            let cookies: Vec<_> = (0..sessions).map(|_| world.begin()).collect();
            world.ask_all("/session", &cookies, requests);
        }
        other => panic!("{other} is none of plain, hit and new"),
    }
}

/// Cookies that nobody gave out, as long as real ones: requests are to be as different from each other.
fn strangers(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("session={number:032x}")).collect()
}

struct World {
    executor: Executor,
    flow: MemoryFlow,
    answer: Vec<u8>,
}

impl World {
    fn new(sessions_max: usize) -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let (spawner, timers, count) = (executor.spawner(), Timers::new(), Cell::new(0_u64));
        let limits = Limits { sessions_max, newcomers_max: sessions_max, ..Limits::default() };
        let host = SessionHost::new(&spawner, &timers, limits, move |bytes| {
            count.set(count.get() + 1);
            bytes.fill(0);
            bytes[..8].copy_from_slice(&count.get().to_be_bytes());
        });
        let routes = Routes::new().get("/plain", plain).session(
            &host,
            "/session",
            Mapper::cookie(),
            counter,
        );
        let server = Server::new(ServerConfig::default(), &spawner, &timers, routes);
        let network = MemoryNetwork::new(4096, 1);
        let target: Target = "web:80".parse().expect("a target");
        spawner.spawn("listener", server.serve(network.listen(&target).expect("a port")));
        executor.run_until_stalled();
        let flow = block_on(network.connect(&target)).expect("a connection");
        Self { executor, flow, answer: Vec::new() }
    }

    /// Asks with each of the cookies in turn. What the client does is measured, too, so that it does little.
    fn ask_all(&mut self, path: &str, cookies: &[String], requests: usize) {
        let all: Vec<_> = cookies.iter().map(|cookie| request(path, cookie)).collect();
        for request in all.iter().cycle().take(requests) {
            self.ask(request.as_bytes());
        }
    }

    /// Asks, and gives the whole answer.
    fn ask(&mut self, request: &[u8]) -> &[u8] {
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(written)) = self.flow.poll_write(&mut cx, request) else {
            panic!("no room")
        };
        assert_eq!(written, request.len());
        self.executor.run_until_stalled();
        self.answer.clear();
        let answer = &mut self.answer;
        let read = self.flow.poll_read_with(&mut cx, &mut |bytes| {
            answer.extend_from_slice(bytes);
            bytes.len()
        });
        assert!(matches!(read, Poll::Ready(Ok(1..))), "no answer");
        answer
    }

    /// The cookie of a new session, whose visitor has come twice: the second visit is dearer than those that follow.
    fn begin(&mut self) -> String {
        let stranger = request("/session", "session=x");
        let answer = String::from_utf8_lossy(self.ask(stranger.as_bytes())).into_owned();
        let (_, set) = answer.split_once("Set-Cookie: ").expect("a cookie");
        let cookie = set.split(';').next().expect("its value").to_owned();
        self.ask(request("/session", &cookie).as_bytes());
        cookie
    }
}

fn request(path: &str, cookie: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n")
}

async fn plain(_: Request) -> Response {
    Response::ok("text/plain", "hello")
}

async fn counter(mut session: Session) -> Result<(), Ended> {
    loop {
        session.next().await?.reply(Response::ok("text/plain", "hello"));
    }
}
