//! Long echo requests (RFC 792, RFC 4443 section 4.2): those whose replies have to leave in fragments. smoltcp answers
//! all others.

use crate::link::fragmentation::Datagram;
use crate::wire::extension;
use alloc::vec::Vec;
use core::net::IpAddr;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet,
    IpProtocol, Ipv4Packet, Ipv6Packet,
};

/// The reply to an echo request; `None` to whatever else, and to a request that is damaged. It is as long as the request,
/// so that nobody makes more of it by us.
pub(crate) fn reply(frame: &[u8]) -> Option<Datagram> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let (ends, protocol, payload) = match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => reply_v4(ethernet.payload()),
        EthernetProtocol::Ipv6 => reply_v6(ethernet.payload()),
        _ => None,
    }?;
    let (own, hop) = (ethernet.dst_addr(), ethernet.src_addr());
    Some(Datagram { hardware: (own, hop), ends, protocol, payload })
}

/// Who sends the reply and to whom, its protocol and what it says.
type Reply = ((IpAddr, IpAddr), IpProtocol, Vec<u8>);

fn reply_v4(packet: &[u8]) -> Option<Reply> {
    let packet = Ipv4Packet::new_checked(packet).ok()?;
    if packet.next_header() != IpProtocol::Icmp {
        return None;
    }
    let request = Icmpv4Packet::new_checked(packet.payload()).ok()?;
    let kind = (request.msg_type(), request.msg_code());
    if kind != (Icmpv4Message::EchoRequest, 0) || !request.verify_checksum() {
        return None;
    }
    let mut reply = Icmpv4Packet::new_unchecked(packet.payload().to_vec());
    reply.set_msg_type(Icmpv4Message::EchoReply);
    reply.fill_checksum();
    let ends = (packet.dst_addr().into(), packet.src_addr().into());
    Some((ends, IpProtocol::Icmp, reply.into_inner()))
}

fn reply_v6(bytes: &[u8]) -> Option<Reply> {
    let packet = Ipv6Packet::new_checked(bytes).ok()?;
    let (own, peer) = (packet.dst_addr(), packet.src_addr());
    let whole = bytes.get(..packet.total_len())?;
    let (protocol, at) = extension::upper_layer(whole)?;
    if protocol != u8::from(IpProtocol::Icmpv6) || own.is_multicast() {
        return None;
    }
    let message = whole.get(at..)?;
    let request = Icmpv6Packet::new_checked(message).ok()?;
    let kind = (request.msg_type(), request.msg_code());
    if kind != (Icmpv6Message::EchoRequest, 0) || !request.verify_checksum(&peer, &own) {
        return None;
    }
    let mut reply = Icmpv6Packet::new_unchecked(message.to_vec());
    reply.set_msg_type(Icmpv6Message::EchoReply);
    reply.fill_checksum(&own, &peer);
    Some(((own.into(), peer.into()), IpProtocol::Icmpv6, reply.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv6Addr;
    use smoltcp::wire::EthernetAddress;

    /// An echo request of 10 bytes from 10.0.0.2 to 10.0.0.1.
    fn request_v4() -> Vec<u8> {
        let mut frame = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]].concat();
        frame.extend([8, 0, 0x45, 0, 0, 30, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
        frame.extend([8, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
        sealed(frame)
    }

    /// The same from fd00::2 to fd00::1, behind these extension headers, of which the first is of that kind.
    fn request_v6(first: u8, extensions: &[u8]) -> Vec<u8> {
        let [peer, own] = ["fd00::2", "fd00::1"].map(|end| end.parse::<Ipv6Addr>().unwrap());
        let mut frame = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]].concat();
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, extensions.len() as u8 + 10, first, 64]);
        frame.extend([peer.octets(), own.octets()].concat());
        frame.extend(extensions);
        frame.extend([128, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
        sealed(frame)
    }

    /// The last ten bytes have the right checksum.
    fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
        let at = frame.len() - 10;
        if frame.len() == 44 {
            Icmpv4Packet::new_unchecked(&mut frame[at..]).fill_checksum();
            return frame;
        }
        let [peer, own] = [22, 38].map(|at| {
            let octets: [u8; 16] = frame[at..at + 16].try_into().unwrap();
            Ipv6Addr::from(octets)
        });
        Icmpv6Packet::new_unchecked(&mut frame[at..]).fill_checksum(&peer, &own);
        frame
    }

    #[test]
    fn rfc_792_and_4443_4_2_a_reply_says_what_the_request_said() {
        let options = [58, 0, 1, 4, 0, 0, 0, 0];
        for (request, kind) in
            [(request_v4(), 0), (request_v6(58, &[]), 129), (request_v6(60, &options), 129)]
        {
            let reply = reply(&request).unwrap();
            let (own, peer) = reply.ends;
            let [left, right] =
                if kind == 0 { ["10.0.0.1", "10.0.0.2"] } else { ["fd00::1", "fd00::2"] };
            assert_eq!((own, peer), (left.parse().unwrap(), right.parse().unwrap()));
            let hardware = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]].map(EthernetAddress);
            assert_eq!(reply.hardware, (hardware[0], hardware[1]));
            let protocol = if kind == 0 { IpProtocol::Icmp } else { IpProtocol::Icmpv6 };
            assert_eq!(reply.protocol, protocol);
            assert_eq!((reply.payload[0], reply.payload[1]), (kind, 0));
            assert_eq!(reply.payload[4..], [1, 2, 3, 4, 5, 6]);
            let is_right = match (own, peer) {
                (IpAddr::V6(own), IpAddr::V6(peer)) => {
                    Icmpv6Packet::new_unchecked(&reply.payload[..]).verify_checksum(&own, &peer)
                }
                _ => Icmpv4Packet::new_unchecked(&reply.payload[..]).verify_checksum(),
            };
            assert!(is_right);
        }
    }

    #[test]
    fn what_is_no_request_to_us_alone_or_damaged_is_not_replied_to() {
        // Ethernet's type, the protocol, the message's type and its code.
        for (at, value) in [(12, 0x86), (13, 6), (23, 17), (34, 0), (34, 13), (35, 1)] {
            let mut frame = request_v4();
            frame[at] = value;
            assert_eq!(reply(&sealed(frame)), None, "{at}");
        }
        for (at, value) in [(13, 0), (20, 17), (54, 129), (54, 135), (55, 1)] {
            let mut frame = request_v6(58, &[]);
            frame[at] = value;
            assert_eq!(reply(&sealed(frame)), None, "{at}");
        }
        let mut to_many = request_v6(58, &[]);
        to_many[38] = 0xff;
        assert_eq!(reply(&sealed(to_many)), None);
        for whole in [request_v4(), request_v6(58, &[]), request_v6(60, &[58, 0, 1, 4, 0, 0, 0, 0])]
        {
            for at in whole.len() - 10..whole.len() {
                let mut damaged = whole.clone();
                damaged[at] ^= 0x10;
                assert_eq!(reply(&damaged), None, "{at}");
            }
            for length in 0..whole.len() {
                assert_eq!(reply(&whole[..length]), None, "{length}");
            }
        }
    }
}
