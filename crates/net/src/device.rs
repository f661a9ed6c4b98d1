//! smoltcp's view of the wire: one frame in, stamped frames out.

use crate::wire::header::{Bare, fill_checksum};
use crate::wire::tuple::Tuple;
use alloc::vec;
use bytes::Bytes;
use core::num::NonZeroU16;
use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, TcpPacket};

/// A network card: a smoltcp device with what the platform's loop needs beside it.
pub trait Card: Device + Sized {
    /// Sends a frame whose first `head_len` bytes `fill` writes and whose rest is `tail`, which may
    /// be sent from where it lies. False when the device is full. The default copies.
    fn send_lent(
        &mut self,
        now: Instant,
        head_len: usize,
        tail: Bytes,
        meta: PacketMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> bool {
        Wire::send(self, now, head_len + tail.len(), meta, &mut |frame| {
            fill_and_copy(frame, head_len, &tail, fill);
        })
    }

    /// Hands what was sent over to the hardware; called once after all that a round sends.
    fn flush(&mut self) {}

    /// Turns interrupts on; false when there is something to do already.
    fn prepare_to_wait(&mut self) -> bool {
        true
    }

    /// Whether the link is up.
    fn link_up(&self) -> bool {
        true
    }
}

/// A device in a form that needs no type parameter above it, so that the stack is compiled once
/// however many drivers an image has.
pub(crate) trait Wire {
    fn flush(&mut self);

    fn prepare_to_wait(&mut self) -> bool;

    fn link_up(&self) -> bool;

    fn capabilities(&self) -> DeviceCapabilities;

    /// The device takes a frame now.
    fn ready(&mut self, now: Instant) -> bool;

