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
use crate::tcp::connection::buffer_pool::PooledBuffer;
use crate::tcp::connection::buffers::{self, Sizes};
use crate::tcp::connection::engine::Engine;
use crate::tcp::connection::output::{Outcome, Path, Wakeups};
use crate::tcp::connection::socket::Replay;
use crate::tcp::connection::zero_copy::{Congestion, ZeroCopyQueue};
use crate::tcp::connection::{Connection, Tcb};
use crate::tcp::context::TcpContext;
use crate::time::{Duration, Instant};
use crate::wire::header::TcpHeader;
use crate::wire::segment::{Flags, Segment, before};
use alloc::boxed::Box;
use smoltcp::socket::tcp::{RecvError, State};

/// The inner half of a connection without a socket. Its limits are those of a new connection's
/// rings.
pub(crate) struct FastPath {
    pub(crate) receive: PooledBuffer,
    pub(crate) transmit: PooledBuffer,
    pub(crate) receive_capacity: usize,
    pub(crate) transmit_capacity: usize,
    /// What is to be sent after what is in `transmit`.
    pub(crate) zero_copy: Option<Box<ZeroCopyQueue>>,
    pub(crate) congestion: Congestion,
    /// Bytes in `transmit` and lent, and those of them that have left.
    pub(crate) queued: usize,
    pub(crate) sent: usize,
    /// The sequence number up to which the peer was told that it may send.
    rcv_adv: u32,
    /// When the peer gets an acknowledgement at last.
    delayed_ack_at: Instant,
    /// When an empty segment that does not fit is answered again.
    challenge_ack_from: Instant,
    fin_sent: bool,
    fin_acked: bool,
    pub(crate) fin_received: bool,
    /// It ended before we did, so that it is the one to remember the connection.
    fin_received_first: bool,
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

impl FastPath {
    /// One whose peer may send up to the number `told`.
    pub(crate) fn new(sizes: Sizes, rcv_adv: u32) -> Self {
        Self {
            receive: PooledBuffer::default(),
            transmit: PooledBuffer::default(),
            receive_capacity: sizes.receive,
            transmit_capacity: sizes.transmit,
            zero_copy: None,
            congestion: Congestion::NEW,
            queued: 0,
            sent: 0,
            rcv_adv,
            delayed_ack_at: Instant::NEVER,
            challenge_ack_from: Instant::START,
            fin_sent: false,
            fin_acked: false,
            fin_received: false,
            fin_received_first: false,
            aborted: false,
        }
    }

    /// RFC 9293 section 3.3.2.
    pub(crate) fn state(&self, finished: bool) -> State {
        match (finished, self.fin_received, self.fin_acked) {
            _ if self.aborted => State::Closed,
            (false, false, _) => State::Established,
            (false, true, _) => State::CloseWait,
            (true, false, false) => State::FinWait1,
            (true, false, true) => State::FinWait2,
            (true, true, false) if self.fin_received_first => State::LastAck,
            (true, true, false) => State::Closing,
            (true, true, true) if self.fin_received_first => State::Closed,
            (true, true, true) => State::TimeWait,
        }
    }

