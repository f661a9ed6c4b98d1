//! Which replies of a server are believed: smoltcp's socket takes nearly any address, for any time, and begins anew at
//! once when a server refuses.

use crate::wire::tuple::is_host;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Cidr, Ipv4Packet, UdpPacket,
};

/// What is to be done with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The socket may see it.
    Pass,
    /// DHCPNAK: the server refuses what was requested.
    Refusal,
    /// An offer or a lease that no host can use, and why.
    Unusable(&'static str),
}

/// Looks at a frame for the host with this hardware address.
pub(super) fn judge(frame: &[u8], own: EthernetAddress) -> Verdict {
    judge_reply(frame, own).unwrap_or(Verdict::Pass)
}

/// Nothing where there is no reply to us, or one that cannot be read.
fn judge_reply(frame: &[u8], own: EthernetAddress) -> Option<Verdict> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.next_header() != IpProtocol::Udp {
        return None;
    }
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    if (udp.src_port(), udp.dst_port()) != (DHCP_SERVER_PORT, DHCP_CLIENT_PORT) {
        return None;
    }
    let packet = DhcpPacket::new_checked(udp.payload()).ok()?;
    let reply = DhcpRepr::parse(&packet).ok()?;
    if reply.client_hardware_address != own {
        return None;
    }
    match reply.message_type {
        DhcpMessageType::Nak => Some(Verdict::Refusal),
        DhcpMessageType::Offer | DhcpMessageType::Ack => unusable(&reply).map(Verdict::Unusable),
        _ => None,
    }
}

