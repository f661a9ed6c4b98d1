//! Timers: user timeout, keep-alive and idle buffers (RFC 9293 sections 3.8.3 and 3.8.4).

use crate::counters::Counter;
use crate::device::Transmit;
use crate::tcp::connection::buffers;
use crate::tcp::connection::lower_layer::LowerLayer;
use crate::tcp::connection::{Connection, Tcb};
use crate::time::{Duration, Instant};
use crate::wire::header::TcpHeader;
use flow::FlowError;
use smoltcp::socket::tcp::State;

impl Tcb {
    /// A time has come: gives up a peer that stays silent, and an orphan; returns idle rings.
    pub(crate) fn expire(&mut self, connection: &Connection, now: Instant) {
        let timeouts = &connection.context.timeouts;
        let silent_since = self.waiting_since.map(|since| since.max(self.last_heard_at));
        let asked_since = self.last_heard_at + timeouts.keep_alive;
        if silent_since.is_some_and(|since| now >= since + timeouts.user_timeout)
            || now >= asked_since + timeouts.user_timeout
        {
            self.end.get_or_insert(FlowError::TimedOut);
            connection.context.counters.add(Counter::TimedOut);
            self.engine.abort();
        }
        if now >= self.orphan_until {
            self.abort();
        }
        if !self.engine.is_fast() && now >= self.last_heard_at + timeouts.ring_idle {
            buffers::shrink(connection, self);
        }
    }

    /// The peer has been silent for so long that it is asked whether it lives.
    pub(crate) fn must_probe(&mut self, connection: &Connection, now: Instant) -> bool {
        now >= self.last_heard_at + connection.context.timeouts.keep_alive
            && matches!(self.state(), State::Established | State::CloseWait)
    }

    /// Sends an acknowledgement whose number is one too low, which the peer corrects (RFC 9293
    /// section 3.8.4).
    pub(crate) fn send_keep_alive(
        &mut self,
        connection: &Connection,
        lower: &LowerLayer,
        output: &mut dyn Transmit,
    ) -> bool {
        let ack = TcpHeader::ack(self.snd_nxt.wrapping_sub(1), self.rcv_nxt());
        self.send_header(ack, connection, lower, output)
    }

    /// What was sent has had no answer through two retransmissions.
    pub(crate) fn is_unanswered(&self, now: Instant) -> bool {
        self.waiting_since.is_some_and(|since| now >= since.max(self.last_heard_at) + UNANSWERED)
    }

    /// Nothing is unacknowledged.
    pub(crate) fn rest(&mut self) {
        self.waiting_since = None;
        self.rto.at = Instant::NEVER;
    }
}

/// Two retransmissions at the shortest timeout take 3 s.
const UNANSWERED: Duration = Duration::SECOND.times(3);
