//! A service of RPC that several vats offer, over flows in memory.

use endpoints::places::{Config, Place, Places, Policy};
use endpoints::rpc::{BalancedCallError, BalancedService, Limits, Repeatable, Rpc};
use flow::Connector;
use flow::memory::MemoryNetwork;
use flow::task::{Executor, block_on};
use flow::time::Timers;
use rpc_demo::demo::Demo;
use rpc_demo::demo_capnp::demo as schema;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

struct World {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    rpc: Rpc,
}

type Service = BalancedService<MemoryNetwork, schema::Client>;

impl World {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok::<(), String>(())
        });
        let timers = Timers::new();
        let rpc = Rpc::new(Limits::default(), &executor.spawner(), &timers);
        Self { executor, timers, network: MemoryNetwork::new(4096, 8), rpc }
    }

    /// A vat that says its name.
    fn serve(&self, name: &'static str) -> Rpc {
        let spawner = self.executor.spawner();
        let server = Rpc::new(Limits::default(), &spawner, &self.timers);
        let service: schema::Client = server.client(Demo::new(&server, name));
        let target = format!("memory:{name}").parse().unwrap();
        let offering = server.offer(self.network.listen(&target).unwrap(), service);
        spawner.spawn("rpc listener", async {
            offering.await;
        });
        server
    }

    fn service(&self, names: &[&str]) -> Service {
        let config = Config { policy: Policy::RoundRobin, ..Config::default() };
        let places = Places::new("demo", config, 1, &self.executor.spawner(), &self.timers);
        let target = |name: &&str| Place::new(format!("memory:{name}").parse().unwrap(), 1);
        places.set(&names.iter().map(target).collect::<Vec<_>>());
        BalancedService::new(&self.rpc, self.network.clone(), places, Duration::from_secs(2))
    }

    fn run<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> T {
        let handle = self.executor.spawner().spawn_joinable("work", work);
        self.executor.run_until_stalled();
        block_on(handle).unwrap()
    }

    /// Who answers.
    fn ask(&self, service: &Service, repeatable: Repeatable) -> Result<String, BalancedCallError> {
        let service = service.clone();
        self.run(async move { service.call(None, repeatable, name_of).await })
    }
}

async fn name_of(demo: schema::Client) -> Result<String, capnp::Error> {
    let response = demo.name_request().send().promise.await?;
    Ok(response.get()?.get_name()?.to_string()?)
}

#[test]
fn calls_are_spread_over_one_connection_to_each_place() {
    let world = World::new();
    let servers = ["a", "b"].map(|name| world.serve(name));
    let service = world.service(&["a", "b"]);
    let names: Vec<_> = (0..6).map(|_| world.ask(&service, Repeatable::No).unwrap()).collect();
    assert_eq!(names, ["a", "b", "a", "b", "a", "b"]);
    assert_eq!(servers.map(|server| server.connections()), [1, 1]);
    drop(service);
    assert_eq!(world.run(async {}), ());
    assert_eq!(world.rpc.connections(), 0, "nothing is held of them any more");
}

#[test]
fn who_cannot_be_reached_is_passed_over_whatever_the_call() {
    let world = World::new();
    let _a = world.serve("a");
    let service = world.service(&["nowhere", "a"]);
    assert_eq!(world.ask(&service, Repeatable::No).unwrap(), "a");
    let alone = world.service(&["nowhere"]);
    let error = world.ask(&alone, Repeatable::Yes).unwrap_err();
    assert!(matches!(error, BalancedCallError::Connect(_)), "{error}");
    let none = world.service(&[]);
    let error = world.ask(&none, Repeatable::Yes).unwrap_err();
    assert!(matches!(error, BalancedCallError::NoPlace(_)), "{error}");
}

#[test]
fn a_connection_that_has_ended_is_made_anew_before_a_call() {
    let world = World::new();
    let first = world.serve("a");
    let service = world.service(&["a"]);
    assert_eq!(world.ask(&service, Repeatable::No).unwrap(), "a");
    first.drain();
    // Who drains learns of it when it is connected to, and listens no more.
    let network = world.network.clone();
    world.run(async move { drop(network.connect(&"memory:a".parse().unwrap()).await) });
    assert_eq!(first.connections(), 0);
    let _again = world.serve("a");
    assert_eq!(world.ask(&service, Repeatable::No).unwrap(), "a");
}

/// The call goes on, as the closure counts.
#[test]
fn only_what_is_repeatable_is_called_again_when_its_connection_ends() {
    for (repeatable, calls) in [(Repeatable::Yes, 2), (Repeatable::No, 1)] {
        let world = World::new();
        let _servers = ["a", "b"].map(|name| world.serve(name));
        let service = world.service(&["a", "b"]);
        let count = Rc::new(Cell::new(0));
        let counted = count.clone();
        let outcome = world.run(async move {
            let lost = async move |_: schema::Client| {
                counted.set(counted.get() + 1);
                Err::<(), _>(capnp::Error::disconnected("lost".into()))
            };
            service.call(None, repeatable, lost).await
        });
        assert!(matches!(outcome, Err(BalancedCallError::Call(_))));
        assert_eq!(count.get(), calls);
    }
}

#[test]
fn an_exception_of_the_calls_own_is_none_of_the_places() {
    let world = World::new();
    let _server = world.serve("a");
    let service = world.service(&["a"]);
    let places = service.places().clone();
    let outcome = world.run(async move {
        let failing = async |_| Err::<(), _>(capnp::Error::failed("no such thing".into()));
        service.call(None, Repeatable::Yes, failing).await
    });
    assert!(matches!(outcome, Err(BalancedCallError::Call(_))));
    places.visit(&mut |row| assert_eq!((row.requests(), row.failures()), (1, 0)));
}
