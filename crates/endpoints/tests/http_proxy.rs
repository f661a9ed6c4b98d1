//! The reverse proxy between a client and a server, over flows in memory with small buffers.

use endpoints::http::proxy::{NotPassed, Proxy, Reason};
use endpoints::http::{Server, ServerConfig};
use flow::memory::MemoryNetwork;
use flow::registry::Label;
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, Flow, FlowExt, Target};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use web::{Reply, Request, Response, Routes, Status};

/// Longer than every buffer on the way.
const LONG: usize = 200_000;

struct World {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    /// What came of requests that were not passed on.
    failures: Rc<RefCell<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok::<(), String>(())
        });
        let (timers, network) = (Timers::new(), MemoryNetwork::new(700, 64));
        Self { executor, timers, network, failures: Rc::default() }
    }

    fn serve(&self, name: &str, routes: Routes) {
        // Bodies here are long.
        let mut config = ServerConfig::default();
        config.limits.body_bytes_max = u64::MAX;
        let server = Server::new(config, &self.executor.spawner(), &self.timers, routes);
        let listener = self.network.listen(&target(name)).unwrap();
        self.executor.spawner().spawn("listener", server.serve(listener));
    }

    /// A server of that name which passes everything on to another one.
    fn proxy(&self, name: &str, to: &str) {
        let (spawner, timeout) = (self.executor.spawner(), Duration::from_secs(2));
        let label: Label = name.parse().unwrap();
        let proxy = Proxy::new(label, self.network.clone(), &spawner, &self.timers, timeout);
        let (to, failures) = (target(to), self.failures.clone());
        let pass = move |request: Request| {
            let (proxy, to, failures) = (proxy.clone(), to.clone(), failures.clone());
            async move {
                let passed = proxy.pass_on(&to, request).await;
                passed.unwrap_or_else(|failure| answered(&failure, &failures))
            }
        };
        self.serve(name, Routes::new().any("/*path", pass));
    }

    fn run(&self) {
        self.executor.run_until_stalled();
    }

    /// All that a server of that name answers.
    fn ask(&self, name: &str, request: &str) -> String {
        let (network, name, request) = (self.network.clone(), name.to_owned(), request.to_owned());
        let asking = self.executor.spawner().spawn_joinable("client", async move {
            let mut flow = network.connect(&target(&name)).await.unwrap();
            flow.write_all(request.as_bytes()).await.unwrap();
            let mut seen = Vec::new();
            while let Ok(1..) = flow
                .read_with(|bytes| {
                    seen.extend_from_slice(bytes);
                    (bytes.len(), bytes.len())
                })
                .await
            {}
            String::from_utf8(seen).unwrap()
        });
        self.run();
        block_on(asking).unwrap()
    }
}

fn answered(failure: &NotPassed, failures: &RefCell<Vec<String>>) -> Reply {
    let untouched = if failure.is_untouched { "untouched" } else { "touched" };
    let reason = match failure.reason {
        Reason::Failed(_) => "failed",
        Reason::Loop => "loop",
        Reason::NotForOthers | Reason::DotSegments | Reason::AtItsEnd(_) => "not for others",
        Reason::OtherProtocol => "other protocol",
    };
    failures.borrow_mut().push(format!("{reason}, {untouched}"));
    Response::plain(failure.status()).into()
}

fn target(name: &str) -> Target {
    format!("memory:{name}").parse().unwrap()
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n{fields}\r\n")
}

/// Says what a server sees of a request.
async fn seen(mut request: Request) -> Response {
    let target = String::from_utf8_lossy(request.target()).into_owned();
    let body = request.body().collect(usize::MAX).await.unwrap();
    let mut text = format!("{target} {}\n", body.len());
    for (name, value) in request.headers() {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        text += &format!("{name}: {value}\n");
    }
    Response::ok("text/plain", text).with_header("X-Own", "1")
}

#[test]
fn a_request_arrives_as_it_was_sent_but_for_the_connections_fields() {
    let world = World::new();
    world.serve("end", Routes::new().any("/*path", seen));
    world.proxy("a", "end");
    let fields = "X-Kept: v\r\nX-Hop: 1\r\nConnection: x-hop\r\nKeep-Alive: 5\r\nTE: trailers\r\nCookie: a=b\r\n";
    let answer = world.ask("a", &get("/p%20q?x=%2F", fields));
    for expected in [
        "HTTP/1.1 200 ",
        "X-Own: 1",
        "/p%20q?x=%2F 0\n",
        "X-Kept: v\n",
        "Cookie: a=b\n",
        "Host: site.example\n",
        "CDN-Loop: a\n",
    ] {
        assert!(answer.contains(expected), "{expected} in {answer}");
    }
    for not_passed in ["X-Hop", "Keep-Alive", "TE:", "close\n"] {
        assert!(!answer.contains(not_passed), "{not_passed} in {answer}");
    }
}

