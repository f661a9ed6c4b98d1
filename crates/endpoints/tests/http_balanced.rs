//! Requests to a service with several places, and the reverse proxy over it, over flows in memory.

use endpoints::http::client::{BalancedClient, Client, ClientConfig, ClientError, Request};
use endpoints::http::proxy::{RequestKey, ReverseProxy, ReverseProxyConfig};
use endpoints::http::{Limits, Server, ServerConfig};
use endpoints::places::{Config, NoPlace, Place, Places, Policy, Probes, Retries};
use flow::memory::MemoryNetwork;
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, Flow, FlowExt, Listener, Target};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use web::{Content, Method, Reply, Response, Routes, Status};

struct World {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    /// Requests that each server got.
    got: Rc<RefCell<BTreeMap<String, Vec<String>>>>,
}

fn target(name: &str) -> Target {
    format!("memory:{name}").parse().unwrap()
}

/// What a server does with each request.
#[derive(Clone, Copy)]
enum Nature {
    /// It answers with its name.
    Well,
    /// It answers with this status.
    Status(Status),
    /// It never answers.
    Silent,
    /// It says these bytes, and ends the connection.
    Says(&'static [u8]),
}

impl World {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok::<(), String>(())
        });
        let (timers, network) = (Timers::new(), MemoryNetwork::new(700, 64));
        Self { executor, timers, network, got: Rc::default() }
    }

    /// A server of that name.
    fn serve(&self, name: &'static str, nature: Nature) {
        if let Nature::Says(bytes) = nature {
            return self.serve_bytes(name, bytes);
        }
        let got = self.got.clone();
        let answer = move |mut request: web::Request| {
            let got = got.clone();
            async move {
                let body = request.body().collect(1 << 20).await.unwrap();
                let text = format!("{:?} {}", request.method(), String::from_utf8_lossy(&body));
                got.borrow_mut().entry(name.into()).or_default().push(text);
                match nature {
                    Nature::Status(status) => Response::plain(status),
                    Nature::Silent => core::future::pending().await,
                    _ => Response::ok("text/plain", name),
                }
            }
        };
        self.serve_routes(name, Routes::new().any("/*path", answer));
    }

    fn serve_routes(&self, name: &str, routes: Routes) {
        let spawner = self.executor.spawner();
        let server = Server::new(ServerConfig::default(), &spawner, &self.timers, routes);
        let listener = self.network.listen(&target(name)).unwrap();
        spawner.spawn("listener", server.serve(listener));
    }

    fn serve_bytes(&self, name: &'static str, bytes: &'static [u8]) {
        let mut listener = self.network.listen(&target(name)).unwrap();
        let got = self.got.clone();
        self.executor.spawner().spawn("script", async move {
            loop {
                let mut flow = listener.accept().await.unwrap();
                let _ = flow.read(&mut [0; 1000]).await;
                got.borrow_mut().entry(name.into()).or_default().push("some".into());
                let _ = flow.write_all(bytes).await;
                flow.finish();
                let _ = flow.drained().await;
            }
        });
    }

    /// A server that answers the first request of each connection, and ends the connection when a second one comes.
    fn serve_once_each(&self, name: &'static str) {
        let mut listener = self.network.listen(&target(name)).unwrap();
        let (got, spawner) = (self.got.clone(), self.executor.spawner());
        self.executor.spawner().spawn("script", async move {
            loop {
                let mut flow = listener.accept().await.unwrap();
                let got = got.clone();
                spawner.spawn("script", async move {
                    for answer in [&b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"[..], b""] {
                        let _ = flow.read(&mut [0; 1000]).await;
                        got.borrow_mut().entry(name.into()).or_default().push("some".into());
                        flow::task::yield_once().await;
                        let _ = flow.write_all(answer).await;
                    }
                    flow.finish();
                    let _ = flow.drained().await;
                });
            }
        });
    }

    fn client(&self, config: Config, names: &[&str]) -> BalancedClient<MemoryNetwork> {
        let spawner = self.executor.spawner();
        let places = Places::new("shop", config, 7, &spawner, &self.timers);
        let all: Vec<_> = names.iter().map(|name| Place::new(target(name), 1)).collect();
        places.set(&all);
        let limits = Limits { response_timeout: Duration::from_secs(9), ..Limits::default() };
        let config = ClientConfig { limits, ..ClientConfig::default() };
        let client = Client::new(config, self.network.clone(), &spawner, &self.timers);
        BalancedClient::new(client, places)
    }

    fn run(&self) {
        self.executor.run_until_stalled();
    }

    fn advance(&self, time: Duration) {
        self.timers.advance(self.timers.now() + time);
        self.run();
    }

    /// What comes of work, within so many seconds.
    fn within<T: 'static>(&self, seconds: u64, work: impl Future<Output = T> + 'static) -> T {
        let handle = self.executor.spawner().spawn_joinable("work", work);
        self.run();
        for _ in 0..seconds {
            self.advance(Duration::from_secs(1));
        }
        block_on(handle).unwrap()
    }

    fn count(&self, name: &str) -> usize {
        self.got.borrow().get(name).map_or(0, Vec::len)
    }
}

