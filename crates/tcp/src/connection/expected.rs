//! Header prediction: the segment that is expected, with few questions asked.
//!
//! It is the next in sequence, or acknowledges what was sent, while nothing is amiss in either direction. All
//! others go the long way (`input`), which would come to the same.

use super::{Connection, Events, State};
use crate::config::Shared;
use crate::congestion::Acknowledgement;
use crate::receive_buffer::Payload;
use crate::scoreboard::Delivery;
use crate::segment::{Ecn, Flags, Segment};
use crate::sequence::SeqNumber;
use crate::time::Instant;

impl Connection {
    /// What the segment is expected to be.
    #[inline]
    pub(super) fn is_expected(&self, segment: &Segment, len: usize) -> bool {
        let advance = segment.ack.distance_from(self.send.unacknowledged);
        self.state == State::Established
            && segment.flags.without(Flags::PSH) == Flags::ACK
            && segment.seq == self.receive.next
            && advance <= self.send.next.distance_from(self.send.unacknowledged)
            // An empty one that acknowledges nothing may be a duplicate, or change the window.
            && (len > 0 || advance > 0)
            && len as u32 <= self.receive.advertised.distance_from(self.receive.next)
            && self.has_expected_options(segment)
            && segment.window > 0
            && self.is_calm()
            && segment.ecn != Ecn::Congestion
    }

    #[inline]
    fn has_expected_options(&self, segment: &Segment) -> bool {
        let is_timely = match segment.options.timestamps {
            None => !self.features.timestamps,
            Some(timestamps) => {
                self.features.timestamps
                    && (timestamps.value.wrapping_sub(self.receive.timestamp) as i32) >= 0
            }
        };
        is_timely && segment.options.sack.is_empty()
    }

    /// Nothing is lost, out of order, or held back by a window.
    #[inline]
    fn is_calm(&self) -> bool {
        self.recovery.is_calm()
            && self.recovery.duplicates == 0
            && self.scoreboard.is_plain()
            && self.receive_buffer.is_in_order()
            && !self.is_probing_path()
            && self.receive.fin.is_none()
            && !self.features.stopped_reading
            && !self.timers.is_probing_window()
    }

    #[inline]
    pub(super) fn take_expected(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        segment: &Segment,
        payload: Payload<'_>,
    ) {
        shared.counters.segments_predicted += 1;
        self.heard_at = now;
        self.timers.heard();
        self.remember_timestamp(segment, now);
        self.set_window(segment, u32::from(segment.window) << self.send.scale);
        if segment.ack != self.send.unacknowledged {
            self.take_expected_acknowledgement(shared, now, segment);
        }
        let len = payload.len() as u32;
        if len == 0 {
            return;
        }
        self.sample_receive_round_trip(now, segment, len);
        let taken = self.receive_buffer.append(payload, &mut shared.memory);
        if taken == len {
            self.receive.next = self.receive.next + taken;
            self.events.add(Events::READABLE);
            self.schedule_acknowledgement(shared, now, taken);
        } else {
            self.take_part(shared, taken, len);
        }
    }

    #[inline]
    fn take_expected_acknowledgement(
        &mut self,
        shared: &mut Shared,
        now: Instant,
        segment: &Segment,
    ) {
        let (unacknowledged, flight) = (self.send.unacknowledged, self.scoreboard.in_flight());
        let is_told =
            self.congestion.measures_deliveries() || self.is_window_limited(unacknowledged, flight);
        let first = self.scoreboard.acknowledge_first(segment.ack);
        self.send.unacknowledged = segment.ack;
        self.send_buffer.acknowledge(segment.ack, &mut shared.memory);
        self.progress_at = now;
        self.rtt.end_backoff();
        if let Some(record) = first {
            let round_trip = now.since(record.sent_at);
            self.rtt.sample(now, round_trip, round_trip);
            self.recovery.rack.arrived(record.sent_at, segment.ack, round_trip);
            if is_told {
                self.tell_delivery(now, unacknowledged, flight, &record.arrived(round_trip));
            }
        } else {
            let delivery = self.take_several(now, segment);
            if is_told {
                self.tell_delivery(now, unacknowledged, flight, &delivery);
            }
        }
        self.arm_retransmission(shared, now);
        self.after_acknowledged(shared);
    }

    fn tell_delivery(
        &mut self,
        now: Instant,
        unacknowledged: SeqNumber,
        flight: u32,
        delivery: &Delivery,
    ) {
        self.congestion.on_acknowledgement(&Acknowledgement {
            now,
            delivery,
            rtt: &self.rtt,
            unacknowledged: self.send.unacknowledged,
            next: self.send.next,
            flight_before: flight,
            in_flight: self.scoreboard.in_flight(),
            is_limited: self.is_window_limited(unacknowledged, flight),
            is_recovering: false,
        });
    }

    /// Of what was sent, not just the first.
    #[inline(never)]
    fn take_several(&mut self, now: Instant, segment: &Segment) -> Delivery {
        let mut delivery = Delivery::NONE;
        self.scoreboard.acknowledge(segment.ack, now, &mut delivery);
        if let Some((longest, shortest)) = delivery.rtt {
            self.rtt.sample(now, longest, shortest);
        }
        if let Some(latest) = &delivery.latest {
            self.recovery.rack.update(latest, &self.rtt, false, now);
        }
        delivery
    }

    /// Memory was short.
    #[cold]
    fn take_part(&mut self, shared: &mut Shared, taken: u32, len: u32) {
        self.receive.next = self.receive.next + taken;
        shared.counters.bytes_without_memory += u64::from(len - taken);
        self.pending.acknowledgement = super::AckState::Now;
        if taken > 0 {
            self.events.add(Events::READABLE);
        }
    }
}
