//! The interface as `smoltcp` sees it.

use crate::XenNetfront;
use crate::receive::Receiver;
use crate::transmit::Transmitter;
use alloc::vec;
use core::num::NonZeroU16;
use offload::ETHERNET_BYTES;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;

impl Device for XenNetfront {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    /// The next frame, and leave to answer it; `None` while there is no room for an answer, so that
    /// what comes in faster than answers go out waits with the backend.
    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let link = self.link.as_mut().filter(|_| self.stopped.is_none())?;
        if !link.transmitter.ready() {
            return None;
        }
        match link.receiver.advance() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(fault) => {
                self.stop(fault);
                return None;
            }
        }
        let link = self.link.as_mut()?;
        let sending = Sending::new(Way::Link(&mut link.transmitter));
        Some((Received(&link.receiver), sending))
    }

    /// Leave to send a frame; `None` while there is no room for the longest. Without a link, frames
    /// are lost, as on a wire that is not plugged in.
    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_>> {
        let Some(link) = self.link.as_mut().filter(|_| self.stopped.is_none()) else {
            return Some(Sending::new(Way::Lost(&mut self.lost)));
        };
        let ready = link.transmitter.ready();
        if let Some(fault) = link.transmitter.fault() {
            self.stop(fault);
            return None;
        }
        let link = self.link.as_mut().filter(|_| ready)?;
        Some(Sending::new(Way::Link(&mut link.transmitter)))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = ETHERNET_BYTES + self.features.mtu_bytes;
        capabilities.checksum = self.features.checksums();
        // Not for IPv6: smoltcp 0.14 would build long packets and then drop them for being longer
        // than the MTU (`Interface::dispatch_ip`).
        capabilities.segmentation.tcpv4 = self.features.long_frame_bytes();
        capabilities
    }
}

/// A received frame, where the backend put it.
pub struct Received<'a>(&'a Receiver);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0.frame())
    }
}

/// Leave to send one frame.
pub struct Sending<'a> {
    way: Way<'a>,
    segment: Option<NonZeroU16>,
}

enum Way<'a> {
    Link(&'a mut Transmitter),
    /// Counts what is lost.
    Lost(&'a mut u64),
}

impl<'a> Sending<'a> {
    fn new(way: Way<'a>) -> Self {
        Self { way, segment: None }
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, frame_bytes: usize, build: F) -> R {
        match self.way {
            Way::Link(transmitter) => transmitter.send(frame_bytes, self.segment, build),
            Way::Lost(count) => {
                *count += 1;
                build(&mut vec![0; frame_bytes])
            }
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size;
    }
}