/// The status and the body of what comes of a request.
async fn ask(
    client: BalancedClient<MemoryNetwork>,
    method: Method,
    path: &'static str,
) -> Result<(Status, String), ClientError> {
    let request = Request::new(method, "shop", path)?;
    let request =
        if method == Method::Post { request.with_content("text/plain", "order") } else { request };
    let mut answer = client.send(request, None).await?;
    let body = answer.collect(1 << 20).await?;
    Ok((answer.status(), String::from_utf8(body).unwrap()))
}

#[test]
fn requests_are_spread_and_what_cannot_be_reached_is_left_out_without_a_failure() {
    let world = World::new();
    world.serve("a", Nature::Well);
    world.serve("b", Nature::Well);
    let client = world.client(Config::default(), &["a", "b", "nowhere"]);
    for _ in 0..60 {
        let (status, _) = world.within(0, ask(client.clone(), Method::Get, "/")).unwrap();
        assert_eq!(status, Status::OK);
    }
    assert_eq!(world.count("a") + world.count("b"), 60);
    assert!(world.count("a") > 15 && world.count("b") > 15, "{:?}", world.got);
}

#[test]
fn rfc9110_9_2_2_only_what_is_idempotent_is_sent_again_after_it_arrived() {
    for (method, arrivals) in [(Method::Get, 2), (Method::Post, 1)] {
        let world = World::new();
        world.serve("a", Nature::Says(b""));
        world.serve("b", Nature::Says(b""));
        let client = world.client(Config::default(), &["a", "b"]);
        assert!(world.within(0, ask(client, method, "/")).is_err());
        assert_eq!(world.count("a") + world.count("b"), arrivals, "{method:?}");
    }
}

#[test]
fn what_came_to_no_connection_is_sent_again_whatever_it_is() {
    let world = World::new();
    world.serve("a", Nature::Well);
    let policy = Policy::RoundRobin;
    let client = world.client(Config { policy, ..Config::default() }, &["nowhere", "a"]);
    let (_, name) = world.within(0, ask(client.clone(), Method::Post, "/")).unwrap();
    assert_eq!(name, "a");
    // By round robin it is nowhere's turn again.
    let name = world.within(0, async move {
        let request = Request::new(Method::Post, "shop", "/").unwrap();
        let request = request.carrying(Content::Stream(None));
        let produce = |mut writer: web::ContentWriter| async move {
            writer.write("stream").await;
        };
        let mut answer = client.send_stream(request, None, produce).await.unwrap();
        answer.collect(100).await.unwrap()
    });
    assert_eq!(name, b"a");
    assert_eq!(world.got.borrow()["a"], ["Post order", "Post stream"]);
}

#[test]
fn a_place_that_says_it_cannot_serve_has_failed_and_one_with_a_fault_has_not() {
    let world = World::new();
    world.serve("full", Nature::Status(Status::SERVICE_UNAVAILABLE));
    world.serve("a", Nature::Well);
    let policy = Policy::RoundRobin;
    let client = world.client(Config { policy, ..Config::default() }, &["full", "a"]);
    assert_eq!(world.within(0, ask(client.clone(), Method::Get, "/")).unwrap().1, "a");
    client.places().set(&[Place::new(target("full"), 1)]);
    let (status, _) = world.within(0, ask(client, Method::Get, "/")).unwrap();
    assert_eq!(status, Status::SERVICE_UNAVAILABLE, "what the last place says is passed on");

    world.serve("bug", Nature::Status(Status::INTERNAL_SERVER_ERROR));
    let client = world.client(Config { policy, ..Config::default() }, &["bug", "a"]);
    let statuses =
        [0; 40].map(|_| world.within(0, ask(client.clone(), Method::Get, "/")).unwrap().0);
    let faults = statuses.iter().filter(|status| **status == Status::INTERNAL_SERVER_ERROR);
    assert_eq!(faults.count(), 20);
}

