//! SEGMENT ARRIVES (RFC 9293 section 3.10.7).

use super::{AckState, CloseReason, Connection, Events, State};
use crate::config::Shared;
use crate::receive_buffer::Payload;
use crate::segment::{Ecn, Flags, Segment};
use crate::sequence::SeqNumber;
use crate::time::Instant;
use crate::time_wait::Verdict;

impl Connection {
    /// A segment of this connection has arrived, whose checksum is right.
    #[inline]
    pub fn handle_segment(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        segment: &Segment,
        payload: Payload<'_>,
    ) {
        shared.counters.segments_received += 1;
        if shared.config.header_prediction && self.is_expected(segment, payload.len()) {
            self.take_expected(shared, now, segment, payload);
        } else {
            self.handle_unexpected(shared, now, segment, payload);
        }
    }

    #[inline(never)]
    fn handle_unexpected(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        segment: &Segment,
        payload: Payload<'_>,
    ) {
        match self.state {
            State::Closed => {}
            State::SynSent => {
                if self.in_syn_sent(shared, now, segment) {
                    self.take_text(shared, now, segment, payload);
                }
            }
            State::TimeWait => self.in_time_wait(shared, now, segment, payload.len() as u32),
            _ => {
                let is_done =
                    self.state == State::SynReceived && self.in_syn_received(shared, now, segment);
                if !is_done {
                    self.in_synchronized(shared, now, segment, payload);
                }
            }
        }
    }

    /// RFC 9293 section 3.10.7.4, with RFC 5961 and RFC 7323.
    fn in_synchronized(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        segment: &Segment,
        payload: Payload<'_>,
    ) {
        let len = payload.len() as u32;
        if segment.flags.has(Flags::RST) {
            return self.take_reset(shared, now, segment);
        }
        // RFC 5961 section 4.2: whatever its number. So a peer that restarted learns that its new connection
        // meets an old one, and resets that.
        if segment.flags.has(Flags::SYN) {
            return self.challenge(shared, now);
        }
        if self.is_old_by_timestamp(segment, now) {
            shared.counters.segments_old_by_timestamp += 1;
            return self.answer_unacceptable(shared, now, segment, len);
        }
        if !self.is_acceptable(segment, len) {
            shared.counters.segments_unacceptable += 1;
            return self.answer_unacceptable(shared, now, segment, len);
        }
        if !segment.flags.has(Flags::ACK) || self.lacks_timestamp(segment) {
            return;
        }
        if !self.is_acknowledgement_acceptable(shared, now, segment) {
            return;
        }
        self.heard_at = now;
        self.timers.heard();
        self.remember_timestamp(segment, now);
        if self.state == State::SynReceived {
            self.establish(shared, now, segment);
        }
        self.process_acknowledgement(shared, now, segment, len);
        self.finish_if_acknowledged(shared, now);
        self.take_text(shared, now, segment, payload);
    }

    /// RFC 9293 section 3.4, the four cases. An empty segment at the left edge is acceptable whatever the window.
    /// RFC 9293 section 3.10.7.4, first: whether a segment has anything to do with the present of the connection.
    pub fn is_acceptable(&self, segment: &Segment, data_len: u32) -> bool {
        let (next, len) = (self.receive.next, segment.sequence_len(data_len));
        let window = self.receive.advertised.distance_from(next);
        match (len, window) {
            // A probe of a closed window: its data is not taken but answered, and what else it says counts
            // (RFC 9293 sections 3.8.6.1 and 3.10.7.4).
            (_, 0) => segment.seq == next,
            (0, _) => segment.seq.is_in(next, window),
            _ => {
                segment.seq.is_in(next, window) || (segment.seq + (len - 1)).is_in(next, window)
                    // It begins before the window and ends behind it.
                    || (segment.seq.is_before(next) && (segment.seq + len).is_after(next + window))
            }
        }
    }

    /// RFC 9293 section 3.10.7.4, first: "an acknowledgment should be sent in reply".
    fn answer_unacceptable(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        segment: &Segment,
        len: u32,
    ) {
        if len == 0 && !segment.flags.has(Flags::FIN) {
            return self.challenge(shared, now);
        }
        // Data that came before: the peer has missed our acknowledgement. RFC 2883 section 4.
        self.pending.acknowledgement = AckState::Now;
        let end = segment.seq + len;
        if len > 0 && !end.is_after(self.receive.next) {
            self.note_duplicate(segment.seq, end);
            shared.counters.bytes_duplicate += u64::from(len);
        }
    }

    /// RFC 7323 section 5.3, R1: PAWS. After 24 days of silence a timestamp may have come round (section 5.5).
    fn is_old_by_timestamp(&self, segment: &Segment, now: Instant) -> bool {
        self.features.timestamps
            && segment.options.timestamps.is_some_and(|timestamps| {
                (timestamps.value.wrapping_sub(self.receive.timestamp) as i32) < 0
                    && now.seconds().wrapping_sub(self.receive.timestamp_at)
                        < TIMESTAMP_LIFE_SECONDS
            })
    }

