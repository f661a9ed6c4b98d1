//! The life of a received call, whatever ends it: an answer, a panic, the caller, the connection.

use capnp::Error;
use capnp::traits::HasTypeId;
use endpoints::rpc::{Limits, Peer, Rpc};
use flow::memory::MemoryFlow;
use flow::sync::WakerList;
use flow::task::Executor;
use flow::time::Timers;
use flow::{Address, Flow, FlowError, FlowExt};
use rpc_demo::demo_capnp::demo as schema;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

struct World {
    executor: Executor,
    timers: Timers,
    server: Rpc,
    client: Rpc,
    script: Rc<Script>,
    object: schema::Client,
}

/// What the object does, and what became of it.
#[derive(Default)]
struct Script {
    panic_at: Cell<Option<u32>>,
    /// Whether streaming calls go on.
    open: Cell<bool>,
    waiting: WakerList,
    begun: Cell<u64>,
    dropped: Cell<u64>,
}

impl Script {
    /// A place at which a handler may panic.
    fn step(&self, number: u32) {
        assert_ne!(self.panic_at.get(), Some(number), "on purpose");
    }

    fn open(&self) {
        self.open.set(true);
        self.waiting.wake();
    }

    async fn opened(&self) {
        poll_fn(|cx| {
            if self.open.get() {
                return Poll::Ready(());
            }
            self.waiting.register(cx);
            Poll::Pending
        })
        .await;
    }
}

/// The object under test.
struct Subject {
    rpc: Rpc,
    timers: Timers,
    script: Rc<Script>,
}

/// Lives in a handler.
struct Inside(Rc<Script>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.dropped.set(self.0.dropped.get() + 1);
        if !std::thread::panicking() {
            self.0.step(DROPPING);
        }
    }
}

/// The steps of `call_back`: before anything, after a wait, after a call to the caller, at the end.
const STEPS: u32 = 4;
/// While the handler is dropped.
const DROPPING: u32 = 4;

impl schema::Server for Subject {
    async fn call_back(
        self: Rc<Self>,
        params: schema::CallBackParams,
        mut results: schema::CallBackResults,
    ) -> Result<(), Error> {
        let _inside = Inside(self.script.clone());
        self.script.step(0);
        self.timers.sleep(Duration::from_secs(1)).await;
        self.script.step(1);
        let to = params.get()?.get_to()?;
        let answer = to.name_request().send().promise.await?;
        results.get().set_name(answer.get()?.get_name()?);
        self.script.step(2);
        self.rpc.client::<schema::Client, _>(Named("local")).name_request().send().promise.await?;
        self.script.step(3);
        Ok(())
    }

    async fn push(self: Rc<Self>, params: schema::PushParams) -> Result<(), Error> {
        self.script.begun.set(self.script.begun.get() + 1);
        self.script.step(0);
        self.script.opened().await;
        match params.get()?.get_data()? {
            b"refused" => Err(Error::failed("refused".into())),
            _ => Ok(()),
        }
    }

    async fn name(
        self: Rc<Self>,
        _: schema::NameParams,
        mut results: schema::NameResults,
    ) -> Result<(), Error> {
        self.script.begun.set(self.script.begun.get() + 1);
        results.get().set_name("subject");
        Ok(())
    }

    async fn never(
        self: Rc<Self>,
        _: schema::NeverParams,
        _: schema::NeverResults,
    ) -> Result<(), Error> {
        self.script.opened().await;
        Ok(())
    }

    async fn echo(
        self: Rc<Self>,
        _: schema::EchoParams,
        mut results: schema::EchoResults,
    ) -> Result<(), Error> {
        self.script.begun.set(self.script.begun.get() + 1);
        results.get().init_data(LONG_BYTES);
        Ok(())
    }
}

/// Of the results of `echo`.
const LONG_BYTES: u32 = 200_000;