#[test]
fn further_tries_end_with_the_budget() {
    let world = World::new();
    let retries = Retries { percent_max: 0, per_second_min: 1, ..Retries::default() };
    let client = world.client(Config { retries, ..Config::default() }, &["x", "y", "z"]);
    for _ in 0..20 {
        assert!(world.within(0, ask(client.clone(), Method::Get, "/")).is_err());
    }
    let mut tries = 0;
    client.places().visit(&mut |row| tries += row.requests());
    assert_eq!(tries, 20 + 10, "one for each second of ten");
}

#[test]
fn rfc9112_9_3_1_a_try_over_an_idle_connection_that_broke_is_one_of_the_tries() {
    let few = Retries { tries_max: 1, ..Retries::default() };
    let none = Retries { percent_max: 0, per_second_min: 0, ..Retries::default() };
    for (retries, arrivals) in [(Retries::default(), 2), (few, 1), (none, 1)] {
        let world = World::new();
        world.serve_once_each("a");
        let client = world.client(Config { retries, ..Config::default() }, &["a"]);
        let spawner = world.executor.spawner();
        for _ in 0..5 {
            let client = client.clone();
            spawner.spawn("work", async move {
                ask(client, Method::Get, "/").await.unwrap();
            });
        }
        world.run();
        assert_eq!(world.count("a"), 5);
        let answer = world.within(0, ask(client.clone(), Method::Get, "/"));
        assert_eq!(world.count("a") - 5, arrivals);
        assert_eq!(answer.is_ok(), arrivals == 2);
        client.places().visit(&mut |row| assert_eq!(row.outstanding(), 0));
    }
}

#[test]
fn without_places_there_is_an_error_at_once() {
    let world = World::new();
    let client = world.client(Config::default(), &[]);
    let asked = world.within(0, ask(client, Method::Get, "/"));
    assert_eq!(asked, Err(ClientError::NoPlace(NoPlace::None)));
}

#[test]
fn a_slow_request_is_tried_elsewhere_and_the_loser_given_up() {
    let world = World::new();
    let slow = Rc::new(Cell::new(false));
    let is_slow = slow.clone();
    let aborted = Rc::new(Cell::new(0));
    let count = aborted.clone();
    let answer = move |_: web::Request| {
        let (is_slow, count) = (is_slow.clone(), count.clone());
        async move {
            struct Dropped(Rc<Cell<u32>>);
            impl Drop for Dropped {
                fn drop(&mut self) {
                    self.0.set(self.0.get() + 1);
                }
            }
            if is_slow.get() {
                let _dropped = Dropped(count);
                core::future::pending::<()>().await;
            }
            Response::ok("text/plain", "a")
        }
    };
    world.serve_routes("a", Routes::new().get("/", answer));
    world.serve("b", Nature::Well);
    let config =
        Config { hedge_percentile: Some(95), policy: Policy::RoundRobin, ..Config::default() };
    let client = world.client(config, &["a", "b"]);
    for _ in 0..60 {
        world.within(0, ask(client.clone(), Method::Get, "/")).unwrap();
    }
    slow.set(true);
    for _ in 0..2 {
        assert_eq!(world.within(1, ask(client.clone(), Method::Get, "/")).unwrap().1, "b");
    }
    assert_eq!(aborted.get(), 1);
    client.places().visit(&mut |row| assert_eq!(row.outstanding(), 0));
}

#[test]
fn places_are_probed_by_a_path() {
    let world = World::new();
    world.serve("a", Nature::Well);
    world.serve("b", Nature::Status(Status::INTERNAL_SERVER_ERROR));
    world.serve("c", Nature::Silent);
    let probes = Probes { failures_max: 1, ..Probes::default() };
    let client =
        world.client(Config { probes: Some(probes), ..Config::default() }, &["a", "b", "c"]);
    client.probe("/health", Duration::from_secs(2));
    world.within(3, async {});
    for _ in 0..20 {
        assert_eq!(world.within(0, ask(client.clone(), Method::Post, "/")).unwrap().1, "a");
    }
}

