//! Ingress filter: which frames smoltcp gets to see, since it answers what it sees. Nobody is answered who cannot be
//! (RFC 1122 section 3.2.1.3, RFC 6890), and no error is sent about what was sent to many (RFC 1122 section 3.2.2,
//! RFC 4443 section 2.4).

use crate::wire::extension::{self, FRAGMENT, HOP_BY_HOP};
use crate::wire::options;
use crate::wire::tuple::is_host;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is to be done with a frame that is not a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may be answered.
    Pass,
    /// It will be answered by an ICMP error.
    Error,
    /// It is a part of a packet.
    Fragment,
    Drop,
}

/// What the filter asks about our addresses and services.
pub(crate) trait Ours {
    /// It is one of our addresses.
    fn owns(&self, address: IpAddr) -> bool;
    /// It stands for all hosts of one of our networks.
    fn is_broadcast(&self, address: Ipv4Addr) -> bool;
    /// We have asked a name server and wait.
    fn awaits_names(&self) -> bool;
}

/// Looks at a frame; `own` is our hardware address.
pub(crate) fn judge(frame: &[u8], own: [u8; 6], ours: &impl Ours) -> Admission {
    let Some((ethernet, packet)) = frame.split_first_chunk::<14>() else { return Admission::Drop };
    let is_alone = ethernet[..6] == own;
    if !is_alone && ethernet[0] & 1 == 0 {
        return Admission::Drop;
    }
    let verdict = match [ethernet[12], ethernet[13]] {
        [0x08, 0x06] => Some(Admission::Pass),
        [0x08, 0x00] => judge_v4(packet, is_alone, ours),
        [0x86, 0xdd] => judge_v6(packet, is_alone, ours),
        _ => None,
    };
    verdict.unwrap_or(Admission::Drop)
}

fn judge_v4(packet: &[u8], is_alone: bool, ours: &impl Ours) -> Option<Admission> {
    let ip = packet.first_chunk::<20>()?;
    let source = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
    let destination = Ipv4Addr::new(ip[16], ip[17], ip[18], ip[19]);
    if !is_host(source.into()) || ours.owns(source.into()) || ours.is_broadcast(source) {
        return None;
    }
    let header_len = usize::from(ip[0] & 15) * 4;
    if !options::are_acceptable(packet.get(20..header_len)?) {
        return None;
    }
    let is_for_us = is_alone && ours.owns(destination.into());
    if u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0 {
        return is_for_us.then_some(Admission::Fragment);
    }
    let payload = packet.get(header_len..)?;
    match ip[9] {
        UDP if is_service(payload, ours) => Some(Admission::Pass),
        ICMP => is_for_us.then_some(Admission::Pass),
        _ => is_for_us.then_some(Admission::Error),
    }
}

fn judge_v6(packet: &[u8], is_alone: bool, ours: &impl Ours) -> Option<Admission> {
    let ip = packet.first_chunk::<40>()?;
    let [source, destination] = [8, 24].map(|at| {
        let octets: [u8; 16] = ip[at..at + 16].try_into().unwrap_or_default();
        Ipv6Addr::from(octets)
    });
    if !is_host(source.into()) || ours.owns(source.into()) {
        return None;
    }
    let is_for_us = is_alone && ours.owns(destination.into());
    if !is_for_us && !destination.is_multicast() {
        return None;
    }
    let (kind, at) = extension::upper_layer(packet)?;
    match kind {
        FRAGMENT => is_for_us.then_some(Admission::Fragment),
        // smoltcp knows its way behind hop-by-hop options only.
        _ if at != 40 && ip[6] != HOP_BY_HOP => None,
        ICMPV6 => Some(Admission::Pass),
        UDP if is_service(packet.get(at..)?, ours) => Some(Admission::Pass),
        _ => is_for_us.then_some(Admission::Error),
    }
}

/// Whether smoltcp has a socket for a datagram: DHCP's client (RFC 2131 section 4.1), or one that waits for names.
fn is_service(datagram: &[u8], ours: &impl Ours) -> bool {
    match datagram {
        [0, 67, 0, 68, ..] => true,
        [0, 53, ..] => ours.awaits_names(),
        _ => false,
    }
}

