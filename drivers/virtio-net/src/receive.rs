//! Receive side: frames from the device.

use crate::features::Features;
use crate::{Counters, Fault, Settings};
use machine::virtio::ReceiveRing;
use offload::header::{self, CHECKSUM_VALID, Header, NEEDS_CHECKSUM};
use offload::{ETHERNET_BYTES, Transport};

/// The receiving side of a card. A frame is held until the next is asked for.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) ring: ReceiveRing,
    merges: bool,
    /// Frames that the device does not vouch for are ours to check.
    checks: bool,
    /// Bytes of the frame held, with the device's header.
    held_bytes: usize,
    frames: u64,
    bytes: u64,
    dropped: u64,
}

impl Receiver {
    pub(crate) fn new(ring: ReceiveRing, features: Features) -> Self {
        Self {
            ring,
            merges: features.merges(),
            checks: features.receive_checksums(),
            held_bytes: 0,
            frames: 0,
            bytes: 0,
            dropped: 0,
        }
    }

    /// How long buffers have to be, in bytes.
    pub(crate) fn buffer_bytes(features: Features, settings: &Settings, mtu_bytes: usize) -> usize {
        let whole = Header::BYTES + ETHERNET_BYTES + mtu_bytes;
        let least = if features.merges() { 0 } else { whole };
        settings.receive_buffer_bytes.clamp(256, 1 << 16).max(least)
    }

    /// Lets go of the frame held, and takes hold of the next whole and sound one; false when there
    /// is none.
    pub(crate) fn advance(&mut self) -> Result<bool, Fault> {
        self.ring.disarm();
        loop {
            self.ring.recycle();
            let Some(filled) = self.ring.accept()? else { return Ok(false) };
            if filled < Header::BYTES {
                return Err(Fault::UsedLength);
            }
            let (flags, buffers) = self.header();
            let buffers = if self.merges { buffers } else { 1 };
            let Some(bytes) = self.gather(filled, buffers)? else { return Ok(false) };
            self.held_bytes = bytes;
            if bytes >= Header::BYTES + ETHERNET_BYTES && self.is_sound(flags) {
                self.frames += 1;
                self.bytes += (bytes - Header::BYTES) as u64;
                return Ok(true);
            }
            self.dropped += 1;
        }
    }

    /// The frame held.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.ring.bytes(self.held_bytes)[Header::BYTES..]
    }

    /// The frame held, to be lent to the stack.
    pub(crate) fn frame_mut(&mut self) -> &mut [u8] {
        &mut self.ring.bytes_mut(self.held_bytes)[Header::BYTES..]
    }

    /// Lets go of the frame held; whether the device wants to hear of free buffers.
    pub(crate) fn release(&mut self) -> bool {
        self.ring.recycle();
        self.ring.wants_doorbell()
    }

    /// Asks for an interrupt; false when there is something to receive.
    pub(crate) fn arm(&mut self) -> bool {
        self.ring.arm()
    }

    pub(crate) fn count(&self, counters: Counters) -> Counters {
        Counters {
            received_frames: self.frames,
            received_bytes: self.bytes,
            received_dropped: self.dropped,
            ..counters
        }
    }

    /// Accepts the other buffers of a frame whose first is filled to `filled` bytes, and says how
    /// long the frame is with its header: 0 when it has holes, since a device fills all buffers but
    /// the last. `None` when the device has not returned all of them yet.
    fn gather(&mut self, filled: usize, buffers: u16) -> Result<Option<usize>, Fault> {
        if buffers == 1 {
            return Ok(Some(filled));
        }
        if buffers == 0 || buffers > self.ring.buffers() {
            return Err(Fault::Merged);
        }
        let more = buffers - 1;
        if self.ring.waiting(more)? < more {
            self.ring.put_back();
            return Ok(None);
        }
        let (mut last, mut is_full) = (filled, true);
        for _ in 0..more {
            is_full &= last == self.ring.buffer_bytes();
            last = self.ring.accept()?.ok_or(Fault::Merged)?;
        }
        let bytes = usize::from(more) * self.ring.buffer_bytes() + last;
        Ok(Some(if is_full { bytes } else { 0 }))
    }

    fn header(&self) -> (u8, u16) {
        let bytes = self.ring.bytes(Header::BYTES).first_chunk();
        bytes.map_or((0, 0), header::parse)
    }

    /// Whether the device vouches for the frame held (a checksum that it left out never left the
    /// host), or else its checksum is right.
    fn is_sound(&self, flags: u8) -> bool {
        if !self.checks || flags & (NEEDS_CHECKSUM | CHECKSUM_VALID) != 0 {
            return true;
        }
        let frame = self.frame();
        Transport::find(frame).is_none_or(|transport| transport.is_intact(frame))
    }
}
