//! The RPC driver over in-memory flows: the demo service of the `rpc` crate's peer.

use endpoints::rpc::{Fingerprint, Limits, Peer, RestoreError, Rpc, SturdyRef, VatPlace};
use flow::memory::MemoryNetwork;
use flow::task::Executor;
use flow::time::Timers;
use rpc_demo::demo::Demo;
use rpc_demo::demo_capnp::demo as schema;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

struct World {
    executor: Executor,
    timers: Timers,
    server: Rpc,
    client: Rpc,
    network: MemoryNetwork,
}

impl World {
    /// A demo at `demo:1`, over flows that hold `capacity_bytes`.
    fn new(capacity_bytes: usize) -> Self {
        let executor = Executor::new(|body| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| "a panic".to_string())
        });
        let (spawner, timers) = (executor.spawner(), Timers::new());
        let network = MemoryNetwork::new(capacity_bytes, 8);
        let server = Rpc::new(Limits::default(), &spawner, &timers);
        let client = Rpc::new(Limits::default(), &spawner, &timers);
        let listener = network.listen(&"demo:1".parse().unwrap()).unwrap();
        let service: schema::Client = server.client(Demo::new(&server, "demo"));
        let offering = server.offer(listener, service);
        spawner.spawn("rpc listener", async {
            offering.await;
        });
        Self { executor, timers, server, client, network }
    }

    async fn connect(&self) -> schema::Client {
        self.client.connect(&self.network, &"demo:1".parse().unwrap()).await.unwrap()
    }

    /// Runs `future` with all tasks, to its end.
    fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let outcome = Rc::new(RefCell::new(None));
        let result = outcome.clone();
        self.executor.spawner().spawn("test", async move {
            let value = future.await;
            *result.borrow_mut() = Some(value);
        });
        self.executor.run(1_000_000);
        outcome.borrow_mut().take().expect("the future to end")
    }
}

fn connected(world: &World) -> schema::Client {
    let (client, network) = (world.client.clone(), world.network.clone());
    world.run(async move { client.connect(&network, &"demo:1".parse().unwrap()).await.unwrap() })
}

async fn name_of(demo: &schema::Client) -> Result<String, capnp::Error> {
    let response = demo.name_request().send().promise.await?;
    Ok(response.get()?.get_name()?.to_string()?)
}

#[test]
fn a_call_goes_through_flows_of_any_size() {
    for capacity_bytes in [1, 7, 64, 65_536] {
        let world = World::new(capacity_bytes);
        let demo = connected(&world);
        let echoed = world.run(async move {
            let mut request = demo.echo_request();
            request.get().set_data(&[5; 3000]);
            let response = request.send().promise.await.unwrap();
            response.get().unwrap().get_data().unwrap().to_vec()
        });
        assert_eq!(echoed, [5; 3000], "flows of {capacity_bytes} bytes");
    }
}

#[test]
fn pipelined_calls_need_no_answer_in_between() {
    let world = World::new(4096);
    let demo = connected(&world);
    let name = world.run(async move {
        let mut request = demo.child_request();
        request.get().set_name("child");
        name_of(&request.send().pipeline.get_child()).await
    });
    assert_eq!(name.unwrap(), "child");
}

#[test]
fn the_server_calls_back_and_tail_calls() {
    let world = World::new(4096);
    let demo = connected(&world);
    let ours: schema::Client = world.client.client(Demo::new(&world.client, "ours"));
    let names = world.run(async move {
        let mut request = demo.call_back_request();
        request.get().set_to(ours.clone());
        request.get().set_times(3);
        let called = request.send().promise.await.unwrap();
        let mut request = demo.tail_request();
        request.get().set_to(ours);
        let tailed = request.send().promise.await.unwrap();
        let text = |name: capnp::text::Reader<'_>| name.to_string().unwrap();
        (
            text(called.get().unwrap().get_name().unwrap()),
            text(tailed.get().unwrap().get_name().unwrap()),
        )
    });
    assert_eq!(names, ("ours".into(), "ours".into()));
}

