//! A queue pair at work: the rings and event channels by which an interface and one backend exchange frames.
//! There is one yet; each is for a CPU that works at the same time (public/io/netif.h calls it a queue).

use crate::receive::Receiver;
use crate::transmit::Transmitter;
use crate::{Counters, Error, Settings};
use core::time::Duration;
use machine::xen::event::Port;
use machine::xen::{DomainId, Errno};

/// A pair in use, or what is kept of one for the next backend.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) receiver: Receiver,
    pub(crate) transmitter: Transmitter,
    /// The longest IP packet that the backend takes.
    pub(crate) mtu_bytes: usize,
    channels: Channels,
    notifications: u64,
    events: u64,
}

/// One event channel, or one for each direction.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) transmit: Port,
    pub(crate) receive: Option<Port>,
}

impl Channels {
    pub(crate) fn new(domain: DomainId, split: bool) -> Result<Self, Error> {
        let no_port = |_: Errno| Error::OutOfMemory;
        let transmit = Port::allocate(domain).map_err(no_port)?;
        let receive = split.then(|| Port::allocate(domain)).transpose().map_err(no_port)?;
        Ok(Self { transmit, receive })
    }
}

impl Pair {
    /// Memory for a pair that a domain may use, with new event channels.
    pub(crate) fn new(
        domain: DomainId,
        settings: &Settings,
        channels: Channels,
    ) -> Result<Self, Error> {
        Ok(Self {
            receiver: Receiver::new(domain, settings)?,
            transmitter: Transmitter::new(domain, settings)?,
            mtu_bytes: 0,
            channels,
            notifications: 0,
            events: 0,
        })
    }

    /// Takes all back from the backend, as far as it lets go. Its event channels go with the next.
    pub(crate) fn end(&mut self) {
        self.receiver.ring.end();
        self.transmitter.ring.end();
    }

    /// Readies it for another backend.
    pub(crate) fn reset(&mut self, domain: DomainId, channels: Channels) -> Result<(), Error> {
        self.channels = channels;
        self.receiver.ring.reset(domain)?;
        self.transmitter.ring.reset(domain)?;
        Ok(())
    }

    /// Whether its backend can be there: not once the domain was restored.
    pub(crate) fn is_open(&self) -> bool {
        self.channels.transmit.is_open()
    }

    pub(crate) fn channels(&self) -> &Channels {
        &self.channels
    }

    pub(crate) fn flush(&mut self) {
        let receive = self.receiver.release();
        let transmit = self.transmitter.publish();
        let [first, second] = match &self.channels.receive {
            Some(port) => [transmit.then_some(&self.channels.transmit), receive.then_some(port)],
            None => [(transmit || receive).then_some(&self.channels.transmit), None],
        };
        for port in [first, second].into_iter().flatten() {
            port.notify();
            self.notifications += 1;
        }
    }

    /// Waits until the backend has taken all frames, or until `deadline`.
    pub(crate) fn drain(&mut self, deadline: Duration) {
        self.flush();
        while self.transmitter.is_busy() && machine::clock::now() < deadline {
            if self.arm() {
                machine::idle::wait(Some(deadline));
            }
        }
    }

    /// Asks for the event that is worth waking up for; false when there is something to do already.
    pub(crate) fn arm(&mut self) -> bool {
        let transmit = self.channels.transmit.take();
        let receive = self.channels.receive.as_ref().is_some_and(Port::take);
        self.events += u64::from(transmit || receive);
        if self.transmitter.is_starved() {
            // Frames wait until they can be answered.
            return self.transmitter.arm();
        }
        self.receiver.arm()
    }

    /// What it did, for all backends.
    pub(crate) fn counters(&self) -> Counters {
        let refused =
            self.receiver.ring.refusals().total() + self.transmitter.ring.refusals().total();
        let (notifications, interrupts) = (self.notifications, self.events);
        let counters = Counters { notifications, interrupts, refused, ..Counters::default() };
        self.transmitter.count(self.receiver.count(counters))
    }
}
