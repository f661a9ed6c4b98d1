//! Segments out: what a connection sends when it has its turn.

use crate::counters::Counter;
use crate::device::Transmit;
use crate::device::smoltcp::{Sent, SmoltcpDevice};
use crate::tcp::connection::engine::Engine;
use crate::tcp::connection::lower_layer::LowerLayer;
use crate::tcp::connection::outcome::EgressOutcome;
use crate::tcp::connection::socket::InFlight;
use crate::tcp::connection::{Connection, Tcb};
use crate::time::{Duration, Instant};
use crate::wire::header::TcpHeader;
use crate::wire::sequence::before;
use smoltcp::socket::tcp::State;

impl Tcb {
    pub(crate) fn transmit(
        &mut self,
        connection: &Connection,
        lower: &mut LowerLayer,
        output: &mut dyn Transmit,
    ) -> EgressOutcome {
        if lower.now >= self.deadline {
            self.expire(connection, lower.now);
            if lower.now >= self.rto.at && !self.send_again(connection, lower, output) {
                return EgressOutcome::Blocked;
            }
        }
        if self.owes_window_update && !self.send_window_update(connection, lower, output) {
            return EgressOutcome::Blocked;
        }
        let asks = self.must_probe(connection, lower.now);
        if asks && !self.send_keep_alive(connection, lower, output) {
            return EgressOutcome::Blocked;
        }
        if self.engine.is_fast() {
            if let Some(outcome) = self.transmit_fast(connection, lower, output) {
                return outcome;
            }
            self.leave_fast_path(InFlight::Kept, connection);
        }
        self.transmit_by_socket(connection, lower, output)
    }

    fn transmit_by_socket(
        &mut self,
        connection: &Connection,
        lower: &mut LowerLayer,
        output: &mut dyn Transmit,
    ) -> EgressOutcome {
        let deadline = loop {
            let (sent, blocked) = self.poll_egress(lower.now, lower, output);
            self.note_sent(connection, &sent, lower.now);
            if blocked {
                return EgressOutcome::Blocked;
            }
            if sent.packets > 0 && self.is_last(sent.seq_end) {
                // Whatever left took the acknowledgement with it, so only our own timer is left.
                break Instant::NEVER;
            }
            let mut next = self.poll_at(lower);
            if next.is_none() && self.snd_wnd == 0 && self.engine.queued() > 0 {
                self.revive(connection, lower);
                next = self.poll_at(lower);
            }
            if sent.packets == 0 || next.is_none_or(|next| next > lower.now) {
                break next.unwrap_or(Instant::NEVER);
            }
        };
        self.finish_round(connection, lower.now, deadline)
    }

    /// Lets the socket send once as if it were `at`; what left, and whether the device was full.
    pub(crate) fn poll_egress(
        &mut self,
        at: Instant,
        lower: &mut LowerLayer,
        output: &mut dyn Transmit,
    ) -> (Sent, bool) {
        let Engine::Socket(sockets) = &mut self.engine else { return Default::default() };
        let mut device = SmoltcpDevice::new(lower.caps, output);
        device.template = Some(&self.template);
        lower.interface.poll_egress(at.to_smoltcp(), &mut device, sockets);
        (device.sent, device.blocked)
    }

    /// When the socket wants to send.
    pub(crate) fn poll_at(&self, lower: &mut LowerLayer) -> Option<Instant> {
        let Engine::Socket(sockets) = &self.engine else { return None };
        lower.interface.poll_at(lower.now.to_smoltcp(), sockets).map(Instant::from_smoltcp)
    }

    /// Decides what comes after a round of sending: the state's end, or the next deadline.
    pub(crate) fn finish_round(
        &mut self,
        connection: &Connection,
        now: Instant,
        deadline: Instant,
    ) -> EgressOutcome {
        match self.state() {
            State::Closed if self.engine.has_no_peer() => return EgressOutcome::Closed,
            State::TimeWait => {
                // Our FIN took one number after the last byte.
                let snd_nxt = self.snd_una().wrapping_add(1);
                let rcv_nxt = self.rcv_nxt();
                return EgressOutcome::TimeWait { snd_nxt, rcv_nxt };
            }
            State::FinWait1 | State::Closing | State::LastAck => (),
            State::FinWait2 => self.rest(),
            _ if self.snd_nxt == self.snd_una() => self.rest(),
            _ => (),
        }
        let timeouts = &connection.context.timeouts;
        let mut next = deadline.min(self.orphan_until).min(self.rto.at);
        if let Some(since) = self.waiting_since {
            next = next.min(since.max(self.last_heard_at) + timeouts.user_timeout);
        }
        let idle_at = self.last_heard_at + timeouts.ring_idle;
        if !self.engine.is_fast() && idle_at > now {
            next = next.min(idle_at);
        }
        let ask = self.last_heard_at + timeouts.keep_alive;
        let ask_again = now + timeouts.user_timeout.divided(KEEP_ALIVE_PROBES);
        next = next.min(if ask > now { ask } else { ask_again });
        // What was due now and could not be sent waits for an event, or a tick.
        self.deadline = next.max(now + Duration::TICK);
        EgressOutcome::Open
    }