/// A server that passes everything on to the service.
fn front(world: &World, config: Config, names: &[&str], proxy: ReverseProxyConfig) {
    let proxy = ReverseProxy::new(world.client(config, names), proxy);
    let answer = move |request: web::Request| {
        let proxy = proxy.clone();
        async move { proxy.answer(request).await }
    };
    world.serve_routes("front", Routes::new().any("/*path", answer));
}

fn proxy() -> ReverseProxyConfig {
    ReverseProxyConfig {
        name: "edge".into(),
        id: "edge-1234".into(),
        strip_prefix: String::new(),
        trusts_clients: false,
        key: RequestKey::Client,
    }
}

/// All that the front answers within ten seconds.
fn say(world: &World, text: &str) -> String {
    let (network, text) = (world.network.clone(), text.to_owned());
    let seen = world.within(10, async move {
        let mut flow = network.connect(&target("front")).await.unwrap();
        flow.write_all(text.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        let mut buffer = [0; 500];
        while let Ok(count @ 1..) = flow.read(&mut buffer).await {
            seen.extend_from_slice(&buffer[..count]);
        }
        seen
    });
    String::from_utf8(seen).unwrap()
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n{fields}\r\n")
}

/// Says what a server sees of a request.
async fn seen(request: web::Request) -> Response {
    let mut text = format!("{}\n", String::from_utf8_lossy(request.target()));
    for (name, value) in request.headers() {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        text += &format!("{name}: {value}\n");
    }
    Response::ok("text/plain", text)
}

const LIES: &str = "Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Port: 1\r\nX-Real-IP: 1.2.3.4\r\nVia: 1.0 fred\r\nTE: trailers\r\nX-Hop: 1\r\nConnection: x-hop\r\n";

#[test]
fn the_service_learns_for_whom_it_is_asked_and_by_which_way() {
    let world = World::new();
    world.serve_routes("a", Routes::new().any("/*path", seen));
    let strip_prefix = String::from("/api");
    front(&world, Config::default(), &["a"], ReverseProxyConfig { strip_prefix, ..proxy() });
    let answer = say(&world, &get("/api/p%20q?x=%2F", LIES));
    for expected in [
        "\r\nVia: 1.1 edge\r\n",
        "\n/p%20q?x=%2F\n",
        "Host: site.example\n",
        "Via: 1.0 fred\nCDN-Loop: edge-1234\nVia: 1.1 edge\n",
        "Forwarded: for=unknown;host=\"site.example\";proto=http\n",
        "X-Forwarded-For: unknown\n",
        "X-Forwarded-Proto: http\n",
        "X-Forwarded-Host: site.example\n",
    ] {
        assert!(answer.contains(expected), "{expected} in {answer}");
    }
    for lie in ["1.2.3.4", "https", "X-Forwarded-Port", "TE:", "X-Hop"] {
        assert!(!answer.contains(lie), "{lie} in {answer}");
    }
}

#[test]
fn a_proxy_in_front_is_believed_if_the_configuration_says_so() {
    let world = World::new();
    world.serve_routes("a", Routes::new().any("/*path", seen));
    front(
        &world,
        Config::default(),
        &["a"],
        ReverseProxyConfig { trusts_clients: true, ..proxy() },
    );
    let answer = say(&world, &get("/", LIES));
    for expected in [
        "X-Forwarded-For: 1.2.3.4, unknown\n",
        "X-Forwarded-Proto: https\n",
        "Forwarded: for=1.2.3.4, for=unknown;host=\"site.example\";proto=http\n",
        "X-Real-IP: 1.2.3.4\n",
    ] {
        assert!(answer.contains(expected), "{expected} in {answer}");
    }
}

#[test]
fn rfc7239_7_4_what_a_proxy_says_in_one_way_is_said_in_both() {
    let world = World::new();
    world.serve_routes("a", Routes::new().any("/*path", seen));
    let trusting = ReverseProxyConfig { trusts_clients: true, ..proxy() };
    front(&world, Config::default(), &["a"], trusting);
    let own = "for=unknown;host=\"site.example\";proto=http";
    for (fields, expected) in [
        (
            "X-Forwarded-For: 192.0.2.1, 2001:db8::1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n",
            &[
                "X-Forwarded-For: 192.0.2.1, 2001:db8::1, unknown\n",
                "Forwarded: for=192.0.2.1;host=\"shop.example\";proto=https, for=\"[2001:db8::1]\", ",
                "X-Forwarded-Proto: https\n",
                "X-Forwarded-Host: shop.example\n",
            ][..],
        ),
        (
            "X-Forwarded-Proto: https\r\n",
            &["X-Forwarded-For: unknown, unknown\n", "Forwarded: for=unknown;proto=https, "],
        ),
        (
            "Forwarded: for=\"[2001:db8::1]:47\";proto=https;host=shop.example, for=192.0.2.1\r\n",
            &[
                "X-Forwarded-For: 2001:db8::1, 192.0.2.1, unknown\n",
                "Forwarded: for=\"[2001:db8::1]:47\";proto=https;host=shop.example, for=192.0.2.1, ",
                "X-Forwarded-Proto: https\n",
                "X-Forwarded-Host: shop.example\n",
            ],
        ),
        // No field is ended, and no quote opened, by what is in another one.
        (
            "X-Forwarded-For: 192.0.2.1;by=x\r\nX-Forwarded-Host: a\"b\r\nX-Forwarded-Proto: x;y\r\n",
            &["Forwarded: for=unknown, for=unknown;host"],
        ),
    ] {
        let answer = say(&world, &get("/", fields));
        for expected in expected.iter().copied().chain([own]) {
            assert!(answer.contains(expected), "{expected} in {answer}");
        }
    }
}

#[test]
fn rfc9110_7_6_2_options_go_as_far_as_they_say() {
    let world = World::new();
    world.serve_routes("a", Routes::new().any("/*path", seen));
    front(&world, Config::default(), &["a"], proxy());
    let ask = |method: &str, hops: &str| {
        say(&world, &get("/", &format!("Max-Forwards: {hops}\r\n")).replacen("GET", method, 1))
    };
    for (method, hops, status, left) in [
        ("OPTIONS", "0", "204", None),
        ("TRACE", "0", "501", None),
        ("OPTIONS", "1", "200", Some("0")),
        ("OPTIONS", "99999999999", "200", Some("4294967294")),
        ("OPTIONS", "-1", "200", Some("-1")),
        ("GET", "0", "200", Some("0")),
    ] {
        let answer = ask(method, hops);
        assert_eq!(&answer[9..12], status, "{method} {hops}: {answer}");
        if let Some(left) = left {
            assert!(answer.contains(&format!("\nMax-Forwards: {left}\n")), "{method}: {answer}");
        }
    }
}

#[test]
fn rfc8586_a_request_that_goes_round_in_circles_is_answered_508() {
    let world = World::new();
    front(&world, Config::default(), &["front"], proxy());
    assert!(say(&world, &get("/", "")).starts_with("HTTP/1.1 508 "));
}

#[test]
fn rfc9110_15_6_3_content_that_is_wrong_from_the_first_is_502() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
    ] {
        let world = World::new();
        world.serve("a", Nature::Says(bytes));
        front(&world, Config::default(), &["a"], proxy());
        let answer = say(&world, &get("/", ""));
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }
}

