//! Sending patterns (round robin, routing, publishing): where a socket sends a message.

use super::peer::Peer;
use super::{Options, PeerId, Request, Socket, SocketEvent};
use crate::{Message, SocketType};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// A message that [`Socket::send`] did not take, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The message, unchanged.
    pub message: Message,
    /// Why.
    pub why: Refusal,
}

/// Why [`Socket::send`] did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No peer, or none with room: wait for [`SocketEvent::Send`].
    Full,
    /// This socket type never sends.
    Unsupported,
    /// REQ: receive the reply first. REP: receive a request first (RFC 28's lock-step).
    OutOfTurn,
    /// ROUTER, mandatory: no peer has that routing id.
    Unroutable,
    /// ROUTER: nothing follows the routing id. [`Socket::send_piece`]: more bytes than the part lacks.
    Malformed,
    /// [`Socket::send_piece`]: the peer is gone, and what it was sent is lost.
    PeerLost,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "no peer with room",
            Self::Unsupported => "this socket type does not send",
            Self::OutOfTurn => "receive before sending",
            Self::Unroutable => "no peer has that routing id",
            Self::Malformed => "the message does not suit this socket type",
            Self::PeerLost => "the peer is gone",
        })
    }
}

impl core::error::Error for Refusal {}

impl Socket {
    /// Queues a message as the socket's pattern says: to the next peer with room (REQ, DEALER,
    /// PUSH), to the peer of the request (REP), to the peer named by the first part (ROUTER), to
    /// all that subscribed (PUB, XPUB). An XSUB's messages of one part that start with 1 or 0 are
    /// subscriptions, or their end; others go to all peers.
    pub fn send(&mut self, message: Message) -> Result<(), Refused> {
        match self.config.socket_type {
            SocketType::Pub | SocketType::XPub => {
                self.publish(&message);
                Ok(())
            }
            SocketType::XSub => {
                self.send_upstream(&message);
                Ok(())
            }
            _ => self.send_start(message, 0).map(drop),
        }
    }

    /// SUB and XSUB: asks for topics with this prefix, once more each time.
    pub fn subscribe(&mut self, prefix: impl Into<Bytes>) {
        let prefix = prefix.into();
        if self.topics.add(prefix.clone()) {
            self.tell_subscription(true, &prefix);
        }
    }

    /// SUB and XSUB: takes one [`Socket::subscribe`] back.
    pub fn unsubscribe(&mut self, prefix: &[u8]) {
        if self.topics.remove(prefix) {
            self.tell_subscription(false, prefix);
        }
    }

    /// A peer has room, maybe again: it can be sent to.
    pub(super) fn offer_room(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if peer.in_writable || !peer.has_room(&self.options) {
            return;
        }
        self.send_ready = true;
        if matches!(
            self.config.socket_type,
            SocketType::Push | SocketType::Dealer | SocketType::Req
        ) {
            self.writable.push_back(id);
            peer.in_writable = true;
            self.flush_unsent();
            return;
        }
        peer.in_writable = true;
        if self.options.router_holds {
            self.offer_message(id);
        }
    }

