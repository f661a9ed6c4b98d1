//! TLS flow: records opened in the buffer of the flow below, and sealed in it.
//!
//! A record that is whole where it arrived is opened there, and what is in it shown from there. One that comes in parts is
//! put together in memory of its own, which goes again with its last byte; so an idle connection holds no buffer.

use ::flow::ledger::{Account, Pressure};
use ::flow::{Address, Flow, FlowError, Taken};
use ::tls::{Info, Opened, PLAINTEXT_BYTES_MAX, Session, TlsError};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::task::{Context, Poll, Waker, ready};
use core::time::Duration;

/// A flow over TLS.
///
/// Its end is told to the peer (`close_notify`), and an end that the peer did not tell is a reset: what came may have been
/// cut. Why one ended is in the log.
pub struct TlsFlow<F: Flow> {
    flow: F,
    session: Box<Session>,
    incoming: Incoming,
    outgoing: Outgoing,
    /// No more comes: the peer said so, or something went wrong.
    end: Option<Result<(), FlowError>>,
    /// Weighs what is held here; the one whose task this is weighs the rest.
    account: Option<Account>,
}

/// What has arrived and is not yet consumed.
#[derive(Default)]
struct Incoming {
    /// A record that came in parts, or the first of them.
    held: Vec<u8>,
    /// What is in it and not consumed, once it is whole.
    held_plaintext: Range<usize>,
    /// Bytes at the front of the flow's buffer that are opened.
    opened_bytes: usize,
    /// What comes after them up to the next record.
    skipped_bytes: usize,
}

/// What has been written.
#[derive(Default)]
struct Outgoing {
    /// Sealed, and without room below.
    unsent: Vec<u8>,
    /// Bytes of data since the peer last sent some.
    since_turn_bytes: usize,
    finished: bool,
    flow_finished: bool,
}

/// Data of a turn that goes in small records, so that the peer can use its beginning before the rest has come.
const FIRST_BYTES: usize = 16 * 1024;
const FIRST_RECORD_BYTES: usize = 4 * 1024;

/// Less room than this below is not worth a record of its own.
const ROOM_BYTES_MIN: usize = 512;

/// What a step of reading came to.
enum Step {
    /// Somebody consumed so many bytes of data.
    Taken(usize),
    /// It was no data, or not all of a record.
    Again,
    /// The flow below ended.
    Ended,
    Failed(TlsError),
}

impl<F: Flow> TlsFlow<F> {
    pub(super) fn new(flow: F, session: Session, account: Option<Account>) -> Self {
        let mut new = Self {
            flow,
            session: Box::new(session),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            end: None,
            account,
        };
        new.weigh();
        new
    }

    /// What was agreed on with the peer.
    pub fn info(&self) -> &Info {
        self.session.info()
    }

