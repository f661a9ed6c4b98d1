//! A connection while all goes well: a few numbers, and memory only for bytes on their way.
//!
//! What a smoltcp socket is for is loss, disorder, closed windows and long transfers of bytes that
//! have to be copied. A connection that is idle, or whose questions and answers fit into a flight
//! each, or which sends what was [lent](crate::tcp::connection::zero_copy), needs none of that: the next segment is the
//! expected one, and acknowledges what has left. It costs a third of what it
//! costs by way of a socket, and an idle connection holds no rings. Whatever else happens, the
//! connection gets a socket in exactly its state (see [`buffers`]), and loses it again
//! when it has been quiet for a while.

use crate::device::Transmit;
use crate::device::smoltcp::Sent;
use crate::tcp::connection::buffers::{self, Sizes};
use crate::tcp::connection::engine::Body;
use crate::tcp::connection::output::{Outcome, Path, Wakes};
use crate::tcp::connection::pooled_buffer::Basin;
use crate::tcp::connection::socket::Replay;
use crate::tcp::connection::zero_copy::{Congestion, Lent};
use crate::tcp::connection::{Connection, Tcb};
use crate::tcp::context::Shared;
use crate::time::{Moment, Span};
use crate::wire::header::Bare;
use crate::wire::segment::{Flags, Segment, before};
use alloc::boxed::Box;
use smoltcp::socket::tcp::{RecvError, State};

/// The inner half of a connection without a socket. Its limits are those of a new connection's
/// rings.
pub(crate) struct Calm {
    pub(crate) receive: Basin,
    pub(crate) transmit: Basin,
    pub(crate) receive_capacity: usize,
    pub(crate) transmit_capacity: usize,
    /// What is to be sent after what is in `transmit`.
    pub(crate) lent: Option<Box<Lent>>,
    pub(crate) congestion: Congestion,
    /// Bytes in `transmit` and lent, and those of them that have left.
    pub(crate) queued: usize,
    pub(crate) sent: usize,
    /// The sequence number up to which the peer was told that it may send.
    told: u32,
    /// When the peer gets an acknowledgement at last.
    acknowledge_at: Moment,
    /// When an empty segment that does not fit is answered again.
    correct_from: Moment,
    fin_sent: bool,
    fin_acknowledged: bool,
    pub(crate) peer_ended: bool,
    /// It ended before we did, so that it is the one to remember the connection.
    peer_ended_first: bool,
    pub(crate) aborted: bool,
}

/// What a segment is to a calm connection.
enum Kind {
    /// The next one, with an acknowledgement of what was sent.
    Expected,
    /// A copy of what has arrived, or far from what is to come.
    Unacceptable,
    /// For a socket to deal with.
    Other,
}

impl Calm {
    /// One whose peer may send up to the number `told`.
    pub(crate) fn new(sizes: Sizes, told: u32) -> Self {
        Self {
            receive: Basin::default(),
            transmit: Basin::default(),
            receive_capacity: sizes.receive,
            transmit_capacity: sizes.transmit,
            lent: None,
            congestion: Congestion::NEW,
            queued: 0,
            sent: 0,
            told,
            acknowledge_at: Moment::NEVER,
            correct_from: Moment::START,
            fin_sent: false,
            fin_acknowledged: false,
            peer_ended: false,
            peer_ended_first: false,
            aborted: false,
        }
    }

    /// RFC 9293 section 3.3.2.
    pub(crate) fn state(&self, finished: bool) -> State {
        match (finished, self.peer_ended, self.fin_acknowledged) {
            _ if self.aborted => State::Closed,
            (false, false, _) => State::Established,
            (false, true, _) => State::CloseWait,
            (true, false, false) => State::FinWait1,
            (true, false, true) => State::FinWait2,
            (true, true, false) if self.peer_ended_first => State::LastAck,
            (true, true, false) => State::Closing,
            (true, true, true) if self.peer_ended_first => State::Closed,
            (true, true, true) => State::TimeWait,
        }
    }

