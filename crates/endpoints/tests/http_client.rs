//! The HTTP client over in-memory flows, against our own server and against peers that misbehave.

use endpoints::http::client::{Client, ClientConfig, ClientError, Request};
use endpoints::http::{Error, Limits, Server, ServerConfig};
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::registry::{ResolvingConnector, StaticRegistry, WayPolicy, Ways};
use flow::task::Executor;
use flow::time::Timers;
use flow::{ConnectError, Connector, FlowExt, Listener, Target};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use web::{Content, Handler, Method, Reply, Response, Status};

/// One client, and whoever listens at `web:80`.
struct Lab {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    client: Client<MemoryNetwork>,
}

fn target() -> Target {
    "web:80".parse().unwrap()
}

impl Lab {
    fn new(config: ClientConfig) -> Lab {
        let executor = Executor::new(|body| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| String::from("boom"))
        });
        let timers = Timers::new();
        let network = MemoryNetwork::new(700, 64);
        let client = Client::new(config, network.clone(), &executor.spawner(), &timers);
        Lab { executor, timers, network, client }
    }

    fn with_server(handler: impl Handler) -> (Lab, Server) {
        let lab = Lab::new(ClientConfig::default());
        let server =
            Server::new(ServerConfig::default(), &lab.executor.spawner(), &lab.timers, handler);
        let listener = lab.network.listen(&target()).unwrap();
        lab.executor.spawner().spawn("listener", server.clone().serve(listener));
        (lab, server)
    }

    /// A server that says `answers`, one for each time it was sent something, and then ends the connection.
    fn with_script(
        config: ClientConfig,
        answers: &'static [&'static [u8]],
    ) -> (Lab, Rc<Cell<usize>>) {
        let lab = Lab::new(config);
        let mut listener = lab.network.listen(&target()).unwrap();
        let accepted = Rc::new(Cell::new(0));
        let count = accepted.clone();
        lab.executor.spawner().spawn("script", async move {
            loop {
                let mut flow = listener.accept().await.unwrap();
                count.set(count.get() + 1);
                for answer in answers {
                    if !matches!(flow.read(&mut [0; 1000]).await, Ok(1..)) {
                        break;
                    }
                    flow.write_all(answer).await.unwrap();
                }
                flow.finish_and_wait().await;
            }
        });
        (lab, accepted)
    }

    fn run<T: 'static>(&self, work: impl AsyncFnOnce(Client<MemoryNetwork>) -> T + 'static) -> T {
        let client = self.client.clone();
        let handle =
            self.executor.spawner().spawn_joinable("work", async move { work(client).await });
        self.executor.run_until_stalled();
        flow::task::block_on(handle).unwrap()
    }
}

trait FinishAndWait {
    async fn finish_and_wait(&mut self);
}

impl FinishAndWait for MemoryFlow {
    async fn finish_and_wait(&mut self) {
        flow::Flow::finish(self);
        let _ = self.drained().await;
    }
}

async fn echo(mut request: web::Request) -> Response {
    let body = request.body().collect(1 << 20).await.unwrap();
    Response::ok("text/plain", body).with_header("X-Path", request.path())
}

#[test]
fn a_service_is_called_by_its_name_in_host() {
    let (lab, server) = Lab::with_server(async |request: web::Request| {
        Response::ok("text/plain", request.authority().to_vec())
    });
    let table = b"shop alpha http web:80";
    let registry = Rc::new(StaticRegistry::parse(table).unwrap());
    let ways = Ways::new(WayPolicy::default(), &lab.timers);
    let connector = ResolvingConnector::new(lab.network.clone(), registry, ways);
    let client =
        Client::new(ClientConfig::default(), connector, &lab.executor.spawner(), &lab.timers);
    for (target, host) in
        [("service://shop", &b"shop"[..]), ("service://shop@alpha", b"shop"), ("web:80", b"web:80")]
    {
        let (client, target) = (client.clone(), target.parse::<Target>().unwrap());
        let answer = lab.run(async move |_| {
            let mut response = client.get(&target, "/").await.unwrap();
            (response.status(), response.collect(100).await.unwrap())
        });
        // RFC 9110 section 7.2; our server refuses a Host that is none.
        assert_eq!(answer, (Status::OK, host.to_vec()));
    }
    assert_eq!(server.requests(), 3);
}

const SHORT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";

