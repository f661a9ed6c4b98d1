//! Turns: a loop like the appliance's, without an appliance.

use aqueduct::settings::network::SocketSettings;
use aqueduct::settings::shared_memory::SharedMemorySettings;
use aqueduct_linux::shared_memory::{SharedMemory, SharedMemoryListener};
use aqueduct_linux::sockets::{KernelConnector, KernelListener, Reactor};
use flow::task::Executor;
use flow::time::Timers;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

const BACKLOG: usize = 8;

/// Tasks, and what their flows are over.
pub(crate) struct Turns {
    pub(crate) executor: Executor,
    pub(crate) timers: Timers,
    pub(crate) memory: SharedMemory,
    reactor: Reactor,
    start: Instant,
}

impl Turns {
    pub(crate) fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).expect("a poll");
        let settings = SharedMemorySettings::new(&config::SharedMemory::default(), usize::MAX);
        let timers = Timers::new();
        let memory = SharedMemory::new(&reactor, settings, &timers);
        Self { executor, timers, memory, reactor, start: Instant::now() }
    }

    pub(crate) fn listen(&self, address: SocketAddr) -> KernelListener {
        KernelListener::bind(&self.reactor, address, BACKLOG).expect("a free address")
    }

    pub(crate) fn listen_at(&self, path: &Path) -> SharedMemoryListener {
        self.memory.listen(path, BACKLOG).expect("a free path")
    }

    pub(crate) fn connector(&self) -> KernelConnector {
        KernelConnector::new(&self.reactor)
    }

    /// What comes of `work`.
    pub(crate) fn run<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let to = result.clone();
        self.executor.spawner().spawn("work", async move {
            to.replace(Some(work.await));
        });
        loop {
            self.timers.advance(self.start.elapsed());
            self.executor.run_until_stalled();
            self.reactor.flush();
            self.memory.notify();
            if let Some(result) = result.take() {
                return result;
            }
            let now = self.timers.now();
            let timeout = self.timers.next_deadline().map(|at| at.saturating_sub(now));
            let sleep = |timeout| self.reactor.wait(timeout);
            self.memory.wait(timeout, sleep).expect("a poll");
        }
    }
}
