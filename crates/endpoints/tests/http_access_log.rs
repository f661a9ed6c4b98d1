//! The access log: alone in its process, since the logger is the process's.

use endpoints::http::{Server, ServerConfig};
use flow::memory::MemoryNetwork;
use flow::task::Executor;
use flow::time::Timers;
use flow::{Connector, FlowExt, Target};
use std::sync::Mutex;
use std::time::Duration;
use web::{Request, Response};

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

static LINES: Lines = Lines(Mutex::new(Vec::new()));

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
    let config = ServerConfig {
        wall_clock_start: Some(Duration::from_secs(784_111_777)),
        ..ServerConfig::default()
    };
    let server = Server::new(config, &executor.spawner(), &timers, async |request: Request| {
        assert!(request.path() != b"/die", "asked to");
        Response::ok("text/plain", "hello")
    });
    server.log_access(true);
    executor.spawner().spawn("listener", server.serve(network.listen(&target).unwrap()));
    for text in [
        &b"GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nReferer: y\r\n\r\n"[..],
        b"GET /die HTTP/1.1\r\nHost: a\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx",
    ] {
        let (network, target) = (network.clone(), target.clone());
        executor.spawner().spawn("client", async move {
            let mut flow = network.connect(&target).await.unwrap();
            flow.write_all(text).await.unwrap();
            while let Ok(1..) = flow.read(&mut [0; 500]).await {}
        });
        while executor.run(1000) {}
    }
    let lines: Vec<String> = LINES.0.lock().unwrap().clone();
    let rest: Vec<&str> = lines.iter().map(|line| line.split_once(" - - ").unwrap().1).collect();
    let at = "[06/Nov/1994:08:49:37 +0000]";
    assert_eq!(rest[0], format!("{at} \"GET /a HTTP/1.1\" 200 5 \"-\" \"x\""));
    assert_eq!(rest[1], format!("{at} \"GET /b HTTP/1.1\" 200 5 \"y\" \"-\""));
    assert_eq!(rest[2], format!("{at} \"GET /die HTTP/1.1\" 500 - \"-\" \"-\""));
    assert_eq!(rest[3], format!("{at} \"-\" 400 - \"-\" \"-\""));
    assert!(rest[4].starts_with(&format!("{at} \"POST /c HTTP/1.1\" ")), "{}", rest[4]);
    assert_eq!(rest.len(), 5);
}
