//! Frames made and read by hand, for peers that do not behave.

use crate::MAC;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration as SmolDuration;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, Icmpv6Repr,
    IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, NdiscPrefixInformation,
    NdiscRepr, NdiscRouterFlags, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use std::net::{Ipv6Addr, SocketAddrV4};

/// What a TCP frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFields {
    /// Source and destination port.
    pub ports: (u16, u16),
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// SYN, FIN, RST and ACK.
    pub flags: (bool, bool, bool, bool),
    /// Payload bytes.
    pub data: usize,
    /// The window as it is written.
    pub window: u16,
}

/// Reads a TCP frame; `None` for any other.
pub fn tcp_fields(frame: &[u8]) -> Option<TcpFields> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let ip = ethernet.payload();
    let payload = match ip.first()? >> 4 {
        4 => {
            let packet = Ipv4Packet::new_checked(ip).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then(|| packet.payload())?
        }
        _ => {
            let packet = Ipv6Packet::new_checked(ip).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then(|| packet.payload())?
        }
    };
    let tcp = TcpPacket::new_checked(payload).ok()?;
    Some(TcpFields {
        ports: (tcp.src_port(), tcp.dst_port()),
        seq: tcp.seq_number().0 as u32,
        ack: tcp.ack_number().0 as u32,
        flags: (tcp.syn(), tcp.fin(), tcp.rst(), tcp.ack()),
        data: tcp.payload().len(),
        window: tcp.window_len(),
    })
}

/// A SYN between two IPv4 endpoints.
pub fn syn_frame(
    macs: ([u8; 6], [u8; 6]),
    from: SocketAddrV4,
    to: SocketAddrV4,
    seq: u32,
) -> Vec<u8> {
    reply_frame(macs, from, to, TcpControl::Syn, seq, None, &[])
}

/// Any TCP segment between two IPv4 endpoints, with right checksums; a SYN offers a segment size
/// of 1460 and a window scale of 7. `macs` are source and destination.
pub fn reply_frame(
    macs: ([u8; 6], [u8; 6]),
    from: SocketAddrV4,
    to: SocketAddrV4,
    control: TcpControl,
    seq: u32,
    ack: Option<u32>,
    payload: &[u8],
) -> Vec<u8> {
    let is_syn = control == TcpControl::Syn;
    let tcp = tcp_repr((from, to), control, seq, ack, payload);
    let tcp = TcpRepr {
        window_scale: is_syn.then_some(7),
        max_seg_size: is_syn.then_some(1460),
        sack_permitted: is_syn,
        ..tcp
    };
    tcp_frame(macs, from, to, &tcp)
}

/// An acknowledgement with a window as it is written and, where `sack` is given, a selective one.
pub fn ack_frame(
    macs: ([u8; 6], [u8; 6]),
    from: SocketAddrV4,
    to: SocketAddrV4,
    numbers: (u32, u32),
    window: u16,
    sack: Option<(u32, u32)>,
) -> Vec<u8> {
    let (seq, ack) = numbers;
    let mut tcp = tcp_repr((from, to), TcpControl::None, seq, Some(ack), &[]);
    tcp.window_len = window;
    tcp.sack_ranges[0] = sack;
    tcp_frame(macs, from, to, &tcp)
}

/// An IPv4 TCP frame with these options, a multiple of four bytes, in place of its own, and right checksums.
pub fn with_tcp_options(frame: &[u8], options: &[u8]) -> Vec<u8> {
    let data = 34 + TcpPacket::new_unchecked(&frame[34..]).header_len() as usize;
    let mut frame = [&frame[..54], options, &frame[data..]].concat();
    let length = frame.len() - 14;
    let mut ip = Ipv4Packet::new_unchecked(&mut frame[14..]);
    ip.set_total_len(length as u16);
    ip.fill_checksum();
    let ends: [IpAddress; 2] = [ip.src_addr().into(), ip.dst_addr().into()];
    let mut tcp = TcpPacket::new_unchecked(&mut frame[34..]);
    tcp.set_header_len(20 + options.len() as u8);
    tcp.fill_checksum(&ends[0], &ends[1]);
    frame
}

