//! One stack, whose neighbour the test plays frame by frame.

use crate::wire::{Link, LinkDevice, Wire};
use crate::world::MAC;
use flow::task::Executor;
use net::device::NetDevice;
use net::{Config, Stack};
use std::time::Duration;

/// A stack, its tasks, and a clock.
pub struct Lone {
    /// It has the first of the hardware addresses ([`MAC`]).
    pub stack: Stack,
    /// Frames are [injected](Wire::inject) at end 0.
    pub wire: Wire,
    /// Runs all tasks.
    pub executor: Executor,
    /// The present.
    pub now: Duration,
    peer: LinkDevice,
}

impl Lone {
    /// A stack with these settings, on a wire without faults.
    pub fn new(config: &Config) -> Self {
        let (wire, [device, peer]) = Wire::new(Link::default(), 1);
        let stack = Stack::new(device, config, MAC[0], [7; 64], Duration::ZERO);
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        Self { stack, wire, executor, now: Duration::ZERO, peer }
    }

    /// Takes a turn of the loop; the frames that have come out of the wire at the other end.
    pub fn turn(&mut self) -> Vec<Vec<u8>> {
        self.wire.advance(self.now);
        self.stack.ingress(self.now);
        self.executor.run(1_000);
        self.stack.egress(self.now);
        let mut frames = Vec::new();
        while self.peer.receive(&mut |frame, _| frames.push(frame.to_vec())) {}
        frames
    }

    /// Lets time pass to when the next turn is due, at most to `until`; false when nothing is due before that.
    pub fn step(&mut self, until: Duration) -> bool {
        let next = [self.stack.next_deadline(), self.wire.next_arrival()];
        let next = next.into_iter().flatten().min().unwrap_or(until).max(self.now);
        if self.wire.has_arrivals() || !self.executor.is_idle() {
            return true;
        }
        self.now = next.min(until);
        next < until
    }
}