    /// RFC 7323 section 3.2: once agreed upon, timestamps are in every segment.
    fn lacks_timestamp(&self, segment: &Segment) -> bool {
        self.features.timestamps && segment.options.timestamps.is_none()
    }

    /// RFC 7323 section 4.3: of the segment that the next acknowledgement is for. After 24 days an older one counts, and
    /// what follows is compared with that.
    #[inline]
    pub(super) fn remember_timestamp(&mut self, segment: &Segment, now: Instant) {
        if let Some(timestamps) = segment.options.timestamps
            && self.features.timestamps
            && !segment.seq.is_after(self.receive.acknowledged)
            && !self.is_old_by_timestamp(segment, now)
        {
            (self.receive.timestamp, self.receive.timestamp_at) = (timestamps.value, now.seconds());
        }
    }

    /// RFC 5961 section 3.2: a reset counts at RCV.NXT exactly; elsewhere in the window it is asked about.
    fn take_reset(&mut self, shared: &mut Shared, now: Instant, segment: &Segment) {
        let window = self.receive.advertised.distance_from(self.receive.next);
        if segment.seq == self.receive.next {
            shared.counters.resets_received += 1;
            // RFC 9293 section 3.10.7.4, second: what was all acknowledged is not lost.
            let reason = match self.state {
                State::SynReceived => CloseReason::Refused,
                State::Closing | State::LastAck if self.send_buffer.len() == 0 => {
                    CloseReason::Finished
                }
                _ => CloseReason::Reset,
            };
            self.end(shared, reason);
        } else if segment.seq.is_in(self.receive.next, window) {
            self.challenge(shared, now);
        } else {
            shared.counters.segments_unacceptable += 1;
        }
    }

    /// RFC 9293 section 3.10.7.4, fifth; RFC 5961 section 5.2: neither of octets never sent nor older than the
    /// largest window.
    fn is_acknowledgement_acceptable(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        segment: &Segment,
    ) -> bool {
        let send = &self.send;
        if self.state == State::SynReceived {
            let completes =
                segment.ack.is_after(send.unacknowledged) && !segment.ack.is_after(send.next);
            if !completes {
                self.pending.reset = Some(segment.ack);
            }
            return completes;
        }
        let oldest = send.unacknowledged - send.window_max;
        let is_acceptable = segment.ack.is_at_or_after(oldest) && !segment.ack.is_after(send.next);
        if !is_acceptable {
            shared.counters.segments_unacceptable += 1;
            self.challenge(shared, now);
        }
        is_acceptable
    }

    /// RFC 9293 section 3.10.7.4, fifth, about our FIN.
    pub(super) fn finish_if_acknowledged(&mut self, shared: &mut Shared, now: Instant) {
        let is_acknowledged =
            self.state.is_finishing() && self.send.unacknowledged.is_after(self.send_buffer.end());
        if is_acknowledged {
            self.settle_state(shared, now, self.state.after_fin_acknowledged());
        }
    }

    /// RFC 9293 section 3.10.7.4, seventh and eighth. Urgent data is data (RFC 6093 section 6).
    fn take_text(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        segment: &Segment,
        payload: Payload<'_>,
    ) {
        let len = payload.len() as u32;
        self.take_congestion_mark(segment, len);
        if !self.state.may_receive() {
            return;
        }
        // A SYN with data: the data begins behind it.
        let start = segment.seq + u32::from(segment.flags.has(Flags::SYN));
        let end = start + len;
        if segment.flags.has(Flags::FIN)
            && end.is_at_or_after(self.receive.next)
            && !end.is_after(self.receive.advertised)
        {
            self.receive.fin = Some(end);
            // RFC 5681 section 4.2: what comes ahead of a gap is answered at once.
            self.pending.acknowledgement = AckState::Now;
        }
        if len > 0 {
            if self.features.stopped_reading && end.is_after(self.receive.next) {
                // RFC 9293 section 3.6.1: the user does not want it, and the peer must know.
                return self.abort(shared);
            }
            self.take_data(shared, now, start, payload, segment);
        }
        if self.receive.fin == Some(self.receive.next) {
            self.receive.fin = None;
            self.receive.next = self.receive.next + 1;
            self.receive.advertised = self.receive.advertised.or_later(self.receive.next);
            self.pending.acknowledgement = AckState::Now;
            self.events.add(Events::PEER_FINISHED);
            self.settle_state(shared, now, self.state.after_peer_fin());
        }
    }