/// A router's message that a packet of stack 0 from port 80 to that port with this sequence number was too long for a link.
pub fn fragmentation_needed(port: u16, seq: u32, mtu: u16) -> Vec<u8> {
    let mut frame = [&MAC[0][..], &MAC[1][..], &[0x08, 0x00]].concat();
    frame.extend([0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1]);
    Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    frame.extend([3, 4, 0, 0, 0, 0]);
    frame.extend(mtu.to_be_bytes());
    frame.extend([0x45, 0, 5, 220, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([80_u16, port].map(u16::to_be_bytes).concat());
    frame.extend(seq.to_be_bytes());
    Icmpv4Packet::new_unchecked(&mut frame[34..]).fill_checksum();
    frame
}

/// An Ethernet frame. `macs` are source and destination.
pub fn ethernet_frame(macs: ([u8; 6], [u8; 6]), kind: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 14 + payload.len()];
    let mut header = EthernetFrame::new_unchecked(&mut frame);
    header.set_src_addr(EthernetAddress(macs.0));
    header.set_dst_addr(EthernetAddress(macs.1));
    header.set_ethertype(kind);
    header.payload_mut().copy_from_slice(payload);
    frame
}

/// An ICMPv6 message to a group, or to stack 0.
pub fn icmpv6_frame(
    from: [u8; 6],
    source: Ipv6Addr,
    target: Ipv6Addr,
    message: &Icmpv6Repr<'_>,
) -> Vec<u8> {
    let ip = Ipv6Repr {
        src_addr: source,
        dst_addr: target,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    let mut packet = vec![0; 40 + message.buffer_len()];
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut packet));
    let mut body = Icmpv6Packet::new_unchecked(&mut packet[40..]);
    message.emit(&source, &target, &mut body, &ChecksumCapabilities::default());
    let [.., a, b, c, d] = target.octets();
    let to = if target.is_multicast() { [0x33, 0x33, a, b, c, d] } else { MAC[0] };
    ethernet_frame((from, to), EthernetProtocol::Ipv6, &packet)
}

/// What a router says of itself and of a prefix; it is one for so many seconds.
pub fn router_advertisement(
    lifetime_seconds: u64,
    prefix_info: Option<NdiscPrefixInformation>,
) -> NdiscRepr<'static> {
    NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: SmolDuration::from_secs(lifetime_seconds),
        reachable_time: SmolDuration::from_secs(0),
        retrans_time: SmolDuration::from_secs(0),
        lladdr: None,
        mtu: None,
        prefix_info,
    }
}

fn tcp_repr(
    (from, to): (SocketAddrV4, SocketAddrV4),
    control: TcpControl,
    seq: u32,
    ack: Option<u32>,
    payload: &[u8],
) -> TcpRepr<'_> {
    TcpRepr {
        src_port: from.port(),
        dst_port: to.port(),
        control,
        seq_number: TcpSeqNumber(seq as i32),
        ack_number: ack.map(|ack| TcpSeqNumber(ack as i32)),
        window_len: 0xffff,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    }
}

fn tcp_frame(
    macs: ([u8; 6], [u8; 6]),
    from: SocketAddrV4,
    to: SocketAddrV4,
    tcp: &TcpRepr,
) -> Vec<u8> {
    let ip = Ipv4Repr {
        src_addr: *from.ip(),
        dst_addr: *to.ip(),
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let caps = ChecksumCapabilities::default();
    let mut frame = vec![0; 14 + 20 + tcp.buffer_len()];
    frame[..6].copy_from_slice(&macs.1);
    frame[6..12].copy_from_slice(&macs.0);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &caps);
    let mut packet = TcpPacket::new_unchecked(&mut frame[34..]);
    tcp.emit(&mut packet, &IpAddress::Ipv4(*from.ip()), &IpAddress::Ipv4(*to.ip()), &caps);
    frame
}