#[test]
fn a_connection_serves_no_request_when_it_is_too_old() {
    let connection_age_max = Duration::from_secs(10);
    let config = ClientConfig { connection_age_max, ..ClientConfig::default() };
    let (lab, accepted) = Lab::with_script(config, &[SHORT; 3]);
    for (now_millis, connections) in [(0, 1), (9_999, 1), (10_000, 2)] {
        lab.timers.advance(Duration::from_millis(now_millis));
        let body = lab.run(async |client| {
            client.get(&target(), "/").await.unwrap().collect(1).await.unwrap()
        });
        assert_eq!((body.as_slice(), accepted.get()), (&b"x"[..], connections), "{now_millis}");
    }
}

#[test]
fn of_idle_connections_to_one_target_only_so_many_are_kept() {
    for kept in [0, 1, 2, 3] {
        let lab = Lab::new(ClientConfig { idle_per_target_max: kept, ..ClientConfig::default() });
        let spawner = lab.executor.spawner();
        let server = Server::new(ServerConfig::default(), &spawner, &lab.timers, echo);
        let listener = lab.network.listen(&target()).unwrap();
        spawner.spawn("listener", server.clone().serve(listener));
        let (closed, asking) = (lab.client.clone(), server.clone());
        let open = lab.run(async move |_| {
            let mut answers = Vec::new();
            for _ in 0..3 {
                let request = Request::new(Method::Put, "web", "/").unwrap();
                let request = request.with_content("text/plain", "x");
                answers.push(closed.send(&target(), request).await.unwrap());
            }
            let open = asking.connections();
            for mut answer in answers {
                answer.collect(1).await.unwrap();
            }
            open
        });
        assert_eq!((open, server.connections()), (3, kept));
    }
}

#[test]
fn one_connection_serves_one_request_after_the_other() {
    let (lab, server) = Lab::with_server(echo);
    lab.run(async |client| {
        for index in 0..5 {
            let content = format!("content {index}");
            let request = Request::new(Method::Put, "web", "/x").unwrap();
            let request = request.with_content("text/plain", content.clone());
            let mut response = client.send(&target(), request).await.unwrap();
            assert_eq!(
                (response.status(), response.header("x-path")),
                (Status::OK, Some(&b"/x"[..]))
            );
            assert_eq!(response.collect(100).await.unwrap(), content.as_bytes());
            assert_eq!(response.next().await.unwrap(), None);
        }
    });
    assert_eq!((server.connections(), server.requests()), (1, 5));
}

#[test]
fn requests_at_once_get_connections_of_their_own() {
    let (lab, server) = Lab::with_server(echo);
    lab.run(async |client| {
        let first = client.get(&target(), "/1").await.unwrap();
        let second = client.get(&target(), "/2").await.unwrap();
        drop((first, second));
    });
    // Their bodies are empty, so both connections were free again at once.
    assert_eq!((server.connections(), server.requests()), (1, 2));
    lab.run(async |client| {
        let request =
            || Request::new(Method::Put, "web", "/").unwrap().with_content("text/plain", "x");
        let mut first = client.send(&target(), request()).await.unwrap();
        let mut second = client.send(&target(), request()).await.unwrap();
        assert_eq!(first.collect(9).await.unwrap(), second.collect(9).await.unwrap());
    });
    assert_eq!(server.connections(), 2);
}

#[test]
fn bodies_stream_both_ways_through_small_rings() {
    let (lab, _) = Lab::with_server(async |mut request: web::Request| {
        let response = Response::new(Status::OK).carrying(Content::Stream(None));
        Reply::stream(response, async move |mut writer| {
            while let Ok(Some(piece)) = request.body().next().await {
                writer.write(piece).await;
            }
        })
    });
    lab.run(async |client| {
        let request =
            Request::new(Method::Post, "web", "/").unwrap().carrying(Content::Stream(None));
        let produce = async |mut writer: web::ContentWriter| {
            for index in 0..200u32 {
                writer.write(index.to_be_bytes().repeat(25)).await;
            }
        };
        let mut response = client.send_stream(&target(), request, produce).await.unwrap();
        let body = response.collect(1 << 20).await.unwrap();
        let expected: Vec<u8> =
            (0..200u32).flat_map(|index| index.to_be_bytes().repeat(25)).collect();
        assert!(body == expected, "{} bytes", body.len());
    });
}

