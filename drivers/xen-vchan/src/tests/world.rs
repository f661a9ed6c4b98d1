//! A domain that listens and connects to itself, with all that surrounds it. Also for the tests in `tests/`, each of which has a
//! process of its own.

use super::{Settings, VchanFlow, VchanListener, Vchans};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use flow::task::Executor;
use flow::time::Timers;
use flow::{ConnectError, Connector, Listener, Target};
use std::sync::{Mutex, MutexGuard, PoisonError};
use xen_store::Store;
use xen_store::fake::{self, Daemon};

/// Of the rings, in bytes.
pub(super) const RING_BYTES: usize = 4096;

/// Event channels and grants are the process's, and few: a test that takes many would keep them from others.
static ALONE: Mutex<()> = Mutex::new(());

pub(super) struct World {
    pub(super) store: Store,
    pub(super) daemon: Daemon,
    pub(super) executor: Executor,
    pub(super) timers: Timers,
    pub(super) vchans: Vchans,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    pub(super) fn with_rings(connections_max: usize, ring_bytes: usize) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (store, mut daemon) = fake::connect();
        daemon.set("domid", "1");
        daemon.set("name", "one");
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let timers = Timers::new();
        let connect_timeout = Duration::from_secs(5);
        let settings = Settings { connections_max, ring_bytes, connect_timeout };
        let vchans = Vchans::new(&store, &executor.spawner(), &timers, settings);
        Self { store, daemon, executor, timers, vchans, _alone: alone }
    }

    /// Turns of the loop without time, until nothing moves.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            self.turn();
        }
    }

    pub(super) fn turn(&mut self) {
        self.store.poll();
        self.vchans.poll(self.timers.now());
        self.executor.turn(100);
        self.vchans.notify();
        // As before a sleep. What is found is found by the next turn.
        let _ = self.vchans.may_sleep();
        self.store.poll();
        self.daemon.step();
    }

    /// What a future yields while the loop turns, unless it waits for time.
    pub(super) fn run<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        for _ in 0..1000 {
            if let Poll::Ready(value) =
                future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                return Some(value);
            }
            self.turn();
        }
        None
    }

    pub(super) fn listen(&mut self, place: &str) -> VchanListener {
        let listener = self.vchans.listen(place, 8).unwrap();
        self.settle();
        listener
    }

    pub(super) fn connect(&mut self, target: &str) -> Option<Result<VchanFlow, ConnectError>> {
        let (connector, target) = (self.vchans.connector(), target.parse::<Target>().unwrap());
        self.run(connector.connect(&target))
    }

    /// Both ends of a connection: the client's, the server's.
    pub(super) fn join(
        &mut self,
        listener: &mut VchanListener,
        target: &str,
    ) -> (VchanFlow, VchanFlow) {
        let client = self.connect(target).expect("a connection at once").unwrap();
        let server = self.run(listener.accept()).expect("it has come").unwrap();
        (client, server)
    }
}