fn unusable(reply: &DhcpRepr<'_>) -> Option<&'static str> {
    let times = [reply.lease_duration, reply.renew_duration, reply.rebind_duration];
    if times.into_iter().flatten().any(|seconds| seconds < LEASE_SECONDS_MIN) {
        return Some("the lease is too short");
    }
    // smoltcp ignores a lease without a mask, or with one that has holes.
    let prefix = IpAddress::Ipv4(reply.subnet_mask?).prefix_len()?;
    let is_usable = is_host_of(Ipv4Cidr::new(reply.your_ip, prefix));
    (!is_usable).then_some("no host can have the address")
}

/// Whether a host can have that address in its network: not one that is for loopback or groups (RFC 1122 section
/// 3.2.1.3), and neither the network's own nor its broadcast address, which networks of two hosts lack (RFC 3021).
pub(super) fn is_host_of(cidr: Ipv4Cidr) -> bool {
    let is_special = cidr.prefix_len() < 31
        && [Some(cidr.network().address()), cidr.broadcast()].contains(&Some(cidr.address()));
    cidr.prefix_len() > 0 && is_host(cidr.address().into()) && !is_special
}

/// Shorter leases, or shorter times to renew them, would keep us and the server busy with nothing else.
const LEASE_SECONDS_MIN: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use smoltcp::wire::DhcpOption;
    use std::vec::Vec;

    #[test]
    fn rfc_1122_3_2_1_3_addresses_that_no_host_can_have() {
        let is_usable = |octets: [u8; 4], prefix| is_host_of(Ipv4Cidr::new(octets.into(), prefix));
        for (octets, prefix) in [
            ([127, 0, 0, 1], 24),
            ([0, 0, 0, 1], 24),
            ([224, 0, 0, 1], 24),
            ([255; 4], 32),
            ([10, 0, 0, 0], 24),
            ([10, 0, 0, 255], 24),
            ([10, 0, 0, 3], 30),
            ([10, 0, 0, 7], 0),
        ] {
            assert!(!is_usable(octets, prefix), "{}/{prefix}", Ipv4Addr::from(octets));
        }
        for (octets, prefix) in
            [([10, 0, 0, 1], 24), ([10, 0, 0, 255], 16), ([10, 0, 0, 0], 31), ([10, 0, 0, 0], 32)]
        {
            assert!(is_usable(octets, prefix), "{}/{prefix}", Ipv4Addr::from(octets));
        }
    }

    const OWN: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

    /// An offer of 10.0.0.7/24 for so many seconds.
    fn offer(seconds: u32) -> DhcpRepr<'static> {
        let none = Ipv4Addr::UNSPECIFIED;
        DhcpRepr {
            message_type: DhcpMessageType::Offer,
            transaction_id: 1,
            secs: 0,
            client_hardware_address: OWN,
            client_ip: none,
            your_ip: Ipv4Addr::new(10, 0, 0, 7),
            server_ip: none,
            router: None,
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            relay_agent_ip: none,
            broadcast: false,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(Ipv4Addr::new(10, 0, 0, 2)),
            parameter_request_list: None,
            max_size: None,
            lease_duration: Some(seconds),
            renew_duration: None,
            rebind_duration: None,
            dns_servers: None,
            additional_options: &[],
        }
    }

    fn frame(reply: &DhcpRepr<'_>) -> Vec<u8> {
        let len = (8 + reply.buffer_len()) as u16;
        let [[ip_high, ip_low], [high, low]] = [20 + len, len].map(u16::to_be_bytes);
        let mut frame = [[0xff; 6], [2, 0, 0, 0, 0, 2]].concat();
        frame.extend([8, 0, 0x45, 0, ip_high, ip_low, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend([10, 0, 0, 2, 255, 255, 255, 255, 0, 67, 0, 68, high, low, 0, 0]);
        frame.resize(42 + reply.buffer_len(), 0);
        reply.emit(&mut DhcpPacket::new_unchecked(&mut frame[42..])).unwrap();
        frame
    }

    #[test]
    fn rfc_2131_leases_that_no_host_can_use_and_refusals_are_told_from_others() {
        let short = Verdict::Unusable("the lease is too short");
        let nobody = Verdict::Unusable("no host can have the address");
        // Until it ends, is renewed, and others are asked for it (RFC 2132 sections 9.11 and 9.12).
        for (lease, renew, rebind, expected) in [
            (100, 50, 80, &Verdict::Pass),
            (5, 5, 5, &Verdict::Pass),
            (4, 5, 5, &short),
            (5, 4, 5, &short),
            (5, 5, 4, &short),
        ] {
            let times = [(58, [0, 0, 0, renew]), (59, [0, 0, 0, rebind])];
            let options = [0, 1].map(|at| DhcpOption { kind: times[at].0, data: &times[at].1 });
            for message_type in [DhcpMessageType::Offer, DhcpMessageType::Ack] {
                let reply = DhcpRepr { message_type, additional_options: &options, ..offer(lease) };
                assert_eq!(judge(&frame(&reply), OWN), *expected, "{lease} {renew} {rebind}");
            }
        }
        let zero = DhcpRepr { your_ip: Ipv4Addr::new(10, 0, 0, 0), ..offer(100) };
        assert_eq!(judge(&frame(&zero), OWN), nobody);
        // Without a mask, or with one that has holes, smoltcp takes none.
        for subnet_mask in [None, Some(Ipv4Addr::new(255, 0, 255, 0))] {
            assert_eq!(
                judge(&frame(&DhcpRepr { subnet_mask, ..zero.clone() }), OWN),
                Verdict::Pass
            );
        }
        let refusal = DhcpRepr { message_type: DhcpMessageType::Nak, ..offer(100) };
        assert_eq!(judge(&frame(&refusal), OWN), Verdict::Refusal);
        let inform = DhcpRepr { message_type: DhcpMessageType::Inform, ..offer(0) };
        assert_eq!(judge(&frame(&inform), OWN), Verdict::Pass);
    }

    #[test]
    fn rfc_2131_4_1_what_is_no_reply_to_us_is_not_judged() {
        let refusal = DhcpRepr { message_type: DhcpMessageType::Nak, ..offer(100) };
        let other = EthernetAddress([2, 0, 0, 0, 0, 9]);
        assert_eq!(judge(&frame(&refusal), other), Verdict::Pass, "another's");
        // Ethernet's type, the protocol, and both ports.
        for (at, value) in [(12, 0x86), (23, 6), (35, 68), (37, 67), (34, 1), (36, 1)] {
            let mut frame = frame(&refusal);
            frame[at] = value;
            assert_eq!(judge(&frame, OWN), Verdict::Pass, "{at}");
        }
        for length in 0..frame(&refusal).len() {
            assert_eq!(judge(&frame(&refusal)[..length], OWN), Verdict::Pass, "{length}");
        }
    }
}
