//! Content writer: streamed content on its way from whoever writes it to the protocol, a piece at a time.
//!
//! The writer's future is polled by its connection's task, so that both ends live in one task: whoever waits is polled
//! again when the connection has moved something.

use crate::{Data, Producing};
use alloc::rc::Rc;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Context, Poll};
use flow::task::waiting;

/// Writes streamed content.
pub struct ContentWriter {
    state: Rc<RefCell<State>>,
}

/// The protocol's end of a [`ContentWriter`].
pub struct ContentReceiver {
    state: Rc<RefCell<State>>,
}

/// The piece that the protocol is to take next.
#[derive(Default)]
struct State {
    next: Option<Data>,
    is_abandoned: bool,
}

impl ContentWriter {
    /// Both ends.
    pub fn channel() -> (Self, ContentReceiver) {
        let state = Rc::new(RefCell::new(State::default()));
        (Self { state: state.clone() }, ContentReceiver { state })
    }

    /// Sends the next piece; returns when there is room for another. After a peer has gone away
    /// the whole producer is dropped, so that there is no error to handle.
    #[track_caller]
    pub fn write(&mut self, data: impl Into<Data>) -> impl Future<Output = ()> {
        waiting(async move {
            let data = data.into();
            if data.is_empty() {
                return;
            }
            self.state.borrow_mut().next = Some(data);
            poll_fn(|_| match self.state.borrow().next {
                Some(_) => Poll::Pending,
                None => Poll::Ready(()),
            })
            .await;
        })
    }

    /// Gives the content up: the connection ends after what was written, or without it, so that the other side cannot take a
    /// part for the whole.
    pub fn abandon(self) {
        self.state.borrow_mut().is_abandoned = true;
    }
}

impl ContentReceiver {
    /// A piece waits to be taken.
    pub fn is_waiting(&self) -> bool {
        self.state.borrow().next.is_some()
    }

    /// Takes the piece that waits, and lets the writer go on.
    pub fn take(&self) -> Option<Data> {
        self.state.borrow_mut().next.take()
    }

    /// The writer gave up.
    pub fn is_abandoned(&self) -> bool {
        self.state.borrow().is_abandoned
    }
}

/// A producer, seen from whoever passes its pieces on, changed or with others between them.
pub(crate) struct Pieces {
    producing: Producing,
    receiver: ContentReceiver,
    is_done: bool,
}

/// What comes of a producer.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Data),
    End,
    /// The connection is to be cut.
    Abandoned,
}

impl Pieces {
    pub(crate) fn new(produce: impl FnOnce(ContentWriter) -> Producing) -> Self {
        let (writer, receiver) = ContentWriter::channel();
        Self { producing: produce(writer), receiver, is_done: false }
    }

    /// The next piece. Until it is taken the producer is not run.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        if !self.is_done && !self.receiver.is_waiting() {
            self.is_done = self.producing.as_mut().poll(cx).is_ready();
        }
        if self.receiver.is_abandoned() {
            return Poll::Ready(Piece::Abandoned);
        }
        match self.receiver.take() {
            Some(data) => Poll::Ready(Piece::Data(data)),
            None if self.is_done => Poll::Ready(Piece::End),
            None => Poll::Pending,
        }
    }
}
