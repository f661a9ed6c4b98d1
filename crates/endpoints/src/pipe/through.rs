//! A ZeroMQ peer in the middle of a pipeline: messages go to it, and what it makes of them goes on.

use super::transfer::{AsyncSink, Source, ZmqSink, ZmqSource, transfer};
use crate::zmq::ZmqSocket;
use ::pipe::{Fault, Node, Piece};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;

/// Sends what `source` gives, through `node`, by a socket, and gives what comes back by it: a source itself, so that
/// [`transfer`](super::transfer()) goes on from there, and another peer may follow.
///
/// For each message one is to come back, as between two DEALERs, or from a ROUTER; the end
/// is when the source has ended and as many have come as have gone. How many are under way is bounded by the socket's marks.
///
/// ```no_run
/// # async fn example(
/// #     input: impl flow::Flow + 'static, output: impl flow::Flow, socket: endpoints::zmq::ZmqSocket,
/// # ) -> Result<(), endpoints::pipe::Fault> {
/// use endpoints::pipe::{FlowSink, FlowSource, ZmqThrough, lz4, transfer};
///
/// // Compressed to the peer, and back.
/// let there = ZmqThrough::new(FlowSource::new(input), lz4::compress(), socket);
/// transfer(there, lz4::decompress(), FlowSink(output)).await
/// # }
/// ```
pub struct ZmqThrough {
    /// None when all has been sent.
    sending: Option<Sending>,
    /// Messages that were sent, less those that came back.
    under_way: Rc<Cell<usize>>,
    back: ZmqSource,
    /// Whether a message has begun to come.
    is_inside: bool,
}

type Sending = Pin<Box<dyn Future<Output = Result<(), Fault>>>>;

impl ZmqThrough {
    /// From this source, through this node, to the peers of this socket.
    pub fn new<S, N>(source: S, node: N, socket: ZmqSocket) -> Self
    where
        S: Source + 'static,
        S::Item: 'static,
        N: Node<S::Item, Out = Piece> + 'static,
    {
        let under_way = Rc::new(Cell::new(0));
        let sink = Counting { sink: ZmqSink::new(socket.clone()), under_way: under_way.clone() };
        let sending: Sending = Box::pin(transfer(source, node, sink));
        let sending = Some(sending);
        Self { sending, under_way, back: ZmqSource::new(socket), is_inside: false }
    }
}

impl Source for ZmqThrough {
    type Item = Piece;

    async fn next(&mut self) -> Result<Option<(Piece, usize)>, Fault> {
        let Self { sending, under_way, back, is_inside } = self;
        let mut coming = pin!(back.next());
        let next = poll_fn(|cx| {
            if let Some(task) = sending {
                match task.as_mut().poll(cx) {
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                    Poll::Ready(Ok(())) => *sending = None,
                    Poll::Pending => {}
                }
            }
            if sending.is_none() && under_way.get() == 0 && !*is_inside {
                return Poll::Ready(Ok(None));
            }
            coming.as_mut().poll(cx)
        });
        let next = next.await?;
        if let Some((piece, _)) = &next {
            if !*is_inside {
                // What nobody asked for is not counted against what was.
                under_way.set(under_way.get().saturating_sub(1));
            }
            *is_inside = !piece.last;
        }
        Ok(next)
    }
}

/// Counts messages on their way.
struct Counting {
    sink: ZmqSink,
    under_way: Rc<Cell<usize>>,
}

impl AsyncSink<Piece> for Counting {
    async fn put(&mut self, piece: Piece) -> Result<(), Fault> {
        // Before it is sent: its answer may come at once.
        if piece.last {
            self.under_way.set(self.under_way.get() + 1);
        }
        self.sink.put(piece).await
    }

    async fn end(&mut self) -> Result<(), Fault> {
        self.sink.end().await
    }
}
