//! Rings that follow their connection's use: none while it is [calm](crate::tcp::connection::fast_path), and then larger
//! ones.
//!
//! smoltcp cannot exchange a socket's buffers, so a connection moves to a new socket made in the
//! same state (see [`socket`]), for larger rings at a moment when nothing is lost by it: nothing
//! unacknowledged, nothing unread. Such a moment is when a writer that found its ring full has been
//! drained, or when a reader has emptied a ring that had been half full.

use crate::config::{CongestionControl, Limits};
use crate::counters::Count;
use crate::tcp::connection::engine::{self, Body};
use crate::tcp::connection::fast_path::{Calm, Left};
use crate::tcp::connection::retransmission::Clock;
use crate::tcp::connection::socket::{self, Sockets, Synchronized};
use crate::tcp::connection::{Connection, Tcb};
use crate::tcp::context::Shared;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::socket::tcp::{self, Socket, SocketBuffer, State};

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
        Self { receive: limits.rx_ring_initial_bytes, transmit: limits.tx_ring_initial_bytes }
    }

    fn of(socket: &Socket) -> Self {
        Self { receive: socket.recv_capacity(), transmit: socket.send_capacity() }
    }

    pub(crate) fn of_body(body: &Body) -> Self {
        Self { receive: body.receive_capacity(), transmit: body.queue_capacity() }
    }

    fn total(self) -> usize {
        self.receive + self.transmit
    }
}

/// A connection no longer needs its memory.
pub(crate) fn give_back(shared: &Shared, body: &mut Body) {
    match body {
        Body::Calm(calm) => calm.empty(shared),
        Body::Socket(sockets) => {
            let freed = Sizes::of(engine::socket(sockets)).total();
            shared.ring_bytes.set(shared.ring_bytes.get().saturating_sub(freed));
        }
    }
}

fn make(sizes: Sizes, limits: &Limits) -> Sockets {
    let ring = |bytes: usize| SocketBuffer::new(vec![0; bytes]);
    let mut socket = Socket::new(ring(sizes.receive.max(1)), ring(sizes.transmit.max(1)));
    // Several writes before a task waits leave as one already, so Nagle's algorithm only delays.
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(Some(limits.acknowledge.into()));
    socket.set_congestion_control(match limits.congestion_control {
        CongestionControl::Reno => tcp::CongestionControl::Reno,
        CongestionControl::Off => tcp::CongestionControl::None,
    });
    let mut sockets = Sockets::new(Vec::with_capacity(1));
    sockets.add(socket);
    sockets
}

/// Called when the application has emptied the receive ring.
pub(crate) fn after_read(connection: &Connection, tcb: &mut Tcb) {
    let sizes = Sizes::of_body(&tcb.body);
    let limits = &connection.shared.limits;
    // A calm connection's limit must have been felt: a request alone is no reason for a socket. Whole
    // segments that come one by one feel it too, where a second one has no room (RFC 9293 section 3.8.6.2.1).
    let busy = if tcb.body.is_calm() {
        (sizes.receive - sizes.receive / 4).min(tcb.segment_max())
    } else {
        sizes.receive / 2
    };
    if tcb.receive_peak < busy || sizes.receive >= limits.rx_ring_max_bytes {
        return;
    }
    let wanted = sizes.receive.saturating_mul(GROWTH).min(limits.rx_ring_max_bytes);
    let receive = affordable(&connection.shared, sizes.receive, wanted);
    if receive > sizes.receive && resize(connection, tcb, Sizes { receive, ..sizes }) {
        connection.shared.tally.add(Count::RingsGrown);
    }
}

/// The transmit ring's capacity, if it may grow.
pub(crate) fn growable_transmit(connection: &Connection, tcb: &Tcb) -> usize {
    let capacity = tcb.body.transmit_capacity();
    let may_grow = capacity < transmit_max(&connection.shared);
    if may_grow { capacity } else { usize::MAX }
}

/// Called before the application writes what a ring of this size is too small for.
pub(crate) fn before_write(connection: &Connection, tcb: &mut Tcb) {
    let sizes = Sizes::of_body(&tcb.body);
    let max = transmit_max(&connection.shared);
    if sizes.transmit >= max {
        return;
    }
    let wanted = sizes.transmit.saturating_mul(GROWTH).min(max);
    let transmit = affordable(&connection.shared, sizes.transmit, wanted);
    if transmit > sizes.transmit && resize(connection, tcb, Sizes { transmit, ..sizes }) {
        connection.shared.tally.add(Count::RingsGrown);
    }
}