#[test]
fn a_streamed_body_keeps_to_its_declared_length() {
    let (lab, _) = Lab::with_server(echo);
    for (declared, fits) in [(4, true), (3, false), (5, false)] {
        let outcome = lab.run(async move |client| {
            let request = Request::new(Method::Post, "web", "/")
                .unwrap()
                .carrying(Content::Stream(Some(declared)));
            let produce = async |mut writer: web::ContentWriter| {
                writer.write("ab").await;
                writer.write("cd").await;
            };
            let mut response = client.send_stream(&target(), request, produce).await?;
            response.collect(100).await
        });
        assert_eq!(
            outcome,
            if fits { Ok(b"abcd".to_vec()) } else { Err(ClientError::StreamLength) },
            "{declared}"
        );
    }
}

#[test]
fn an_abandoned_upload_is_an_error_on_both_sides() {
    let (lab, server) = Lab::with_server(async |mut request: web::Request| {
        assert!(request.body().collect(100).await.is_err(), "a part was taken for the whole");
        Response::plain(Status::BAD_REQUEST)
    });
    for declared in [None, Some(2), Some(100)] {
        let outcome = lab.run(async move |client| {
            let request =
                Request::new(Method::Put, "web", "/").unwrap().carrying(Content::Stream(declared));
            let produce = async |mut writer: web::ContentWriter| {
                writer.write("a").await;
                writer.abandon();
            };
            client.send_stream(&target(), request, produce).await.map(drop)
        });
        assert_eq!(outcome, Err(ClientError::StreamLength), "{declared:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn an_abandoned_download_does_not_look_whole() {
    for declared in [None, Some(2), Some(100)] {
        let (lab, server) = Lab::with_server(move |_: web::Request| async move {
            let response = Response::new(Status::OK).carrying(Content::Stream(declared));
            Reply::stream(response, async |mut writer| {
                writer.write("a").await;
                writer.abandon();
            })
        });
        let outcome = lab.run(async |client| {
            let mut response = client.get(&target(), "/").await?;
            response.collect(100).await
        });
        assert!(outcome.is_err(), "{declared:?}: {outcome:?}");
        assert_eq!(server.connections(), 0);
    }
}

#[test]
fn rfc9112_9_3_1_a_stale_connection_costs_a_repeatable_request_nothing() {
    const ANSWER: &[u8] = b"HTTP/1.1 204 X\r\n\r\n";
    let (lab, accepted) = Lab::with_script(ClientConfig::default(), &[ANSWER]);
    // Each connection takes one request and ends; the client learns of it at once or only from its next request.
    lab.run(async |client| {
        for _ in 0..3 {
            assert_eq!(client.get(&target(), "/").await.unwrap().status(), Status::NO_CONTENT);
        }
    });
    assert_eq!(accepted.get(), 3);
}

#[test]
fn what_cannot_be_repeated_is_not() {
    // The second request is taken, and the connection ends without an answer.
    let (lab, accepted) =
        Lab::with_script(ClientConfig::default(), &[b"HTTP/1.1 204 X\r\n\r\n", b""]);
    let outcome = lab.run(async |client| {
        let post = || Request::new(Method::Post, "web", "/").unwrap();
        assert!(client.send(&target(), post()).await.is_ok());
        client.send(&target(), post()).await.map(drop)
    });
    assert_eq!((outcome, accepted.get()), (Err(ClientError::Protocol(Error::NoResponse)), 1));
    let outcome = lab.run(async |client| {
        assert!(client.get(&target(), "/").await.is_ok());
        client.get(&target(), "/").await.map(drop)
    });
    assert_eq!((outcome, accepted.get()), (Ok(()), 3));
}

#[test]
fn idle_connections_end_in_their_time() {
    let (lab, server) = Lab::with_server(echo);
    lab.run(async |client| drop(client.get(&target(), "/").await.unwrap()));
    assert_eq!(server.connections(), 1);
    lab.timers.advance(Duration::from_secs(74));
    lab.executor.run_until_stalled();
    assert_eq!(server.connections(), 1);
    lab.timers.advance(Duration::from_secs(80));
    lab.executor.run_until_stalled();
    assert_eq!((server.connections(), lab.executor.spawner().tasks().len()), (0, 1));
}

#[test]
fn idle_connections_max() {
    let config = ClientConfig { idle_connections_max: 0, ..ClientConfig::default() };
    let (lab, accepted) =
        Lab::with_script(config, &[b"HTTP/1.1 204 X\r\n\r\n", b"HTTP/1.1 204 X\r\n\r\n"]);
    lab.run(async |client| drop(client.get(&target(), "/").await.unwrap()));
    lab.run(async |client| drop(client.get(&target(), "/").await.unwrap()));
    assert_eq!(accepted.get(), 2);
}

#[test]
fn what_goes_wrong_is_told() {
    let cases: [(&'static [&'static [u8]], ClientError); 4] = [
        (&[b""], ClientError::Protocol(Error::NoResponse)),
        (&[b"HTTP/1.1 200 OK\r\n"], ClientError::Protocol(Error::Truncated)),
        (
            &[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"],
            ClientError::Protocol(Error::Truncated),
        ),
        (&[b"SSH-2.0-x\r\n\r\n"], ClientError::Protocol(Error::StartLine)),
    ];
    for (answers, expected) in cases {
        let (lab, _) = Lab::with_script(ClientConfig::default(), answers);
        let outcome = lab.run(async |client| {
            let mut response = client.get(&target(), "/").await?;
            response.collect(100).await
        });
        assert_eq!(outcome, Err(expected));
    }
    let lab = Lab::new(ClientConfig::default());
    let outcome = lab.run(async |client| client.get(&target(), "/").await.map(drop));
    assert_eq!(outcome, Err(ClientError::Connect(ConnectError::Refused)));
}

#[test]
fn a_body_longer_than_wanted_is_refused() {
    let (lab, _) =
        Lab::with_script(ClientConfig::default(), &[b"HTTP/1.1 200 OK\r\n\r\n0123456789"]);
    let outcome =
        lab.run(async |client| client.get(&target(), "/").await.unwrap().collect(9).await);
    assert_eq!(outcome, Err(ClientError::TooLong));
    let outcome =
        lab.run(async |client| client.get(&target(), "/").await.unwrap().collect(10).await);
    assert_eq!(outcome, Ok(b"0123456789".to_vec()));
}

#[test]
fn a_silent_server_times_out() {
    let limits = Limits { response_timeout: Duration::from_secs(3), ..Limits::default() };
    let lab = Lab::new(ClientConfig { limits, ..ClientConfig::default() });
    let _listener = lab.network.listen(&target()).unwrap();
    let client = lab.client.clone();
    let handle = lab
        .executor
        .spawner()
        .spawn_joinable("work", async move { client.get(&target(), "/").await.map(drop) });
    lab.executor.run_until_stalled();
    lab.timers.advance(Duration::from_secs(3));
    lab.executor.run_until_stalled();
    assert_eq!(flow::task::block_on(handle).unwrap(), Err(ClientError::Protocol(Error::Timeout)));
}

#[test]
fn an_unreachable_target_times_out() {
    #[derive(Clone)]
    struct Nowhere;
    impl Connector for Nowhere {
        type Flow = MemoryFlow;
        async fn connect(&self, _: &Target) -> Result<MemoryFlow, ConnectError> {
            std::future::pending().await
        }
    }
    let lab = Lab::new(ClientConfig::default());
    let client =
        Client::new(ClientConfig::default(), Nowhere, &lab.executor.spawner(), &lab.timers);
    let handle = lab
        .executor
        .spawner()
        .spawn_joinable("work", async move { client.get(&target(), "/").await.map(drop) });
    lab.executor.run_until_stalled();
    lab.timers.advance(Duration::from_secs(10));
    lab.executor.run_until_stalled();
    assert_eq!(
        flow::task::block_on(handle).unwrap(),
        Err(ClientError::Connect(ConnectError::TimedOut))
    );
}

#[test]
fn an_upgrade_gives_the_flow_away() {
    let (lab, _) = Lab::with_script(
        ClientConfig::default(),
        &[b"HTTP/1.1 101 S\r\nUpgrade: echo\r\n\r\nhello"],
    );
    let seen = lab.run(async |client| {
        let request = Request::new(Method::Get, "web", "/").unwrap().upgrading("echo");
        let response = client.send(&target(), request).await.unwrap();
        let mut flow = response.into_flow().unwrap();
        let mut buffer = [0; 10];
        let count = flow.read(&mut buffer).await.unwrap();
        buffer[..count].to_vec()
    });
    assert_eq!(seen, b"hello");
}
