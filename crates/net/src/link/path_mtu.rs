//! Path MTU discovery (RFC 1191, RFC 8201): a router's message that a packet was too long for the next
//! link, and what is remembered of paths. Whether a message is believed is the TCP engine's to say
//! ([`handle_path_mss`](::tcp::Connection::handle_path_mss)).

use crate::link::icmp_error::IcmpError;
use crate::time::{Duration, Instant};
use crate::wire::tuple::Tuple;
use alloc::collections::BTreeMap;
use core::net::IpAddr;

/// What a router said of one of our segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketTooBig {
    pub(crate) tuple: Tuple,
    pub(crate) seq: u32,
    /// Bytes of the longest packet that passes.
    pub(crate) mtu: usize,
    /// The router said even less, which is not believed: packets are sent so that it can cut them.
    pub(crate) is_absurd: bool,
}

/// The longest packets that the paths to destinations take, as far as they are less than our link's: learned
/// from routers, or by finding a black hole.
#[derive(Default)]
pub(crate) struct PathMtus(BTreeMap<IpAddr, (u16, Instant)>);

impl PathMtus {
    /// The longest packet to `destination`, in bytes, if it is known.
    pub(crate) fn get(&self, destination: IpAddr, now: Instant) -> Option<usize> {
        let (mtu, until) = self.0.get(&destination)?;
        (now < *until).then_some(usize::from(*mtu))
    }

    pub(crate) fn insert(&mut self, destination: IpAddr, mtu: usize, now: Instant) {
        if self.0.len() >= PATHS_MAX && !self.0.contains_key(&destination) {
            self.0.retain(|_, (_, until)| now < *until);
            let first = self.0.iter().min_by_key(|(_, (_, until))| *until).map(|(path, _)| *path);
            if let Some(first) = first.filter(|_| self.0.len() >= PATHS_MAX) {
                self.0.remove(&first);
            }
        }
        self.0.insert(destination, (mtu.min(0xffff) as u16, now + PATH_LASTS));
    }
}

/// Destinations remembered; the one that was learned first is forgotten first.
const PATHS_MAX: usize = 256;
/// RFC 1191 section 6.3, RFC 8201 section 4: after ten minutes the path may have become better.
const PATH_LASTS: Duration = Duration::from_secs(600);

/// Below that, no link is believed to be: it would be a way to make us send headers only. For IPv4 as
/// Linux has it; RFC 8200 section 5.
const IPV4_MTU_MIN: usize = 552;
const IPV6_MTU_MIN: usize = 1280;
/// RFC 1191 section 3: routers from before it say 0.
const IPV4_MTU_UNKNOWN: usize = 576;

