//! Fast path, segments in: header prediction, and RFC 9293 section 3.10.7.4 for the expected segment.

use super::Kind;
use crate::tcp::connection::engine::Engine;
use crate::tcp::connection::lower_layer::LowerLayer;
use crate::tcp::connection::outcome::IngressWakeups;
use crate::tcp::connection::{Connection, Tcb};
use crate::wire::segment::{Flags, Segment};
use smoltcp::socket::tcp::State;

impl Tcb {
    /// Takes a segment on the fast path; `None` when that needs a socket.
    pub(crate) fn receive_fast(
        &mut self,
        connection: &Connection,
        lower: &LowerLayer,
        segment: &Segment,
    ) -> Option<IngressWakeups> {
        let context = &*connection.context;
        let (next, snd_una) = (self.rcv_nxt(), self.snd_una());
        let Engine::FastPath(fast) = &mut self.engine else { return None };
        let kind = fast.kind_of(segment, next, snd_una);
        if !segment.is_intact(&lower.caps.checksum) {
            return Some(IngressWakeups::default());
        }
        match kind {
            Kind::Expected => (),
            Kind::Unacceptable => {
                let egress = fast.challenge(segment, lower.now);
                return Some(IngressWakeups { egress, ..IngressWakeups::default() });
            }
            Kind::Other => return None,
        }
        if fast.zero_copy.is_some() {
            let window = u32::from(segment.window) << self.offer.window_scale.unwrap_or(0);
            if fast.is_duplicate(segment, snd_una, window == self.snd_wnd) {
                return None;
            }
        }
        // RFC 9293 section 3.8.6.3: every second full segment is acknowledged at once.
        self.received_unacked = self.received_unacked.saturating_add(segment.data_len as u32);
        let is_many = self.received_unacked > u32::from(self.offer.mss);
        let acknowledged = segment.ack.wrapping_sub(snd_una) as usize;
        if acknowledged > 0 {
            fast.acknowledged(acknowledged, lower.now, context);
        }
        let brings = segment.sequence_len() > 0;
        if brings {
            fast.take(segment, is_many, lower.now, context);
        }
        let (in_flight, queued) = (fast.in_flight(), fast.queued);
        let is_writable = acknowledged > 0 && queued <= fast.low_water();
        self.receive_peak = self.receive_peak.max(fast.receive.len());
        self.heard(lower.now, segment, segment.ack);
        if acknowledged > 0 {
            self.advanced(in_flight == 0, lower.now);
        }
        if !self.held {
            self.discard_received(context);
        }
        let gone = self.state() == State::Closed;
        Some(IngressWakeups {
            reader: brings,
            writer: is_writable || segment.flags.has(Flags::FIN),
            egress: !gone && (brings || queued > 0 || self.finished),
            gone,
        })
    }
}
