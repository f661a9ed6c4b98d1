//! Flow: a connection as tasks use it, through [`flow::Flow`].

use crate::connection::State;
use crate::socket::{Socket, SocketState};
use alloc::rc::Rc;
use bytes::Bytes;
use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;
use flow::{Address, ConnectError, Flow, FlowError, Taken};

/// One end of a connection by vsock.
///
/// Dropping it after [`finish`](Flow::finish) lets everything written be delivered, as long as the peer goes on taking it,
/// and discards what still arrives; dropping it before resets the connection.
pub struct VsockFlow {
    socket: Rc<Socket>,
}

impl VsockFlow {
    pub(crate) fn new(socket: Rc<Socket>) -> Self {
        Self { socket }
    }

    /// Ready when the peer has answered our request.
    pub(crate) fn poll_opened(&self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        let mut state = self.socket.state();
        match state.connection.state() {
            State::Open => Poll::Ready(Ok(())),
            State::Over(why) => Poll::Ready(Err(match why {
                Some(FlowError::TimedOut) => ConnectError::TimedOut,
                Some(FlowError::Down) => ConnectError::Unreachable,
                _ => ConnectError::Refused,
            })),
            State::Opening => {
                state.reader.register(cx);
                Poll::Pending
            }
        }
    }

    /// Has `write` write where there is room; waits where there is none.
    fn poll_write_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut SocketState) -> Option<usize>,
    ) -> Poll<Result<usize, FlowError>> {
        let mut state = self.socket.state();
        state.connection.may_write()?;
        let Some(written) = write(&mut state) else {
            state.writer.register(cx);
            return Poll::Pending;
        };
        self.socket.mark(&mut state);
        Poll::Ready(Ok(written))
    }
}

impl Flow for VsockFlow {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        let mut state = self.socket.state();
        let unread = state.connection.unread.unread();
        if !unread.is_empty() {
            let taken = take(unread).min(unread.len());
            state.connection.consume(taken);
            // The peer may have to be told of the room.
            self.socket.mark(&mut state);
            return Poll::Ready(Ok(taken));
        }
        match state.connection.read_end() {
            Some(Ok(())) => {
                take(&mut []);
                Poll::Ready(Ok(0))
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => {
                state.reader.register(cx);
                Poll::Pending
            }
        }
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        self.poll_write_by(cx, |state| {
            let room = state.connection.unsent.room()?;
            let filled = fill(room).min(room.len());
            state.connection.unsent.fill(filled);
            Some(filled)
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, FlowError>> {
        self.poll_write_by(cx, |state| some(state.connection.unsent.copy(bytes)))
    }

    fn poll_write_shared(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, FlowError>> {
        self.poll_write_by(cx, |state| some(state.connection.unsent.share(bytes)))
    }

    fn newly_taken(&mut self, _: Duration) -> Option<Taken> {
        self.socket.state().connection.newly_taken()
    }

    /// What the device has is sent, and lost only with the peer.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        let mut state = self.socket.state();
        if state.connection.is_drained()? {
            return Poll::Ready(Ok(()));
        }
        state.writer.register(cx);
        Poll::Pending
    }

    fn finish(&mut self) {
        let mut state = self.socket.state();
        state.connection.finish();
        self.socket.mark(&mut state);
    }

    fn abort(&mut self) {
        let is_told = self.socket.state().connection.abort();
        self.socket.network.leave(&self.socket, is_told);
    }

    fn peer(&self) -> Address {
        Address::Vsock(self.socket.key.peer)
    }

    fn local(&self) -> Address {
        Address::Vsock(self.socket.local())
    }
}

impl Drop for VsockFlow {
    fn drop(&mut self) {
        let (socket, network) = (&self.socket, &self.socket.network);
        let mut state = socket.state();
        let is_told = state.connection.release(network.now.get());
        if let State::Over(_) = state.connection.state() {
            drop(state);
            return network.leave(socket, is_told);
        }
        network.note_deadline(state.connection.deadline());
        socket.mark(&mut state);
    }
}

impl fmt::Debug for VsockFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VsockFlow({} to {})", self.socket.local(), self.socket.key.peer)
    }
}

/// None written is no room.
fn some(written: usize) -> Option<usize> {
    (written > 0).then_some(written)
}