/// What an error says of the path, if it does.
pub(crate) fn packet_too_big(error: &IcmpError) -> Option<PacketTooBig> {
    const UNREACHABLE_FRAGMENTATION_NEEDED: (u8, u8) = (3, 4);
    const ICMPV6_PACKET_TOO_BIG: u8 = 2;
    let IcmpError { tuple, seq, kind, code, rest } = *error;
    if !tuple.is_v4() {
        let mtu = (rest as usize).max(IPV6_MTU_MIN);
        return (kind == ICMPV6_PACKET_TOO_BIG).then_some(PacketTooBig {
            tuple,
            seq,
            mtu,
            is_absurd: false,
        });
    }
    let said = match rest as usize & 0xffff {
        0 => IPV4_MTU_UNKNOWN,
        said => said,
    };
    ((kind, code) == UNREACHABLE_FRAGMENTATION_NEEDED).then(|| PacketTooBig {
        tuple,
        seq,
        mtu: said.max(IPV4_MTU_MIN),
        is_absurd: said < IPV4_MTU_MIN,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::icmp_error::tests::message;

    #[test]
    fn rfc_1191_what_was_too_long_and_what_passes() {
        let tuple = Tuple::v4([10, 0, 0, 1], [10, 0, 0, 2], 80, 9);
        for (said, mtu) in [(1400, 1400), (0, 576), (68, 552)] {
            assert_eq!(
                IcmpError::parse(&message(3, 4, said)).and_then(|error| packet_too_big(&error)),
                Some(PacketTooBig { tuple, seq: 0x102, mtu, is_absurd: said == 68 })
            );
        }
    }

    #[test]
    fn paths_are_remembered_for_ten_minutes_and_the_oldest_is_forgotten() {
        let mut paths = PathMtus::default();
        let path = |last: u16| IpAddr::from([10, 0, (last >> 8) as u8, last as u8]);
        for n in 0..300 {
            paths.insert(path(n), 1_400, Instant::START + Duration::from_secs(n.into()));
        }
        let now = Instant::START + Duration::from_secs(300);
        assert_eq!(paths.0.len(), PATHS_MAX);
        assert_eq!((paths.get(path(43), now), paths.get(path(44), now)), (None, Some(1_400)));
        let late = Instant::START + Duration::from_secs(898);
        assert_eq!((paths.get(path(298), late), paths.get(path(299), late)), (None, Some(1_400)));
    }

    #[test]
    fn rfc_8201_4_and_rfc_1191_3_what_is_said_of_paths_at_its_limits() {
        let tuples = [("10.0.0.1:80", "10.0.0.2:9"), ("[fd00::1]:80", "[fd00::2]:9")]
            .map(|(own, peer)| Tuple::new(own.parse().unwrap(), peer.parse().unwrap()));
        for (version, kind, code, rest, expected) in [
            // The lower half counts; below 552 it is not believed.
            (0, 3, 4, 552, Some((552, false))),
            (0, 3, 4, 551, Some((552, true))),
            (0, 3, 4, 0xffff_0000, Some((576, false))),
            (0, 3, 4, 0x0001_0578, Some((1_400, false))),
            (0, 3, 3, 1_400, None),
            (0, 2, 4, 1_400, None),
            (0, 2, 0, 1_400, None),
            (1, 2, 0, 1_281, Some((1_281, false))),
            (1, 2, 9, 1_400, Some((1_400, false))),
            (1, 2, 0, 1_279, Some((1_280, false))),
            (1, 2, 0, 0, Some((1_280, false))),
            (1, 2, 0, 0x0001_0000, Some((65_536, false))),
            (1, 3, 4, 1_400, None),
            (1, 1, 0, 1_400, None),
        ] {
            let tuple = tuples[version];
            let said = packet_too_big(&IcmpError { tuple, seq: 7, kind, code, rest });
            let expected =
                expected.map(|(mtu, is_absurd)| PacketTooBig { tuple, seq: 7, mtu, is_absurd });
            assert_eq!(said, expected, "{kind} {code} {rest}");
        }
    }

    #[test]
    fn a_path_that_is_known_is_learned_again_where_there_is_no_room_for_others() {
        let mut paths = PathMtus::default();
        let path = |last: u16| IpAddr::from([10, 0, (last >> 8) as u8, last as u8]);
        let at = |seconds: u64| Instant::START + Duration::from_secs(seconds);
        for n in 0..256 {
            paths.insert(path(n), 1_400, at(n.into()));
        }
        paths.insert(path(7), 70_000, at(300));
        assert_eq!((paths.0.len(), paths.get(path(0), at(300))), (256, Some(1_400)));
        assert_eq!(paths.get(path(7), at(899)), Some(65_535));
        assert_eq!((paths.get(path(7), at(900)), paths.get(path(999), at(0))), (None, None));
        // Those whose time is over make room, all of them: the first hundred and one but that which was learned again.
        paths.insert(path(1_000), 1_300, at(700));
        assert_eq!(paths.0.len(), 256 - 100 + 1);
        assert_eq!(
            (paths.get(path(101), at(700)), paths.get(path(1_000), at(700))),
            (Some(1_400), Some(1_300))
        );
    }
}
