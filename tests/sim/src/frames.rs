//! Frames made and read by hand, for peers that do not behave.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, TcpControl, TcpPacket,
    TcpRepr, TcpSeqNumber,
};
use std::net::SocketAddrV4;

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
