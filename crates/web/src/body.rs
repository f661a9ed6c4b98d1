//! Request body: content on its way from the protocol to the handler.
//!
//! A handler's future is polled by its connection's task: whoever waits there is polled again when the connection has
//! moved something. A body that is read in another task, as a session's, wakes whoever waits.

use crate::Trailers;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};
use flow::sync::WakerSlot;

/// Bytes of a body that wait for the handler; more stay in the transport's ring.
const WAITING_BYTES_MAX: usize = 64 << 10;

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

/// A request's content, as it arrives.
#[derive(Default)]
pub struct Body {
    /// None if there is no content.
    state: Option<Rc<RefCell<State>>>,
}

impl Body {
    /// A body without content.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Both ends of a body that is to come.
    pub fn channel() -> (BodySender, Self) {
        let state = Rc::new(RefCell::new(State::default()));
        (BodySender { state: state.clone() }, Self { state: Some(state) })
    }

    /// The next bytes, never none; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, BodyError> {
        let Some(state) = &self.state else { return Ok(None) };
        poll_fn(|cx| State::poll_next(state, cx)).await
    }

    /// The whole body, if it is at most `bytes_max` long.
    pub async fn collect(&mut self, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            if bytes.len() > bytes_max - whole.len() {
                self.weigh_collected(0);
                return Err(BodyError::TooLong);
            }
            if whole.is_empty() {
                whole = bytes;
            } else {
                whole.extend_from_slice(&bytes);
            }
            self.weigh_collected(whole.capacity());
        }
        Ok(whole)
    }

    fn weigh_collected(&self, bytes: usize) {
        if let Some(state) = &self.state {
            state.borrow_mut().collected_bytes = bytes;
        }
    }

    /// The trailer section, once the body has ended.
    pub fn trailers(&self) -> Option<Trailers> {
        self.state.as_ref()?.borrow_mut().trailers.take()
    }
}

/// The protocol's end of a [`Body`].
pub struct BodySender {
    state: Rc<RefCell<State>>,
}

impl BodySender {
    /// The connection is polled, by the task of `cx`: it is woken when a reader in another task waits for bytes.
    pub fn attend(&self, cx: &Context<'_>) {
        self.state.borrow_mut().connection.register(cx);
    }

    /// The handler waits for bytes.
    pub fn is_wanted(&self) -> bool {
        self.state.borrow().wanted
    }

    /// No more bytes fit until the handler has taken some.
    pub fn is_full(&self) -> bool {
        self.state.borrow().bytes.len() >= WAITING_BYTES_MAX
    }

    /// Bytes of memory that the body holds: what waits for the handler, and what that collected of it.
    pub fn held_bytes(&self) -> usize {
        let state = self.state.borrow();
        state.bytes.capacity() + state.collected_bytes
    }

    /// Bytes came.
    pub fn push(&self, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        state.bytes.extend_from_slice(bytes);
        state.wanted = false;
        let mut reader = state.reader.take();
        drop(state);
        reader.wake();
    }

    /// The end came, or will not.
    pub fn end(&self, end: Result<Option<Trailers>, BodyError>) {
        let mut state = self.state.borrow_mut();
        state.end = Some(end.map(|trailers| state.trailers = trailers));
        state.wanted = false;
        let mut reader = state.reader.take();
        drop(state);
        reader.wake();
    }
}

/// The exchange is over: a reader in another task does not wait for what nobody will send, and what it has not read is not
/// held for it.
impl Drop for BodySender {
    fn drop(&mut self) {
        let unread = core::mem::take(&mut self.state.borrow_mut().bytes);
        if !unread.is_empty() || self.state.borrow().end.is_none() {
            self.end(Err(BodyError::Incomplete));
        }
    }
}

/// What the protocol puts into a body and the handler takes out.
#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    trailers: Option<Trailers>,
    end: Option<Result<(), BodyError>>,
    wanted: bool,
    /// What the handler has of it in one piece: it is held until the request is answered.
    collected_bytes: usize,
    /// The connection's task.
    connection: WakerSlot,
    /// The task that waits for bytes, if it is another.
    reader: WakerSlot,
}

impl State {
    fn poll_next(
        shared: &RefCell<Self>,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Vec<u8>>, BodyError>> {
        let mut state = shared.borrow_mut();
        if !state.bytes.is_empty() {
            return Poll::Ready(Ok(Some(core::mem::take(&mut state.bytes))));
        }
        if let Some(end) = state.end {
            return Poll::Ready(end.map(|()| None));
        }
        state.wanted = true;
        if !state.connection.wakes(cx) {
            state.reader.register(cx);
            let mut connection = state.connection.take();
            drop(state);
            connection.wake();
        }
        Poll::Pending
    }
}
