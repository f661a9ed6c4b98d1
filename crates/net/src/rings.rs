//! Rings that follow their connection's use.
//!
//! smoltcp cannot exchange a socket's buffers, so a connection moves to a new socket made in the
//! same state (see [`establish`](crate::establish)), at a moment when nothing is lost by it: nothing
//! unacknowledged, nothing unread. Such a moment is when a writer that found its ring full has been
//! drained, or when a reader has emptied a ring that had been half full.

use crate::config::Limits;
use crate::connection::{Connection, Tcb};
use crate::establish::{self, Sockets, Synchronized};
use crate::recovery::Clock;
use crate::shared::Shared;
use crate::tally::Count;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};

/// Bytes of one connection's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) receive: usize,
    pub(crate) transmit: usize,
}

impl Sizes {
    /// What a new or idle connection gets.
    pub(crate) fn initial(shared: &Shared) -> Self {
        let limits = &shared.limits;
        if shared.ring_bytes.get() > limits.rings_total_bytes / 16 {
            return Self { receive: limits.ring_min_bytes, transmit: limits.ring_min_bytes };
        }
        Self {
            receive: limits.receive_ring_initial_bytes,
            transmit: limits.transmit_ring_initial_bytes,
        }
    }

    pub(crate) fn of(socket: &Socket) -> Self {
        Self { receive: socket.recv_capacity(), transmit: socket.send_capacity() }
    }

    fn total(self) -> usize {
        self.receive + self.transmit
    }
}

/// A new connection's socket, not yet connected: one that has served before, if there is one,
/// since making and zeroing rings costs as much as the handshake.
pub(crate) fn initial(shared: &Shared) -> Sockets {
    let sizes = Sizes::initial(shared);
    let mut spare = shared.spare_sockets.borrow_mut();
    if let Some(mut sockets) = spare.pop_if(|spare| is_of(spare, sizes)) {
        let socket = sockets.get_mut::<Socket>(establish::handle());
        socket.set_congestion_control(CongestionControl::Reno);
        socket.set_ack_delay(Some(shared.limits.acknowledge.into()));
        return sockets;
    }
    make(sizes, &shared.limits)
}

/// A connection no longer needs its socket.
pub(crate) fn give_back(shared: &Shared, mut sockets: Sockets) {
    let freed = bytes(&sockets);
    shared.ring_bytes.set(shared.ring_bytes.get().saturating_sub(freed));
    let mut spare = shared.spare_sockets.borrow_mut();
    if spare.len() < SPARE_MAX && is_of(&sockets, Sizes::initial(shared)) {
        sockets.get_mut::<Socket>(establish::handle()).abort();
        spare.push(sockets);
    }
}

/// Sockets kept for new connections: as many as open and close within a few milliseconds.
const SPARE_MAX: usize = 64;

fn is_of(sockets: &Sockets, sizes: Sizes) -> bool {
    Sizes::of(sockets.get(establish::handle())) == sizes
}

fn make(sizes: Sizes, limits: &Limits) -> Sockets {
    let ring = |bytes: usize| SocketBuffer::new(vec![0; bytes]);
    let mut socket = Socket::new(ring(sizes.receive.max(1)), ring(sizes.transmit.max(1)));
    // Several writes before a task waits leave as one already, so Nagle's algorithm only delays.
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(Some(limits.acknowledge.into()));
    let mut sockets = Sockets::new(Vec::with_capacity(1));
    sockets.add(socket);
    sockets
}

/// Bytes of the rings in use.
pub(crate) fn bytes(sockets: &Sockets) -> usize {
    Sizes::of(sockets.get(establish::handle())).total()
}

