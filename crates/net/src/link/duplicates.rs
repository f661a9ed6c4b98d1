//! Duplicate address detection: whether somebody else on the link has one of our addresses (RFC 5227 for IPv4,
//! RFC 4862 section 5.4 for IPv6), and answers to those who ask the same about theirs.
//!
//! Probes leave at once, and the address is used meanwhile, as RFC 4429 has it for IPv6: a machine that starts in
//! milliseconds does not wait for seconds. Who answers a probe has the address, and we give it up; but an IPv4 address
//! that the operator wrote down is kept and defended (RFC 5227 section 2.4 (c)): else any neighbour could take a
//! server off the network by a word, and two cards of one machine each other.

use crate::device::Transmit;
use crate::link::multicast::Record;
use crate::link::neighbours::Neighbours;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use smoltcp::wire::{
    ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet, IpProtocol,
    Ipv6Packet,
};

/// Probes for our addresses.
#[derive(Default)]
pub(crate) struct Duplicates {
    probing: Vec<Probing>,
    /// When an address was last defended.
    defended_at: Option<Duration>,
}

/// An address that is not known to be ours alone.
struct Probing {
    address: IpAddr,
    /// Probes that are still to leave, and when the next leaves, or waiting ends.
    left: u8,
    at: Duration,
}

/// What a frame says about one of our addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Somebody asks whether the address is free, or for its hardware address from a place where it cannot be
    /// answered in the usual way.
    Asked(IpAddr),
    /// A machine with another hardware address has it.
    Taken(IpAddr, [u8; 6]),
}

/// What is done about an address that somebody else has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// It is theirs: we had only begun to use it.
    GiveUp,
    /// It is ours: we say so.
    Defend,
    /// We have said so lately (RFC 5227 section 2.4).
    Nothing,
}

impl Duplicates {
    /// Begins to look whether these are ours alone, those of them that are new.
    pub(crate) fn probe(&mut self, addresses: impl Iterator<Item = IpAddr>, now: Duration) {
        let addresses: Vec<_> = addresses.collect();
        self.probing.retain(|probing| addresses.contains(&probing.address));
        for address in addresses {
            if self.probing.iter().all(|probing| probing.address != address) {
                let left = if address.is_ipv4() { ARP_PROBES } else { MLD_REPORTS };
                self.probing.push(Probing { address, left, at: now });
            }
        }
    }

    /// The link may lead elsewhere now.
    pub(crate) fn restart(&mut self) {
        self.probing.clear();
    }

    /// Sends the probes that are due.
    pub(crate) fn poll(
        &mut self,
        now: Duration,
        neighbours: &Neighbours,
        output: &mut dyn Transmit,
    ) {
        for probing in &mut self.probing {
            if probing.at <= now && probing.left > 0 {
                // RFC 4862 section 5.4.2: the group is joined first; RFC 3810 section 6.1: and reported twice.
                let own = core::iter::once(probing.address);
                neighbours.report(Record::Joining, own, output);
                if probing.address.is_ipv4() || probing.left == MLD_REPORTS {
                    neighbours.probe(probing.address, output);
                }
                probing.left -= 1;
                probing.at = now + PAUSE;
            }
        }
    }

    /// When the next probe is due.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.probing.iter().filter(|probing| probing.left > 0).map(|probing| probing.at).min()
    }

    /// Somebody else has `address`, which we may give up or have to keep.
    pub(crate) fn taken(&mut self, address: IpAddr, may_give_up: bool, now: Duration) -> Reaction {
        let is_new = |probing: &Probing| {
            probing.address == address && (probing.left > 0 || now < probing.at)
        };
        if may_give_up && self.probing.iter().any(is_new) {
            return Reaction::GiveUp;
        }
        if address.is_ipv6() || self.defended_at.is_some_and(|at| now < at + DEFEND_INTERVAL) {
            return Reaction::Nothing;
        }
        self.defended_at = Some(now);
        Reaction::Defend
    }
}

