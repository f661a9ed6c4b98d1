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
