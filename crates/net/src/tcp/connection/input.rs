//! Segments in: SEGMENT ARRIVES (RFC 9293 section 3.10.7), by fast path or socket.

use crate::counters::Counter;
use crate::device::Transmit;
use crate::device::smoltcp::{Sent, SmoltcpDevice};
use crate::tcp::connection::engine::Engine;
use crate::tcp::connection::lower_layer::LowerLayer;
use crate::tcp::connection::outcome::IngressWakeups;
use crate::tcp::connection::socket::InFlight;
use crate::tcp::connection::{Connection, Tcb};
use crate::time::Instant;
use crate::wire::segment::{Flags, Segment};
use crate::wire::sequence::before;
use flow::FlowError;
use smoltcp::socket::tcp::State;

impl Tcb {
    pub(crate) fn receive(
        &mut self,
        connection: &Connection,
        lower: &mut LowerLayer,
        segment: &Segment,
        output: &mut dyn Transmit,
    ) -> IngressWakeups {
        if self.engine.is_fast() {
            if let Some(wakeups) = self.receive_fast(connection, lower, segment) {
                return wakeups;
            }
            self.leave_fast_path(InFlight::Kept, connection);
        }
        self.receive_by_socket(connection, lower, segment, output)
    }

    pub(crate) fn receive_by_socket(
        &mut self,
        connection: &Connection,
        lower: &mut LowerLayer,
        segment: &Segment,
        output: &mut dyn Transmit,
    ) -> IngressWakeups {
        let context = &*connection.context;
        let (old_state, old_received) = (self.state(), self.engine.unread());
        let old_queued = self.engine.queued();
        // RFC 9293 section 3.8.6.3: every second full segment is acknowledged at once. smoltcp does
        // so when a delay has begun, but begins one even for a coalesced frame of many segments.
        let (received_unacked, full) = (self.received_unacked, u32::from(self.offer.mss));
        self.received_unacked = received_unacked.saturating_add(segment.data_len as u32);
        let is_many =
            self.received_unacked > full && (received_unacked == 0 || received_unacked > full);
        if is_many {
            self.engine.set_acknowledgement_delay(None);
        }
        let sent = self.poll_ingress(segment.packet, lower, output);
        if is_many {
            self.engine.set_acknowledgement_delay(Some(context.limits.acknowledge));
        }
        self.note_sent(connection, &sent, lower.now);
        let (state, received, queued) = (self.state(), self.engine.unread(), self.engine.queued());
        let capacity = self.engine.transmit_capacity();
        let snd_una = self.write_seq().wrapping_sub(queued as u32);
        self.heard(lower.now, segment, snd_una);
        if queued < old_queued {
            self.progress(connection, lower, segment, snd_una);
        } else if segment.has_options {
            self.no_progress(connection, lower, segment, snd_una);
        }
        let changed = state != old_state;
        if changed && state == State::Closed && segment.flags.has(Flags::RST) {
            self.end.get_or_insert(FlowError::Reset);
            context.counters.add(Counter::ResetsIn);
        }
        self.receive_peak = self.receive_peak.max(received);
        if !self.held {
            self.discard_received(context);
        }
        let gone = state == State::Closed && self.engine.has_no_peer();
        let idle = segment.data_len == 0 && queued == 0 && state == State::Established;
        IngressWakeups {
            reader: changed || received != old_received,
            // A third of the ring is worth a writer's turn, one acknowledgement is not.
            writer: changed || (queued < old_queued && queued <= capacity - capacity / 3),
            egress: !gone && (changed || !idle),
            gone,
        }
    }

    /// Shows a packet to the socket; what it answered on the spot.
    pub(crate) fn poll_ingress(
        &mut self,
        packet: &[u8],
        lower: &mut LowerLayer,
        output: &mut dyn Transmit,
    ) -> Sent {
        let Engine::Socket(sockets) = &mut self.engine else { return Sent::default() };
        let mut device = SmoltcpDevice::new(lower.caps, output);
        device.received = Some(packet);
        device.template = Some(&self.template);
        lower.interface.poll_ingress_single(lower.now.to_smoltcp(), &mut device, sockets);
        device.sent
    }

    /// What a segment says about the path and the peer, beyond what smoltcp takes from it.
    pub(crate) fn heard(&mut self, now: Instant, segment: &Segment, snd_una: u32) {
        self.last_heard_at = now;
        if self.template.ethernet[..6] != segment.source {
            let next = self.rcv_nxt();
            let near = segment.seq.wrapping_sub(next).wrapping_add(WINDOW_REACH) < 2 * WINDOW_REACH;
            // Only a segment that fits the stream may move the next hop: a blind forger's must not.
            if near {
                self.template.ethernet[..6].copy_from_slice(&segment.source);
            }
        }
        if let Some((seq, at)) = self.probe
            && !before(segment.ack, seq)
        {
            self.measure(now.since(at));
        }
        // One more when it acknowledges our FIN.
        if segment.ack.wrapping_sub(snd_una) <= 1 {
            let window = u32::from(segment.window) << self.offer.window_scale.unwrap_or(0);
            if self.snd_wnd == 0 && window > 0 {
                self.window_opened(now);
            }
            self.snd_wnd = window;
        }
    }
}

/// How far from the expected number a segment may be and still belong to the stream.
const WINDOW_REACH: u32 = 1 << 20;
