//! Device side: the interface as the network stack uses it.

use crate::XenNetfront;
use crate::pair::Pair;
use net::device::{Capabilities, Counters, NetDevice, RxFrame, Transmit};

impl NetDevice for XenNetfront {
    /// Frames wait with the backend while there is no room for an answer, so that what comes in
    /// faster than answers go out is not taken.
    fn receive(&mut self, handle: &mut dyn FnMut(RxFrame<'_>, &mut dyn Transmit)) -> bool {
        let (works, has_carrier) = (self.works(), self.mailbox.has_carrier());
        let Some(pair) = self.pair.as_mut().filter(|_| works) else { return false };
        if !pair.transmitter.is_ready() {
            return false;
        }
        match pair.receiver.advance() {
            // What came while there was a carrier is taken also when there is none any more.
            Ok(true) => {
                let output: &mut dyn Transmit =
                    if has_carrier { &mut pair.transmitter } else { &mut self.lost };
                handle(RxFrame::Lent(pair.receiver.frame_mut()), output);
                true
            }
            Ok(false) => false,
            Err(fault) => {
                self.stop(fault);
                false
            }
        }
    }

    /// Without a link, frames are lost, as on a wire that is not plugged in.
    fn transmitter(&mut self) -> &mut dyn Transmit {
        if self.link_up()
            && let Some(pair) = &mut self.pair
        {
            &mut pair.transmitter
        } else {
            &mut self.lost
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transmit_checksums: self.features.checksums,
            // What the backend does not vouch for, the driver has checked.
            receive_checksums: true,
            segmentation_ipv4: self.features.long_frame_bytes(),
            ..Capabilities::new(self.features.mtu_bytes)
        }
    }

    /// Whether there is a backend that carries frames, and has a link itself.
    fn link_up(&self) -> bool {
        self.works() && self.mailbox.has_carrier()
    }

    fn driver(&self) -> &'static str {
        "xen-netfront"
    }

    fn counters(&self) -> Counters {
        Self::counters(self)
    }

    /// Hands over what was sent, and the receive pages that are free again, with at most one event
    /// for each direction.
    fn flush(&mut self) {
        let Some(pair) = self.working_pair() else { return };
        pair.flush();
        if let Some(fault) = pair.transmitter.fault() {
            self.stop(fault);
        }
    }

    /// Flushes and turns on the events that are worth waking up for: a frame, or room for one to
    /// send when there was none.
    fn prepare_to_wait(&mut self) -> bool {
        if self.mailbox.has_order() {
            self.obey();
            return false;
        }
        self.flush();
        self.working_pair().is_none_or(Pair::arm)
    }
}
