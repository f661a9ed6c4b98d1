//! TCP flow: a connection as tasks use it, through [`flow::Flow`].

use crate::tcp::connection::buffers;
use crate::tcp::connection::{Connection, Tcb};
use alloc::rc::Rc;
use bytes::{Buf, Bytes};
use core::task::{Context, Poll, ready};
use flow::{Address, Flow, FlowError};
use smoltcp::socket::tcp::{RecvError, State};

/// One end of a TCP connection.
///
/// Dropping it after [`finish`](Flow::finish) lets everything written be delivered, for as long as
/// [`Limits::orphan_timeout`](crate::Limits::orphan_timeout) says, and discards what still arrives; dropping it
/// before resets the connection.
pub struct TcpFlow {
    connection: Rc<Connection>,
}

impl TcpFlow {
    pub(crate) fn new(connection: Rc<Connection>) -> Self {
        Self { connection }
    }
}

impl Flow for TcpFlow {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        let mut tcb = self.connection.tcb();
        match tcb.engine.read(&self.connection.context, |ring| show(ring, take)) {
            Ok(Some(taken)) => {
                tcb.read += taken as u64;
                if taken > 0 {
                    after_read(&self.connection, &mut tcb);
                }
                Poll::Ready(Ok(taken))
            }
            Ok(None) => {
                tcb.reader.register(cx);
                Poll::Pending
            }
            Err(RecvError::Finished) if tcb.end.is_none() => {
                take(&mut []);
                Poll::Ready(Ok(0))
            }
            Err(_) => Poll::Ready(Err(tcb.end.unwrap_or(FlowError::Reset))),
        }
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        let mut tcb = self.connection.tcb();
        if !tcb.engine.may_send(tcb.finished) {
            return Poll::Ready(Err(tcb.end.unwrap_or(FlowError::Closed)));
        }
        if tcb.engine.has_zero_copy() {
            tcb.writer.register(cx);
            return Poll::Pending;
        }
        if tcb.send_buffer_was_full {
            buffers::before_write(&self.connection, &mut tcb);
        }
        if tcb.engine.queued() >= tcb.engine.transmit_capacity() {
            tcb.send_buffer_was_full = true;
            tcb.writer.register(cx);
            return Poll::Pending;
        }
        let growable = buffers::growable_transmit(&self.connection, &tcb);
        let mut full = None;
        let filled = tcb.engine.write(&self.connection.context, |ring| {
            let filled = fill(ring).min(ring.len());
            if filled < growable {
                return (filled, filled);
            }
            full = Some(ring.to_vec());
            (0, filled)
        });
        if let Some(bytes) = full {
            // More will follow. Nothing is in the old ring yet, so that a larger one can take over.
            buffers::before_write(&self.connection, &mut tcb);
            let _ = tcb.engine.write(&self.connection.context, |room| copy_front(room, &bytes));
        }
        let filled = filled.unwrap_or(0);
        tcb.written += filled as u64;
        self.connection.mark(&mut tcb);
        Poll::Ready(Ok(filled))
    }

    fn poll_write_shared(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, FlowError>> {
        let mut tcb = self.connection.tcb();
        if !tcb.engine.may_send(tcb.finished) {
            return Poll::Ready(Err(tcb.end.unwrap_or(FlowError::Closed)));
        }
        let Some(taken) = tcb.queue_zero_copy(bytes, &self.connection.context) else {
            drop(tcb);
            let count = ready!(self.poll_write(cx, bytes))?;
            bytes.advance(count);
            return Poll::Ready(Ok(count));
        };
        if taken == 0 {
            tcb.writer.register(cx);
            return Poll::Pending;
        }
        tcb.written += taken as u64;
        self.connection.mark(&mut tcb);
        Poll::Ready(Ok(taken))
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        let mut tcb = self.connection.tcb();
        let (queued, state) = (tcb.engine.queued(), tcb.state());
        if queued == 0 && tcb.end.is_none() {
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = tcb.end {
            return Poll::Ready(Err(end));
        }
        if state == State::Closed {
            return Poll::Ready(Err(FlowError::Reset));
        }
        tcb.writer.register(cx);
        Poll::Pending
    }

    fn finish(&mut self) {
        let mut tcb = self.connection.tcb();
        tcb.finished = true;
        tcb.engine.finish();
        self.connection.mark(&mut tcb);
    }

    fn abort(&mut self) {
        let mut tcb = self.connection.tcb();
        tcb.abort();
        self.connection.mark(&mut tcb);
    }

    fn peer(&self) -> Address {
        Address::Ip(self.connection.tuple.remote())
    }

    fn local(&self) -> Address {
        Address::Ip(self.connection.tuple.local())
    }
}

impl Drop for TcpFlow {
    fn drop(&mut self) {
        self.connection.release();
    }
}

impl core::fmt::Debug for TcpFlow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "TcpFlow({} to {})",
            self.connection.tuple.local(),
            self.connection.tuple.remote()
        )
    }
}

/// `None` when there is nothing to show.
fn show(ring: &mut [u8], take: &mut dyn FnMut(&mut [u8]) -> usize) -> (usize, Option<usize>) {
    if ring.is_empty() {
        return (0, None);
    }
    let taken = take(ring).min(ring.len());
    (taken, Some(taken))
}

/// Room was made: the peer may have to be told, and a busy ring may grow.
fn after_read(connection: &Connection, tcb: &mut Tcb) {
    connection.mark(tcb);
    if tcb.engine.unread() == 0 {
        buffers::after_read(connection, tcb);
    }
}

/// Copies what fits, which is all: the room is at least what the bytes were in.
fn copy_front(room: &mut [u8], bytes: &[u8]) -> (usize, ()) {
    let count = room.len().min(bytes.len());
    room[..count].copy_from_slice(&bytes[..count]);
    (count, ())
}
