//! Reassembly of fragments, within a bound (RFC 791 section 3.2, RFC 8200 section 4.5).

use crate::wire::extension::{self, FRAGMENT};
use crate::wire::{ETHERNET, IPV4, IPV6};
use alloc::vec::Vec;
use core::time::Duration;

/// Packets of which parts are here.
#[derive(Default)]
pub(crate) struct Reassembly {
    /// The oldest first.
    packets: Vec<Partial>,
}

/// A packet in parts.
struct Partial {
    key: Key,
    until: Duration,
    /// What is before the payload in the first fragment, as a whole packet would have it.
    head: Vec<u8>,
    payload: Vec<u8>,
    /// From where to where, in order; they do not touch or overlap.
    parts: Vec<(usize, usize)>,
    /// Known once the last fragment is here.
    total: Option<usize>,
}

/// Addresses, identification and, for IPv4, protocol.
type Key = ([u8; 32], u32);

/// A fragment, and where it belongs.
struct Part<'a> {
    key: Key,
    head: Vec<u8>,
    offset: usize,
    is_last: bool,
    payload: &'a [u8],
}

impl Reassembly {
    /// Takes a frame with a fragment; the frame of the whole packet, if this was the last part that was missing.
    pub(crate) fn take(&mut self, now: Duration, frame: &[u8]) -> Option<Vec<u8>> {
        self.packets.retain(|packet| now < packet.until);
        let part = Part::parse(frame)?;
        let end = part.offset + part.payload.len();
        let is_sound = !part.payload.is_empty()
            && end <= PAYLOAD_MAX
            && (part.is_last || part.payload.len().is_multiple_of(8));
        if !is_sound {
            return None;
        }
        let known = self.packets.iter().position(|packet| packet.key == part.key);
        let index = known.unwrap_or_else(|| self.begin(now, part.key));
        let (held, longest) = (self.held_bytes(), self.packets.get(index)?.payload.len());
        if held + end.saturating_sub(longest) > HELD_BYTES_MAX {
            self.packets.remove(index);
            return None;
        }
        match self.packets.get_mut(index)?.add(part) {
            Some(true) => self.packets.remove(index).whole(),
            Some(false) => None,
            // RFC 5722, RFC 8200 section 4.5: parts that overlap are somebody's trick; nothing of it is kept.
            None => {
                self.packets.remove(index);
                None
            }
        }
    }

    fn begin(&mut self, now: Duration, key: Key) -> usize {
        if self.packets.len() >= PACKETS_MAX {
            self.packets.remove(0);
        }
        self.packets.push(Partial {
            key,
            until: now + LASTS,
            head: Vec::new(),
            payload: Vec::new(),
            parts: Vec::new(),
            total: None,
        });
        self.packets.len() - 1
    }

    fn held_bytes(&self) -> usize {
        self.packets.iter().map(|packet| packet.payload.len()).sum()
    }
}

/// Packets at once; of more, the oldest is forgotten.
const PACKETS_MAX: usize = 16;
/// Bytes of all of them.
const HELD_BYTES_MAX: usize = 128 << 10;
/// Of one: what an IPv4 packet has room for.
const PAYLOAD_MAX: usize = 65_535 - IPV4;
/// Parts that do not touch each other, of one.
const PARTS_MAX: usize = 64;
/// As Linux has it for IPv4; RFC 8200 section 4.5 allows 60 s, RFC 791 suggests 15 s.
const LASTS: Duration = Duration::from_secs(30);

impl Partial {
    /// Adds a part; whether all are here, or nothing if it does not fit to the others.
    fn add(&mut self, part: Part<'_>) -> Option<bool> {
        let (start, end) = (part.offset, part.offset + part.payload.len());
        if part.is_last && self.total.replace(end).is_some_and(|total| total != end) {
            return None;
        }
        if self.total.is_some_and(|total| end > total || self.payload.len() > total) {
            return None;
        }
        let at = self.parts.partition_point(|(_, known)| *known <= start);
        if let Some(known) = self.parts.get(at)
            && known.0 < end
        {
            // The same again is no overlap.
            let is_known = known.0 <= start && end <= known.1;
            let is_same = self.payload.get(start..end) == Some(part.payload);
            return (is_known && is_same).then_some(false);
        }
        if self.payload.len() < end {
            self.payload.resize(end, 0);
        }
        self.payload.get_mut(start..end)?.copy_from_slice(part.payload);
        if start == 0 {
            self.head = part.head;
        }
        self.parts.insert(at, (start, end));
        self.parts.dedup_by(|later, earlier| {
            let touches = earlier.1 == later.0;
            if touches {
                earlier.1 = later.1;
            }
            touches
        });
        if self.parts.len() > PARTS_MAX {
            return None;
        }
        Some(self.total.is_some_and(|total| self.parts == [(0, total)]))
    }

