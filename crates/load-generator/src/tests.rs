//! The generator against our own server, over flows in memory, by a clock that moves to whatever is next.

use super::*;
use ::flow::FlowExt;
use ::flow::Target;
use ::flow::memory::{MemoryListener, MemoryNetwork};
use ::flow::task::Executor;
use ::flow::time::{Timers, earlier};
use ::flow::{Flow, Listener};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use endpoints::http::{Server, ServerConfig};
use load::{
    Failure, Place, Rate, Recorder, Report, Run, Scenario, Schedule, Shape, Share, Spacing,
};
use web::{Handler, Request, Response, Status};

const SECOND: Duration = Duration::from_secs(1);
const BEGIN_DELAY: Duration = Duration::from_millis(20);

struct Lab {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
}

impl Lab {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        Self { executor, timers: Timers::new(), network: MemoryNetwork::new(4096, 1000) }
    }

    fn serve(&self, handler: impl Handler) {
        let (spawner, listener) = (self.executor.spawner(), self.listen());
        let server = Server::new(ServerConfig::default(), &spawner, &self.timers, handler);
        spawner.spawn("server", server.serve(listener));
    }

    fn listen(&self) -> MemoryListener {
        self.network.listen(&target()).unwrap()
    }

    /// Runs the scenario to its end.
    fn run(&self, scenario: &Scenario) -> Recorder {
        let shared = Shared::new(scenario, Share::ALL, target(), &self.timers).unwrap();
        start(&shared, &self.network, &self.executor.spawner());
        self.settle(&shared);
        while !shared.is_ready() {
            self.step(&shared);
        }
        // As threads do, which all begin a little later.
        shared.begin(self.timers.now() + BEGIN_DELAY);
        self.settle(&shared);
        while !shared.has_ended() {
            self.step(&shared);
        }
        shared.take_recorder().unwrap()
    }

    fn step(&self, shared: &Shared) {
        let now = self.timers.now();
        let next = earlier(self.timers.next_deadline(), shared.next_deadline(now));
        self.timers.advance(next.expect("something comes"));
        self.settle(shared);
    }

    fn settle(&self, shared: &Shared) {
        loop {
            let has_woken = shared.advance(self.timers.now());
            if !self.executor.run(10_000) && !has_woken {
                return;
            }
        }
    }
}

fn target() -> Target {
    "127.0.0.1:80".parse().unwrap()
}

fn open(rate: f64) -> Shape {
    Shape::Open(Schedule { rate: Rate::Constant(rate), spacing: Spacing::Even })
}

fn closed(think_millis: u64) -> Shape {
    Shape::Closed { think: Duration::from_millis(think_millis) }
}

fn scenario(shape: Shape, connections: u32) -> Scenario {
    let place = Place::parse("http://127.0.0.1").unwrap().0;
    let duration = 2 * SECOND;
    Scenario { shape, connections, duration, timeout: SECOND, ..Scenario::new(place, "/") }
}

async fn hello(_: Request) -> Response {
    Response::ok("text/plain", "hello")
}

fn assert_all_succeeded(recorder: &Recorder, count: u64) {
    let progress = recorder.progress();
    assert_eq!((progress.started, progress.succeeded, progress.failed), (count, count, 0));
}

/// Whatever the protocol, at least so many bytes were received and sent.
fn assert_bytes(recorder: &Recorder, received: u64, sent: u64) {
    let progress = recorder.progress();
    assert!(progress.bytes_received >= received && progress.bytes_sent >= sent, "{progress:?}");
}

#[test]
fn fields_are_sent_as_they_are_said_or_refused() {
    let lab = Lab::new();
    let seen = Rc::new(RefCell::new(BTreeSet::new()));
    lab.serve({
        let seen = seen.clone();
        move |request: Request| {
            let host = request.authority().to_vec();
            let more = request.header("x-more").map(<[u8]>::to_vec);
            seen.borrow_mut().insert((host, more));
            hello(request)
        }
    });
    let mut asking = scenario(open(50.0), 4);
    let fields = [("hOST", "shop.example:81"), ("X-More", "a\tb")];
    asking.requests[0].headers = fields.map(|(name, value)| (name.into(), value.into())).into();
    assert_all_succeeded(&lab.run(&asking), 100);
    let expected = (b"shop.example:81".to_vec(), Some(b"a\tb".to_vec()));
    assert_eq!(*seen.borrow(), BTreeSet::from([expected]));
    for (name, value) in
        [("Bad Name", "x"), ("Content-Length", "7"), ("A", "b\r\nC: d"), ("Host", "a b")]
    {
        asking.requests[0].headers = vec![(name.into(), value.into())];
        let refused = Shared::new(&asking, Share::ALL, target(), &lab.timers).map(|_| ());
        assert!(refused.is_err(), "{name}: {value}");
    }
}