    /// Reads from the flow below until there is data for `take`, or nothing is left.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<Step, FlowError>> {
        let Self { flow, session, incoming, end, .. } = self;
        if !incoming.held_plaintext.is_empty() {
            return Poll::Ready(Ok(Step::Taken(incoming.take_held(take))));
        }
        let mut step = Step::Again;
        let read = flow.poll_read_with(cx, &mut |bytes| {
            let (consumed, came) = if bytes.is_empty() {
                (0, Step::Ended)
            } else if incoming.opened_bytes + incoming.skipped_bytes > 0 {
                incoming.take_opened(bytes, take)
            } else if incoming.held.is_empty() {
                incoming.open(session, bytes, take, end)
            } else {
                incoming.complete(session, bytes, end)
            };
            step = came;
            consumed
        });
        ready!(read)?;
        Poll::Ready(Ok(step))
    }

    /// Nothing can be read or written any more. The peer is told by what is in the session's output.
    fn fail(&mut self, error: &TlsError) -> FlowError {
        let peer = self.flow.peer();
        match error {
            // Many a client just goes away; whoever waited for more will say so.
            TlsError::Truncated => log::debug!("the TLS connection with {peer} ended: {error}"),
            _ => log::info!("the TLS connection with {peer} ended: {error}"),
        }
        self.incoming = Incoming::default();
        self.end = Some(Err(FlowError::Reset));
        self.end_below();
        FlowError::Reset
    }

    /// Ends our direction, as far as there is room now.
    fn end_below(&mut self) {
        self.outgoing.finished = true;
        let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
    }

    /// Hands over what is sealed, and then the end if that is due.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        let Self { flow, session, outgoing, .. } = self;
        while !outgoing.unsent.is_empty() {
            let count = ready!(flow.poll_write(cx, &outgoing.unsent))?;
            outgoing.unsent.drain(..count);
        }
        outgoing.unsent = Vec::new();
        while !session.output().is_empty() {
            let count = ready!(flow.poll_write(cx, session.output()))?;
            session.output_taken(count);
        }
        if outgoing.finished && !core::mem::replace(&mut outgoing.flow_finished, true) {
            flow.finish();
        }
        Poll::Ready(Ok(()))
    }

    /// Makes a record of what `fill` writes; bytes of that.
    fn poll_record(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, TlsError>> {
        let Self { flow, session, outgoing, .. } = self;
        let mut made = Ok(0);
        let written = flow.poll_write_with(cx, &mut |space| match outgoing
            .make_record(session, space, fill)
        {
            Ok((record_bytes, data_bytes)) => {
                made = Ok(data_bytes);
                record_bytes
            }
            Err(error) => {
                made = Err(error);
                0
            }
        });
        if let Err(error) = ready!(written) {
            self.end.get_or_insert(Err(error));
            return Poll::Ready(Err(TlsError::Truncated));
        }
        Poll::Ready(made)
    }

    /// Says what is held here.
    fn weigh(&mut self) {
        if let Some(account) = &self.account {
            let Incoming { held, .. } = &self.incoming;
            let buffers = held.capacity() + self.outgoing.unsent.capacity();
            account.set(size_of::<Session>() + self.session.held_bytes() + buffers);
        }
    }

    /// Whether the peer makes too much be held, so that the connection is over.
    fn is_overweight(&mut self, cx: &Context<'_>) -> bool {
        self.weigh();
        let Some(account) = &self.account else { return false };
        matches!(account.pressure(cx), Pressure::End(_))
    }
}

impl Incoming {
    /// Shows what is in a record of our own.
    fn take_held(&mut self, take: &mut dyn FnMut(&mut [u8]) -> usize) -> usize {
        let Range { start, end } = self.held_plaintext;
        let bytes = self.held.get_mut(start..end).unwrap_or_default();
        let taken = take(bytes).min(end - start);
        self.held_plaintext.start += taken;
        if self.held_plaintext.is_empty() {
            self.held = Vec::new();
        }
        taken
    }