struct Named(&'static str);

impl schema::Server for Named {
    async fn name(
        self: Rc<Self>,
        _: schema::NameParams,
        mut results: schema::NameResults,
    ) -> Result<(), Error> {
        results.get().set_name(self.0);
        Ok(())
    }
}

impl World {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| "a panic".to_string())
        });
        let (spawner, timers) = (executor.spawner(), Timers::new());
        let server = Rpc::new(Limits::default(), &spawner, &timers);
        let client = Rpc::new(Limits::default(), &spawner, &timers);
        let script = Rc::<Script>::default();
        let subject =
            Subject { rpc: server.clone(), timers: timers.clone(), script: script.clone() };
        let object = server.client(subject);
        Self { executor, timers, server, client, script, object }
    }

    /// The object over a new connection of the client's vat.
    fn connected(&self) -> schema::Client {
        let (here, there) = flow::memory::pair(4096);
        self.serve(there);
        self.client.connect_flow(here)
    }

    fn serve(&self, flow: MemoryFlow) {
        let object = self.object.clone();
        self.server.serve_flow(flow, &Peer::unknown(Address::Memory(1)), |_| Some(object));
    }

    fn settle(&self) {
        self.executor.run_until_stalled();
    }

    /// Starts `future`; its value once it is there.
    fn start<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
    ) -> Rc<RefCell<Option<T>>> {
        let outcome = Rc::new(RefCell::new(None));
        let result = outcome.clone();
        self.executor.spawner().spawn("test", async move {
            let value = future.await;
            *result.borrow_mut() = Some(value);
        });
        self.settle();
        outcome
    }

    #[track_caller]
    fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let outcome = self.start(future);
        outcome.take().expect("the future to end")
    }

    #[track_caller]
    fn answers(&self, object: &schema::Client) {
        let object = object.clone();
        assert_eq!(self.run(async move { name_of(&object).await }).unwrap(), "subject");
    }
}

async fn name_of(demo: &schema::Client) -> Result<String, Error> {
    let response = demo.name_request().send().promise.await?;
    Ok(response.get()?.get_name()?.to_string()?)
}

fn push(object: &schema::Client, data: &[u8]) -> impl Future<Output = Result<(), Error>> + use<> {
    let mut request = object.push_request();
    request.get().set_data(data);
    request.send()
}

#[test]
fn a_panic_at_every_await_of_a_handler_ends_its_call_only() {
    let world = World::new();
    let (object, bystander) = (world.connected(), world.connected());
    let waits = {
        let bystander = bystander.clone();
        world.start(async move { bystander.never_request().send().promise.await.map(drop) })
    };
    let detached = Rc::new(Cell::new(0));
    let gauges = || (world.server.live(), world.client.live(), world.server.connections());
    let before = gauges();
    for step in 0..=STEPS {
        world.script.panic_at.set(Some(step));
        let (timers, count) = (world.timers.clone(), detached.clone());
        world.server.detach(async move {
            timers.sleep(Duration::from_millis(900)).await;
            count.set(count.get() + 1);
        });
        let (caller, ours) = (object.clone(), world.client.client(Named("caller")));
        let call = world.start(async move {
            let mut request = caller.call_back_request();
            request.get().set_to(ours);
            request.send().promise.await.map(drop)
        });
        world.timers.advance(Duration::from_secs(u64::from(step + 1)));
        world.settle();
        let error = call.take().unwrap().unwrap_err();
        assert_eq!(error.kind, capnp::ErrorKind::Failed);
        assert!(error.extra.contains("panicked"), "step {step}: {error}");
        world.script.panic_at.set(None);
        world.answers(&object);
        world.answers(&bystander);
        assert_eq!(world.script.dropped.get(), u64::from(step + 1));
        assert_eq!(detached.get(), step + 1, "what waits beside goes on");
        assert_eq!(gauges(), before, "step {step}");
    }
    world.script.open();
    world.settle();
    assert!(waits.take().unwrap().is_ok());
    assert_eq!(world.executor.spawner().panics(), u64::from(STEPS) + 1);
}

#[test]
fn a_panic_of_what_a_handler_detached_or_of_a_restorer_is_kept_in() {
    let world = World::new();
    let object = world.connected();
    world.server.detach(async { panic!("on purpose") });
    world.server.set_restorer(|name: &[u8]| {
        let late = name == b"late";
        assert!(late, "on purpose");
        capnp::capability::Promise::from_future(async { panic!("on purpose") })
    });
    for name in [&b"early"[..], b"late"] {
        let (here, there) = flow::memory::pair(4096);
        world.serve(there);
        let restored: schema::Client = world.client.restore_flow(here, name);
        let error = world.run(async move { name_of(&restored).await }).unwrap_err();
        assert_eq!(error.kind, capnp::ErrorKind::Failed, "{error}");
    }
    world.answers(&object);
    assert_eq!(world.executor.spawner().panics(), 3);
}

#[test]
fn a_panicking_streaming_call_does_not_block_its_object() {
    let world = World::new();
    let object = world.connected();
    world.script.panic_at.set(Some(0));
    let pushed = push(&object, b"x");
    world.run(pushed).unwrap();
    world.script.panic_at.set(None);
    // As after any streaming call that failed, later calls of the object fail alike.
    let error = world.run(async move { name_of(&object).await }).unwrap_err();
    assert!(error.extra.contains("panicked"), "{error}");
}