#[test]
fn a_stall_of_the_server_is_in_the_latencies_as_computed() {
    let lab = Lab::new();
    let timers = lab.timers.clone();
    lab.serve(move |_: Request| {
        let timers = timers.clone();
        async move {
            let now = timers.now() - BEGIN_DELAY;
            if (3 * SECOND..4 * SECOND).contains(&now) {
                timers.sleep(4 * SECOND - now).await;
            }
            Response::ok("text/plain", "hello")
        }
    });
    let scenario =
        Scenario { duration: 10 * SECOND, timeout: 5 * SECOND, ..scenario(open(1000.0), 64) };
    let recorder = lab.run(&scenario);
    assert_all_succeeded(&recorder, 10_000);
    // What was due at 3.000 s waited for 1.000 s, what was due at 3.001 s for 0.999 s, and so on; all else for no time.
    let exact = |rank: u64| Duration::from_millis(rank.saturating_sub(9_000));
    let latencies = recorder.latencies();
    for (part, whole) in [(1, 2), (90, 100), (95, 100), (99, 100), (999, 1000), (9_999, 10_000)] {
        let (found, exact) = (latencies.quantile(part, whole), exact(10_000 * part / whole));
        assert!(found >= exact && found <= exact.mul_f64(1.001), "{part}/{whole}: {found:?}");
    }
    assert_eq!((latencies.max(), latencies.min()), (SECOND, Duration::ZERO));
    // As seen from its connection, only one request of each was late.
    assert_eq!(recorder.service_times().count_above(Duration::from_millis(1)), 64);
}

#[test]
fn an_open_loop_makes_each_request_once_and_on_time() {
    for connections in [1, 7, 500] {
        let lab = Lab::new();
        lab.serve(hello);
        let recorder = lab.run(&scenario(open(300.0), connections));
        assert_all_succeeded(&recorder, 600);
        assert_eq!(recorder.latencies().max(), Duration::ZERO);
        assert_eq!(recorder.progress().connections, u64::from(connections));
        assert!(recorder.progress().bytes_sent > 600 * 30);
    }
}

#[test]
fn a_closed_loop_thinks_between_an_answer_and_the_next_request() {
    let lab = Lab::new();
    lab.serve(hello);
    // At 0, 100, ... 1900 ms on each of three connections.
    assert_all_succeeded(&lab.run(&scenario(closed(100), 3)), 60);
}

#[test]
fn connections_are_closed_after_their_requests_and_opened_for_the_next() {
    let lab = Lab::new();
    lab.serve(hello);
    let mut churning = scenario(open(100.0), 4);
    churning.connection.requests_max = 10;
    let recorder = lab.run(&churning);
    assert_all_succeeded(&recorder, 200);
    // Those that nobody needs any more are not opened: 20 are used up, of which some are in use at the end.
    let opened = recorder.progress().connections;
    assert!((20..=24).contains(&opened), "{opened}");
}

#[test]
fn a_server_that_closes_after_each_answer_is_asked_on_new_connections() {
    let lab = Lab::new();
    let mut listener = lab.listen();
    lab.executor.spawner().spawn("server", async move {
        while let Ok(mut flow) = listener.accept().await {
            // One that is not asked is closed by its client.
            if flow.read(&mut [0; 1000]).await.is_ok_and(|count| count > 0) {
                let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
                flow.write_all(answer).await.unwrap();
                flow.finish();
            }
        }
    });
    let recorder = lab.run(&scenario(open(50.0), 1));
    assert_all_succeeded(&recorder, 100);
    assert_eq!(recorder.progress().connections, 100);
}

