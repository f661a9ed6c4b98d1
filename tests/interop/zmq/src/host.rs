//! The loop that the peer's tasks run in.

use aqueduct::settings::network::SocketSettings;
use aqueduct_linux::sockets::{KernelConnector, KernelListener, Reactor};
use config::Tcp;
use endpoints::zmq::Host;
use flow::task::Executor;
use flow::time::Timers;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

pub struct World {
    pub host: Host,
    executor: Executor,
    reactor: Reactor,
    started: Instant,
}

impl World {
    pub fn new() -> Self {
        let executor = Executor::new(|body| {
            catch_unwind(AssertUnwindSafe(body)).map_err(|_| "panicked".to_owned())
        });
        let host = Host {
            spawner: executor.spawner(),
            timers: Timers::new(),
            entropy: Rc::new(|bytes| getrandom::fill(bytes).unwrap()),
            ledger: None,
        };
        let reactor = Reactor::new(SocketSettings::new(&Tcp::default())).unwrap();
        Self { host, executor, reactor, started: Instant::now() }
    }

    pub fn listen(&self, port: u16) -> KernelListener {
        KernelListener::bind(&self.reactor, ([0, 0, 0, 0], port).into(), 1024).unwrap()
    }

    pub fn connector(&self) -> KernelConnector {
        KernelConnector::new(&self.reactor)
    }

    /// Runs until `main` is done; its panic is the process's.
    pub fn run(&self, main: impl Future<Output = ()> + 'static) {
        let done = Rc::new(Cell::new(false));
        let finished = done.clone();
        let main = self.host.spawner.spawn_joinable("main", main);
        self.host.spawner.spawn("watch", async move {
            main.await.unwrap();
            finished.set(true);
        });
        // What closed sockets left behind is the reactor's to send.
        while !done.get() || self.reactor.unsent() > 0 {
            self.host.timers.advance(self.started.elapsed());
            let busy = self.executor.run(1024);
            self.reactor.flush();
            let until = self.host.timers.next_deadline();
            let wait = until.map(|at| at.saturating_sub(self.started.elapsed()));
            let wait = if busy || !self.executor.is_idle() { Some(Duration::ZERO) } else { wait };
            if !done.get() || self.reactor.unsent() > 0 {
                self.reactor.wait(wait).unwrap();
            }
        }
    }
}

/// Messages from `info` on go to standard error.
pub fn log_to_stderr() {
    struct Stderr;
    impl log::Log for Stderr {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }
        fn log(&self, record: &log::Record) {
            eprintln!("{}: {}", record.level(), record.args());
        }
        fn flush(&self) {}
    }
    log::set_logger(&Stderr).unwrap();
    log::set_max_level(log::LevelFilter::Info);
}
