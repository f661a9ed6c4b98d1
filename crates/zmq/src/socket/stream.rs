//! Streamed messages, whose last part goes, or comes, in pieces; and how a peer is sent away.

use super::{PeerId, RecvError, Refusal, Refused, Socket, SocketEvent};
use crate::{Error, Message, SocketType};
use bytes::Bytes;

/// A message from [`Socket::recv_from`].
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// By whom.
    pub peer: PeerId,
    /// All of it; or the start of one that streams.
    pub message: Message,
    /// Bytes that its last part lacks: what [`Socket::recv_chunk`] gives next. 0 of a whole message.
    pub part_left: u64,
}

/// More of a message that streams.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes; none of an empty part.
    pub bytes: Bytes,
    /// Bytes that the part still lacks.
    pub part_left: u64,
    /// Whether another part follows this one.
    pub more: bool,
}

impl Chunk {
    /// Whether nothing of the message follows.
    pub fn ends_message(&self) -> bool {
        self.part_left == 0 && !self.more
    }
}

impl Socket {
    /// As [`Socket::send`], of a message whose last part lacks `left` bytes; send them by
    /// [`Socket::send_piece`] to the peer that this gives. No peer: the pattern drops the message.
    /// A PUB, which may have many subscribers, cannot.
    pub fn send_start(&mut self, start: Message, left: u64) -> Result<Option<PeerId>, Refused> {
        match self.config.socket_type {
            SocketType::Push | SocketType::Dealer => self.send_in_turn(start, left).map(Some),
            SocketType::Req => self.send_request(start, left).map(Some),
            SocketType::Rep => self.send_reply(start, left),
            SocketType::Router => self.send_routed(start, left),
            _ => Err(Refused { message: start, why: Refusal::Unsupported }),
        }
    }

    /// The next bytes of the part that [`Socket::send_start`] began. [`Refusal::Full`]: wait for
    /// [`SocketEvent::Send`].
    pub fn send_piece(&mut self, id: PeerId, piece: Bytes) -> Result<(), Refusal> {
        let peer = self.peers.get_mut(id).filter(|peer| peer.is_ready());
        let peer = peer.ok_or(Refusal::PeerLost)?;
        if !peer.connection.has_piece_room(self.options.send_bytes_max) {
            return Err(Refusal::Full);
        }
        peer.connection.send_piece(piece).map_err(|_| Refusal::Malformed)?;
        self.touched(id);
        self.offer_room(id);
        Ok(())
    }

    /// What follows of the message whose start came last from this peer.
    pub fn recv_chunk(&mut self, id: PeerId) -> Result<Chunk, RecvError> {
        let peer = self.peers.get_mut(id).ok_or(RecvError::PeerLost)?;
        let chunk = peer.receive_chunk();
        let lost = peer.gone || peer.leaving.is_some();
        peer.settle(&mut self.counted);
        self.input_taken(id);
        chunk.ok_or(if lost { RecvError::PeerLost } else { RecvError::Empty })
    }

    /// The rest of the message whose start came last from this peer is of no use.
    pub fn discard_rest(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.discard_rest();
            peer.settle(&mut self.counted);
        }
        self.input_taken(id);
    }

    /// Sends a peer away: what it sent and nobody received is dropped, and its connection ends
    /// when what is queued for it has gone out. [`Socket::leaving`] tells whoever holds the flow.
    pub fn disconnect(&mut self, id: PeerId) {
        self.leave(id, Error::Disconnected);
    }

    /// As [`Socket::disconnect`], for this reason.
    pub fn leave(&mut self, id: PeerId, why: Error) {
        let Some(peer) = self.peers.get_mut(id).filter(|peer| !peer.gone) else {
            return;
        };
        // What was sent before another took the name over came from the same peer.
        if why != Error::Superseded {
            peer.clear_inbox();
        }
        peer.leaving = Some(why);
        peer.input_waits = false;
        self.recv_ready |= peer.streams();
        peer.drop_unfinished();
        peer.settle(&mut self.counted);
        self.forget_route(id);
        self.send_ready = true;
        self.events.push_back(SocketEvent::Transmit(id));
    }

    /// Why we send the peer away, if we do.
    pub fn leaving(&self, id: PeerId) -> Option<&Error> {
        self.peers.get(id)?.leaving.as_ref()
    }
}