    /// PUSH, DEALER and REQ: how many messages a peer gets one after the other before it is the next one's turn, from 1 to
    /// [`WEIGHT_MAX`](Self::WEIGHT_MAX). One without room gets none.
    pub fn set_weight(&mut self, id: PeerId, weight: u16) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.weight = weight.clamp(1, Self::WEIGHT_MAX);
            peer.turns_left = peer.turns_left.min(peer.weight);
        }
    }

    /// The largest weight: with more, others would wait for long.
    pub const WEIGHT_MAX: u16 = 100;

    /// What a lost peer left goes to others, before all else.
    pub(super) fn keep_unsent(&mut self, messages: Vec<Message>) {
        for message in messages {
            let bytes = size_of::<Message>() + message.held_bytes();
            self.unsent.push_back(message);
            self.unsent_bytes += bytes;
        }
    }

    /// Sends what a lost peer left.
    pub(super) fn flush_unsent(&mut self) {
        while let Some(message) = self.unsent.pop_front() {
            let bytes = size_of::<Message>() + message.held_bytes();
            let first = self.options.tells_moves.then(|| message.first().clone());
            match self.send_to_next(message, 0) {
                Ok(id) => self.moved.extend(first.map(|first| (first, id))),
                Err(refused) => {
                    self.unsent.push_front(refused.message);
                    return;
                }
            }
            self.unsent_bytes -= bytes;
        }
    }

    pub(super) fn send_in_turn(&mut self, message: Message, left: u64) -> Result<PeerId, Refused> {
        if !self.unsent.is_empty() {
            return refuse(message, Refusal::Full);
        }
        self.send_to_next(message, left)
    }

    /// Round robin: the first of the ring gets as many messages as is its weight and goes to its end.
    fn send_to_next(&mut self, message: Message, left: u64) -> Result<PeerId, Refused> {
        while let Some(id) = self.writable.pop_front() {
            let Some(peer) = self.peers.get_mut(id) else {
                continue;
            };
            peer.in_writable = false;
            if !peer.has_room(&self.options) {
                continue;
            }
            // It is ready and no part is under way, so it cannot refuse.
            let _ = peer.connection.send_start(message, left);
            peer.turns_left -= 1;
            let goes_on = peer.turns_left > 0;
            if !goes_on {
                peer.turns_left = peer.weight;
            }
            if peer.has_room(&self.options) {
                peer.in_writable = true;
                if goes_on { self.writable.push_front(id) } else { self.writable.push_back(id) }
            }
            self.touched(id);
            return Ok(id);
        }
        refuse(message, Refusal::Full)
    }

    pub(super) fn send_request(&mut self, message: Message, left: u64) -> Result<PeerId, Refused> {
        if matches!(self.request, Request::Awaiting { .. }) && !self.options.request_relaxed {
            return refuse(message, Refusal::OutOfTurn);
        }
        let id = self.options.request_correlate.then(|| {
            self.last_request_id = self.last_request_id.wrapping_add(1);
            self.last_request_id.to_be_bytes()
        });
        let mut enveloped = message.clone();
        enveloped.push_front(Bytes::new());
        if let Some(id) = id {
            enveloped.push_front(Bytes::copy_from_slice(&id));
        }
        match self.send_in_turn(enveloped, left) {
            Err(Refused { why, .. }) => refuse(message, why),
            Ok(peer) => {
                // A reply that came too late for the request before.
                for stale in self.readable.drain(..) {
                    if let Some(peer) = self.peers.get_mut(stale) {
                        peer.clear_inbox();
                        peer.settle(&mut self.counted);
                        peer.in_readable = false;
                        if core::mem::take(&mut peer.input_waits) {
                            self.events.push_back(SocketEvent::Input(stale));
                        }
                    }
                }
                self.request = Request::Awaiting { peer, id };
                Ok(peer)
            }
        }
    }

    pub(super) fn send_reply(
        &mut self,
        message: Message,
        left: u64,
    ) -> Result<Option<PeerId>, Refused> {
        let Some((id, envelope)) = self.reply_to.take() else {
            return refuse(message, Refusal::OutOfTurn);
        };
        // RFC 28: a reply to a peer that is gone is discarded.
        let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.is_ready()) else {
            self.recv_ready = true;
            return Ok(None);
        };
        if peer.connection.is_part_open() {
            // The reply before this one lacks pieces.
            self.reply_to = Some((id, envelope));
            return refuse(message, Refusal::Full);
        }
        self.recv_ready = true;
        let _ = peer.connection.send_start(message.wrap(envelope), left);
        peer.in_writable = peer.has_room(&self.options);
        self.touched(id);
        Ok(Some(id))
    }

    pub(super) fn send_routed(
        &mut self,
        message: Message,
        left: u64,
    ) -> Result<Option<PeerId>, Refused> {
        if message.part_count() < 2 {
            return refuse(message, Refusal::Malformed);
        }
        let why = match self.routes.get(message.first()) {
            None => Refusal::Unroutable,
            Some(&id) => match self.peers.get_mut(id).filter(|peer| takes(peer, &self.options)) {
                None => Refusal::Full,
                Some(peer) => {
                    if let (_, Some(body)) = message.split_first() {
                        let _ = peer.connection.send_start(body, left);
                    }
                    peer.in_writable = peer.has_room(&self.options);
                    self.touched(id);
                    return Ok(Some(id));
                }
            },
        };
        if self.options.router_mandatory {
            return refuse(message, why);
        }
        self.dropped += 1;
        Ok(None)
    }

    /// RFC 29: a subscriber without room misses the message.
    fn publish(&mut self, message: &Message) {
        self.send_to_all(message, |peer| peer.subscriptions.matches(message.first()));
    }

    fn send_to_all(&mut self, message: &Message, wants: impl Fn(&Peer) -> bool) {
        for (id, peer) in self.peers.iter_mut() {
            if !peer.is_ready() || !wants(peer) {
                continue;
            }
            if !peer.has_room(&self.options) {
                self.dropped += 1;
                continue;
            }
            let _ = peer.connection.send(message.clone());
            peer.touched(id, &mut self.counted, &mut self.events);
        }
    }

    /// RFC 29: an XSUB's user messages go up to all publishers; one without room misses the message.
    fn send_upstream(&mut self, message: &Message) {
        match message.first().first() {
            Some(1) if message.part_count() == 1 => self.subscribe(message.first().slice(1..)),
            Some(0) if message.part_count() == 1 => self.unsubscribe(&message.first()[1..]),
            _ => self.send_to_all(message, |_| true),
        }
    }

    fn tell_subscription(&mut self, subscribe: bool, prefix: &[u8]) {
        for (id, peer) in self.peers.iter_mut() {
            if !peer.is_ready() {
                continue;
            }
            // Ready, so it cannot refuse.
            let _ = peer.connection.send_subscription(subscribe, prefix);
            peer.touched(id, &mut self.counted, &mut self.events);
        }
    }
}

/// Whether a ROUTER may queue a message for a peer.
fn takes(peer: &Peer, options: &Options) -> bool {
    let open = peer.is_ready() && !peer.connection.is_part_open();
    if options.router_holds { open } else { peer.has_room(options) }
}

fn refuse<T>(message: Message, why: Refusal) -> Result<T, Refused> {
    Err(Refused { message, why })
}
