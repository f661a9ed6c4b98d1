//! Request body: content on its way from the protocol to the handler.
//!
//! A handler's future is polled by its connection's task: whoever waits there is polled again when the connection has
//! moved something. A body that is read in another task, as a session's, wakes whoever waits.

use crate::session::Kept;
use crate::{Reply, Response, Status, Trailers};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};
use flow::sync::WakerSlot;
use flow::task::waiting;

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

/// The error as text: 413 or 400.
impl From<BodyError> for Response {
    fn from(error: BodyError) -> Response {
        let status = match error {
            BodyError::TooLong => Status::CONTENT_TOO_LARGE,
            BodyError::Incomplete => Status::BAD_REQUEST,
        };
        Response::error(status, &error)
    }
}

impl From<BodyError> for Reply {
    fn from(error: BodyError) -> Reply {
        Response::from(error).into()
    }
}

/// A request's content, as it arrives.
#[derive(Default)]
pub struct Body {
    /// None if there is no content. One pointer, since each request is moved with it.
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
    ///
    /// # Errors
    /// See [`BodyError`]. They stay: asked again, it says the same.
    #[expect(clippy::should_implement_trait, reason = "it waits, and is no iterator's")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, BodyError>> {
        waiting(async move {
            let Some(state) = &self.state else { return Ok(None) };
            let next = poll_fn(|cx| State::poll_next(state, cx)).await?;
            if let Some(bytes) = &next {
                state.borrow_mut().give_out(bytes)?;
            }
            Ok(next)
        })
    }

    /// One that has come whole.
    pub(crate) fn whole(content: &[u8]) -> Self {
        let end = Some(Ok(()));
        let state = State { bytes: content.into(), end, ..State::default() };
        Self { state: Some(Rc::new(RefCell::new(state))) }
    }

    /// Has what is given out from now on kept there, too.
    pub(crate) fn keep(&mut self, kept: &Rc<Kept>) {
        if let Some(state) = &self.state {
            state.borrow_mut().kept = Some(kept.clone());
        }
    }

    /// Gives out so many bytes more at most: then [`BodyError::TooLong`]. Of several limits the smallest counts.
    pub fn limit(&mut self, bytes_max: u64) {
        if let Some(state) = &self.state {
            let mut state = state.borrow_mut();
            let bytes_left = state.bytes_left.map_or(bytes_max, |left| left.min(bytes_max));
            state.bytes_left = Some(bytes_left);
        }
    }

    /// Tells whether the handler waits for the client, while it has the body.
    pub(crate) fn watch(&self) -> BodyWatch {
        BodyWatch(self.state.clone())
    }

    /// The whole body, if it is at most `bytes_max` long, and no longer than may be held of one client: a small machine takes less.
    ///
    /// # Errors
    /// See [`BodyError`].
    #[track_caller]
    pub fn collect(
        &mut self,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<u8>, BodyError>> {
        waiting(async move {
            let bytes_max = bytes_max.min(self.collected_bytes_max());
            let mut whole = Vec::new();
            while let Some(bytes) = self.next().await? {
                if !append(&mut whole, bytes, bytes_max) {
                    self.weigh_collected(0);
                    return Err(BodyError::TooLong);
                }
                self.weigh_collected(whole.capacity());
            }
            Ok(whole)
        })
    }

    /// Most that may be held of it in one piece.
    pub(crate) fn collected_bytes_max(&self) -> usize {
        let of_state = |state: &Rc<RefCell<State>>| state.borrow().collected_bytes_max;
        self.state.as_ref().and_then(of_state).unwrap_or(usize::MAX)
    }

    /// So many bytes of it are held by its reader.
    pub(crate) fn weigh_collected(&self, bytes: usize) {
        if let Some(state) = &self.state {
            state.borrow_mut().collected_bytes = bytes;
        }
    }

    /// The trailer section, once the body has ended.
    pub fn trailers(&self) -> Option<Trailers> {
        self.state.as_ref()?.borrow_mut().trailers.take()
    }
}

/// Adds bytes to what is collected, if that is at most `bytes_max` then, as is what it takes of memory; whether it is.
pub(crate) fn append(whole: &mut Vec<u8>, bytes: Vec<u8>, bytes_max: usize) -> bool {
    if bytes.len() > bytes_max - whole.len() {
        return false;
    }
    if whole.is_empty() {
        *whole = bytes;
        return true;
    }
    if bytes.len() > whole.capacity() - whole.len() {
        let capacity = (2 * whole.len()).max(whole.len() + bytes.len());
        whole.reserve_exact(capacity.min(bytes_max) - whole.len());
    }
    whole.extend_from_slice(&bytes);
    true
}

