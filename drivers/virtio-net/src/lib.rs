//! A virtio network card (virtio 1.2, 5.1) as a `smoltcp` device.
//!
//! Received frames are lent to the stack where the device put them, up to 64 KiB in one piece; sent
//! ones are built where the device reads them, up to 64 KiB for it to cut into segments, or left
//! where they are ([`VirtioNet::send_lent`]). Doorbells wait for [`VirtioNet::flush`], once for each round of the caller's loop, and interrupts are off
//! until [`VirtioNet::prepare_to_wait`].
//!
//! A device that breaks the rules is stopped: it neither receives nor sends any more, and
//! [`VirtioNet::error`] says why. [`VirtioNet::restart`] tries again.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod features;
mod receive;
mod settings;
#[cfg(test)]
mod tests;
mod transmit;

pub use device::{Received, Sending};
pub use machine::virtio::{Error, Fault};
pub use settings::Settings;

use bytes::Bytes;
use core::num::{NonZeroU16, NonZeroUsize};
use features::Features;
use machine::virtio::Device;
use receive::Receiver;
use transmit::Transmitter;

/// A running network card.
#[derive(Debug)]
pub struct VirtioNet {
    /// Dropped first, and so reset before what it reads is given up.
    device: Device,
    features: Features,
    receiver: Receiver,
    transmitter: Transmitter,
    mac: [u8; 6],
    mtu_bytes: usize,
    link_up: bool,
    doorbells: u64,
    interrupts: u64,
    stopped: Option<Error>,
}

/// What a card did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received; what the device merged counts as one.
    pub received_frames: u64,
    /// Bytes in them, with their Ethernet headers.
    pub received_bytes: u64,
    /// Frames received and thrown away: a wrong checksum, or no whole Ethernet header.
    pub received_dropped: u64,
    /// Frames sent; what the device segments counts as one.
    pub sent_frames: u64,
    /// Bytes in them, with their Ethernet headers.
    pub sent_bytes: u64,
    /// Frames sent for the device to segment.
    pub sent_segmented: u64,
    /// Frames longer than the longest that were to be sent and were thrown away.
    pub sent_dropped: u64,
    /// Times that the device was told of new buffers.
    pub doorbells: u64,
    /// Interrupts taken.
    pub interrupts: u64,
}

impl VirtioNet {
    /// Negotiates with a device, posts its receive buffers and starts it.
    pub fn open(mut device: Device, settings: &Settings) -> Result<Self, Error> {
        let features = Features::negotiate(&mut device, settings)?;
        let mtu_bytes = features.mtu_bytes(&device);
        let receiver = Receiver::new(&mut device, features, settings, mtu_bytes)?;
        let transmitter = Transmitter::new(&mut device, features, settings, mtu_bytes)?;
        device.start();
        let mut net = Self {
            mac: features.mac(&device),
            link_up: features.link_up(&device),
            device,
            features,
            receiver,
            transmitter,
            mtu_bytes,
            doorbells: 0,
            interrupts: 0,
            stopped: None,
        };
        net.flush();
        Ok(net)
    }

    /// Starts a stopped card anew, with the memory that it has; frames in its rings are lost. A device
    /// that broke the rules once may do so again: how often to try is the caller's choice.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.features.negotiate_again(&mut self.device)?;
        self.receiver.restart(&mut self.device)?;
        self.transmitter.restart(&mut self.device)?;
        self.device.start();
        self.link_up = self.features.link_up(&self.device);
        self.stopped = None;
        self.flush();
        Ok(())
    }

    /// The card's address; one from the entropy pool is for the caller to make up when the device
    /// has none and this is zero.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The longest IP packet, in bytes.
    pub fn mtu_bytes(&self) -> usize {
        self.mtu_bytes
    }

    /// The longest TCP frame over IPv6 that the device cuts into segments, in bytes; `None` when it
    /// cuts none. The device's capabilities do not say so, for smoltcp 0.14 would build such frames
    /// and then drop them for being longer than the MTU (`Interface::dispatch_ip`).
    pub fn ipv6_segmentation(&self) -> Option<NonZeroUsize> {
        let longest = NonZeroUsize::new(self.transmitter.frame_bytes_max());
        longest.filter(|_| self.features.segments_ipv6())
    }

    /// Whether the link was up when the device last said so.
    pub fn link_up(&self) -> bool {
        self.link_up
    }

    /// Why the card was stopped, if it was.
    pub fn error(&self) -> Option<Error> {
        self.stopped
    }

    /// What it did so far.
    pub fn counters(&self) -> Counters {
        Counters {
            doorbells: self.doorbells,
            interrupts: self.interrupts,
            ..self.transmitter.count(self.receiver.count(Counters::default()))
        }
    }

    /// Sends a frame of which `build` builds the first `head_bytes`, all headers among them, and which
    /// goes on with `tail`; false while there is no room for the longest. The tail is read by the
    /// device where it lies if that completes checksums, and held on to until it has done so.
    pub fn send_lent(
        &mut self,
        head_bytes: usize,
        tail: Bytes,
        segment: Option<NonZeroU16>,
        build: &mut dyn FnMut(&mut [u8]),
    ) -> bool {
        let ready = self.stopped.is_none() && self.transmitter.ready();
        if ready {
            self.transmitter.send_lent(head_bytes, tail, segment, build);
        }
        ready
    }

    /// Hands over what was sent, and the receive buffers that are free again, with at most one
    /// doorbell for each. To be called at the end of each round of polling.
    pub fn flush(&mut self) {
        if self.stopped.is_some() {
            return;
        }
        if self.receiver.release() {
            self.ring_doorbell(RECEIVE_QUEUE);
        }
        // Once for each round is enough, and a device that lies is found out.
        self.transmitter.reclaim();
        if self.transmitter.publish() {
            self.ring_doorbell(TRANSMIT_QUEUE);
        }
        if let Some(fault) = self.transmitter.fault() {
            self.stop(fault);
        }
    }

    /// Flushes and turns on the interrupt that is worth waking up for: a frame, or, if there was no
    /// room for one to send, such room. False when there is something to do already: then poll
    /// again instead of waiting.
    pub fn prepare_to_wait(&mut self) -> bool {
        if self.transmitter.is_starved()
            || !(self.receiver.is_released() && self.transmitter.is_published())
        {
            self.flush();
        }
        if self.stopped.is_some() {
            return true;
        }
        let events = self.device.take_events();
        self.interrupts += u64::from(events.interrupt);
        if events.configuration {
            self.link_up = self.features.link_up(&self.device);
            if self.device.needs_reset() {
                self.stop(Fault::NeedsReset);
                return true;
            }
        }
        if self.transmitter.is_starved() {
            // Frames wait until they can be answered.
            return !self.transmitter.has_room() && self.transmitter.arm();
        }
        self.transmitter.disarm();
        self.receiver.arm()
    }

    fn ring_doorbell(&mut self, queue: u16) {
        self.doorbells += 1;
        self.device.ring_doorbell(queue);
    }

    fn stop(&mut self, fault: Fault) {
        self.stopped = Some(Error::Broken(fault));
        self.device.stop();
    }
}

/// The first pair of queues (5.1.2).
const RECEIVE_QUEUE: u16 = 0;
const TRANSMIT_QUEUE: u16 = 1;
