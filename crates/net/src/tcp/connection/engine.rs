//! What moves a connection's bytes: a few numbers while all goes well, else a smoltcp socket.

use crate::tcp::connection::fast_path::Calm;
use crate::tcp::connection::socket::{self, Sockets};
use crate::tcp::context::Shared;
use core::time::Duration;
use smoltcp::socket::tcp::{RecvError, Socket, State};

/// The inner half of a connection.
pub(crate) enum Body {
    /// The usual one.
    Calm(Calm),
    /// A set of one socket.
    Socket(Sockets),
}

impl Body {
    pub(crate) fn is_calm(&self) -> bool {
        matches!(self, Self::Calm(_))
    }

    /// `finished` says that the application wrote its last byte.
    pub(crate) fn state(&self, finished: bool) -> State {
        match self {
            Self::Calm(calm) => calm.state(finished),
            Self::Socket(sockets) => socket(sockets).state(),
        }
    }

    /// Bytes received and not read.
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::Calm(calm) => calm.receive.len(),
            Self::Socket(sockets) => socket(sockets).recv_queue(),
        }
    }

    /// Bytes written and not acknowledged.
    pub(crate) fn queued(&self) -> usize {
        match self {
            Self::Calm(calm) => calm.queued,
            Self::Socket(sockets) => socket(sockets).send_queue(),
        }
    }

    pub(crate) fn receive_capacity(&self) -> usize {
        match self {
            Self::Calm(calm) => calm.receive_capacity,
            Self::Socket(sockets) => socket(sockets).recv_capacity(),
        }
    }

    pub(crate) fn transmit_capacity(&self) -> usize {
        match self {
            Self::Calm(calm) => calm.transmit_capacity,
            Self::Socket(sockets) => socket(sockets).send_capacity(),
        }
    }

    /// Bytes that may be queued, with those that are lent.
    pub(crate) fn queue_capacity(&self) -> usize {
        match self {
            Self::Calm(calm) => {
                let lent = calm.lent.as_ref().map_or(0, |lent| lent.reserve());
                lent.max(calm.transmit_capacity)
            }
            Self::Socket(_) => self.transmit_capacity(),
        }
    }

    /// Lent bytes are queued, behind which nothing can be copied.
    pub(crate) fn is_lending(&self) -> bool {
        matches!(self, Self::Calm(calm) if calm.lent.is_some())
    }

    /// Nothing connects it with a peer any more.
    pub(crate) fn has_no_peer(&self) -> bool {
        match self {
            Self::Calm(calm) => !calm.aborted,
            Self::Socket(sockets) => socket(sockets).remote_endpoint().is_none(),
        }
    }

    /// How long a socket's acknowledgement waits for data to ride with; a calm connection knows.
    pub(crate) fn set_acknowledgement_delay(&mut self, delay: Option<Duration>) {
        if let Self::Socket(sockets) = self {
            socket_mut(sockets).set_ack_delay(delay.map(Into::into));
        }
    }

    /// The peer's FIN has arrived.
    pub(crate) fn peer_ended(&self) -> bool {
        match self {
            Self::Calm(calm) => calm.peer_ended,
            Self::Socket(sockets) => matches!(
                socket(sockets).state(),
                State::CloseWait | State::Closing | State::LastAck | State::TimeWait
            ),
        }
    }

    /// Shows `take` what is unread; it says how much it consumed, and a value.
    pub(crate) fn read<R>(
        &mut self,
        shared: &Shared,
        take: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, RecvError> {
        match self {
            Self::Calm(calm) => calm.read(shared, take),
            Self::Socket(sockets) => socket_mut(sockets).recv(take),
        }
    }

    /// The application may still write.
    pub(crate) fn may_send(&self, finished: bool) -> bool {
        match self {
            Self::Calm(calm) => !finished && !calm.aborted,
            Self::Socket(sockets) => socket(sockets).may_send(),
        }
    }

    /// Shows `fill` free space; it says how much it wrote, and a value.
    pub(crate) fn write<R>(
        &mut self,
        shared: &Shared,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Option<R> {
        match self {
            Self::Calm(calm) => Some(calm.write(shared, fill)),
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
            Self::Calm(calm) => calm.aborted = true,
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
