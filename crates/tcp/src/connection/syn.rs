//! The handshake: SYN-SENT and SYN-RECEIVED (RFC 9293 sections 3.5 and 3.10.7.3).

use super::{AckState, CloseReason, Connection, Events, State};
use crate::config::Shared;
use crate::segment::{Flags, Segment};
use crate::time::Instant;

impl Connection {
    /// RFC 9293 section 3.10.7.3. True when the segment's data and FIN are to be processed.
    pub(super) fn in_syn_sent(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        segment: &Segment,
    ) -> bool {
        let flags = segment.flags;
        let has_ack = flags.has(Flags::ACK);
        // First: RFC 5961 has nothing to add, since the number is the secret.
        let is_acceptable =
            has_ack && segment.ack == self.send.initial + 1 && self.fin_or_syn_is_sent();
        if has_ack && !is_acceptable {
            if !flags.has(Flags::RST) {
                self.pending.reset = Some(segment.ack);
            }
            return false;
        }
        // Second.
        if flags.has(Flags::RST) {
            if is_acceptable {
                shared.counters.resets_received += 1;
                self.end(shared, CloseReason::Refused);
            }
            return false;
        }
        // Fourth.
        if !flags.has(Flags::SYN) {
            return false;
        }
        self.receive_syn(shared, now, segment);
        self.heard_at = now;
        if !is_acceptable {
            // Simultaneous open: our SYN goes again, now with an acknowledgement.
            self.state = State::SynReceived;
            self.features.ecn &= flags.has(Flags::ECE | Flags::CWR);
            self.pending.syn = true;
            return false;
        }
        // RFC 3168 section 6.1.1: an ECN-setup SYN-ACK has ECE and not CWR.
        self.features.ecn &= flags.has(Flags::ECE) && !flags.has(Flags::CWR);
        self.pending.acknowledgement = AckState::Now;
        self.establish(shared, now, segment);
        true
    }

    /// In SYN-RECEIVED, before the segment is looked at as one of a synchronized connection; true when it was
    /// dealt with.
    pub(super) fn in_syn_received(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        segment: &Segment,
    ) -> bool {
        let flags = segment.flags;
        if segment.seq + 1 != self.receive.next || !flags.has(Flags::SYN) || flags.has(Flags::RST) {
            return false;
        }
        let completes = flags.has(Flags::ACK) && segment.ack == self.send.initial + 1;
        if completes {
            // Simultaneous open (RFC 9293 figure 8): the peer's SYN again, with the acknowledgement of ours.
            self.pending.acknowledgement = AckState::Now;
            self.set_window(segment, u32::from(segment.window));
            self.features.ecn = false;
            self.establish(shared, now, segment);
        } else if !flags.has(Flags::ACK) {
            // The peer has not seen our SYN-ACK.
            self.pending.syn = true;
        } else {
            self.challenge(shared, now);
        }
        true
    }

    /// Our SYN is acknowledged.
    pub(super) fn establish(&mut self, shared: &mut Shared, now: Instant, segment: &Segment) {
        self.send.unacknowledged = segment.ack;
        self.send.limited_at = segment.ack;
        self.progress_at = now;
        self.pending.syn = false;
        self.timers.stop_retransmission();
        self.timers.idle_at = now + shared.config.keep_alive_idle;
        if self.rtt.backoff() == 0 {
            let sample = now.since(self.sent_at);
            self.rtt.sample(now, sample, sample);
        } else {
            // RFC 6298 section 5.7, RFC 5681 section 3.1: a SYN that was lost.
            self.rtt.syn_was_lost();
            self.rtt.end_backoff();
        }
        self.state = State::Established;
        if self.features.close_queued {
            self.state = self.state.after_close();
            self.features.close_queued = false;
        }
        self.events.add(Events::CONNECTED);
        if self.send_buffer.len() < self.congestion.size() {
            self.events.add(Events::WRITABLE);
        }
    }

    /// RFC 6298 section 5: the SYN again.
    pub(super) fn on_syn_timeout(&mut self, shared: &mut Shared, _: Instant) {
        shared.counters.retransmission_timeouts += 1;
        self.rtt.back_off();
        self.pending.syn = true;
        // RFC 3168 section 6.1.1.1: perhaps it is ECN that somebody dislikes.
        self.features.ecn = false;
    }

    fn fin_or_syn_is_sent(&self) -> bool {
        self.send.next != self.send.initial
    }
}
