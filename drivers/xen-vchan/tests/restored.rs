//! A domain that is restored has none of what it shared: its flows end with an error, and others may come anew. It is all of a
//! process that is restored, so that this test has one of its own.

use flow::task::Executor;
use flow::time::Timers;
use flow::{Connector, FlowError, FlowExt, Listener, Target};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use xen_store::Store;
use xen_store::fake::{self, Daemon};
use xen_vchan::{Settings, Vchans};

struct World {
    store: Store,
    daemon: Daemon,
    executor: Executor,
    timers: Timers,
    vchans: Vchans,
}

impl World {
    fn run<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        for _ in 0..1000 {
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
                return Some(value);
            }
            self.store.poll();
            self.vchans.poll(self.timers.now());
            self.executor.turn(100);
            self.vchans.notify();
            let _ = self.vchans.may_sleep();
            self.store.poll();
            self.daemon.step();
        }
        None
    }

    fn settle(&mut self) {
        assert!(self.run(std::future::pending::<()>()).is_none());
    }
}

fn world() -> World {
    let (store, mut daemon) = fake::connect();
    daemon.set("domid", "1");
    daemon.set("name", "one");
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let timers = Timers::new();
    let connect_timeout = std::time::Duration::from_secs(5);
    let settings = Settings { connections_max: 8, ring_bytes: 4096, connect_timeout };
    let vchans = Vchans::new(&store, &executor.spawner(), &timers, settings);
    World { store, daemon, executor, timers, vchans }
}

#[test]
fn flows_end_and_others_may_come() {
    let mut world = world();
    let mut listener = world.vchans.listen("echo", 8).unwrap();
    let _at_path = world.vchans.listen("0/data/vchan/log", 8).unwrap();
    world.settle();
    let offered = world.daemon.get("data/vchan/log/event-channel").unwrap();
    let (connector, target) = (world.vchans.connector(), "vchan:1/echo".parse::<Target>().unwrap());
    let mut client = world.run(connector.connect(&target)).unwrap().unwrap();
    let mut server = world.run(listener.accept()).unwrap().unwrap();
    machine::xen::suspend_fake::restore_next();
    machine::xen::suspend().unwrap();
    // Another xenstore, which knows nothing of what the old one was told.
    world.daemon.reset();
    world.daemon.remove("data");
    world.daemon.set("domid", "1");
    world.store.restored();
    for flow in [&mut client, &mut server] {
        let read = flow.read_with(|bytes| (bytes.len(), bytes.len()));
        assert_eq!(world.run(read), Some(Err(FlowError::Reset)));
        assert_eq!(world.run(flow.write_all(b"x")), Some(Err(FlowError::Reset)));
    }
    drop((client, server));
    world.settle();
    // What is offered is offered anew, by another channel, and who listens says so.
    let again = world.daemon.get("data/vchan/log/event-channel").unwrap();
    assert_ne!(again, offered);
    assert!(world.daemon.get("data/services/vchan-echo").is_some());
    let mut client = world.run(connector.connect(&target)).unwrap().unwrap();
    let mut server = world.run(listener.accept()).unwrap().unwrap();
    assert_eq!(world.run(client.write_all(b"water")), Some(Ok(())));
    let read = server.read_with(|bytes| (bytes.len(), bytes.len()));
    assert_eq!(world.run(read), Some(Ok(5)));
}
