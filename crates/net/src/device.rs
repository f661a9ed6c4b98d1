//! Network devices (NICs): the one trait that drivers implement, and the adapter by which smoltcp
//! uses such a device ([`smoltcp`]).
//!
//! A [`NetDevice`] is a pair of queues of one card. Frames are Ethernet frames. Nothing is copied
//! on either side that the driver does not have to copy: received frames are lent, in place and
//! writable, or given away with their page; frames to be sent are built in the driver's memory, and their tail may be left where it
//! lies.

pub(crate) mod smoltcp;
pub(crate) mod tap;

use ::tcp::{Memory, Payload};
use alloc::boxed::Box;
use alloc::vec;
use bytes::Bytes;
use core::num::{NonZeroU16, NonZeroUsize};
use core::ops::{Deref, DerefMut, Range};

pub use ::tcp::PAGE_BYTES;
pub use tap::{FrameTap, TappedFrame};

/// One receive queue and one transmit queue of a network card.
///
/// The platform's loop calls it in turns: all frames that have come are received, then all that is
/// due is transmitted, then [`flush`](Self::flush) tells the hardware of both, and
/// [`prepare_to_wait`](Self::prepare_to_wait) comes before an idle wait.
pub trait NetDevice {
    /// Lends the next frame to `handle`, from its Ethernet header on, together with a way to send
    /// an answer; false when there is no frame, or when there would be no room for an answer.
    fn receive(&mut self, handle: &mut dyn FnMut(RxFrame<'_>, &mut dyn Transmit)) -> bool;

    /// The transmit queue.
    fn transmitter(&mut self) -> &mut dyn Transmit;

    /// What the device can do. It may change with the link.
    fn capabilities(&self) -> Capabilities;

    /// Whether the link is up.
    fn link_up(&self) -> bool {
        true
    }

    /// Hands what was transmitted over to the hardware, and gives receive buffers back; called once
    /// per turn.
    fn flush(&mut self) {}

    /// Turns interrupts on; false when there is something to do already.
    fn prepare_to_wait(&mut self) -> bool {
        true
    }

    /// What drives it, as `virtio-net`.
    fn driver(&self) -> &'static str {
        "none"
    }

    /// What it did so far.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// What a device did since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received; what the other side merged counts as one.
    pub received_frames: u64,
    /// Bytes in them, with their Ethernet headers.
    pub received_bytes: u64,
    /// Frames received and thrown away: a wrong checksum, or no whole Ethernet header.
    pub received_dropped: u64,
    /// Frames sent; what the other side segments counts as one.
    pub sent_frames: u64,
    /// Bytes in them, with their Ethernet headers.
    pub sent_bytes: u64,
    /// Frames sent for the other side to segment.
    pub sent_segmented: u64,
    /// Frames that were to be sent and were thrown away: longer than the longest, or without room or link.
    pub sent_dropped: u64,
    /// Times that the other side was told of new work.
    pub notifications: u64,
    /// Interrupts, or events, taken.
    pub interrupts: u64,
    /// Answers of the other side that were wrong, and refused.
    pub refused: u64,
}

/// A frame that was received: its bytes.
#[derive(Debug)]
pub enum RxFrame<'a> {
    /// In memory that stays the device's.
    Lent(&'a mut [u8]),
    /// In a part of a page of [`PAGE_BYTES`], in whose place the stack may put another: of a long frame the data is not
    /// copied.
    Page(&'a mut Box<[u8]>, Range<usize>),
}

impl RxFrame<'_> {
    /// The frame's bytes in `range`, with the page that they are in if they fill a good part of it.
    #[inline]
    pub(crate) fn payload(&mut self, range: Range<usize>, memory: &mut Memory) -> Payload<'_> {
        match self {
            Self::Lent(bytes) => Payload::Slice(bytes.get(range).unwrap_or_default()),
            Self::Page(page, frame) => {
                let range = frame.start + range.start..frame.start + range.end;
                Payload::of_page(page, range, memory)
            }
        }
    }
}

impl Deref for RxFrame<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Page(page, range) => page.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl DerefMut for RxFrame<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Page(page, range) => page.get_mut(range.clone()).unwrap_or_default(),
        }
    }
}

/// A transmit queue.
pub trait Transmit {
    /// A frame of any length that the device takes can be transmitted now.
    fn is_ready(&mut self) -> bool;

    /// Sends a frame whose head `build` writes; false when the device is full, and then `build` was
    /// not called. What is longer than the device takes is lost, as on a wire.
    fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool;
}

