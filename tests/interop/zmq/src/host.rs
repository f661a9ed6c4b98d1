//! The loop that the peer's tasks run in.

use aqueduct_linux::Runtime;
use aqueduct_linux::sockets::{KernelConnector, KernelListener};
use endpoints::zmq::Host;
use std::rc::Rc;

pub struct World {
    pub host: Host,
    runtime: Runtime,
}

impl World {
    pub fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let host = Host {
            spawner: runtime.spawner.clone(),
            timers: runtime.timers.clone(),
            entropy: Rc::new(|bytes| getrandom::fill(bytes).unwrap()),
            ledger: None,
        };
        Self { host, runtime }
    }

    pub fn listen(&self, port: u16) -> KernelListener {
        self.runtime.listen(([0, 0, 0, 0], port).into()).unwrap()
    }

    pub fn connector(&self) -> KernelConnector {
        self.runtime.connector()
    }

    /// Runs until `main` is done; its panic is the process's.
    pub fn run(&self, main: impl Future<Output = ()> + 'static) {
        self.runtime.run(main);
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