    pub(crate) fn read<R>(
        &mut self,
        shared: &Shared,
        take: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, RecvError> {
        if self.aborted {
            return Err(RecvError::InvalidState);
        }
        if self.receive.len() == 0 && self.peer_ended {
            return Err(RecvError::Finished);
        }
        let (taken, value) = take(self.receive.bytes_mut());
        self.receive.drained(taken, shared);
        Ok(value)
    }

    pub(crate) fn write<R>(
        &mut self,
        shared: &Shared,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> R {
        let (filled, value) = fill(self.transmit.room(self.transmit_capacity, shared));
        self.transmit.filled(filled, shared);
        self.queued += filled;
        value
    }

    /// Forgets all bytes.
    pub(crate) fn empty(&mut self, shared: &Shared) {
        self.receive.empty(shared);
        self.transmit.empty(shared);
        self.return_lent(shared);
        (self.queued, self.sent) = (0, 0);
    }

    /// What a socket has to be told to be in the same state.
    pub(crate) fn replay(&self, finished: bool, left: Left) -> Replay<'_> {
        let stands = left == Left::Stands;
        let lent = self.lent.as_ref().map_or(&[][..], |lent| lent.bytes());
        Replay {
            unread: self.receive.bytes(),
            peer_ended: self.peer_ended,
            queue: [self.transmit.bytes(), lent],
            left: if stands { self.sent } else { 0 },
            finished,
            fin_left: self.fin_sent && stands,
        }
    }

    /// Octets of sequence space that have left and are not acknowledged.
    fn in_flight(&self) -> usize {
        self.sent + usize::from(self.fin_sent && !self.fin_acknowledged)
    }

    fn kind_of(&self, segment: &Segment, next: u32, unacknowledged: u32) -> Kind {
        if !segment.flags.is_plain() {
            return Kind::Other;
        }
        if segment.seq != next {
            let end = segment.seq.wrapping_add(segment.sequence_len());
            let overtakes = (segment.seq.wrapping_sub(next) as usize) < self.receive_capacity;
            let overlaps = before(segment.seq, next) && before(next, end);
            return if overtakes || overlaps { Kind::Other } else { Kind::Unacceptable };
        }
        let acknowledged = segment.ack.wrapping_sub(unacknowledged) as usize;
        let fits = segment.data_len <= self.receive_capacity - self.receive.len();
        let is_expected = acknowledged <= self.in_flight()
            && fits
            && !segment.has_options
            && !(self.peer_ended && segment.sequence_len() > 0);
        if is_expected { Kind::Expected } else { Kind::Other }
    }

    fn acknowledged(&mut self, count: usize, now: Moment, shared: &Shared) {
        let data = count.min(self.sent);
        self.fin_acknowledged |= count > data;
        self.sent -= data;
        self.queued -= data;
        if self.lent.is_none() {
            self.transmit.drained(data, shared);
        } else {
            self.acknowledged_long(data, now, shared);
        }
    }

    /// Bytes in the queue at which a writer who found it full gets a turn.
    fn low_water(&self) -> usize {
        self.lent.as_ref().map_or(self.transmit_capacity * 2 / 3, |lent| lent.low_water())
    }

    /// The peer acknowledges the same once more: there may be a gap (RFC 5681 section 2).
    fn is_duplicate(&self, segment: &Segment, unacknowledged: u32, same_window: bool) -> bool {
        self.sent > 0 && segment.ack == unacknowledged && segment.sequence_len() == 0 && same_window
    }

    /// Free space that the peer does not know of and should (RFC 9293 section 3.8.6.2.2): as much
    /// as what it was told.
    fn owes_update(&self, next: u32) -> bool {
        let room = self.receive_capacity - self.receive.len();
        !self.peer_ended && room / 2 >= self.told.wrapping_sub(next) as usize
    }

    /// Takes the next bytes, or the peer's end.
    fn take(&mut self, segment: &Segment, is_many: bool, now: Moment, shared: &Shared) {
        let data = segment.data();
        if !data.is_empty() {
            let room = self.receive.room(self.receive_capacity, shared);
            if let Some(place) = room.get_mut(..data.len()) {
                place.copy_from_slice(data);
                self.receive.filled(data.len(), shared);
            }
        }
        let ends = segment.flags.has(Flags::FIN);
        if ends {
            (self.peer_ended, self.peer_ended_first) = (true, !self.fin_sent);
        }
        let wait = if ends || is_many { Span::NONE } else { shared.spans.acknowledge };
        self.acknowledge_at = self.acknowledge_at.min(now + wait);
    }

    /// RFC 9293 section 3.10.7.4: who sent what is not acceptable is told what is expected; whether
    /// he is. An empty segment not at any rate, for its sender might think the same of our answer.
    fn correct(&mut self, segment: &Segment, now: Moment) -> bool {
        let is_empty = segment.sequence_len() == 0;
        if is_empty && now < self.correct_from {
            return false;
        }
        if is_empty {
            self.correct_from = now + CORRECTION_PAUSE;
        }
        self.acknowledge_at = now;
        true
    }
}

impl Tcb {
    /// Takes a segment as a calm connection does; `None` when that cannot.
    pub(crate) fn receive_calmly(
        &mut self,
        connection: &Connection,
        path: &Path,
        segment: &Segment,
    ) -> Option<Wakes> {
        let shared = &*connection.shared;
        let (next, unacknowledged) = (self.receive_next(), self.unacknowledged());
        let Body::Calm(calm) = &mut self.body else { return None };
        let kind = calm.kind_of(segment, next, unacknowledged);
        if !segment.is_intact(&path.caps.checksum) {
            return Some(Wakes::default());
        }
        match kind {
            Kind::Expected => (),
            Kind::Unacceptable => {
                let egress = calm.correct(segment, path.now);
                return Some(Wakes { egress, ..Wakes::default() });
            }
            Kind::Other => return None,
        }
        if calm.lent.is_some() {
            let window = u32::from(segment.window) << self.offer.scale.unwrap_or(0);
            if calm.is_duplicate(segment, unacknowledged, window == self.peer_window) {
                return None;
            }
        }
        // RFC 9293 section 3.8.6.3: every second full segment is acknowledged at once.
        self.unanswered = self.unanswered.saturating_add(segment.data_len as u32);
        let is_many = self.unanswered > u32::from(self.offer.mss);
        let acknowledged = segment.ack.wrapping_sub(unacknowledged) as usize;
        if acknowledged > 0 {
            calm.acknowledged(acknowledged, path.now, shared);
        }
        let brings = segment.sequence_len() > 0;
        if brings {
            calm.take(segment, is_many, path.now, shared);
        }
        let (in_flight, queued) = (calm.in_flight(), calm.queued);
        let is_writable = acknowledged > 0 && queued <= calm.low_water();
        self.receive_peak = self.receive_peak.max(calm.receive.len());
        self.heard(path.now, segment, segment.ack);
        if acknowledged > 0 {
            self.advanced(in_flight == 0, path.now);
        }
        if !self.held {
            self.discard_received(shared);
        }
        let gone = self.state() == State::Closed;
        Some(Wakes {
            reader: brings,
            writer: is_writable || segment.flags.has(Flags::FIN),
            egress: !gone && (brings || queued > 0 || self.finished),
            gone,
        })
    }

