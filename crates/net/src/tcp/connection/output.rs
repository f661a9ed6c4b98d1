//! A connection's segments, in and out.

use crate::counters::Count;
use crate::device::Transmit;
use crate::device::smoltcp::{Sent, SmoltcpDevice};
use crate::tcp::connection::buffers;
use crate::tcp::connection::engine::Body;
use crate::tcp::connection::fast_path::Left;
use crate::tcp::connection::{Connection, Tcb};
use crate::time::{Moment, Span};
use crate::wire::header::Bare;
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
    pub(crate) now: Moment,
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
    Lives,
    /// The device is full; the connection must be asked again.
    Blocked,
    /// Both ends are done, and ours ended first.
    TimeWait {
        send_next: u32,
        receive_next: u32,
    },
    Gone,
}

/// Whom a segment concerns.
#[derive(Default)]
pub(crate) struct Wakes {
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
    ) -> Wakes {
        if self.body.is_calm() {
            if let Some(wakes) = self.receive_calmly(connection, path, segment) {
                return wakes;
            }
            self.leave_calm(Left::Stands, connection);
        }
        self.receive_by_socket(connection, path, segment, output)
    }

    fn receive_by_socket(
        &mut self,
        connection: &Connection,
        path: &mut Path,
        segment: &Segment,
        output: &mut dyn Transmit,
    ) -> Wakes {
        let shared = &*connection.shared;
        let (old_state, old_received) = (self.state(), self.body.unread());
        let old_queued = self.body.queued();
        // RFC 9293 section 3.8.6.3: every second full segment is acknowledged at once. smoltcp does
        // so when a delay has begun, but begins one even for a coalesced frame of many segments.
        let (unanswered, full) = (self.unanswered, u32::from(self.offer.mss));
        self.unanswered = unanswered.saturating_add(segment.data_len as u32);
        let is_many = self.unanswered > full && (unanswered == 0 || unanswered > full);
        if is_many {
            self.body.set_acknowledgement_delay(None);
        }
        let sent = self.poll_ingress(segment.packet, path, output);
        if is_many {
            self.body.set_acknowledgement_delay(Some(shared.limits.acknowledge));
        }
        self.depart(connection, &sent, path.now);
        let (state, received, queued) = (self.state(), self.body.unread(), self.body.queued());
        let capacity = self.body.transmit_capacity();
        let unacknowledged = self.queue_end().wrapping_sub(queued as u32);
        self.heard(path.now, segment, unacknowledged);
        if queued < old_queued {
            self.progress(connection, path, segment, unacknowledged);
        } else if segment.has_options {
            self.no_progress(connection, path, segment, unacknowledged);
        }
        let changed = state != old_state;
        if changed && state == State::Closed && segment.flags.has(Flags::RST) {
            self.end.get_or_insert(FlowError::Reset);
            shared.tally.add(Count::ResetsIn);
        }
        self.receive_peak = self.receive_peak.max(received);
        if !self.held {
            self.discard_received(shared);
        }
        let gone = state == State::Closed && self.body.has_no_peer();
        let idle = segment.data_len == 0 && queued == 0 && state == State::Established;
        Wakes {
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
            if path.now >= self.clock.at && !self.send_again(connection, path, output) {
                return Outcome::Blocked;
            }
        }
        if self.owes_window && !self.tell_window(connection, path, output) {
            return Outcome::Blocked;
        }
        let asks = self.must_ask(connection, path.now);
        if asks && !self.ask(connection, path, output) {
            return Outcome::Blocked;
        }
        if self.body.is_calm() {
            if let Some(outcome) = self.transmit_calmly(connection, path, output) {
                return outcome;
            }
            self.leave_calm(Left::Stands, connection);
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
            self.depart(connection, &sent, path.now);
            if blocked {
                return Outcome::Blocked;
            }
            if sent.packets > 0 && self.is_last(sent.seq_end) {
                // Whatever left took the acknowledgement with it, so only our own clock is left.
                break Moment::NEVER;
            }
            let mut next = self.poll_at(path);
            if next.is_none() && self.peer_window == 0 && self.body.queued() > 0 {
                self.revive(connection, path);
                next = self.poll_at(path);
            }
            if sent.packets == 0 || next.is_none_or(|next| next > path.now) {
                break next.unwrap_or(Moment::NEVER);
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
        let Body::Socket(sockets) = &mut self.body else { return Sent::default() };
        let mut device = SmoltcpDevice::new(path.caps, output);
        device.received = Some(packet);
        device.template = Some(&self.template);
        path.interface.poll_ingress_single(path.now.instant(), &mut device, sockets);
        device.sent
    }

    /// Lets the socket send once as if it were `at`; what left, and whether the device was full.
    pub(crate) fn poll_egress(
        &mut self,
        at: Moment,
        path: &mut Path,
        output: &mut dyn Transmit,
    ) -> (Sent, bool) {
        let Body::Socket(sockets) = &mut self.body else { return Default::default() };
        let mut device = SmoltcpDevice::new(path.caps, output);
        device.template = Some(&self.template);
        path.interface.poll_egress(at.instant(), &mut device, sockets);
        (device.sent, device.blocked)
    }

    /// When the socket wants to send.
    pub(crate) fn poll_at(&self, path: &mut Path) -> Option<Moment> {
        let Body::Socket(sockets) = &self.body else { return None };
        path.interface.poll_at(path.now.instant(), sockets).map(Moment::from_instant)
    }

    /// Decides what comes after a round of sending.
    pub(crate) fn settle(
        &mut self,
        connection: &Connection,
        now: Moment,
        deadline: Moment,
    ) -> Outcome {
        match self.state() {
            State::Closed if self.body.has_no_peer() => return Outcome::Gone,
            State::TimeWait => {
                // Our FIN took one number after the last byte.
                let send_next = self.unacknowledged().wrapping_add(1);
                let receive_next = self.receive_next();
                return Outcome::TimeWait { send_next, receive_next };
            }
            State::FinWait1 | State::Closing | State::LastAck => (),
            State::FinWait2 => self.rest(),
            _ if self.sent_end == self.unacknowledged() => self.rest(),
            _ => (),
        }
        let spans = &connection.shared.spans;
        let mut next = deadline.min(self.orphan_until).min(self.clock.at);
        if let Some(since) = self.waiting_since {
            next = next.min(since.max(self.heard_at) + spans.user_timeout);
        }
        let idle_at = self.heard_at + spans.ring_idle;
        if !self.body.is_calm() && idle_at > now {
            next = next.min(idle_at);
        }
        let ask = self.heard_at + spans.keep_alive;
        let ask_again = now + spans.user_timeout.divided(KEEP_ALIVE_PROBES);
        next = next.min(if ask > now { ask } else { ask_again });
        // What was due now and could not be sent waits for an event, or a moment.
        self.deadline = next.max(now + Span::TICK);
        Outcome::Lives
    }

    /// What ended at `seq_end` was the last that the application wrote, or our FIN if there is one.
    fn is_last(&mut self, seq_end: u32) -> bool {
        let ahead = seq_end.wrapping_sub(self.queue_end());
        match self.state() {
            State::Established => ahead == 0,
            State::FinWait1 | State::LastAck => ahead == 1,
            _ => false,
        }
    }

    /// Nothing is unacknowledged.
    pub(crate) fn rest(&mut self) {
        self.waiting_since = None;
        self.clock.at = Moment::NEVER;
    }

    /// What was sent has had no answer through two retransmissions.
    pub(crate) fn is_unheard(&self, now: Moment) -> bool {
        self.waiting_since.is_some_and(|since| now >= since.max(self.heard_at) + UNHEARD)
    }

    /// What a segment says about the path and the peer, beyond what smoltcp takes from it.
    pub(crate) fn heard(&mut self, now: Moment, segment: &Segment, unacknowledged: u32) {
        self.heard_at = now;
        if self.template.ethernet[..6] != segment.source {
            let next = self.receive_next();
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
        if segment.ack.wrapping_sub(unacknowledged) <= 1 {
            let window = u32::from(segment.window) << self.offer.scale.unwrap_or(0);
            if self.peer_window == 0 && window > 0 {
                self.window_opened(now);
            }
            self.peer_window = window;
        }
    }

    /// A time has come: gives up a peer that stays silent, and an orphan; returns idle rings.
    fn expire(&mut self, connection: &Connection, now: Moment) {
        let spans = &connection.shared.spans;
        let silent_since = self.waiting_since.map(|since| since.max(self.heard_at));
        let asked_since = self.heard_at + spans.keep_alive;
        if silent_since.is_some_and(|since| now >= since + spans.user_timeout)
            || now >= asked_since + spans.user_timeout
        {
            self.end.get_or_insert(FlowError::TimedOut);
            connection.shared.tally.add(Count::TimedOut);
            self.body.abort();
        }
        if now >= self.orphan_until {
            self.abort();
        }
        if !self.body.is_calm() && now >= self.heard_at + spans.ring_idle {
            buffers::shrink(connection, self);
        }
    }

    /// Notes what left.
    pub(crate) fn depart(&mut self, connection: &Connection, sent: &Sent, now: Moment) {
        if sent.packets == 0 {
            return;
        }
        let tally = &connection.shared.tally;
        tally.add_many(Count::PacketsOut, u64::from(sent.packets));
        self.unanswered = 0;
        if before(self.sent_end, sent.seq_end) {
            self.sent_end = sent.seq_end;
            self.waiting_since.get_or_insert(now);
            self.start_clock(now);
            self.probe.get_or_insert((sent.seq_end, now));
        } else if before(sent.seq, sent.seq_end) && self.waiting_since.is_some() {
            self.retransmits += 1;
            self.note_repetition(now);
            tally.add(Count::Retransmits);
            // Karn's rule: an answer to one of two copies measures nothing.
            self.probe = None;
        }
    }

    /// Tells the window of a socket that was made; false when the device was full.
    fn tell_window(
        &mut self,
        connection: &Connection,
        path: &Path,
        output: &mut dyn Transmit,
    ) -> bool {
        let ack = Bare::ack(self.sent_end, self.receive_next());
        self.owes_window = !self.send_bare(ack, connection, path, output);
        !self.owes_window
    }

    /// The peer has been silent for so long that it is asked whether it lives.
    fn must_ask(&mut self, connection: &Connection, now: Moment) -> bool {
        now >= self.heard_at + connection.shared.spans.keep_alive
            && matches!(self.state(), State::Established | State::CloseWait)
    }

    /// Sends an acknowledgement whose number is one too low, which the peer corrects (RFC 9293
    /// section 3.8.4).
    fn ask(&mut self, connection: &Connection, path: &Path, output: &mut dyn Transmit) -> bool {
        let ack = Bare::ack(self.sent_end.wrapping_sub(1), self.receive_next());
        self.send_bare(ack, connection, path, output)
    }
}

/// Two retransmissions at the shortest timeout take 3 s.
const UNHEARD: Span = Span::SECOND.times(3);
/// How far from the expected number a segment may be and still belong to the stream.
const WINDOW_REACH: u32 = 1 << 20;
/// Questions to a silent peer before it is given up.
const KEEP_ALIVE_PROBES: u64 = 4;
