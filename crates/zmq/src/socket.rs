//! ZeroMQ socket: messages on one side, many connections on the other.

mod options;
mod peer;
mod receive;
mod send;
mod slab;
mod stream;
mod subscriptions;

pub use options::Options;
pub use receive::RecvError;
pub use send::{Refusal, Refused};
pub use slab::PeerId;
pub use stream::{Chunk, Received};

use crate::{Config, Connection, Error, Message, PeerInfo, SocketType};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use bytes::Bytes;
use core::time::Duration;
use peer::{Counted, Peer};
use slab::Slab;
use subscriptions::Subscriptions;

/// A socket: messages on one side, any number of peers' bytes on the other.
///
/// Whoever holds the flows calls [`Socket::add_peer`] for each, feeds
/// [`Socket::handle_input`] and empties [`Socket::poll_transmit`]; [`Socket::poll_event`] says
/// whom to look after next. Whoever holds the messages calls [`Socket::send`] and
/// [`Socket::recv`]. Nothing here waits.
#[derive(Debug)]
pub struct Socket {
    config: Arc<Config>,
    options: Options,
    peers: Slab,
    // Peers whose inbox has a message, in the order of their turns.
    readable: VecDeque<PeerId>,
    // Peers that have room for a message, in the order of their turns.
    writable: VecDeque<PeerId>,
    // Peers to look after; what concerns the user of the socket is a flag each.
    events: VecDeque<SocketEvent>,
    recv_ready: bool,
    send_ready: bool,
    // Messages of a lost peer that no byte of was sent; they go before any other.
    unsent: VecDeque<Message>,
    // Of those that went to another since, the first part.
    moved: VecDeque<(Bytes, PeerId)>,
    request: Request,
    reply_to: Option<(PeerId, alloc::vec::Vec<Bytes>)>,
    last_request_id: u32,
    routes: BTreeMap<Bytes, PeerId>,
    last_route: u32,
    // SUB and XSUB: what we subscribed to. XPUB: what all peers together did.
    topics: Subscriptions,
    dropped: u64,
    // Over all peers.
    counted: Counted,
    unsent_bytes: usize,
}

/// What came of input, of sending, or of time, from [`Socket::poll_event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketEvent {
    /// [`Socket::poll_transmit`] has something for this peer.
    Transmit(PeerId),
    /// This peer's inbox was full, and is half empty again: offer
    /// [`Socket::handle_input`] what it left over, and what came since.
    Input(PeerId),
    /// [`Socket::recv`] may have a message, or has an error to say.
    Recv,
    /// [`Socket::send`] may have room.
    Send,
    /// A subscription of this peer is refused, since it has too many or it is too long; said once for
    /// each peer.
    Refused(PeerId),
}

/// Where a REQ socket stands (RFC 28).
#[derive(Debug)]
enum Request {
    Idle,
    Awaiting { peer: PeerId, id: Option<[u8; 4]> },
    Lost,
}

/// Frames that are taken of a peer before others have their turn.
const FRAMES_AT_ONCE: usize = 64;

impl Socket {
    /// A socket with no peers.
    pub fn new(options: Options) -> Self {
        Self {
            config: Arc::new(options.config.clone()),
            options,
            peers: Slab::default(),
            readable: VecDeque::new(),
            writable: VecDeque::new(),
            events: VecDeque::new(),
            recv_ready: false,
            send_ready: false,
            unsent: VecDeque::new(),
            moved: VecDeque::new(),
            request: Request::Idle,
            reply_to: None,
            last_request_id: 0,
            routes: BTreeMap::new(),
            last_route: 0,
            topics: Subscriptions::default(),
            dropped: 0,
            counted: Counted::default(),
            unsent_bytes: 0,
        }
    }

    /// Its type.
    pub fn socket_type(&self) -> SocketType {
        self.config.socket_type
    }

    /// A flow to a peer has opened, from either side. `None` when
    /// [`Options::peers_max`] are there already: close the flow.
    ///
    /// `entropy`: see [`Connection::new`].
    pub fn add_peer(&mut self, now: Duration, entropy: &[u8; 48]) -> Option<PeerId> {
        if self.peers.len() >= self.options.peers_max {
            return None;
        }
        let connection = Connection::new(now, self.config.clone(), entropy);
        // Room in the rings now, while a failure costs only the newcomer.
        let peers = self.peers.len() + 1;
        self.readable.reserve(peers);
        self.writable.reserve(peers);
        self.events.reserve(peers);
        let id = self.peers.insert(Peer::new(connection));
        self.touched(id);
        Some(id)
    }

