//! Queue pair at work: all that one CPU needs to receive and to send.

use crate::features::Features;
use crate::receive::Receiver;
use crate::transmit::Transmitter;
use crate::{Counters, Error, Fault, Settings};
use machine::virtio::{Control, Interrupt, PairSettings, QueuePair};
use offload::header::Header;

/// A pair, and what it did.
#[derive(Debug)]
pub(crate) struct Pair {
    number: u16,
    pub(crate) receiver: Receiver,
    pub(crate) transmitter: Transmitter,
    interrupt: Interrupt,
    doorbells: u64,
    interrupts: u64,
}

impl Pair {
    /// Has the device use a pair of queues.
    pub(crate) fn new(
        number: u16,
        control: &mut Control,
        features: Features,
        settings: &Settings,
        mtu_bytes: usize,
    ) -> Result<Self, Error> {
        let frame_bytes_max = Transmitter::longest(features, settings, mtu_bytes);
        let settings = PairSettings {
            receive_buffers: settings.receive_buffers,
            receive_buffer_bytes: Receiver::buffer_bytes(features, settings, mtu_bytes),
            transmit_buffers: settings.transmit_frames,
            transmit_bytes: settings.transmit_bytes,
            transmit_buffer_bytes_max: Header::BYTES + frame_bytes_max,
        };
        let QueuePair { receive, transmit, interrupt } = control.queue_pair(number, &settings)?;
        Ok(Self {
            number,
            receiver: Receiver::new(receive, features),
            transmitter: Transmitter::new(transmit, features, frame_bytes_max),
            interrupt,
            doorbells: 0,
            interrupts: 0,
        })
    }

    /// Begins anew with a device that has been reset; what is in the queues is lost.
    pub(crate) fn restart(&mut self, control: &mut Control) -> Result<(), Error> {
        self.transmitter.restart();
        let (receive, transmit) = (&mut self.receiver.ring, &mut self.transmitter.ring);
        control.restart_queue_pair(self.number, receive, transmit)
    }

    /// Hands over what was sent, and the receive buffers that are free again; what the device did wrong,
    /// if it did.
    pub(crate) fn publish(&mut self) -> Result<(), Fault> {
        if self.receiver.release() {
            self.doorbells += 1;
            self.receiver.ring.ring_doorbell();
        }
        // Once for each round is enough, and a device that lies is found out.
        self.transmitter.reclaim();
        if self.transmitter.publish() {
            self.doorbells += 1;
            self.transmitter.ring.ring_doorbell();
        }
        self.transmitter.fault().map_or(Ok(()), Err)
    }

    /// Takes its interrupt, which may have come as the device's, and turns on the one that is worth waking
    /// up for; false when there is something to do already.
    pub(crate) fn arm(&mut self, device_interrupt: bool) -> bool {
        self.interrupts += u64::from(self.interrupt.take() || device_interrupt);
        if self.transmitter.is_starved() {
            // Frames wait until they can be answered.
            return !self.transmitter.has_room() && self.transmitter.arm();
        }
        self.transmitter.disarm();
        self.receiver.arm()
    }

    /// What it did so far.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            notifications: self.doorbells,
            interrupts: self.interrupts,
            ..self.transmitter.count(self.receiver.count(Counters::default()))
        }
    }
}