    /// Sends as a calm connection does; `None` when it needs a socket for that.
    pub(crate) fn transmit_calmly(
        &mut self,
        connection: &Connection,
        path: &Path,
        output: &mut dyn Transmit,
    ) -> Option<Outcome> {
        let next = self.receive_next();
        let Body::Calm(calm) = &mut self.body else { return None };
        if calm.aborted {
            let reset = Bare::reset(self.sent_end, Some(next));
            let sent = self.send_bare(reset, connection, path, output);
            return Some(if sent { Outcome::Gone } else { Outcome::Blocked });
        }
        let ends = self.finished && !calm.fin_sent;
        let has_left = if calm.lent.is_some() {
            self.send_long(connection, path, output)?
                && self.send_owed(next, connection, path, output)
        } else if calm.sent < calm.queued || ends {
            let flight = calm.queued;
            if flight > self.peer_window as usize || flight > FLIGHT_SEGMENTS * self.segment_max() {
                return None;
            }
            self.send_flight(connection, path, output)
        } else {
            self.send_owed(next, connection, path, output)
        };
        if !has_left {
            return Some(Outcome::Blocked);
        }
        let deadline = match &self.body {
            Body::Calm(calm) => calm.acknowledge_at,
            Body::Socket(_) => Moment::NEVER,
        };
        Some(self.settle(connection, path.now, deadline))
    }

