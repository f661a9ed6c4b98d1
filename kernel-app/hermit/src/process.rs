//! Platform over the kernel: its sockets and clocks, and the machine's power button.

use crate::sockets::{HermitConnector, HermitListener, Reactor};
use aqueduct::platform::{Driver, ListenError, Platform};
use aqueduct::settings::network::SocketSettings;
use core::time::Duration;
use hermit_system::{PowerButton, Start, socket, system};

/// How long the CPU is kept after the last event: the answer to an answer comes within it.
const AWAKE: Duration = Duration::from_millis(1);
/// How long the CPU sleeps between two looks at the network: the kernel has no way to wait for sockets and for a time.
const NAP: Duration = Duration::from_millis(1);

/// The half that the loop drives.
pub(crate) struct Process {
    reactor: Reactor,
    button: PowerButton,
    memory_bytes: usize,
    /// The wait before this turn has asked which sockets are ready.
    asked: bool,
    /// When anything happened last.
    active_at: Duration,
}

impl Process {
    pub(crate) fn new(start: &Start, settings: SocketSettings) -> Self {
        Self {
            reactor: Reactor::new(settings, start.memory_bytes),
            button: start.power_button,
            memory_bytes: start.memory_bytes,
            asked: false,
            active_at: Duration::ZERO,
        }
    }

    /// The half that the application sees.
    pub(crate) fn platform(&self) -> HermitPlatform {
        HermitPlatform { reactor: self.reactor.clone(), memory_bytes: self.memory_bytes }
    }
}

impl Driver for Process {
    fn now(&self) -> Duration {
        system::now()
    }

    /// The kernel takes in what arrives when it is called; all that is left is to ask which sockets it concerns.
    fn ingress(&mut self, now: Duration) -> bool {
        if core::mem::take(&mut self.asked) || self.reactor.poll() {
            self.active_at = now;
        }
        false
    }

    fn egress(&mut self, _now: Duration) {
        self.reactor.flush();
    }

    /// What the kernel has not sent is lost with it, and it closes a socket only when all is sent.
    fn undelivered(&self) -> usize {
        self.reactor.unsent() + socket::closing()
    }

    fn stop_requested(&mut self) -> bool {
        self.button.take()
    }

    /// Returns after each nap, so that the button is looked at.
    fn wait(&mut self, deadline: Option<Duration>) {
        socket::attend();
        loop {
            if self.reactor.poll() {
                self.asked = true;
                return;
            }
            let now = system::now();
            let left = deadline.map_or(NAP, |deadline| deadline.saturating_sub(now));
            if left.is_zero() {
                return;
            }
            if now.saturating_sub(self.active_at) > AWAKE {
                return system::sleep(left.min(NAP));
            }
        }
    }
}

/// The kernel's sockets and clocks.
#[derive(Clone)]
pub(crate) struct HermitPlatform {
    reactor: Reactor,
    memory_bytes: usize,
}

impl Platform for HermitPlatform {
    type Listener = HermitListener;
    type Connector = HermitConnector;

    fn listen(&self, port: u16, backlog: usize) -> Result<HermitListener, ListenError> {
        HermitListener::bind(&self.reactor, port, backlog)
    }

    fn connector(&self) -> HermitConnector {
        HermitConnector::new(&self.reactor)
    }

    fn wall_clock(&self) -> Duration {
        system::wall_clock()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        hermit_system::fill_random(bytes).expect("the CPU had random bytes at the start");
    }

    /// What is left beside the sockets' buffers, which are the kernel's.
    fn memory_bytes(&self) -> usize {
        self.memory_bytes - self.reactor.buffers_max_bytes()
    }
}
