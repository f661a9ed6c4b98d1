//! Host: the other end of a machine's sockets, and what carries packets between.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use flow::{ConnectError, Connector, Target, VsockAddress};
use std::time::Duration;
use vsock::{Limits, VsockFlow, VsockNetwork};

/// The machine's number; the host's is 2.
const MACHINE: u32 = 3;

/// A host and its only machine.
pub struct VsockHost {
    /// The host's own sockets.
    pub network: VsockNetwork,
    /// The machine's.
    pub machine: VsockNetwork,
}

impl VsockHost {
    /// With a machine that has so much.
    pub fn new(limits: Limits) -> Self {
        let network = VsockNetwork::new(2, Limits::default());
        Self { network, machine: VsockNetwork::new(MACHINE, limits) }
    }

    /// Carries what is on its way; whether there was anything.
    pub fn carry(&self, now: Duration) -> bool {
        let mut any = false;
        for (from, to) in [(&self.network, &self.machine), (&self.machine, &self.network)] {
            from.handle_timeout(now);
            while let Some(packet) = from.poll_transmit(now) {
                to.handle_input(now, &[&packet.header[..], &packet.payload].concat());
                any = true;
            }
        }
        any
    }

    /// Connects the host to a port of the machine.
    ///
    /// # Errors
    /// It is refused.
    ///
    /// # Panics
    /// It is not answered.
    pub fn connect(&self, now: Duration, port: u32) -> Result<VsockFlow, ConnectError> {
        let target = Target::Vsock(VsockAddress { cid: MACHINE, port });
        let mut connecting = pin!(self.network.connect(&target));
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(connected) = connecting.as_mut().poll(&mut cx) {
                return connected;
            }
            assert!(self.carry(now), "nobody answers");
        }
    }
}
