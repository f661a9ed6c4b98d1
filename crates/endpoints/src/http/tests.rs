//! A server and its clients, over flows in memory.

use crate::http::client::{BalancedClient, Client, ClientConfig, ClientError};
use crate::http::{Server, ServerConfig};
use crate::places::tests::{Changing, services};
use alloc::rc::Rc;
use core::cell::Cell;
use core::time::Duration;
use flow::memory::{MemoryFlow, MemoryListener, MemoryNetwork};
use flow::registry::{ResolvingConnector, WayPolicy, Ways};
use flow::task::{Executor, TaskHandle};
use flow::time::Timers;
use flow::{Connector, Flow, FlowExt, Target};
use std::string::String;
use std::vec::Vec;
use web::{Answer, Content, Handler, Reply, Request, Response, Status};

/// One server, and clients that say a text and read until the end.
struct Lab {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    server: Server,
}

fn target() -> Target {
    "web:80".parse().unwrap()
}

impl Lab {
    fn new(handler: impl Handler) -> Self {
        let catch = |body: &mut dyn FnMut()| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| String::from("boom"))
        };
        let executor = Executor::new(catch);
        let timers = Timers::new();
        let network = MemoryNetwork::new(700, 64);
        let listener: MemoryListener = network.listen(&target()).unwrap();
        let server = Server::new(ServerConfig::default(), &executor.spawner(), &timers, handler);
        executor.spawner().spawn("listener", server.clone().serve(listener));
        Self { executor, timers, network, server }
    }

    /// Sends `text` in pieces of `piece` bytes and reads all that comes back.
    fn say(&self, text: &[u8], piece: usize) -> TaskHandle<String> {
        let (network, text) = (self.network.clone(), text.to_vec());
        self.executor.spawner().spawn_joinable("client", async move {
            let mut flow: MemoryFlow = network.connect(&target()).await.unwrap();
            for piece in text.chunks(piece) {
                if flow.write_all(piece).await.is_err() {
                    break;
                }
            }
            let mut seen = Vec::new();
            let mut buffer = [0; 500];
            while let Ok(1..) = flow.read(&mut buffer).await.inspect(|&count| {
                seen.extend_from_slice(&buffer[..count]);
            }) {}
            String::from_utf8_lossy(&seen).into_owned()
        })
    }

    fn run(&self) {
        self.executor.run_until_stalled();
    }

    fn answer(&self, text: &[u8]) -> String {
        let handle = self.say(text, text.len());
        self.run();
        flow::task::block_on(handle).unwrap()
    }
}

