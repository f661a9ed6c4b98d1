//! TCP packets that this crate writes itself, over smoltcp's wire formats.

use crate::segment::Offer;
use crate::tuple::Tuple;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

/// Bytes of the largest packet that [`bare`] describes: IPv6, TCP, and a SYN's options.
pub(crate) const BARE_MAX: usize = 40 + 20 + 12;

/// A segment without data.
pub(crate) fn bare(
    tuple: &Tuple,
    control: TcpControl,
    seq: u32,
    ack: Option<u32>,
) -> TcpRepr<'static> {
    TcpRepr {
        src_port: tuple.local_port,
        dst_port: tuple.remote_port,
        control,
        seq_number: sequence(seq),
        ack_number: ack.map(sequence),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}

/// A SYN or SYN-ACK that makes `offer`.
pub(crate) fn syn(tuple: &Tuple, seq: u32, ack: Option<u32>, offer: &Offer) -> TcpRepr<'static> {
    TcpRepr {
        window_scale: offer.scale,
        max_seg_size: Some(offer.mss),
        sack_permitted: offer.sack,
        ..bare(tuple, TcpControl::Syn, seq, ack)
    }
}

/// Bytes of the IP packet that carries `tcp`.
pub(crate) fn packet_len(tuple: &Tuple, tcp: &TcpRepr) -> usize {
    tuple.ip_header_len() + tcp.buffer_len()
}

/// Writes the IP packet from the tuple's local to its remote end into `packet`, which is exactly
/// [`packet_len`] long.
pub(crate) fn emit(tuple: &Tuple, tcp: &TcpRepr, caps: &ChecksumCapabilities, packet: &mut [u8]) {
    let local = IpAddress::from(tuple.local().ip());
    let remote = IpAddress::from(tuple.remote().ip());
    IpRepr::new(local, remote, IpProtocol::Tcp, tcp.buffer_len(), HOP_LIMIT)
        .emit(&mut *packet, caps);
    let payload = &mut packet[tuple.ip_header_len()..];
    tcp.emit(&mut TcpPacket::new_unchecked(payload), &local, &remote, caps);
}

/// smoltcp's form of a sequence number.
fn sequence(number: u32) -> TcpSeqNumber {
    TcpSeqNumber(number as i32)
}

/// RFC 1122 section 3.2.1.7 asks for a configurable default; IANA recommends 64.
const HOP_LIMIT: u8 = 64;