#[test]
fn pipelined_requests_are_answered_and_counted_one_by_one() {
    let lab = Lab::new();
    let timers = lab.timers.clone();
    lab.serve(move |_: Request| {
        let timers = timers.clone();
        async move {
            timers.sleep(Duration::from_millis(100)).await;
            Response::ok("text/plain", "hello")
        }
    });
    let mut pipelining = scenario(closed(0), 1);
    pipelining.connection.pipelining = 4;
    let recorder = lab.run(&pipelining);
    let progress = recorder.progress();
    // One after the other: 20 within the run, and the 3 behind the last; each waits for those before it.
    assert_eq!((progress.succeeded, progress.failed), (23, 0));
    assert_eq!(recorder.latencies().max(), Duration::from_millis(400));
}

#[test]
fn answers_are_judged_by_their_status_and_their_content() {
    let lab = Lab::new();
    lab.serve(async |request: Request| match request.path() {
        b"/ok" => Response::ok("text/plain", "all is well"),
        _ => Response::plain(Status::NOT_FOUND),
    });
    let outcome = |path: &str, status, body: Option<&str>| {
        let mut asked = scenario(open(5.0), 1);
        asked.requests[0].path = path.to_owned();
        asked.requests[0].expect_status = status;
        asked.requests[0].expect_body = body.map(str::to_owned);
        let recorder = lab.run(&asked);
        let failures = [Failure::Status, Failure::Body].map(|it| recorder.failures(it));
        (recorder.progress().succeeded, failures)
    };
    assert_eq!(outcome("/ok", None, None), (10, [0, 0]));
    assert_eq!(outcome("/ok", Some(200), Some("is well")), (10, [0, 0]));
    assert_eq!(outcome("/ok", Some(201), Some("is well")), (0, [10, 0]));
    assert_eq!(outcome("/ok", None, Some("is ill")), (0, [0, 10]));
    assert_eq!(outcome("/no", None, None), (0, [10, 0]));
    assert_eq!(outcome("/no", Some(404), None), (10, [0, 0]));
}

#[test]
fn what_is_not_answered_in_time_has_failed_with_that_time() {
    let lab = Lab::new();
    lab.serve(async |_: Request| std::future::pending::<Response>().await);
    let recorder = lab.run(&scenario(open(4.0), 8));
    assert_eq!(recorder.failures(Failure::Timeout), 8);
    assert_eq!((recorder.latencies().min(), recorder.latencies().max()), (SECOND, SECOND));
    // Of one connection only two requests can be tried within 2 s; the others find none until the end.
    let recorder = lab.run(&scenario(open(4.0), 1));
    assert_eq!(recorder.failures(Failure::Timeout), 8);
    assert!(recorder.progress().unstarted >= 4, "{:?}", recorder.progress());
}

#[test]
fn connections_that_break_or_do_not_come_to_be_are_told_apart() {
    let lab = Lab::new();
    let mut listener = lab.listen();
    lab.executor.spawner().spawn("server", async move {
        while let Ok(mut flow) = listener.accept().await {
            let _ = flow.read(&mut [0; 1]).await;
            flow.abort();
        }
    });
    let recorder = lab.run(&scenario(open(4.0), 1));
    assert_eq!(recorder.failures(Failure::Reset), 8);
    let lab = Lab::new();
    let recorder = lab.run(&scenario(open(4.0), 1));
    assert_eq!(recorder.failures(Failure::Connect), 8);
    let lab = Lab::new();
    let mut listener = lab.listen();
    lab.executor.spawner().spawn("server", async move {
        let mut kept = Vec::new();
        while let Ok(mut flow) = listener.accept().await {
            let _ = flow.read(&mut [0; 1]).await;
            let _ = flow.write_all(b"SSH-2.0-x\r\n").await;
            kept.push(flow);
        }
    });
    let recorder = lab.run(&scenario(open(4.0), 1));
    assert_eq!(recorder.failures(Failure::Protocol), 8);
}

#[test]
fn abandoned_requests_reach_the_server_and_are_no_failures() {
    // Also if the answer comes at once.
    for delay in [0, 50].map(Duration::from_millis) {
        let lab = Lab::new();
        let served = Rc::new(Cell::new(0));
        let (timers, seen) = (lab.timers.clone(), served.clone());
        lab.serve(move |_: Request| {
            seen.set(seen.get() + 1);
            let timers = timers.clone();
            async move {
                timers.sleep(delay).await;
                Response::ok("text/plain", "late")
            }
        });
        let mut impatient = scenario(open(50.0), 10);
        impatient.connection.abandoned_percent = 30;
        let progress = lab.run(&impatient).progress();
        assert!((15..45).contains(&progress.abandoned), "{progress:?}");
        assert_eq!((progress.succeeded + progress.abandoned, progress.failed), (100, 0));
        assert_eq!(served.get(), 100);
    }
}

