//! Diagnostics: the connections and gauges of a running stack, as tasks see them.

use crate::counters::Counter;
use crate::device::FrameTap;
use crate::stack::interface::InterfaceState;
use crate::tcp::connection::{Connection, Owner};
use crate::tcp::context::TcpContext;
use crate::tcp::table::Table;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;

pub use ::tcp::State as TcpState;

/// One connection, as it is now.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// RFC 9293's name of its state.
    pub state: TcpState,
    /// No task holds it; it is only being delivered.
    pub is_orphan: bool,
    /// Since it was opened.
    pub age: Duration,
    /// Since the last segment from the peer.
    pub silent_for: Duration,
    /// Bytes received in order, unread ones included.
    pub bytes_in: u64,
    /// Bytes written by the application.
    pub bytes_out: u64,
    /// Bytes received in order and not read.
    pub receive_queue: usize,
    /// What the receive buffer may hold, in bytes.
    pub receive_limit: usize,
    /// Bytes received ahead of a gap.
    pub out_of_order: usize,
    /// Bytes written and not acknowledged.
    pub send_queue: usize,
    /// Bytes sent and neither acknowledged nor believed lost.
    pub in_flight: u32,
    /// The congestion window in bytes.
    pub congestion_window: u32,
    /// Bytes that the peer's last window allowed.
    pub peer_window: u32,
    /// By how many bits the peer's windows are shifted, and ours (RFC 7323 section 2).
    pub window_shifts: [u8; 2],
    /// Bytes of data and options in a segment.
    pub mss: u16,
    /// Segments sent again.
    pub retransmits: u32,
    /// Retransmission time-outs since the peer last acknowledged something.
    pub timeouts: u8,
    /// Smoothed; `None` before the first measurement.
    pub round_trip: Option<Duration>,
    /// How much it varies (RFC 6298).
    pub round_trip_variation: Option<Duration>,
    /// The shortest of the last minutes.
    pub round_trip_min: Option<Duration>,
    /// The retransmission time-out.
    pub retransmission_timeout: Duration,
    /// The slow start threshold in bytes; `None` before there was a loss.
    pub slow_start_threshold: Option<u32>,
    /// Bytes that the peer may still send.
    pub receive_window: u32,
    /// Bytes that the peer has above a gap.
    pub sacked: u32,
    /// Bytes believed lost and not sent again.
    pub lost: u32,
    /// Bytes per second at which segments leave, if they are paced.
    pub pacing_rate: Option<u64>,
    /// Bytes per second that arrive, if it is measured.
    pub delivery_rate: Option<u64>,
    /// Losses are being repaired.
    pub is_recovering: bool,
}

/// How many there are of each thing that takes memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Connections, orphans included.
    pub connections: usize,
    /// Half-open connections remembered.
    pub half_open: usize,
    /// Connections in TIME-WAIT.
    pub time_wait: usize,
    /// Bytes of all connections' buffers.
    pub buffer_bytes: usize,
    /// Bytes that they may have.
    pub buffer_bytes_max: usize,
}

/// A view of one stack for tasks, such as a diagnosis handler. Clones share it.
#[derive(Clone)]
pub struct StackView {
    context: Rc<TcpContext>,
    table: Rc<RefCell<Table>>,
}

impl StackView {
    pub(crate) fn new(state: &InterfaceState) -> Self {
        Self { context: state.context.clone(), table: state.table.clone() }
    }

    /// Every connection, in no order; asked while one's received bytes are being read ([`flow::Flow::poll_read_with`]),
    /// all others.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.table.borrow().iter().filter_map(|connection| info(connection)).collect()
    }

    /// From the next phase on, this tap sees each frame, instead of the one before; none: nobody does.
    pub fn set_tap(&self, tap: Option<Rc<dyn FrameTap>>) {
        self.context.set_tap(tap);
    }

    /// How often it happened.
    pub fn count(&self, count: Counter) -> u64 {
        self.context.count(count)
    }
}

impl InterfaceState {
    pub(crate) fn gauges(&self) -> Gauges {
        Gauges {
            connections: self.table.borrow().len(),
            half_open: self.syn_queue.len(),
            time_wait: self.time_wait.len(),
            buffer_bytes: self.context.shared.borrow().memory.held_bytes(),
            buffer_bytes_max: self.context.shared.borrow().config.buffers_bytes_max,
        }
    }
}

pub(super) fn info(connection: &Connection) -> Option<ConnectionInfo> {
    let tcb = connection.try_tcb()?;
    let now = connection.context.now.get();
    let shared = connection.context.shared.try_borrow().ok()?;
    let info = tcb.engine.info(&shared.config);
    Some(ConnectionInfo {
        local: connection.tuple.local(),
        peer: connection.tuple.remote(),
        state: info.state,
        is_orphan: matches!(tcb.owner, Owner::Orphan(_)),
        age: now.since(tcb.opened_at).into(),
        silent_for: now.since(tcb.engine.heard_at()).into(),
        bytes_in: tcb.read + u64::from(info.receive_queue),
        bytes_out: tcb.written,
        receive_queue: info.receive_queue as usize,
        receive_limit: info.receive_limit as usize,
        out_of_order: info.out_of_order as usize,
        send_queue: info.send_queue as usize,
        in_flight: info.in_flight,
        congestion_window: info.congestion_window,
        peer_window: info.send_window,
        window_shifts: [info.send_window_shift, info.receive_window_shift],
        mss: info.mss,
        retransmits: info.resent,
        timeouts: info.backoff,
        round_trip: info.round_trip.map(Duration::from),
        round_trip_variation: info.round_trip_variation.map(Duration::from),
        round_trip_min: info.round_trip_min.map(Duration::from),
        retransmission_timeout: info.retransmission_timeout.into(),
        slow_start_threshold: info.slow_start_threshold,
        receive_window: info.receive_window,
        sacked: info.sacked,
        lost: info.lost,
        pacing_rate: info.pacing_rate,
        delivery_rate: info.delivery_rate,
        is_recovering: info.is_recovering,
    })
}
