//! A connection's segments, in and out.

use crate::counters::Counter;
use crate::device::Transmit;
use crate::device::smoltcp::{Sent, SmoltcpDevice};
use crate::tcp::connection::buffers;
use crate::tcp::connection::engine::Engine;
use crate::tcp::connection::fast_path::InFlight;
use crate::tcp::connection::{Connection, Tcb};
use crate::time::{Duration, Instant};
use crate::wire::header::TcpHeader;
use crate::wire::segment::{Flags, Segment, before};
use crate::wire::tuple::Tuple;
use flow::FlowError;
use smoltcp::iface::Interface;
use smoltcp::phy::DeviceCapabilities;
use smoltcp::socket::tcp::State;

/// What a connection's packets pass through.
pub(crate) struct Path<'a> {
    pub(crate) interface: &'a mut Interface,
    pub(crate) caps: &'a DeviceCapabilities,
    pub(crate) now: Instant,
}

impl Path<'_> {
    /// The longest packet of this connection that the device would cut into segments; 0 when it
    /// does not.
    pub(crate) fn segment_bytes(&self, tuple: &Tuple) -> usize {
        let segmentation = &self.caps.segmentation;
        let longest = if tuple.is_v4() { segmentation.tcpv4 } else { segmentation.tcpv6 };
        longest.map_or(0, |bytes| bytes.get())
    }
}

/// What became of a connection in a round of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open,
    /// The device is full; the connection must be asked again.
    Blocked,
    /// Both ends are done, and ours ended first.
    TimeWait {
        snd_nxt: u32,
        rcv_nxt: u32,
    },
    Closed,
}

/// Whom a segment concerns.
#[derive(Default)]
pub(crate) struct Wakeups {
    pub(crate) reader: bool,
    pub(crate) writer: bool,
    /// There may be something to send.
    pub(crate) egress: bool,
    /// Both ends are done, and there is nothing to remember.
    pub(crate) gone: bool,
}

impl Tcb {
    pub(crate) fn receive(
        &mut self,
        connection: &Connection,
        path: &mut Path,
        segment: &Segment,
        output: &mut dyn Transmit,
    ) -> Wakeups {
        if self.engine.is_fast() {
            if let Some(wakeups) = self.receive_fast(connection, path, segment) {
                return wakeups;
            }
            self.leave_fast_path(InFlight::Kept, connection);
        }
        self.receive_by_socket(connection, path, segment, output)
    }