/// Called when the application has emptied the receive ring.
pub(crate) fn after_read(connection: &Connection, tcb: &mut Tcb) {
    let sizes = Sizes::of(tcb.socket());
    let limits = &connection.shared.limits;
    if tcb.receive_peak < sizes.receive / 2 || sizes.receive >= limits.receive_ring_max_bytes {
        return;
    }
    let wanted = sizes.receive.saturating_mul(GROWTH).min(limits.receive_ring_max_bytes);
    let receive = affordable(&connection.shared, sizes.receive, wanted);
    if receive > sizes.receive && resize(connection, tcb, Sizes { receive, ..sizes }) {
        connection.shared.tally.add(Count::RingsGrown);
    }
}

/// The transmit ring's capacity, if it may grow.
pub(crate) fn growable_transmit(connection: &Connection, tcb: &mut Tcb) -> usize {
    let capacity = tcb.socket().send_capacity();
    let may_grow = capacity < connection.shared.limits.transmit_ring_max_bytes;
    if may_grow { capacity } else { usize::MAX }
}

/// Called before the application writes what a ring of this size is too small for.
pub(crate) fn before_write(connection: &Connection, tcb: &mut Tcb) {
    let sizes = Sizes::of(tcb.socket());
    let limits = &connection.shared.limits;
    if sizes.transmit >= limits.transmit_ring_max_bytes {
        return;
    }
    let wanted = sizes.transmit.saturating_mul(GROWTH).min(limits.transmit_ring_max_bytes);
    let transmit = affordable(&connection.shared, sizes.transmit, wanted);
    if transmit > sizes.transmit && resize(connection, tcb, Sizes { transmit, ..sizes }) {
        connection.shared.tally.add(Count::RingsGrown);
    }
}

/// Moves to the rings of a new connection, since this one was idle.
pub(crate) fn shrink(connection: &Connection, tcb: &mut Tcb) {
    let target = Sizes::initial(&connection.shared);
    if resize(connection, tcb, target) {
        connection.shared.tally.add(Count::RingsShrunk);
    }
}

/// The factor by which a ring grows: from a page to 64 KiB, and from there to its maximum.
const GROWTH: usize = 16;

/// As much of `wanted` as the budget of all rings allows, at least `current`.
fn affordable(shared: &Shared, current: usize, wanted: usize) -> usize {
    let left = shared.limits.rings_total_bytes.saturating_sub(shared.ring_bytes.get());
    wanted.min(current + left)
}

/// Nothing is unread, unsent, or on its way, and both directions are open.
fn is_quiet(tcb: &mut Tcb) -> bool {
    let unacknowledged = tcb.unacknowledged();
    let sent_end = tcb.sent_end;
    let socket = tcb.socket();
    socket.state() == State::Established
        && socket.recv_queue() == 0
        && socket.send_queue() == 0
        && sent_end == unacknowledged
}

fn resize(connection: &Connection, tcb: &mut Tcb, sizes: Sizes) -> bool {
    if !is_quiet(tcb) {
        return false;
    }
    let shared = &connection.shared;
    let with = Synchronized {
        tuple: connection.tuple,
        send_next: tcb.unacknowledged(),
        receive_next: tcb.receive_next(),
        offer: tcb.offer,
        window: tcb.peer_window,
    };
    let old = Sizes::of(tcb.socket());
    let sockets = make(sizes, &shared.limits);
    let made = if sizes.receive == old.receive && sizes.transmit > old.transmit {
        establish::resumed(&with, sockets, shared.now.get())
    } else {
        establish::established(&with, sockets, shared.now.get())
    };
    let Some(sockets) = made else { return false };
    shared.ring_bytes.set(shared.ring_bytes.get() + bytes(&sockets));
    give_back(shared, core::mem::replace(&mut tcb.sockets, sockets));
    tcb.fit_stamp();
    tcb.owes_window = sizes.receive != old.receive;
    tcb.clock = Clock::STOPPED;
    tcb.has_grown = sizes.total() > Sizes::initial(shared).total();
    tcb.receive_peak = 0;
    tcb.write_starved = false;
    connection.mark(tcb);
    true
}
