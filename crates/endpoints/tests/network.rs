//! Flows, listeners and connectors as RPC objects, between two vats over in-memory flows.

use endpoints::network_capnp::{connector, listener, network, reader, writer};
use endpoints::rpc::network::{
    Conf, ConfLimits, FlowLimit, ListenFailure, LocalConf, Network, RemoteConf, RemoteConnector,
    RemoteFlow, RemoteListener, RemoteNetwork, Watch,
};
use endpoints::rpc::{Limits, Peer, Rpc};
use flow::ledger::Ledger;
use flow::memory::{MemoryFlow, MemoryListener, MemoryNetwork};
use flow::task::Executor;
use flow::time::Timers;
use flow::{ConnectError, Connector, Flow, FlowError, FlowExt, Listener, Target};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;

/// A vat that owns a network, and one that uses it.
struct World {
    executor: Executor,
    timers: Timers,
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
        let (owner, user, network) = (vat(), vat(), MemoryNetwork::new(1000, 8));
        Self { owner, user, network, executor, timers }
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
        self.executor.run_until_stalled();
        outcome.borrow_mut().take().expect("the future to end")
    }

    /// A flow of the owner's as the user sees it, and its other end.
    fn remote_flow(&self) -> (RemoteFlow, MemoryFlow) {
        let (here, there) = flow::memory::pair(300);
        let (peer, local) = (here.peer(), here.local());
        let (reader, writer) = self.ends(here);
        (RemoteFlow::new(reader, writer, peer, local), there)
    }

    /// The objects of a flow of the owner's as the user has them.
    fn ends(&self, flow: MemoryFlow) -> (reader::Client, writer::Client) {
        let once = Once(Rc::new(RefCell::new(Some(flow))));
        let client: connector::Client = self.handed_over(self.owner.export_connector(once));
        self.run(async move {
            let mut request = client.connect_request();
            request.get().set_target("any:1");
            let response = request.send().promise.await.unwrap();
            let opened = response.get().unwrap().get_opened().unwrap();
            (opened.get_reader().unwrap(), opened.get_writer().unwrap())
        })
    }
}

/// Leads to one flow.
#[derive(Clone)]
struct Once(Rc<RefCell<Option<MemoryFlow>>>);

impl Connector for Once {
    type Flow = MemoryFlow;