    fn take_data(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        start: SeqNumber,
        mut payload: Payload<'_>,
        segment: &Segment,
    ) {
        let (next, edge) = (self.receive.next, self.receive.advertised);
        let end = start + payload.len() as u32;
        if start.is_before(next) {
            // RFC 2883 section 4.2: a part that came before.
            self.note_duplicate(start, end.or_earlier(next));
            shared.counters.bytes_duplicate += u64::from(end.or_earlier(next).distance_from(start));
            self.pending.acknowledgement = AckState::Now;
        }
        let (from, to) = (start.or_later(next), end.or_earlier(edge));
        if !from.is_before(to) {
            // Beyond the window, or all known.
            self.pending.acknowledgement = AckState::Now;
            return;
        }
        let (skip, len) = (from.distance_from(start), to.distance_from(from));
        if (skip, len) != (0, payload.len() as u32) {
            payload.trim(skip as usize, len as usize);
        }
        self.sample_receive_round_trip(now, segment, len);
        if from == next {
            self.take_in_order(shared, now, payload, len);
        } else {
            self.take_out_of_order(shared, from, payload);
        }
    }

    fn take_in_order(&mut self, shared: &mut Shared, now: Instant, payload: Payload<'_>, len: u32) {
        if shared.memory.is_scarce() && !self.receive_buffer.is_in_order() {
            // What can be read is worth more than what is ahead of it.
            self.receive_buffer.drop_out_of_order(&mut shared.memory);
        }
        let taken = self.receive_buffer.append(payload, &mut shared.memory);
        self.receive.next = self.receive.next + taken;
        if taken < len {
            shared.counters.bytes_without_memory += u64::from(len - taken);
            self.pending.acknowledgement = AckState::Now;
        }
        if taken > 0 {
            self.events.add(Events::READABLE);
        }
        if self.receive_buffer.is_in_order() {
            self.schedule_acknowledgement(shared, now, taken);
        } else {
            // RFC 5681 section 4.2: at once when a gap is filled, in whole or in part.
            self.receive.next = self.receive_buffer.join(self.receive.next, &mut shared.memory);
            self.pending.acknowledgement = AckState::Now;
        }
    }

    /// RFC 5681 section 4.2: told at once.
    fn take_out_of_order(&mut self, shared: &mut Shared, from: SeqNumber, payload: Payload<'_>) {
        let ranges_max = (self.receive_window.limit() >> 10).max(RANGES_MIN) as usize;
        let ranges_max = ranges_max.min(shared.config.out_of_order_ranges_max);
        let kept = self.receive_buffer.keep(from, payload, ranges_max, &mut shared.memory);
        shared.counters.bytes_out_of_order += u64::from(kept.new);
        shared.counters.bytes_without_memory += u64::from(kept.dropped);
        if let Some((start, end)) = kept.duplicate {
            shared.counters.bytes_duplicate += u64::from(end.distance_from(start));
            self.note_duplicate(start, end);
        }
        self.pending.acknowledgement = AckState::Now;
        self.pending.quick_acks = super::QUICK_ACKS;
    }

    /// RFC 9293 section 3.8.6.3: every second full segment at least, or after a while.
    #[inline]
    pub(super) fn schedule_acknowledgement(&mut self, shared: &Shared, now: Instant, len: u32) {
        let segment = len.min(self.receive.mss.into()) as u16;
        self.receive.segment = self.receive.segment.max(segment);
        let full = u32::from(self.receive.segment);
        let waiting = self.receive.next.distance_from(self.receive.acknowledged);
        let is_quick = self.pending.quick_acks > 0 && len >= full;
        if is_quick {
            self.pending.quick_acks -= 1;
        }
        if waiting >= 2 * full || is_quick {
            self.pending.acknowledgement = AckState::Now;
        } else if self.pending.acknowledgement == AckState::None {
            self.pending.acknowledgement = AckState::Delayed;
            self.timers.acknowledge_at = now + shared.config.delayed_ack;
        }
    }

    /// RFC 2883 section 4: the next acknowledgement says what came twice.
    fn note_duplicate(&mut self, start: SeqNumber, end: SeqNumber) {
        if self.features.sack {
            self.pending.duplicate = Some((start, end));
        }
    }

    /// RFC 3168 section 6.1.3.
    fn take_congestion_mark(&mut self, segment: &Segment, len: u32) {
        if !self.features.ecn {
            return;
        }
        if segment.flags.has(Flags::CWR) {
            self.pending.echo_congestion = false;
        }
        if segment.ecn == Ecn::Congestion && len > 0 {
            self.pending.echo_congestion = true;
            self.pending.acknowledgement = AckState::Now;
        }
    }

    fn in_time_wait(&mut self, shared: &mut Shared, now: Instant, segment: &Segment, len: u32) {
        let Some(mut time_wait) = self.time_wait() else { return };
        match time_wait.handle_segment(now, segment, len, shared.config.time_wait) {
            Verdict::Answer(_) => self.challenge(shared, now),
            Verdict::Reset => self.end(shared, CloseReason::Finished),
            Verdict::Drop | Verdict::Reopen => {}
        }
        if self.state == State::TimeWait {
            self.timers.idle_at = time_wait.until;
        }
    }
}

/// A gap in each of so many segments is no reason to drop what follows, however small the window.
const RANGES_MIN: u32 = 16;
/// RFC 7323 section 5.5.
const TIMESTAMP_LIFE_SECONDS: u32 = 24 * 24 * 3_600;