/// RFC 5227 section 1.1: PROBE_NUM and PROBE_MIN; RFC 3810 section 9.1: the robustness variable, with one solicitation at
/// the first report (RFC 4862 section 5.1: DupAddrDetectTransmits and RetransTimer).
const ARP_PROBES: u8 = 3;
const MLD_REPORTS: u8 = 2;
const PAUSE: Duration = Duration::from_secs(1);
/// RFC 5227 section 1.1.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// What a frame says about our addresses, if it is for us to answer and not for smoltcp, which answers neighbours of
/// our networks only. `own` is our hardware address.
pub(crate) fn claim(
    frame: &[u8],
    own: [u8; 6],
    owns: impl Fn(IpAddr) -> bool,
    is_on_link: impl Fn(Ipv4Addr) -> bool,
) -> Option<Claim> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let found = match ethernet.ethertype() {
        EthernetProtocol::Arp => claim_v4(ethernet.payload(), &owns, is_on_link),
        EthernetProtocol::Ipv6 => claim_v6(ethernet.payload(), ethernet.src_addr().0, &owns),
        _ => None,
    };
    // What we sent may come back to us.
    found.filter(|_| ethernet.src_addr().0 != own)
}

/// RFC 5227: probes come from 0.0.0.0.
fn claim_v4(
    payload: &[u8],
    owns: impl Fn(IpAddr) -> bool,
    is_on_link: impl Fn(Ipv4Addr) -> bool,
) -> Option<Claim> {
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: hardware,
        source_protocol_addr: source,
        target_protocol_addr: target,
        ..
    } = ArpRepr::parse(&ArpPacket::new_checked(payload).ok()?).ok()?
    else {
        return None;
    };
    if !source.is_unspecified() && owns(source.into()) {
        return Some(Claim::Taken(source.into(), hardware.0));
    }
    let is_question = operation == smoltcp::wire::ArpOperation::Request && owns(target.into());
    (is_question && hardware.is_unicast() && !is_on_link(source))
        .then_some(Claim::Asked(target.into()))
}

