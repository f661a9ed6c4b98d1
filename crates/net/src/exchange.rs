//! A connection's segments, in and out.

use crate::connection::{Connection, Tcb};
use crate::moment::{Moment, Span};
use crate::packet::Bare;
use crate::port::{Departed, Output, Port};
use crate::rings;
use crate::segment::{Flags, Segment, before};
use crate::tally::Count;
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
        output: &mut dyn Output,
    ) -> Wakes {
        let socket = self.socket();
        let (old_state, old_received) = (socket.state(), socket.recv_queue());
        let old_queued = socket.send_queue();
        // RFC 9293 section 3.8.6.3: every second full segment is acknowledged at once. smoltcp does
        // so when a delay has begun, but begins one even for a coalesced frame of many segments.
        let (unanswered, full) = (self.unanswered, u32::from(self.offer.mss));
        self.unanswered = unanswered.saturating_add(segment.data_len as u32);
        let is_many = self.unanswered > full && (unanswered == 0 || unanswered > full);
        if is_many {
            self.socket().set_ack_delay(None);
        }
        let mut port = Port::new(path.caps, output);
        port.frame = Some(segment.packet);
        port.stamp = Some(&self.stamp);
        path.interface.poll_ingress_single(path.now.instant(), &mut port, &mut self.sockets);
        let departed = port.departed;
        if is_many {
            let delay = connection.shared.limits.acknowledge;
            self.socket().set_ack_delay(Some(delay.into()));
        }
        self.depart(connection, &departed, path.now);
        let socket = self.socket();
        let (state, received, queued) = (socket.state(), socket.recv_queue(), socket.send_queue());
        let capacity = socket.send_capacity();
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
            connection.shared.tally.add(Count::ResetsIn);
        }
        self.receive_peak = self.receive_peak.max(received);
        if !self.held {
            self.discard_received();
        }
        let gone = state == State::Closed && self.socket().remote_endpoint().is_none();
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
        output: &mut dyn Output,
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
        let now = path.now.instant();
        let deadline = loop {
            let mut port = Port::new(path.caps, output);
            port.stamp = Some(&self.stamp);
            path.interface.poll_egress(now, &mut port, &mut self.sockets);
            let (departed, blocked) = (port.departed, port.blocked);
            self.depart(connection, &departed, path.now);
            if blocked {
                return Outcome::Blocked;
            }
            if departed.packets > 0 && self.is_last(departed.seq_end) {
                // Whatever left took the acknowledgement with it, so only our own clock is left.
                break Moment::NEVER;
            }
            let mut next = path.interface.poll_at(now, &self.sockets);
            if next.is_none() && self.peer_window == 0 && self.socket().send_queue() > 0 {
                self.revive(connection, path);
                next = path.interface.poll_at(now, &self.sockets);
            }
            if departed.packets == 0 || next.is_none_or(|next| next > now) {
                break next.map_or(Moment::NEVER, Moment::from_instant);
            }
        };
        let asks = self.must_ask(connection, path.now);
        if asks && !self.ask(connection, path, output) {
            return Outcome::Blocked;
        }
        self.settle(connection, path.now, deadline)
    }

    /// Decides what comes after a round of sending.
    fn settle(&mut self, connection: &Connection, now: Moment, deadline: Moment) -> Outcome {
        let socket = self.socket();
        match socket.state() {
            State::Closed if socket.remote_endpoint().is_none() => return Outcome::Gone,
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
        if self.has_grown {
            next = next.min(self.heard_at + spans.ring_idle);
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
        match self.socket().state() {
            State::Established => ahead == 0,
            State::FinWait1 | State::LastAck => ahead == 1,
            _ => false,
        }
    }

    /// Nothing is unacknowledged.
    fn rest(&mut self) {
        self.waiting_since = None;
        self.clock.at = Moment::NEVER;
    }

    /// What was sent has had no answer through two retransmissions.
    pub(crate) fn is_unheard(&self, now: Moment) -> bool {
        self.waiting_since.is_some_and(|since| now >= since.max(self.heard_at) + UNHEARD)
    }

    /// What a segment says about the path and the peer, beyond what smoltcp takes from it.
    fn heard(&mut self, now: Moment, segment: &Segment, unacknowledged: u32) {
        self.heard_at = now;
        if self.stamp.ethernet[..6] != segment.source {
            let next = self.receive_next();
            let near = segment.seq.wrapping_sub(next).wrapping_add(WINDOW_REACH) < 2 * WINDOW_REACH;
            // Only a segment that fits the stream may move the next hop: a blind forger's must not.
            if near {
                self.stamp.ethernet[..6].copy_from_slice(&segment.source);
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
            self.socket().abort();
        }
        if now >= self.orphan_until {
            self.abort();
        }
        if self.has_grown && now >= self.heard_at + spans.ring_idle {
            rings::shrink(connection, self);
        }
    }

    /// Notes what left.
    pub(crate) fn depart(&mut self, connection: &Connection, departed: &Departed, now: Moment) {
        if departed.packets == 0 {
            return;
        }
        let tally = &connection.shared.tally;
        tally.add_many(Count::PacketsOut, u64::from(departed.packets));
        self.unanswered = 0;
        if before(self.sent_end, departed.seq_end) {
            self.sent_end = departed.seq_end;
            self.waiting_since.get_or_insert(now);
            self.start_clock(now);
            self.probe.get_or_insert((departed.seq_end, now));
        } else if before(departed.seq, departed.seq_end) && self.waiting_since.is_some() {
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
        output: &mut dyn Output,
    ) -> bool {
        let ack = Bare::ack(self.sent_end, self.receive_next());
        self.owes_window = !self.send_bare(ack, connection, path, output);
        !self.owes_window
    }

    /// The peer has been silent for so long that it is asked whether it lives.
    fn must_ask(&mut self, connection: &Connection, now: Moment) -> bool {
        now >= self.heard_at + connection.shared.spans.keep_alive
            && matches!(self.socket().state(), State::Established | State::CloseWait)
    }

    /// Sends an acknowledgement whose number is one too low, which the peer corrects (RFC 9293
    /// section 3.8.4).
    fn ask(&mut self, connection: &Connection, path: &Path, output: &mut dyn Output) -> bool {
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
