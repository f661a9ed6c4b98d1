//! Receive side: frames from the backend.

use crate::{Counters, Error, Settings};
use machine::xen::DomainId;
use machine::xen::net::{Fault, ReceiveRing};
use offload::{ETHERNET_BYTES, Transport};

/// The receiving side of an interface. A frame is held until the next is asked for.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) ring: ReceiveRing,
    frames: u64,
    bytes: u64,
    dropped: u64,
}

impl Receiver {
    pub(crate) fn new(domain: DomainId, settings: &Settings) -> Result<Self, Error> {
        let ring = ReceiveRing::new(domain, settings.receive_pages)?;
        Ok(Self { ring, frames: 0, bytes: 0, dropped: 0 })
    }

    /// Lets go of the frame held, and takes hold of the next whole and sound one; false when there
    /// is none.
    pub(crate) fn advance(&mut self) -> Result<bool, Fault> {
        while let Some(frame) = self.ring.accept()? {
            if frame.bytes >= ETHERNET_BYTES && (frame.is_sound || is_intact(self.ring.bytes())) {
                self.frames += 1;
                self.bytes += frame.bytes as u64;
                return Ok(true);
            }
            self.dropped += 1;
        }
        Ok(false)
    }

    /// The frame held, to be lent to the stack.
    pub(crate) fn frame_mut(&mut self) -> &mut [u8] {
        self.ring.bytes_mut()
    }

    /// Lets go of the frame held; whether the backend wants to hear of free pages.
    pub(crate) fn release(&mut self) -> bool {
        self.ring.recycle();
        self.ring.publish()
    }

    /// Asks for an event; false when there is something to receive.
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
}

/// Whether a frame's checksum is right, or it has none.
fn is_intact(frame: &[u8]) -> bool {
    Transport::find(frame).is_none_or(|transport| transport.is_intact(frame))
}
