//! One connection: bytes between a flow and the vat, both ways in place.

use super::{Rpc, Shared};
use ::rpc::{ConnId, Exception, System, TableSizes};
use alloc::rc::Rc;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use flow::time::{Timer, Timers};
use flow::{Flow, FlowError};

/// Rounds in one turn before other tasks get theirs.
const ROUNDS_MAX: usize = 32;
/// How long a peer may leave the last bytes of a connection unacknowledged.
const FINISH_TIME: Duration = Duration::from_secs(60);

/// The task of a connection; ready when it is over. Dropped, also by a handler's panic, it ends
/// the connection.
pub(super) struct Driver<F: Flow> {
    system: System,
    conn: ConnId,
    flow: F,
    timers: Timers,
    deadline: Timer,
    shared: Rc<Shared>,
    /// Whether it was ours to make, and so is ours to end when it is of no use any more.
    ends_idle: bool,
    finished: bool,
}

impl<F: Flow> Driver<F> {
    pub(super) fn accepted(rpc: &Rpc, conn: ConnId, flow: F) -> Self {
        rpc.shared.connections.update(|count| count + 1);
        Self {
            shared: rpc.shared.clone(),
            system: rpc.system.clone(),
            conn,
            flow,
            timers: rpc.timers.clone(),
            deadline: rpc.timers.timer(),
            ends_idle: false,
            finished: false,
        }
    }

    pub(super) fn connected(rpc: &Rpc, conn: ConnId, flow: F) -> Self {
        let mut driver = Self::accepted(rpc, conn, flow);
        driver.ends_idle = true;
        driver
    }

    /// Lets the vat see the bytes where they lie; whether there were any.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.system.wants_input(self.conn) {
            return false;
        }
        let (system, conn, now) = (&self.system, self.conn, self.timers.now());
        let mut ended = false;
        let read = self.flow.poll_read_with(cx, &mut |bytes| {
            ended = bytes.is_empty();
            system.take_input(conn, now, bytes);
            bytes.len()
        });
        match read {
            Poll::Ready(Ok(_)) if !ended => true,
            Poll::Ready(_) => {
                self.system.handle_end(self.conn);
                true
            }
            Poll::Pending => false,
        }
    }

    /// Lets the vat write what it has where it is sent from; whether there was any.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut wrote = false;
        while self.system.has_output(self.conn, cx) {
            let (system, conn, now) = (&self.system, self.conn, self.timers.now());
            let written =
                self.flow.poll_write_with(cx, &mut |space| system.poll_transmit(conn, now, space));
            match written {
                Poll::Ready(Ok(_)) => wrote = true,
                Poll::Ready(Err(_)) => {
                    self.system.forget(self.conn);
                    return true;
                }
                Poll::Pending => break,
            }
        }
        wrote
    }

    /// Closes what nobody uses, and what is to end as soon as it may.
    fn end_if_idle(&mut self) {
        if self.shared.draining.get()
            && !self.system.is_closed(self.conn)
            && self.system.table_sizes(self.conn).answers == 0
        {
            self.system.close(self.conn, Exception::disconnected("this service is stopping"));
        }
        if self.ends_idle && self.system.table_sizes(self.conn) == TableSizes::default() {
            self.system.handle_end(self.conn);
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.timers.now();
        let deadline = self.system.next_deadline(self.conn, now);
        if self.deadline.deadline() != deadline {
            self.deadline.set(deadline);
        }
        let expired = deadline.is_some() && self.deadline.poll_expired(cx).is_ready();
        if expired {
            self.system.handle_timeout(self.conn, now);
        }
        expired
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        if !core::mem::replace(&mut self.finished, true) {
            self.flow.finish();
            self.deadline.set(Some(self.timers.now() + FINISH_TIME));
        }
        if self.deadline.poll_expired(cx).is_ready() {
            self.flow.abort();
            return Poll::Ready(Err(FlowError::TimedOut));
        }
        ready!(self.flow.poll_drained(cx))?;
        Poll::Ready(Ok(()))
    }
}

impl<F: Flow> Unpin for Driver<F> {}

impl<F: Flow> Future for Driver<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..ROUNDS_MAX {
            let read = this.read(cx);
            this.system.poll_run(cx);
            let wrote = this.write(cx);
            this.end_if_idle();
            if this.system.is_closed(this.conn) && !this.system.has_output(this.conn, cx) {
                return this.poll_finish(cx).map(|_| ());
            }
            if !read && !wrote && !this.poll_deadline(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<F: Flow> Drop for Driver<F> {
    fn drop(&mut self) {
        self.shared.connections.update(|count| count - 1);
        self.system.forget(self.conn);
    }
}
