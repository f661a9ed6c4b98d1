//! Feature negotiation: what driver and device agree on (virtio 1.2, 5.1.3).

use crate::{Error, Settings};
use machine::virtio::{Control, Kind, feature};
use offload::ETHERNET_BYTES;

/// Feature bits in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features(u64);

impl Features {
    pub(crate) fn negotiate(control: &mut Control, settings: &Settings) -> Result<Self, Error> {
        if control.kind() != Kind::Network {
            return Err(Error::Unsupported("a network card"));
        }
        let choose = |offered, control: &mut Control| {
            // Without a queue no card comes about.
            let buffers = control.queue_size(0, settings.receive_buffers).unwrap_or_default();
            choose(offered, usize::from(buffers), settings.receive_buffer_bytes)
        };
        control.negotiate(WANTED, choose).map(Self)
    }

    /// Resets a device that has been in use, and agrees on the same again.
    pub(crate) fn negotiate_again(self, control: &mut Control) -> Result<(), Error> {
        let agreed = control.negotiate(self.0, |offered, _| offered)?;
        let same = agreed == self.0;
        if same { Ok(()) } else { Err(Error::Unsupported("what it offered before")) }
    }

    fn has(self, bit: u64) -> bool {
        self.0 & bit != 0
    }

    /// Frames may spread over several receive buffers.
    pub(crate) fn merges(self) -> bool {
        self.has(MRG_RXBUF)
    }

    /// The device may leave checksums of received frames out, and vouches for those it checked.
    pub(crate) fn receive_checksums(self) -> bool {
        self.has(GUEST_CSUM)
    }

    /// The device completes checksums of sent frames.
    pub(crate) fn transmit_checksums(self) -> bool {
        self.has(CSUM)
    }

    /// The device cuts long IPv4 TCP frames into segments.
    pub(crate) fn segments_ipv4(self) -> bool {
        self.has(HOST_TSO4)
    }

    /// The device cuts long IPv6 TCP frames into segments.
    pub(crate) fn segments_ipv6(self) -> bool {
        self.has(HOST_TSO6)
    }

    /// The longest IP packet, in bytes: what the device says if it makes sense, else Ethernet's.
    pub(crate) fn mtu_bytes(self, control: &Control) -> usize {
        let said = usize::from(control.configuration_u16(CONFIGURATION_MTU));
        if self.has(MTU) && (MTU_BYTES_MIN..=MTU_BYTES_MAX).contains(&said) {
            said
        } else {
            MTU_BYTES_DEFAULT
        }
    }

    pub(crate) fn mac(self, control: &Control) -> [u8; 6] {
        if !self.has(MAC) {
            return [0; 6];
        }
        core::array::from_fn(|at| control.configuration(CONFIGURATION_MAC + at))
    }

    pub(crate) fn link_up(self, control: &Control) -> bool {
        const LINK_UP: u16 = 1;
        !self.has(STATUS) || control.configuration_u16(CONFIGURATION_STATUS) & LINK_UP != 0
    }
}

/// Longest frame that a device coalesces or segments: an IPv4 packet's limit.
pub(crate) const LONG_FRAME_BYTES: usize = ETHERNET_BYTES + 65_535;

pub(crate) const CSUM: u64 = 1;
pub(crate) const GUEST_CSUM: u64 = 1 << 1;
pub(crate) const MTU: u64 = 1 << 3;
pub(crate) const MAC: u64 = 1 << 5;
pub(crate) const GUEST_TSO4: u64 = 1 << 7;
pub(crate) const GUEST_TSO6: u64 = 1 << 8;
pub(crate) const HOST_TSO4: u64 = 1 << 11;
pub(crate) const HOST_TSO6: u64 = 1 << 12;
pub(crate) const MRG_RXBUF: u64 = 1 << 15;
pub(crate) const STATUS: u64 = 1 << 16;
const WANTED: u64 = CSUM
    | GUEST_CSUM
    | MTU
    | MAC
    | GUEST_TSO4
    | GUEST_TSO6
    | HOST_TSO4
    | HOST_TSO6
    | MRG_RXBUF
    | STATUS
    | feature::EVENT_IDX;

/// The least that IPv6 allows a link (RFC 8200, section 5).
const MTU_BYTES_MIN: usize = 1280;
const MTU_BYTES_MAX: usize = 9216;
const MTU_BYTES_DEFAULT: usize = 1500;

/// Offsets in the configuration (5.1.4).
const CONFIGURATION_MAC: usize = 0;
const CONFIGURATION_STATUS: usize = 6;
const CONFIGURATION_MTU: usize = 10;

/// Leaves out what depends on a feature that is missing (5.1.3.1), and coalescing where a long
/// frame has no room.
fn choose(offered: u64, receive_buffers: usize, receive_buffer_bytes: usize) -> u64 {
    let ring_bytes = receive_buffers * receive_buffer_bytes;
    let coalesces = ring_bytes > LONG_FRAME_BYTES + receive_buffer_bytes;
    let mut chosen = offered;
    if offered & CSUM == 0 {
        chosen &= !(HOST_TSO4 | HOST_TSO6);
    }
    if offered & GUEST_CSUM == 0 || offered & MRG_RXBUF == 0 || !coalesces {
        chosen &= !(GUEST_TSO4 | GUEST_TSO6);
    }
    chosen
}
