//! The appliance as its host reaches it, by sockets that are no network's.

use aqueduct::app::{App, Appliance};
use aqueduct::context::Context;
use config::{Bundle, Config, cpio};
use core::task::{self, Poll, Waker};
use flow::memory::MemoryNetwork;
use flow::registry::StaticRegistry;
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Address, Connector, Flow, FlowExt, Listener};
use std::rc::Rc;
use sweep::{Memory, VsockHost, target};
use vsock::{Limits, VsockFlow};

const HTTP: u32 = 80;
const RPC: u32 = 7000;
const ADMIN: u32 = 9001;
/// More than fits into the buffers of a connection.
const LONG_BYTES: usize = 300_000;

struct World {
    host: VsockHost,
    network: MemoryNetwork,
    executor: Executor,
    timers: Timers,
    context: Context<Memory>,
    app: App,
}

impl World {
    fn new(config: &Config, has_sockets: bool) -> Result<Self, String> {
        let host = VsockHost::new(Limits { connections_max: 8, ..Limits::default() });
        let network = MemoryNetwork::new(4096, 1000);
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let timers = Timers::new();
        let vsock = has_sockets.then(|| host.machine.clone());
        let platform =
            Memory { network: network.clone(), memory_bytes: 256 << 20, vsock, clock: None };
        let registry = Rc::new(StaticRegistry::default());
        let context =
            Context::new(platform, config.clone(), bundle(), registry, &executor, &timers);
        let app = App::start(&context, &Appliance).map_err(|error| error.to_string())?;
        let world = Self { host, network, executor, timers, context, app };
        world.run();
        Ok(world)
    }

    /// Runs tasks and carries packets until nothing moves.
    fn run(&self) {
        loop {
            assert!(!self.executor.run(100_000), "a task runs for ever");
            if !self.host.carry(self.timers.now()) {
                return;
            }
        }
    }

    fn connect(&self, port: u32) -> VsockFlow {
        self.host.connect(self.timers.now(), port).unwrap()
    }

    /// The answer to a request, until the appliance ends it.
    fn ask(&self, port: u32, request: &str) -> Vec<u8> {
        let mut flow = self.connect(port);
        block_on(flow.write_all(request.as_bytes())).unwrap();
        let mut answer = Vec::new();
        loop {
            self.run();
            let before = answer.len();
            let cx = &mut task::Context::from_waker(Waker::noop());
            let taken = flow.poll_read_with(cx, &mut |bytes| {
                answer.extend_from_slice(bytes);
                bytes.len()
            });
            match taken {
                Poll::Pending => panic!("no end after {} bytes", answer.len()),
                Poll::Ready(outcome) => outcome.unwrap(),
            };
            if answer.len() == before {
                return answer;
            }
        }
    }

    fn get(&self, port: u32, path: &str) -> Vec<u8> {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = self.ask(port, &request);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{:?}", str::from_utf8(&answer[..end]));
        answer[end + 4..].to_vec()
    }
}

fn config() -> Config {
    let mut config = Config::default();
    config.vsock.http_port = HTTP;
    config.vsock.rpc_port = RPC;
    config.vsock.admin_port = ADMIN;
    config
}

fn long() -> Vec<u8> {
    (0..LONG_BYTES).map(|at| (at % 251) as u8).collect()
}

fn bundle() -> Bundle<'static> {
    let mut writer = cpio::Writer::new();
    writer.file("site/page", b"site page", 1_700_000_000).unwrap();
    writer.file("site/long", &long(), 1_700_000_000).unwrap();
    Bundle::parse(writer.finish().leak()).unwrap()
}

#[test]
fn the_host_gets_pages() {
    let world = World::new(&config(), true).unwrap();
    assert_eq!(world.get(HTTP, "/page"), b"site page");
    assert_eq!(world.get(HTTP, "/long"), long());
    // By TCP, they are the same.
    assert!(block_on(world.network.connect(&target(80))).is_ok());
    world.run();
    assert_eq!(world.host.machine.connections(), 0, "nothing is left");
}

#[test]
fn the_admin_port_can_be_the_hosts_alone() {
    let world = World::new(&config(), true).unwrap();
    assert!(block_on(world.network.connect(&target(9001))).is_err());
    let _other = world.connect(RPC);
    world.run();
    let table = world.get(ADMIN, "/api/v1/vsock_connections");
    let rows: serde_json::Value = serde_json::from_slice(&table).unwrap();
    let ports: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["local"].clone()).collect();
    assert_eq!(ports.len(), 2, "{rows}");
    assert!(ports.contains(&"3:7000".into()) && ports.contains(&"3:9001".into()), "{rows}");
    let rpc = rows.as_array().unwrap().iter().find(|row| row["local"] == "3:7000").unwrap();
    assert_eq!((&rpc["state"], &rpc["unread_bytes"]), (&"open".into(), &0.into()));
    assert!(!rpc["task"].is_null(), "{rows}");
    let metrics = String::from_utf8(world.get(ADMIN, "/metrics")).unwrap();
    assert!(metrics.contains("vsock_connections 2\n"), "{metrics}");
    assert!(metrics.contains("vsock_connections_accepted_total 3\n"), "{metrics}");
}

#[test]
fn vats_of_the_host_are_strangers_of_the_wire() {
    let world = World::new(&config(), true).unwrap();
    let flow = world.connect(RPC);
    world.run();
    assert_eq!(world.context.services.connections(), 1);
    drop(flow);
    world.run();
    assert_eq!(world.context.services.connections(), 0);
    // The port of TCP stays closed.
    assert!(block_on(world.network.connect(&target(7000))).is_err());
}

#[test]
fn whoever_connects_reaches_the_host() {
    let world = World::new(&Config::default(), true).unwrap();
    let mut listener = world.host.network.listen(1234, 1).unwrap();
    let connector = world.context.connector();
    let target = "vsock://2:1234".parse().unwrap();
    let asking = world.context.spawner.spawn_joinable("test", async move {
        let mut flow = connector.connect(&target).await.unwrap();
        flow.write_all(b"from the machine").await.unwrap();
        flow.finish();
        flow.peer()
    });
    world.run();
    let mut flow = block_on(listener.accept()).unwrap();
    world.run();
    let mut bytes = [0; 100];
    let count = block_on(flow.read(&mut bytes)).unwrap();
    assert_eq!(&bytes[..count], b"from the machine");
    assert_eq!(block_on(flow.read(&mut bytes)), Ok(0));
    assert_eq!(block_on(asking).unwrap(), flow.local());
    assert!(matches!(flow.local(), Address::Vsock(address) if address.port == 1234));
}

#[test]
fn a_stop_lets_answers_arrive() {
    let world = World::new(&config(), true).unwrap();
    let mut flow = world.connect(HTTP);
    block_on(flow.write_all(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
    world.run();
    world.app.stop();
    assert!(!world.app.has_stopped(world.host.machine.undelivered()));
    let mut got = 0;
    while got < LONG_BYTES {
        let bytes = block_on(flow.read_with(|bytes| (bytes.len(), bytes.len()))).unwrap();
        assert!(bytes > 0, "cut after {got}");
        got += bytes;
        world.run();
    }
    drop(flow);
    world.run();
    assert!(world.app.has_stopped(world.host.machine.undelivered()));
}

#[test]
fn without_a_device_the_start_says_what_is_missing() {
    let refused = World::new(&config(), false).map(drop).unwrap_err();
    assert!(
        refused.starts_with("`http_port` in [vsock]: this machine has no socket device"),
        "{refused}"
    );
    World::new(&Config::default(), false).unwrap();
}
