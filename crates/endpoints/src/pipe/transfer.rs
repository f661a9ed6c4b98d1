//! Transfer: from a source, through a node, into a sink.

use crate::zmq::{Incoming, RecvError, RecvFailed, ZmqSocket};
use ::pipe::{Bytes, CHUNK_BYTES, Fault, Next, Node, Piece, Pipeline};
use ::zmq::Message;
use alloc::vec::Vec;
use flow::{Flow, FlowExt};

/// Where items come from.
pub trait Source {
    /// What comes.
    type Item;

    /// The next item and what it weighs, bytes; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<(Self::Item, usize)>, Fault>>;
}

/// Where items go.
pub trait AsyncSink<T> {
    /// Takes an item, when there is room for it.
    fn put(&mut self, item: T) -> impl Future<Output = Result<(), Fault>>;

    /// No item follows.
    fn end(&mut self) -> impl Future<Output = Result<(), Fault>>;
}

/// Carries all that `source` gives through `node` into `sink`. It waits where the sink does,
/// and never holds more than the node's edges do.
pub async fn transfer<S, N, D>(mut source: S, node: N, mut sink: D) -> Result<(), Fault>
where
    S: Source,
    N: Node<S::Item>,
    D: AsyncSink<N::Out>,
{
    let mut pipeline = Pipeline::new(node);
    loop {
        match pipeline.poll() {
            Next::Item(item) => sink.put(item).await?,
            Next::Fault(fault) => return Err(fault),
            Next::End | Next::Over => return sink.end().await,
            Next::Starved => match source.next().await {
                // A pipeline that starves has room; one that has closed says so at the next poll.
                Ok(Some((item, weight_bytes))) => drop(pipeline.offer_weighing(item, weight_bytes)),
                Ok(None) => pipeline.end(),
                Err(fault) => pipeline.fail(fault),
            },
        }
    }
}

/// The bytes of a flow, up to its end: one message.
#[derive(Debug)]
pub struct FlowSource<F> {
    flow: F,
    ended: bool,
}

impl<F: Flow> FlowSource<F> {
    /// Of this flow.
    pub fn new(flow: F) -> Self {
        Self { flow, ended: false }
    }
}

impl<F: Flow> Source for FlowSource<F> {
    type Item = Piece;

    async fn next(&mut self) -> Result<Option<(Piece, usize)>, Fault> {
        if self.ended {
            return Ok(None);
        }
        let read = self.flow.read_with(|bytes| {
            let count = bytes.len().min(CHUNK_BYTES);
            (count, Bytes::copy_from_slice(&bytes[..count]))
        });
        let bytes = read.await.map_err(|_| Fault::Source("connection lost"))?;
        self.ended = bytes.is_empty();
        let weight_bytes = bytes.len();
        Ok(Some((Piece { bytes, last: self.ended }, weight_bytes)))
    }
}

/// Writes pieces to a flow, one after the other, and finishes it at the end.
#[derive(Debug)]
pub struct FlowSink<F>(pub F);

impl<F: Flow> AsyncSink<Piece> for FlowSink<F> {
    async fn put(&mut self, piece: Piece) -> Result<(), Fault> {
        let written = self.0.write_all(&piece.bytes).await;
        written.map_err(|_| Fault::Source("connection lost"))
    }

    async fn end(&mut self) -> Result<(), Fault> {
        self.0.finish();
        Ok(())
    }
}

/// The messages of a ZeroMQ socket; the parts of one are its pieces. Of a socket with
/// [`Options::stream_over_bytes`](crate::zmq::Options::stream_over_bytes) long parts come in pieces
/// too, so that no message is ever whole in memory.
pub struct ZmqSource {
    socket: ZmqSocket,
    // The last first.
    parts: Vec<Bytes>,
    rest: Option<Incoming>,
}

impl ZmqSource {
    /// Of this socket.
    pub fn new(socket: ZmqSocket) -> Self {
        Self { socket, parts: Vec::new(), rest: None }
    }

    async fn next_piece(&mut self) -> Result<Piece, RecvFailed> {
        if self.parts.is_empty() {
            if let Some(rest) = &mut self.rest
                && let Some(chunk) = rest.next().await?
            {
                let last = chunk.ends_message();
                return Ok(Piece { bytes: chunk.bytes, last });
            }
            let (message, rest) = self.socket.recv_start().await?;
            self.rest = rest;
            self.parts = message.into_parts().collect();
            self.parts.reverse();
        }
        // A message has a part.
        let bytes = self.parts.pop().unwrap_or_default();
        Ok(Piece { bytes, last: self.parts.is_empty() && self.rest.is_none() })
    }
}

impl Source for ZmqSource {
    type Item = Piece;

    async fn next(&mut self) -> Result<Option<(Piece, usize)>, Fault> {
        let piece = self.next_piece().await.map_err(|failed| match failed {
            RecvFailed::Refused(RecvError::PeerLost) => Fault::Source("connection lost"),
            _ => Fault::Source("socket closed"),
        })?;
        let weight_bytes = piece.bytes.len();
        Ok(Some((piece, weight_bytes)))
    }
}

/// Sends each message, as one part, by a ZeroMQ socket. It assembles the message, because ZMTP wants
/// a part's length before its bytes; where that is known, [`ZmqSocket::send_start`] streams.
pub struct ZmqSink {
    socket: ZmqSocket,
    assembler: MessageAssembler,
}

impl ZmqSink {
    /// By this socket.
    pub fn new(socket: ZmqSocket) -> Self {
        Self { socket, assembler: MessageAssembler::default() }
    }
}

impl AsyncSink<Piece> for ZmqSink {
    async fn put(&mut self, piece: Piece) -> Result<(), Fault> {
        let Some(body) = self.assembler.add(piece) else {
            return Ok(());
        };
        let sent = self.socket.send(Message::new(body)).await;
        sent.map_err(|_| Fault::Source("socket closed"))
    }

    async fn end(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Assembles a message from its pieces; one of one piece is not copied.
#[derive(Debug, Default)]
pub(super) struct MessageAssembler(Vec<u8>);

impl MessageAssembler {
    /// Adds a piece; gives the message when that was its last.
    pub(super) fn add(&mut self, piece: Piece) -> Option<Bytes> {
        if piece.last && self.0.is_empty() {
            return Some(piece.bytes);
        }
        self.0.extend_from_slice(&piece.bytes);
        piece.last.then(|| core::mem::take(&mut self.0).into())
    }
}
