//! What the log says. One test, in a process of its own, since there is one log.

use flow::memory::MemoryNetwork;
use flow::registry::{ResolvingConnector, StaticRegistry, WayPolicy, Ways};
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, Target};
use log::{LevelFilter, Log, Metadata, Record};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        LINES.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

/// What was logged since it was asked last.
fn lines() -> Vec<String> {
    std::mem::take(&mut LINES.lock().unwrap())
}

#[test]
fn the_log_has_what_operators_are_to_know_once() {
    log::set_logger(&Lines).unwrap();
    log::set_max_level(LevelFilter::Info);
    changes_of_ways_are_told_and_what_stays_is_not();
    a_slow_poll_is_told_with_its_place();
}

fn changes_of_ways_are_told_and_what_stays_is_not() {
    let table =
        b"web here http a:1 a:2\nmail here smtp a:3\nweb there http b:1\nnone here http tls://a:4";
    let network = MemoryNetwork::new(100, 10);
    let listen = |text: &str| network.listen(&text.parse().unwrap()).unwrap();
    let policy = WayPolicy { schemes: vec![flow::Scheme::Tcp], ..WayPolicy::default() };
    let (timers, registry) = (Timers::new(), Rc::new(StaticRegistry::parse(table).unwrap()));
    let ways = Ways::new(policy, &timers);
    let connector = ResolvingConnector::new(network.clone(), registry, ways.clone());
    let connect = |text: &str| {
        let target: Target = format!("service://{text}").parse().unwrap();
        block_on(connector.connect(&target)).is_ok()
    };
    let second = listen("a:2");
    let (_mail, _there) = (listen("a:3"), listen("b:1"));
    assert!(connect("web@here") && connect("web@here") && connect("mail") && connect("web@there"));
    assert_eq!(
        lines(),
        ["INFO web@here: by a:2", "INFO mail@here: by a:3", "INFO web@there: by b:1"]
    );
    let in_use = || {
        let mut rows = Vec::new();
        ways.visit(&mut |row| rows.push((row.target.to_string(), row.is_in_use)));
        rows.sort();
        rows.into_iter().filter(|(_, is_in_use)| *is_in_use).map(|(target, _)| target)
    };
    assert_eq!(in_use().collect::<Vec<_>>(), ["a:2", "a:3", "b:1"]);
    // The first way works again, once it is no longer tried last.
    let first = listen("a:1");
    timers.advance(Duration::from_secs(31));
    assert!(connect("web@here"));
    assert_eq!(lines(), ["INFO web@here: by a:1"]);
    assert_eq!(in_use().collect::<Vec<_>>(), ["a:1", "a:3", "b:1"]);
    drop((first, second));
    assert!(!connect("web@here") && !connect("web@here"));
    assert_eq!(
        lines(),
        ["INFO web@here: not reached; by a:1: connection refused; by a:2: connection refused"]
    );
    assert!(!connect("none"));
    assert_eq!(
        lines(),
        ["INFO none: not reached: nobody offers it in a way that is for this machine"]
    );
}

fn a_slow_poll_is_told_with_its_place() {
    static NOW: AtomicU64 = AtomicU64::new(0);
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let spawner = executor.spawner();
    spawner.measure(|| Duration::from_millis(NOW.load(Ordering::Relaxed)));
    let works = |milliseconds| async move {
        NOW.fetch_add(milliseconds, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    spawner.spawn("quick", works(99));
    let line = line!() + 1;
    spawner.spawn("slow", works(100));
    executor.run(10);
    let place = format!("{}:{line}:13", file!());
    assert_eq!(
        lines(),
        [format!("WARN task slow kept all others waiting for 100 ms: from {place} to {place}")]
    );
}
