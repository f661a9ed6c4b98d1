//! Transmit side: frames to the backend.

use crate::{Counters, Error, Settings};
use alloc::vec;
use core::num::NonZeroU16;
use machine::xen::DomainId;
use machine::xen::net::{Fault, Offload, TransmitRing};
use net::device::{Transmit, TxFrame};
use offload::Transport;

/// The sending side of an interface.
#[derive(Debug)]
pub(crate) struct Transmitter {
    pub(crate) ring: TransmitRing,
    /// The backend, or who receives the frame, completes checksums.
    pub(crate) offloads: bool,
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
        let ready = self.reclaim();
        self.starved = !ready;
        ready
    }

    /// A tail is copied, too: what the backend is to read elsewhere would have to be granted to it
    /// page by page, which costs more.
    fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
        if !self.is_ready() {
            return false;
        }
        let bytes = frame.bytes();
        if bytes > self.ring.frame_bytes_max() {
            self.dropped += 1;
            build(&mut vec![0; frame.head_bytes]);
            return true;
        }
        let place = self.ring.buffer(bytes);
        frame.write(build, place);
        let segment = frame.segment_bytes;
        let offload = if self.offloads { offload(place, segment) } else { Offload::default() };
        self.ring.send(bytes, offload);
        self.frames += 1;
        self.bytes += bytes as u64;
        self.segmented += u64::from(offload.segment.is_some());
        true
    }
}

impl Transmitter {
    pub(crate) fn new(domain: DomainId, settings: &Settings) -> Result<Self, Error> {
        let ring = TransmitRing::new(domain, settings.transmit_pages, settings.transmit_runs)?;
        Ok(Self {
            ring,
            offloads: true,
            starved: false,
            fault: None,
            frames: 0,
            bytes: 0,
            segmented: 0,
            dropped: 0,
        })
    }

    /// Lets the backend see what was sent; whether it wants to be told.
    pub(crate) fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Whether the last that wanted to send found no room.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// Asks for an event when there is room; false when there is some already.
    pub(crate) fn arm(&mut self) -> bool {
        self.ring.arm()
    }

    /// Whether frames have not left yet. The next wait ends when some more have.
    pub(crate) fn is_busy(&mut self) -> bool {
        let reaped = self.ring.reap().is_ok();
        self.starved = reaped && self.ring.is_busy();
        self.starved
    }

    /// What the backend did wrong, if it did.
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

    /// Frees what the backend has sent, and says whether there is room now.
    fn reclaim(&mut self) -> bool {
        match self.ring.ready() {
            Ok(ready) => ready && self.fault.is_none(),
            Err(fault) => {
                self.fault = Some(fault);
                false
            }
        }
    }

    /// Forgets what another backend did wrong.
    pub(crate) fn pardon(&mut self) {
        (self.fault, self.starved) = (None, false);
    }
}

/// Leaves the checksum of a TCP or UDP packet to the receiver (public/io/netif.h,
/// `NETTXF_csum_blank`), and its cutting into segments if told how long they are.
fn offload(frame: &mut [u8], segment: Option<NonZeroU16>) -> Offload {
    let Some(transport) = Transport::find(frame) else { return Offload::default() };
    let at = transport.start + transport.checksum_offset();
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&transport.pseudo_header_sum());
    }
    Offload {
        checksum: true,
        segment: segment.filter(|_| transport.is_tcp),
        is_ipv6: transport.is_ipv6,
    }
}
