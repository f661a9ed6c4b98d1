//! Buffer sizes: they follow the connection's use, from pooled buffers on the
//! [fast path](crate::tcp::connection::fast_path) to larger and larger rings of a socket, and back.
//!
//! smoltcp cannot exchange a socket's buffers, so a connection moves to a new socket made in the
//! same state (see [`socket`]), for larger rings when nothing is lost by it: nothing
//! unacknowledged, nothing unread. That is so when a writer that found its ring full has been
//! drained, or when a reader has emptied a ring that had been half full.

use crate::config::{CongestionControl, Limits};
use crate::counters::Counter;
use crate::tcp::connection::buffer_pool::BufferSizes;
use crate::tcp::connection::engine::{self, Engine};
use crate::tcp::connection::fast_path::FastPath;
use crate::tcp::connection::rto::RetransmissionTimer;
use crate::tcp::connection::socket::InFlight;
use crate::tcp::connection::socket::{self, Sockets, Synchronized};
use crate::tcp::connection::{Connection, Tcb};
use crate::tcp::context::TcpContext;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::socket::tcp::{self, Socket, SocketBuffer, State};

fn make(sizes: BufferSizes, limits: &Limits) -> Sockets {
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
    let sizes = tcb.engine.buffer_sizes();
    let limits = &connection.context.limits;
    // On the fast path the limit must have been felt: a request alone is no reason for a socket. Whole
    // segments that come one by one feel it too, where a second one has no room (RFC 9293 section 3.8.6.2.1).
    let busy = if tcb.engine.is_fast() {
        (sizes.receive - sizes.receive / 4).min(tcb.segment_max())
    } else {
        sizes.receive / 2
    };
    if tcb.receive_peak < busy || sizes.receive >= limits.rx_ring_max_bytes {
        return;
    }
    let wanted = sizes.receive.saturating_mul(GROWTH).min(limits.rx_ring_max_bytes);
    let receive = connection.context.affordable(sizes.receive, wanted);
    if receive > sizes.receive && resize(connection, tcb, BufferSizes { receive, ..sizes }) {
        connection.context.counters.add(Counter::RingsGrown);
    }
}

/// The transmit ring's capacity, if it may grow.
pub(crate) fn growable_transmit(connection: &Connection, tcb: &Tcb) -> usize {
    let capacity = tcb.engine.transmit_capacity();
    let may_grow = capacity < connection.context.transmit_max();
    if may_grow { capacity } else { usize::MAX }
}

/// Called before the application writes what a ring of this size is too small for.
pub(crate) fn before_write(connection: &Connection, tcb: &mut Tcb) {
    let sizes = tcb.engine.buffer_sizes();
    let max = connection.context.transmit_max();
    if sizes.transmit >= max {
        return;
    }
    let wanted = sizes.transmit.saturating_mul(GROWTH).min(max);
    let transmit = connection.context.affordable(sizes.transmit, wanted);
    if transmit > sizes.transmit && resize(connection, tcb, BufferSizes { transmit, ..sizes }) {
        connection.context.counters.add(Counter::RingsGrown);
    }
}

/// Takes the socket away from a connection that was idle, and its rings.
pub(crate) fn shrink(connection: &Connection, tcb: &mut Tcb) {
    if !is_quiet(tcb) {
        return;
    }
    let sizes = BufferSizes::initial(&connection.context);
    tcb.owes_window_update = sizes.receive != tcb.engine.receive_capacity();
    let rcv_adv = tcb.rcv_nxt().wrapping_add(sizes.receive as u32);
    tcb.engine.release(&connection.context);
    tcb.engine = Engine::FastPath(FastPath::new(sizes, rcv_adv));
    tcb.template.window_shift_in = 0;
    tcb.start_anew();
    connection.mark(tcb);
    connection.context.counters.add(Counter::RingsShrunk);
}

/// Moves a connection from the fast path to a socket in exactly its state, with rings as large as the
/// peer thinks that its buffers are. False when smoltcp does not follow.
fn make_socket(connection: &Connection, tcb: &mut Tcb, left: InFlight) -> bool {
    let Engine::FastPath(fast) = &tcb.engine else { return true };
    let context = &*connection.context;
    let sizes = tcb.engine.buffer_sizes();
    let replay = fast.replay(tcb.finished, left);
    let with = Synchronized {
        tuple: connection.tuple,
        snd_nxt: tcb.snd_una(),
        rcv_nxt: tcb.read_seq(),
        offer: tcb.offer,
        window: tcb.snd_wnd,
    };
    let sockets = make(sizes, &context.limits);
    let made = socket::replayed(&with, sockets, &replay, context.now.get());
    let Some(sockets) = made else { return false };
    tcb.engine.release(context);
    tcb.use_socket(sockets, context);
    tcb.owes_window_update = true;
    true
}

/// The factor by which a ring grows: from a page to 64 KiB, and from there to its maximum.
const GROWTH: usize = 16;

/// Nothing is unread, unsent, or on its way, and both directions are open.
fn is_quiet(tcb: &Tcb) -> bool {
    tcb.state() == State::Established
        && tcb.engine.unread() == 0
        && tcb.engine.queued() == 0
        && tcb.snd_nxt == tcb.snd_una()
}

fn resize(connection: &Connection, tcb: &mut Tcb, sizes: BufferSizes) -> bool {
    if !is_quiet(tcb) {
        return false;
    }
    let context = &connection.context;
    let with = Synchronized {
        tuple: connection.tuple,
        snd_nxt: tcb.snd_una(),
        rcv_nxt: tcb.rcv_nxt(),
        offer: tcb.offer,
        window: tcb.snd_wnd,
    };
    let old = tcb.engine.buffer_sizes();
    let sockets = make(sizes, &context.limits);
    let made = if sizes.receive == old.receive && sizes.transmit > old.transmit {
        socket::resumed(&with, sockets, context.now.get())
    } else {
        socket::established(&with, sockets, context.now.get())
    };
    let Some(sockets) = made else { return false };
    tcb.engine.release(context);
    tcb.use_socket(sockets, context);
    tcb.owes_window_update = sizes.receive != old.receive;
    tcb.start_anew();
    connection.mark(tcb);
    true
}

impl Tcb {
    /// Something that the fast path is not made for: the connection gets a socket.
    pub(crate) fn leave_fast_path(&mut self, left: InFlight, connection: &Connection) {
        if !make_socket(connection, self, left) {
            log::error!("net: smoltcp does not follow a connection");
            self.abort();
        }
    }

    fn use_socket(&mut self, sockets: Sockets, context: &TcpContext) {
        let sizes = engine::socket_sizes(engine::socket(&sockets));
        context.ring_bytes.set(context.ring_bytes.get() + sizes.total());
        self.template.window_shift_in =
            socket::window_shift(sizes.receive, self.offer.window_scale.is_some());
        self.engine = Engine::Socket(sockets);
    }

    /// Forgets how rings were used that are not there any more, when nothing is on its
    /// way.
    fn start_anew(&mut self) {
        self.rto = RetransmissionTimer::STOPPED;
        self.receive_peak = 0;
        self.send_buffer_was_full = false;
    }
}
