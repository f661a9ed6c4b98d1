//! Flows, listeners and connectors as RPC objects, between two vats over in-memory flows.

use endpoints::network_capnp::{connector, flow as flow_schema, listener};
use endpoints::rpc::network::{
    Conf, ConfLimits, LocalConf, RemoteConf, RemoteConnector, RemoteFlow, RemoteListener, Watch,
};
use endpoints::rpc::{Limits, Rpc};
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::task::Executor;
use flow::time::Timers;
use flow::{ConnectError, Connector, Flow, FlowError, FlowExt, Listener, Target};
use std::cell::RefCell;
use std::rc::Rc;

/// A vat that owns a network, and one that uses it.
struct World {
    executor: Executor,
    owner: Rpc,
    user: Rpc,
    /// The owner's.
    network: MemoryNetwork,
}

impl World {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| "a panic".to_string())
        });
        let (spawner, timers) = (executor.spawner(), Timers::new());
        let vat = || Rpc::new(Limits::default(), &spawner, &timers);
        Self { owner: vat(), user: vat(), network: MemoryNetwork::new(1000, 8), executor }
    }

    /// The user's client of an object of the owner, which is the connection's from then on.
    fn handed_over<C: capnp::capability::FromClientHook + Clone + 'static>(&self, object: C) -> C {
        let wire = MemoryNetwork::new(777, 8);
        let listener = wire.listen(&target("vat:1")).unwrap();
        let object = RefCell::new(Some(object));
        let offering = self.owner.offer_each(listener, move |_| object.take());
        self.executor.spawner().spawn("offer", async {
            offering.await;
        });
        let user = self.user.clone();
        self.run(async move { user.connect(&wire, &target("vat:1")).await.unwrap() })
    }

    fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let outcome = Rc::new(RefCell::new(None));
        let result = outcome.clone();
        self.executor.spawner().spawn("test", async move {
            let value = future.await;
            *result.borrow_mut() = Some(value);
        });
        while self.executor.run(1_000_000) {}
        outcome.borrow_mut().take().expect("the future to end")
    }

    /// A flow of the owner's as the user sees it, and its other end.
    fn remote_flow(&self) -> (RemoteFlow, MemoryFlow) {
        let (here, there) = flow::memory::pair(300);
        let (peer, local) = (here.peer(), here.local());
        let client: flow_schema::Client = self.handed_over(self.owner.export_flow(here));
        (RemoteFlow::new(client, peer, local), there)
    }
}

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