const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const ALL: [u8; 6] = [0xff; 6];

    /// A host that has asked a name server, or has not.
    struct Host(bool);

    const HOST: Host = Host(false);

    impl Ours for Host {
        fn owns(&self, address: IpAddr) -> bool {
            [IpAddr::from([10, 0, 0, 1]), "fd00::1".parse().unwrap()].contains(&address)
        }

        fn is_broadcast(&self, address: Ipv4Addr) -> bool {
            address == Ipv4Addr::new(10, 0, 0, 255)
        }

        fn awaits_names(&self) -> bool {
            self.0
        }
    }

    fn frame(hardware: [u8; 6], from: &str, to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = [&hardware[..], &[2, 0, 0, 0, 0, 2]].concat();
        match (from.parse().unwrap(), to.parse().unwrap()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0]);
                frame.extend([from.octets(), to.octets()].concat());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, protocol, 64]);
                frame.extend([from.octets(), to.octets()].concat());
            }
            _ => panic!("one of each"),
        }
        frame.extend(payload);
        frame
    }

    fn verdict(hardware: [u8; 6], from: &str, to: &str, protocol: u8) -> Admission {
        judge(&frame(hardware, from, to, protocol, &[0, 9, 0, 9, 0, 8, 0, 0]), OWN, &HOST)
    }

    #[test]
    fn rfc_6890_who_is_no_host_is_not_answered() {
        for from in [
            "127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "240.0.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "10.0.0.1",
            "10.0.0.255",
        ] {
            for protocol in [ICMP, UDP, 99] {
                assert_eq!(verdict(OWN, from, "10.0.0.1", protocol), Admission::Drop, "{from}");
            }
        }
        for from in ["::", "::1", "ff02::1", "fd00::1", "::ffff:1.2.3.4"] {
            for protocol in [ICMPV6, UDP, 99] {
                assert_eq!(verdict(OWN, from, "fd00::1", protocol), Admission::Drop, "{from}");
            }
        }
        assert_eq!(verdict(OWN, "10.0.0.2", "10.0.0.1", ICMP), Admission::Pass);
        assert_eq!(verdict(OWN, "fd00::2", "fd00::1", ICMPV6), Admission::Pass);
    }

    #[test]
    fn rfc_1122_3_2_2_no_error_about_what_was_sent_to_many() {
        assert_eq!(verdict(OWN, "10.0.0.2", "10.0.0.1", UDP), Admission::Error);
        assert_eq!(verdict(OWN, "fd00::2", "fd00::1", UDP), Admission::Error);
        for to in ["10.0.0.255", "255.255.255.255", "224.0.0.1"] {
            assert_eq!(verdict(ALL, "10.0.0.2", to, UDP), Admission::Drop, "{to}");
            assert_eq!(verdict(ALL, "10.0.0.2", to, ICMP), Admission::Drop, "{to}");
        }
        assert_eq!(verdict(ALL, "10.0.0.2", "10.0.0.1", UDP), Admission::Drop);
        assert_eq!(verdict(ALL, "fd00::2", "fd00::1", UDP), Admission::Drop);
        let all_nodes = [0x33, 0x33, 0, 0, 0, 1];
        assert_eq!(verdict(all_nodes, "fd00::2", "ff02::1", UDP), Admission::Drop);
        assert_eq!(verdict(all_nodes, "fd00::2", "ff02::1", ICMPV6), Admission::Pass);
        assert_eq!(verdict(OWN, "fd00::2", "::1", ICMPV6), Admission::Drop);
    }

    #[test]
    fn services_that_wait_get_their_answers() {
        let lease = frame(ALL, "10.0.0.2", "255.255.255.255", UDP, &[0, 67, 0, 68]);
        assert_eq!(judge(&lease, OWN, &HOST), Admission::Pass);
        let name = frame(OWN, "10.0.0.2", "10.0.0.1", UDP, &[0, 53, 0, 68]);
        assert_eq!(judge(&name, OWN, &HOST), Admission::Error, "nobody asked");
        assert_eq!(judge(&name, OWN, &Host(true)), Admission::Pass);
        for (ports, expected) in [
            ([0, 53, 0, 68], Admission::Pass),
            ([0, 67, 0, 68], Admission::Pass),
            ([0, 67, 0, 67], Admission::Error),
            ([0, 68, 0, 68], Admission::Error),
            ([1, 67, 0, 68], Admission::Error),
            ([0, 67, 1, 68], Admission::Error),
            ([1, 53, 0, 68], Admission::Error),
        ] {
            let v6 = frame(OWN, "fd00::2", "fd00::1", UDP, &ports);
            assert_eq!(judge(&v6, OWN, &Host(true)), expected, "{ports:?}");
        }
    }

    #[test]
    fn fragments_are_put_together_first() {
        let mut part = frame(OWN, "10.0.0.2", "10.0.0.1", UDP, &[0; 8]);
        // More fragments, an offset, the greatest one; and none with two other flags.
        for (flags, expected) in [
            ([0x20, 0], Admission::Fragment),
            ([0, 1], Admission::Fragment),
            ([0x1f, 0xff], Admission::Fragment),
            ([0x40, 0], Admission::Error),
            ([0x80, 0], Admission::Error),
        ] {
            part[20..22].copy_from_slice(&flags);
            assert_eq!(judge(&part, OWN, &HOST), expected, "{flags:x?}");
        }
        let mut part = frame(ALL, "10.0.0.2", "10.0.0.1", UDP, &[0; 8]);
        part[20] = 0x20;
        assert_eq!(judge(&part, OWN, &HOST), Admission::Drop, "not to us alone");
        let part = frame(OWN, "fd00::2", "fd00::1", FRAGMENT, &[17, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(judge(&part, OWN, &HOST), Admission::Fragment);
        let hardware = [0x33, 0x33, 0, 0, 0, 1];
        let part = frame(hardware, "fd00::2", "ff02::1", FRAGMENT, &[17, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(judge(&part, OWN, &HOST), Admission::Drop, "to many");
    }

    #[test]
    fn frames_for_other_hardware_of_other_kinds_or_cut_short_are_dropped() {
        let other = [2, 0, 0, 0, 0, 9];
        for (hardware, is_taken) in [(OWN, true), (ALL, true), (other, false)] {
            let arp = [&hardware[..], &[2, 0, 0, 0, 0, 2, 8, 6]].concat();
            let expected = if is_taken { Admission::Pass } else { Admission::Drop };
            assert_eq!(judge(&arp, OWN, &HOST), expected, "{hardware:?}");
            for kind in [[8, 7], [0x88, 0xcc], [6, 8], [0xdd, 0x86]] {
                let frame = [&arp[..12], &kind, &[0; 46]].concat();
                assert_eq!(judge(&frame, OWN, &HOST), Admission::Drop, "{kind:?}");
            }
        }
        assert_eq!(verdict(other, "10.0.0.2", "10.0.0.1", ICMP), Admission::Drop);
        assert_eq!(verdict(other, "fd00::2", "fd00::1", ICMPV6), Admission::Drop);
        // What is for another host, in a frame for us alone.
        assert_eq!(verdict(OWN, "10.0.0.2", "10.0.0.3", ICMP), Admission::Drop);
        assert_eq!(verdict(OWN, "fd00::2", "fd00::3", ICMPV6), Admission::Drop);
        for (from, to, header) in [("10.0.0.2", "10.0.0.1", 34), ("fd00::2", "fd00::1", 54)] {
            let whole = frame(OWN, from, to, 99, &[]);
            assert_eq!(judge(&whole, OWN, &HOST), Admission::Error);
            for length in 0..header {
                assert_eq!(judge(&whole[..length], OWN, &HOST), Admission::Drop, "{length}");
            }
        }
        // Headers of 16 bytes, and of 24 that are not there.
        for first in [0x44, 0x46] {
            let mut lie = frame(OWN, "10.0.0.2", "10.0.0.1", ICMP, &[]);
            lie[14] = first;
            assert_eq!(judge(&lie, OWN, &HOST), Admission::Drop, "{first:x}");
        }
    }

    #[test]
    fn rfc_8200_4_behind_extension_headers_smoltcp_sees_hop_by_hop_options_only() {
        let behind = |kind, next| {
            let options = [next, 0, 1, 4, 0, 0, 0, 0, 0, 67, 0, 68, 0, 8, 0, 0];
            judge(&frame(OWN, "fd00::2", "fd00::1", kind, &options), OWN, &HOST)
        };
        assert_eq!(behind(HOP_BY_HOP, ICMPV6), Admission::Pass);
        assert_eq!(behind(HOP_BY_HOP, 99), Admission::Error);
        for next in [ICMPV6, UDP, 99] {
            assert_eq!(behind(60, next), Admission::Drop, "destination options");
        }
    }
}
