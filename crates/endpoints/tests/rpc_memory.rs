//! What a peer made a vat hold is given back when it goes.

use capnp::Error;
use capnp::capability::Promise;
use endpoints::rpc::{Limits, Peer, Rpc};
use flow::Address;
use flow::task::Executor;
use flow::time::Timers;
use peak_alloc::PeakAlloc;
use rpc_demo::demo::Demo;
use rpc_demo::demo_capnp::demo as schema;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

struct World {
    executor: Executor,
    timers: Timers,
    server: Rpc,
    object: schema::Client,
}

impl World {
    fn settle(&self) {
        self.executor.run_until_stalled();
    }

    /// A client of a vat that goes with it.
    fn client(&self) -> schema::Client {
        let client = Rpc::new(Limits::default(), &self.executor.spawner(), &self.timers);
        let (here, there) = flow::memory::pair(4096);
        let object = self.object.clone();
        self.server.serve_flow(there, &Peer::unknown(Address::Memory(1)), |_| Some(object));
        client.connect_flow(here)
    }
}

#[test]
fn after_hogs_leave_the_heap_is_as_before() {
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let (spawner, timers) = (executor.spawner(), Timers::new());
    let server = Rpc::new(Limits::default(), &spawner, &timers);
    let object: schema::Client = server.client(Demo::new(&server, "demo"));
    let world = World { executor, timers, server, object };
    let bystander = world.client();
    let serve = || {
        let answer = bystander.name_request().send().promise;
        world.settle();
        assert!(flow::task::block_on(answer).is_ok());
    };
    let hogs: [Hog; 3] = [
        // Calls that are not answered.
        |hog| (0..30_000).map(|_| ended(hog.never_request().send().promise)).collect(),
        // Long results.
        |hog| {
            let call = || {
                let mut request = hog.echo_request();
                request.get().set_data(&[7; 100_000]);
                ended(request.send().promise)
            };
            (0..200).map(|_| call()).collect()
        },
        // Objects that it holds.
        |hog| {
            let mut request = hog.many_request();
            request.get().set_count(10_000);
            [ended(request.send().promise)].into()
        },
    ];
    for round in 0..2 {
        for (which, calls) in hogs.iter().enumerate() {
            serve();
            let before = HEAP.current_usage();
            let hog = world.client();
            let calls = calls(&hog);
            world.settle();
            let held = HEAP.current_usage() - before;
            assert!(held > 1_000_000, "{held} bytes are no hog's");
            serve();
            drop((calls, hog));
            world.settle();
            serve();
            let kept = HEAP.current_usage().saturating_sub(before);
            // What a first hog makes a table grow to may stay.
            let allowed = if round == 0 { 200_000 } else { 10_000 };
            assert!(kept <= allowed, "round {round}, hog {which}: {kept} of {held} bytes are kept");
        }
    }
}

/// Its calls.
type Hog = fn(&schema::Client) -> Vec<Promise<(), Error>>;

fn ended<T: 'static>(call: Promise<T, Error>) -> Promise<(), Error> {
    Promise::from_future(async move { call.await.map(drop) })
}
