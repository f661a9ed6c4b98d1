//! The process as another process reaches it by shared memory: HTTP, RPC, ends, and a death in the middle.

mod appliance;

use appliance::{Appliance, Folder, LARGE_BYTES, PATIENCE, free_port, wait_for_port};
use aqueduct::appliance_capnp::{calculator, directory};
use aqueduct::settings::network::SocketSettings;
use aqueduct::settings::shared_memory::SharedMemorySettings;
use aqueduct_linux::shared_memory::{SharedMemory, SharedMemoryFlow};
use aqueduct_linux::sockets::Reactor;
use capnp::capability::FromClientHook;
use endpoints::rpc::{Limits, Rpc};
use flow::task::Executor;
use flow::time::Timers;
use flow::{ConnectError, Connector, Flow, FlowError, FlowExt, Target};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A death is noticed within this.
const NOTICE: Duration = Duration::from_secs(1);

/// This process' side: tasks, and what they share memory by.
struct Client {
    executor: Executor,
    timers: Timers,
    reactor: Reactor,
    memory: SharedMemory,
}

impl Client {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).unwrap();
        let settings = SharedMemorySettings::new(&config::SharedMemory::default(), usize::MAX);
        let timers = Timers::new();
        let memory = SharedMemory::new(&reactor, settings, &timers);
        Self { executor, timers, reactor, memory }
    }

    /// What comes of `work`, which runs in a loop like the appliance's.
    fn run<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let to = result.clone();
        self.executor.spawner().spawn("work", async move {
            to.replace(Some(work.await));
        });
        let start = Instant::now();
        loop {
            self.executor.run_until_stalled();
            if let Some(result) = result.take() {
                return result;
            }
            assert!(start.elapsed() < PATIENCE, "nothing comes");
            self.memory.notify();
            let sleep = |timeout| self.reactor.wait(timeout);
            self.memory.wait(Some(Duration::from_millis(100)), sleep).unwrap();
        }
    }

    fn connect(&self, path: &str) -> Result<SharedMemoryFlow, ConnectError> {
        let (connector, target) = (self.memory.connector(), Target::SharedMemory(path.into()));
        self.run(async move { connector.connect(&target).await })
    }
}

/// A process that listens there, and a folder of paths.
struct Server {
    appliance: Appliance,
    http: String,
    rpc: String,
}

impl Server {
    fn start(more: &str) -> Self {
        let [http, rpc] = ["http", "rpc"].map(|name| path(name).to_str().unwrap().to_owned());
        let config = format!(
            "[shared_memory]\nhttp_path = \"{http}\"\nrpc_path = \"{rpc}\"\n{more}\n\
             [rpc]\nstrangers = [\"calculator\"]\n[http]\nbody_bytes_max = 100_000_000\n"
        );
        let (port, folder) = (free_port(), Folder::new(&config));
        let mut command = folder.command_after("");
        command.args(["--http", &format!("127.0.0.1:{port}")]);
        command.args(["--rpc-port", "0", "--zmq-port", "0"]);
        let child = wait_for_port(&mut command, port).expect("it starts");
        let appliance = Appliance { child, port, _folder: folder };
        Self { appliance, http, rpc }
    }
}

fn path(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("aqueduct-{}-{name}-{number}", std::process::id()))
}

/// All that comes up to the end.
async fn read_all(flow: &mut SharedMemoryFlow) -> Result<Vec<u8>, FlowError> {
    let mut all = Vec::new();
    loop {
        let count = flow
            .read_with(|bytes| {
                all.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            })
            .await?;
        if count == 0 {
            return Ok(all);
        }
    }
}

#[test]
fn pages_are_served_and_a_client_that_has_finished_still_hears_the_answer() {
    let (server, client) = (Server::start(""), Client::new());
    let mut flow = client.connect(&server.http).unwrap();
    let answer = client.run(async move {
        flow.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        flow.finish();
        read_all(&mut flow).await
    });
    let answer = answer.unwrap();
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    assert_eq!(answer.len() - head, LARGE_BYTES);
    assert!(answer[head..].iter().all(|byte| *byte == b'x'));
    // By TCP as before.
    assert!(std::net::TcpStream::connect(("127.0.0.1", server.appliance.port)).is_ok());
}

#[test]
fn calls_are_answered() {
    let (server, client) = (Server::start(""), Client::new());
    let flow = client.connect(&server.rpc).unwrap();
    let vat = Rpc::new(Limits::default(), &client.executor.spawner(), &client.timers);
    let directory: directory::Client = vat.connect_flow(flow);
    let mut get = directory.get_request();
    get.get().set_name("calculator");
    let calculator: calculator::Client =
        FromClientHook::new(get.send().pipeline.get_service().as_cap());
    for bytes in [0, 1, 100_000, 3_000_000] {
        let data: Vec<u8> = (0..bytes).map(|place| (place % 251) as u8).collect();
        let mut echo = calculator.echo_request();
        echo.get().set_data(&data);
        let answer = client.run(echo.send().promise).unwrap();
        assert!(answer.get().unwrap().get_data().unwrap() == data, "{bytes}");
    }
}

#[test]
fn a_process_that_is_killed_is_noticed_in_the_middle_of_its_answer() {
    let (mut server, client) = (Server::start(""), Client::new());
    let mut flow = client.connect(&server.http).unwrap();
    let (mut flow, begun) = client.run(async move {
        flow.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let begun = flow.read(&mut [0; 1000]).await;
        (flow, begun)
    });
    assert_eq!(begun, Ok(1000));
    server.appliance.child.kill().unwrap();
    server.appliance.child.wait().unwrap();
    let died = Instant::now();
    let (flow, outcome) = client.run(async move {
        let outcome = read_all(&mut flow).await;
        (flow, outcome)
    });
    assert_eq!(outcome, Err(FlowError::Reset));
    assert!(died.elapsed() < NOTICE, "{:?}", died.elapsed());
    drop(flow);
    assert_eq!(client.connect(&server.http).err(), Some(ConnectError::Refused));
    // The next process takes the path over: this one left its socket behind.
    std::fs::remove_file(&server.http).unwrap();
    std::fs::remove_file(&server.rpc).unwrap();
}

#[test]
fn a_client_that_is_gone_costs_the_process_nothing() {
    let (server, client) = (Server::start("connections_max = 3"), Client::new());
    for _ in 0..100 {
        // In the middle of a request, and of an answer.
        let mut flow = client.connect(&server.http).unwrap();
        client.run(async move {
            flow.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET").await.unwrap();
            flow.read(&mut [0; 10]).await.unwrap();
        });
        client.memory.notify();
        // It may not have seen yet that the others are gone.
        let start = Instant::now();
        while client.connect(&server.http).is_err_and(|error| error == ConnectError::Exhausted) {
            assert!(start.elapsed() < PATIENCE, "a place is not given back");
        }
    }
}