#[test]
fn a_dropped_call_cancels_its_handler() {
    let world = World::new(4096);
    let demo = connected(&world);
    let cancelled = world.run(async move {
        let never = demo.never_request().send();
        name_of(&demo).await.unwrap();
        drop(never);
        let response = demo.cancelled_request().send().promise.await.unwrap();
        response.get().unwrap().get_count()
    });
    assert_eq!(cancelled, 1);
}

/// Begins what it finishes whether or not somebody waits for it.
struct Thorough {
    rpc: Rpc,
    timers: Timers,
    finished: Rc<std::cell::Cell<bool>>,
}

impl schema::Server for Thorough {
    async fn never(
        self: Rc<Self>,
        _: schema::NeverParams,
        _: schema::NeverResults,
    ) -> Result<(), capnp::Error> {
        let (timers, finished) = (self.timers.clone(), self.finished.clone());
        self.rpc.detach(async move {
            timers.sleep(Duration::from_secs(1)).await;
            finished.set(true);
        });
        std::future::pending().await
    }
}

#[test]
fn what_a_handler_detaches_goes_on_when_its_call_is_cancelled() {
    let world = World::new(4096);
    let (here, there) = flow::memory::pair(4096);
    let finished = Rc::new(std::cell::Cell::new(false));
    let (rpc, timers) = (world.server.clone(), world.timers.clone());
    let thorough = Thorough { rpc, timers, finished: finished.clone() };
    let service: schema::Client = world.server.client(thorough);
    world.server.serve_flow(there, &Peer::unknown(nowhere()), |_| Some(service));
    let demo: schema::Client = world.client.connect_flow(here);
    let never = demo.never_request().send();
    world.executor.run(1_000);
    assert_eq!(world.server.live().1, 1);
    drop(never);
    world.executor.run(1_000);
    assert_eq!((world.server.live().1, finished.get()), (0, false));
    world.timers.advance(Duration::from_secs(2));
    world.executor.run(1_000);
    assert!(finished.get());
}

#[test]
fn when_all_is_dropped_the_connection_ends_and_both_vats_are_empty() {
    let world = World::new(4096);
    let demo = connected(&world);
    let demo = world.run(async move {
        name_of(&demo).await.unwrap();
        demo
    });
    let offered = world.server.live();
    drop(demo);
    world.executor.run(1_000_000);
    assert_eq!(world.client.live(), (0, 0));
    assert!(world.server.live() <= offered);
    assert_eq!(world.server.live(), (1, 0), "the offered service only");
}

#[test]
fn an_open_call_breaks_when_the_server_is_gone() {
    let world = World::new(4096);
    let (here, there) = flow::memory::pair(4096);
    let demo: schema::Client = world.client.connect_flow(here);
    let call = name_of(&demo);
    drop(there);
    let error = world.run({
        let demo = demo.clone();
        async move { name_of(&demo).await.unwrap_err() }
    });
    assert_eq!(error.kind, capnp::ErrorKind::Disconnected);
    drop(call);
}

#[test]
fn a_peer_that_stalls_in_a_message_is_disconnected_in_time() {
    use flow::FlowExt;
    let world = World::new(4096);
    let (here, mut there) = flow::memory::pair(4096);
    let demo: schema::Client = world.client.connect_flow(here);
    world.executor.run(1_000);
    flow::task::block_on(async { there.write_all(&[0, 0, 0, 0, 9]).await.unwrap() });
    world.executor.run(1_000);
    world.timers.advance(Limits::default().stall_timeout + Duration::from_millis(1));
    let error = world.run(async move { name_of(&demo).await.unwrap_err() });
    assert_eq!(error.kind, capnp::ErrorKind::Disconnected);
}

