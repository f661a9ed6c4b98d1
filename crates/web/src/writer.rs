//! Content writer: streamed content on its way from whoever writes it to the protocol, a piece at a time.
//!
//! The writer's future is polled by its connection's task, so that both ends live in one task: whoever waits is polled
//! again when the connection has moved something.

use crate::Data;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;

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
    pub async fn write(&mut self, data: impl Into<Data>) {
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
    }

    /// Gives the content up, whatever was written of it: the connection is cut, so that the other side
    /// cannot take a part for the whole.
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
