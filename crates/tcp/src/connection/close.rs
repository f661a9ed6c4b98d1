//! CLOSE and ABORT (RFC 9293 sections 3.10.4 and 3.10.5), and the end of a connection.

use super::{AckState, CloseReason, Connection, Events, State};
use crate::config::Shared;
use crate::time::Instant;
use crate::time_wait::TimeWait;

impl Connection {
    /// Ends this direction after everything written; reading goes on (half-close).
    pub fn close(&mut self, shared: &mut Shared) {
        match self.state {
            State::SynSent => self.end(shared, CloseReason::Finished),
            State::SynReceived => self.features.close_queued = true,
            state => self.state = state.after_close(),
        }
    }

    /// Nobody reads any more: what is unread is dropped, data that still comes is answered by a reset
    /// (RFC 9293 section 3.6.1), and a peer that does not finish is not waited for for ever.
    pub fn stop_reading(&mut self, shared: &mut Shared, now: Instant) {
        let had_unread = self.receive_buffer.len() > 0;
        self.receive_buffer.clear(&mut shared.memory);
        self.features.stopped_reading = true;
        if had_unread && self.state.is_synchronized() {
            // RFC 2525 section 2.17: the peer must know that data was lost.
            self.abort(shared);
        } else if self.state == State::FinWait2 {
            self.timers.idle_at = now + shared.config.fin_wait_2_timeout;
        }
    }

    /// Ends both directions now; a reset tells the peer.
    pub fn abort(&mut self, shared: &mut Shared) {
        // RFC 9293 section 3.10.5.
        let tells = match self.state {
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait => true,
            State::Closing | State::LastAck => self.send_buffer.len() > 0,
            State::Closed | State::SynSent | State::TimeWait => false,
        };
        if self.state == State::Closed {
            return;
        }
        let reset = tells.then_some(self.send.next);
        self.end(shared, CloseReason::Aborted);
        self.pending.reset = reset;
    }

    /// A hard ICMP error about a segment with number `seq` (RFC 5461 section 4.1, RFC 5927 section 5.2): ends
    /// an open that is not complete, and is otherwise no more than a hint.
    pub fn handle_unreachable(&mut self, shared: &mut Shared, seq: u32) {
        let is_ours = self.send.next.0.wrapping_sub(seq) <= 1;
        if matches!(self.state, State::SynSent | State::SynReceived) && is_ours {
            self.end(shared, CloseReason::Unreachable);
        }
    }

    /// Gives all memory back. To be called before a connection is dropped.
    pub fn release(&mut self, shared: &mut Shared) {
        self.send_buffer.clear(&mut shared.memory);
        self.receive_buffer.clear(&mut shared.memory);
    }

    /// In TIME-WAIT, all that has to be kept of the connection.
    pub fn time_wait(&self) -> Option<TimeWait> {
        (self.state == State::TimeWait).then_some(TimeWait {
            next: self.send.next,
            expected: self.receive.next,
            window: self.receive.advertised.distance_from(self.receive.next) >> self.receive.scale,
            timestamps: self
                .features
                .timestamps
                .then_some((self.receive.timestamp, self.features.timestamp_offset)),
            until: self.timers.idle_at,
        })
    }

    /// The state has changed by a FIN or the acknowledgement of ours.
    pub(super) fn settle_state(&mut self, shared: &mut Shared, now: Instant, state: State) {
        let before = core::mem::replace(&mut self.state, state);
        if before == state {
            return;
        }
        match state {
            State::TimeWait => {
                self.timers.stop();
                self.timers.idle_at = now + shared.config.time_wait;
                self.send_buffer.clear(&mut shared.memory);
                self.events.add(Events::TIME_WAIT);
            }
            State::FinWait2 if self.features.stopped_reading => {
                self.timers.idle_at = now + shared.config.fin_wait_2_timeout;
            }
            State::Closed => self.end(shared, CloseReason::Finished),
            _ => {}
        }
    }

    /// The connection is over. What was received can still be read, unless that was lost by a reset.
    pub(super) fn end(&mut self, shared: &mut Shared, reason: CloseReason) {
        self.state = State::Closed;
        self.reason = reason;
        self.timers.stop();
        self.send_buffer.clear(&mut shared.memory);
        self.pending.acknowledgement = AckState::None;
        self.pending.syn = false;
        self.pending.keep_alive = false;
        if reason == CloseReason::Aborted {
            self.receive_buffer.clear(&mut shared.memory);
        } else {
            // What came before a reset may be the answer that explains it: it can be read, as with others' sockets.
            self.receive_buffer.drop_out_of_order(&mut shared.memory);
        }
        self.events.add(Events::CLOSED);
    }
}
