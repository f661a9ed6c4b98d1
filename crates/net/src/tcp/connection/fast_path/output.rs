//! Fast path, segments out.

use crate::device::Transmit;
use crate::device::smoltcp::Sent;
use crate::tcp::connection::engine::Engine;
use crate::tcp::connection::lower_layer::LowerLayer;
use crate::tcp::connection::outcome::EgressOutcome;
use crate::tcp::connection::{Connection, Tcb};
use crate::time::Instant;
use crate::wire::header::TcpHeader;

impl Tcb {
    /// Sends on the fast path; `None` when that needs a socket.
    pub(crate) fn transmit_fast(
        &mut self,
        connection: &Connection,
        lower: &LowerLayer,
        output: &mut dyn Transmit,
    ) -> Option<EgressOutcome> {
        let next = self.rcv_nxt();
        let Engine::FastPath(fast) = &mut self.engine else { return None };
        if fast.aborted {
            let reset = TcpHeader::reset(self.snd_nxt, Some(next));
            let sent = self.send_header(reset, connection, lower, output);
            return Some(if sent { EgressOutcome::Closed } else { EgressOutcome::Blocked });
        }
        let ends = self.finished && !fast.fin_sent;
        let has_left = if fast.zero_copy.is_some() {
            self.send_zero_copy(connection, lower, output)?
                && self.send_owed(next, connection, lower, output)
        } else if fast.sent < fast.queued || ends {
            let flight = fast.queued;
            if flight > self.snd_wnd as usize || flight > FLIGHT_SEGMENTS * self.segment_max() {
                return None;
            }
            self.send_flight(connection, lower, output)
        } else {
            self.send_owed(next, connection, lower, output)
        };
        if !has_left {
            return Some(EgressOutcome::Blocked);
        }
        let deadline = match &self.engine {
            Engine::FastPath(fast) => fast.delayed_ack_at,
            Engine::Socket(_) => Instant::NEVER,
        };
        Some(self.finish_round(connection, lower.now, deadline))
    }

    /// Sends the acknowledgement or window update that is due; false when the device was full.
    pub(crate) fn send_owed(
        &mut self,
        next: u32,
        connection: &Connection,
        lower: &LowerLayer,
        output: &mut dyn Transmit,
    ) -> bool {
        let Engine::FastPath(fast) = &self.engine else { return true };
        let is_due = fast.delayed_ack_at <= lower.now || fast.owes_update(next);
        !is_due || self.send_part(0, connection, lower, output)
    }

    /// Our FIN is still to be sent, with or after the last byte.
    pub(crate) fn owes_end(&self) -> bool {
        let Engine::FastPath(fast) = &self.engine else { return false };
        self.finished && !fast.fin_sent && fast.sent == fast.queued
    }

    /// Sends all that has not left yet; false when the device was full.
    pub(crate) fn send_flight(
        &mut self,
        connection: &Connection,
        lower: &LowerLayer,
        output: &mut dyn Transmit,
    ) -> bool {
        let header_len = self.template.tuple.ip_header_len() + 20;
        let offload = lower.segment_bytes(&self.template.tuple).saturating_sub(header_len);
        let part_max = offload.max(self.segment_max());
        loop {
            let Engine::FastPath(fast) = &self.engine else { return true };
            let part = (fast.queued - fast.sent).min(part_max);
            if !self.send_part(part, connection, lower, output) {
                return false;
            }
            let Engine::FastPath(fast) = &self.engine else { return true };
            if fast.sent == fast.queued {
                return true;
            }
        }
    }

    /// Sends the next `part` bytes, or none, with an acknowledgement, and our end behind the last
    /// byte.
    pub(crate) fn send_part(
        &mut self,
        part: usize,
        connection: &Connection,
        lower: &LowerLayer,
        output: &mut dyn Transmit,
    ) -> bool {
        let next = self.rcv_nxt();
        let seq_start = self.snd_una();
        let Engine::FastPath(fast) = &mut self.engine else { return true };
        let end = fast.sent + part;
        let is_last = end == fast.queued;
        let fin = self.finished && is_last && !fast.fin_sent;
        let passed = fast.sent as u32 + u32::from(fast.fin_sent);
        let seq = seq_start.wrapping_add(passed);
        let shift = self.template.window_shift_out;
        let room = fast.receive_capacity - fast.receive.len();
        let window = (room >> shift).min(0xffff);
        let packet = TcpHeader::part(seq, next, window as u16, (part > 0 && is_last, fin));
        let copied = fast.transmit.bytes();
        let has_room = match &fast.zero_copy {
            Some(zero_copy) if end > copied.len() => {
                let start = copied.get(fast.sent..).unwrap_or_default();
                let from = fast.sent.saturating_sub(copied.len());
                let tail = zero_copy.part(from, part - start.len());
                self.template.transmit_shared(&packet, start, tail, output)
            }
            _ => {
                let payload = copied.get(fast.sent..end).unwrap_or_default();
                self.template.transmit(&packet, payload, output)
            }
        };
        if !has_room {
            return false;
        }
        fast.sent = end;
        fast.fin_sent |= fin;
        fast.rcv_adv = next.wrapping_add((window << shift) as u32);
        fast.delayed_ack_at = Instant::NEVER;
        let seq_end = seq.wrapping_add(part as u32 + u32::from(fin));
        self.note_sent(connection, &Sent { packets: 1, seq, seq_end }, lower.now);
        true
    }

    /// The largest segment that the peer takes, in bytes of payload.
    pub(crate) fn segment_max(&self) -> usize {
        usize::from(self.offer.mss)
    }
}

/// RFC 6928 section 2: a first flight is ten segments.
const FLIGHT_SEGMENTS: usize = 10;
