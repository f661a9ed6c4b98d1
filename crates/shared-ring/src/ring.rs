//! Ring: one side of a pair of rings, a function of (state, memory, call).

use crate::control::{
    CLIENT_LIVE, CLIENT_NOTIFY, FINISHED, LEFT_CONSUMED, LEFT_PRODUCED, LIVE_AWAITED,
    LIVE_CONNECTED, LIVE_GONE, NOTIFY_READ, NOTIFY_WRITTEN, ORDERS, RIGHT_CONSUMED, RIGHT_PRODUCED,
    SERVER_LIVE, SERVER_NOTIFY, TELLS_ENDS,
};
use crate::{BadGeometry, Geometry, SharedMemory};
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{Ordering, fence};

/// One side of a pair of rings.
///
/// What it writes is there for the other side at once; [`poll_transmit`](Self::poll_transmit) says whether the other side is
/// to be notified, and is asked once everything that is to be done in one go is done. Dropping it says nothing to the other
/// side: [`close`](Self::close) does.
#[derive(Debug)]
pub struct Ring<M> {
    memory: M,
    role: Role,
    incoming: Incoming,
    outgoing: Outgoing,
    /// What was done since the other side was told last, as the bits by which it asks.
    done: u8,
    /// The other side is to be notified, whatever it asked for.
    owes_notification: bool,
    /// The transport knows that the other side is gone.
    has_vanished: bool,
    is_closed: bool,
    is_broken: bool,
}

/// Which side it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The memory is its own. It reads the left ring and writes the right one.
    Server,
    /// The other.
    Client,
}

/// What there is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// Nothing any more: the other side finished.
    End,
    /// Nothing any more: the other side is gone, and did not finish.
    CutOff,
}

/// How full both rings are, as whoever only looks has it. None is what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Bytes of the ring that the other side writes.
    pub incoming_ring_bytes: usize,
    /// Of them, those that this side has not read.
    pub unread_bytes: Option<usize>,
    /// Bytes of the ring that this side writes.
    pub outgoing_ring_bytes: usize,
    /// Of them, those that the other side has not read.
    pub undelivered_bytes: Option<usize>,
}

/// What a side waits for, to be notified of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Bytes to read.
    pub for_bytes: bool,
    /// The other side's reading: room to write, or the last bytes' delivery.
    pub for_room: bool,
}

/// The other side wrote what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a counter of the other side's is beyond the ring")
    }
}

impl core::error::Error for Violation {}

impl<M: SharedMemory> Ring<M> {
    /// The side that makes the memory. What is in it is overwritten; nobody else may know it yet.
    ///
    /// # Errors
    /// The memory is too small.
    pub fn serve(memory: M, geometry: Geometry) -> Result<Self, BadGeometry> {
        if memory.bytes() < geometry.bytes() {
            return Err(BadGeometry);
        }
        for counter in [LEFT_CONSUMED, LEFT_PRODUCED, RIGHT_CONSUMED, RIGHT_PRODUCED] {
            memory.store_word(counter, 0);
        }
        memory.store_word(ORDERS, geometry.to_word());
        memory.store_byte(CLIENT_LIVE, LIVE_AWAITED);
        memory.store_byte(SERVER_NOTIFY, 0);
        memory.store_byte(CLIENT_NOTIFY, NOTIFY_WRITTEN | TELLS_ENDS);
        memory.store_byte(SERVER_LIVE, LIVE_CONNECTED);
        Ok(Self::new(memory, Role::Server, geometry))
    }

    /// The side that finds everything laid out. The server is to be notified.
    ///
    /// # Errors
    /// What is laid out cannot be, or is not all there.
    pub fn join(memory: M) -> Result<Self, BadGeometry> {
        if memory.bytes() < crate::control::PAGE_BYTES {
            return Err(BadGeometry);
        }
        let geometry = Geometry::from_word(memory.load_word(ORDERS))?;
        if memory.bytes() < geometry.bytes() {
            return Err(BadGeometry);
        }
        memory.store_byte(SERVER_NOTIFY, NOTIFY_WRITTEN | TELLS_ENDS);
        memory.store_byte(CLIENT_LIVE, LIVE_CONNECTED);
        let mut ring = Self::new(memory, Role::Client, geometry);
        ring.owes_notification = true;
        Ok(ring)
    }

    fn new(memory: M, role: Role, geometry: Geometry) -> Self {
        let (left, right) = (geometry.left(), geometry.right());
        let (incoming, outgoing) = match role {
            Role::Server => (
                Incoming::new(left, LEFT_PRODUCED, LEFT_CONSUMED),
                Outgoing::new(right, RIGHT_PRODUCED, RIGHT_CONSUMED),
            ),
            Role::Client => (
                Incoming::new(right, RIGHT_PRODUCED, RIGHT_CONSUMED),
                Outgoing::new(left, LEFT_PRODUCED, LEFT_CONSUMED),
            ),
        };
        // A client may come to where another one was (libxenvchan's persistent servers): it goes on there.
        let incoming = Incoming { consumed: memory.load_word(incoming.consumed_at), ..incoming };
        let outgoing = Outgoing { produced: memory.load_word(outgoing.produced_at), ..outgoing };
        Self {
            memory,
            role,
            incoming,
            outgoing,
            done: 0,
            owes_notification: false,
            has_vanished: false,
            is_closed: false,
            is_broken: false,
        }
    }

