//! Engine: what moves a connection's bytes, the fast path or a smoltcp socket, with one face.

use crate::tcp::connection::buffer_pool::BufferSizes;
use crate::tcp::connection::fast_path::FastPath;
use crate::tcp::connection::socket::{self, Sockets};
use crate::tcp::context::TcpContext;
use core::time::Duration;
use smoltcp::socket::tcp::{RecvError, Socket, State};

/// What moves a connection's bytes.
pub(crate) enum Engine {
    /// The usual one.
    FastPath(FastPath),
    /// A set of one socket.
    Socket(Sockets),
}

impl Engine {
    pub(crate) fn is_fast(&self) -> bool {
        matches!(self, Self::FastPath(_))
    }

    pub(crate) fn buffer_sizes(&self) -> BufferSizes {
        BufferSizes { receive: self.receive_capacity(), transmit: self.queue_capacity() }
    }

    /// Gives back what it holds of the buffers' budget.
    pub(crate) fn release(&mut self, context: &TcpContext) {
        match self {
            Self::FastPath(fast) => fast.empty(context),
            Self::Socket(sockets) => {
                let freed = socket_sizes(socket(sockets)).total();
                context.ring_bytes.set(context.ring_bytes.get().saturating_sub(freed));
            }
        }
    }

    /// `finished` says that the application wrote its last byte.
    pub(crate) fn state(&self, finished: bool) -> State {
        match self {
            Self::FastPath(fast) => fast.state(finished),
            Self::Socket(sockets) => socket(sockets).state(),
        }
    }

    /// Bytes received and not read.
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::FastPath(fast) => fast.receive.len(),
            Self::Socket(sockets) => socket(sockets).recv_queue(),
        }
    }

    /// Bytes written and not acknowledged.
    pub(crate) fn queued(&self) -> usize {
        match self {
            Self::FastPath(fast) => fast.queued,
            Self::Socket(sockets) => socket(sockets).send_queue(),
        }
    }

    pub(crate) fn receive_capacity(&self) -> usize {
        match self {
            Self::FastPath(fast) => fast.receive_capacity,
            Self::Socket(sockets) => socket(sockets).recv_capacity(),
        }
    }

    pub(crate) fn transmit_capacity(&self) -> usize {
        match self {
            Self::FastPath(fast) => fast.transmit_capacity,
            Self::Socket(sockets) => socket(sockets).send_capacity(),
        }
    }

    /// Bytes that may be queued, with those of the zero-copy queue.
    pub(crate) fn queue_capacity(&self) -> usize {
        match self {
            Self::FastPath(fast) => {
                let zero_copy = fast.zero_copy.as_ref().map_or(0, |zero_copy| zero_copy.reserve());
                zero_copy.max(fast.transmit_capacity)
            }
            Self::Socket(_) => self.transmit_capacity(),
        }
    }

    /// The zero-copy queue is not empty, behind which nothing can be copied.
    pub(crate) fn has_zero_copy(&self) -> bool {
        matches!(self, Self::FastPath(fast) if fast.zero_copy.is_some())
    }

    /// Nothing connects it with a peer any more.
    pub(crate) fn has_no_peer(&self) -> bool {
        match self {
            Self::FastPath(fast) => !fast.aborted,
            Self::Socket(sockets) => socket(sockets).remote_endpoint().is_none(),
        }
    }

    /// How long a socket's acknowledgement waits for data to ride with; the fast path knows.
    pub(crate) fn set_acknowledgement_delay(&mut self, delay: Option<Duration>) {
        if let Self::Socket(sockets) = self {
            socket_mut(sockets).set_ack_delay(delay.map(Into::into));
        }
    }

    /// The peer's FIN has arrived.
    pub(crate) fn fin_received(&self) -> bool {
        match self {
            Self::FastPath(fast) => fast.fin_received,
            Self::Socket(sockets) => matches!(
                socket(sockets).state(),
                State::CloseWait | State::Closing | State::LastAck | State::TimeWait
            ),
        }
    }

    /// Shows `take` what is unread; it says how much it consumed, and a value.
    pub(crate) fn read<R>(
        &mut self,
        context: &TcpContext,
        take: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, RecvError> {
        match self {
            Self::FastPath(fast) => fast.read(context, take),
            Self::Socket(sockets) => socket_mut(sockets).recv(take),
        }
    }

    /// The application may still write.
    pub(crate) fn may_send(&self, finished: bool) -> bool {
        match self {
            Self::FastPath(fast) => !finished && !fast.aborted,
            Self::Socket(sockets) => socket(sockets).may_send(),
        }
    }

    /// Shows `fill` free space; it says how much it wrote, and a value.
    pub(crate) fn write<R>(
        &mut self,
        context: &TcpContext,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Option<R> {
        match self {
            Self::FastPath(fast) => Some(fast.write(context, fill)),
            Self::Socket(sockets) => socket_mut(sockets).send(fill).ok(),
        }
    }

    /// The application wrote its last byte.
    pub(crate) fn finish(&mut self) {
        if let Self::Socket(sockets) = self {
            socket_mut(sockets).close();
        }
    }

    /// Ends both directions; the next round tells the peer.
    pub(crate) fn abort(&mut self) {
        match self {
            Self::FastPath(fast) => fast.aborted = true,
            Self::Socket(sockets) => socket_mut(sockets).abort(),
        }
    }
}

pub(crate) fn socket(sockets: &Sockets) -> &Socket<'static> {
    sockets.get(socket::handle())
}

pub(crate) fn socket_mut(sockets: &mut Sockets) -> &mut Socket<'static> {
    sockets.get_mut(socket::handle())
}

pub(crate) fn socket_sizes(socket: &Socket) -> BufferSizes {
    BufferSizes { receive: socket.recv_capacity(), transmit: socket.send_capacity() }
}