async fn read_to_end(flow: &mut impl Flow) -> Result<Vec<u8>, FlowError> {
    let mut all = Vec::new();
    loop {
        let mut buffer = [0; 100];
        match flow.read(&mut buffer).await? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

#[test]
fn bytes_go_both_ways_and_each_direction_ends_by_itself() {
    let world = World::new();
    let (mut near, mut far) = world.remote_flow();
    let echo = async move {
        let request = read_to_end(&mut far).await.unwrap();
        far.write_all(&request).await.unwrap();
        far.finish();
        far.drained().await.unwrap();
        request.len()
    };
    world.executor.spawner().spawn("echo", async {
        assert_eq!(echo.await, 200_000);
    });
    let echoed = world.run(async move {
        near.write_all(&pattern(200_000)).await.unwrap();
        near.finish();
        assert_eq!(near.write_all(b"more").await, Err(FlowError::Closed));
        let echoed = read_to_end(&mut near).await.unwrap();
        near.drained().await.unwrap();
        echoed
    });
    assert!(echoed == pattern(200_000));
}

#[test]
fn drained_means_that_the_other_end_has_it() {
    let world = World::new();
    let (mut near, mut far) = world.remote_flow();
    let drained = Rc::new(RefCell::new(None));
    let result = drained.clone();
    world.executor.spawner().spawn("writer", async move {
        near.write_all(&pattern(500)).await.unwrap();
        let outcome = near.drained().await;
        *result.borrow_mut() = Some(outcome);
    });
    while world.executor.run(1_000_000) {}
    assert_eq!(*drained.borrow(), None, "300 bytes fit below");
    world.run(async move {
        let mut buffer = [0; 500];
        let mut read = 0;
        while read < 500 {
            read += far.read(&mut buffer[read..]).await.unwrap();
        }
        assert!(buffer[..] == pattern(500));
    });
    assert_eq!(*drained.borrow(), Some(Ok(())));
}

#[test]
fn an_abort_reaches_the_other_end() {
    let world = World::new();
    let (mut near, mut far) = world.remote_flow();
    near.abort();
    assert_eq!(world.run(async move { read_to_end(&mut near).await }), Err(FlowError::Closed));
    assert_eq!(world.run(async move { read_to_end(&mut far).await }), Err(FlowError::Reset));
}

#[test]
fn a_flow_that_is_let_go_without_an_end_is_aborted() {
    let world = World::new();
    let (near, mut far) = world.remote_flow();
    drop(near);
    assert_eq!(world.run(async move { read_to_end(&mut far).await }), Err(FlowError::Reset));
}

#[test]
fn a_flow_that_was_finished_may_be_let_go() {
    let world = World::new();
    let (mut near, mut far) = world.remote_flow();
    world.run(async move {
        near.write_all(&pattern(250)).await.unwrap();
        near.finish();
    });
    let read = world.run(async move { read_to_end(&mut far).await.unwrap() });
    assert!(read == pattern(250));
}

#[test]
fn the_other_ends_reset_is_a_result() {
    let world = World::new();
    let (mut near, far) = world.remote_flow();
    drop(far);
    let (read, written) = world.run(async move {
        let read = read_to_end(&mut near).await;
        let mut written = Ok(());
        for _ in 0..20 {
            written = written.and(near.write_all(&pattern(16_384)).await);
        }
        (read, written)
    });
    assert_eq!((read, written), (Err(FlowError::Reset), Err(FlowError::Reset)));
}

#[test]
fn a_lost_connection_to_the_owner_is_a_network_that_is_down() {
    let world = World::new();
    let (near, far) = flow::memory::pair(777);
    let client: flow_schema::Client = world.user.connect_flow(near);
    let mut flow = RemoteFlow::new(client, nowhere(), nowhere());
    drop(far);
    assert_eq!(world.run(async move { read_to_end(&mut flow).await }), Err(FlowError::Down));
}

fn nowhere() -> flow::Address {
    flow::Address::Memory(1)
}

#[test]
fn only_one_read_waits_at_a_time() {
    let world = World::new();
    let (here, _there) = flow::memory::pair(300);
    let client: flow_schema::Client = world.handed_over(world.owner.export_flow(here));
    let error = world.run(async move {
        let first = client.read_request().send();
        let second = client.read_request().send().promise.await.err().unwrap();
        drop(first);
        second
    });
    assert!(error.extra.contains("one at a time"), "{error}");
}

#[test]
fn what_is_queued_for_a_slow_reader_is_bounded() {
    let world = World::new();
    let (here, _there) = flow::memory::pair(300);
    let client: flow_schema::Client = world.handed_over(world.owner.export_flow(here));
    let error = world.run(async move {
        let mut request = client.write_request();
        request.get().set_data(&pattern((1 << 20) + 1));
        request.send().await.unwrap_err()
    });
    assert_eq!(error.kind, capnp::ErrorKind::Overloaded, "{error}");
}

#[test]
fn a_connector_reaches_what_its_owner_reaches() {
    let world = World::new();
    let mut listener = world.network.listen(&target("web:80")).unwrap();
    let client: connector::Client =
        world.handed_over(world.owner.export_connector(world.network.clone()));
    world.executor.spawner().spawn("server", async move {
        let mut flow = listener.accept().await.unwrap();
        let request = read_to_end(&mut flow).await.unwrap();
        flow.write_all(&request).await.unwrap();
        flow.finish();
        flow.drained().await.unwrap();
    });
    let remote = RemoteConnector::new(client);
    world.run(async move {
        let mut flow = remote.connect(&target("web:80")).await.unwrap();
        assert!(matches!(flow.peer(), flow::Address::Memory(_)) && flow.peer() != flow.local());
        flow.write_all(b"water").await.unwrap();
        flow.finish();
        assert_eq!(read_to_end(&mut flow).await.unwrap(), b"water");
        let nobody = remote.connect(&target("nobody:1")).await.err();
        assert!(matches!(nobody, Some(ConnectError::Refused | ConnectError::NotFound)));
    });
}

#[test]
fn a_listener_accepts_for_another() {
    let world = World::new();
    let listener = world.network.listen(&target("web:80")).unwrap();
    let local = listener.local();
    let client: listener::Client = world.handed_over(world.owner.export_listener(listener));
    let network = world.network.clone();
    world.executor.spawner().spawn("client", async move {
        let mut flow = network.connect(&target("web:80")).await.unwrap();
        flow.write_all(b"hello").await.unwrap();
        flow.finish();
        flow.drained().await.unwrap();
    });
    world.run(async move {
        let mut remote = RemoteListener::new(client).await.unwrap();
        assert_eq!(remote.local(), local);
        let mut flow = remote.accept().await.unwrap();
        assert_eq!(read_to_end(&mut flow).await.unwrap(), b"hello");
    });
}

#[test]
fn settings_are_read_written_and_deleted_from_elsewhere() {
    let world = World::new();
    let local = LocalConf::new(ConfLimits::default());
    let remote = RemoteConf::new(world.handed_over(world.owner.export_conf(local.clone())));
    world.run(async move {
        local.write("colour", b"blue").await.unwrap();
        assert_eq!(remote.read("colour").await.unwrap().as_deref(), Some(&b"blue"[..]));
        assert_eq!(remote.read("shape").await.unwrap(), None);
        remote.write("shape", b"").await.unwrap();
        assert_eq!(local.read("shape").await.unwrap().as_deref(), Some(&b""[..]));
        assert!(remote.delete("colour").await.unwrap());
        assert!(!remote.delete("colour").await.unwrap());
        assert_eq!(local.read("colour").await.unwrap(), None);
    });
}

#[test]
fn a_watch_sees_the_setting_as_it_is_and_each_change() {
    let world = World::new();
    let local = LocalConf::new(ConfLimits::default());
    let remote = RemoteConf::new(world.handed_over(world.owner.export_conf(local.clone())));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = seen.clone();
    world.executor.spawner().spawn("watcher", async move {
        let watch = remote.watch("colour").await.unwrap();
        for _ in 0..4 {
            let value = watch.next().await.unwrap();
            log.borrow_mut().push(value.map(|value| String::from_utf8(value).unwrap()));
        }
    });
    while world.executor.run(1_000_000) {}
    for step in 0..4 {
        let table = local.clone();
        world.run(async move {
            match step {
                0 => table.write("shape", b"round").await.unwrap(),
                1 => {
                    table.write("colour", b"red").await.unwrap();
                    table.write("colour", b"blue").await.unwrap();
                }
                2 => assert!(table.delete("colour").await.unwrap()),
                _ => table.write("colour", b"green").await.unwrap(),
            }
        });
    }
    let expected = [None, Some("blue"), None, Some("green")];
    assert_eq!(*seen.borrow(), expected.map(|value| value.map(String::from)));
}

#[test]
fn each_limit_of_a_table_is_named() {
    let world = World::new();
    let limits =
        ConfLimits { settings_max: 1, key_bytes_max: 3, value_bytes_max: 4, watches_max: 1 };
    let conf = RemoteConf::new(world.handed_over(world.owner.export_conf(LocalConf::new(limits))));
    world.run(async move {
        let named = |error: Option<capnp::Error>, limit: &str| {
            let error = error.expect(limit);
            assert_eq!(error.kind, capnp::ErrorKind::Overloaded);
            assert!(error.extra.contains(limit), "{error}");
        };
        conf.write("one", b"1").await.unwrap();
        named(conf.write("two", b"2").await.err(), "settings_max");
        named(conf.write("four", b"4").await.err(), "key_bytes_max");
        named(conf.write("one", b"12345").await.err(), "value_bytes_max");
        let watch = conf.watch("one").await.unwrap();
        named(conf.watch("two").await.err(), "watches_max");
        drop(watch);
        conf.watch("two").await.unwrap();
        named(conf.watch("four").await.err(), "key_bytes_max");
    });
}