/// RFC 4862 section 5.4.3: a solicitation from the unspecified address; section 5.4.4: an advertisement.
fn claim_v6(payload: &[u8], hardware: [u8; 6], owns: impl Fn(IpAddr) -> bool) -> Option<Claim> {
    let ip = Ipv6Packet::new_checked(payload).ok()?;
    if ip.next_header() != IpProtocol::Icmpv6 || ip.hop_limit() != 255 {
        return None;
    }
    let message = Icmpv6Packet::new_checked(ip.payload()).ok()?;
    let target: [u8; 16] = ip.payload().get(8..24)?.try_into().ok()?;
    let target = IpAddr::from(Ipv6Addr::from(target));
    if !owns(target) || !message.verify_checksum(&ip.src_addr(), &ip.dst_addr()) {
        return None;
    }
    match message.msg_type() {
        Icmpv6Message::NeighborSolicit if ip.src_addr().is_unspecified() => {
            Some(Claim::Asked(target))
        }
        Icmpv6Message::NeighborAdvert => Some(Claim::Taken(target, hardware)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn rfc_5227_2_4_an_address_is_given_up_at_first_and_defended_later_but_not_too_often() {
        let mut duplicates = Duplicates::default();
        let second = Duration::from_secs(1);
        duplicates.probe([V4].into_iter(), Duration::ZERO);
        assert_eq!(duplicates.next_deadline(), Some(Duration::ZERO));
        assert_eq!(duplicates.taken(V4, true, Duration::ZERO), Reaction::GiveUp);
        duplicates.probing.iter_mut().for_each(|probing| probing.left = 0);
        assert_eq!(duplicates.next_deadline(), None);
        assert_eq!(duplicates.taken(V4, true, second), Reaction::Defend);
        assert_eq!(duplicates.taken(V4, true, 10 * second), Reaction::Nothing);
        assert_eq!(duplicates.taken(V4, true, 11 * second), Reaction::Defend);
    }

    #[test]
    fn rfc_5227_2_4_an_address_is_given_up_while_it_is_probed_and_a_second_longer() {
        let v6: IpAddr = "fd00::1".parse().unwrap();
        let millis = Duration::from_millis;
        let mut duplicates = Duplicates {
            probing: Vec::from([V4, v6].map(|address| Probing {
                address,
                left: 0,
                at: millis(2_000),
            })),
            defended_at: None,
        };
        for address in [V4, v6] {
            assert_eq!(duplicates.taken(address, true, millis(1_999)), Reaction::GiveUp);
        }
        assert_eq!(duplicates.taken(V4, false, millis(1_999)), Reaction::Defend);
        assert_eq!(duplicates.taken(v6, true, millis(2_000)), Reaction::Nothing);
        assert_eq!(duplicates.taken(V4, true, millis(2_000)), Reaction::Nothing, "said so lately");
        let other: IpAddr = "10.0.0.9".parse().unwrap();
        duplicates.probe([v6, other].into_iter(), millis(3_000));
        // One that is ours no longer is forgotten, one that is known is not probed anew.
        let left = duplicates.probing.iter().map(|probing| (probing.address, probing.left));
        assert_eq!(left.collect::<Vec<_>>(), [(v6, 0), (other, 3)]);
        duplicates.restart();
        assert_eq!(duplicates.next_deadline(), None);
    }

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];

    /// What a frame says to a host that has 10.0.0.1/24 and fd00::1.
    fn claimed(frame: &[u8]) -> Option<Claim> {
        let owns = |address| [V4, "fd00::1".parse().unwrap()].contains(&address);
        claim(frame, OWN, owns, |address| address.octets()[..3] == [10, 0, 0])
    }

    #[test]
    fn rfc_5227_2_what_arp_says_of_our_addresses() {
        let frame =
            |sender: [u8; 6], operation, hardware: [u8; 6], source: [u8; 4], target: [u8; 4]| {
                let mut frame = [[0xff; 6], sender].concat();
                frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
                frame.extend(hardware);
                frame.extend(source);
                frame.extend([0; 6]);
                frame.extend(target);
                claimed(&frame)
            };
        let (ours, peer, far, none) = ([10, 0, 0, 1], [10, 0, 0, 2], [192, 0, 2, 1], [0; 4]);
        let (asked, taken) = (Some(Claim::Asked(V4)), Some(Claim::Taken(V4, OTHER)));
        for operation in [1, 2] {
            // Who has our address, and we ourselves.
            assert_eq!(frame(OTHER, operation, OTHER, ours, peer), taken);
            assert_eq!(frame(OTHER, operation, OTHER, ours, ours), taken);
            assert_eq!(frame(OWN, operation, OWN, ours, ours), None);
            assert_eq!(frame(OTHER, operation, OTHER, peer, ours), None, "smoltcp's to answer");
        }
        for from in [none, far] {
            assert_eq!(frame(OTHER, 1, OTHER, from, ours), asked);
            assert_eq!(frame(OTHER, 2, OTHER, from, ours), None, "no question");
            assert_eq!(frame(OTHER, 1, OTHER, from, peer), None, "not for ours");
            for hardware in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
                assert_eq!(frame(OTHER, 1, hardware, from, ours), None, "nobody to answer to");
            }
        }
        assert_eq!(frame(OTHER, 1, OTHER, none, none), None);
    }

    #[test]
    fn rfc_4862_5_4_what_neighbour_discovery_says_of_our_addresses() {
        let frame = |sender: [u8; 6], kind, source: &str, target: &str| {
            let [source, destination, target] =
                [source, "ff02::1", target].map(|address| address.parse::<Ipv6Addr>().unwrap());
            let mut frame = [[0x33, 0x33, 0, 0, 0, 1], sender].concat();
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255]);
            frame.extend([source.octets(), destination.octets()].concat());
            frame.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
            frame.extend(target.octets());
            Icmpv6Packet::new_unchecked(&mut frame[54..]).fill_checksum(&source, &destination);
            frame
        };
        let ours: IpAddr = "fd00::1".parse().unwrap();
        let (asked, taken) = (Some(Claim::Asked(ours)), Some(Claim::Taken(ours, OTHER)));
        for (kind, source, target, expected) in [
            (135, "::", "fd00::1", asked),
            (135, "::", "fd00::2", None),
            (135, "fd00::2", "fd00::1", None),
            (136, "fd00::2", "fd00::1", taken),
            (136, "fd00::2", "fd00::2", None),
            (134, "::", "fd00::1", None),
        ] {
            assert_eq!(claimed(&frame(OTHER, kind, source, target)), expected, "{kind} {source}");
            assert_eq!(claimed(&frame(OWN, kind, source, target)), None, "our own, come back");
        }
        for whole in [frame(OTHER, 135, "::", "fd00::1"), frame(OTHER, 136, "fd00::2", "fd00::1")] {
            // Ethernet's type, the protocol, the hop limit, the checksum, and what it protects.
            for at in [12, 13, 20, 21, 56, 60, 61] {
                let mut damaged = whole.clone();
                damaged[at] ^= 1;
                assert_eq!(claimed(&damaged), None, "{at}");
            }
            for length in 0..whole.len() {
                assert_eq!(claimed(&whole[..length]), None, "{length}");
            }
        }
    }
}
