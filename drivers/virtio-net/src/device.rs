//! The card as `smoltcp` sees it.

use crate::VirtioNet;
use crate::receive::Receiver;
use crate::transmit::Transmitter;
use core::num::{NonZeroU16, NonZeroUsize};
use offload::ETHERNET_BYTES;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;

impl Device for VirtioNet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    /// The next frame, and leave to answer it; `None` while there is no room for an answer, so that
    /// what comes in faster than answers go out waits with the device.
    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        if self.stopped.is_some() || !self.transmitter.ready() {
            return None;
        }
        match self.receiver.advance() {
            Ok(true) => Some((Received(&self.receiver), Sending::new(&mut self.transmitter))),
            Ok(false) => None,
            Err(fault) => {
                self.stop(fault);
                None
            }
        }
    }

    /// Leave to send a frame; `None` while there is no room for the longest.
    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_>> {
        let ready = self.stopped.is_none() && self.transmitter.ready();
        ready.then(|| Sending::new(&mut self.transmitter))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = ETHERNET_BYTES + self.mtu_bytes;
        capabilities.checksum = self.features.checksums();
        if self.features.segments_ipv4() {
            // Not for IPv6: see `VirtioNet::ipv6_segmentation`.
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(self.transmitter.frame_bytes_max());
        }
        capabilities
    }
}

/// A received frame, where the device put it.
pub struct Received<'a>(&'a Receiver);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0.frame())
    }
}

/// Leave to send one frame.
pub struct Sending<'a> {
    transmitter: &'a mut Transmitter,
    segment: Option<NonZeroU16>,
}

impl<'a> Sending<'a> {
    fn new(transmitter: &'a mut Transmitter) -> Self {
        Self { transmitter, segment: None }
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, frame_bytes: usize, build: F) -> R {
        self.transmitter.send(frame_bytes, self.segment, build)
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size;
    }
}