#[test]
fn rfc9112_8_what_came_before_content_breaks_off_is_passed_on_and_not_ended() {
    for (bytes, rest) in [
        (
            &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\nzz\r\n"[..],
            "00000005\r\nearly\r\n",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nearly", "early"),
    ] {
        let world = World::new();
        world.serve("a", Nature::Says(bytes));
        front(&world, Config::default(), &["a"], proxy());
        let answer = say(&world, &get("/", ""));
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&format!("\r\n\r\n{rest}")),
            "{answer}"
        );
    }
}

#[test]
fn what_is_wrong_with_the_service_is_told_by_502_503_and_504() {
    for (names, status) in
        [(&["nowhere"][..], 502), (&[], 503), (&["silent"], 504), (&["closing"], 502)]
    {
        let world = World::new();
        world.serve("silent", Nature::Silent);
        world.serve("closing", Nature::Says(b""));
        front(&world, Config::default(), names, proxy());
        let answer = say(&world, &get("/", ""));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{names:?}: {answer}");
    }
}

/// What a server says that does not frame its answers as RFC 9112 has it is never shown to a client, who could take the rest
/// for an answer to its next request.
#[test]
fn rfc9112_11_bad_answers_are_not_smuggled_on() {
    for bad in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked, chunked, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b: c\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rY: b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        b"hello\r\n\r\n",
    ] {
        let world = World::new();
        world.serve("bad", Nature::Says(bad));
        front(&world, Config::default(), &["bad"], proxy());
        let answer = say(&world, &get("/", ""));
        assert!(answer.starts_with("HTTP/1.1 502 "), "{}: {answer}", bad.escape_ascii());
    }
}

