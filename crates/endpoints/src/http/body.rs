//! Bodies on their way, in and out.
//!
//! A handler's future is polled by its connection's task, so that both ends of these queues live in
//! one task: whoever waits is polled again when the connection has moved something.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use http::{Data, Trailers};

/// Bytes of a body that wait for the handler; more stay in the transport's ring.
const INCOMING_BYTES_MAX: usize = 64 << 10;

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The client broke the protocol, went away, or was too slow.
    Incomplete,
    /// More than the handler said it would take.
    TooLong,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "the body did not arrive whole",
            Self::TooLong => "the body is longer than allowed",
        })
    }
}

impl core::error::Error for BodyError {}

/// A request's body.
pub struct IncomingBody {
    state: Option<Rc<RefCell<Incoming>>>,
}

impl IncomingBody {
    pub(super) fn empty() -> Self {
        Self { state: None }
    }

    pub(super) fn arriving() -> (Self, Rc<RefCell<Incoming>>) {
        let state = Rc::new(RefCell::new(Incoming::default()));
        (Self { state: Some(state.clone()) }, state)
    }

    /// The next bytes, never none; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, BodyError> {
        let Some(state) = &self.state else { return Ok(None) };
        poll_fn(|_| state.borrow_mut().poll_next()).await
    }

    /// The whole body, if it is at most `bytes_max` long.
    pub async fn collect(&mut self, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            if bytes.len() > bytes_max - whole.len() {
                return Err(BodyError::TooLong);
            }
            if whole.is_empty() {
                whole = bytes;
            } else {
                whole.extend_from_slice(&bytes);
            }
        }
        Ok(whole)
    }

    /// The trailer section, once the body has ended.
    pub fn trailers(&self) -> Option<Trailers> {
        self.state.as_ref()?.borrow_mut().trailers.take()
    }
}

/// What the connection puts into a body and the handler takes out.
#[derive(Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    trailers: Option<Trailers>,
    end: Option<Result<(), BodyError>>,
    wanted: bool,
}

impl Incoming {
    /// The handler waits for bytes.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// No more bytes fit until the handler has taken some.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= INCOMING_BYTES_MAX
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.wanted = false;
    }

    pub(super) fn end(&mut self, end: Result<Option<Trailers>, BodyError>) {
        self.end = Some(end.map(|trailers| self.trailers = trailers));
        self.wanted = false;
    }

    fn poll_next(&mut self) -> Poll<Result<Option<Vec<u8>>, BodyError>> {
        if !self.bytes.is_empty() {
            return Poll::Ready(Ok(Some(core::mem::take(&mut self.bytes))));
        }
        match self.end {
            Some(end) => Poll::Ready(end.map(|()| None)),
            None => {
                self.wanted = true;
                Poll::Pending
            }
        }
    }
}

/// Writes a streamed body.
pub struct BodyWriter {
    state: Rc<RefCell<Outgoing>>,
}

impl BodyWriter {
    pub(super) fn new() -> (Self, Rc<RefCell<Outgoing>>) {
        let state = Rc::new(RefCell::new(Outgoing::default()));
        (Self { state: state.clone() }, state)
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

    /// Gives the body up, whatever was written of it: the connection is cut, so that the other side
    /// cannot take a part for the whole.
    pub fn abandon(self) {
        self.state.borrow_mut().is_abandoned = true;
    }
}

/// The piece that the connection is to take next.
#[derive(Default)]
pub(super) struct Outgoing {
    next: Option<Data>,
    is_abandoned: bool,
}

impl Outgoing {
    pub(super) fn is_waiting(&self) -> bool {
        self.next.is_some()
    }

    pub(super) fn take(&mut self) -> Option<Data> {
        self.next.take()
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }
}
