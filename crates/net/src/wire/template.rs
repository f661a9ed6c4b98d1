//! Header template: what makes Ethernet frames of one connection's segments, and sends them.

use super::ETHERNET;
use super::header::{Headers, fill_checksum};
use super::tuple::Tuple;
use crate::device::{Transmit, TxFrame};
use ::tcp::{Slice, Slices};
use bytes::Bytes;
use core::num::NonZeroU16;

/// What all frames of a connection have in common, beside its tuple.
#[derive(Clone, Copy)]
pub(crate) struct HeaderTemplate {
    /// Ethernet's header: destination, source and type.
    pub(crate) ethernet: [u8; ETHERNET],
    /// The device does not write TCP checksums.
    pub(crate) checksum: bool,
    /// Routers may cut packets, since some link on the way is narrow.
    pub(crate) may_fragment: bool,
}

impl HeaderTemplate {
    /// Sends a segment, or several of `segment_bytes` that the device cuts; false when the device was full.
    /// `payload` may be asked for more than once.
    #[inline]
    pub(crate) fn transmit<'a>(
        &self,
        headers: &Headers,
        payload_len: usize,
        payload: impl Fn() -> Slices<'a>,
        segment_bytes: Option<NonZeroU16>,
        output: &mut dyn Transmit,
    ) -> bool {
        let tail = if payload_len < SHARED_MIN || self.checksum { None } else { tail(payload()) };
        let copied_len = payload_len - tail.as_ref().map_or(0, Bytes::len);
        let head_bytes = ETHERNET + headers.len() + copied_len;
        let frame = TxFrame { head_bytes, tail, segment_bytes };
        output.transmit(frame, &mut |frame| {
            self.write(headers, payload_len, frame, |place| copy(payload(), place));
        })
    }

    /// Sends a segment without data; false when the device was full.
    pub(crate) fn transmit_bare(&self, headers: &Headers, output: &mut dyn Transmit) -> bool {
        let frame = TxFrame::new(ETHERNET + headers.len());
        output.transmit(frame, &mut |frame| self.write(headers, 0, frame, |_| ()))
    }

    /// Writes what of a frame is written: `fill` the payload.
    #[inline]
    fn write(
        &self,
        headers: &Headers,
        payload_len: usize,
        frame: &mut [u8],
        fill: impl FnOnce(&mut [u8]),
    ) {
        let (ethernet, packet) = frame.split_at_mut(ETHERNET);
        ethernet.copy_from_slice(&self.ethernet);
        let (head, place) = packet.split_at_mut(headers.len());
        headers.emit(payload_len, head);
        fill(place);
        if self.checksum {
            fill_checksum(headers.tuple, packet);
        }
    }
}

/// Copies the pieces of a payload as far as there is a place for them.
#[inline]
fn copy(payload: Slices<'_>, mut place: &mut [u8]) {
    for slice in payload {
        let bytes = slice.bytes();
        let Some((space, rest)) = place.split_at_mut_checked(bytes.len()) else { return };
        space.copy_from_slice(bytes);
        if rest.is_empty() {
            return;
        }
        place = rest;
    }
}

/// The end of a payload, if it lies in memory that the device can read by itself and is long enough for that to
/// be worth a descriptor.
fn tail(payload: Slices<'_>) -> Option<Bytes> {
    payload
        .last()
        .filter(|slice| slice.bytes().len() >= SHARED_MIN)
        .and_then(|slice: Slice| slice.shared())
}

/// Shorter pieces are copied: that costs less than another descriptor and the reference to the memory.
const SHARED_MIN: usize = 2 << 10;

/// The header of frames that carry a connection's packets from `own` to `hop`.
pub(crate) fn ethernet(tuple: &Tuple, own: [u8; 6], hop: [u8; 6]) -> [u8; ETHERNET] {
    let [a, b, c, d, e, f] = own;
    let [high, low]: [u8; 2] = if tuple.is_v4() { [0x08, 0x00] } else { [0x86, 0xdd] };
    let mut header = [0, 0, 0, 0, 0, 0, a, b, c, d, e, f, high, low];
    header[..6].copy_from_slice(&hop);
    header
}