/// As by HTTP/1.0, or by FastCGI from a web server that does not say it.
#[test]
fn rfc9112_3_2_a_request_without_a_host_gets_that_of_where_it_goes() {
    let world = World::new();
    world.serve("end", Routes::new().any("/*path", seen));
    world.proxy("a", "end");
    let answer = world.ask("a", "GET /p HTTP/1.0\r\n\r\n");
    assert!(answer.contains("Host: end\n") && answer.contains("/p 0\n"), "{answer}");
}

#[test]
fn bodies_pass_as_streams_both_ways() {
    let world = World::new();
    let long = async |_: Request| {
        Reply::stream(
            Response::new(Status::OK).carrying(web::Content::Stream(None)),
            async |mut writer| {
                for line in 0..LONG / 10 {
                    writer.write(format!("{line:9}\n").into_bytes()).await;
                }
            },
        )
    };
    world.serve("end", Routes::new().post("/up", seen).get("/down", long));
    world.proxy("b", "end");
    world.proxy("a", "b");
    let body = "u".repeat(LONG);
    let post = format!(
        "POST /up HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {LONG}\r\n\r\n{body}"
    );
    let answer = world.ask("a", &post);
    assert!(answer.contains(&format!("/up {LONG}\n")), "{answer}");
    assert!(answer.contains("CDN-Loop: a\nCDN-Loop: b\n"), "{answer}");
    let chunked = format!(
        "POST /up HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{LONG:x}\r\n{body}\r\n0\r\n\r\n"
    );
    assert!(world.ask("a", &chunked).contains(&format!("/up {LONG}\n")));
    let answer = world.ask("a", &get("/down", ""));
    assert!(answer.contains("    19999\n") && answer.ends_with("\r\n0\r\n\r\n"));
}

#[test]
fn rfc8586_2_a_request_that_comes_back_is_508() {
    let world = World::new();
    world.proxy("a", "b");
    world.proxy("b", "c");
    world.proxy("c", "a");
    assert!(world.ask("a", &get("/", "")).starts_with("HTTP/1.1 508 "));
    assert_eq!(*world.failures.borrow(), ["loop, untouched"]);
}

#[test]
fn rfc8586_2_marks_are_read_as_a_list_of_ids_with_parameters() {
    let world = World::new();
    world.serve("end", Routes::new().any("/*path", seen));
    world.proxy("a", "end");
    let hops = |count: usize| vec!["x"; count].join(", ");
    for (marks, status) in [
        ("CDN-Loop: A\r\n", "508"),
        ("CDN-Loop: other, a; b=\"c\"\r\n", "508"),
        ("CDN-Loop: other\r\nCDN-Loop: a\r\n", "508"),
        ("CDN-Loop: aa, other; a=a\r\n", "200"),
        (&format!("CDN-Loop: {}\r\n", hops(7)), "200"),
        (&format!("CDN-Loop: {}\r\n", hops(8)), "508"),
    ] {
        let answer = world.ask("a", &get("/", marks));
        assert_eq!(&answer[9..12], status, "{marks}");
    }
}

#[test]
fn a_server_that_is_not_there_is_502_and_the_request_is_had_back() {
    let world = World::new();
    world.proxy("a", "nobody");
    assert!(world.ask("a", &get("/", "")).starts_with("HTTP/1.1 502 "));
    let post = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    assert!(world.ask("a", post).starts_with("HTTP/1.1 502 "));
    assert_eq!(*world.failures.borrow(), ["failed, untouched", "failed, untouched"]);
}

#[test]
fn a_body_can_be_read_here_when_nobody_else_took_it() {
    let world = World::new();
    let (spawner, timeout) = (world.executor.spawner(), Duration::from_secs(2));
    let proxy =
        Proxy::new("a".parse().unwrap(), world.network.clone(), &spawner, &world.timers, timeout);
    let or_here = move |request: Request| {
        let proxy = proxy.clone();
        async move {
            match proxy.pass_on(&target("nobody"), request).await {
                Ok(reply) => reply,
                Err(failure) => seen(failure.request).await.into(),
            }
        }
    };
    world.serve("a", Routes::new().any("/*path", or_here));
    let body = "u".repeat(LONG);
    let post = format!(
        "POST /up HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {LONG}\r\n\r\n{body}"
    );
    assert!(world.ask("a", &post).contains(&format!("/up {LONG}\n")));
}

