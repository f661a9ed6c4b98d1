//! Receiving patterns (fair queueing, REQ/REP lock-step, subscriptions): what a socket does with
//! what arrives, and how it hands it out.

use super::peer::{Arrival, Delivery};
use super::{PeerId, Received, Request, Socket, SocketEvent, Subscriptions};
use crate::{Error, Message, SocketType};
use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};
use core::fmt;

/// Why [`Socket::recv`] has no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// None is there now: wait for [`SocketEvent::Recv`].
    Empty,
    /// This socket type never receives; or its messages may stream, so that
    /// [`Socket::recv_from`] is what receives them.
    Unsupported,
    /// REQ: send a request first. REP: answer the last one first (RFC 28's lock-step).
    OutOfTurn,
    /// REQ: the peer that was to reply is gone. Said once; then a request may be sent again.
    /// [`Socket::recv_chunk`]: the rest of the message is lost.
    PeerLost,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no message",
            Self::Unsupported => "this socket type does not receive",
            Self::OutOfTurn => "send before receiving",
            Self::PeerLost => "the peer is gone",
        })
    }
}

impl core::error::Error for RecvError {}

impl Socket {
    /// The next message, from the peers in turn (fair queueing).
    ///
    /// At a ROUTER its first part is the sender's routing id. At REQ and REP the envelope is
    /// taken off. At an XPUB subscriptions come too: a byte 1 (or 0, at its end) and the prefix.
    pub fn recv(&mut self) -> Result<Message, RecvError> {
        self.recv_whole().map(|received| received.message)
    }

    /// As [`Socket::recv`], and says from whom.
    pub fn recv_whole(&mut self) -> Result<Received, RecvError> {
        if self.options.stream_over_bytes.is_some() {
            return Err(RecvError::Unsupported);
        }
        self.recv_from()
    }

    /// As [`Socket::recv`], and says from whom; of a message that streams it gives the start.
    pub fn recv_from(&mut self) -> Result<Received, RecvError> {
        match self.config.socket_type {
            SocketType::Push | SocketType::Pub => Err(RecvError::Unsupported),
            SocketType::Req => self.recv_reply(),
            SocketType::Rep => self.recv_request(),
            _ => self.next_message().ok_or(RecvError::Empty),
        }
    }

    /// Whether [`Socket::recv`] would give anything but [`RecvError::Empty`].
    pub fn can_recv(&self) -> bool {
        !self.readable.is_empty() || matches!(self.request, Request::Lost)
    }

    fn recv_reply(&mut self) -> Result<Received, RecvError> {
        match self.request {
            Request::Idle => Err(RecvError::OutOfTurn),
            Request::Lost => {
                self.request = Request::Idle;
                Err(RecvError::PeerLost)
            }
            Request::Awaiting { .. } => {
                let reply = self.next_message().ok_or(RecvError::Empty)?;
                self.request = Request::Idle;
                self.send_ready = true;
                Ok(reply)
            }
        }
    }

    /// RFC 28: a REP keeps the envelope, up to and with the empty delimiter, for the reply.
    fn recv_request(&mut self) -> Result<Received, RecvError> {
        if self.reply_to.is_some() {
            return Err(RecvError::OutOfTurn);
        }
        while let Some(Received { peer, message, part_left }) = self.next_message() {
            let mut envelope = Vec::new();
            let mut rest = Some(message);
            while let Some(message) = rest {
                let (part, after) = message.split_first();
                let is_delimiter = part.is_empty();
                envelope.push(part);
                rest = after;
                if is_delimiter {
                    break;
                }
            }
            // Without a delimiter, or with nothing after it, it is no request: discard it.
            if let Some(message) = rest {
                self.reply_to = Some((peer, envelope));
                return Ok(Received { peer, message, part_left });
            }
            if part_left > 0 {
                self.discard_rest(peer);
            }
        }
        Err(RecvError::Empty)
    }