    async fn connect(&self, _: &Target) -> Result<MemoryFlow, ConnectError> {
        self.0.borrow_mut().take().ok_or(ConnectError::Refused)
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

/// Each direction is longer than all that holds bytes on the way, and neither end reads before it has written.
#[test]
fn both_directions_at_once_hold_each_other_back_nowhere() {
    let world = World::new();
    let (mut near, mut far) = world.remote_flow();
    world.executor.spawner().spawn("far", async move {
        assert!(both_ways(&mut far).await == pattern(300_000));
    });
    assert!(world.run(async move { both_ways(&mut near).await }) == pattern(300_000));
}

/// Writes and reads as the flow lets it.
async fn both_ways(flow: &mut impl Flow) -> Vec<u8> {
    let (out, mut sent, mut read, mut ended) = (pattern(300_000), 0, Vec::new(), false);
    std::future::poll_fn(|cx| {
        loop {
            let mut moved = false;
            if sent < out.len()
                && let Poll::Ready(count) = flow.poll_write(cx, &out[sent..])
            {
                sent += count.unwrap();
                moved = true;
                if sent == out.len() {
                    flow.finish();
                }
            }
            if !ended
                && let Poll::Ready(count) = flow.poll_read_with(cx, &mut |bytes| {
                    read.extend_from_slice(bytes);
                    bytes.len()
                })
            {
                moved = true;
                ended = count.unwrap() == 0;
            }
            match moved {
                true => {}
                false if ended && sent == out.len() => return Poll::Ready(()),
                false => return Poll::Pending,
            }
        }
    })
    .await;
    flow.drained().await.unwrap();
    read
}

/// A write waits, since nobody reads at the other end; what comes from there is read all the same.
#[test]
fn a_write_that_waits_does_not_hold_back_reads() {
    let world = World::new();
    let (mut near, mut far) = world.remote_flow();
    world.run(async move {
        let mut written = 0;
        std::future::poll_fn(|cx| {
            while let Poll::Ready(count) = near.poll_write(cx, &[7; 16_384]) {
                written += count.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        assert!(written >= 16_384);
        far.write_all(b"hello").await.unwrap();
        let mut buffer = [0; 5];
        assert_eq!(near.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(&buffer, b"hello");
    });
}

/// What one answer brings is read byte by byte, which a message's traversal limit must not end.
#[test]
fn small_takes_lose_nothing() {
    let world = World::new();
    let (mut near, mut far) = world.remote_flow();
    world.executor.spawner().spawn("writer", async move {
        far.write_all(&pattern(100_000)).await.unwrap();
        far.finish();
        far.drained().await.unwrap();
    });
    let read = world.run(async move {
        let mut read = Vec::new();
        loop {
            let mut byte = [0; 1];
            match near.read(&mut byte).await.unwrap() {
                0 => return read,
                _ => read.push(byte[0]),
            }
        }
    });
    assert!(read == pattern(100_000));
}

/// An answer that cannot be read is an error, not an end.
#[test]
fn an_answer_beyond_the_traversal_limit_is_an_error() {
    let world = World::new();
    let narrow = Limits { traversal_words_max: 1_000, ..Limits::default() };
    let user = Rpc::new(narrow, &world.executor.spawner(), &world.timers);
    let (near, far) = flow::memory::pair(1 << 16);
    let long: reader::Client = world.owner.client(Long);
    world.owner.serve_flow(far, &Peer::unknown(nowhere()), |_| Some(long));
    let reader: reader::Client = user.connect_flow(near);
    let (unused, _) = flow::memory::pair(1);
    let writer: writer::Client = user.connect_flow(unused);
    let mut flow = RemoteFlow::new(reader, writer, nowhere(), nowhere());
    let read = world.run(async move { read_to_end(&mut flow).await });
    assert!(matches!(read, Err(FlowError::Reset | FlowError::Down)), "{read:?}");
}

/// Gives more than it was asked for.
struct Long;

impl reader::Server for Long {
    async fn read(
        self: Rc<Self>,
        _: reader::ReadParams,
        mut results: reader::ReadResults,
    ) -> Result<(), capnp::Error> {
        results.get().set_data(&pattern(16_000));
        results.get().init_outcome().set_ok(());
        Ok(())
    }
}

#[test]
fn an_abort_reaches_the_other_end_though_a_write_waits() {
    for drops in [false, true] {
        let world = World::new();
        let (mut near, mut far) = world.remote_flow();
        let near = world.run(async move {
            std::future::poll_fn(|cx| {
                while near.poll_write(cx, &[7; 16_384]).is_ready() {}
                Poll::Ready(())
            })
            .await;
            if !drops {
                near.abort();
            }
            near
        });
        drop(near);
        world.executor.run_until_stalled();
        let read = world.run(async move { read_to_end(&mut far).await });
        assert_eq!(read, Err(FlowError::Reset), "dropped: {drops}");
    }
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
    world.executor.run_until_stalled();
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
    let reader: reader::Client = world.user.connect_flow(near);
    let (near, far_writer) = flow::memory::pair(777);
    let writer: writer::Client = world.user.connect_flow(near);
    let mut flow = RemoteFlow::new(reader, writer, nowhere(), nowhere());
    drop((far, far_writer));
    assert_eq!(world.run(async move { read_to_end(&mut flow).await }), Err(FlowError::Down));
}

fn nowhere() -> flow::Address {
    flow::Address::Memory(1)
}

#[test]
fn only_one_read_waits_at_a_time() {
    let world = World::new();
    let (here, _there) = flow::memory::pair(300);
    let (client, _writer) = world.ends(here);
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
    let (_reader, client) = world.ends(here);
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

/// Gives so many answers that are none before each flow.
struct Lying {
    rpc: Rpc,
    lies: usize,
    told: Cell<usize>,
}

impl listener::Server for Lying {
    async fn accept(
        self: Rc<Self>,
        _: listener::AcceptParams,
        mut results: listener::AcceptResults,
    ) -> Result<(), capnp::Error> {
        let mut outcome = results.get().init_outcome();
        let told = self.told.replace(self.told.get() + 1);
        if told < self.lies {
            match told % 2 {
                // Says that there is a flow, and has none.
                0 => outcome.set_ok(()),
                _ => return Err(capnp::Error::failed("no".into())),
            }
            return Ok(());
        }
        self.told.set(0);
        outcome.set_ok(());
        let (reader, writer) = self.rpc.export_flow(flow::memory::pair(16).0);
        let mut opened = results.get().init_opened();
        opened.set_reader(reader);
        opened.set_writer(writer);
        Ok(())
    }

    async fn local(
        self: Rc<Self>,
        _: listener::LocalParams,
        _: listener::LocalResults,
    ) -> Result<(), capnp::Error> {
        Ok(())
    }
}

#[test]
fn an_answer_that_is_no_flow_costs_that_flow_and_too_many_in_a_row_the_listener() {
    for (lies, expected) in [(0, None), (1, None), (15, None), (16, Some(FlowError::Reset))] {
        let world = World::new();
        let lying = Lying { rpc: world.owner.clone(), lies, told: Cell::new(0) };
        let client: listener::Client = world.handed_over(world.owner.client(lying));
        world.run(async move {
            let mut remote = RemoteListener::new(client).await.unwrap();
            assert_eq!(remote.accept().await.err(), expected, "{lies}");
            // A flow makes up for what was before it; an end is one.
            for _ in 0..if expected.is_none() { 3 } else { 0 } {
                assert!(remote.accept().await.is_ok(), "{lies}");
            }
        });
    }
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
    world.executor.run_until_stalled();
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

/// The owner's network, of which it lets others have these ports.
struct Lent {
    network: MemoryNetwork,
    ports: Vec<u16>,
}

impl Network for Lent {
    type Listener = MemoryListener;
    type Connector = MemoryNetwork;

    fn listen(&self, port: u16) -> Result<MemoryListener, ListenFailure> {
        if !self.ports.contains(&port) {
            return Err(ListenFailure::NotAllowed);
        }
        let target = Target::Name("lent".into(), port);
        self.network.listen(&target).ok_or(ListenFailure::InUse)
    }

    fn connector(&self) -> MemoryNetwork {
        self.network.clone()
    }
}

impl World {
    /// The user's view of the owner's network, with so many flows and so many bytes in them.
    fn lent(&self, flows_max: usize, bytes_max: usize) -> (network::Client, FlowLimit) {
        let ledger = Ledger::new(bytes_max).service("network", bytes_max, bytes_max);
        let limit = FlowLimit::new(flows_max, ledger);
        let lent = Lent { network: self.network.clone(), ports: vec![80, 81] };
        (self.handed_over(self.owner.export_network(lent, &limit)), limit)
    }
}

#[test]
fn a_network_listens_where_it_lets_others() {
    let world = World::new();
    let (client, _limit) = world.lent(8, usize::MAX);
    let network = RemoteNetwork::new(client);
    let lent = world.network.clone();
    world.run(async move {
        let refused = network.listen(82).await.err().unwrap();
        assert!(refused.extra.contains("does not let us"), "{refused}");
        let mut listener = network.listen(80).await.unwrap();
        let refused = network.listen(80).await.err().unwrap();
        assert!(refused.extra.contains("another listens"), "{refused}");
        let mut near = lent.connect(&target("lent:80")).await.unwrap();
        let mut far = listener.accept().await.unwrap();
        near.write_all(b"water").await.unwrap();
        near.finish();
        assert_eq!(read_to_end(&mut far).await.unwrap(), b"water");
        // Let go, it ends.
        drop(listener);
    });
    let (client, _limit) = world.lent(8, usize::MAX);
    assert!(world.run(async move { RemoteNetwork::new(client).listen(80).await.is_ok() }));
}

#[test]
fn flows_of_a_network_are_bounded_and_the_next_one_waits_for_the_end_of_another() {
    let world = World::new();
    let (client, limit) = world.lent(2, usize::MAX);
    let network = RemoteNetwork::new(client);
    let listener = network.clone();
    let mut listener = world.run(async move { listener.listen(80).await.unwrap() });
    let connect = || {
        let network = world.network.clone();
        world.run(async move { network.connect(&target("lent:80")).await.unwrap() })
    };
    let mut accept = || {
        world.executor.run_until_stalled();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let first = listener.poll_accept(&mut cx).map(Result::unwrap);
        world.executor.run_until_stalled();
        if first.is_ready() { first } else { listener.poll_accept(&mut cx).map(Result::unwrap) }
    };
    let outside: Vec<_> = (0..3).map(|_| connect()).collect();
    let (Poll::Ready(first), Poll::Ready(_second)) = (accept(), accept()) else { panic!("no two") };
    assert!(accept().is_pending());
    assert_eq!(limit.open(), 2);
    let connector = network.connector();
    let refused = world.run(async move { connector.connect(&target("lent:80")).await.err() });
    assert_eq!(refused, Some(ConnectError::Exhausted));
    drop(first);
    assert!(accept().is_ready());
    assert_eq!(limit.open(), 2);
    drop(outside);
}

/// What a peer wrote is weighed on its own account, since the call that brought it may be let go before it is taken.
#[test]
fn bytes_that_wait_in_a_flow_are_weighed_and_too_many_end_it() {
    for (bytes_max, is_ended) in [(1 << 20, false), (100_000, true)] {
        let world = World::new();
        let (client, limit) = world.lent(2, bytes_max);
        let mut listener = world.network.listen(&target("web:80")).unwrap();
        let (reader, writer, mut far) = world.run(async move {
            let connector = client.connector_request().send().pipeline.get_connector();
            let mut request = connector.connect_request();
            request.get().set_target("web:80");
            let response = request.send().promise.await.unwrap();
            let opened = response.get().unwrap().get_opened().unwrap();
            let (reader, writer) = (opened.get_reader().unwrap(), opened.get_writer().unwrap());
            (reader, writer, listener.accept().await.unwrap())
        });
        let mut request = writer.write_request();
        request.get().set_data(&pattern(200_000));
        drop(request.send());
        world.executor.run_until_stalled();
        let read = world.run(async move {
            let mut buffer = [0; 100];
            let mut count = 0;
            while count < 200_000 {
                match far.read(&mut buffer).await {
                    Ok(read) => count += read,
                    Err(error) => return Err(error),
                }
            }
            Ok(count)
        });
        assert_eq!(read.is_err(), is_ended, "{bytes_max}: {read:?}");
        drop((reader, writer));
        world.executor.run_until_stalled();
        assert_eq!(limit.open(), 0);
    }
}