/// A frame that is to be sent.
#[derive(Clone, Debug, Default)]
pub struct TxFrame {
    /// Bytes that the sender writes, all headers among them.
    pub head_bytes: usize,
    /// What follows them. The device may read it where it lies, and holds on to it until then.
    pub tail: Option<Bytes>,
    /// TCP segmentation offload: the device cuts the payload into segments of so many bytes.
    pub segment_bytes: Option<NonZeroU16>,
}

impl TxFrame {
    /// A frame that its sender writes whole.
    pub fn new(bytes: usize) -> Self {
        Self { head_bytes: bytes, tail: None, segment_bytes: None }
    }

    /// The length of the frame.
    pub fn bytes(&self) -> usize {
        self.head_bytes + self.tail.as_ref().map_or(0, Bytes::len)
    }

    /// Writes the whole frame, for a device that has to have it in one piece of
    /// [`bytes`](Self::bytes).
    pub fn write(&self, build: &mut dyn FnMut(&mut [u8]), place: &mut [u8]) {
        let (head, rest) = place.split_at_mut(self.head_bytes);
        build(head);
        if let Some(tail) = &self.tail {
            rest.copy_from_slice(tail);
        }
    }
}

/// What a device can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The longest IP packet, in bytes.
    pub mtu_bytes: usize,
    /// The device writes the TCP and UDP checksums of what is transmitted.
    pub transmit_checksums: bool,
    /// TCP and UDP checksums of received frames have been verified.
    pub receive_checksums: bool,
    /// The longest frame of TCP over IPv4 that the device cuts into segments; `None` when it does
    /// not.
    pub segmentation_ipv4: Option<NonZeroUsize>,
    /// The longest frame of TCP over IPv6 that the device cuts into segments; `None` when it does
    /// not.
    pub segmentation_ipv6: Option<NonZeroUsize>,
}

impl Capabilities {
    /// Those of a device that leaves all to the stack.
    pub fn new(mtu_bytes: usize) -> Self {
        Self {
            mtu_bytes,
            transmit_checksums: false,
            receive_checksums: false,
            segmentation_ipv4: None,
            segmentation_ipv6: None,
        }
    }

    /// Those of a device that takes packets of at most so many bytes.
    pub(crate) fn limited_to(self, mtu_bytes: usize) -> Self {
        Self { mtu_bytes: self.mtu_bytes.min(mtu_bytes), ..self }
    }
}

/// A transmit queue whose frames go nowhere, as on a wire that is not plugged in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard {
    /// Frames that were transmitted.
    pub frames: u64,
}

impl Transmit for Discard {
    fn is_ready(&mut self) -> bool {
        true
    }

    fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
        self.frames += 1;
        build(&mut vec![0; frame.head_bytes]);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_limit_of_packets_counts_and_nothing_else_changes() {
        let device = Capabilities {
            mtu_bytes: 1_500,
            transmit_checksums: true,
            receive_checksums: true,
            segmentation_ipv4: NonZeroUsize::new(65_535),
            segmentation_ipv6: NonZeroUsize::new(65_534),
        };
        for (limit, mtu_bytes) in [(1_499, 1_499), (1_500, 1_500), (1_501, 1_500)] {
            assert_eq!(device.limited_to(limit), Capabilities { mtu_bytes, ..device });
        }
    }

    #[test]
    fn a_wire_that_is_not_plugged_in_takes_everything() {
        let mut discard = Discard::default();
        let frame = TxFrame { tail: Some(Bytes::from_static(b"tail")), ..TxFrame::new(14) };
        assert_eq!(frame.bytes(), 18);
        let mut built = 0;
        assert!(
            discard.is_ready() && discard.transmit(frame.clone(), &mut |head| built = head.len())
        );
        assert_eq!((built, discard.frames), (14, 1));
        let mut place = [0; 18];
        frame.write(&mut |head| head.fill(7), &mut place);
        assert_eq!((&place[..14], &place[14..]), (&[7; 14][..], &b"tail"[..]));
    }
    /// A card whose driver says only what it has to.
    struct Terse(Discard);

    impl NetDevice for Terse {
        fn receive(&mut self, _: &mut dyn FnMut(RxFrame<'_>, &mut dyn Transmit)) -> bool {
            false
        }

        fn transmitter(&mut self) -> &mut dyn Transmit {
            &mut self.0
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities::new(1_500)
        }
    }

    #[test]
    fn a_card_that_does_not_say_otherwise_is_up_and_has_nothing_to_do() {
        let mut card = Terse(Discard::default());
        card.flush();
        assert!(card.link_up() && card.prepare_to_wait());
        assert_eq!((card.driver(), card.counters()), ("none", Counters::default()));
    }
}