/// Whether a body is being waited for.
pub(crate) struct BodyWatch(Option<Rc<RefCell<State>>>);

impl BodyWatch {
    /// The reader waits for bytes that have not come.
    pub(crate) fn is_awaited(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.borrow().wanted)
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

    /// No more of it is to be held in one piece: who collects more would be paused for what it holds, for good.
    pub fn limit_collected(&self, bytes_max: usize) {
        self.state.borrow_mut().collected_bytes_max = Some(bytes_max);
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
    /// The reader was told so.
    failed: Option<BodyError>,
    /// Bytes that are given out at most, if there is a limit, without those that were.
    bytes_left: Option<u64>,
    /// Keeps what is given out.
    kept: Option<Rc<Kept>>,
    /// What the handler has of it in one piece: it is held until the request is answered.
    collected_bytes: usize,
    /// Most that it may have so, if there is a limit.
    collected_bytes_max: Option<usize>,
    /// The connection's task.
    connection: WakerSlot,
    /// The task that waits for bytes, if it is another.
    reader: WakerSlot,
}

impl State {
    /// Whoever reads on is told so, whatever comes.
    fn fail(&mut self, error: BodyError) {
        self.failed = Some(error);
        self.bytes = Vec::new();
    }

    /// The reader gets these bytes, unless they are beyond the limit.
    fn give_out(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        if let Some(left) = &mut self.bytes_left {
            let Some(rest) = left.checked_sub(bytes.len() as u64) else {
                *left = 0;
                self.fail(BodyError::TooLong);
                return Err(BodyError::TooLong);
            };
            *left = rest;
        }
        if let Some(kept) = &self.kept {
            kept.add(bytes);
        }
        Ok(())
    }

    fn poll_next(
        shared: &RefCell<Self>,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Vec<u8>>, BodyError>> {
        let mut state = shared.borrow_mut();
        if let Some(error) = state.failed {
            return Poll::Ready(Err(error));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use flow::task::block_on;

    fn ended(content: &[u8]) -> (BodySender, Body) {
        let (sender, body) = Body::channel();
        sender.push(content);
        sender.end(Ok(None));
        (sender, body)
    }

    #[test]
    fn a_limit_is_kept_to_the_byte_and_its_error_stays() {
        let (_sender, mut just) = ended(b"12345");
        just.limit(9);
        just.limit(5);
        just.limit(7);
        assert_eq!(block_on(just.collect(100)), Ok(b"12345".to_vec()));
        let (_sender, mut over) = ended(b"123456");
        over.limit(5);
        assert_eq!(block_on(over.next()), Err(BodyError::TooLong));
        assert_eq!(block_on(over.next()), Err(BodyError::TooLong));
    }

    #[test]
    fn what_is_collected_is_no_more_than_may_be_held_in_one_piece() {
        let collected = |limit: usize, pieces: &[&[u8]]| {
            let (sender, mut body) = Body::channel();
            sender.limit_collected(limit);
            let mut collecting = core::pin::pin!(body.collect(100));
            let mut cx = Context::from_waker(core::task::Waker::noop());
            for piece in pieces {
                assert!(collecting.as_mut().poll(&mut cx).is_pending());
                assert!(sender.held_bytes() <= limit, "{} bytes", sender.held_bytes());
                sender.push(piece);
            }
            sender.end(Ok(None));
            let Poll::Ready(outcome) = collecting.as_mut().poll(&mut cx) else { panic!("pending") };
            outcome
        };
        assert_eq!(collected(8, &[b"12345", b"678"]), Ok(b"12345678".to_vec()));
        assert_eq!(collected(8, &[b"12345", b"6789"]), Err(BodyError::TooLong));
        assert_eq!(collected(8, &[b"123456789"]), Err(BodyError::TooLong));
        assert_eq!(collected(200, &[&[b'x'; 101]]), Err(BodyError::TooLong));
    }

    #[test]
    fn a_limit_counts_over_all_pieces() {
        let (sender, mut body) = Body::channel();
        body.limit(5);
        sender.push(b"123");
        assert_eq!(block_on(body.next()), Ok(Some(b"123".to_vec())));
        sender.push(b"456");
        assert_eq!(block_on(body.next()), Err(BodyError::TooLong));
    }
}