/// It reads nothing: neither the answers, nor why it is disconnected.
#[test]
fn a_peer_that_never_reads_is_forgotten_in_time() {
    use flow::{Connector, FlowExt};
    let world = World::new(256);
    let network = world.network.clone();
    let stubborn = world.run(async move {
        let mut flow = network.connect(&"demo:1".parse().unwrap()).await.unwrap();
        let start = [&[0u8, 0, 0, 0, 5, 0, 0, 0], [0, 0, 0, 0, 1, 0, 1, 0].as_slice()].concat();
        for question in 0..20u8 {
            let message = [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, question];
            flow.write_all(&[&start[..], &message[..], &[0; 15]].concat()).await.unwrap();
        }
        flow
    });
    assert_eq!(world.server.connections(), 1);
    // For an answer, and for the reason with the end.
    for period in 1..=2 {
        assert_eq!(world.server.connections(), 1);
        world.timers.advance((Limits::default().stall_timeout + Duration::from_millis(1)) * period);
        world.executor.run(1_000);
    }
    assert_eq!(world.server.connections(), 0);
    drop(stubborn);
}

#[test]
fn packed_connections_are_an_option_of_both_ends() {
    let world = World::new(1000);
    let listener = world.network.listen(&"demo:2".parse().unwrap()).unwrap();
    let service: schema::Client = world.server.client(Demo::new(&world.server, "packed"));
    let offering = world.server.packed().offer(listener, service);
    world.executor.spawner().spawn("rpc listener", async {
        offering.await;
    });
    let (packed, network) = (world.client.packed(), world.network.clone());
    let (name, echoed) = world.run(async move {
        let demo: schema::Client =
            packed.connect(&network, &"demo:2".parse().unwrap()).await.unwrap();
        let mut request = demo.echo_request();
        request.get().set_data(&[0; 300_000]);
        let response = request.send().promise.await.unwrap();
        let echoed = response.get().unwrap().get_data().unwrap().to_vec();
        (name_of(&demo).await.unwrap(), echoed)
    });
    assert_eq!(name, "packed");
    assert!(echoed == [0; 300_000]);
}

#[test]
fn services_are_found_by_name() {
    use endpoints::rpc::ServiceTable;
    use flow::Connector;
    let world = World::new(4096);
    let spare: schema::Client = world.server.client(Demo::new(&world.server, "spare"));
    world.server.set_restorer(ServiceTable::new().with(b"spare", spare));
    for (name, expected) in [(&b"spare"[..], Ok("spare")), (b"lost", Err(()))] {
        let (client, network) = (world.client.clone(), world.network.clone());
        let found = world.run(async move {
            let flow = network.connect(&"demo:1".parse().unwrap()).await.unwrap();
            let service: schema::Client = client.restore_flow(flow, name);
            name_of(&service).await
        });
        assert_eq!(found.as_deref().map_err(|_| ()), expected);
    }
}

#[test]
fn connecting_is_one_line() {
    let world = Rc::new(World::new(4096));
    let inner = world.clone();
    let name = world.run(async move { name_of(&inner.connect().await).await });
    assert_eq!(name.unwrap(), "demo");
}

#[test]
fn a_vat_that_drains_finishes_calls_and_ends_its_connections() {
    let world = World::new(4096);
    let demo = connected(&world);
    let never = world.run({
        let demo = demo.clone();
        async move {
            let never = demo.never_request().send();
            name_of(&demo).await.unwrap();
            never
        }
    });
    assert_eq!(world.server.connections(), 1);
    world.server.drain();
    world.executor.run(1_000_000);
    assert_eq!(world.server.connections(), 1, "a call is under way");
    drop(never);
    world.executor.run(1_000_000);
    assert_eq!(world.server.connections(), 0);
    let error = world.run(async move { name_of(&demo).await.unwrap_err() });
    assert_eq!(error.kind, capnp::ErrorKind::Disconnected);
    let refused = connected(&world);
    assert!(world.run(async move { name_of(&refused).await }).is_err());
}

/// A flow that says when its buffers are borrowed, and how often something was written.
struct Watched<F> {
    flow: F,
    borrowed: Rc<std::cell::Cell<bool>>,
    writes: Rc<std::cell::Cell<usize>>,
}