    /// Sends a frame of `len` bytes that `fill` writes; false when the device is full.
    fn send(
        &mut self,
        now: Instant,
        len: usize,
        meta: PacketMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> bool;

    /// As [`Card::send_lent`].
    fn send_lent(
        &mut self,
        now: Instant,
        head_len: usize,
        tail: Bytes,
        meta: PacketMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> bool;

    /// Lends the next frame, and room for one answer, to `handle`; false when there is none.
    fn receive(&mut self, now: Instant, handle: &mut dyn FnMut(&[u8], &mut dyn Output)) -> bool;
}

/// Where frames go.
pub(crate) trait Output {
    /// A frame can be sent.
    fn ready(&mut self) -> bool;

    /// Sends a frame of `len` bytes that `fill` writes; false when it could not.
    fn send(&mut self, len: usize, meta: PacketMeta, fill: &mut dyn FnMut(&mut [u8])) -> bool;

    /// Sends a frame whose first `head_len` bytes `fill` writes and whose rest is `tail`; false when
    /// it could not.
    fn send_lent(
        &mut self,
        head_len: usize,
        tail: Bytes,
        meta: PacketMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> bool {
        self.send(head_len + tail.len(), meta, &mut |frame| {
            fill_and_copy(frame, head_len, &tail, fill);
        })
    }
}

/// Writes a frame whose end cannot be sent from where it lies.
fn fill_and_copy(frame: &mut [u8], head_len: usize, tail: &[u8], fill: &mut dyn FnMut(&mut [u8])) {
    let (head, rest) = frame.split_at_mut(head_len);
    fill(head);
    rest.copy_from_slice(tail);
}

impl<D: Card> Wire for D {
    fn flush(&mut self) {
        Card::flush(self);
    }

    fn prepare_to_wait(&mut self) -> bool {
        Card::prepare_to_wait(self)
    }

    fn link_up(&self) -> bool {
        Card::link_up(self)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        Device::capabilities(self)
    }

    fn ready(&mut self, now: Instant) -> bool {
        self.transmit(now).is_some()
    }

    fn send(
        &mut self,
        now: Instant,
        len: usize,
        meta: PacketMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> bool {
        let Some(mut token) = self.transmit(now) else { return false };
        token.set_meta(meta);
        token.consume(len, |frame| fill(frame));
        true
    }

    fn send_lent(
        &mut self,
        now: Instant,
        head_len: usize,
        tail: Bytes,
        meta: PacketMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> bool {
        Card::send_lent(self, now, head_len, tail, meta, fill)
    }

    fn receive(&mut self, now: Instant, handle: &mut dyn FnMut(&[u8], &mut dyn Output)) -> bool {
        let Some((frame, answer)) = Device::receive(self, now) else { return false };
        frame.consume(|frame| handle(frame, &mut Once(Some(answer))));
        true
    }
}

/// All of a device's room for frames.
pub(crate) struct WireOutput<'a> {
    pub(crate) wire: &'a mut dyn Wire,
    pub(crate) now: Instant,
}

impl Output for WireOutput<'_> {
    fn ready(&mut self) -> bool {
        self.wire.ready(self.now)
    }

    fn send(&mut self, len: usize, meta: PacketMeta, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        self.wire.send(self.now, len, meta, fill)
    }

    fn send_lent(
        &mut self,
        head_len: usize,
        tail: Bytes,
        meta: PacketMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> bool {
        self.wire.send_lent(self.now, head_len, tail, meta, fill)
    }
}

/// No device: for interfaces in the making, and for what must not leave.
pub(crate) struct Nowhere;

impl Output for Nowhere {
    fn ready(&mut self) -> bool {
        false
    }

    fn send(&mut self, _: usize, _: PacketMeta, _: &mut dyn FnMut(&mut [u8])) -> bool {
        false
    }
}

/// What a connection's packets get on their way out: smoltcp writes IP packets, and this makes
/// them frames of this connection.
pub(crate) struct Stamp {
    pub(crate) tuple: Tuple,
    /// Destination, source and type.
    pub(crate) ethernet: [u8; 14],
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

/// What the last packet that left said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Departed {
    /// Packets since the port was made.
    pub(crate) packets: u32,
    /// The first sequence number of the last one, and the one after its end.
    pub(crate) seq: u32,
    pub(crate) seq_end: u32,
}

/// A device of at most one received frame.
pub(crate) struct Port<'a> {
    pub(crate) caps: &'a DeviceCapabilities,
    pub(crate) frame: Option<&'a [u8]>,
    pub(crate) output: &'a mut dyn Output,
    /// Absent for whole frames, as the service interface writes them.
    pub(crate) stamp: Option<&'a Stamp>,
    pub(crate) departed: Departed,
    /// The device refused a packet that smoltcp wanted to send.
    pub(crate) blocked: bool,
}

impl<'a> Port<'a> {
    pub(crate) fn new(caps: &'a DeviceCapabilities, output: &'a mut dyn Output) -> Self {
        let departed = Departed::default();
        Self { caps, frame: None, output, stamp: None, departed, blocked: false }
    }

    /// Sends the packet of `len` bytes that `fill` writes, stamped where there is a stamp.
    pub(crate) fn send(&mut self, len: usize, meta: PacketMeta, fill: &mut dyn FnMut(&mut [u8])) {
        let departed = &mut self.departed;
        let sent = match self.stamp {
            None => self.output.send(len, meta, fill),
            Some(stamp) => {
                let meta = stamp.meta(len);
                self.output.send(ETHERNET + len, meta, &mut |frame| {
                    let (ethernet, packet) = frame.split_at_mut(ETHERNET);
                    ethernet.copy_from_slice(&stamp.ethernet);
                    fill(packet);
                    (departed.seq, departed.seq_end) = stamp.finish(packet);
                })
            }
        };
        self.departed.packets += u32::from(sent);
        self.blocked |= !sent;
    }
}

impl Stamp {
    /// Sends a segment that this crate writes itself; false when the device was full.
    pub(crate) fn send(&self, bare: &Bare, payload: &[u8], output: &mut dyn Output) -> bool {
        let len = bare.packet_len(&self.tuple) + payload.len();
        output.send(ETHERNET + len, self.meta(len), &mut |frame| {
            let (ethernet, packet) = frame.split_at_mut(ETHERNET);
            ethernet.copy_from_slice(&self.ethernet);
            bare.emit(&self.tuple, payload, self.checksum, packet);
        })
    }

    /// The same for a payload that begins with `start` and goes on with lent bytes, which are
    /// read here only when the device leaves the checksum to us.
    pub(crate) fn send_lent(
        &self,
        bare: &Bare,
        start: &[u8],
        tail: Bytes,
        output: &mut dyn Output,
    ) -> bool {
        let payload_len = start.len() + tail.len();
        let head_len = bare.packet_len(&self.tuple) + start.len();
        let meta = self.meta(head_len + tail.len());
        let mut fill_head = |frame: &mut [u8]| {
            let (ethernet, packet) = frame.split_at_mut(ETHERNET);
            ethernet.copy_from_slice(&self.ethernet);
            let (head, place) = packet.split_at_mut(packet.len() - start.len());
            bare.emit_head(&self.tuple, payload_len, head);
            place.copy_from_slice(start);
        };
        if !self.checksum {
            return output.send_lent(ETHERNET + head_len, tail, meta, &mut fill_head);
        }
        output.send(ETHERNET + head_len + tail.len(), meta, &mut |frame| {
            fill_and_copy(frame, ETHERNET + head_len, &tail, &mut fill_head);
            fill_checksum(&self.tuple, &mut frame[ETHERNET..]);
        })
    }

    /// smoltcp 0.14 passes the segment size on for IPv4 only; we know it for both.
    fn meta(&self, packet_len: usize) -> PacketMeta {
        let payload = packet_len.saturating_sub(self.tuple.ip_header_len() + TCP);
        let mut meta = PacketMeta::default();
        if payload > usize::from(self.mss) {
            meta.segmentation_offload_size = NonZeroU16::new(self.mss);
        }
        meta
    }

    /// Rewrites the window, sets the checksum, and reads the sequence numbers.
    fn finish(&self, packet: &mut [u8]) -> (u32, u32) {
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

impl<'a> Device for Port<'a> {
    type RxToken<'b>
        = Incoming<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Outgoing<'b, 'a>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Incoming<'_>, Outgoing<'_, 'a>)> {
        let frame = self.frame.take()?;
        Some((Incoming(frame), Outgoing { port: self, meta: PacketMeta::default() }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_, 'a>> {
        if !self.output.ready() {
            self.blocked = true;
            return None;
        }
        Some(Outgoing { port: self, meta: PacketMeta::default() })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.caps.clone()
    }
}

pub(crate) struct Incoming<'a>(&'a [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(crate) struct Outgoing<'b, 'a> {
    port: &'b mut Port<'a>,
    meta: PacketMeta,
}

impl TxToken for Outgoing<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut write = Some(f);
        let mut value = None;
        self.port.send(len, self.meta, &mut |frame| {
            value = write.take().map(|write| write(frame));
        });
        match (value, write) {
            (Some(value), _) => value,
            // The device said it was ready and then was not: the packet is lost, as on a wire.
            (None, Some(write)) => write(&mut vec![0; len]),
            (None, None) => unreachable!("a closure that was taken left its value"),
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.meta = meta;
    }
}

const ETHERNET: usize = 14;
const TCP: usize = 20;

/// Room for one frame.
struct Once<T>(Option<T>);

impl<T: TxToken> Output for Once<T> {
    fn ready(&mut self) -> bool {
        self.0.is_some()
    }

    fn send(&mut self, len: usize, meta: PacketMeta, fill: &mut dyn FnMut(&mut [u8])) -> bool {
        let Some(mut token) = self.0.take() else { return false };
        token.set_meta(meta);
        token.consume(len, |frame| fill(frame));
        true
    }
}
