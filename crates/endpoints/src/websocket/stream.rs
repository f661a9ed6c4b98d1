//! Byte stream over a WebSocket: binary messages, whose bounds mean nothing to who reads them.

use super::socket::Link;
use super::{Error, Socket};
use ::websocket::{CloseCode, Message};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::task::{Context, Poll, ready};
use flow::{Address, Flow, FlowError};

/// Bytes of one message that is written.
const MESSAGE_BYTES: usize = 16 << 10;
/// The same where nothing is copied.
const SHARED_BYTES: usize = 64 << 10;

/// A [`Flow`] whose bytes are the contents of a WebSocket's binary messages, in both directions: protocols that want a flow
/// run over it, and a browser is at its other end.
///
/// A text message is refused with 1003. Neither direction ends alone (RFC 6455 section 7): [`finish`](Flow::finish) closes the
/// socket behind what was written, and the peer's messages come until it has answered.
pub struct ByteStream {
    /// None once it was aborted.
    socket: Option<Socket>,
    /// For what is still to be read of it.
    link: Rc<Link>,
    /// The message that is being read, and how much of it was.
    message: Vec<u8>,
    read_bytes: usize,
    peer: Address,
    local: Address,
    has_finished: bool,
    /// How the stream is in messages; none where that is all the same.
    framing: Option<Box<dyn Framing>>,
    /// The message that is being written.
    unsent: Vec<u8>,
}

/// How the bytes of a protocol are in messages of a WebSocket.
pub trait Framing {
    /// How many bytes that are written are sure to be of the message under way; at least one.
    fn wanted_bytes(&self) -> usize;

    /// Takes note of bytes that are written, at most so many; whether they end a message.
    fn advance(&mut self, bytes: &[u8]) -> bool;

    /// What is sent for the bytes of a message; none where they are not for the wire.
    fn encode(&mut self, message: Vec<u8>) -> Option<Vec<u8>> {
        Some(message)
    }

    /// What is read for a message that came; none if it is none of the protocol's.
    fn decode(&mut self, message: Vec<u8>) -> Option<Vec<u8>> {
        Some(message)
    }

    /// What is read before the first message.
    fn preamble(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

impl ByteStream {
    /// Over a socket between these addresses.
    pub fn new(socket: Socket, peer: Address, local: Address) -> Self {
        let link = socket.link().clone();
        Self {
            socket: Some(socket),
            link,
            message: Vec::new(),
            read_bytes: 0,
            peer,
            local,
            has_finished: false,
            framing: None,
            unsent: Vec::new(),
        }
    }

    /// The same, with a message of the WebSocket for each message that is written, whatever its length.
    #[must_use]
    pub fn framed(mut self, mut framing: impl Framing + 'static) -> Self {
        self.message = framing.preamble();
        self.framing = Some(Box::new(framing));
        self
    }

    /// Waits until there is something to be read; false at the peer's end.
    fn poll_message(&mut self, cx: &Context<'_>) -> Poll<Result<bool, FlowError>> {
        while self.read_bytes == self.message.len() {
            self.forget_message();
            if self.socket.is_none() {
                return Poll::Ready(Err(FlowError::Closed));
            }
            match ready!(self.link.poll_next(cx)) {
                Ok(Some(Message::Binary(bytes))) => {
                    let message = Vec::from(bytes);
                    let read = match &mut self.framing {
                        Some(framing) => framing.decode(message),
                        None => Some(message),
                    };
                    let Some(read) = read else {
                        self.link.close(CloseCode::PROTOCOL_ERROR, "no message of the subprotocol");
                        self.socket = None;
                        return Poll::Ready(Err(FlowError::Reset));
                    };
                    self.message = read;
                }
                Ok(Some(Message::Text(_))) => {
                    self.link.close(CloseCode::UNSUPPORTED, "bytes are expected");
                    self.socket = None;
                    return Poll::Ready(Err(FlowError::Reset));
                }
                Ok(None) => return Poll::Ready(Ok(false)),
                Err(error) => return Poll::Ready(Err(flow_error(error))),
            }
            self.note_kept();
        }
        Poll::Ready(Ok(true))
    }

    fn forget_message(&mut self) {
        (self.message, self.read_bytes) = (Vec::new(), 0);
        self.note_kept();
    }

    fn note_kept(&self) {
        self.link.kept_bytes.set(self.message.capacity() + self.unsent.capacity());
    }

    /// Takes what was just put behind `unsent`, and sends it if that ends a message. Who calls has seen that there is room.
    fn poll_sent(&mut self, cx: &mut Context<'_>, written: usize) -> Poll<Result<(), FlowError>> {
        let start = self.unsent.len() - written;
        let is_end = match &mut self.framing {
            Some(framing) => written > 0 && framing.advance(&self.unsent[start..]),
            None => written > 0,
        };
        if !is_end {
            self.note_kept();
            return Poll::Ready(Ok(()));
        }
        let message = core::mem::take(&mut self.unsent);
        self.note_kept();
        let message = match &mut self.framing {
            Some(framing) => framing.encode(message),
            None => Some(message),
        };
        message.map_or(Poll::Ready(Ok(())), |message| self.poll_send(cx, message.into()))
    }

    /// How much is written at once, if so much is there.
    fn writable_bytes(&self, bytes_max: usize) -> usize {
        self.framing.as_ref().map_or(bytes_max, |framing| framing.wanted_bytes().min(bytes_max))
    }

    fn poll_send(&self, cx: &mut Context<'_>, message: Bytes) -> Poll<Result<(), FlowError>> {
        let sent = self.link.poll_send(cx, &mut Some(message.into()));
        sent.map(|sent| sent.map_err(flow_error))
    }

    /// Whether a message would be taken now.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        if self.socket.is_none() {
            return Poll::Ready(Err(FlowError::Closed));
        }
        self.link.poll_send(cx, &mut None).map(|room| room.map_err(flow_error))
    }
}

