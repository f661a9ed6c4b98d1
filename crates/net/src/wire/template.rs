//! Header template: what makes Ethernet frames of one connection's segments, and sends them.

use super::header::{TcpHeader, fill_checksum};
use super::tuple::Tuple;
use crate::device::{Transmit, TxFrame};
use bytes::Bytes;
use core::num::NonZeroU16;
use smoltcp::wire::{IpAddress, TcpPacket};

/// What all frames of a connection have in common.
pub(crate) struct HeaderTemplate {
    pub(crate) tuple: Tuple,
    /// Ethernet's header: destination, source and type.
    pub(crate) ethernet: [u8; ETHERNET],
    /// smoltcp scales the window by what its ring needs; the peer was promised another scale.
    pub(crate) window_shift_in: u8,
    pub(crate) window_shift_out: u8,
    /// The peer's segment size: larger payloads are cut by the device.
    pub(crate) mss: u16,
    /// Routers may cut packets, since some link on the way is narrow.
    pub(crate) may_fragment: bool,
    /// The device does not write TCP checksums.
    pub(crate) checksum: bool,
}

impl HeaderTemplate {
    /// Sends a segment; false when the device was full.
    pub(crate) fn transmit(
        &self,
        header: &TcpHeader,
        payload: &[u8],
        output: &mut dyn Transmit,
    ) -> bool {
        let len = header.packet_len(&self.tuple) + payload.len();
        self.transmit_packet(len, output, |packet| {
            header.emit(&self.tuple, payload, self.checksum, packet);
        })
    }

    /// Sends a segment whose payload begins with `start` and goes on with shared bytes, which are
    /// read here only when the device leaves the checksum to us; false when the device was full.
    pub(crate) fn transmit_shared(
        &self,
        header: &TcpHeader,
        start: &[u8],
        tail: Bytes,
        output: &mut dyn Transmit,
    ) -> bool {
        let payload_len = start.len() + tail.len();
        let head_len = header.packet_len(&self.tuple) + start.len();
        let frame = TxFrame {
            head_bytes: ETHERNET + head_len,
            segment_bytes: self.segment_bytes(head_len + tail.len()),
            tail: Some(tail),
        };
        let mut build_head = |frame: &mut [u8]| {
            let (ethernet, packet) = frame.split_at_mut(ETHERNET);
            ethernet.copy_from_slice(&self.ethernet);
            let (head, place) = packet.split_at_mut(packet.len() - start.len());
            header.emit_head(&self.tuple, payload_len, head);
            place.copy_from_slice(start);
        };
        if !self.checksum {
            return output.transmit(frame, &mut build_head);
        }
        let whole = TxFrame { segment_bytes: frame.segment_bytes, ..TxFrame::new(frame.bytes()) };
        output.transmit(whole, &mut |place| {
            frame.write(&mut build_head, place);
            fill_checksum(&self.tuple, &mut place[ETHERNET..]);
        })
    }

    /// Sends the IP packet of `len` bytes that `build` writes; false when the device was full.
    #[inline]
    pub(crate) fn transmit_packet(
        &self,
        len: usize,
        output: &mut dyn Transmit,
        mut build: impl FnMut(&mut [u8]),
    ) -> bool {
        let frame =
            TxFrame { segment_bytes: self.segment_bytes(len), ..TxFrame::new(ETHERNET + len) };
        output.transmit(frame, &mut |frame| {
            let (ethernet, packet) = frame.split_at_mut(ETHERNET);
            ethernet.copy_from_slice(&self.ethernet);
            build(packet);
        })
    }

    /// smoltcp 0.14 passes the segment size on for IPv4 only; we know it for both.
    fn segment_bytes(&self, packet_len: usize) -> Option<NonZeroU16> {
        let payload = packet_len.saturating_sub(self.tuple.ip_header_len() + TCP);
        if payload > usize::from(self.mss) { NonZeroU16::new(self.mss) } else { None }
    }

    /// Completes a packet that smoltcp wrote: rewrites its window and sets its checksum. Its first
    /// sequence number, and the one after its end.
    pub(crate) fn complete(&self, packet: &mut [u8]) -> (u32, u32) {
        if self.may_fragment {
            allow_fragments(packet);
        }
        let mut tcp = TcpPacket::new_unchecked(&mut packet[self.tuple.ip_header_len()..]);
        if self.window_shift_in != self.window_shift_out {
            let window = u32::from(tcp.window_len()) << self.window_shift_in;
            let scaled = (window >> self.window_shift_out).min(0xffff);
            tcp.set_window_len(scaled as u16);
        }
        if self.checksum {
            let (local, remote) = (self.tuple.local().ip(), self.tuple.remote().ip());
            tcp.fill_checksum(&IpAddress::from(local), &IpAddress::from(remote));
        }
        let seq = tcp.seq_number().0 as u32;
        (seq, seq.wrapping_add(tcp.segment_len() as u32))
    }
}

/// Clears the flag that forbids it in an IPv4 header, and keeps the checksum right (RFC 1624).
fn allow_fragments(packet: &mut [u8]) {
    if let Some(header) = packet.first_chunk_mut::<20>()
        && header[6] & DONT_FRAGMENT != 0
    {
        header[6] &= !DONT_FRAGMENT;
        let (sum, carry) = u16::from_be_bytes([header[10], header[11]])
            .overflowing_add(u16::from(DONT_FRAGMENT) << 8);
        header[10..12].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
    }
}

const DONT_FRAGMENT: u8 = 0x40;
const ETHERNET: usize = 14;
const TCP: usize = 20;
