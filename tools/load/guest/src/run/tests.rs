//! Whole runs in memory, by a clock that moves to whatever is next.

use super::*;
use crate::pages;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use endpoints::http::{Server, ServerConfig};
use flow::memory::MemoryNetwork;
use flow::task::Executor;
use flow::time::earlier;
use std::sync::atomic::{AtomicU8, Ordering};
use web::{Request, Response, testing};

const SERVER: &str = "127.0.0.1:80";
const SCENARIO: &str = "target = 'http://127.0.0.1/'\nduration_seconds = 2\nconnections = 3\n\
    [arrivals]\nrate = 50\n[guest]\npower_off = true\nwait_seconds = 5\n";

struct Lab {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    served: Rc<Cell<u64>>,
    state: Rc<RunState>,
}

impl Lab {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let network = MemoryNetwork::new(4096, 100);
        let (timers, served, state) = <_>::default();
        Self { executor, timers, network, served, state }
    }

    fn serve_after(&self, delay: Duration) {
        let (spawner, timers, network) =
            (self.executor.spawner(), self.timers.clone(), self.network.clone());
        let served = self.served.clone();
        let handler = move |_: Request| {
            served.set(served.get() + 1);
            async { Response::ok("text/plain", "hello") }
        };
        let server = Server::new(ServerConfig::default(), &spawner, &timers, handler);
        let serving = async move {
            timers.sleep(delay).await;
            server.serve(network.listen(&SERVER.parse().unwrap()).unwrap()).await;
        };
        spawner.spawn("server", serving);
    }

    fn begin(&self, text: &str, switch_off: fn(Verdict)) {
        let environment = Environment {
            spawner: self.executor.spawner(),
            timers: self.timers.clone(),
            clock: None,
            switch_off,
        };
        let scenario = Scenario::parse("load.toml", text).unwrap();
        let target = crate::place::target(&scenario).unwrap();
        let run = run(environment, self.state.clone(), scenario, target, self.network.clone());
        self.executor.spawner().spawn("load", run.unwrap());
    }

    fn advance(&self, until: Duration) {
        while self.timers.now() < until {
            self.executor.run_until_stalled();
            let next = earlier(self.timers.next_deadline(), Some(until)).unwrap();
            self.timers.advance(next);
        }
        self.executor.run_until_stalled();
    }

    /// What is served at a path now: the status, and the content.
    fn shown(&self, path: &str) -> (u16, String) {
        let seen = testing::get(path).ask(&pages::routes(&self.state));
        (seen.status().code(), seen.text().to_string())
    }
}

#[test]
fn a_server_that_starts_later_is_waited_for_and_asked_as_often_as_is_said() {
    static VERDICT: AtomicU8 = AtomicU8::new(0);
    let lab = Lab::new();
    lab.begin(SCENARIO, |verdict| {
        VERDICT.store(1 + u8::from(verdict == Verdict::Succeeded), Ordering::Relaxed);
    });
    lab.serve_after(Duration::from_secs(3));
    lab.advance(Duration::from_secs(2));
    assert_eq!(lab.shown("/results.json").0, 503);
    assert!(lab.shown("/").1.contains("does not answer yet"));
    lab.advance(Duration::from_millis(4500));
    assert!(lab.shown("/").1.contains("1 of 2 s: "), "{}", lab.shown("/").1);
    assert_eq!(VERDICT.load(Ordering::Relaxed), 0);
    lab.advance(Duration::from_secs(7));
    assert_eq!(VERDICT.load(Ordering::Relaxed), 2);
    assert_eq!(lab.served.get(), 100);
    let (status, json) = lab.shown("/results.json");
    assert!(status == 200 && json.contains("\"succeeded\": 100,"), "{json}");
    assert!(lab.shown("/").1.contains("<h2>Latency over time</h2>"));
    assert!(lab.shown("/results.txt").1.starts_with("http://127.0.0.1:80: open loop, 50 per"));
}

#[test]
fn without_a_server_there_is_no_run_and_a_failure() {
    static FAILED: AtomicU8 = AtomicU8::new(0);
    let lab = Lab::new();
    lab.begin(SCENARIO, |verdict| {
        FAILED.store(u8::from(verdict == Verdict::Failed), Ordering::Relaxed);
    });
    lab.advance(Duration::from_millis(4500));
    assert_eq!(FAILED.load(Ordering::Relaxed), 0);
    lab.advance(Duration::from_secs(7));
    assert_eq!(FAILED.load(Ordering::Relaxed), 1);
    let (status, said) = lab.shown("/results.txt");
    let expected =
        "no run: no connection to http://127.0.0.1:80 by 127.0.0.1:80: connection refused\n";
    assert_eq!((status, said.as_str()), (503, expected));
}

#[test]
fn the_machine_stays_on_unless_it_is_said() {
    let lab = Lab::new();
    lab.serve_after(Duration::ZERO);
    let text = SCENARIO.replace("power_off = true", "power_off = false");
    lab.begin(&text, |_| panic!("nobody said so"));
    lab.advance(Duration::from_secs(5));
    let lines: Vec<_> = lab.shown("/results.txt").1.lines().map(String::from).collect();
    assert!(lines.iter().any(|line| line.starts_with("requests ") && line.contains("100 made")));
}