    /// The frame, with the lengths of the whole.
    fn whole(self) -> Option<Vec<u8>> {
        let mut frame = self.head;
        frame.extend_from_slice(&self.payload);
        let ip_len = frame.len() - ETHERNET;
        let ip = frame.get_mut(ETHERNET..)?;
        if ip.first()? >> 4 == 4 {
            let header_len = usize::from(ip.first()? & 15) * 4;
            ip.get_mut(2..4)?.copy_from_slice(&u16::try_from(ip_len).ok()?.to_be_bytes());
            ip.get_mut(6..8)?.fill(0);
            ip.get_mut(10..12)?.fill(0);
            let sum = checksum(ip.get(..header_len)?);
            ip.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
        } else {
            let len = u16::try_from(ip_len.checked_sub(IPV6)?).ok()?;
            ip.get_mut(4..6)?.copy_from_slice(&len.to_be_bytes());
        }
        Some(frame)
    }
}

impl<'a> Part<'a> {
    fn parse(frame: &'a [u8]) -> Option<Self> {
        let (ethernet, packet) = frame.split_at_checked(ETHERNET)?;
        match packet.first()? >> 4 {
            4 => Self::parse_v4(ethernet, packet),
            _ => Self::parse_v6(ethernet, packet),
        }
    }

    fn parse_v4(ethernet: &[u8], packet: &'a [u8]) -> Option<Self> {
        let ip = packet.first_chunk::<IPV4>()?;
        let header_len = usize::from(ip[0] & 15) * 4;
        let total_len = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let header = packet.get(..header_len).filter(|header| header.len() >= IPV4)?;
        if checksum(header) != 0 {
            return None;
        }
        let offset = u16::from_be_bytes([ip[6], ip[7]]);
        let mut addresses = [0; 32];
        addresses[..8].copy_from_slice(&ip[12..20]);
        let id = u32::from(u16::from_be_bytes([ip[4], ip[5]])) << 8 | u32::from(ip[9]);
        Some(Self {
            key: (addresses, id),
            head: [ethernet, header].concat(),
            offset: usize::from(offset & 0x1fff) * 8,
            is_last: offset & 0x2000 == 0,
            payload: packet.get(header_len..total_len)?,
        })
    }

    fn parse_v6(ethernet: &[u8], packet: &'a [u8]) -> Option<Self> {
        let (kind, at) = extension::upper_layer(packet)?;
        let end = IPV6 + usize::from(u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]));
        let (header, payload) = packet.get(at..end)?.split_first_chunk::<8>()?;
        let offset = u16::from_be_bytes([header[2], header[3]]);
        let mut head = [ethernet, packet.get(..at)?].concat();
        // What was before the fragment header names what is behind it now.
        let names = if at == IPV6 { ETHERNET + 6 } else { last_header(packet, at)? + ETHERNET };
        *head.get_mut(names)? = header[0];
        (kind == FRAGMENT).then_some(Self {
            key: (
                packet.get(8..40)?.try_into().ok()?,
                u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ),
            head,
            offset: usize::from(offset & 0xfff8),
            is_last: offset & 1 == 0,
            payload,
        })
    }
}

/// Where the extension header begins that ends at `end`.
fn last_header(packet: &[u8], end: usize) -> Option<usize> {
    let mut at = IPV6;
    loop {
        let next = at + (usize::from(*packet.get(at + 1)?) + 1) * 8;
        if next >= end {
            return (next == end).then_some(at);
        }
        at = next;
    }
}