async fn echo(mut request: Request) -> Response {
    match request.body().collect(1 << 20).await {
        Ok(body) => Response::ok("text/plain", body),
        Err(_) => Response::plain(Status::BAD_REQUEST),
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let lab = Lab::new(echo);
    let answer = lab.answer(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\noneGET / HTTP/1.1\r\nHost: a\r\n\r\n\
          POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\ntwo\r\n0\r\n\r\n",
    );
    let bodies: Vec<&str> = answer.split("\r\n\r\n").collect();
    assert!(bodies[1].starts_with("oneHTTP/1.1 200 OK"), "{answer}");
    assert!(bodies[3].ends_with("two"), "{answer}");
    assert_eq!(lab.server.connections(), 0);
    assert_eq!(lab.server.requests(), 3);
}

#[test]
fn a_large_body_goes_through_small_rings_both_ways() {
    let lab = Lab::new(echo);
    let body: String = (0..20_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let head = std::format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let answer = lab.answer(&[head.as_bytes(), body.as_bytes()].concat());
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(&body));
}

#[test]
fn a_body_that_just_fills_the_buffer_ends() {
    let lab = Lab::new(echo);
    for length in [64 << 10, 2 * (64 << 10), (64 << 10) + 1] {
        let head = std::format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let answer = lab.answer(&[head.as_bytes(), &std::vec![b'y'; length]].concat());
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{length}: {answer}");
        assert!(answer.ends_with(&std::format!("\r\n\r\n{}", "y".repeat(length))));
    }
}

#[test]
fn a_panic_is_a_500_and_closes_its_connection_only() {
    let lab = Lab::new(|request: Request| async move {
        assert!(request.path() != b"/die", "asked to");
        Response::ok("text/plain", "alive")
    });
    let waiting = lab.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 7);
    let dying =
        lab.answer(b"GET /die HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(dying.starts_with("HTTP/1.1 500 ") && !dying.contains("alive"), "{dying}");
    assert_eq!(lab.server.connections(), 1);
    lab.server.drain();
    lab.run();
    assert!(flow::task::block_on(waiting).unwrap().ends_with("alive"));
    assert_eq!(lab.server.connections(), 0);
}

#[test]
fn streams_are_written_as_they_are_taken_and_end_right() {
    let lab = Lab::new(|request: Request| async move {
        let known = request.path() == b"/known";
        let length = known.then_some(3 * 1000);
        let head = Response::new(Status::OK).carrying(Content::Stream(length));
        Reply::stream(head, |mut writer| async move {
            for _ in 0..3 {
                writer.write(std::vec![b'x'; 1000]).await;
            }
        })
    });
    let close = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let known = lab.answer(std::format!("GET /known {close}").as_bytes());
    assert!(known.contains("Content-Length: 3000\r\n") && known.ends_with(&"x".repeat(3000)));
    let chunked = lab.answer(std::format!("GET / {close}").as_bytes());
    assert!(chunked.contains("chunked") && chunked.ends_with("\r\n0\r\n\r\n"), "{chunked}");
    assert_eq!(chunked.matches('x').count(), 3000);
    let head = lab.answer(std::format!("HEAD /known {close}").as_bytes());
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn an_upgrade_hands_over_the_flow_with_what_was_sent_already() {
    let lab = Lab::new(|_: Request| async move {
        let head = Response::new(Status::SWITCHING_PROTOCOLS).with_header("Upgrade", "shout");
        Reply::upgrade(head, |mut flow| async move {
            let words = flow.read_with(|bytes| (bytes.len(), bytes.to_ascii_uppercase())).await;
            flow.write_all(&words.unwrap()).await.unwrap();
            flow.finish();
        })
    });
    let answer = lab
        .answer(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\nhello");
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\nHELLO"), "{answer}");
}

#[test]
fn a_slow_client_is_told_and_cut_off() {
    let lab = Lab::new(echo);
    let slow = lab.say(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", 5);
    lab.run();
    for seconds in 1..60 {
        lab.timers.advance(Duration::from_secs(seconds));
        lab.run();
    }
    let answer = flow::task::block_on(slow).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(lab.server.connections(), 0);
}

#[test]
fn an_answer_that_waits_does_not_hold_others_up() {
    struct Never;
    impl Handler for Never {
        fn answer(&self, request: Request) -> Answer {
            match request.path() {
                b"/never" => Answer::Later(std::boxed::Box::pin(core::future::pending())),
                _ => Answer::Now(Response::plain(Status::OK).closing().into()),
            }
        }
    }
    let lab = Lab::new(Never);
    let _stuck = lab.say(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n", 99);
    lab.run();
    assert!(lab.answer(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").contains("200"));
    assert_eq!(lab.server.connections(), 1);
}

#[test]
fn refused_requests_are_answered_whatever_their_pieces() {
    let lab = Lab::new(echo);
    let bad = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    for piece in 1..=bad.len() {
        let refused = lab.say(bad, piece);
        lab.run();
        let answer = flow::task::block_on(refused).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{piece}: {answer}");
    }
}

/// A service that is at `web`, and may move to `other`.
struct Moving {
    lab: Lab,
    client: PlainClient,
    registry: Rc<Changing>,
}

type PlainClient = Client<ResolvingConnector<MemoryNetwork>>;

impl Moving {
    fn new() -> Self {
        let lab = Lab::new(|_: Request| async { Response::ok("text/plain", "web") });
        let (spawner, timers) = (lab.executor.spawner(), &lab.timers);
        let other = |_: Request| async { Response::ok("text/plain", "other") };
        let server = Server::new(ServerConfig::default(), &spawner, timers, other);
        let listener: MemoryListener = lab.network.listen(&"other:80".parse().unwrap()).unwrap();
        spawner.spawn("listener", server.serve(listener));

        let watch = flow::sync::Watch::new(Ok(services("shop alpha http web:80")));
        let registry = Rc::new(Changing(watch));
        let ways = Ways::new(WayPolicy::default(), timers);
        let connector = ResolvingConnector::new(lab.network.clone(), registry.clone(), ways);
        let client = Client::new(ClientConfig::default(), connector, &spawner, timers);
        Self { lab, client, registry }
    }

    fn moves(&self) {
        self.registry.0.set(Ok(services("shop alpha http other:80")));
        self.lab.run();
    }

    /// What the service answers.
    fn ask<A: Future<Output = Result<Answered, ClientError>> + 'static>(
        &self,
        asked: A,
    ) -> Vec<u8> {
        let asking = self.lab.executor.spawner().spawn_joinable("asking", async move {
            asked.await.unwrap().collect(99).await.unwrap()
        });
        self.lab.run();
        flow::task::block_on(asking).unwrap()
    }
}

type Answered = crate::http::client::Response<MemoryFlow>;

#[test]
fn idle_connections_are_not_for_a_place_that_has_moved() {
    let moving = Moving::new();
    let (spawner, timers) = (moving.lab.executor.spawner(), &moving.lab.timers);
    let places = crate::places::Places::new("shop", Default::default(), 1, &spawner, timers);
    places.follow(moving.registry.clone(), "shop".parse().unwrap());
    let client = BalancedClient::new(moving.client.clone(), places);
    let ask = || {
        let client = client.clone();
        moving.ask(async move { client.get("shop", "/").await })
    };
    assert_eq!((ask(), ask()), (b"web".to_vec(), b"web".to_vec()));
    assert_eq!(moving.lab.server.connections(), 1);
    moving.moves();
    assert_eq!(ask(), b"other");
    moving.lab.run();
    assert_eq!(moving.lab.server.connections(), 0, "it is not kept either");
}

/// Who asks by a name hears nothing of a move, and so opens anew where the name leads, but not for each request.
#[test]
fn a_service_s_idle_connections_are_opened_anew_before_long() {
    let moving = Moving::new();
    let ask = |target: &'static str| {
        let (client, target) = (moving.client.clone(), target.parse::<Target>().unwrap());
        moving.ask(async move { client.get(&target, "/").await })
    };
    let (service, host) = ("service://shop", "web:80");
    assert_eq!((ask(service), ask(host)), (b"web".to_vec(), b"web".to_vec()));
    moving.moves();
    let limit = Duration::from_secs(10);
    moving.lab.timers.advance(limit - Duration::from_millis(1));
    assert_eq!(ask(service), b"web", "the connection still serves");
    moving.lab.timers.advance(limit);
    assert_eq!(ask(service), b"other");
    assert_eq!(moving.lab.server.connections(), 1, "that to the host, to which no name leads");
    assert_eq!(ask(host), b"web");
    assert_eq!(moving.lab.server.connections(), 1);
}

/// A value of a handler, which counts when it is dropped.
struct Held(Rc<Cell<u32>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A client asks, goes in its way while the handler waits, and the handler has another turn.
fn drops_when_the_client(goes: impl FnOnce(MemoryFlow) -> Option<MemoryFlow> + 'static) -> u32 {
    let drops = Rc::new(Cell::new(0));
    let held = drops.clone();
    let lab = Lab::new(move |_: Request| {
        let held = Held(held.clone());
        async move {
            core::future::pending::<()>().await;
            drop(held);
            Response::plain(Status::OK)
        }
    });
    let network = lab.network.clone();
    let client = lab.executor.spawner().spawn_joinable("client", async move {
        let mut flow: MemoryFlow = network.connect(&target()).await.unwrap();
        flow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        flow::task::yield_once().await;
        goes(flow)
    });
    lab.run();
    let _flow = flow::task::block_on(client).unwrap();
    drops.get()
}

#[test]
fn a_handler_is_dropped_when_its_client_resets_the_connection() {
    let reset = |flow| {
        drop(flow);
        None
    };
    assert_eq!(drops_when_the_client(reset), 1);
}

#[test]
fn rfc9112_9_6_a_client_that_only_ends_its_side_is_still_answered() {
    let end = |mut flow: MemoryFlow| {
        flow.finish();
        Some(flow)
    };
    assert_eq!(drops_when_the_client(end), 0);
}

#[test]
fn a_producer_is_dropped_when_its_client_has_gone() {
    let drops = Rc::new(Cell::new(0));
    let held = drops.clone();
    let lab = Lab::new(move |_: Request| {
        let held = Held(held.clone());
        async move {
            let head = Response::new(Status::OK).carrying(Content::Stream(None));
            Reply::stream(head, move |mut writer| async move {
                writer.write("first").await;
                core::future::pending::<()>().await;
                drop(held);
            })
        }
    });
    let network = lab.network.clone();
    lab.executor.spawner().spawn("client", async move {
        let mut flow: MemoryFlow = network.connect(&target()).await.unwrap();
        flow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        flow.read_with(|bytes| (bytes.len(), ())).await.unwrap();
    });
    lab.run();
    assert_eq!((drops.get(), lab.server.connections()), (1, 0));
}
