//! Answers requests from a table of routes, for `valgrind --tool=callgrind`: instructions per request are the difference of two
//! runs.
//!
//! `routing REQUESTS PATH`: `/now` is answered at once, `/users/7` by an `async fn`, anything else by nobody.

use flow::Address;
use flow::task::block_on;
use std::hint::black_box;
use web::{Answer, Body, Handler, Request, RequestHead, Response, Routes, Status};

struct AtOnce;

impl Handler for AtOnce {
    fn answer(&self, _: Request) -> Answer {
        Answer::Now(Response::ok("text/plain", "hello, world\n").into())
    }
}

async fn user(request: Request) -> Response {
    match request.parameter("id") {
        Some(b"7") => Response::ok("text/plain", "seven\n"),
        _ => Response::plain(Status::NOT_FOUND),
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let requests = words.next().and_then(|word| word.parse().ok()).unwrap_or(1000);
    let path = words.next().unwrap_or("/now".into());
    let routes = Routes::new()
        .get("/", AtOnce)
        .post("/users", user)
        .get("/users/:id", user)
        .get("/now", AtOnce);
    let head = RequestHead::new("GET", &path, [("Host", &b"a"[..])]);
    let answered: usize = (0..requests).map(|_| ask(&routes, black_box(head.clone()))).sum();
    println!("{answered} bytes");
}

#[inline(never)]
fn ask(routes: &Routes, head: RequestHead) -> usize {
    let reply = match routes.answer(Request::new(head, Body::empty(), Address::Memory(0))) {
        Answer::Now(reply) => reply,
        Answer::Later(later) => block_on(later),
    };
    reply.response.content().length().unwrap_or(0) as usize
}