#[test]
fn a_cancelled_streaming_call_does_not_block_its_object() {
    let world = World::new();
    let (object, bystander) = (world.connected(), world.connected());
    // Not by `push`, whose call goes on until it returns: as a peer that finishes it.
    let call = object.client.hook.new_call(schema_id(), 10, None).send();
    world.settle();
    assert_eq!(world.script.begun.get(), 1);
    let behind = world.start({
        let bystander = bystander.clone();
        async move { name_of(&bystander).await }
    });
    assert!(behind.borrow().is_none(), "a streaming call holds back those behind it");
    drop(call);
    world.settle();
    assert_eq!(behind.take().unwrap().unwrap(), "subject");
    world.answers(&bystander);
}

#[test]
fn a_streaming_call_whose_client_dies_does_not_block_its_object() {
    let world = World::new();
    let bystander = world.connected();
    let doomed = Rpc::new(Limits::default(), &world.executor.spawner(), &world.timers);
    let (here, there) = flow::memory::pair(4096);
    world.serve(there);
    let wire = Rc::new(RefCell::new(here));
    let object: schema::Client = doomed.connect_flow(Held::new(wire.clone()));
    let _pushed = push(&object, b"x");
    world.settle();
    assert_eq!((world.script.begun.get(), world.server.connections()), (1, 2));
    wire.borrow_mut().abort();
    world.settle();
    assert_eq!(world.server.connections(), 1);
    world.answers(&bystander);
}

#[test]
fn calls_cancelled_while_they_wait_are_not_run() {
    let world = World::new();
    let object = world.connected();
    let held = push(&object, b"x");
    world.settle();
    let kept = object.name_request().send().promise;
    let given_up: Vec<_> = (0..100).map(|_| object.name_request().send().promise).collect();
    let last = object.name_request().send().promise;
    world.settle();
    drop(given_up);
    world.settle();
    assert_eq!(world.server.live().1, 3, "the streaming call and two behind it");
    world.script.open();
    world.run(async move {
        held.await.unwrap();
        kept.await.unwrap();
        last.await.unwrap();
    });
    assert_eq!(world.script.begun.get(), 3);
}

#[test]
fn a_call_given_up_in_the_bytes_that_brought_it_is_not_run() {
    let world = World::new();
    let object = world.connected();
    world.answers(&object);
    drop(object.name_request().send());
    world.settle();
    assert_eq!((world.script.begun.get(), world.server.live().1), (1, 0));
}

#[test]
fn calls_behind_a_streaming_one_are_answered_though_their_object_is_let_go() {
    let world = World::new();
    let parent = Parent(world.server.clone(), world.script.clone(), world.timers.clone());
    let (here, there) = flow::memory::pair(4096);
    let parent: schema::Client = world.server.client(parent);
    world.server.serve_flow(there, &Peer::unknown(Address::Memory(1)), |_| Some(parent));
    let parent: schema::Client = world.client.connect_flow(here);
    let asking = parent.clone();
    let object = world.run(async move {
        asking.child_request().send().promise.await.unwrap().get().unwrap().get_child().unwrap()
    });
    let before = world.server.live();
    let call = object.client.hook.new_call(schema_id(), 10, None).send();
    let behind = world.start(name_of_owned(object.clone()));
    drop(object);
    world.settle();
    assert!(behind.borrow().is_none());
    world.script.open();
    world.settle();
    assert_eq!(behind.take().unwrap().unwrap(), "subject");
    drop(call);
    world.settle();
    assert_eq!(world.server.live(), (before.0 - 1, before.1), "the object is gone");
}

#[test]
fn a_failed_streaming_call_leaks_no_capability() {
    let world = World::new();
    world.script.open();
    let before = (world.server.live(), world.client.live());
    let object = world.connected();
    for data in [&b"taken"[..], b"refused", b"late"] {
        let _ = world.run(push(&object, data));
    }
    let error = world.run(push(&object, b"later")).unwrap_err();
    assert!(error.extra.contains("refused"), "{error}");
    drop(object);
    world.settle();
    assert_eq!((world.server.live(), world.client.live()), before);
    assert_eq!((world.server.connections(), world.client.connections()), (0, 0));
}

/// Has objects of its own for whoever asks.
struct Parent(Rpc, Rc<Script>, Timers);

impl schema::Server for Parent {
    async fn child(
        self: Rc<Self>,
        _: schema::ChildParams,
        mut results: schema::ChildResults,
    ) -> Result<(), Error> {
        let subject =
            Subject { rpc: self.0.clone(), script: self.1.clone(), timers: self.2.clone() };
        results.get().set_child(self.0.client(subject));
        Ok(())
    }
}

async fn name_of_owned(object: schema::Client) -> Result<String, Error> {
    name_of(&object).await
}