    /// Acknowledges what the peer should know of by now; false when the device was full.
    fn send_owed(
        &mut self,
        next: u32,
        connection: &Connection,
        path: &Path,
        output: &mut dyn Transmit,
    ) -> bool {
        let Body::Calm(calm) = &self.body else { return true };
        let is_due = calm.acknowledge_at <= path.now || calm.owes_update(next);
        !is_due || self.send_part(0, connection, path, output)
    }

    /// Our end is still to be told, with or after the last byte.
    pub(crate) fn owes_end(&self) -> bool {
        let Body::Calm(calm) = &self.body else { return false };
        self.finished && !calm.fin_sent && calm.sent == calm.queued
    }

    /// Sends all that has not left yet; false when the device was full.
    fn send_flight(
        &mut self,
        connection: &Connection,
        path: &Path,
        output: &mut dyn Transmit,
    ) -> bool {
        let header_len = self.template.tuple.ip_header_len() + 20;
        let offload = path.segment_bytes(&self.template.tuple).saturating_sub(header_len);
        let part_max = offload.max(self.segment_max());
        loop {
            let Body::Calm(calm) = &self.body else { return true };
            let part = (calm.queued - calm.sent).min(part_max);
            if !self.send_part(part, connection, path, output) {
                return false;
            }
            let Body::Calm(calm) = &self.body else { return true };
            if calm.sent == calm.queued {
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
        path: &Path,
        output: &mut dyn Transmit,
    ) -> bool {
        let next = self.receive_next();
        let seq_start = self.unacknowledged();
        let Body::Calm(calm) = &mut self.body else { return true };
        let end = calm.sent + part;
        let is_last = end == calm.queued;
        let fin = self.finished && is_last && !calm.fin_sent;
        let passed = calm.sent as u32 + u32::from(calm.fin_sent);
        let seq = seq_start.wrapping_add(passed);
        let shift = self.template.window_shift_out;
        let room = calm.receive_capacity - calm.receive.len();
        let window = (room >> shift).min(0xffff);
        let packet = Bare::part(seq, next, window as u16, (part > 0 && is_last, fin));
        let copied = calm.transmit.bytes();
        let has_room = match &calm.lent {
            Some(lent) if end > copied.len() => {
                let start = copied.get(calm.sent..).unwrap_or_default();
                let from = calm.sent.saturating_sub(copied.len());
                let tail = lent.part(from, part - start.len());
                self.template.transmit_shared(&packet, start, tail, output)
            }
            _ => {
                let payload = copied.get(calm.sent..end).unwrap_or_default();
                self.template.transmit(&packet, payload, output)
            }
        };
        if !has_room {
            return false;
        }
        calm.sent = end;
        calm.fin_sent |= fin;
        calm.told = next.wrapping_add((window << shift) as u32);
        calm.acknowledge_at = Moment::NEVER;
        let seq_end = seq.wrapping_add(part as u32 + u32::from(fin));
        self.depart(connection, &Sent { packets: 1, seq, seq_end }, path.now);
        true
    }

    /// The largest segment that the peer takes, in bytes of payload.
    pub(crate) fn segment_max(&self) -> usize {
        usize::from(self.offer.mss)
    }

    /// Something that a calm connection is not made for: it gets a socket.
    pub(crate) fn leave_calm(&mut self, left: Left, connection: &Connection) {
        if !buffers::make_socket(connection, self, left) {
            log::error!("net: smoltcp does not follow a connection");
            self.abort();
        }
    }
}

/// What a new socket makes of what has left without an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// It is on its way.
    Stands,
    /// It is to be sent again.
    IsLost,
}

/// RFC 6928 section 2: a first flight is ten segments.
const FLIGHT_SEGMENTS: usize = 10;
/// As Linux has it.
const CORRECTION_PAUSE: Span = Span::TICK.times(500);