    /// Shows what was opened before, at the front of the flow's buffer.
    fn take_opened(
        &mut self,
        bytes: &mut [u8],
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> (usize, Step) {
        let (mut consumed, mut step) = (0, Step::Again);
        if self.opened_bytes > 0 {
            let count = self.opened_bytes.min(bytes.len());
            consumed = take(bytes.get_mut(..count).unwrap_or_default()).min(count);
            self.opened_bytes -= consumed;
            step = Step::Taken(consumed);
        }
        if self.opened_bytes == 0 {
            let skipped = self.skipped_bytes.min(bytes.len() - consumed);
            self.skipped_bytes -= skipped;
            consumed += skipped;
        }
        (consumed, step)
    }

    /// Opens the record at the front of the flow's buffer, if it is whole.
    fn open(
        &mut self,
        session: &mut Session,
        bytes: &mut [u8],
        take: &mut dyn FnMut(&mut [u8]) -> usize,
        end: &mut Option<Result<(), FlowError>>,
    ) -> (usize, Step) {
        match session.open(bytes) {
            Ok(Opened::Data { record_bytes, plaintext }) if plaintext.is_empty() => {
                (record_bytes, Step::Again)
            }
            Ok(Opened::Data { record_bytes, plaintext: Range { start, end } }) => {
                self.opened_bytes = end - start;
                self.skipped_bytes = record_bytes - end;
                let (consumed, step) =
                    self.take_opened(bytes.get_mut(start..).unwrap_or_default(), take);
                (start + consumed, step)
            }
            Ok(Opened::Incomplete(record_bytes)) => {
                self.held.reserve_exact(record_bytes.unwrap_or(bytes.len()));
                self.held.extend_from_slice(bytes);
                (bytes.len(), Step::Again)
            }
            Ok(Opened::Other(count)) => (count, Step::Again),
            Ok(Opened::Closed(count)) => {
                *end = Some(Ok(()));
                (count, Step::Again)
            }
            Err(error) => (bytes.len(), Step::Failed(error)),
        }
    }

    /// Adds to a record that came in parts.
    fn complete(
        &mut self,
        session: &mut Session,
        bytes: &[u8],
        end: &mut Option<Result<(), FlowError>>,
    ) -> (usize, Step) {
        let wanted = match session.wanted_record_bytes(&self.held) {
            Ok(wanted) => wanted,
            Err(error) => return (bytes.len(), Step::Failed(error)),
        };
        let count = wanted.min(bytes.len());
        self.held.reserve_exact(wanted);
        self.held.extend_from_slice(bytes.get(..count).unwrap_or_default());
        match session.open(&mut self.held) {
            Ok(Opened::Incomplete(_)) => return (count, Step::Again),
            Ok(Opened::Data { plaintext, .. }) if !plaintext.is_empty() => {
                self.held_plaintext = plaintext;
                return (count, Step::Again);
            }
            Ok(Opened::Closed(_)) => *end = Some(Ok(())),
            Ok(Opened::Data { .. } | Opened::Other(_)) => {}
            Err(error) => return (count, Step::Failed(error)),
        }
        self.held = Vec::new();
        (count, Step::Again)
    }
}

impl Outgoing {
    /// Makes a record of what `fill` writes, in `space` or, as far as that has no room, for later; what of it is in `space`,
    /// and how much data it has.
    fn make_record(
        &mut self,
        session: &mut Session,
        space: &mut [u8],
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Result<(usize, usize), TlsError> {
        let has_room = space.len() >= session.overhead_bytes() + ROOM_BYTES_MIN;
        let (record_bytes, data_bytes) = if has_room {
            seal(session, space, self.record_bytes_max(), fill)?
        } else {
            // As at the end of a page: the rest goes into the next.
            let mut staged = vec![0; session.overhead_bytes() + FIRST_RECORD_BYTES];
            let (record_bytes, data_bytes) = seal(session, &mut staged, FIRST_RECORD_BYTES, fill)?;
            let (now, later) = staged.split_at(record_bytes.min(space.len()));
            space.iter_mut().zip(now).for_each(|(place, byte)| *place = *byte);
            self.unsent
                .extend_from_slice(later.get(..record_bytes - now.len()).unwrap_or_default());
            (now.len(), data_bytes)
        };
        self.since_turn_bytes += data_bytes;
        Ok((record_bytes, data_bytes))
    }

    /// Most bytes of data in the next record.
    fn record_bytes_max(&self) -> usize {
        if self.since_turn_bytes < FIRST_BYTES { FIRST_RECORD_BYTES } else { PLAINTEXT_BYTES_MAX }
    }
}

/// Makes a record in `space`, which has room for more than its overhead; its length, and that of what is in it.
fn seal(
    session: &mut Session,
    space: &mut [u8],
    bytes_max: usize,
    fill: &mut dyn FnMut(&mut [u8]) -> usize,
) -> Result<(usize, usize), TlsError> {
    let room = (space.len() - session.overhead_bytes()).min(bytes_max);
    let start = session.prefix_bytes();
    let count = fill(space.get_mut(start..start + room).unwrap_or_default()).min(room);
    if count == 0 {
        return Ok((0, 0));
    }
    Ok((session.seal(space, count)?, count))
}

impl<F: Flow> Flow for TlsFlow<F> {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        loop {
            // Answers to the peer's messages, and what had no room.
            let _ = self.poll_flush(cx);
            if self.incoming.held_plaintext.is_empty()
                && let Some(end) = self.end
            {
                return Poll::Ready(end.map(|()| {
                    take(&mut []);
                    0
                }));
            }
            if self.is_overweight(cx) {
                self.flow.abort();
                self.end = Some(Err(FlowError::Closed));
                continue;
            }
            let step = match self.poll_step(cx, take) {
                Poll::Ready(step) => step?,
                Poll::Pending => {
                    self.weigh();
                    return Poll::Pending;
                }
            };
            match step {
                Step::Taken(count) => {
                    self.outgoing.since_turn_bytes = 0;
                    return Poll::Ready(Ok(count));
                }
                Step::Again => {}
                Step::Ended => return Poll::Ready(Err(self.fail(&TlsError::Truncated))),
                Step::Failed(error) => return Poll::Ready(Err(self.fail(&error))),
            }
        }
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        if self.outgoing.finished {
            let failed = self.end.and_then(Result::err);
            return Poll::Ready(Err(failed.unwrap_or(FlowError::Closed)));
        }
        let prepared = self.session.prepare();
        ready!(self.poll_flush(cx))?;
        let made = match prepared {
            Ok(()) => ready!(self.poll_record(cx, fill)),
            Err(error) => Err(error),
        };
        let outcome = match (made, self.end) {
            (Ok(count), _) => {
                let _ = self.poll_flush(cx);
                Ok(count)
            }
            // The flow below broke.
            (Err(TlsError::Truncated), Some(Err(error))) => Err(error),
            (Err(error), _) => Err(self.fail(&error)),
        };
        Poll::Ready(outcome)
    }

