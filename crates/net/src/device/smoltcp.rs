//! The adapter: a transmit queue and at most one received frame as smoltcp's `phy::Device`, the only
//! one in the tree.
//!
//! smoltcp has a look at a frame, or sends what it has to send, through a [`SmoltcpDevice`] that
//! lives as long as that one call. What is sent for a connection becomes a frame by the connection's
//! [`HeaderTemplate`].

use super::{Capabilities, Transmit, TxFrame};
use crate::wire::template::HeaderTemplate;
use alloc::vec;
use core::num::{NonZeroU16, NonZeroUsize};
use smoltcp::phy::{
    Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, PacketMeta, RxToken,
    TxToken,
};
use smoltcp::time::Instant;

/// What smoltcp sees of a [`NetDevice`](super::NetDevice).
pub(crate) struct SmoltcpDevice<'a> {
    pub(crate) caps: &'a DeviceCapabilities,
    /// The frame, or the packet of a connection, that is to be received next.
    pub(crate) received: Option<&'a [u8]>,
    pub(crate) output: &'a mut dyn Transmit,
    /// Makes frames of a connection's IP packets; absent where smoltcp writes whole frames.
    pub(crate) template: Option<&'a HeaderTemplate>,
    pub(crate) sent: Sent,
    /// The device refused a packet that smoltcp wanted to send.
    pub(crate) blocked: bool,
}

/// What smoltcp sent through an adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) packets: u32,
    /// Of the last segment: its first sequence number, and the one after its end.
    pub(crate) seq: u32,
    pub(crate) seq_end: u32,
}

impl<'a> SmoltcpDevice<'a> {
    pub(crate) fn new(caps: &'a DeviceCapabilities, output: &'a mut dyn Transmit) -> Self {
        let sent = Sent::default();
        Self { caps, received: None, output, template: None, sent, blocked: false }
    }

    /// Sends the packet of `len` bytes that `build` writes, as a frame.
    pub(crate) fn send(
        &mut self,
        len: usize,
        segment_bytes: Option<NonZeroU16>,
        build: &mut dyn FnMut(&mut [u8]),
    ) {
        let has_room = match self.template {
            None => self.output.transmit(TxFrame { segment_bytes, ..TxFrame::new(len) }, build),
            Some(template) => {
                let sent = &mut self.sent;
                template.transmit_packet(len, self.output, |packet| {
                    build(packet);
                    (sent.seq, sent.seq_end) = template.complete(packet);
                })
            }
        };
        self.sent.packets += u32::from(has_room);
        self.blocked |= !has_room;
    }
}

impl<'a> Device for SmoltcpDevice<'a> {
    type RxToken<'b>
        = Received<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Sending<'b, 'a>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_, 'a>)> {
        let received = self.received.take()?;
        Some((Received(received), Sending { device: self, meta: PacketMeta::default() }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_, 'a>> {
        if !self.output.is_ready() {
            self.blocked = true;
            return None;
        }
        Some(Sending { device: self, meta: PacketMeta::default() })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.caps.clone()
    }
}

pub(crate) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(crate) struct Sending<'b, 'a> {
    device: &'b mut SmoltcpDevice<'a>,
    meta: PacketMeta,
}

impl TxToken for Sending<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut write = Some(f);
        let mut value = None;
        self.device.send(len, self.meta.segmentation_offload_size, &mut |frame| {
            value = write.take().map(|write| write(frame));
        });
        match (value, write) {
            (Some(value), _) => value,
            // The device said it was ready and then was not: the packet is lost, as on a wire.
            (None, Some(write)) => write(&mut vec![0; len]),
            (None, None) => unreachable!("a closure that was taken left its value"),
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.meta = meta;
    }
}

/// What smoltcp is told of a device whose frames it writes whole.
pub(crate) fn ethernet_caps(device: &Capabilities) -> DeviceCapabilities {
    let transport = match (device.transmit_checksums, device.receive_checksums) {
        (true, true) => Checksum::None,
        (true, false) => Checksum::Rx,
        (false, true) => Checksum::Tx,
        (false, false) => Checksum::Both,
    };
    let mut caps = DeviceCapabilities::default();
    caps.medium = Medium::Ethernet;
    caps.max_transmission_unit = ETHERNET_BYTES + device.mtu_bytes;
    (caps.checksum.tcp, caps.checksum.udp) = (transport, transport);
    caps
}

/// What smoltcp is told of the device by which a connection's packets leave. Packets of any length
/// pass: the segment size that a connection was opened with limits them, or the device cuts them.
/// TCP checksums are not smoltcp's to write, since the window is rewritten after it.
pub(crate) fn connection_caps(device: &Capabilities) -> DeviceCapabilities {
    let longest = |frame: Option<NonZeroUsize>| {
        let bytes = frame?.get().min(ETHERNET_BYTES + PACKET_BYTES_MAX);
        NonZeroUsize::new(bytes.saturating_sub(ETHERNET_BYTES))
            // Less than two segments is no segmentation.
            .filter(|bytes| bytes.get() > 2 * device.mtu_bytes)
    };
    let mut caps = internal_caps();
    caps.checksum.ipv4 = Checksum::Both;
    caps.checksum.tcp = if device.receive_checksums { Checksum::None } else { Checksum::Rx };
    caps.segmentation.tcpv4 = longest(device.segmentation_ipv4);
    caps.segmentation.tcpv6 = longest(device.segmentation_ipv6);
    caps
}

/// For packets that leave no machine: of any length, and without checksums.
pub(crate) fn internal_caps() -> DeviceCapabilities {
    let mut caps = DeviceCapabilities::default();
    caps.medium = Medium::Ip;
    caps.max_transmission_unit = PACKET_BYTES_MAX;
    caps.checksum = ChecksumCapabilities::ignored();
    caps
}

const ETHERNET_BYTES: usize = 14;
/// The longest IP packet: what both versions' length fields can say.
const PACKET_BYTES_MAX: usize = 0xffff;
