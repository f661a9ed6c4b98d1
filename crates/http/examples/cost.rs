//! Serves requests on one connection, for `valgrind --tool=callgrind`: instructions per request are the difference of two runs.
//!
//! `cost REQUESTS HEADERS [1]`; with 1, no request repeats the one before.

use http::server::{Config, Connection, Event, Shared};

use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;
use web::{Method, Response, Status};

const FIELDS: [&str; 9] = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Connection: keep-alive",
    "Accept-Language: en-GB,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: none",
];

fn main() {
    let mut arguments =
        std::env::args().skip(1).map(|argument| argument.parse::<usize>().expect("a number"));
    let requests = arguments.next().unwrap_or(1000);
    let fields = arguments.next().unwrap_or(4);
    let mut request = String::from("GET / HTTP/1.1\r\nHost: 10.9.0.2\r\n");
    for field in FIELDS.iter().take(fields.saturating_sub(1)) {
        request += field;
        request += "\r\n";
    }
    request += "\r\n";
    let other = request.replacen("10.9.0.2", "10.9.0.3", 1);
    let inputs =
        if arguments.next() == Some(1) { [&request, &other] } else { [&request, &request] };
    let mut out = [0; 4096];
    let start = Some(Duration::from_secs(1_700_000_000));
    let config = Config { wall_clock_start: start, ..Config::default() };
    let mut connection = Connection::new(Rc::new(Shared::new(config)), Duration::ZERO);
    let mut written = 0;
    for input in inputs.into_iter().cycle().take(requests) {
        written += serve(&mut connection, black_box(input.as_bytes()), &mut out);
    }
    println!(
        "{written} bytes, connection {} bytes, {} bytes of head",
        size_of::<Connection>(),
        request.len()
    );
}

#[inline(never)]
fn serve(connection: &mut Connection, input: &[u8], out: &mut [u8]) -> usize {
    let now = Duration::from_secs(1);
    connection.handle_input(now, input);
    if let Some(Event::Request(request)) = connection.poll_event() {
        let response = match (request.method(), request.path()) {
            (Method::Get, b"/") => Response::ok("text/plain", "hello, world\n"),
            _ => Response::plain(Status::NOT_FOUND),
        };
        connection.respond(now, response).expect("a request is open");
    }
    connection.poll_transmit(now, out)
}