    /// The flow to a peer has ended. What it sent before can still be received; what a PUSH,
    /// DEALER or REQ had queued for it and not begun goes to other peers.
    pub fn remove_peer(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        // First what cannot fail: it may be a panic that ended the connection.
        peer.gone = true;
        let moves = matches!(self.config.socket_type, SocketType::Push | SocketType::Dealer);
        let mut outbox = peer.connection.take_outbox();
        // Whoever sends it a message in pieces, or receives one, must hear of this.
        self.send_ready |= outbox.is_part_open();
        self.recv_ready |= peer.streams();
        peer.drop_unfinished();
        let topics = core::mem::take(&mut peer.subscriptions);
        peer.settle(&mut self.counted);
        let has_message = peer.has_message();
        self.forget_route(id);
        if matches!(self.request, Request::Awaiting { peer, .. } if peer == id) && !has_message {
            self.request = Request::Lost;
            self.recv_ready = true;
        }
        self.unsubscribe_all(id, &topics);
        self.offer_message(id);
        self.bury(id);
        if moves {
            self.keep_unsent(outbox.take_unsent());
            self.flush_unsent();
        }
    }

    /// Who a peer is, once its handshake is done.
    pub fn peer(&self, id: PeerId) -> Option<&PeerInfo> {
        self.peers.get(id)?.connection.peer()
    }

    /// Peers whose handshake is done.
    pub fn ready_peers(&self) -> usize {
        self.peers.iter().filter(|(_, peer)| peer.is_ready()).count()
    }

    /// Bytes that all peers make it hold: what came and nobody received, what is queued for them, and
    /// some hundred bytes for each part of it; subscriptions; and the peers themselves. A body that is
    /// queued for several peers weighs for each.
    pub fn held_bytes(&self) -> usize {
        self.counted.held + self.unsent_bytes
    }

    /// Of these, what one peer makes it hold.
    pub fn peer_held_bytes(&self, id: PeerId) -> usize {
        self.peers.get(id).map_or(0, Peer::held_bytes)
    }

    /// Of these, what is left of peers that are gone: messages that nobody received, or that go to
    /// others.
    pub fn left_bytes(&self) -> usize {
        self.counted.left + self.unsent_bytes
    }

    /// A message that was queued for a lost peer, by its first part, and to whom it went instead: see
    /// [`Options::tells_moves`].
    pub fn poll_moved(&mut self) -> Option<(Bytes, PeerId)> {
        self.moved.pop_front()
    }

    /// Whether messages of a lost peer wait for another.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Messages that PUB, XPUB and ROUTER dropped for want of room or of a route.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes bytes from a peer; returns how many. It stops after some dozens of frames, while answers to commands wait to
    /// be sent, and when the inbox is full: keep the others and offer them again, in the last case after
    /// [`SocketEvent::Input`]. After an error send what
    /// [`Socket::poll_transmit`] still has, close the flow and call [`Socket::remove_peer`].
    pub fn handle_input(
        &mut self,
        now: Duration,
        id: PeerId,
        input: &[u8],
    ) -> Result<usize, Error> {
        let (mut consumed, mut frames) = (0, 0);
        let outcome = loop {
            if consumed == input.len() || frames == FRAMES_AT_ONCE {
                break Ok(consumed);
            }
            frames += 1;
            let peer = self.peers.get_mut(id).filter(|peer| !peer.gone).ok_or(Error::Closed)?;
            if peer.leaving.is_some() {
                break Ok(input.len());
            }
            if peer.input_waits {
                peer.connection.defer_input(now);
                break Ok(consumed);
            }
            let arrived = peer.take_input(now, &input[consumed..], &self.options);
            let arrived =
                arrived.and_then(|(used, arrival)| self.arrived(id, arrival).map(|()| used));
            let used = match arrived {
                Ok(used) => used,
                Err(error) => break Err(error),
            };
            consumed += used;
            if let Some(peer) = self.peers.get_mut(id) {
                peer.input_waits = peer.inbox_full(&self.options);
            }
            if used == 0 {
                // Answers wait to be sent first.
                break Ok(consumed);
            }
        };
        if let Err(error) = &outcome {
            if let Some(peer) = self.peers.get_mut(id) {
                peer.drop_unfinished();
            }
            self.fail_peer(id, error);
        }
        // The handshake's answers and PONGs, too.
        self.touched(id);
        if self.counted.unfinished > self.options.unfinished_bytes_max {
            self.send_hog_away();
        }
        outcome
    }