    /// What there is to read.
    ///
    /// # Errors
    /// The other side says that there is more than the ring holds; so do all later calls then.
    pub fn readable(&mut self) -> Result<Readable, Violation> {
        // The end first: what was written before it is in the ring by then.
        let end = self.incoming_end();
        match (self.unread()?, end) {
            (0, None) => Ok(Readable::Nothing),
            (0, Some(end)) => Ok(end),
            (bytes, _) => Ok(Readable::Bytes(bytes)),
        }
    }

    /// The same; where there is nothing, the other side is asked to notify when there is.
    ///
    /// # Errors
    /// As [`readable`](Self::readable).
    pub fn await_readable(&mut self) -> Result<Readable, Violation> {
        match self.readable()? {
            Readable::Nothing => {
                self.ask(NOTIFY_WRITTEN);
                self.readable()
            }
            found => Ok(found),
        }
    }

    /// Copies what there is to read, as far as there is room for it; how much.
    ///
    /// # Errors
    /// As [`readable`](Self::readable).
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Violation> {
        let count = self.unread()?.min(into.len());
        if count == 0 {
            return Ok(0);
        }
        let incoming = &mut self.incoming;
        let (first, second) = parts(&incoming.place, incoming.consumed, count);
        let (into_first, into_second) = into[..count].split_at_mut(first.len());
        self.memory.copy_out(first.start, into_first);
        self.memory.copy_out(second.start, into_second);
        incoming.consumed = incoming.consumed.wrapping_add(count as u32);
        self.memory.store_word(incoming.consumed_at, incoming.consumed);
        self.done |= NOTIFY_READ;
        Ok(count)
    }

    /// How much can be written now.
    ///
    /// # Errors
    /// The other side says that it has read more than was written; so do all later calls then.
    pub fn room(&mut self) -> Result<usize, Violation> {
        Ok(self.outgoing.place.len() - self.undelivered()?)
    }

