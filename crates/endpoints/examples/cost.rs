//! Serves requests on one connection in memory, for `valgrind --tool=callgrind`: instructions per request are the difference of
//! two runs, those of weighing the difference to a run without a ledger.
//!
//! `cost REQUESTS [weighed] [fastcgi [vary]]`; `vary` gives each request another port to come from, so that none is like the
//! one before.

use endpoints::http::{Server, ServerConfig};
use endpoints::{fastcgi, server};
use flow::ledger::{Ledger, ServiceLedger};
use flow::memory::MemoryNetwork;
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, FlowExt, Target};
use std::rc::Rc;
use web::server::ServerCore;
use web::{Request, Response};

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let requests: usize = arguments.next().map_or(1000, |count| count.parse().expect("a number"));
    let ledger = Ledger::new(64 << 20);
    let weighed = arguments.next_if_eq("weighed");
    let ledger = weighed.map(|_| ledger.service("cost", 32 << 20, 16 << 20));
    let is_fastcgi = arguments.next_if_eq("fastcgi").is_some();
    let varies = arguments.next_if_eq("vary").is_some();
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let timers = Timers::new();
    if is_fastcgi {
        let server = fastcgi(&executor, &timers, ledger);
        let kinds = if varies { 64 } else { 1 };
        let asked: Vec<_> = (0..kinds).map(by_fastcgi).collect();
        serve(&executor, server, &asked, requests);
    } else {
        let config = ServerConfig { ledger, ..ServerConfig::default() };
        let server = Server::new(config, &executor.spawner(), &timers, hello);
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        serve(&executor, server, &[request.to_vec()], requests);
    }
}

async fn hello(_: Request) -> Response {
    Response::ok("text/plain", "hello")
}

fn fastcgi(executor: &Executor, timers: &Timers, ledger: Option<ServiceLedger>) -> fastcgi::Server {
    let core = fastcgi::Shared::default();
    fastcgi::Server::sharing(core, ledger, &executor.spawner(), timers, Rc::new(hello))
}

/// Asks so many times on one connection.
fn serve<C: ServerCore>(
    executor: &Executor,
    server: server::Server<C>,
    asked: &[Vec<u8>],
    requests: usize,
) {
    let network = MemoryNetwork::new(4096, 1);
    let target: Target = "web:80".parse().expect("a target");
    let listener = network.listen(&target).expect("a port");
    executor.spawner().spawn("listener", server.serve(listener));
    executor.run_until_stalled();
    let mut flow = block_on(network.connect(&target)).expect("a connection");
    for request in asked.iter().cycle().take(requests) {
        block_on(flow.write_all(request)).expect("room");
        executor.run_until_stalled();
        let taken = block_on(flow.read_with(|bytes| (bytes.len(), bytes.len())));
        assert!(taken.is_ok_and(|count| count > 0));
    }
}

/// What nginx sends with the variables that it has by default.
fn by_fastcgi(number: usize) -> Vec<u8> {
    let port = (1024 + number).to_string();
    let params: [(&str, &str); 18] = [
        ("QUERY_STRING", ""),
        ("REQUEST_METHOD", "GET"),
        ("CONTENT_TYPE", ""),
        ("CONTENT_LENGTH", ""),
        ("SCRIPT_NAME", "/"),
        ("REQUEST_URI", "/"),
        ("DOCUMENT_URI", "/"),
        ("DOCUMENT_ROOT", "/usr/share/nginx/html"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REQUEST_SCHEME", "http"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_SOFTWARE", "nginx/1.22.1"),
        ("REMOTE_ADDR", "10.9.0.1"),
        ("REMOTE_PORT", &port),
        ("SERVER_ADDR", "10.9.0.2"),
        ("SERVER_PORT", "80"),
        ("SERVER_NAME", "a"),
        ("HTTP_HOST", "a"),
    ];
    let mut content = Vec::new();
    for (name, value) in params {
        content.extend_from_slice(&[name.len() as u8, value.len() as u8]);
        content.extend_from_slice(name.as_bytes());
        content.extend_from_slice(value.as_bytes());
    }
    let [high, low] = (content.len() as u16).to_be_bytes();
    let begin = b"\x01\x01\0\x01\0\x08\0\0\0\x01\x01\0\0\0\0\0";
    let end = b"\x01\x04\0\x01\0\0\0\0\x01\x05\0\x01\0\0\0\0";
    [&begin[..], &[1, 4, 0, 1, high, low, 0, 0], &content, end].concat()
}