/// RFC 1071.
fn checksum(header: &[u8]) -> u16 {
    let words = header.as_chunks::<2>().0.iter();
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let sum = (sum >> 16) + (sum & 0xffff);
    !((sum >> 16) + (sum & 0xffff)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn fragment_v4(id: u8, range: core::ops::Range<usize>, is_last: bool) -> Vec<u8> {
        let mut frame = std::vec![0; ETHERNET];
        let [high, low] = (20 + range.len() as u16).to_be_bytes();
        let [a, b] = ((range.start / 8) as u16 | if is_last { 0 } else { 0x2000 }).to_be_bytes();
        let mut ip =
            std::vec![0x45, 0, high, low, 0, id, a, b, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(ip);
        frame.extend(range.map(|byte| byte as u8));
        frame
    }

    fn fragment_v6(range: core::ops::Range<usize>, is_last: bool, behind_options: bool) -> Vec<u8> {
        let mut frame = std::vec![0; ETHERNET];
        let more = if behind_options { 8 } else { 0 };
        let first = if behind_options { 60 } else { FRAGMENT };
        frame.extend([0x60, 0, 0, 0, 0, (8 + more + range.len()) as u8, first, 64]);
        frame.extend([9; 32]);
        if behind_options {
            frame.extend([FRAGMENT, 0, 1, 4, 0, 0, 0, 0]);
        }
        let [a, b] = (range.start as u16 | u16::from(!is_last)).to_be_bytes();
        frame.extend([17, 0, a, b, 0, 0, 0, 5]);
        frame.extend(range.map(|byte| byte as u8));
        frame
    }

    fn expected() -> Vec<u8> {
        (0..44).collect()
    }

    #[test]
    fn rfc_791_parts_in_any_order_make_the_packet() {
        let parts = [
            fragment_v4(1, 0..16, false),
            fragment_v4(1, 16..32, false),
            fragment_v4(1, 32..44, true),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
            let mut reassembly = Reassembly::default();
            let whole: Vec<_> =
                order.iter().filter_map(|part| reassembly.take(NOW, &parts[*part])).collect();
            let [whole] = &whole[..] else { panic!("{order:?}") };
            let ip = &whole[ETHERNET..];
            assert_eq!(
                (&ip[20..], &ip[2..4], &ip[6..8]),
                (&expected()[..], &[0, 64][..], &[0, 0][..])
            );
            assert_eq!(checksum(&ip[..20]), 0);
            assert!(reassembly.packets.is_empty());
        }
    }

    #[test]
    fn rfc_8200_4_5_the_fragment_header_is_gone_afterwards() {
        for behind_options in [false, true] {
            let mut reassembly = Reassembly::default();
            assert_eq!(reassembly.take(NOW, &fragment_v6(24..44, true, behind_options)), None);
            let whole = reassembly.take(NOW, &fragment_v6(0..24, false, behind_options)).unwrap();
            let (protocol, at) = extension::upper_layer(&whole[ETHERNET..]).unwrap();
            assert_eq!((protocol, &whole[ETHERNET + at..]), (17, &expected()[..]));
            assert_eq!(usize::from(whole[ETHERNET + 5]), whole.len() - ETHERNET - IPV6);
        }
    }

    #[test]
    fn rfc_5722_what_overlaps_is_forgotten_and_what_comes_twice_is_not() {
        let mut reassembly = Reassembly::default();
        reassembly.take(NOW, &fragment_v4(1, 0..16, false));
        assert_eq!(reassembly.take(NOW, &fragment_v4(1, 0..16, false)), None);
        assert!(reassembly.take(NOW, &fragment_v4(1, 16..44, true)).is_some());
        reassembly.take(NOW, &fragment_v4(2, 0..16, false));
        reassembly.take(NOW, &fragment_v4(2, 8..24, false));
        assert!(reassembly.packets.is_empty());
        assert_eq!(reassembly.take(NOW, &fragment_v4(2, 16..44, true)), None);
    }

    #[test]
    fn what_is_held_is_bounded_in_number_bytes_and_time() {
        let mut reassembly = Reassembly::default();
        for id in 0..200 {
            reassembly.take(NOW, &fragment_v4(id, 8..16, false));
        }
        assert_eq!(reassembly.packets.len(), 16);
        let mut most = 0;
        for id in 0..200 {
            reassembly.take(NOW, &fragment_v4(id, 65_000..65_016, false));
            most = most.max(reassembly.held_bytes());
        }
        // Two of them, and no third.
        assert!((130_032..=131_072).contains(&most), "{most} bytes");
        reassembly.take(LASTS * 2, &fragment_v4(9, 8..16, false));
        assert_eq!(reassembly.packets.len(), 1);
        assert_eq!(reassembly.take(NOW, &fragment_v4(7, 65_528..65_544, true)), None);
        assert_eq!(reassembly.packets.len(), 1, "longer than a packet");
    }

    #[test]
    fn fragments_cut_anywhere_and_with_any_wrong_byte_are_survived() {
        let mut reassembly = Reassembly::default();
        for whole in [fragment_v4(1, 0..16, false), fragment_v6(8..24, true, true)] {
            for at in 0..whole.len() {
                reassembly.take(NOW, &whole[..at]);
                for value in 0..=255 {
                    let mut frame = whole.clone();
                    frame[at] = value;
                    reassembly.take(NOW, &frame);
                }
            }
        }
    }
}
