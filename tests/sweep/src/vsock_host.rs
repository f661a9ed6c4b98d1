//! Host: the other end of a machine's sockets, and what carries packets between.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use flow::{ConnectError, Connector, Target, VsockAddress};
use std::time::Duration;
use vsock::{Limits, Packet, VsockFlow, VsockNetwork};

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
        self.carry_around(now, &|turn| turn())
    }

    /// The same; what the machine does is `around`'s to make.
    pub fn carry_around(&self, now: Duration, around: &dyn Fn(&mut dyn FnMut())) -> bool {
        let mut any = false;
        self.network.handle_timeout(now);
        while let Some(Packet { header, payload }) = self.network.poll_transmit(now) {
            let packet = [&header[..], &payload].concat();
            around(&mut || self.machine.handle_input(now, &packet));
            any = true;
        }
        around(&mut || self.machine.handle_timeout(now));
        loop {
            let mut packet = None;
            around(&mut || packet = self.machine.poll_transmit(now));
            let Some(Packet { header, payload }) = packet else { return any };
            self.network.handle_input(now, &[&header[..], &payload].concat());
            any = true;
        }
    }

    /// What a client connects to for a port of the machine.
    pub fn target(port: u32) -> Target {
        Target::Vsock(VsockAddress { cid: MACHINE, port })
    }

    /// Connects the host to a port of the machine.
    ///
    /// # Errors
    /// It is refused.
    ///
    /// # Panics
    /// It is not answered.
    pub fn connect(&self, now: Duration, port: u32) -> Result<VsockFlow, ConnectError> {
        let target = Self::target(port);
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
