//! Multicast listener discovery, version 2 (RFC 3810): routers and switches learn which groups we listen to, the
//! solicited-node groups of our addresses.

use alloc::vec::Vec;
use core::net::Ipv6Addr;
use smoltcp::wire::{Icmpv6Message, Icmpv6Packet};

/// What a report says of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The answer to a query (RFC 3810 section 5.2.12: `MODE_IS_EXCLUDE` of no source).
    Listening = 2,
    /// We have begun to (`CHANGE_TO_EXCLUDE_MODE` of no source).
    Joining = 4,
}

/// Where reports go: all routers that know version 2.
pub(crate) const ALL_MLDV2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// Bytes of a report about no group.
pub(crate) const HEADER_BYTES: usize = 16;

/// A report, from the hop-by-hop options on (RFC 3810 section 5), about these groups.
pub(crate) fn report(
    source: Ipv6Addr,
    record: Record,
    groups: impl Iterator<Item = Ipv6Addr>,
) -> Vec<u8> {
    // A router alert (RFC 2711), padded.
    let mut packet = Vec::from([ICMPV6, 0, 5, 2, 0, 0, 1, 0]);
    packet.extend([REPORT, 0, 0, 0, 0, 0, 0, 0]);
    let mut count: u8 = 0;
    for group in groups {
        packet.extend([record as u8, 0, 0, 0]);
        packet.extend(group.octets());
        count += 1;
    }
    packet[15] = count;
    let mut message = Icmpv6Packet::new_unchecked(&mut packet[8..]);
    message.fill_checksum(&source, &ALL_MLDV2_ROUTERS);
    packet
}

/// Whether a frame asks which groups we listen to (RFC 3810 section 5.1, RFC 2710 section 3), in the shape that all
/// routers send: behind a router alert.
pub(crate) fn is_query(frame: &[u8]) -> bool {
    let Some((ip, body)) = frame.get(14..).and_then(|packet| packet.split_first_chunk::<40>())
    else {
        return false;
    };
    let [source, target] = [8, 24].map(|at| {
        let octets: [u8; 16] = ip[at..at + 16].try_into().unwrap_or_default();
        Ipv6Addr::from(octets)
    });
    let is_ours = frame[12..14] == [0x86, 0xdd]
        && ip[6] == 0
        && ip[7] == 1
        && source.is_unicast_link_local()
        && body.first_chunk::<2>() == Some(&[ICMPV6, 0]);
    let Some(message) = body.get(8..).filter(|_| is_ours) else { return false };
    Icmpv6Packet::new_checked(message).is_ok_and(|message| {
        message.msg_type() == Icmpv6Message::MldQuery && message.verify_checksum(&source, &target)
    })
}

const ICMPV6: u8 = 58;
const REPORT: u8 = 143;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3810_5_2_a_report_about_two_groups() {
        let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        let groups = [1, 2].map(|n| Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, n));
        let packet = report(source, Record::Joining, groups.into_iter());
        assert_eq!(packet[..8], [58, 0, 5, 2, 0, 0, 1, 0]);
        assert_eq!((packet[8], packet[15], packet[16]), (143, 2, 4));
        assert_eq!((packet.len(), &packet[20..36]), (56, &groups[0].octets()[..]));
        let message = Icmpv6Packet::new_unchecked(&packet[8..]);
        assert!(message.verify_checksum(&source, &ALL_MLDV2_ROUTERS));
    }

    fn query() -> Vec<u8> {
        let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
        let target = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let mut frame = std::vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 36, 0, 1]);
        frame.extend([source.octets(), target.octets()].concat());
        frame.extend([58, 0, 5, 2, 0, 0, 1, 0, 130, 0, 0, 0, 39, 16, 0, 0]);
        frame.extend([0; 20]);
        Icmpv6Packet::new_unchecked(&mut frame[62..]).fill_checksum(&source, &target);
        frame
    }

    #[test]
    fn rfc_3810_6_2_a_query_is_known_by_its_hop_limit_source_and_checksum() {
        assert!(is_query(&query()));
        for at in [12, 20, 21, 22, 54, 62, 70] {
            let mut frame = query();
            frame[at] ^= 0x10;
            assert!(!is_query(&frame), "{at}");
        }
        for length in 0..query().len() {
            let _ = is_query(&query()[..length]);
        }
    }

    #[test]
    fn rfc_3810_5_1_what_is_no_query_of_a_router_on_the_link_is_not_one() {
        let sealed = |at: usize, value: u8| {
            let mut frame = query();
            frame[at] = value;
            let [source, target] = [22, 38].map(|at| {
                let octets: [u8; 16] = frame[at..at + 16].try_into().unwrap();
                Ipv6Addr::from(octets)
            });
            Icmpv6Packet::new_unchecked(&mut frame[62..]).fill_checksum(&source, &target);
            frame
        };
        // The source's first byte and its second, the maximum response delay, and the last of all.
        for (at, value, expected) in [
            (22, 0xfe, true),
            (22, 0xfd, false),
            (23, 0xbf, true),
            (23, 0xc0, false),
            (66, 1, true),
            (89, 1, true),
            (62, 131, false),
            (62, 128, false),
            (54, 6, false),
            (55, 1, false),
            (21, 2, false),
            (20, 60, false),
            (13, 0xde, false),
        ] {
            assert_eq!(is_query(&sealed(at, value)), expected, "{at} {value}");
        }
        assert!(!is_query(&[]));
    }
}