#[test]
fn an_answer_that_is_cut_short_is_not_taken_for_whole() {
    let world = World::new();
    world.serve(
        "short",
        Nature::Says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    );
    front(&world, Config::default(), &["short"], proxy());
    let answer = say(&world, &get("/", ""));
    assert!(!answer.contains("\r\n0\r\n"), "{answer}");
}

#[test]
fn what_follows_an_answer_is_none_to_the_next_request() {
    let world = World::new();
    world.serve(
        "twice",
        Nature::Says(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2",
        ),
    );
    front(&world, Config::default(), &["twice"], proxy());
    for _ in 0..3 {
        let answer = say(&world, &get("/", ""));
        assert!(answer.ends_with("\r\n\r\n1"), "{answer}");
    }
    assert_eq!(world.count("twice"), 3);
}

#[test]
fn a_connection_that_switches_protocols_is_passed_through_and_keeps_its_place_busy() {
    let world = World::new();
    let upgrade = |request: web::Request| async move {
        assert_eq!(request.upgrade(), Some(&b"websocket"[..]));
        let head = Response::new(Status::SWITCHING_PROTOCOLS).with_header("Upgrade", "websocket");
        Reply::upgrade(head, async |mut flow: Box<dyn Flow>| {
            let mut buffer = [0; 100];
            while let Ok(count @ 1..) = flow.read(&mut buffer).await {
                flow.write_all(&buffer[..count].to_ascii_uppercase()).await.unwrap();
            }
        })
    };
    world.serve_routes("a", Routes::new().get("/ws", upgrade));
    front(&world, Config::default(), &["a"], proxy());
    let head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let network = world.network.clone();
    let seen = world.within(2, async move {
        let mut flow = network.connect(&target("front")).await.unwrap();
        flow.write_all(head.as_bytes()).await.unwrap();
        let mut seen = String::new();
        let mut buffer = [0; 500];
        while !seen.ends_with("\r\n\r\n") {
            let count = flow.read(&mut buffer).await.unwrap();
            seen += core::str::from_utf8(&buffer[..count]).unwrap();
        }
        flow.write_all(b"frames").await.unwrap();
        let count = flow.read(&mut buffer).await.unwrap();
        seen + core::str::from_utf8(&buffer[..count]).unwrap()
    });
    assert!(seen.starts_with("HTTP/1.1 101 ") && seen.ends_with("FRAMES"), "{seen}");
}

#[test]
fn requests_with_the_same_key_go_to_the_same_place() {
    for (key, same, other) in [
        (RequestKey::Path, get("/one", ""), get("/two", "")),
        (
            RequestKey::Header("x-user".into()),
            get("/", "X-User: ann\r\n"),
            get("/", "X-User: bob\r\n"),
        ),
        (
            RequestKey::Cookie("user".into()),
            get("/", "Cookie: user=ann\r\n"),
            get("/", "Cookie: user=bob\r\n"),
        ),
    ] {
        let world = World::new();
        for name in ["a", "b", "c"] {
            world.serve(name, Nature::Well);
        }
        let config = Config { policy: Policy::ConsistentHash, ..Config::default() };
        front(&world, config, &["a", "b", "c"], ReverseProxyConfig { key, ..proxy() });
        for request in [&same, &other] {
            let first = say(&world, request);
            for _ in 0..5 {
                assert_eq!(say(&world, request).lines().last(), first.lines().last());
            }
        }
    }
}