    /// Writes what is to be sent to a peer into `buf`; returns how many bytes.
    pub fn poll_transmit(&mut self, now: Duration, id: PeerId, buf: &mut [u8]) -> usize {
        let Some(peer) = self.peers.get_mut(id) else {
            return 0;
        };
        let written = peer.connection.poll_transmit(now, buf);
        self.output_taken(id);
        written
    }

    /// See [`Connection::long_output`].
    pub fn long_output(&self, id: PeerId) -> Option<Bytes> {
        self.peers.get(id)?.connection.long_output()
    }

    /// See [`Connection::long_output_taken`].
    pub fn long_output_taken(&mut self, now: Duration, id: PeerId, count: usize) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.connection.long_output_taken(now, count);
            self.output_taken(id);
        }
    }

    /// There may be room for more.
    fn output_taken(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.settle(&mut self.counted);
        if !peer.connection.has_output() {
            peer.output_announced = false;
        }
        // Half, not the first free place: then several pieces go at once.
        self.send_ready |= peer.connection.is_part_open()
            && peer.connection.queued_bytes() <= self.options.send_bytes_max / 2;
        self.offer_room(id);
    }

    /// Whether [`Socket::poll_transmit`] has something to write.
    pub fn has_output(&self, id: PeerId) -> bool {
        self.peers.get(id).is_some_and(|peer| peer.connection.has_output())
    }

    /// Whether [`Socket::handle_input`] would take anything from a peer.
    pub fn has_input_room(&self, id: PeerId) -> bool {
        self.peers.get(id).is_some_and(|peer| !peer.gone && !peer.input_waits)
    }

    /// Whoever holds the flow does not read it, since memory is short; or reads it again.
    pub fn pause(&mut self, id: PeerId, is_paused: bool) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.paused = is_paused;
        }
    }

    /// See [`Connection::peer_took`].
    pub fn peer_took(&mut self, now: Duration, id: PeerId, count: usize) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.connection.peer_took(now, count);
        }
    }

    /// When [`Socket::handle_timeout`] is to be called for a peer, at the latest.
    pub fn next_deadline(&mut self, now: Duration, id: PeerId) -> Option<Duration> {
        self.peers.get_mut(id)?.connection.next_deadline(now)
    }

    /// Does what is due for a peer. An error is to be treated as one of
    /// [`Socket::handle_input`].
    pub fn handle_timeout(&mut self, now: Duration, id: PeerId) -> Result<(), Error> {
        let peer = self.peers.get_mut(id).ok_or(Error::Closed)?;
        // Its silence is ours: we do not read.
        if peer.input_waits {
            peer.connection.defer_input(now);
        } else if peer.paused {
            peer.connection.defer_heartbeat(now);
        }
        let outcome = peer.connection.handle_timeout(now);
        if let Err(error) = &outcome {
            self.fail_peer(id, error);
        }
        self.touched(id);
        outcome
    }

    /// The next thing to look after.
    pub fn poll_event(&mut self) -> Option<SocketEvent> {
        if core::mem::take(&mut self.recv_ready) {
            return Some(SocketEvent::Recv);
        }
        if core::mem::take(&mut self.send_ready) {
            return Some(SocketEvent::Send);
        }
        self.events.pop_front()
    }

    /// Frees the memory of whoever holds most of it.
    fn send_hog_away(&mut self) {
        let hog = self.peers.iter().max_by_key(|(_, peer)| peer.unfinished_bytes());
        if let Some((id, _)) = hog {
            self.leave(id, Error::HeldMost);
        }
    }

    /// Something was queued for a peer, or came from it.
    fn touched(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.touched(id, &mut self.counted, &mut self.events);
        }
    }

    fn fail_peer(&mut self, id: PeerId, cause: &Error) {
        if let Some(peer) = self.peers.get_mut(id) {
            let unsent = peer.connection.take_unsent();
            peer.connection.fail(cause);
            if matches!(self.config.socket_type, SocketType::Push | SocketType::Dealer) {
                self.keep_unsent(unsent);
            }
        }
        self.flush_unsent();
        self.touched(id);
    }

    /// A ROUTER's peer cannot be sent to any more; its name stays on what it sent before.
    fn forget_route(&mut self, id: PeerId) {
        let route = self.peers.get(id).and_then(|peer| peer.route.as_ref());
        if let Some(route) = route
            && self.routes.get(route) == Some(&id)
        {
            self.routes.remove(route);
        }
    }

    /// Frees a peer that is gone and of whom nothing is left to receive.
    fn bury(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(id)
            && peer.gone
            && !peer.holds_input()
        {
            peer.uncount(&mut self.counted);
            self.peers.remove(id);
        }
    }
}

#[cfg(test)]
mod tests;
