//! TCP flow: a connection as tasks use it, through [`flow::Flow`].

use crate::tcp::connection::{Connection, Tcb};
use alloc::rc::Rc;
use bytes::Bytes;
use core::task::{Context, Poll};
use flow::{Address, Flow, FlowError};

/// One end of a TCP connection.
///
/// Dropping it after [`finish`](Flow::finish) lets everything written be delivered, for as long as
/// [`Limits::user_timeout`](crate::Limits::user_timeout) says, and discards what still arrives, for as long after that as
/// [`Limits::orphan_timeout`](crate::Limits::orphan_timeout) says; dropping it before resets the connection.
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
        let connection = &*self.connection;
        let mut tcb = connection.tcb();
        let bytes = tcb.engine.received_mut();
        if bytes.is_empty() {
            return tcb.poll_end(cx, take);
        }
        let taken = take(bytes).min(bytes.len());
        if taken > 0 {
            let context = &connection.context;
            tcb.engine.consume(&mut context.shared.borrow_mut(), context.now.get(), taken);
            tcb.read += taken as u64;
            // The peer may have to be told of the room.
            connection.mark(&mut tcb);
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        let connection = &*self.connection;
        let shared = &connection.context.shared;
        let mut tcb = connection.tcb();
        tcb.may_write()?;
        let room = tcb.engine.room(&mut shared.borrow_mut());
        if room.is_empty() {
            tcb.await_room(connection, cx);
            return Poll::Pending;
        }
        let filled = fill(room).min(room.len());
        tcb.engine.filled(&mut shared.borrow_mut(), filled);
        tcb.written += filled as u64;
        connection.mark(&mut tcb);
        Poll::Ready(Ok(filled))
    }

    fn poll_write_shared(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, FlowError>> {
        let connection = &*self.connection;
        let mut tcb = connection.tcb();
        tcb.may_write()?;
        let taken = tcb.engine.share(&mut connection.context.shared.borrow_mut(), bytes);
        if taken == 0 {
            tcb.await_room(connection, cx);
            return Poll::Pending;
        }
        tcb.written += taken as u64;
        connection.mark(&mut tcb);
        Poll::Ready(Ok(taken))
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        let mut tcb = self.connection.tcb();
        if let Some(end) = tcb.end {
            return Poll::Ready(Err(end));
        }
        if tcb.engine.unacknowledged_len() == 0 {
            return Poll::Ready(Ok(()));
        }
        tcb.writer.register(cx);
        Poll::Pending
    }

    fn finish(&mut self) {
        let mut tcb = self.connection.tcb();
        tcb.engine.close(&mut self.connection.context.shared.borrow_mut());
        self.connection.mark(&mut tcb);
    }

    fn abort(&mut self) {
        let mut tcb = self.connection.tcb();
        tcb.abort(&self.connection.context);
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

impl Tcb {
    /// Nothing is to be read now: has the peer finished, or the connection ended?
    fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        if let Some(end) = self.end {
            return Poll::Ready(Err(end));
        }
        if self.engine.is_read_to_end() {
            take(&mut []);
            return Poll::Ready(Ok(0));
        }
        self.reader.register(cx);
        Poll::Pending
    }

    fn may_write(&self) -> Result<(), FlowError> {
        if self.engine.state().may_queue() {
            return Ok(());
        }
        Err(self.end.unwrap_or(FlowError::Closed))
    }

    /// The engine tells of room in a buffer that was full, but not of memory that others give back.
    fn await_room(&mut self, connection: &Connection, cx: &mut Context<'_>) {
        self.writer.register(cx);
        if self.engine.unacknowledged_len() == 0 {
            connection.context.starved.register(cx);
        }
    }
}