#[test]
fn each_connection_is_a_visitor_with_cookies_of_its_own() {
    let lab = Lab::new();
    let (visitors, known) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(BTreeSet::new())));
    let (count, seen) = (visitors.clone(), known.clone());
    lab.serve(move |request: Request| {
        let cookie = request.header("cookie").map(<[u8]>::to_vec);
        let mut response = Response::ok("text/plain", "hello");
        match cookie {
            Some(cookie) => drop(seen.borrow_mut().insert(cookie)),
            None => {
                count.set(count.get() + 1);
                let cookie = format!("visitor={}; Path=/", count.get());
                response = response.with_header("Set-Cookie", cookie);
            }
        }
        async move { response }
    });
    let mut visiting = scenario(closed(100), 3);
    visiting.connection.cookies = true;
    // They outlive connections.
    visiting.connection.requests_max = 4;
    assert_all_succeeded(&lab.run(&visiting), 60);
    let expected: Vec<_> = (1..=3).map(|number| format!("visitor={number}").into_bytes()).collect();
    assert_eq!((visitors.get(), known.take().into_iter().collect::<Vec<_>>()), (3, expected));
}

#[test]
fn slow_readers_and_writers_take_their_time() {
    let lab = Lab::new();
    lab.serve(async |mut request: Request| match request.body().collect(1 << 20).await {
        Ok(_) => Response::ok("text/plain", vec![b'x'; 3000]),
        Err(_) => Response::plain(Status::BAD_REQUEST),
    });
    let latency = |read, write| {
        let mut slow = Scenario { timeout: 60 * SECOND, ..scenario(open(0.5), 1) };
        slow.connection.read_bytes_per_second = read;
        slow.connection.write_bytes_per_second = write;
        slow.requests[0].method = "POST".into();
        slow.requests[0].body = "y".repeat(2000);
        let recorder = lab.run(&slow);
        assert_all_succeeded(&recorder, 1);
        recorder.latencies().max()
    };
    assert_eq!(latency(0, 0), Duration::ZERO);
    let reading = latency(1000, 0);
    assert!((3 * SECOND..4 * SECOND).contains(&reading), "{reading:?}");
    let writing = latency(0, 1000);
    assert!((2 * SECOND..3 * SECOND).contains(&writing), "{writing:?}");
}

#[test]
fn half_open_connections_stay_beside_the_others() {
    let lab = Lab::new();
    let mut listener = lab.listen();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let all = heard.clone();
    lab.executor.spawner().spawn("server", async move {
        let mut kept = Vec::new();
        while let Ok(mut flow) = listener.accept().await {
            let mut buffer = [0; 200];
            let count = flow.read(&mut buffer).await.unwrap_or(0);
            all.borrow_mut().push(buffer[..count].to_vec());
            kept.push(flow);
        }
    });
    let mut flooding = scenario(open(1.0), 1);
    flooding.connection.half_open = 3;
    lab.run(&flooding);
    let unfinished = |bytes: &&Vec<u8>| !bytes.windows(4).any(|end| end == b"\r\n\r\n");
    assert_eq!(heard.borrow().iter().filter(unfinished).count(), 3);
}

#[test]
fn shares_of_threads_have_all_connections() {
    let scenario = scenario(open(1.0), 10);
    let timers = Timers::new();
    let share = |index| {
        let share = Share { index, of: 3 };
        Shared::new(&scenario, share, target(), &timers).unwrap().connections()
    };
    assert_eq!([0, 1, 2].map(share), [4, 3, 3]);
}