/// Takes the socket away from a connection that was idle, and its rings.
pub(crate) fn shrink(connection: &Connection, tcb: &mut Tcb) {
    if !is_quiet(tcb) {
        return;
    }
    let sizes = Sizes::initial(&connection.shared);
    tcb.owes_window = sizes.receive != tcb.body.receive_capacity();
    let told = tcb.receive_next().wrapping_add(sizes.receive as u32);
    give_back(&connection.shared, &mut tcb.body);
    tcb.body = Body::Calm(Calm::new(sizes, told));
    tcb.template.window_shift_in = 0;
    tcb.start_anew();
    connection.mark(tcb);
    connection.shared.tally.add(Count::RingsShrunk);
}

/// Gives a calm connection a socket in exactly its state, with rings as large as it was told that
/// they are. False when smoltcp does not follow.
pub(crate) fn make_socket(connection: &Connection, tcb: &mut Tcb, left: Left) -> bool {
    let Body::Calm(calm) = &tcb.body else { return true };
    let shared = &*connection.shared;
    let sizes = Sizes::of_body(&tcb.body);
    let replay = calm.replay(tcb.finished, left);
    let with = Synchronized {
        tuple: connection.tuple,
        send_next: tcb.unacknowledged(),
        receive_next: tcb.read_next(),
        offer: tcb.offer,
        window: tcb.peer_window,
    };
    let sockets = make(sizes, &shared.limits);
    let made = socket::replayed(&with, sockets, &replay, shared.now.get());
    let Some(sockets) = made else { return false };
    give_back(shared, &mut tcb.body);
    tcb.use_socket(sockets, shared);
    tcb.owes_window = true;
    true
}

/// The factor by which a ring grows: from a page to 64 KiB, and from there to its maximum.
const GROWTH: usize = 16;

/// The largest transmit ring. Its end cuts the segment that reaches over it in two, so that it is as
/// long as so many whole ones.
fn transmit_max(shared: &Shared) -> usize {
    let max = shared.limits.tx_ring_max_bytes;
    let segment = shared.offload_bytes;
    if (1..=max).contains(&segment) { max - max % segment } else { max }
}

/// The largest transmit ring that the budget of all rings allows one more of, in bytes.
pub(crate) fn affordable_transmit(shared: &Shared) -> usize {
    affordable(shared, 0, transmit_max(shared))
}

/// As much of `wanted` as the budget of all rings allows, at least `current`.
fn affordable(shared: &Shared, current: usize, wanted: usize) -> usize {
    let left = shared.limits.rings_total_bytes.saturating_sub(shared.ring_bytes.get());
    wanted.min(current + left)
}

/// Nothing is unread, unsent, or on its way, and both directions are open.
fn is_quiet(tcb: &Tcb) -> bool {
    tcb.state() == State::Established
        && tcb.body.unread() == 0
        && tcb.body.queued() == 0
        && tcb.sent_end == tcb.unacknowledged()
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
    let old = Sizes::of_body(&tcb.body);
    let sockets = make(sizes, &shared.limits);
    let made = if sizes.receive == old.receive && sizes.transmit > old.transmit {
        socket::resumed(&with, sockets, shared.now.get())
    } else {
        socket::established(&with, sockets, shared.now.get())
    };
    let Some(sockets) = made else { return false };
    give_back(shared, &mut tcb.body);
    tcb.use_socket(sockets, shared);
    tcb.owes_window = sizes.receive != old.receive;
    tcb.start_anew();
    connection.mark(tcb);
    true
}

impl Tcb {
    fn use_socket(&mut self, sockets: Sockets, shared: &Shared) {
        let sizes = Sizes::of(engine::socket(&sockets));
        shared.ring_bytes.set(shared.ring_bytes.get() + sizes.total());
        self.template.window_shift_in =
            socket::window_shift(sizes.receive, self.offer.scale.is_some());
        self.body = Body::Socket(sockets);
    }

    /// Forgets how rings were used that are not there any more, at a moment when nothing is on its
    /// way.
    fn start_anew(&mut self) {
        self.clock = Clock::STOPPED;
        self.receive_peak = 0;
        self.write_starved = false;
    }
}