    fn newly_taken(&mut self, now: Duration) -> Option<Taken> {
        self.flow.newly_taken(now)
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        ready!(self.poll_flush(cx))?;
        self.flow.poll_drained(cx)
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        ready!(self.poll_flush(cx))?;
        self.flow.poll_flushed(cx)
    }

    fn finish(&mut self) {
        // RFC 8446 section 6.1: each side tells its end.
        self.session.close();
        self.end_below();
    }

    fn abort(&mut self) {
        self.flow.abort();
        self.outgoing = Outgoing { finished: true, flow_finished: true, ..Outgoing::default() };
        self.end = Some(Err(FlowError::Closed));
        self.incoming = Incoming::default();
    }

    fn peer(&self) -> Address {
        self.flow.peer()
    }

    fn local(&self) -> Address {
        self.flow.local()
    }

    fn peer_certificate(&self) -> Option<[u8; 32]> {
        self.info().peer_fingerprint
    }
}

impl<F: Flow> Drop for TlsFlow<F> {
    /// What has found room since goes on its way.
    fn drop(&mut self) {
        if self.outgoing.finished {
            let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// What tests look at, and do below.
#[cfg(test)]
impl<F: Flow> TlsFlow<F> {
    pub(super) fn below(&mut self) -> &mut F {
        &mut self.flow
    }

    /// Bytes of buffers.
    pub(super) fn buffer_bytes(&self) -> usize {
        let buffers = self.incoming.held.capacity() + self.outgoing.unsent.capacity();
        buffers + self.session.held_bytes()
    }
}

impl<F: Flow> core::fmt::Debug for TlsFlow<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TlsFlow({} to {})", self.flow.local(), self.flow.peer())
    }
}