    /// The message whose turn it is, behind its sender's routing id if it has one.
    fn next_message(&mut self) -> Option<Received> {
        loop {
            let id = self.readable.pop_front()?;
            let Some(peer) = self.peers.get_mut(id) else {
                continue;
            };
            let waits = self.options.router_holds && !peer.gone && !peer.has_room(&self.options);
            if waits || peer.held_back {
                // Back into the ring with the room, or when it is held back no longer.
                peer.in_readable = false;
                continue;
            }
            let mut delivery = peer.receive();
            peer.settle(&mut self.counted);
            // Just taken from the ring, so there is room in it.
            peer.in_readable = peer.has_message();
            if peer.in_readable {
                self.readable.push_back(id);
            }
            // Only a ROUTER's peers have one.
            if let (Some(route), Some(Delivery { message, .. })) = (&peer.route, &mut delivery) {
                message.push_front(route.clone());
            }
            if peer.input_waits || peer.gone {
                self.input_taken(id);
            }
            if let Some(Delivery { message, part_left }) = delivery {
                return Some(Received { peer: id, message, part_left });
            }
        }
    }

    /// From now on nothing is received from a peer, and the others' messages come before its own; or it
    /// is received from again.
    pub fn hold_back(&mut self, id: PeerId, is_held: bool) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.held_back = is_held;
        }
        if !is_held {
            self.offer_message(id);
        }
    }

    /// Something that a peer sent was received: it may send more, or be forgotten.
    pub(super) fn input_taken(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if peer.input_waits && peer.inbox_half_empty(&self.options) {
            self.events.push_back(SocketEvent::Input(id));
            peer.input_waits = false;
        }
        if peer.gone {
            self.bury(id);
        }
    }

    /// Something came from a peer.
    pub(super) fn arrived(&mut self, id: PeerId, arrival: Arrival) -> Result<(), Error> {
        match arrival {
            Arrival::Nothing => Ok(()),
            Arrival::Ready => self.peer_ready(id),
            Arrival::Message(delivery) => self.message_arrived(id, delivery),
            Arrival::Chunk => {
                self.recv_ready = true;
                Ok(())
            }
            Arrival::Subscribe(prefix) => self.subscribed(id, true, prefix),
            Arrival::Cancel(prefix) => self.subscribed(id, false, prefix),
            Arrival::Skipped => {
                self.refused(id);
                Ok(())
            }
        }
    }

    fn peer_ready(&mut self, id: PeerId) -> Result<(), Error> {
        match self.config.socket_type {
            SocketType::Router => self.add_route(id)?,
            SocketType::Sub | SocketType::XSub => {
                if let Some(peer) = self.peers.get_mut(id) {
                    for prefix in self.topics.iter() {
                        // The peer is ready, so this cannot be refused.
                        let _ = peer.connection.send_subscription(true, prefix);
                    }
                }
            }
            _ => {}
        }
        self.offer_room(id);
        Ok(())
    }

    /// RFC 28: a ROUTER knows its peers by the identities they give, or by one of its own making,
    /// which starts with a zero byte as no peer's may.
    fn add_route(&mut self, id: PeerId) -> Result<(), Error> {
        let given = self.peer(id).map(|peer| peer.identity.clone()).unwrap_or_default();
        let route = match given.first() {
            Some(0) => return Err(Error::Identity),
            Some(_) => given,
            None => self.make_route(),
        };
        if let Some(&holder) = self.routes.get(&route) {
            if !self.options.router_handover {
                return Err(Error::Identity);
            }
            self.leave(holder, Error::Superseded);
        }
        self.routes.insert(route.clone(), id);
        if let Some(peer) = self.peers.get_mut(id) {
            peer.route = Some(route);
        }
        Ok(())
    }

    fn make_route(&mut self) -> Bytes {
        self.last_route = self.last_route.wrapping_add(1);
        let mut route = BytesMut::with_capacity(5);
        route.put_u8(0);
        route.put_u32(self.last_route);
        route.freeze()
    }

    fn message_arrived(&mut self, id: PeerId, delivery: Delivery) -> Result<(), Error> {
        let Delivery { message, part_left } = delivery;
        match self.accepted(id, message)? {
            Some(message) => self.deliver(id, Delivery { message, part_left }),
            None => {
                if let Some(peer) = self.peers.get_mut(id) {
                    peer.refuse_rest();
                }
            }
        }
        Ok(())
    }

    /// What the socket's pattern lets through.
    fn accepted(&mut self, id: PeerId, message: Message) -> Result<Option<Message>, Error> {
        Ok(match self.config.socket_type {
            SocketType::Req => self.strip_reply(id, message),
            SocketType::Sub => Some(message).filter(|it| self.topics.matches(it.first())),
            // RFC 29: a message that starts with 1 or 0 is a subscription or its end.
            SocketType::Pub | SocketType::XPub => match message.first().first() {
                Some(&flag @ (0 | 1)) if message.part_count() == 1 => {
                    let prefix = message.first().slice(1..);
                    self.subscribed(id, flag == 1, prefix)?;
                    None
                }
                _ => Some(message).filter(|_| self.config.socket_type == SocketType::XPub),
            },
            SocketType::Push => None,
            _ => Some(message),
        })
    }

    /// RFC 28: a REQ discards what is not the reply it waits for.
    fn strip_reply(&self, from: PeerId, message: Message) -> Option<Message> {
        let Request::Awaiting { peer, id } = &self.request else {
            return None;
        };
        let expected = (*peer == from).then_some(id)?;
        let (mut part, mut rest) = message.split_first();
        if let Some(id) = expected {
            if part != id[..] {
                return None;
            }
            (part, rest) = rest?.split_first();
        }
        part.is_empty().then_some(rest).flatten()
    }

    fn deliver(&mut self, id: PeerId, delivery: Delivery) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.deliver(delivery);
        if !peer.in_readable {
            self.offer_message(id);
        }
    }

    /// Puts a peer with a message into the ring of those to receive from.
    pub(super) fn offer_message(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if !peer.in_readable && peer.has_message() {
            self.readable.push_back(id);
            peer.in_readable = true;
            if self.readable.len() == 1 {
                self.recv_ready = true;
            }
        }
    }

    fn subscribed(&mut self, id: PeerId, subscribe: bool, prefix: Bytes) -> Result<(), Error> {
        let is_xpub = self.config.socket_type == SocketType::XPub;
        if !is_xpub && self.config.socket_type != SocketType::Pub {
            return Err(Error::UnexpectedCommand);
        }
        let limits = &self.config.limits;
        let Some(peer) = self.peers.get_mut(id) else {
            return Ok(());
        };
        let known = peer.subscriptions.contains(&prefix);
        if known == subscribe {
            return Ok(());
        }
        if !subscribe {
            peer.subscriptions.remove(&prefix);
        } else if peer.subscriptions.len() >= limits.subscriptions_max
            || peer.subscriptions.held_bytes() + Subscriptions::weight_bytes(&prefix)
                > limits.subscription_bytes_max
        {
            // That one alone: the peer would come back with all of them.
            self.refused(id);
            return Ok(());
        } else {
            peer.subscriptions.add(prefix.clone());
        }
        if is_xpub {
            self.count_topic(id, subscribe, prefix);
        }
        Ok(())
    }

    /// Something that a peer asked for is refused, and it cannot be told.
    fn refused(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(id)
            && !core::mem::replace(&mut peer.refusal_said, true)
        {
            self.events.push_back(SocketEvent::Refused(id));
        }
    }

    /// RFC 29: an XPUB's user hears of a topic's first subscriber and of its last one's end.
    fn count_topic(&mut self, id: PeerId, subscribe: bool, prefix: Bytes) {
        let mut notice = BytesMut::with_capacity(1 + prefix.len());
        notice.put_u8(u8::from(subscribe));
        notice.put_slice(&prefix);
        let changed = if subscribe { self.topics.add(prefix) } else { self.topics.remove(&prefix) };
        if changed {
            self.deliver(id, Delivery { message: Message::new(notice.freeze()), part_left: 0 });
        }
    }

    /// A subscriber is gone.
    pub(super) fn unsubscribe_all(&mut self, id: PeerId, subscriptions: &Subscriptions) {
        if self.config.socket_type == SocketType::XPub {
            for prefix in subscriptions.iter() {
                self.count_topic(id, false, prefix.clone());
            }
        }
    }
}
