//! Diagnostics: the connections and gauges of a running stack, as tasks see them.

use crate::counters::Counter;
use crate::stack::interface::InterfaceState;
use crate::tcp::connection::Connection;
use crate::tcp::context::TcpContext;
use crate::tcp::table::Table;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::SocketAddr;
use core::time::Duration;

pub use smoltcp::socket::tcp::State as TcpState;

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
    /// Bytes in the receive ring, and its capacity.
    pub receive_ring: (usize, usize),
    /// Bytes in the transmit ring or the zero-copy queue, unacknowledged ones included, and how many there may be.
    pub transmit_ring: (usize, usize),
    /// Bytes sent and not acknowledged.
    pub in_flight: u32,
    /// Bytes that the peer's last window allowed.
    pub peer_window: u32,
    /// The largest payload of a segment.
    pub segment_max: u16,
    /// Segments sent again.
    pub retransmits: u32,
    /// Smoothed; `None` before the first measurement.
    pub round_trip: Option<Duration>,
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
    /// Bytes of all rings.
    pub ring_bytes: usize,
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

    /// Every connection, in no order.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.table.borrow().iter().map(|connection| info(connection)).collect()
    }

    /// How often it happened.
    pub fn count(&self, count: Counter) -> u64 {
        self.context.counters.get(count)
    }
}

impl InterfaceState {
    pub(crate) fn gauges(&self) -> Gauges {
        Gauges {
            connections: self.table.borrow().len(),
            half_open: self.syn_queue.len(),
            time_wait: self.time_wait.len(),
            ring_bytes: self.context.ring_bytes.get(),
        }
    }
}

fn info(connection: &Connection) -> ConnectionInfo {
    let tcb = connection.tcb();
    let now = connection.context.now.get();
    let snd_una = tcb.snd_una();
    let (unread, queued) = (tcb.engine.unread(), tcb.engine.queued());
    let (receive, transmit) = (tcb.engine.receive_capacity(), tcb.engine.queue_capacity());
    let state = tcb.state();
    ConnectionInfo {
        local: connection.tuple.local(),
        peer: connection.tuple.remote(),
        state,
        is_orphan: !tcb.held,
        age: now.since(tcb.opened_at).to_core(),
        silent_for: now.since(tcb.last_heard_at).to_core(),
        bytes_in: tcb.read + unread as u64,
        bytes_out: tcb.written,
        receive_ring: (unread, receive),
        transmit_ring: (queued, transmit),
        in_flight: tcb.snd_nxt.wrapping_sub(snd_una),
        peer_window: tcb.snd_wnd,
        segment_max: tcb.offer.mss,
        retransmits: tcb.retransmits,
        round_trip: tcb.srtt.map(|time| time.to_core()),
    }
}