impl Flow for ByteStream {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        if !ready!(self.poll_message(cx))? {
            return Poll::Ready(Ok(take(&mut [])));
        }
        let unread = &mut self.message[self.read_bytes..];
        let taken = take(unread).min(unread.len());
        self.read_bytes += taken;
        if self.read_bytes == self.message.len() {
            self.forget_message();
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        ready!(self.poll_room(cx))?;
        let (start, space) = (self.unsent.len(), self.writable_bytes(MESSAGE_BYTES));
        self.unsent.resize(start + space, 0);
        let filled = fill(&mut self.unsent[start..]).min(space);
        self.unsent.truncate(start + filled);
        ready!(self.poll_sent(cx, filled))?;
        Poll::Ready(Ok(filled))
    }

    fn poll_write_shared(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, FlowError>> {
        ready!(self.poll_room(cx))?;
        let part = bytes.split_to(bytes.len().min(self.writable_bytes(SHARED_BYTES)));
        let count = part.len();
        if self.framing.is_some() {
            self.unsent.extend_from_slice(&part);
            ready!(self.poll_sent(cx, count))?;
        } else {
            ready!(self.poll_send(cx, part))?;
        }
        Poll::Ready(Ok(count))
    }

    /// A peer that answers the end has everything. Before that, what was handed to the transport below counts.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        if !self.has_finished {
            return self.link.poll_flushed(cx).map(|flushed| flushed.map_err(flow_error));
        }
        // What still comes has no reader any more.
        while ready!(self.poll_message(cx))? {
            self.forget_message();
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) {
        self.has_finished = true;
        self.link.close(CloseCode::NORMAL, "");
    }

    fn abort(&mut self) {
        self.link.close(CloseCode::INTERNAL_ERROR, "");
        self.unsent = Vec::new();
        self.forget_message();
        self.socket = None;
    }

    fn peer(&self) -> Address {
        self.peer
    }

    fn local(&self) -> Address {
        self.local
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        self.link.kept_bytes.set(0);
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

fn flow_error(error: Error) -> FlowError {
    match error {
        Error::Flow(error) => error,
        Error::Failed(_) => FlowError::Reset,
        Error::Closed => FlowError::Closed,
    }
}
