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