#[test]
fn the_messages_of_one_turn_are_one_write() {
    let world = World::new(1 << 16);
    let (here, there) = flow::memory::pair(1 << 16);
    let writes = Rc::new(std::cell::Cell::new(0));
    let flow = Watched { flow: there, borrowed: Rc::default(), writes: writes.clone() };
    let service: schema::Client = world.server.client(Demo::new(&world.server, "demo"));
    world.server.serve_flow(flow, &Peer::unknown(nowhere()), |_| Some(service));
    let demo: schema::Client = world.client.connect_flow(here);
    let warm = demo.clone();
    world.run(async move { name_of(&warm).await.unwrap() });
    writes.set(0);
    let calls: Vec<_> = (0..12).map(|_| demo.name_request().send().promise).collect();
    world.run(async move {
        for call in calls {
            call.await.unwrap();
        }
    });
    assert_eq!(writes.get(), 1);
}

impl<F: flow::Flow> flow::Flow for Watched<F> {
    fn poll_read_with(
        &mut self,
        cx: &mut std::task::Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> std::task::Poll<Result<usize, flow::FlowError>> {
        self.borrowed.set(true);
        let read = self.flow.poll_read_with(cx, take);
        self.borrowed.set(false);
        read
    }

    fn poll_write_with(
        &mut self,
        cx: &mut std::task::Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> std::task::Poll<Result<usize, flow::FlowError>> {
        self.borrowed.set(true);
        let written = self.flow.poll_write_with(cx, fill);
        self.borrowed.set(false);
        self.writes.update(|count| count + usize::from(written.is_ready()));
        written
    }

    fn poll_drained(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), flow::FlowError>> {
        self.flow.poll_drained(cx)
    }

    fn finish(&mut self) {
        self.flow.finish();
    }

    fn abort(&mut self) {
        self.flow.abort();
    }

    fn peer(&self) -> flow::Address {
        self.flow.peer()
    }

    fn local(&self) -> flow::Address {
        self.flow.local()
    }
}

/// Is called while its own connection's buffers must be free: a handler may look at all connections.
struct Onlooker(Rc<std::cell::Cell<bool>>);

impl schema::Server for Onlooker {
    async fn name(
        self: Rc<Self>,
        _: schema::NameParams,
        mut results: schema::NameResults,
    ) -> Result<(), capnp::Error> {
        results.get().set_name(if self.0.get() { "borrowed" } else { "free" });
        Ok(())
    }
}

fn nowhere() -> flow::Address {
    flow::Address::Memory(1)
}

#[test]
fn what_is_offered_can_depend_on_the_proved_key() {
    let world = World::new(4096);
    let known = Fingerprint([7; 32]);
    for (fingerprint, welcome) in
        [(Some(known), true), (Some(Fingerprint([8; 32])), false), (None, false)]
    {
        let (here, there) = flow::memory::pair(4096);
        let peer = Peer { address: nowhere(), fingerprint };
        let service: schema::Client = world.server.client(Demo::new(&world.server, "secret"));
        world
            .server
            .serve_flow(there, &peer, |peer| (peer.fingerprint == Some(known)).then_some(service));
        let demo: schema::Client = world.client.connect_flow(here);
        assert_eq!(world.run(async move { name_of(&demo).await }).is_ok(), welcome);
    }
}

#[test]
fn a_capability_file_leads_to_its_service() {
    let world = World::new(4096);
    let (server, timers) = (world.server.clone(), world.timers.clone());
    // Found only after a while.
    world.server.set_restorer(move |name: &[u8]| {
        use capnp::capability::{FromClientHook, Promise};
        let (server, timers, name) = (server.clone(), timers.clone(), name.to_vec());
        Promise::from_future(async move {
            timers.sleep(Duration::from_secs(1)).await;
            let name = String::from_utf8(name).unwrap();
            let demo: schema::Client = server.client(Demo::new(&server, &name));
            Ok(demo.into_client_hook())
        })
    });
    let reference = |fingerprint, service: &[u8]| SturdyRef {
        fingerprint,
        place: VatPlace::Tcp { host: "demo".into(), port: 1 },
        service: service.into(),
    };
    let file = reference(None, b"late").to_file();
    let (client, network) = (world.client.clone(), world.network.clone());
    let late = Rc::new(RefCell::new(None));
    let result = late.clone();
    world.executor.spawner().spawn("restore", async move {
        let reference = SturdyRef::from_file(&file).unwrap();
        let demo: schema::Client = client.restore_at(&network, &reference).await.unwrap();
        let name = name_of(&demo).await;
        *result.borrow_mut() = Some(name.unwrap());
    });
    world.executor.run(1_000_000);
    assert_eq!(*late.borrow(), None);
    world.timers.advance(Duration::from_secs(2));
    world.executor.run(1_000_000);
    assert_eq!(late.borrow().as_deref(), Some("late"));

    let (client, network) = (world.client.clone(), world.network.clone());
    let everybodys = world.run(async move {
        let demo: schema::Client =
            client.restore_at(&network, &reference(None, b"")).await.unwrap();
        let name = name_of(&demo).await.unwrap();
        let keyed = reference(Some(Fingerprint([1; 32])), b"late");
        let refused = client.restore_at::<_, schema::Client>(&network, &keyed).await.err();
        (name, refused)
    });
    assert_eq!(everybodys, ("demo".into(), Some(RestoreError::NeedsSecureChannel)));
}

/// Says what its result will be, and gives it no sooner than it is released to.
struct Slow {
    rpc: Rpc,
    go: RefCell<Option<flow::task::TaskHandle<()>>>,
}

impl schema::Server for Slow {
    async fn child(
        self: Rc<Self>,
        _: schema::ChildParams,
        mut results: schema::ChildResults,
    ) -> Result<(), capnp::Error> {
        results.get().set_child(self.rpc.client(Demo::new(&self.rpc, "early")));
        results.set_pipeline()?;
        let go = self.go.borrow_mut().take().unwrap();
        let _ = go.await;
        Ok(())
    }
}

#[test]
fn a_handler_may_set_the_pipeline_before_its_results() {
    let world = World::new(4096);
    let (here, there) = flow::memory::pair(4096);
    let released = Rc::new(std::cell::Cell::new(false));
    let wait = released.clone();
    let go = world.executor.spawner().spawn_joinable("go", async move {
        std::future::poll_fn(|_| match wait.get() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        })
        .await;
    });
    let slow = Slow { rpc: world.server.clone(), go: RefCell::new(Some(go)) };
    let slow: schema::Client = world.server.client(slow);
    world.server.serve_flow(there, &Peer::unknown(nowhere()), |_| Some(slow));
    let demo: schema::Client = world.client.connect_flow(here);
    let (child, answer) = world.run(async move {
        let sent = demo.child_request().send();
        (sent.pipeline.get_child(), sent.promise)
    });
    let early = child.clone();
    assert_eq!(world.run(async move { name_of(&early).await }).unwrap(), "early");
    released.set(true);
    world.executor.spawner().wake_all();
    let late = world.run(async move {
        let child = answer.await.unwrap().get().unwrap().get_child().unwrap();
        name_of(&child).await
    });
    assert_eq!(late.unwrap(), "early");
    assert_eq!(world.server.live().1, 0);
    drop(child);
}

#[test]
fn handlers_run_while_no_buffer_of_a_flow_is_borrowed() {
    use flow::Connector;
    let world = World::new(4096);
    let (client, network) = (world.client.clone(), world.network.clone());
    let name = world.run(async move {
        let flow = network.connect(&"demo:1".parse().unwrap()).await.unwrap();
        let borrowed = Rc::new(std::cell::Cell::new(false));
        let demo: schema::Client = client.connect_flow(Watched {
            flow,
            borrowed: borrowed.clone(),
            writes: Rc::default(),
        });
        let mut request = demo.call_back_request();
        request.get().set_to(client.client(Onlooker(borrowed)));
        request.get().set_times(1);
        let answer = request.send().promise.await.unwrap();
        answer.get().unwrap().get_name().unwrap().to_string().unwrap()
    });
    assert_eq!(name, "free");
}
