//! The log to a collector, on the appliance as it runs over flows in memory: what is sent, and what becomes of lines while the
//! collector is away. One test, since a process has one log.

use aqueduct::app::App;
use aqueduct::context::Context;
use aqueduct::log_ring;
use aqueduct::platform::Platform;
use aqueduct::service::{ServiceEntry, Table};
use config::{Bundle, Config, cpio};
use flow::memory::{MemoryFlow, MemoryListener, MemoryNetwork};
use flow::registry::StaticRegistry;
use flow::task::Executor;
use flow::time::Timers;
use flow::{Flow, Listener};
use std::rc::Rc;
use std::task::{self, Poll, Waker};
use std::time::Duration;
use sweep::Memory;

const PLACE: &str = "tcp://10.0.0.9:601";

struct NoServices;

impl Table for NoServices {
    fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>> {
        Vec::new()
    }
}

/// An appliance whose collector is somebody else's listener, and its clock.
struct World {
    network: MemoryNetwork,
    executor: Executor,
    timers: Timers,
    _app: App,
}

impl World {
    fn new() -> Self {
        let network = MemoryNetwork::new(4096, 8);
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let mut config = Config::default();
        config.log.syslog = PLACE.parse().ok();
        let timers = Timers::new();
        let mut archive = cpio::Writer::new();
        archive.file("site/page", b"page", 1_700_000_000).unwrap();
        let bundle = Bundle::parse(archive.finish().leak()).unwrap();
        let platform =
            Memory { network: network.clone(), memory_bytes: 64 << 20, vsock: None, clock: None };
        let registry = Rc::new(StaticRegistry::default());
        let context = Context::new(platform, config, bundle, registry, &executor, &timers);
        let app = App::start(&context, &NoServices).unwrap();
        Self { network, executor, timers, _app: app }
    }

    fn listen(&self) -> MemoryListener {
        self.network.listen(&"10.0.0.9:601".parse().unwrap()).unwrap()
    }

    fn pass(&self, time: Duration) {
        for _ in 0..10 {
            let now = self.timers.now() + time / 10;
            self.timers.advance(now);
            self.executor.advance(now);
            assert!(!self.executor.run(100_000), "a task runs for ever");
        }
    }
}

/// The collector's end of a connection, and what came there.
struct Collector {
    flow: MemoryFlow,
    bytes: Vec<u8>,
}

impl Collector {
    fn accept(listener: &mut MemoryListener) -> Option<Self> {
        let mut cx = task::Context::from_waker(Waker::noop());
        match listener.poll_accept(&mut cx) {
            Poll::Ready(flow) => Some(Self { flow: flow.unwrap(), bytes: Vec::new() }),
            Poll::Pending => None,
        }
    }

    /// All messages that are there (RFC 6587 section 3.4.1).
    fn messages(&mut self, world: &World) -> Vec<String> {
        let mut cx = task::Context::from_waker(Waker::noop());
        loop {
            let bytes = &mut self.bytes;
            let read = self.flow.poll_read_with(&mut cx, &mut |piece| {
                bytes.extend_from_slice(piece);
                piece.len()
            });
            match read {
                Poll::Ready(Ok(count)) if count > 0 => world.pass(Duration::from_millis(10)),
                _ => break,
            }
        }
        let mut messages = Vec::new();
        while let Some(space) = self.bytes.iter().position(|byte| *byte == b' ') {
            let length = std::str::from_utf8(&self.bytes[..space]).unwrap();
            let end = space + 1 + length.parse::<usize>().unwrap();
            if end > self.bytes.len() {
                break;
            }
            messages.push(String::from_utf8(self.bytes[space + 1..end].to_vec()).unwrap());
            self.bytes.drain(..end);
        }
        messages
    }
}

fn number_of(message: &str) -> u32 {
    let rest = message.split("sequenceId=\"").nth(1).unwrap();
    rest.split('"').next().unwrap().parse().unwrap()
}

#[test]
fn lines_reach_the_collector_in_their_order_and_those_that_do_not_are_counted() {
    let outlet = log_ring::Outlet { write: |_| {}, now: || Duration::from_secs(7) };
    log_ring::install(outlet, log::LevelFilter::Debug);
    log::info!(target: "early", "before the start");
    let world = World::new();
    let mut listener = world.listen();
    world.pass(Duration::from_secs(3));
    let mut collector =
        Collector::accept(&mut listener).expect("it connects again after a failure");
    log::warn!(target: "seen", "an \"é\"");
    log::debug!(target: "unseen", "too little");
    world.pass(Duration::from_secs(1));
    let messages = collector.messages(&world);
    let early =
        messages.iter().find(|it| it.contains("before the start")).expect("what was before");
    assert!(early.starts_with("<30>1 20"), "{early}");
    let seen = messages.last().unwrap();
    let (head, text) = seen.split_once("] ").unwrap();
    assert!(
        head.starts_with("<28>1 ") && head.contains(" aqueduct aqueduct - seen [meta "),
        "{seen}"
    );
    assert_eq!(text, "an \"é\"");
    assert!(!messages.iter().any(|it| it.contains("too little") || it.contains("syslog")));
    assert!(messages.iter().map(|it| number_of(it)).eq(1..=messages.len() as u32));

    // What was not acknowledged goes to the next connection.
    drop(collector);
    log::info!(target: "seen", "kept");
    world.pass(Duration::from_secs(3));
    let mut collector = Collector::accept(&mut listener).expect("it connects again");
    // One that hangs up at once is waited for longer each time.
    let mut pauses = Vec::new();
    for _ in 0..4 {
        drop(collector);
        log::info!(target: "seen", "more");
        let mut pass = || {
            world.pass(Duration::from_secs(1));
            Collector::accept(&mut listener)
        };
        let (pause, next) = (1..).find_map(|seconds| Some((seconds, pass()?))).unwrap();
        pauses.push(pause);
        collector = next;
    }
    assert!(pauses.is_sorted() && pauses[3] > 2 * pauses[1], "{pauses:?}");
    world.pass(Duration::from_secs(1));
    assert!(collector.messages(&world).iter().any(|it| it.ends_with("] kept")));

    // A collector that takes nothing makes lines be lost, and is told how many.
    let long = "x".repeat(900);
    for number in 0..2000 {
        log::info!(target: "access", "{number} {long}");
    }
    let mut all = Vec::new();
    for _ in 0..200 {
        all.extend(collector.messages(&world));
        world.pass(Duration::from_millis(100));
    }
    let told = all.iter().find(|it| it.contains("lines were lost")).expect("the loss is told");
    let lost: usize = told.split("] ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let arrived = all.iter().filter(|it| it.contains(" access [")).count();
    assert_eq!(arrived + lost, 2000);
    assert!(arrived > 200 && lost > 1000, "{arrived} arrived, {lost} are lost");
    log::info!(target: "seen", "after it");
    world.pass(Duration::from_secs(1));
    assert!(collector.messages(&world).iter().any(|it| it.ends_with("] after it")));
}
