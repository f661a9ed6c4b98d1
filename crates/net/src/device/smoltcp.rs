//! The adapter: a transmit queue and at most one received frame as smoltcp's `phy::Device`, the only
//! one in the tree.
//!
//! smoltcp has a look at a frame, or sends what it has to send, through a [`SmoltcpDevice`] that
//! lives as long as that one call.

use super::{Capabilities, Transmit, TxFrame};
use crate::wire::ETHERNET;
use alloc::vec;
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// What smoltcp sees of a [`NetDevice`](super::NetDevice).
pub(crate) struct SmoltcpDevice<'a> {
    pub(crate) caps: &'a DeviceCapabilities,
    /// The frame that is to be received next.
    pub(crate) received: Option<&'a [u8]>,
    pub(crate) output: &'a mut dyn Transmit,
}

impl<'a> SmoltcpDevice<'a> {
    pub(crate) fn new(caps: &'a DeviceCapabilities, output: &'a mut dyn Transmit) -> Self {
        Self { caps, received: None, output }
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
        Some((Received(received), Sending { device: self }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_, 'a>> {
        self.output.is_ready().then_some(Sending { device: self })
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
}

impl TxToken for Sending<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut write = Some(f);
        let mut value = None;
        self.device.output.transmit(TxFrame::new(len), &mut |frame| {
            value = write.take().map(|write| write(frame));
        });
        match (value, write) {
            (Some(value), _) => value,
            // The device said it was ready and then was not: the packet is lost, as on a wire.
            (None, Some(write)) => write(&mut vec![0; len]),
            (None, None) => unreachable!("a closure that was taken left its value"),
        }
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
    caps.max_transmission_unit = ETHERNET + device.mtu_bytes;
    (caps.checksum.tcp, caps.checksum.udp) = (transport, transport);
    caps
}
