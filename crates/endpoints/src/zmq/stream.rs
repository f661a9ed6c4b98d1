//! Streamed messages, larger than memory: their last part goes, or comes, in pieces.

use super::{RecvFailed, SendFailed, Shared, ZmqSocket};
use ::zmq::{Bytes, Chunk, Message, PeerId, RecvError, Refusal};
use alloc::rc::Rc;
use core::future::poll_fn;
use core::task::Poll;
use flow::task::waiting;

impl ZmqSocket {
    /// Sends a message whose last part lacks `left` bytes: give them to the [`Outgoing`]. It waits
    /// for a peer with room, as [`ZmqSocket::send`] does.
    pub async fn send_start(
        &self,
        start: impl Into<Message>,
        left: u64,
    ) -> Result<Outgoing, SendFailed> {
        let peer =
            self.sending(start.into(), |socket, start| socket.send_start(start, left)).await?;
        Ok(Outgoing { shared: self.0.clone(), peer, left })
    }

    /// Receives a message, or the start of one that streams: see
    /// [`Options::stream_over_bytes`](super::Options::stream_over_bytes). Receive, or drop, the
    /// rest of it before the next message. Cancel-safe.
    pub async fn recv_start(&self) -> Result<(Message, Option<Incoming>), RecvFailed> {
        let received = self.recv_from().await?;
        let rest = (received.part_left > 0).then(|| Incoming {
            shared: self.0.clone(),
            peer: received.peer,
            part_left: received.part_left,
            ended: false,
        });
        Ok((received.message, rest))
    }
}

/// The rest of a message that is being sent. One that is dropped before its end ends the
/// connection: its peer has half a message.
pub struct Outgoing {
    shared: Rc<Shared>,
    // None: the pattern drops the message.
    peer: Option<PeerId>,
    left: u64,
}

impl Outgoing {
    /// Bytes that are still to be given.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Sends the next bytes, waiting for room. Cancel-safe: a dropped future has sent nothing.
    #[track_caller]
    pub fn send(
        &mut self,
        piece: impl Into<Bytes>,
    ) -> impl Future<Output = Result<(), SendFailed>> {
        waiting(async move {
            let piece = piece.into();
            let left = self.left.checked_sub(piece.len() as u64);
            let left = left.ok_or(SendFailed::Refused(Refusal::Malformed))?;
            if let Some(peer) = self.peer {
                let shared = &self.shared;
                let sent =
                    poll_fn(|cx| match shared.with(|it| it.send_piece(peer, piece.clone())) {
                        Err(_) if shared.is_closed() => Poll::Ready(Err(SendFailed::Closed)),
                        Err(Refusal::Full) => {
                            shared.senders.register(cx);
                            Poll::Pending
                        }
                        outcome => Poll::Ready(outcome.map_err(SendFailed::Refused)),
                    });
                sent.await?;
            }
            self.left = left;
            Ok(())
        })
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(peer) = self.peer
            && self.left > 0
        {
            self.shared.with(|socket| socket.disconnect(peer));
        }
    }
}

/// The rest of a message that is being received. What of it is not received is dropped.
pub struct Incoming {
    shared: Rc<Shared>,
    peer: PeerId,
    part_left: u64,
    ended: bool,
}

impl Incoming {
    /// Bytes that the part under way still lacks.
    pub fn part_left(&self) -> u64 {
        self.part_left
    }

    /// The next bytes; `None` at the message's end. Cancel-safe.
    #[expect(clippy::should_implement_trait, reason = "it waits, and is no iterator's")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Result<Option<Chunk>, RecvFailed>> {
        waiting(async move {
            if self.ended {
                return Ok(None);
            }
            let (shared, peer) = (&self.shared, self.peer);
            let received = poll_fn(|cx| match shared.with(|socket| socket.recv_chunk(peer)) {
                Err(_) if shared.is_closed() => Poll::Ready(Err(RecvFailed::Closed)),
                Err(RecvError::Empty) => {
                    shared.receivers.register(cx);
                    Poll::Pending
                }
                outcome => Poll::Ready(outcome.map_err(RecvFailed::Refused)),
            });
            let received = received.await;
            shared.weigh(peer);
            self.ended = received.as_ref().map_or(true, Chunk::ends_message);
            let chunk = received?;
            self.part_left = chunk.part_left;
            Ok(Some(chunk))
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.with(|socket| socket.discard_rest(self.peer));
        }
    }
}
