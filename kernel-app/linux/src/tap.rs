//! Platform over a TAP: our own network stack, as on a bare machine, under the system's clocks
//! and signals.

mod card;

use crate::process::{self, Signals};
use crate::{memory, profiler, stall};
use aqueduct::platform::{Driver, ListenError, Platform, Profiling};
use aqueduct::settings::network;
use card::TapCard;
use config::Config;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use net::{Stack, TcpConnector, TcpListener};
use std::cell::{OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// The half that the loop drives.
pub(crate) struct TapProcess {
    stack: Rc<RefCell<Stack>>,
    poll: Poll,
    events: Events,
    signals: Signals,
    gone: Rc<OnceCell<io::Error>>,
}

impl TapProcess {
    /// A process with its own stack on the TAP `name`, and that SIGINT, SIGTERM and SIGHUP stop.
    pub(crate) fn new(name: &str, config: &Config) -> Result<Self, String> {
        let say = |error: io::Error| format!("TAP {name}: {error}; {ADVICE}");
        let card = TapCard::open(name, config.network.mtu_bytes).map_err(say)?;
        let poll = Poll::new().map_err(say)?;
        poll.registry()
            .register(&mut SourceFd(&card.descriptor()), Token(0), Interest::READABLE)
            .map_err(say)?;
        let signals = Signals::await_on(poll.registry()).map_err(say)?;
        let mut seed = [0; 64];
        process::fill_random(&mut seed);
        let hardware_address = card.hardware_address().map_err(say)?;
        let gone = card.gone();
        let config = network::stack_config(config, memory::available_bytes());
        let mut stack = Stack::new(card, &config, hardware_address, seed, process::now());
        stack.catch_panics(process::catch_panic);
        let events = Events::with_capacity(8);
        Ok(Self { stack: Rc::new(RefCell::new(stack)), poll, events, signals, gone })
    }

    /// Says why, as soon as the TAP is gone for good, after which nobody reaches the process: it stops then.
    pub(crate) fn gone(&self) -> Rc<OnceCell<io::Error>> {
        self.gone.clone()
    }

    /// What its waits can be ended by.
    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// The half that the application sees.
    pub(crate) fn platform(&self) -> TapPlatform {
        TapPlatform { stack: self.stack.clone() }
    }
}

/// For whoever lacks the TAP, or the right to use it.
const ADVICE: &str = "`ip tuntap add dev NAME mode tap user USER` makes one for a user";

impl Driver for TapProcess {
    fn now(&self) -> Duration {
        process::now()
    }

    fn ingress(&mut self, now: Duration) -> bool {
        stall::turn_begins(now);
        self.stack.borrow_mut().ingress(now)
    }

    fn egress(&mut self, now: Duration) {
        self.stack.borrow_mut().egress(now);
    }

    fn undelivered(&self) -> usize {
        self.stack.borrow().undelivered()
    }

    fn stop_requested(&mut self) -> bool {
        self.signals.ask_for_stop() || self.gone.get().is_some()
    }

    fn task_log_requested(&mut self) -> bool {
        self.signals.ask_for_task_log()
    }

    fn wait(&mut self, deadline: Option<Duration>) {
        let mut stack = self.stack.borrow_mut();
        if !stack.prepare_to_wait() {
            return;
        }
        stall::loop_waits();
        let deadline = deadline.into_iter().chain(stack.next_deadline()).min();
        let timeout = deadline.map(|deadline| deadline.saturating_sub(process::now()));
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                log::error!("waiting for the TAP: {error}");
            }
            _ => (),
        }
    }
}

/// Our own stack, and the system's clock.
#[derive(Clone)]
pub(crate) struct TapPlatform {
    stack: Rc<RefCell<Stack>>,
}

impl Platform for TapPlatform {
    type Listener = TcpListener;
    type Connector = TcpConnector;

    fn listen(&self, port: u16, _backlog: usize) -> Result<TcpListener, ListenError> {
        self.stack.borrow_mut().listen(port).ok_or(ListenError::InUse)
    }

    fn connector(&self) -> TcpConnector {
        self.stack.borrow().connector()
    }

    fn wall_clock(&self) -> Duration {
        process::wall_clock()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        process::fill_random(bytes);
    }

    fn memory_bytes(&self) -> usize {
        memory::available_bytes()
    }

    fn profile(&self, hertz: u32) -> Option<Box<dyn Profiling>> {
        profiler::start(hertz)
    }

    fn records_sessions(&self) -> bool {
        true
    }

    fn clock(&self) -> Option<fn() -> Duration> {
        Some(process::now)
    }

    fn visit_stacks(&self, visit: &mut dyn FnMut(usize, &Stack)) {
        visit(0, &self.stack.borrow());
    }
}