#[test]
fn calls_of_capnproto_are_answered_and_exceptions_are_told() {
    use ::capnp::traits::HasTypeId;
    use endpoints::rpc::{Limits, Rpc};
    use rpc_demo::demo::Demo;
    use rpc_demo::demo_capnp::demo;
    let lab = Lab::new();
    let rpc = Rpc::new(Limits::default(), &lab.executor.spawner(), &lab.timers);
    let service: demo::Client = rpc.client(Demo::new(&rpc, "it"));
    lab.executor.spawner().spawn("server", {
        let offering = rpc.offer(lab.listen(), service);
        async move {
            let _ = offering.await;
        }
    });
    let place = Place::parse("capnp://127.0.0.1:80").unwrap().0;
    let mut calling = Scenario { place, ..scenario(open(50.0), 4) };
    // Method 0 is empty; 5 fails; 6 never returns.
    for (method, failure) in [(0, None), (5, Some(Failure::Status)), (6, Some(Failure::Timeout))] {
        calling.requests[0].call = Some((demo::Client::TYPE_ID, method));
        let recorder = lab.run(&calling);
        match failure {
            None => assert_all_succeeded(&recorder, 100),
            Some(failure) => assert_eq!(recorder.failures(failure), 100, "{method}"),
        }
        assert_bytes(&recorder, 100, 100 * 16);
        let report = Report::new(&calling, recorder, &Run::default());
        match &report.errors[..] {
            [error] => {
                let found = (error.failure, error.kind, error.count);
                assert_eq!((method, found), (5, ("status", "failed", 100)));
                assert!(error.text.contains("as asked"), "{}", error.text);
            }
            errors => assert!(method != 5 && errors.is_empty(), "{errors:?}"),
        }
    }
}

#[test]
fn zeromq_messages_are_answered_and_judged() {
    use endpoints::zmq::{Bind, Host, Options, SocketType, ZmqSocket};
    let lab = Lab::new();
    let host = Host {
        spawner: lab.executor.spawner(),
        timers: lab.timers.clone(),
        entropy: Rc::new(|bytes| bytes.fill(7)),
        ledger: None,
    };
    let server = ZmqSocket::new(&host, Options::new(SocketType::Rep));
    server.attach(Bind(lab.listen()));
    lab.executor.spawner().spawn("server", async move {
        while let Ok(message) = server.recv().await {
            server.send(message).await.unwrap();
        }
    });
    let mut echo = Scenario {
        place: Place::parse("zmq://127.0.0.1:80").unwrap().0,
        ..scenario(open(50.0), 4)
    };
    echo.requests[0].body = "ping".into();
    echo.requests[0].expect_body = Some("ping".into());
    let recorder = lab.run(&echo);
    assert_all_succeeded(&recorder, 100);
    assert_bytes(&recorder, 100 * 4, 100 * 4);
    echo.requests[0].expect_body = Some("pong".into());
    echo.connection.requests_max = 10;
    let recorder = lab.run(&echo);
    assert_eq!(recorder.failures(Failure::Body), 100);
    assert!(recorder.progress().connections >= 10);
}

/// A service that refuses the handshake, as for the type of socket or for want of keys, and one that says nothing more: both are
/// told at once, by what they did.
#[test]
fn a_zeromq_service_that_refuses_is_told_by_its_own_words() {
    const GREETING: &[u8; 64] =
        b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x00NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
        \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    for (command, failure, kind, text) in [
        (
            &b"\x04\x0f\x05ERROR\x08no entry"[..],
            "connect",
            "ERROR",
            "the service refuses: no entry",
        ),
        (b"", "reset", "connection", "closed by the peer"),
    ] {
        let lab = Lab::new();
        let mut listener = lab.listen();
        lab.executor.spawner().spawn("server", async move {
            while let Ok(mut flow) = ::flow::task::wait_fn(|cx| listener.poll_accept(cx)).await {
                flow.write_all(GREETING).await.unwrap();
                flow.write_all(command).await.unwrap();
                flow.finish();
                while let Ok(1..) = flow.read(&mut [0; 64]).await {}
            }
        });
        let place = Place::parse("zmq://127.0.0.1:80").unwrap().0;
        let asking = Scenario { place, ..scenario(closed(100), 1) };
        let recorder = lab.run(&asking);
        let failed = recorder.progress().failed;
        assert!(failed > 1, "{failed}");
        assert_eq!(recorder.failures(Failure::Timeout), 0, "{kind}");
        let report = Report::new(&asking, recorder, &Run::default());
        let [error] = &report.errors[..] else { panic!("{:?}", report.errors) };
        assert_eq!((error.failure, error.kind, &*error.text), (failure, kind, text));
        assert_eq!(error.count, failed);
    }
}
