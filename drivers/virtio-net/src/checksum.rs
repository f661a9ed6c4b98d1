//! Checksums of TCP and UDP inside Ethernet frames (RFC 1071), as far as the device leaves them to
//! us.

use crate::ETHERNET_BYTES;

/// A TCP or UDP packet in a frame, not a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transport {
    /// Where its header starts in the frame.
    pub(crate) start: usize,
    /// Where it ends.
    pub(crate) end: usize,
    pub(crate) is_tcp: bool,
    pub(crate) is_ipv6: bool,
}

impl Transport {
    /// Finds it; `None` when the frame holds something else or is cut short.
    pub(crate) fn find(frame: &[u8]) -> Option<Self> {
        match frame.get(12..ETHERNET_BYTES)? {
            [0x08, 0x00] => Self::find_ipv4(frame),
            [0x86, 0xdd] => Self::find_ipv6(frame),
            _ => None,
        }
    }

    /// Where the checksum is in the packet.
    pub(crate) fn checksum_offset(self) -> usize {
        if self.is_tcp { 16 } else { 6 }
    }

    /// The sum over the pseudo header (RFC 9293, section 3.1), folded: what a device that
    /// completes checksums wants to find in their place.
    pub(crate) fn pseudo_header_sum(self, frame: &[u8]) -> u16 {
        fold(self.pseudo_header(frame))
    }

    /// Whether its checksum is right, or is left out as UDP may over IPv4.
    pub(crate) fn is_intact(self, frame: &[u8]) -> bool {
        let packet = &frame[self.start..self.end];
        let at = self.checksum_offset();
        let left_out = !self.is_tcp && !self.is_ipv6 && packet[at..at + 2] == [0, 0];
        left_out || fold(self.pseudo_header(frame) + sum(packet)) == 0xffff
    }

    fn pseudo_header(self, frame: &[u8]) -> u64 {
        let addresses = if self.is_ipv6 { &frame[22..54] } else { &frame[26..34] };
        let protocol = if self.is_tcp { TCP } else { UDP };
        sum(addresses) + u64::from(protocol) + (self.end - self.start) as u64
    }

    fn find_ipv4(frame: &[u8]) -> Option<Self> {
        let header: &[u8; 20] = frame.get(ETHERNET_BYTES..)?.first_chunk()?;
        let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
        if is_fragment {
            return None;
        }
        let header_bytes = usize::from(header[0] & 0xf) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let end = ETHERNET_BYTES + total;
        Self::new(frame, ETHERNET_BYTES + header_bytes.max(20), end, header[9], false)
    }

    fn find_ipv6(frame: &[u8]) -> Option<Self> {
        let header: &[u8; 40] = frame.get(ETHERNET_BYTES..)?.first_chunk()?;
        let start = ETHERNET_BYTES + 40;
        let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
        Self::new(frame, start, start + payload, header[6], true)
    }

    fn new(frame: &[u8], start: usize, end: usize, protocol: u8, is_ipv6: bool) -> Option<Self> {
        let (is_tcp, header_bytes) = match protocol {
            TCP => (true, 20),
            UDP => (false, 8),
            _ => return None,
        };
        let whole = start + header_bytes <= end && end <= frame.len();
        whole.then_some(Self { start, end, is_tcp, is_ipv6 })
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The ones' complement sum of big-endian pairs, not folded. Frames are too short to overflow it.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let total: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    total + u64::from(u32::from_be_bytes(last))
}

fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}
