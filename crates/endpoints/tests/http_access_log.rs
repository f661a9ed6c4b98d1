//! The access log: alone in its process, since the logger is the process's.

use endpoints::http::{Server, ServerConfig};
use flow::memory::MemoryNetwork;
use flow::task::Executor;
use flow::time::Timers;
use flow::{Connector, FlowExt, Target};
use std::sync::Mutex;
use std::time::Duration;
use web::{Content, Reply, Request, Response, Status};

struct Lines(Mutex<Vec<String>>);

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target() == "access" {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// For a client that takes whatever comes.
const ALL: usize = usize::MAX;

static LINES: Lines = Lines(Mutex::new(Vec::new()));

/// What clients say, and how much they take of what comes back.
static REQUESTS: &[(&[u8], usize)] = &[
        (b"GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nReferer: y\r\n\r\n", ALL),
        (b"GET /die HTTP/1.1\r\nHost: a\r\n\r\n", ALL),
        (b"nonsense\r\n\r\n", ALL),
        (b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx", ALL),
        (b"GET /elsewhere HTTP/1.1\r\nHost: b\r\n\r\n", ALL),
        (b"PUT /large HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n", ALL),
        (b"HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n", ALL),
        (b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", ALL),
        (b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", ALL),
        (b"GET /die-later HTTP/1.1\r\nHost: a\r\n\r\n", ALL),
        (b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n", 10_000),
        (b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n", 0),
        (b"GET /kept HTTP/1.1\r\nHost: a\r\n\r\n", ALL),
        (b"GET /kept HTTP/1.1\r\nHost: a\r\n\r\n", ALL),
        (b"GET /kept HTTP/1.1\r\nHost: a\r\n\r\n", ALL),
];

/// Their lines, without address and date.
static EXPECTED: &[&str] = &[
    "\"GET /a HTTP/1.1\" 200 5 \"-\" \"x\" 0.000 \"-\"",
    "\"GET /b HTTP/1.1\" 200 5 \"y\" \"-\" 0.000 \"-\"",
    "\"GET /die HTTP/1.1\" 500 21 \"-\" \"-\" 0.000 \"the handler failed\"",
    "\"-\" 400 11 \"-\" \"-\" 0.000 \"malformed start line\"",
    "\"POST /c HTTP/1.1\" 200 5 \"-\" \"-\" 0.000 \"-\"",
    "\"GET /elsewhere HTTP/1.1\" 421 19 \"-\" \"-\" 0.000 \"authority not served here\"",
    "\"PUT /large HTTP/1.1\" 413 17 \"-\" \"-\" 0.000 \"body larger than allowed\"",
    "\"HEAD /head HTTP/1.1\" 200 0 \"-\" \"-\" 0.000 \"-\"",
    "\"GET /slow HTTP/1.1\" 200 5 \"-\" \"-\" 1.234 \"-\"",
    "\"GET /stream HTTP/1.1\" 200 5001 \"-\" \"-\" 0.000 \"-\"",
    "\"GET /die-later HTTP/1.1\" 200 5001 \"-\" \"-\" 0.000 \"the handler failed\"",
    // With what was on its way when the client left.
    "\"GET /long HTTP/1.1\" 200 10394 \"-\" \"-\" 0.000 \"the connection ended before the answer did\"",
    "\"GET /never HTTP/1.1\" 499 0 \"-\" \"-\" 1.234 \"the connection ended before the answer did\"",
    "\"GET /kept HTTP/1.1\" 200 5 \"-\" \"-\" 0.000 \"-\"",
    "\"GET /kept HTTP/1.1\" 200 5 \"-\" \"-\" 0.000 \"-\"",
    "\"GET /kept HTTP/1.1\" 200 5 \"-\" \"-\" 0.000 \"-\"",
    "\"-\" 408 15 \"-\" \"-\" 10.000 \"peer made no progress in time\"",
    "\"POST /read HTTP/1.1\" 408 15 \"-\" \"-\" 30.000 \"peer made no progress in time\"",
];

fn server(executor: &Executor, timers: &Timers) -> Server {
    let config = ServerConfig {
        wall_clock_start: Some(Duration::from_secs(784_111_777)),
        ..ServerConfig::default()
    };
    let config = ServerConfig { hosts: vec!["a".into()], ..config };
    let clock = timers.clone();
    Server::new(config, &executor.spawner(), timers, move |mut request: Request| {
        let clock = clock.clone();
        async move {
            assert!(request.path() != b"/die", "asked to");
            match request.path() {
                b"/slow" => clock.sleep(Duration::from_millis(1_234)).await,
                b"/never" => std::future::pending().await,
                b"/read" => drop(request.body().collect(100).await),
                b"/stream" | b"/die-later" => {
                    let dies = request.path() == b"/die-later";
                    let head = Response::new(Status::OK).carrying(Content::Stream(None));
                    return Reply::stream(head, move |mut writer| async move {
                        writer.write(vec![b'x'; 5000]).await;
                        writer.write(vec![b'x'; 1]).await;
                        assert!(!dies, "asked to");
                    });
                }
                b"/long" => return Response::ok("text/plain", vec![b'x'; 100_000]).into(),
                _ => {}
            }
            Response::ok("text/plain", "hello").repeatable().into()
        }
    })
}

#[test]
fn each_answer_gets_a_line() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let executor = Executor::new(|body| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
            .map_err(|_| String::from("boom"))
    });
    let timers = Timers::new();
    let network = MemoryNetwork::new(700, 64);
    let target: Target = "web:80".parse().unwrap();
    let server = server(&executor, &timers);
    server.log_access(Some(web::access_log::Format::Extended));
    executor.spawner().spawn("listener", server.serve(network.listen(&target).unwrap()));
    for (text, takes) in REQUESTS {
        let (text, takes) = (*text, *takes);
        let (network, target, clock) = (network.clone(), target.clone(), timers.clone());
        executor.spawner().spawn("client", async move {
            let mut flow = network.connect(&target).await.unwrap();
            flow.write_all(text).await.unwrap();
            if takes == 0 {
                clock.sleep(Duration::from_millis(1)).await;
            }
            let mut taken = 0;
            while taken < takes
                && let Ok(count @ 1..) = flow.read(&mut [0; 500]).await
            {
                taken += count;
            }
        });
        executor.run_until_stalled();
        timers.advance(timers.now() + Duration::from_millis(1_234));
        executor.run_until_stalled();
    }
    // What does not come in time, one of the clients half a head and the other half a body.
    for text in [
        &b"GET /half HTTP/1.1\r\nHos"[..],
        b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
    ] {
        let (network, target) = (network.clone(), target.clone());
        executor.spawner().spawn("client", async move {
            let mut flow = network.connect(&target).await.unwrap();
            flow.write_all(text).await.unwrap();
            while let Ok(1..) = flow.read(&mut [0; 500]).await {}
        });
        for _ in 0..80 {
            executor.run_until_stalled();
            timers.advance(timers.now() + Duration::from_millis(500));
        }
    }
    let lines: Vec<String> = LINES.0.lock().unwrap().clone();
    let rest: Vec<&str> = lines.iter().map(|line| line.split_once(" - - ").unwrap().1).collect();
    for (line, expected) in rest.iter().zip(EXPECTED) {
        let line = line.split_once("] ").unwrap().1;
        assert_eq!(line, *expected);
    }
    assert!(rest[0].starts_with("[06/Nov/1994:08:49:37 +0000] "), "{}", rest[0]);
    assert_eq!(rest.len(), EXPECTED.len());
}