    fn receive_by_socket(
        &mut self,
        connection: &Connection,
        path: &mut Path,
        segment: &Segment,
        output: &mut dyn Transmit,
    ) -> Wakeups {
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
        let sent = self.poll_ingress(segment.packet, path, output);
        if is_many {
            self.engine.set_acknowledgement_delay(Some(context.limits.acknowledge));
        }
        self.note_sent(connection, &sent, path.now);
        let (state, received, queued) = (self.state(), self.engine.unread(), self.engine.queued());
        let capacity = self.engine.transmit_capacity();
        let snd_una = self.write_seq().wrapping_sub(queued as u32);
        self.heard(path.now, segment, snd_una);
        if queued < old_queued {
            self.progress(connection, path, segment, snd_una);
        } else if segment.has_options {
            self.no_progress(connection, path, segment, snd_una);
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
        Wakeups {
            reader: changed || received != old_received,
            // A third of the ring is worth a writer's turn, one acknowledgement is not.
            writer: changed || (queued < old_queued && queued <= capacity - capacity / 3),
            egress: !gone && (changed || !idle),
            gone,
        }
    }

    pub(crate) fn transmit(
        &mut self,
        connection: &Connection,
        path: &mut Path,
        output: &mut dyn Transmit,
    ) -> Outcome {
        if path.now >= self.deadline {
            self.expire(connection, path.now);
            if path.now >= self.rto.at && !self.send_again(connection, path, output) {
                return Outcome::Blocked;
            }
        }
        if self.owes_window_update && !self.send_window_update(connection, path, output) {
            return Outcome::Blocked;
        }
        let asks = self.must_probe(connection, path.now);
        if asks && !self.send_keep_alive(connection, path, output) {
            return Outcome::Blocked;
        }
        if self.engine.is_fast() {
            if let Some(outcome) = self.transmit_fast(connection, path, output) {
                return outcome;
            }
            self.leave_fast_path(InFlight::Kept, connection);
        }
        self.transmit_by_socket(connection, path, output)
    }

    fn transmit_by_socket(
        &mut self,
        connection: &Connection,
        path: &mut Path,
        output: &mut dyn Transmit,
    ) -> Outcome {
        let deadline = loop {
            let (sent, blocked) = self.poll_egress(path.now, path, output);
            self.note_sent(connection, &sent, path.now);
            if blocked {
                return Outcome::Blocked;
            }
            if sent.packets > 0 && self.is_last(sent.seq_end) {
                // Whatever left took the acknowledgement with it, so only our own clock is left.
                break Instant::NEVER;
            }
            let mut next = self.poll_at(path);
            if next.is_none() && self.snd_wnd == 0 && self.engine.queued() > 0 {
                self.revive(connection, path);
                next = self.poll_at(path);
            }
            if sent.packets == 0 || next.is_none_or(|next| next > path.now) {
                break next.unwrap_or(Instant::NEVER);
            }
        };
        self.settle(connection, path.now, deadline)
    }

    /// Shows a packet to the socket; what it answered on the spot.
    pub(crate) fn poll_ingress(
        &mut self,
        packet: &[u8],
        path: &mut Path,
        output: &mut dyn Transmit,
    ) -> Sent {
        let Engine::Socket(sockets) = &mut self.engine else { return Sent::default() };
        let mut device = SmoltcpDevice::new(path.caps, output);
        device.received = Some(packet);
        device.template = Some(&self.template);
        path.interface.poll_ingress_single(path.now.to_smoltcp(), &mut device, sockets);
        device.sent
    }

    /// Lets the socket send once as if it were `at`; what left, and whether the device was full.
    pub(crate) fn poll_egress(
        &mut self,
        at: Instant,
        path: &mut Path,
        output: &mut dyn Transmit,
    ) -> (Sent, bool) {
        let Engine::Socket(sockets) = &mut self.engine else { return Default::default() };
        let mut device = SmoltcpDevice::new(path.caps, output);
        device.template = Some(&self.template);
        path.interface.poll_egress(at.to_smoltcp(), &mut device, sockets);
        (device.sent, device.blocked)
    }

    /// When the socket wants to send.
    pub(crate) fn poll_at(&self, path: &mut Path) -> Option<Instant> {
        let Engine::Socket(sockets) = &self.engine else { return None };
        path.interface.poll_at(path.now.to_smoltcp(), sockets).map(Instant::from_smoltcp)
    }

    /// Decides what comes after a round of sending.
    pub(crate) fn settle(
        &mut self,
        connection: &Connection,
        now: Instant,
        deadline: Instant,
    ) -> Outcome {
        match self.state() {
            State::Closed if self.engine.has_no_peer() => return Outcome::Closed,
            State::TimeWait => {
                // Our FIN took one number after the last byte.
                let snd_nxt = self.snd_una().wrapping_add(1);
                let rcv_nxt = self.rcv_nxt();
                return Outcome::TimeWait { snd_nxt, rcv_nxt };
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
        // What was due now and could not be sent waits for an event, or a instant.
        self.deadline = next.max(now + Duration::TICK);
        Outcome::Open
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

    /// Nothing is unacknowledged.
    pub(crate) fn rest(&mut self) {
        self.waiting_since = None;
        self.rto.at = Instant::NEVER;
    }

    /// What was sent has had no answer through two retransmissions.
    pub(crate) fn is_unheard(&self, now: Instant) -> bool {
        self.waiting_since.is_some_and(|since| now >= since.max(self.last_heard_at) + UNHEARD)
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

    /// A time has come: gives up a peer that stays silent, and an orphan; returns idle rings.
    fn expire(&mut self, connection: &Connection, now: Instant) {
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
            self.start_clock(now);
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
        path: &Path,
        output: &mut dyn Transmit,
    ) -> bool {
        let ack = TcpHeader::ack(self.snd_nxt, self.rcv_nxt());
        self.owes_window_update = !self.send_bare(ack, connection, path, output);
        !self.owes_window_update
    }

    /// The peer has been silent for so long that it is asked whether it lives.
    fn must_probe(&mut self, connection: &Connection, now: Instant) -> bool {
        now >= self.last_heard_at + connection.context.timeouts.keep_alive
            && matches!(self.state(), State::Established | State::CloseWait)
    }

    /// Sends an acknowledgement whose number is one too low, which the peer corrects (RFC 9293
    /// section 3.8.4).
    fn send_keep_alive(
        &mut self,
        connection: &Connection,
        path: &Path,
        output: &mut dyn Transmit,
    ) -> bool {
        let ack = TcpHeader::ack(self.snd_nxt.wrapping_sub(1), self.rcv_nxt());
        self.send_bare(ack, connection, path, output)
    }
}

/// Two retransmissions at the shortest timeout take 3 s.
const UNHEARD: Duration = Duration::SECOND.times(3);
/// How far from the expected number a segment may be and still belong to the stream.
const WINDOW_REACH: u32 = 1 << 20;
/// Questions to a silent peer before it is given up.
const KEEP_ALIVE_PROBES: u64 = 4;
