//! Virtio network driver (virtio 1.2, 5.1): a card as a [`net::device::NetDevice`].
//!
//! Received frames are lent to the stack where the device put them, up to 64 KiB in one piece; sent
//! ones are built where the device reads them, up to 64 KiB for it to cut into segments, and a tail
//! that is shared is left where it is. Doorbells wait for
//! [`flush`](net::device::NetDevice::flush), once for each turn of the caller's loop, and interrupts
//! are off until [`prepare_to_wait`](net::device::NetDevice::prepare_to_wait).
//!
//! A device that breaks the rules is stopped: it neither receives nor sends any more, and
//! [`VirtioNet::error`] says why. It is started anew before the next wait, up to three times.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod features;
mod pair;
mod receive;
mod settings;
#[cfg(test)]
mod tests;
mod transmit;

pub use machine::virtio::{Error, Fault};
pub use net::device::Counters;
pub use settings::Settings;

use core::fmt::{self, Write};
use features::Features;
use machine::virtio::Control;
use pair::Pair;

/// A running network card.
#[derive(Debug)]
pub struct VirtioNet {
    /// Dropped first: the device is reset before what it reads is given up.
    control: Control,
    features: Features,
    /// The only pair yet: each is for a CPU that works at the same time.
    pair: Pair,
    mac: [u8; 6],
    mtu_bytes: usize,
    link_up: bool,
    stopped: Option<Error>,
    restarts: u32,
    given_up: bool,
}

impl VirtioNet {
    /// Negotiates with a device, posts its receive buffers and starts it.
    pub fn open(mut control: Control, settings: &Settings) -> Result<Self, Error> {
        let features = Features::negotiate(&mut control, settings)?;
        let mtu_bytes = features.mtu_bytes(&control);
        let pair = Pair::new(0, &mut control, features, settings, mtu_bytes)?;
        control.start();
        let mut net = Self {
            mac: features.mac(&control),
            link_up: features.link_up(&control),
            control,
            features,
            pair,
            mtu_bytes,
            stopped: None,
            restarts: 0,
            given_up: false,
        };
        net.publish();
        let link = if net.link_up { "" } else { ", no link" };
        log::info!("card {}, packets of {mtu_bytes} bytes{link}", Mac(net.mac));
        Ok(net)
    }

    /// Starts a stopped card anew, with the memory that it has; frames in its rings are lost. A device
    /// that broke the rules once may do so again: how often to try is the caller's choice.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.features.negotiate_again(&mut self.control)?;
        self.pair.restart(&mut self.control)?;
        self.control.start();
        self.link_up = self.features.link_up(&self.control);
        self.stopped = None;
        self.publish();
        Ok(())
    }

    /// The card's address; one from the entropy pool is for the caller to make up when the device
    /// has none and this is zero.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Why the card was stopped, if it was.
    pub fn error(&self) -> Option<Error> {
        self.stopped
    }

    /// What it did so far.
    pub fn counters(&self) -> Counters {
        self.pair.counters()
    }

    /// Hands over what was sent, and the receive buffers that are free again.
    fn publish(&mut self) {
        if self.stopped.is_some() {
            return;
        }
        if let Err(fault) = self.pair.publish() {
            self.stop(fault);
        }
    }

    /// Publishes and turns on the interrupt that is worth waking up for; false when there is
    /// something to do already.
    fn arm(&mut self) -> bool {
        self.publish();
        if self.stopped.is_some() {
            return true;
        }
        let events = self.control.take_events();
        if events.configuration {
            self.link_up = self.features.link_up(&self.control);
            if self.control.needs_reset() {
                self.stop(Fault::NeedsReset);
                return true;
            }
        }
        self.pair.arm(events.interrupt)
    }

    fn stop(&mut self, fault: Fault) {
        self.stopped = Some(Error::Broken(fault));
        self.pair.transmitter.stop(fault);
        self.control.stop();
    }
}

/// A hardware address as text. By hand, as the log's own numbers are: what formats any number is much
/// code to go through before a first answer.
struct Mac([u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
        for (at, byte) in self.0.into_iter().enumerate() {
            if at > 0 {
                f.write_char(':')?;
            }
            f.write_char(digit(byte >> 4))?;
            f.write_char(digit(byte))?;
        }
        Ok(())
    }
}
