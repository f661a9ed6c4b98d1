//! Flow: the one trait that every byte stream implements.

use crate::task::{wait_fn, waiting};
use crate::{Address, FlowError};
use bytes::{Buf, Bytes};
use core::task::{Context, Poll, ready};
use core::time::Duration;

/// A reliable, ordered stream of bytes in both directions, each of which ends by itself.
///
/// Reading and writing happen *in the flow's own buffers*, by a closure: bytes that TCP received
/// are parsed where they lie, and an answer is serialised where it will be sent from. The trait can
/// be made into an object; [`FlowExt`] adds the `async` forms that most code uses.
///
/// A flow that is dropped without [`finish`](Flow::finish) is aborted.
pub trait Flow {
    /// Shows `take` the bytes that have arrived and are not yet consumed; `take` says how many it
    /// consumed, which is also the result.
    ///
    /// `take` is called at most once. An **empty slice means that the peer finished**; bytes that
    /// arrived before that are shown first. A `take` that consumes nothing of a non-empty slice is
    /// backpressure: the call is ready with 0, and no wake-up is registered. So `take` must be able
    /// to consume any first part of a message and keep it itself.
    ///
    /// The bytes may be changed where they lie, so that a layer that deciphers needs no memory of its
    /// own. What is not consumed is shown first the next time, as `take` left it.
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>>;

    /// Shows `fill` free space (never empty) for bytes to send; `fill` says how many it wrote,
    /// which is also the result. Several writes before the task next waits leave as one.
    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>>;

    /// Writes some of `bytes`, which are not to be none; says how many. For long runs that lie in
    /// memory already: where another system's sockets are below, they go there without a copy
    /// between.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, FlowError>> {
        self.poll_write_with(cx, &mut |space| copy_front(space, bytes).0)
    }

    /// Zero copy: takes some of `bytes`, which are not to be none, off their front; says how many.
    /// They may be sent from where they lie, being shared with the flow until the peer has them, which
    /// costs neither time nor memory for a copy, so that more of them may be taken than of those that
    /// are [written](Self::poll_write): for long runs. A run shared in parts, each what is left of the
    /// one before, is as good as at once. What is written after it may have to wait until it has left.
    fn poll_write_shared(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, FlowError>> {
        let count = ready!(self.poll_write(cx, bytes))?;
        bytes.advance(count);
        Poll::Ready(Ok(count))
    }

    /// What the peer's transport has made room for since writing had to wait, or since this was asked last; none is
    /// nothing. Asked when a deadline has come, `now`, of flows that take much at once and then nothing for long, however
    /// steadily the peer takes it; those that take a byte for each that the peer took have nothing to add.
    fn newly_taken(&mut self, now: Duration) -> Option<Taken> {
        let _ = now;
        None
    }

    /// Ready when everything written was taken over by the peer's transport (TCP: acknowledged).
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>>;

    /// Ready when everything written, and the end if this side has finished, is where it will be sent from, so that a flow
    /// that is dropped now loses none of it. Only layers that keep bytes themselves, for want of room below, are not.
    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Ends this side's direction after everything written so far; reading goes on (half-close).
    fn finish(&mut self);

    /// Ends both directions now; unsent and unread bytes are lost and the peer is told so.
    fn abort(&mut self);

    /// The other end.
    fn peer(&self) -> Address;

    /// This end.
    fn local(&self) -> Address;

    /// SHA-256 of the certificate that the peer showed and that was accepted; none where peers show none.
    fn peer_certificate(&self) -> Option<[u8; 32]> {
        None
    }
}

/// What a peer took of bytes that a flow had taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many: some.
    pub bytes: usize,
    /// When the last of them went, as far as is known; else the present.
    pub at: Duration,
}

impl<F: Flow + ?Sized> Flow for alloc::boxed::Box<F> {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        (**self).poll_read_with(cx, take)
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        (**self).poll_write_with(cx, fill)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, FlowError>> {
        (**self).poll_write(cx, bytes)
    }

    fn poll_write_shared(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, FlowError>> {
        (**self).poll_write_shared(cx, bytes)
    }

    fn newly_taken(&mut self, now: Duration) -> Option<Taken> {
        (**self).newly_taken(now)
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        (**self).poll_drained(cx)
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        (**self).poll_flushed(cx)
    }

    fn finish(&mut self) {
        (**self).finish();
    }

    fn abort(&mut self) {
        (**self).abort();
    }

    fn peer(&self) -> Address {
        (**self).peer()
    }

    fn local(&self) -> Address {
        (**self).local()
    }

    fn peer_certificate(&self) -> Option<[u8; 32]> {
        (**self).peer_certificate()
    }
}

/// The `async` forms of [`Flow`]. All are cancel-safe: a dropped future has consumed and written
/// what its closure said, and nothing else.
pub trait FlowExt: Flow {
    /// Waits for bytes, or for the peer's end (an empty slice), and shows them to `take`, which
    /// returns how many it consumed and a value.
    #[track_caller]
    fn read_with<R>(
        &mut self,
        mut take: impl FnMut(&mut [u8]) -> (usize, R),
    ) -> impl Future<Output = Result<R, FlowError>> {
        wait_fn(move |cx| {
            let mut value = None;
            let taken = self.poll_read_with(cx, &mut |bytes| {
                let (consumed, result) = take(bytes);
                value = Some(result);
                consumed
            });
            finished(taken, value)
        })
    }

    /// Waits for free space and lets `fill` write into it; `fill` returns how many bytes it wrote
    /// and a value.
    #[track_caller]
    fn write_with<R>(
        &mut self,
        mut fill: impl FnMut(&mut [u8]) -> (usize, R),
    ) -> impl Future<Output = Result<R, FlowError>> {
        wait_fn(move |cx| {
            let mut value = None;
            let written = self.poll_write_with(cx, &mut |space| {
                let (count, result) = fill(space);
                value = Some(result);
                count
            });
            finished(written, value)
        })
    }

    /// Reads up to `buffer.len()` bytes; 0 means that the peer finished.
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, FlowError>> {
        self.read_with(move |bytes| {
            let count = bytes.len().min(buffer.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            (count, count)
        })
    }

    /// Writes all of `bytes`.
    #[track_caller]
    fn write_all(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), FlowError>> {
        waiting(async move {
            let mut rest = bytes;
            while !rest.is_empty() {
                let count = self.write_with(|space| copy_front(space, rest)).await?;
                rest = &rest[count..];
            }
            Ok(())
        })
    }

    /// Waits until the peer's transport has taken over everything written.
    #[track_caller]
    fn drained(&mut self) -> impl Future<Output = Result<(), FlowError>> {
        wait_fn(|cx| self.poll_drained(cx))
    }
}

impl<F: Flow + ?Sized> FlowExt for F {}

/// A flow that is ready without having called its closure has failed its contract; it then counts
/// as reset rather than as a panic in the caller.
fn finished<R>(
    outcome: Poll<Result<usize, FlowError>>,
    value: Option<R>,
) -> Poll<Result<R, FlowError>> {
    ready!(outcome)?;
    Poll::Ready(value.ok_or(FlowError::Reset))
}

fn copy_front(space: &mut [u8], bytes: &[u8]) -> (usize, usize) {
    let count = space.len().min(bytes.len());
    space[..count].copy_from_slice(&bytes[..count]);
    (count, count)
}
