//! Frames to the device.

use crate::features::{Features, LONG_FRAME_BYTES};
use crate::{Counters, Error, Fault, Settings, TRANSMIT_QUEUE};
use alloc::vec;
use bytes::Bytes;
use core::num::NonZeroU16;
use machine::virtio::{Device, TransmitRing};
use offload::ETHERNET_BYTES;
use offload::header::Header;

/// The sending side of a card.
#[derive(Debug)]
pub(crate) struct Transmitter {
    ring: TransmitRing,
    frame_bytes_max: usize,
    offloads: bool,
    /// Somebody wanted to send and found no room.
    starved: bool,
    fault: Option<Fault>,
    frames: u64,
    bytes: u64,
    segmented: u64,
    dropped: u64,
}

impl Transmitter {
    pub(crate) fn new(
        device: &mut Device,
        features: Features,
        settings: &Settings,
        mtu_bytes: usize,
    ) -> Result<Self, Error> {
        let plain = ETHERNET_BYTES + mtu_bytes;
        let long = (settings.transmit_bytes / 2).saturating_sub(Header::BYTES);
        let frame_bytes_max =
            if features.segments_ipv4() { plain.max(long.min(LONG_FRAME_BYTES)) } else { plain };
        let ring = device.transmit_ring(
            TRANSMIT_QUEUE,
            settings.transmit_frames,
            settings.transmit_bytes,
            Header::BYTES + frame_bytes_max,
        )?;
        Ok(Self {
            ring,
            frame_bytes_max,
            offloads: features.transmit_checksums(),
            starved: false,
            fault: None,
            frames: 0,
            bytes: 0,
            segmented: 0,
            dropped: 0,
        })
    }

    /// Begins anew with a device that has been reset; what was not sent is lost.
    pub(crate) fn restart(&mut self, device: &mut Device) -> Result<(), Error> {
        (self.fault, self.starved) = (None, false);
        device.restart_transmit_ring(TRANSMIT_QUEUE, &mut self.ring)
    }

    /// The longest frame, in bytes, with its Ethernet header.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max
    }

    /// Whether a frame of any length can be sent now. If not, the next wait ends when one can.
    pub(crate) fn ready(&mut self) -> bool {
        let ready = self.fault.is_none() && (self.ring.has_room() || self.reclaim());
        self.starved = !ready;
        ready
    }

    /// Frees what the device has sent, and says whether a frame of any length can be sent then.
    pub(crate) fn reclaim(&mut self) -> bool {
        self.ring.reclaim().unwrap_or_else(|fault| {
            self.fault = Some(fault);
            false
        })
    }

    /// Whether that is known already.
    pub(crate) fn has_room(&self) -> bool {
        self.ring.has_room()
    }

    /// Whether the last that wanted to send found no room.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// Builds a frame and queues it, or throws it away if it is too long. Somebody has found that
    /// there is room.
    pub(crate) fn send<R>(
        &mut self,
        frame_bytes: usize,
        segment: Option<NonZeroU16>,
        build: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        if frame_bytes > self.frame_bytes_max {
            self.dropped += 1;
            return build(&mut vec![0; frame_bytes]);
        }
        let offloads = self.offloads;
        let result = self.ring.send(Header::BYTES + frame_bytes, |buffer| {
            let (header, frame) = buffer.split_at_mut(Header::BYTES);
            let result = build(frame);
            let fields = if offloads {
                Header::leaving(frame, frame_bytes, segment)
            } else {
                Header::default()
            };
            header.copy_from_slice(&fields.emit());
            result
        });
        self.note(frame_bytes, segment);
        result
    }

    /// The same for a frame of which `build` builds the first bytes, all headers among them, and
    /// which goes on with `tail`. The device reads that where it lies, unless it wants a checksum of
    /// it.
    pub(crate) fn send_lent(
        &mut self,
        head_bytes: usize,
        tail: Bytes,
        segment: Option<NonZeroU16>,
        build: &mut dyn FnMut(&mut [u8]),
    ) {
        let frame_bytes = head_bytes + tail.len();
        if !self.offloads || frame_bytes > self.frame_bytes_max {
            return self.send(frame_bytes, segment, |frame| {
                let (head, rest) = frame.split_at_mut(head_bytes);
                build(head);
                rest.copy_from_slice(&tail);
            });
        }
        self.ring.send_with_tail(Header::BYTES + head_bytes, tail, |buffer| {
            let (header, head) = buffer.split_at_mut(Header::BYTES);
            build(head);
            header.copy_from_slice(&Header::leaving(head, frame_bytes, segment).emit());
        });
        self.note(frame_bytes, segment);
    }

    fn note(&mut self, frame_bytes: usize, segment: Option<NonZeroU16>) {
        self.frames += 1;
        self.bytes += frame_bytes as u64;
        self.segmented += u64::from(segment.is_some());
    }

    /// Lets the device see what was sent; whether it wants to be told.
    pub(crate) fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// The device has seen all that was sent.
    pub(crate) fn is_published(&self) -> bool {
        self.ring.is_published()
    }

    /// Asks for an interrupt when there is some room; false when there is already.
    pub(crate) fn arm(&mut self) -> bool {
        self.ring.arm()
    }

    /// Asks for no interrupts.
    pub(crate) fn disarm(&mut self) {
        self.ring.disarm();
    }

    /// What the device did wrong, if it did.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    pub(crate) fn count(&self, counters: Counters) -> Counters {
        Counters {
            sent_frames: self.frames,
            sent_bytes: self.bytes,
            sent_segmented: self.segmented,
            sent_dropped: self.dropped,
            ..counters
        }
    }
}
