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
}
