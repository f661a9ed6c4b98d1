//! No card: what a machine has instead of a network card that only its host is to reach, by vsock.

use net::device::{Capabilities, NetDevice, RxFrame, Transmit, TxFrame};

/// A card whose link is down for ever, so that services which listen by TCP start as elsewhere.
pub(crate) struct NoCard;

/// The least that IPv6 allows (RFC 8200 section 5).
const MTU_BYTES: usize = 1280;

impl NetDevice for NoCard {
    fn receive(&mut self, _: &mut dyn FnMut(RxFrame<'_>, &mut dyn Transmit)) -> bool {
        false
    }

    fn transmitter(&mut self) -> &mut dyn Transmit {
        self
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(MTU_BYTES)
    }

    fn link_up(&self) -> bool {
        false
    }
}

impl Transmit for NoCard {
    fn is_ready(&mut self) -> bool {
        true
    }

    /// Lost, as on a link that is down.
    fn transmit(&mut self, frame: TxFrame, _: &mut dyn FnMut(&mut [u8])) -> bool {
        drop(frame);
        true
    }
}
