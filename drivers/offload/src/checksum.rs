//! Checksums of TCP and UDP inside Ethernet frames (RFC 1071), as far as the device leaves them to
//! us.
//!
//! Sums are over pairs in memory order: the sum of swapped pairs is the swapped sum (RFC 1071,
//! section 2, B), so nothing is swapped on the way.

use crate::ETHERNET_BYTES;
use core::ops::Range;

/// A TCP or UDP packet in a frame, not a fragment.
#[derive(Clone, Copy, Debug)]
pub struct Transport {
    /// Where its header starts in the frame.
    pub start: usize,
    /// Where it ends.
    end: usize,
    /// TCP; UDP if not.
    pub is_tcp: bool,
    /// The frame's IP version is 6.
    pub is_ipv6: bool,
    /// The sum over its pseudo header, not folded.
    pseudo_header: u64,
}

impl Transport {
    /// Finds it; `None` when the frame holds something else or is cut short.
    #[inline(always)] // On the way of each frame sent, where its result stays in registers.
    pub fn find(frame: &[u8]) -> Option<Self> {
        Self::find_at_start(frame, frame.len())
    }

    /// The same for a frame of that many bytes which starts like this.
    #[inline(always)]
    pub fn find_at_start(start: &[u8], frame_bytes: usize) -> Option<Self> {
        let head: &[u8; 34] = start.first_chunk()?;
        match [head[12], head[13]] {
            [0x08, 0x00] => Self::find_ipv4(head, frame_bytes),
            [0x86, 0xdd] => Self::find_ipv6(start.first_chunk()?, frame_bytes),
            _ => None,
        }
    }

    /// Where the checksum is in the packet.
    pub fn checksum_offset(&self) -> usize {
        if self.is_tcp { 16 } else { 6 }
    }

    /// The sum over the pseudo header (RFC 9293, section 3.1) as it goes into the frame: what a
    /// device that completes checksums wants to find in their place.
    pub fn pseudo_header_sum(&self) -> [u8; 2] {
        fold(self.pseudo_header).to_ne_bytes()
    }

    /// Whether its checksum is right, or is left out as UDP may over IPv4.
    pub fn is_intact(&self, frame: &[u8]) -> bool {
        let packet = &frame[self.start..self.end];
        let at = self.checksum_offset();
        let left_out = !self.is_tcp && !self.is_ipv6 && packet[at..at + 2] == [0, 0];
        left_out || fold(self.pseudo_header + sum(packet)) == 0xffff
    }

    #[inline(always)]
    fn find_ipv4(head: &[u8; 34], frame_bytes: usize) -> Option<Self> {
        let is_fragment = (head[20] & 0x3f) | head[21] != 0;
        if is_fragment {
            return None;
        }
        let header_bytes = usize::from(head[14] & 0xf) * 4;
        let total = usize::from(u16::from_be_bytes([head[16], head[17]]));
        let start = ETHERNET_BYTES + header_bytes.max(20);
        let end = ETHERNET_BYTES + total;
        Self::new(frame_bytes, start..end, head[23], sum(&head[26..34]), false)
    }

    fn find_ipv6(head: &[u8; 54], frame_bytes: usize) -> Option<Self> {
        let start = ETHERNET_BYTES + 40;
        let payload = usize::from(u16::from_be_bytes([head[18], head[19]]));
        Self::new(frame_bytes, start..start + payload, head[20], sum(&head[22..54]), true)
    }

    #[inline(always)]
    fn new(
        frame_bytes: usize,
        Range { start, end }: Range<usize>,
        protocol: u8,
        addresses: u64,
        is_ipv6: bool,
    ) -> Option<Self> {
        let (is_tcp, header_bytes) = match protocol {
            TCP => (true, 20),
            UDP => (false, 8),
            _ => return None,
        };
        if start + header_bytes > end || end > frame_bytes {
            return None;
        }
        // At most 16 bits, since IP's own length is.
        let bytes = (end - start) as u16;
        let pseudo_header =
            addresses + u64::from(u16::from(protocol).to_be()) + u64::from(bytes.to_be());
        Some(Self { start, end, is_tcp, is_ipv6, pseudo_header })
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The ones' complement sum of pairs, not folded. Frames are too short to overflow it.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let total: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    total + u64::from(u32::from_ne_bytes(last))
}

fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TCP packet from 10.0.0.1 to 10.0.0.2 with three bytes of payload, and a right checksum.
    const FRAME: [u8; 57] = {
        let mut frame = [0; 57];
        (frame[12], frame[14], frame[17], frame[23]) = (8, 0x45, 43, TCP);
        (frame[26], frame[29], frame[30], frame[33]) = (10, 1, 10, 2);
        (frame[46], frame[54], frame[55], frame[56]) = (5 << 4, b'a', b'b', b'c');
        // RFC 9293, section 3.1: the complement of 0x0a00 + 1 + 0x0a00 + 2 + 6 + 23 + 0x5000 +
        // 0x6162 + 0x6300.
        (frame[50], frame[51]) = (0xd7, 0x7c);
        frame
    };

    #[test]
    fn a_right_checksum_is_intact_and_any_other_is_not() {
        let transport = Transport::find(&FRAME).unwrap();
        assert_eq!((transport.start, transport.is_tcp, transport.is_ipv6), (34, true, false));
        assert!(transport.is_intact(&FRAME));
        for at in (26..FRAME.len()).filter(|&at| at != 46) {
            let mut frame = FRAME;
            frame[at] ^= 1;
            let intact = Transport::find(&frame).is_some_and(|found| found.is_intact(&frame));
            assert!(!intact, "byte {at}");
        }
    }

    #[test]
    fn what_a_card_completes_is_the_pseudo_header() {
        let sum = Transport::find(&FRAME).unwrap().pseudo_header_sum();
        assert_eq!(sum, (0x0a00_u16 + 1 + 0x0a00 + 2 + 6 + 23).to_be_bytes());
    }

    #[test]
    fn a_frame_that_is_cut_short_or_a_fragment_has_no_transport() {
        for length in 0..FRAME.len() {
            assert!(Transport::find(&FRAME[..length]).is_none(), "{length} bytes");
        }
        let mut fragment = FRAME;
        fragment[20] = 0x20;
        assert!(Transport::find(&fragment).is_none());
    }
}