fn schema_id() -> u64 {
    <schema::Client as HasTypeId>::TYPE_ID
}

/// A hundred calls lie in one read; each has a long result, which the peer does not take at first.
#[test]
fn calls_of_a_peer_that_does_not_read_begin_when_it_does() {
    let world = World::new();
    let bystander = world.connected();
    let (here, there) = flow::memory::pair(1 << 16);
    world.serve(there);
    let flow = Held::new(Rc::new(RefCell::new(here)));
    let reads = flow.reads.clone();
    let object: schema::Client = world.client.connect_flow(flow);
    reads.close();
    let parent = object.clone();
    let calls: Vec<_> = (0..100).map(|_| parent.echo_request().send().promise).collect();
    let last = object.name_request().send().promise;
    world.settle();
    let begun = world.script.begun.get();
    assert!((1..10).contains(&begun), "{begun} begun");
    world.answers(&bystander);
    drop(object);
    world.settle();
    reads.open();
    world.run(async move {
        for call in calls {
            let response = call.await.unwrap();
            assert_eq!(response.get().unwrap().get_data().unwrap().len(), LONG_BYTES as usize);
        }
        last.await.unwrap();
    });
    assert_eq!(world.script.begun.get(), 102);
}

#[test]
fn calls_that_wait_for_their_peer_to_read_may_be_given_up() {
    let world = World::new();
    let (here, there) = flow::memory::pair(1 << 16);
    world.serve(there);
    let flow = Held::new(Rc::new(RefCell::new(here)));
    let reads = flow.reads.clone();
    let object: schema::Client = world.client.connect_flow(flow);
    reads.close();
    let mut calls: Vec<_> = (0..100).map(|_| object.echo_request().send().promise).collect();
    world.settle();
    let begun = world.script.begun.get();
    calls.drain(50..);
    reads.open();
    world.run(async move {
        for call in calls {
            call.await.unwrap();
        }
    });
    assert!(world.script.begun.get() < 90, "{begun} begun before");
    assert_eq!(world.server.live().1, 0);
}

/// The lines of all tests here.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

#[test]
fn how_a_connection_ended_is_in_the_log() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let world = World::new();
    let served = |number: u64| {
        let (here, there) = flow::memory::pair(4096);
        let object = world.object.clone();
        let mut flow = Held::new(Rc::new(RefCell::new(there)));
        flow.peer = Address::Memory(number);
        world.server.serve_flow(flow, &Peer::unknown(Address::Memory(number)), |_| Some(object));
        here
    };
    let [closed, mut aborted, mut malformed, mut silent] =
        [71_001, 71_002, 71_003, 71_004].map(served);
    drop(closed);
    aborted.abort();
    let garbage = [0, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
    flow::task::block_on(malformed.write_all(&garbage)).unwrap();
    flow::task::block_on(silent.write_all(&garbage[..9])).unwrap();
    world.settle();
    // For the end of patience, and for the last bytes, which nobody reads.
    for minute in 1..=2 {
        world.timers.advance(Duration::from_secs(61 * minute));
        world.settle();
    }
    let lines = LINES.0.lock().unwrap().join("\n");
    for (number, reason) in [
        (71_003, "a malformed message"),
        (71_004, "stall_timeout without progress"),
        (71_001, ""),
        (71_002, ""),
    ] {
        let line = lines.lines().find(|line| line.contains(&number.to_string()));
        let line = line.unwrap_or_else(|| panic!("{number} in {lines}"));
        assert!(line.contains("ended: ") && line.contains(reason), "{line}");
    }
}

/// A flow that the test can cut, and keep from reading.
struct Held {
    flow: Rc<RefCell<MemoryFlow>>,
    reads: Rc<Script>,
    peer: Address,
}

impl Held {
    fn new(flow: Rc<RefCell<MemoryFlow>>) -> Self {
        let reads = Rc::<Script>::default();
        reads.open.set(true);
        Self { flow, reads, peer: Address::Memory(0) }
    }
}

impl Script {
    fn close(&self) {
        self.open.set(false);
    }
}

impl Flow for Held {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        if !self.reads.open.get() {
            self.reads.waiting.register(cx);
            return Poll::Pending;
        }
        self.flow.borrow_mut().poll_read_with(cx, take)
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        self.flow.borrow_mut().poll_write_with(cx, fill)
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        self.flow.borrow_mut().poll_drained(cx)
    }

    fn finish(&mut self) {
        self.flow.borrow_mut().finish();
    }

    fn abort(&mut self) {
        self.flow.borrow_mut().abort();
    }

    fn peer(&self) -> Address {
        self.peer
    }

    fn local(&self) -> Address {
        self.flow.borrow().local()
    }
}