#[test]
fn a_server_that_dies_in_the_middle_is_502_and_the_request_is_not_sent_again() {
    let world = World::new();
    let asked = Rc::new(RefCell::new(0));
    let count = asked.clone();
    let dies = move |_: Request| {
        *count.borrow_mut() += 1;
        async {
            Reply::stream(
                Response::new(Status::OK).carrying(web::Content::Stream(Some(9))),
                async |writer| writer.abandon(),
            )
        }
    };
    world.serve("end", Routes::new().post("/", dies));
    world.proxy("a", "end");
    let post = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    // The head may have arrived: then the answer is cut.
    let answer = world.ask("a", post);
    assert!(answer.starts_with("HTTP/1.1 502 ") || !answer.contains("\r\n\r\n"), "{answer}");
    assert_eq!(*asked.borrow(), 1);
}

#[test]
fn rfc9112_3_2_2_an_absolute_form_is_for_the_proxy_alone() {
    let world = World::new();
    world.serve("end", Routes::new().any("/", seen).any("/*path", seen));
    world.proxy("a", "end");
    let ask = |target: &str| {
        world.ask("a", &format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
    };
    assert_eq!(ask("http://h/a?b"), ask("/a?b"));
    for (target, expected) in [
        ("/a?b", "/a?b"),
        ("/a?u=http://x/y", "/a?u=http://x/y"),
        ("http://x/a?b", "/a?b"),
        ("HTTPS://x:1/", "/"),
        ("http://x", "/"),
        ("http://x?b/c", "/?b/c"),
        ("http://x//a", "//a"),
    ] {
        let answer = ask(target);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer}");
        assert!(answer.contains(&format!("\r\n\r\n{expected} 0\n")), "{target}: {answer}");
    }
}

#[test]
fn rfc9110_15_2_2_a_protocol_that_was_not_asked_for_is_502() {
    for to in ["foo", "websocket, foo", ""] {
        let world = World::new();
        let switch = move |_: Request| async move {
            let response = Response::new(Status::SWITCHING_PROTOCOLS).with_header("Upgrade", to);
            Reply::upgrade(response, async |mut flow| flow.finish())
        };
        world.serve("end", Routes::new().get("/", switch));
        world.proxy("a", "end");
        let head =
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n";
        let answer = world.ask("a", head);
        assert!(answer.starts_with("HTTP/1.1 502 "), "{to}: {answer}");
    }
}

#[test]
fn rfc9110_7_8_a_connection_that_switches_to_websocket_passes_whatever_comes() {
    let world = World::new();
    let switch = async |request: Request| {
        assert_eq!(request.upgrade(), Some(&b"websocket"[..]));
        let response = Response::new(Status::SWITCHING_PROTOCOLS)
            .with_header("Upgrade", "websocket")
            .with_header("Sec-WebSocket-Accept", "x");
        Reply::upgrade(response, async |mut flow| {
            let mut buffer = [0; 100];
            while let Ok(count @ 1..) = flow.read(&mut buffer).await {
                flow.write_all(&buffer[..count].to_ascii_uppercase()).await.unwrap();
            }
            flow.finish();
            flow.drained().await.unwrap();
        })
    };
    world.serve("end", Routes::new().get("/", switch));
    world.proxy("b", "end");
    world.proxy("a", "b");
    let long = "w".repeat(LONG);
    let network = world.network.clone();
    let asking = world.executor.spawner().spawn_joinable("client", async move {
        let mut flow = network.connect(&target("a")).await.unwrap();
        let head =
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\nearly";
        flow.write_all(head.as_bytes()).await.unwrap();
        let mut seen = String::new();
        let mut buffer = [0; 1000];
        while !seen.ends_with("EARLY") {
            let count = flow.read(&mut buffer).await.unwrap();
            assert!(count > 0, "{seen}");
            seen += core::str::from_utf8(&buffer[..count]).unwrap();
        }
        // What is sent while nothing is read is held back, so that both go on by turns.
        let mut back = 0;
        for part in long.as_bytes().chunks(500) {
            flow.write_all(part).await.unwrap();
            back += flow.read(&mut buffer).await.unwrap();
        }
        flow.finish();
        while let Ok(count @ 1..) = flow.read(&mut buffer).await {
            back += count;
        }
        (seen, back)
    });
    world.run();
    let (seen, back) = block_on(asking).unwrap();
    assert!(
        seen.starts_with("HTTP/1.1 101 ") && seen.contains("Sec-WebSocket-Accept: x"),
        "{seen}"
    );
    assert_eq!(back, LONG);
}
