//! Transmit side: frames to the device.

use crate::features::{Features, LONG_FRAME_BYTES};
use crate::{Counters, Fault, Settings};
use alloc::vec;
use bytes::Bytes;
use machine::virtio::TransmitRing;
use net::device::{Transmit, TxFrame};
use offload::ETHERNET_BYTES;
use offload::header::Header;

/// The sending side of a card.
#[derive(Debug)]
pub(crate) struct Transmitter {
    pub(crate) ring: TransmitRing,
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

impl Transmit for Transmitter {
    /// If there is no room, the next wait ends when there is.
    fn is_ready(&mut self) -> bool {
        let ready = self.fault.is_none() && (self.ring.has_room() || self.reclaim());
        self.starved = !ready;
        ready
    }

    /// The tail is read by the device where it lies, unless it wants a checksum of it.
    fn transmit(&mut self, mut frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
        if !self.is_ready() {
            return false;
        }
        let bytes = frame.bytes();
        if bytes > self.frame_bytes_max {
            self.dropped += 1;
            build(&mut vec![0; frame.head_bytes]);
            return true;
        }
        self.frames += 1;
        self.bytes += bytes as u64;
        self.segmented += u64::from(frame.segment_bytes.is_some());
        match frame.tail.take_if(|_| self.offloads) {
            None => self.send_whole(&frame, build),
            Some(tail) => self.send_with_tail(&frame, tail, build),
        }
        true
    }
}

impl Transmitter {
    pub(crate) fn new(ring: TransmitRing, features: Features, frame_bytes_max: usize) -> Self {
        Self {
            ring,
            frame_bytes_max,
            offloads: features.transmit_checksums(),
            starved: false,
            fault: None,
            frames: 0,
            bytes: 0,
            segmented: 0,
            dropped: 0,
        }
    }

    /// How long a frame may be, in bytes, with its Ethernet header.
    pub(crate) fn longest(features: Features, settings: &Settings, mtu_bytes: usize) -> usize {
        let plain = ETHERNET_BYTES + mtu_bytes;
        let long = (settings.transmit_bytes / 2).saturating_sub(Header::BYTES);
        if features.segments_ipv4() { plain.max(long.min(LONG_FRAME_BYTES)) } else { plain }
    }

    /// Begins anew with a device that has been reset; what was not sent is lost.
    pub(crate) fn restart(&mut self) {
        (self.fault, self.starved) = (None, false);
    }

    /// The longest frame, in bytes, with its Ethernet header.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max
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

    /// The device was stopped, and takes nothing before it is started anew.
    pub(crate) fn stop(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// Queues a frame that is built in one piece.
    fn send_whole(&mut self, frame: &TxFrame, build: &mut dyn FnMut(&mut [u8])) {
        let (offloads, bytes) = (self.offloads, frame.bytes());
        self.ring.send(Header::BYTES + bytes, |buffer| {
            let (header, place) = buffer.split_at_mut(Header::BYTES);
            frame.write(build, place);
            let fields = if offloads {
                Header::leaving(place, bytes, frame.segment_bytes)
            } else {
                Header::default()
            };
            header.copy_from_slice(&fields.emit());
        });
    }

    /// Queues a frame whose tail the device reads where it lies.
    fn send_with_tail(&mut self, frame: &TxFrame, tail: Bytes, build: &mut dyn FnMut(&mut [u8])) {
        let bytes = frame.head_bytes + tail.len();
        self.ring.send_with_tail(Header::BYTES + frame.head_bytes, tail, |buffer| {
            let (header, head) = buffer.split_at_mut(Header::BYTES);
            build(head);
            header.copy_from_slice(&Header::leaving(head, bytes, frame.segment_bytes).emit());
        });
    }

    /// Lets the device see what was sent; whether it wants to be told.
    pub(crate) fn publish(&mut self) -> bool {
        self.ring.publish()
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