    /// What ended at `seq_end` was the last that the application wrote, or our FIN if there is one.
    fn is_last(&mut self, seq_end: u32) -> bool {
        let ahead = seq_end.wrapping_sub(self.write_seq());
        match self.state() {
            State::Established => ahead == 0,
            State::FinWait1 | State::LastAck => ahead == 1,
            _ => false,
        }
    }

    /// Notes what left.
    pub(crate) fn note_sent(&mut self, connection: &Connection, sent: &Sent, now: Instant) {
        if sent.packets == 0 {
            return;
        }
        let counters = &connection.context.counters;
        counters.add_many(Counter::PacketsOut, u64::from(sent.packets));
        self.received_unacked = 0;
        if before(self.snd_nxt, sent.seq_end) {
            self.snd_nxt = sent.seq_end;
            self.waiting_since.get_or_insert(now);
            self.start_timer(now);
            self.probe.get_or_insert((sent.seq_end, now));
        } else if before(sent.seq, sent.seq_end) && self.waiting_since.is_some() {
            self.retransmits += 1;
            self.note_repetition(now);
            counters.add(Counter::Retransmits);
            // Karn's rule: an answer to one of two copies measures nothing.
            self.probe = None;
        }
    }

    /// Tells the window of a socket that was made; false when the device was full.
    fn send_window_update(
        &mut self,
        connection: &Connection,
        lower: &LowerLayer,
        output: &mut dyn Transmit,
    ) -> bool {
        let ack = TcpHeader::ack(self.snd_nxt, self.rcv_nxt());
        self.owes_window_update = !self.send_header(ack, connection, lower, output);
        !self.owes_window_update
    }

    /// A router says that packets longer than `mtu` bytes do not pass, about the segment at `seq`. It is
    /// believed when that segment is in flight (RFC 5927 section 4). A smoltcp socket keeps its segment
    /// size for life; what it builds is cut by the device where that does segmentation, and else, for
    /// IPv4, sent with leave to fragment. A connection over IPv6 with a device that does not cut has to
    /// wait until it gets another socket.
    pub(crate) fn limit_packets(&mut self, seq: u32, mtu: usize) {
        let tuple = self.template.tuple;
        let in_flight = !before(seq, self.snd_una()) && before(seq, self.snd_nxt);
        let mss = mtu.saturating_sub(tuple.ip_header_len() + 20).min(0xffff) as u16;
        if in_flight && mss < self.offer.mss {
            log::debug!("net: packets to {} are at most {mtu} bytes", tuple.remote());
            (self.offer.mss, self.template.mss) = (mss, mss);
            self.template.may_fragment = tuple.is_v4();
        }
    }

    /// Sends a segment that smoltcp knows nothing of; false when the device was full.
    pub(crate) fn send_header(
        &mut self,
        mut header: TcpHeader,
        connection: &Connection,
        lower: &LowerLayer,
        output: &mut dyn Transmit,
    ) -> bool {
        let tuple = &connection.tuple;
        let free = self.engine.receive_capacity() - self.engine.unread();
        header.window = (free >> self.template.window_shift_in).min(0xffff) as u16;
        let mut device = SmoltcpDevice::new(lower.caps, output);
        device.template = Some(&self.template);
        device.send(header.packet_len(tuple), None, &mut |packet| {
            header.emit(tuple, &[], false, packet);
        });
        let sent = device.sent;
        self.note_sent(connection, &sent, lower.now);
        sent.packets > 0
    }
}

/// Questions to a silent peer before it is given up.
const KEEP_ALIVE_PROBES: u64 = 4;
