//! IPv6 extension headers (RFC 8200 section 4): the way through them to what the packet carries.

use crate::wire::IPV6;

/// The protocol that an IPv6 packet carries, and where its header begins; a packet that is not whole carries
/// [`FRAGMENT`]. `None` for one that is to be dropped: cut short, with a route that goes on, or with an option that
/// is unknown and not to be skipped.
pub(crate) fn upper_layer(packet: &[u8]) -> Option<(u8, usize)> {
    let (mut kind, mut at) = (*packet.get(6)?, IPV6);
    while at <= IPV6 + EXTENSIONS_BYTES_MAX {
        let header = packet.get(at..).unwrap_or_default();
        let len = match kind {
            HOP_BY_HOP if at == IPV6 => options_len(header)?,
            DESTINATION_OPTIONS => options_len(header)?,
            // RFC 8200 section 4.4: a type that is not known is ignored when no segment is left.
            ROUTING if *header.get(3)? == 0 => header_len(header)?,
            // RFC 6946: a packet in one fragment is whole.
            FRAGMENT if u16::from_be_bytes([*header.get(2)?, *header.get(3)?]) & 0xfff9 == 0 => 8,
            HOP_BY_HOP | ROUTING => return None,
            _ => return Some((kind, at)),
        };
        kind = *header.first()?;
        at += len;
    }
    None
}

pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const FRAGMENT: u8 = 44;
const ROUTING: u8 = 43;
const DESTINATION_OPTIONS: u8 = 60;
/// RFC 8504 section 5.3: a host may limit what it walks through. RFC 8200 section 4.1 has each header once, and destination
/// options twice, but wants any order and number accepted.
const EXTENSIONS_BYTES_MAX: usize = 256;

fn header_len(header: &[u8]) -> Option<usize> {
    let len = (usize::from(*header.get(1)?) + 1) * 8;
    (len <= header.len()).then_some(len)
}

/// The length of a header with options, if all of them may be skipped (RFC 8200 section 4.2).
fn options_len(header: &[u8]) -> Option<usize> {
    let len = header_len(header)?;
    let mut options = header.get(2..len)?;
    while let [kind, rest @ ..] = options {
        if kind >> 6 != 0 {
            return None;
        }
        options = match (kind, rest) {
            (0, rest) => rest,
            (_, [len, rest @ ..]) => rest.get(usize::from(*len)..)?,
            (_, []) => return None,
        };
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = std::vec![0x60, 0, 0, 0, 0, rest.len() as u8, first, 64];
        packet.resize(IPV6, 0);
        packet.extend(rest);
        packet
    }

    #[test]
    fn rfc_8200_4_1_headers_are_walked_through() {
        let hop = [60, 0, 1, 4, 0, 0, 0, 0];
        let destination = [43, 0, 5, 2, 0, 0, 0, 0];
        let routing = [44, 0, 4, 0, 0, 0, 0, 0];
        let fragment = [6, 0, 0, 0, 0, 0, 0, 9];
        let all = [hop, destination, routing, fragment].concat();
        assert_eq!(upper_layer(&packet(HOP_BY_HOP, &all)), Some((6, 72)));
        assert_eq!(upper_layer(&packet(6, &[])), Some((6, 40)));
    }

    #[test]
    fn rfc_8200_4_2_what_may_not_be_skipped_is_dropped() {
        let odd = |kind: u8| packet(HOP_BY_HOP, &[6, 0, kind, 4, 0, 0, 0, 0]);
        assert_eq!(upper_layer(&odd(0x3e)), Some((6, 48)));
        for kind in [0x7e, 0xbe, 0xfe] {
            assert_eq!(upper_layer(&odd(kind)), None);
        }
        assert_eq!(upper_layer(&packet(ROUTING, &[6, 0, 4, 1, 0, 0, 0, 0])), None);
        // Hop-by-hop options come first or not at all.
        let late = [[0, 0, 1, 4, 0, 0, 0, 0], [6, 0, 1, 4, 0, 0, 0, 0]].concat();
        assert_eq!(upper_layer(&packet(DESTINATION_OPTIONS, &late)), None);
    }

    #[test]
    fn rfc_8504_5_3_headers_are_limited_by_their_bytes() {
        let headers = |count: usize| {
            let last = [6, 0, 1, 4, 0, 0, 0, 0];
            [[60, 0, 1, 4, 0, 0, 0, 0].repeat(count - 1), last.to_vec()].concat()
        };
        for count in [1, 6, 32] {
            let packet = packet(DESTINATION_OPTIONS, &headers(count));
            assert_eq!(upper_layer(&packet), Some((6, IPV6 + 8 * count)));
        }
        assert_eq!(upper_layer(&packet(DESTINATION_OPTIONS, &headers(33))), None);
    }

    #[test]
    fn rfc_6946_a_single_fragment_is_a_packet_others_are_not() {
        for part in [[6, 0, 0, 1, 0, 0, 0, 9], [6, 0, 0, 8, 0, 0, 0, 9]] {
            assert_eq!(upper_layer(&packet(FRAGMENT, &part)), Some((FRAGMENT, 40)));
        }
    }

    #[test]
    fn packets_cut_anywhere_and_with_any_wrong_byte_are_survived() {
        let whole =
            packet(HOP_BY_HOP, &[[60, 0, 1, 4, 0, 0, 0, 0], [6, 0, 1, 4, 0, 0, 0, 0]].concat());
        for at in 0..whole.len() {
            let _ = upper_layer(&whole[..at]);
            for value in 0..=255 {
                let mut packet = whole.clone();
                packet[at] = value;
                let _ = upper_layer(&packet);
            }
        }
    }

    #[test]
    fn rfc_8200_4_2_lengths_of_headers_and_options_count_to_the_byte() {
        let options = |rest: &[u8]| upper_layer(&packet(DESTINATION_OPTIONS, rest));
        for (rest, expected) in [
            // Padding of one byte each, of none, and up to the end; a header of sixteen bytes.
            (&[6, 0, 0, 0, 0, 0, 0, 0][..], Some((6, 48))),
            (&[6, 0, 1, 0, 1, 0, 1, 0], Some((6, 48))),
            (&[6, 0, 0, 0, 0, 0, 1, 0], Some((6, 48))),
            (&[6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Some((6, 56))),
            // One byte more than there are, without a length, and a header that is not whole.
            (&[6, 0, 1, 5, 0, 0, 0, 0], None),
            (&[6, 0, 1, 3, 0, 0, 0, 1], None),
            (&[6, 1, 1, 4, 0, 0, 0, 0], None),
            (&[6, 0, 1, 4, 0, 0, 0], None),
            (&[], None),
        ] {
            assert_eq!(options(rest), expected, "{rest:?}");
        }
        let routing = |rest: &[u8]| upper_layer(&packet(ROUTING, rest));
        assert_eq!(routing(&[6, 1, 4, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]), Some((6, 56)));
        assert_eq!(routing(&[6, 1, 4, 0, 9, 9, 9, 9]), None);
        // RFC 6946, with reserved bits that are to be ignored.
        assert_eq!(upper_layer(&packet(FRAGMENT, &[6, 9, 0, 6, 0, 0, 0, 9])), Some((6, 48)));
        for part in [[6, 0, 1, 0, 0, 0, 0, 9], [6, 0, 0x80, 0, 0, 0, 0, 9]] {
            assert_eq!(upper_layer(&packet(FRAGMENT, &part)), Some((FRAGMENT, 40)));
        }
    }
}
