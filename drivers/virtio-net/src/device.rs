//! Device side: the card as the network stack uses it.

use crate::VirtioNet;
use core::num::NonZeroUsize;
use net::device::{Capabilities, Counters, NetDevice, RxFrame, Transmit};

impl NetDevice for VirtioNet {
    /// Frames wait with the device while there is no room for an answer, so that what comes in
    /// faster than answers go out is not taken.
    fn receive(&mut self, handle: &mut dyn FnMut(RxFrame<'_>, &mut dyn Transmit)) -> bool {
        if !self.pair.transmitter.is_ready() {
            return false;
        }
        match self.pair.receiver.advance() {
            Ok(true) => {
                handle(RxFrame::Lent(self.pair.receiver.frame_mut()), &mut self.pair.transmitter);
                true
            }
            Ok(false) => false,
            Err(fault) => {
                self.stop(fault);
                false
            }
        }
    }

    fn transmitter(&mut self) -> &mut dyn Transmit {
        &mut self.pair.transmitter
    }

    fn capabilities(&self) -> Capabilities {
        let longest = NonZeroUsize::new(self.pair.transmitter.frame_bytes_max());
        Capabilities {
            mtu_bytes: self.mtu_bytes,
            transmit_checksums: self.features.transmit_checksums(),
            receive_checksums: self.features.receive_checksums(),
            segmentation_ipv4: longest.filter(|_| self.features.segments_ipv4()),
            segmentation_ipv6: longest.filter(|_| self.features.segments_ipv6()),
        }
    }

    fn link_up(&self) -> bool {
        self.link_up
    }

    fn driver(&self) -> &'static str {
        "virtio-net"
    }

    fn counters(&self) -> Counters {
        self.pair.counters()
    }

    /// Hands over what was sent, and the receive buffers that are free again, with at most one
    /// doorbell for each.
    fn flush(&mut self) {
        self.publish();
    }

    /// Turns on the interrupt that is worth waking up for: a frame, or, if there was no room for one
    /// to send, such room. A card that had to be stopped is started anew.
    fn prepare_to_wait(&mut self) -> bool {
        let link_was_up = self.link_up;
        let mut can_wait = self.arm();
        if self.stopped.is_some() && !self.given_up {
            self.revive();
            // Nobody has asked for its interrupts yet.
            can_wait = false;
        }
        if self.link_up != link_was_up {
            log::info!("the link is {}", if self.link_up { "up" } else { "down" });
        }
        can_wait
    }
}

/// How often a card that had to be stopped is started anew. A hypervisor that was upgraded or moved
/// under us breaks a card once; a card that goes on like that is broken.
const RESTARTS_MAX: u32 = 3;

impl VirtioNet {
    #[cold]
    fn revive(&mut self) {
        while let Some(error) = self.stopped {
            if self.restarts == RESTARTS_MAX {
                self.given_up = true;
                log::error!("the card was stopped: {error:?}; it is given up");
                return;
            }
            self.restarts += 1;
            log::warn!(
                "the card was stopped: {error:?}; start {} of {RESTARTS_MAX}",
                self.restarts
            );
            if let Err(error) = self.restart() {
                log::error!("the card does not start: {error:?}");
            }
        }
    }
}