    pub(crate) fn read<R>(
        &mut self,
        context: &TcpContext,
        take: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, RecvError> {
        if self.aborted {
            return Err(RecvError::InvalidState);
        }
        if self.receive.len() == 0 && self.fin_received {
            return Err(RecvError::Finished);
        }
        let (taken, value) = take(self.receive.bytes_mut());
        self.receive.consumed(taken, context);
        Ok(value)
    }

    pub(crate) fn write<R>(
        &mut self,
        context: &TcpContext,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> R {
        let (filled, value) = fill(self.transmit.room(self.transmit_capacity, context));
        self.transmit.filled(filled, context);
        self.queued += filled;
        value
    }

    /// Forgets all bytes.
    pub(crate) fn empty(&mut self, context: &TcpContext) {
        self.receive.empty(context);
        self.transmit.empty(context);
        self.drop_zero_copy(context);
        (self.queued, self.sent) = (0, 0);
    }

    /// What a socket has to be told to be in the same state.
    pub(crate) fn replay(&self, finished: bool, left: InFlight) -> Replay<'_> {
        let stands = left == InFlight::Kept;
        let zero_copy = self.zero_copy.as_ref().map_or(&[][..], |zero_copy| zero_copy.bytes());
        Replay {
            unread: self.receive.bytes(),
            fin_received: self.fin_received,
            queue: [self.transmit.bytes(), zero_copy],
            left: if stands { self.sent } else { 0 },
            finished,
            fin_left: self.fin_sent && stands,
        }
    }

    /// Octets of sequence space that have left and are not acknowledged.
    fn in_flight(&self) -> usize {
        self.sent + usize::from(self.fin_sent && !self.fin_acked)
    }

    fn kind_of(&self, segment: &Segment, next: u32, snd_una: u32) -> Kind {
        if !segment.flags.is_plain() {
            return Kind::Other;
        }
        if segment.seq != next {
            let end = segment.seq.wrapping_add(segment.sequence_len());
            let overtakes = (segment.seq.wrapping_sub(next) as usize) < self.receive_capacity;
            let overlaps = before(segment.seq, next) && before(next, end);
            return if overtakes || overlaps { Kind::Other } else { Kind::Unacceptable };
        }
        let acknowledged = segment.ack.wrapping_sub(snd_una) as usize;
        let fits = segment.data_len <= self.receive_capacity - self.receive.len();
        let is_expected = acknowledged <= self.in_flight()
            && fits
            && !segment.has_options
            && !(self.fin_received && segment.sequence_len() > 0);
        if is_expected { Kind::Expected } else { Kind::Other }
    }

    fn acknowledged(&mut self, count: usize, now: Instant, context: &TcpContext) {
        let data = count.min(self.sent);
        self.fin_acked |= count > data;
        self.sent -= data;
        self.queued -= data;
        if self.zero_copy.is_none() {
            self.transmit.consumed(data, context);
        } else {
            self.acknowledged_zero_copy(data, now, context);
        }
    }

    /// Bytes in the queue at which a writer who found it full gets a turn.
    fn low_water(&self) -> usize {
        self.zero_copy
            .as_ref()
            .map_or(self.transmit_capacity * 2 / 3, |zero_copy| zero_copy.low_water())
    }

    /// The peer acknowledges the same once more: there may be a gap (RFC 5681 section 2).
    fn is_duplicate(&self, segment: &Segment, snd_una: u32, same_window: bool) -> bool {
        self.sent > 0 && segment.ack == snd_una && segment.sequence_len() == 0 && same_window
    }

    /// Free space that the peer does not know of and should (RFC 9293 section 3.8.6.2.2): as much
    /// as what it was told.
    fn owes_update(&self, next: u32) -> bool {
        let room = self.receive_capacity - self.receive.len();
        !self.fin_received && room / 2 >= self.rcv_adv.wrapping_sub(next) as usize
    }

    /// Takes the next bytes, or the peer's end.
    fn take(&mut self, segment: &Segment, is_many: bool, now: Instant, context: &TcpContext) {
        let data = segment.data();
        if !data.is_empty() {
            let room = self.receive.room(self.receive_capacity, context);
            if let Some(place) = room.get_mut(..data.len()) {
                place.copy_from_slice(data);
                self.receive.filled(data.len(), context);
            }
        }
        let ends = segment.flags.has(Flags::FIN);
        if ends {
            (self.fin_received, self.fin_received_first) = (true, !self.fin_sent);
        }
        let wait = if ends || is_many { Duration::ZERO } else { context.timeouts.acknowledge };
        self.delayed_ack_at = self.delayed_ack_at.min(now + wait);
    }

    /// RFC 9293 section 3.10.7.4: who sent what is not acceptable is told what is expected; whether
    /// he is. An empty segment not at any rate, for its sender might think the same of our answer.
    fn challenge(&mut self, segment: &Segment, now: Instant) -> bool {
        let is_empty = segment.sequence_len() == 0;
        if is_empty && now < self.challenge_ack_from {
            return false;
        }
        if is_empty {
            self.challenge_ack_from = now + CHALLENGE_ACK_PAUSE;
        }
        self.delayed_ack_at = now;
        true
    }
}

impl Tcb {
    /// Takes a segment as a calm connection does; `None` when that cannot.
    pub(crate) fn receive_fast(
        &mut self,
        connection: &Connection,
        path: &Path,
        segment: &Segment,
    ) -> Option<Wakeups> {
        let context = &*connection.context;
        let (next, snd_una) = (self.rcv_nxt(), self.snd_una());
        let Engine::FastPath(fast) = &mut self.engine else { return None };
        let kind = fast.kind_of(segment, next, snd_una);
        if !segment.is_intact(&path.caps.checksum) {
            return Some(Wakeups::default());
        }
        match kind {
            Kind::Expected => (),
            Kind::Unacceptable => {
                let egress = fast.challenge(segment, path.now);
                return Some(Wakeups { egress, ..Wakeups::default() });
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
            fast.acknowledged(acknowledged, path.now, context);
        }
        let brings = segment.sequence_len() > 0;
        if brings {
            fast.take(segment, is_many, path.now, context);
        }
        let (in_flight, queued) = (fast.in_flight(), fast.queued);
        let is_writable = acknowledged > 0 && queued <= fast.low_water();
        self.receive_peak = self.receive_peak.max(fast.receive.len());
        self.heard(path.now, segment, segment.ack);
        if acknowledged > 0 {
            self.advanced(in_flight == 0, path.now);
        }
        if !self.held {
            self.discard_received(context);
        }
        let gone = self.state() == State::Closed;
        Some(Wakeups {
            reader: brings,
            writer: is_writable || segment.flags.has(Flags::FIN),
            egress: !gone && (brings || queued > 0 || self.finished),
            gone,
        })
    }

    /// Sends as a calm connection does; `None` when it needs a socket for that.
    pub(crate) fn transmit_fast(
        &mut self,
        connection: &Connection,
        path: &Path,
        output: &mut dyn Transmit,
    ) -> Option<Outcome> {
        let next = self.rcv_nxt();
        let Engine::FastPath(fast) = &mut self.engine else { return None };
        if fast.aborted {
            let reset = TcpHeader::reset(self.snd_nxt, Some(next));
            let sent = self.send_bare(reset, connection, path, output);
            return Some(if sent { Outcome::Closed } else { Outcome::Blocked });
        }
        let ends = self.finished && !fast.fin_sent;
        let has_left = if fast.zero_copy.is_some() {
            self.send_zero_copy(connection, path, output)?
                && self.send_owed(next, connection, path, output)
        } else if fast.sent < fast.queued || ends {
            let flight = fast.queued;
            if flight > self.snd_wnd as usize || flight > FLIGHT_SEGMENTS * self.segment_max() {
                return None;
            }
            self.send_flight(connection, path, output)
        } else {
            self.send_owed(next, connection, path, output)
        };
        if !has_left {
            return Some(Outcome::Blocked);
        }
        let deadline = match &self.engine {
            Engine::FastPath(fast) => fast.delayed_ack_at,
            Engine::Socket(_) => Instant::NEVER,
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
        let Engine::FastPath(fast) = &self.engine else { return true };
        let is_due = fast.delayed_ack_at <= path.now || fast.owes_update(next);
        !is_due || self.send_part(0, connection, path, output)
    }

    /// Our end is still to be told, with or after the last byte.
    pub(crate) fn owes_end(&self) -> bool {
        let Engine::FastPath(fast) = &self.engine else { return false };
        self.finished && !fast.fin_sent && fast.sent == fast.queued
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
            let Engine::FastPath(fast) = &self.engine else { return true };
            let part = (fast.queued - fast.sent).min(part_max);
            if !self.send_part(part, connection, path, output) {
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
        path: &Path,
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
        self.note_sent(connection, &Sent { packets: 1, seq, seq_end }, path.now);
        true
    }

    /// The largest segment that the peer takes, in bytes of payload.
    pub(crate) fn segment_max(&self) -> usize {
        usize::from(self.offer.mss)
    }

    /// Something that a calm connection is not made for: it gets a socket.
    pub(crate) fn leave_fast_path(&mut self, left: InFlight, connection: &Connection) {
        if !buffers::make_socket(connection, self, left) {
            log::error!("net: smoltcp does not follow a connection");
            self.abort();
        }
    }
}

/// What a new socket makes of what has left without an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum InFlight {
    /// It is on its way.
    Kept,
    /// It is to be sent again.
    Lost,
}

/// RFC 6928 section 2: a first flight is ten segments.
const FLIGHT_SEGMENTS: usize = 10;
/// As Linux has it.
const CHALLENGE_ACK_PAUSE: Duration = Duration::TICK.times(500);
