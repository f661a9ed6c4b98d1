//! Fast path: a connection as a few numbers, and memory only for bytes in flight.
//!
//! It serves a connection as long as each segment is the expected one (header prediction) and what is
//! sent fits into a flight or is sent by [zero copy](crate::tcp::connection::zero_copy). It costs a third of the
//! instructions of a smoltcp socket, and an idle connection holds no rings. Loss, disorder, closed windows
//! and long transfers of bytes that have to be copied are a socket's: the connection gets one in exactly
//! its state (see [`buffers`](crate::tcp::connection::buffers)), and loses it again when it has been idle for a while.

mod input;
mod output;

use crate::tcp::connection::buffer_pool::BufferSizes;
use crate::tcp::connection::buffer_pool::PooledBuffer;
use crate::tcp::connection::socket::InFlight;
use crate::tcp::connection::socket::Replay;
use crate::tcp::connection::zero_copy::{Congestion, ZeroCopyQueue};
use crate::tcp::context::TcpContext;
use crate::time::{Duration, Instant};
use crate::wire::segment::{Flags, Segment};
use crate::wire::sequence::before;
use alloc::boxed::Box;
use smoltcp::socket::tcp::{RecvError, State};

/// The fast path's state. Its limits are those of a new connection's
/// rings.
pub(crate) struct FastPath {
    pub(crate) receive: PooledBuffer,
    pub(crate) transmit: PooledBuffer,
    pub(crate) receive_capacity: usize,
    pub(crate) transmit_capacity: usize,
    /// What is to be sent after what is in `transmit`.
    pub(crate) zero_copy: Option<Box<ZeroCopyQueue>>,
    pub(crate) congestion: Congestion,
    /// Bytes in `transmit` and in the zero-copy queue, and those of them that are in flight.
    pub(crate) queued: usize,
    pub(crate) sent: usize,
    /// RCV.ADV: the sequence number up to which we advertised a window.
    rcv_adv: u32,
    /// When the delayed acknowledgement is due (RFC 9293 section 3.8.6.3).
    delayed_ack_at: Instant,
    /// When an empty segment that is not acceptable is answered again.
    challenge_ack_from: Instant,
    fin_sent: bool,
    fin_acked: bool,
    pub(crate) fin_received: bool,
    /// It ended before we did, so that it is the one to remember the connection.
    fin_received_first: bool,
    pub(crate) aborted: bool,
}

/// What a segment is to the fast path.
enum Kind {
    /// The next one, with an acknowledgement of what was sent.
    Expected,
    /// A copy of what has arrived, or far from what is to come.
    Unacceptable,
    /// For a socket to deal with.
    Other,
}

impl FastPath {
    /// One whose peer may send up to the sequence number `rcv_adv`.
    pub(crate) fn new(sizes: BufferSizes, rcv_adv: u32) -> Self {
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

    /// What brings a socket into the state of this fast path.
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
    /// as the window that was advertised.
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

    /// RFC 9293 section 3.10.7.4: what is not acceptable is answered by an acknowledgement of what is
    /// expected; whether it is. An empty segment not at any rate, for its sender might think the same of our answer.
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

/// As Linux has it.
const CHALLENGE_ACK_PAUSE: Duration = Duration::TICK.times(500);
