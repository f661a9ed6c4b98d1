//! Tap: somebody who sees each frame that a stack receives and sends, such as a capture.

use super::{Transmit, TxFrame};

/// Sees frames. They are as the stack and its device exchange them: longer than the wire's, with checksums that are still to be
/// written, where the device takes that over.
pub trait FrameTap {
    /// A frame that was received, or is about to be sent.
    fn frame(&self, frame: &TappedFrame<'_>);
}

/// A frame that a tap sees, in two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TappedFrame<'a> {
    /// It is about to be sent, not received.
    pub is_outbound: bool,
    /// Its first bytes, all headers among them.
    pub head: &'a [u8],
    /// What follows them.
    pub tail: &'a [u8],
}

impl TappedFrame<'_> {
    /// The length of the frame.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.tail.len()
    }
}

/// A transmit queue with a tap.
pub(crate) struct Tapped<'a> {
    inner: &'a mut dyn Transmit,
    tap: &'a dyn FrameTap,
}

impl<'a> Tapped<'a> {
    pub(crate) fn new(inner: &'a mut dyn Transmit, tap: &'a dyn FrameTap) -> Self {
        Self { inner, tap }
    }
}

impl Transmit for Tapped<'_> {
    fn is_ready(&mut self) -> bool {
        self.inner.is_ready()
    }

    fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
        let tail = frame.tail.clone();
        let tap = self.tap;
        self.inner.transmit(frame, &mut |head| {
            build(head);
            let tail = tail.as_deref().unwrap_or_default();
            tap.frame(&TappedFrame { is_outbound: true, head, tail });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use bytes::Bytes;
    use core::cell::RefCell;

    /// A queue that has room for so many frames.
    struct Queue(usize);

    impl Transmit for Queue {
        fn is_ready(&mut self) -> bool {
            self.0 > 0
        }

        fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
            let is_ready = self.is_ready();
            if is_ready {
                self.0 -= 1;
                build(&mut alloc::vec![0; frame.head_bytes]);
            }
            is_ready
        }
    }

    #[derive(Default)]
    struct Seen(RefCell<Vec<(bool, Vec<u8>)>>);

    impl FrameTap for Seen {
        fn frame(&self, frame: &TappedFrame<'_>) {
            let bytes = [frame.head, b"|", frame.tail].concat();
            assert_eq!(frame.bytes() + 1, bytes.len());
            self.0.borrow_mut().push((frame.is_outbound, bytes));
        }
    }

    #[test]
    fn a_queue_with_a_tap_is_full_when_it_would_be_without_and_the_tap_sees_what_it_took() {
        let (mut queue, seen) = (Queue(2), Seen::default());
        let mut tapped = Tapped::new(&mut queue, &seen);
        let whole = TxFrame::new(3);
        let parts = TxFrame { tail: Some(Bytes::from_static(b"tail")), ..TxFrame::new(2) };
        for (frame, takes) in [(whole.clone(), true), (parts, true), (whole, false)] {
            assert_eq!(tapped.is_ready(), takes);
            assert_eq!(tapped.transmit(frame, &mut |head| head.fill(7)), takes);
        }
        let expected = [&b"\x07\x07\x07|"[..], b"\x07\x07|tail"].map(|row| (true, row.to_vec()));
        assert_eq!(seen.0.take(), expected);
    }
}