    /// The same; where there is no room, the other side is asked to notify when there is.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub fn await_room(&mut self) -> Result<usize, Violation> {
        match self.room()? {
            0 => {
                self.ask(NOTIFY_READ);
                self.room()
            }
            room => Ok(room),
        }
    }

    /// Writes as many of `bytes` as there is room for; how many.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let count = self.room()?.min(bytes.len());
        if count == 0 {
            return Ok(0);
        }
        let outgoing = &mut self.outgoing;
        let (first, second) = parts(&outgoing.place, outgoing.produced, count);
        let (from_first, from_second) = bytes[..count].split_at(first.len());
        self.memory.copy_in(first.start, from_first);
        self.memory.copy_in(second.start, from_second);
        outgoing.produced = outgoing.produced.wrapping_add(count as u32);
        self.memory.store_word(outgoing.produced_at, outgoing.produced);
        self.done |= NOTIFY_WRITTEN;
        Ok(count)
    }

    /// How much was written that the other side has not read.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub fn undelivered(&mut self) -> Result<usize, Violation> {
        let consumed = self.memory.load_word(self.outgoing.consumed_at);
        let undelivered = self.outgoing.produced.wrapping_sub(consumed) as usize;
        self.checked(undelivered, self.outgoing.place.len())
    }

    /// The same; where that is something, the other side is asked to notify when it has read.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub fn await_delivery(&mut self) -> Result<usize, Violation> {
        match self.undelivered()? {
            0 => Ok(0),
            _ => {
                self.ask(NOTIFY_READ);
                self.undelivered()
            }
        }
    }

    /// Says that all is written.
    pub fn finish(&mut self) {
        self.say(FINISHED);
    }

    /// Goes: nothing more is read or written, and the other side sees it. What was written before, it can still read.
    pub fn close(&mut self) {
        if core::mem::replace(&mut self.is_closed, true) {
            return;
        }
        let own_live = self.role.own_live();
        self.memory.store_byte(own_live, LIVE_GONE);
        self.owes_notification = true;
    }

    /// The other side is gone, as the transport knows.
    pub fn handle_gone(&mut self) {
        self.has_vanished = true;
    }

    /// Whether the other side is there, or may still come.
    pub fn has_peer(&self) -> bool {
        !self.has_vanished && self.memory.load_byte(self.role.peer_live()) != LIVE_GONE
    }

    /// Whether the other side is to be notified now: of what was done since this was asked last, if that is what it waits
    /// for.
    pub fn poll_transmit(&mut self) -> bool {
        let done = core::mem::take(&mut self.done);
        let owes = core::mem::take(&mut self.owes_notification);
        if done == 0 {
            return owes;
        }
        // Counters first, then a look at what is asked: the other side asks first and then looks at the counters, so that one
        // of both sees the other.
        fence(Ordering::SeqCst);
        let obeyed = self.role.peer_says();
        let is_asked = self.memory.load_byte(obeyed) & done != 0
            && self.memory.clear_bits(obeyed, done) & done != 0;
        is_asked || owes
    }

    /// Whether there is anything that the other side may have to be notified of.
    pub fn may_transmit(&self) -> bool {
        self.done != 0 || self.owes_notification
    }

    /// How full both rings are. What cannot be is left to whoever reads and writes.
    pub fn fill(&self) -> Fill {
        let (incoming, outgoing) = (&self.incoming, &self.outgoing);
        let produced = self.memory.load_word(incoming.produced_at);
        let consumed = self.memory.load_word(outgoing.consumed_at);
        let within = |bytes: u32, place: &Range<usize>| {
            Some(bytes as usize).filter(|bytes| *bytes <= place.len())
        };
        Fill {
            incoming_ring_bytes: incoming.place.len(),
            unread_bytes: within(produced.wrapping_sub(incoming.consumed), &incoming.place),
            outgoing_ring_bytes: outgoing.place.len(),
            undelivered_bytes: within(outgoing.produced.wrapping_sub(consumed), &outgoing.place),
        }
    }

    /// What the other side has asked to be notified of, and has not been.
    pub fn peer_waits(&self) -> Waits {
        let asked = self.memory.load_byte(self.role.peer_says());
        Waits { for_bytes: asked & NOTIFY_WRITTEN != 0, for_room: asked & NOTIFY_READ != 0 }
    }

    /// Which side it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What is below.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    fn unread(&mut self) -> Result<usize, Violation> {
        let produced = self.memory.load_word(self.incoming.produced_at);
        let unread = produced.wrapping_sub(self.incoming.consumed) as usize;
        self.checked(unread, self.incoming.place.len())
    }

    fn checked(&mut self, bytes: usize, bytes_max: usize) -> Result<usize, Violation> {
        self.is_broken |= bytes > bytes_max;
        if self.is_broken { Err(Violation) } else { Ok(bytes) }
    }

    /// Why nothing more is written by the other side, if so.
    fn incoming_end(&self) -> Option<Readable> {
        // Whether it is there before what it said: a side that goes says nothing afterwards.
        let has_peer = self.has_peer();
        let said = self.memory.load_byte(self.role.peer_says());
        match (has_peer, said & FINISHED != 0, said & TELLS_ENDS != 0) {
            (_, true, _) | (false, _, false) => Some(Readable::End),
            (false, false, true) => Some(Readable::CutOff),
            (true, false, _) => None,
        }
    }

    fn ask(&self, notification: u8) {
        self.memory.set_bits(self.role.own_says(), notification);
        // The question first, then another look.
        fence(Ordering::SeqCst);
    }

    fn say(&mut self, what: u8) {
        self.memory.set_bits(self.role.own_says(), what);
        self.owes_notification = true;
    }
}

impl Role {
    fn own_live(self) -> usize {
        match self {
            Self::Server => SERVER_LIVE,
            Self::Client => CLIENT_LIVE,
        }
    }

    fn peer_live(self) -> usize {
        self.other().own_live()
    }

    /// Where this side asks and tells. It is named after who is to obey.
    fn own_says(self) -> usize {
        match self {
            Self::Server => CLIENT_NOTIFY,
            Self::Client => SERVER_NOTIFY,
        }
    }

    fn peer_says(self) -> usize {
        self.other().own_says()
    }

    fn other(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }
}

/// The ring that the other side writes.
#[derive(Clone, Debug)]
struct Incoming {
    place: Range<usize>,
    produced_at: usize,
    consumed_at: usize,
    /// Ours: what the memory says of it is for the other side.
    consumed: u32,
}

impl Incoming {
    fn new(place: Range<usize>, produced_at: usize, consumed_at: usize) -> Self {
        Self { place, produced_at, consumed_at, consumed: 0 }
    }
}

/// The ring that this side writes.
#[derive(Clone, Debug)]
struct Outgoing {
    place: Range<usize>,
    produced_at: usize,
    consumed_at: usize,
    /// Ours.
    produced: u32,
}

impl Outgoing {
    fn new(place: Range<usize>, produced_at: usize, consumed_at: usize) -> Self {
        Self { place, produced_at, consumed_at, produced: 0 }
    }
}

/// Where `count` bytes from a counter on lie: up to the ring's end, and from its start on.
fn parts(place: &Range<usize>, counter: u32, count: usize) -> (Range<usize>, Range<usize>) {
    // Rings are powers of two, so that the counter's wrap is one of theirs.
    let start = place.start + (counter as usize & (place.len() - 1));
    let first = count.min(place.end - start);
    (start..start + first, place.start..place.start + (count - first))
}
