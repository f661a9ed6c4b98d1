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
        self.payload.resize(self.payload.len().max(end), 0);
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

    /// The numbers of section 3, and sums with one carry and with two.
    #[test]
    fn rfc_1071_carries_count() {
        for (header, expected) in [
            (&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7][..], 0x220d),
            (&[0xff, 0xff, 0, 2], 0xfffd),
            (&[0xff, 0xff, 0xff, 0xff, 0, 1], 0xfffe),
        ] {
            assert_eq!(checksum(header), expected, "{header:x?}");
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

    #[test]
    fn rfc_791_parts_belong_together_by_addresses_identification_and_protocol() {
        let (first, last) = (fragment_v4(1, 0..16, false), fragment_v4(1, 16..44, true));
        // The identification's both bytes, the protocol, and bytes of both addresses.
        for at in [18, 19, 23, 26, 29, 30, 33] {
            let mut other = last.clone();
            other[at] ^= 1;
            other[24..26].fill(0);
            let sum = checksum(&other[14..34]);
            other[24..26].copy_from_slice(&sum.to_be_bytes());
            let mut reassembly = Reassembly::default();
            reassembly.take(NOW, &first);
            assert_eq!(reassembly.take(NOW, &other), None, "{at}");
            assert_eq!(reassembly.packets.len(), 2, "{at}");
            assert!(reassembly.take(NOW, &last).is_some(), "{at}");
        }
        let (first, last) = (fragment_v6(0..24, false, false), fragment_v6(24..44, true, false));
        for at in [22, 37, 38, 53, 58, 59, 60, 61] {
            let mut other = last.clone();
            other[at] ^= 1;
            let mut reassembly = Reassembly::default();
            reassembly.take(NOW, &first);
            assert_eq!(reassembly.take(NOW, &other), None, "{at}");
            assert_eq!(reassembly.packets.len(), 2, "{at}");
            assert!(reassembly.take(NOW, &last).is_some(), "{at}");
        }
    }

    #[test]
    fn parts_that_lie_about_their_length_or_checksum_are_not_kept() {
        let mut reassembly = Reassembly::default();
        // No multiple of eight bytes, and none at all.
        for (range, is_last) in [(0..15, false), (0..17, false), (8..8, true), (8..8, false)] {
            assert_eq!(reassembly.take(NOW, &fragment_v4(1, range, is_last)), None);
        }
        // Each byte of the header, and bytes that are not there.
        for at in 14..34 {
            let mut damaged = fragment_v4(1, 8..16, false);
            damaged[at] ^= 0x20;
            assert_eq!(reassembly.take(NOW, &damaged), None);
        }
        for length in 0..fragment_v4(1, 8..16, false).len() {
            assert_eq!(reassembly.take(NOW, &fragment_v4(1, 8..16, false)[..length]), None);
        }
        assert_eq!(reassembly.packets.len(), 0);
        // A packet has 65,535 bytes at most, of which 20 are its header.
        assert_eq!(reassembly.take(NOW, &fragment_v4(1, 65_512..65_516, true)), None);
        assert_eq!(reassembly.packets.len(), 0);
        assert_eq!(reassembly.take(NOW, &fragment_v4(1, 65_512..65_515, true)), None);
        assert_eq!(reassembly.packets.len(), 1);
        assert_eq!(reassembly.take(NOW, &fragment_v4(1, 0..32_760, false)), None);
        let whole = reassembly.take(NOW, &fragment_v4(1, 32_760..65_512, false)).unwrap();
        assert_eq!((whole.len(), &whole[16..18]), (ETHERNET + 65_535, &[255, 255][..]));
        // With options there is no room for as much.
        assert_eq!(reassembly.take(NOW, &fragment_v4(2, 32_760..65_515, true)), None);
        let mut first = fragment_v4(2, 0..32_760, false);
        (first[14], first[24], first[25]) = (0x46, 0, 0);
        first.splice(34..34, [1; 4]);
        let len = (first.len() as u16 - 14).to_be_bytes();
        first[16..18].copy_from_slice(&len);
        let sum = checksum(&first[14..38]);
        first[24..26].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(reassembly.take(NOW, &first), None);
        assert_eq!(reassembly.packets.len(), 0);
    }

    #[test]
    fn rfc_8200_4_5_ends_that_contradict_each_other_make_no_packet() {
        // Two ends; a part behind the end; an end before parts; a part that overlaps at its front or back, or holds another.
        for parts in [
            [(16..24, true), (24..32, true)],
            [(16..24, true), (8..16, true)],
            [(16..24, true), (24..32, false)],
            [(16..24, true), (16..32, false)],
            [(24..32, false), (16..24, true)],
            [(16..32, false), (8..24, false)],
            [(16..32, false), (24..40, false)],
            [(16..32, false), (8..40, false)],
            [(16..32, false), (8..32, false)],
            [(16..32, false), (16..40, false)],
        ] {
            let mut reassembly = Reassembly::default();
            let [first, second] = parts.map(|(range, is_last)| fragment_v4(1, range, is_last));
            assert_eq!(reassembly.take(NOW, &first), None);
            assert_eq!(reassembly.packets.len(), 1);
            assert_eq!(reassembly.take(NOW, &second), None);
            assert_eq!(reassembly.packets.len(), 0, "{:?}", second);
        }
        // The same bytes again are no overlap, in whatever pieces; others are.
        for (range, byte, is_kept) in
            [(16..24, 0, true), (24..32, 0, true), (16..32, 0, true), (24..32, 1, false)]
        {
            let mut reassembly = Reassembly::default();
            reassembly.take(NOW, &fragment_v4(1, 16..32, false));
            let mut again = fragment_v4(1, range, false);
            *again.last_mut().unwrap() ^= byte;
            assert_eq!(reassembly.take(NOW, &again), None);
            assert_eq!(reassembly.packets.len(), usize::from(is_kept));
        }
    }

    #[test]
    fn holes_and_time_are_bounded_and_the_oldest_packet_goes_first() {
        let mut reassembly = Reassembly::default();
        for part in 0..64 {
            reassembly.take(NOW, &fragment_v4(1, 16 * part..16 * part + 8, false));
        }
        assert_eq!((reassembly.packets.len(), reassembly.packets[0].parts.len()), (1, 64));
        reassembly.take(NOW, &fragment_v4(1, 1_024..1_032, false));
        assert_eq!(reassembly.packets.len(), 0, "sixty-five parts that do not touch");
        // Half a minute, and not one that goes on.
        let at = |millis: u64| Duration::from_millis(1_000 + millis);
        for (last, is_whole) in [(29_999, true), (30_000, false)] {
            reassembly.take(at(0), &fragment_v4(1, 0..16, false));
            reassembly.take(at(20_000), &fragment_v4(1, 16..32, false));
            let whole = reassembly.take(at(last), &fragment_v4(1, 32..44, true));
            assert_eq!(whole.is_some(), is_whole);
        }
        let mut reassembly = Reassembly::default();
        for id in 0..17 {
            reassembly.take(NOW, &fragment_v4(id, 0..16, false));
        }
        assert_eq!(reassembly.take(NOW, &fragment_v4(0, 16..44, true)), None);
        // That was one more, for which the second had to go.
        assert_eq!(reassembly.take(NOW, &fragment_v4(1, 16..44, true)), None);
        assert!(reassembly.take(NOW, &fragment_v4(16, 16..44, true)).is_some());
        // 128 KiB are held at most, gaps included.
        let mut reassembly = Reassembly::default();
        for (id, end, is_kept) in
            [(1, 65_504, true), (2, 65_504, true), (3, 64, true), (4, 8, false)]
        {
            reassembly.take(NOW, &fragment_v4(id, end - 8..end, false));
            assert_eq!(
                reassembly.packets.iter().any(|packet| packet.key.1 >> 8 == id.into()),
                is_kept
            );
        }
        assert_eq!(reassembly.held_bytes(), 131_072);
    }

    #[test]
    fn rfc_8200_4_5_the_last_header_before_the_fragment_names_what_follows() {
        let mut reassembly = Reassembly::default();
        // Two headers with destination options, of eight and of sixteen bytes.
        let options =
            [60, 0, 1, 4, 0, 0, 0, 0, FRAGMENT, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let [first, last] = [(0..24, false), (24..44, true)].map(|(range, is_last)| {
            let mut frame = fragment_v6(range, is_last, false);
            frame[20] = 60;
            frame[19] += 24;
            frame.splice(54..54, options);
            frame
        });
        assert_eq!(reassembly.take(NOW, &last), None);
        let whole = reassembly.take(NOW, &first).unwrap();
        let (protocol, at) = extension::upper_layer(&whole[ETHERNET..]).unwrap();
        assert_eq!((protocol, at, &whole[ETHERNET + at..]), (17, 64, &expected()[..]));
        assert_eq!(whole[18..20], [0, 68]);
    }
}
