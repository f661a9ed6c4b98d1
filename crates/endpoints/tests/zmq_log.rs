//! The end of every ZeroMQ connection is in the log, with its reason. Alone in its process: it takes the log.

use endpoints::zmq::{Bind, Connect, Host, Options, SocketType, ZmqSocket};
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, Flow, FlowExt, Target};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

thread_local!(static LINES: RefCell<Vec<String>> = RefCell::default());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.level() <= log::Level::Info {
            LINES.with_borrow_mut(|lines| lines.push(record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// A PULL that listens, and raw connections to it.
struct World {
    executor: Executor,
    timers: Timers,
    host: Host,
    network: MemoryNetwork,
    pull: ZmqSocket,
}

fn target() -> Target {
    "pull:1".parse().unwrap()
}

impl World {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let (timers, network) = (Timers::new(), MemoryNetwork::new(4096, 64));
        let host = Host {
            spawner: executor.spawner(),
            timers: timers.clone(),
            entropy: Rc::new(|bytes| bytes.fill(7)),
            ledger: None,
        };
        let pull = ZmqSocket::new(&host, Options::new(SocketType::Pull));
        pull.attach(Bind(network.listen(&target()).unwrap()));
        Self { executor, timers, host, network, pull }
    }

    fn run(&self, seconds: u64) {
        self.executor.run_until_stalled();
        for _ in 0..seconds {
            self.timers.advance(self.timers.now() + Duration::from_secs(1));
            self.executor.run_until_stalled();
        }
    }

    /// A connection over which these bytes went.
    fn raw(&self, bytes: &[u8]) -> MemoryFlow {
        self.run(0);
        let mut flow = block_on(self.network.connect(&target())).unwrap();
        block_on(flow.write_all(bytes)).unwrap();
        self.run(0);
        flow
    }

    /// The one end that was logged.
    fn ended(&self, why: &str) {
        self.run(3);
        let lines = LINES.take();
        let ends: Vec<_> = lines.iter().filter(|line| line.contains(" ended: ")).collect();
        assert_eq!(ends.len(), 1, "{why}: {lines:?}");
        assert!(ends[0].starts_with("zmq: the connection with memory:"), "{lines:?}");
        assert!(ends[0].ends_with(&format!(" ended: {why}")), "{lines:?}");
    }
}

fn hello() -> Vec<u8> {
    let mut hello = vec![0; 64];
    (hello[0], hello[9], hello[10], hello[11]) = (0xFF, 0x7F, 3, 1);
    hello[12..16].copy_from_slice(b"NULL");
    hello.extend_from_slice(b"\x04\x1A\x05READY\x0bSocket-Type\0\0\0\x04PUSH");
    hello
}

#[test]
fn every_end_is_logged_with_its_reason() {
    log::set_logger(&Lines).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let world = World::new();
    let mut flow = world.raw(&hello());
    flow.finish();
    world.ended("closed by the peer");
    drop(flow);
    drop(world.raw(&hello()));
    world.ended("the peer reset the connection");
    let flow = world.raw(b"GET / HTTP/1.1\r\n");
    world.ended("not a ZMTP signature");
    drop(flow);
    let flow = world.raw(b"");
    world.run(30);
    world.ended("handshake timed out");
    drop(flow);
    let flow = world.raw(&[&hello()[..], b"\0\xFFhalf a message"].concat());
    world.run(60);
    world.ended("a message did not come to its end within stall_timeout");
    drop(flow);
    let flow = world.raw(&[&hello()[..], b"\0\x01x"].concat());
    let received = block_on(world.pull.recv_from()).unwrap();
    world.pull.disconnect(received.peer);
    world.ended("ended by this side");
    drop(flow);
    let push = ZmqSocket::new(&world.host, Options::new(SocketType::Push));
    push.attach(Connect::new(world.network.clone(), target()));
    world.run(1);
    assert_eq!((push.ready_peers(), world.pull.ready_peers()), (1, 1));
    push.shut();
    world.run(1);
    let lines = LINES.take();
    let ends: Vec<_> = lines.iter().filter_map(|line| line.split_once(" ended: ")).collect();
    let whys: Vec<_> = ends.iter().map(|(_, why)| *why).collect();
    assert_eq!(whys.len(), 2, "{lines:?}");
    assert!(whys.contains(&"closed by this side"), "{whys:?}");
}
