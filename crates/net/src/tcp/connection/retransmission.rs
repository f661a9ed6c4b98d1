//! Retransmission: loss recovery beyond what smoltcp does (RFC 5681, RFC 6582, RFC 6675).
//!
//! smoltcp sends one segment again after three duplicate acknowledgements, and everything after a
//! timeout of at least a second, which doubles until new data has been measured. So a second hole
//! in a window, or a repeated segment that gets lost, too, costs seconds; and where a peer drops
//! what its window allowed, or the last FIN is repeated out of turn, smoltcp is left without a
//! timer. The timer is therefore ours, and a hole behind a repaired one is repaired at once
//! (RFC 6582). smoltcp is moved by what it hears (duplicate acknowledgements that we write) and by
//! the time it is told.

use crate::device::{Transmit, Unplugged};
use crate::tcp::connection::lower_layer::LowerLayer;
use crate::tcp::connection::rto::Recovery;
use crate::tcp::connection::socket::InFlight;
use crate::tcp::connection::{Connection, Tcb};
use crate::time::{Duration, Instant};
use crate::wire::header::{PACKET_BYTES_MAX, TcpHeader};
use crate::wire::segment::Segment;
use crate::wire::sequence::before;
use smoltcp::socket::tcp::State;

impl Tcb {
    pub(crate) fn timeout(&self) -> Duration {
        self.rto.timeout(self.srtt, self.snd_wnd == 0)
    }

    /// Something new is on its way.
    pub(crate) fn start_timer(&mut self, now: Instant) {
        if self.rto.at == Instant::NEVER {
            self.rto.at = now + self.timeout();
        }
    }

    /// Something was sent again, without our doing unless the timer expired.
    pub(crate) fn note_repetition(&mut self, now: Instant) {
        if self.rto.recovery == Recovery::Idle {
            let timed_out = self.waiting_since.is_some_and(|since| now >= since + Duration::SECOND);
            let until = self.snd_nxt;
            self.rto.recovery =
                if timed_out { Recovery::Timeout(until) } else { Recovery::Segment(until) };
        }
    }

    /// On the fast path: the peer has acknowledged all that has left, or a part.
    pub(crate) fn advanced(&mut self, all: bool, now: Instant) {
        self.rto.backoffs = 0;
        if all {
            self.rest();
        } else {
            self.rto.at = now + self.timeout();
        }
    }

    /// The peer has acknowledged data.
    pub(crate) fn progress(
        &mut self,
        connection: &Connection,
        lower: &mut LowerLayer,
        segment: &Segment,
        snd_una: u32,
    ) {
        let now = lower.now;
        self.rto.backoffs = 0;
        self.rto.duplicates = u8::from(segment.has_options);
        let is_done = self.snd_nxt == snd_una;
        self.rto.at = if is_done { Instant::NEVER } else { now + self.timeout() };
        match self.rto.recovery {
            Recovery::Idle => (),
            Recovery::Segment(until) if before(snd_una, until) => {
                self.repeat_first(connection, lower);
            }
            Recovery::Timeout(until) if before(snd_una, until) => (),
            _ => self.rto.recovery = Recovery::Idle,
        }
    }

    /// The peer has acknowledged nothing new, but something selectively: counts what smoltcp does
    /// not count when the window changed as well (RFC 6675 section 2, "DupAcks").
    pub(crate) fn no_progress(
        &mut self,
        connection: &Connection,
        lower: &mut LowerLayer,
        segment: &Segment,
        snd_una: u32,
    ) {
        let is_duplicate = segment.data_len == 0 && segment.ack == snd_una;
        if self.rto.at == Instant::NEVER || !is_duplicate {
            return;
        }
        self.rto.duplicates = self.rto.duplicates.saturating_add(1);
        if self.rto.duplicates >= self.duplicates_enough() && self.rto.recovery == Recovery::Idle {
            self.rto.recovery = Recovery::Segment(self.snd_nxt);
            self.repeat_first(connection, lower);
        }
    }

    /// Fewer where fewer segments are on their way (RFC 5827 section 2.1).
    fn duplicates_enough(&mut self) -> u8 {
        let in_flight = self.snd_nxt.wrapping_sub(self.snd_una());
        let segments = in_flight.div_ceil(u32::from(self.offer.mss));
        segments.saturating_sub(1).clamp(1, DUPLICATES) as u8
    }

    /// A closed window has opened: what the peer dropped while it was closed is due soon.
    pub(crate) fn window_opened(&mut self, now: Instant) {
        if self.rto.at < Instant::NEVER {
            self.rto.backoffs = 0;
            self.rto.at = now + self.timeout();
        }
    }

    /// The retransmission timer has expired. False when the device was full.
    pub(crate) fn send_again(
        &mut self,
        connection: &Connection,
        lower: &mut LowerLayer,
        output: &mut dyn Transmit,
    ) -> bool {
        self.rto.recovery = Recovery::Timeout(self.snd_nxt);
        if self.engine.is_fast() {
            self.leave_fast_path(InFlight::Lost, connection);
        }
        let sent = self.poll_timers(connection, lower, output).and_then(|sent| {
            if sent { Some(true) } else { self.repeat_untimed(connection, lower, output) }
        });
        if sent.is_none() {
            return false;
        }
        self.rto.backoffs = (self.rto.backoffs + 1).min(BACKOFFS_MAX);
        self.rto.at = lower.now + self.timeout();
        true
    }

    /// smoltcp has no timer for what is unacknowledged. `None` when the device was full.
    fn repeat_untimed(
        &mut self,
        connection: &Connection,
        lower: &mut LowerLayer,
        output: &mut dyn Transmit,
    ) -> Option<bool> {
        if self.engine.queued() > 0 {
            if self.snd_wnd > 0 {
                self.repeat_first(connection, lower);
                return self.poll_at_time(lower.now, connection, lower, output);
            }
            self.revive(connection, lower);
            return self.poll_timers(connection, lower, output);
        }
        let state = self.state();
        if !matches!(state, State::FinWait1 | State::LastAck | State::Closing) {
            return Some(false);
        }
        let fin = TcpHeader::fin(self.write_seq(), self.rcv_nxt());
        self.send_header(fin, connection, lower, output).then_some(true)
    }

    /// Lets smoltcp's timers run out: that of a delayed acknowledgement, and the one that repeats.
    fn poll_timers(
        &mut self,
        connection: &Connection,
        lower: &mut LowerLayer,
        output: &mut dyn Transmit,
    ) -> Option<bool> {
        for _ in 0..TIMERS {
            let Some(next) = self.poll_at(lower) else { break };
            if self.poll_at_time(next.max(lower.now), connection, lower, output)? {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Lets smoltcp send as if it were `at`; whether data or a FIN left, `None` when the device was
    /// full.
    fn poll_at_time(
        &mut self,
        at: Instant,
        connection: &Connection,
        lower: &mut LowerLayer,
        output: &mut dyn Transmit,
    ) -> Option<bool> {
        let (sent, blocked) = self.poll_egress(at, lower, output);
        self.note_sent(connection, &sent, lower.now);
        (!blocked).then_some(sent.seq != sent.seq_end)
    }

    /// Makes smoltcp send the first unacknowledged segment again, by the three duplicates that it
    /// waits for. What it counted before is forgotten when the window changes.
    fn repeat_first(&mut self, connection: &Connection, lower: &mut LowerLayer) {
        let window = (self.snd_wnd >> self.offer.window_scale.unwrap_or(0)).min(0xffff) as u16;
        for window in [window ^ 1, window, window, window, window] {
            self.hear(window, connection, lower);
        }
    }

    /// smoltcp forgets its timers when a retransmission falls due while the window is closed, which
    /// happens when acknowledgements overtake each other. Hearing of the closed window once more
    /// lets it begin to probe.
    pub(crate) fn revive(&mut self, connection: &Connection, lower: &mut LowerLayer) {
        self.hear(0, connection, lower);
    }

    /// Shows smoltcp an acknowledgement of nothing new.
    fn hear(&mut self, window: u16, connection: &Connection, lower: &mut LowerLayer) {
        let back = connection.tuple.reversed();
        let (rcv_nxt, snd_una) = (self.rcv_nxt(), self.snd_una());
        let mut ack = TcpHeader::ack(rcv_nxt, snd_una);
        ack.window = window;
        let mut buffer = [0; PACKET_BYTES_MAX];
        let frame = &mut buffer[..ack.packet_len(&back)];
        ack.emit(&back, &[], true, frame);
        self.poll_ingress(frame, lower, &mut Unplugged);
    }
}

/// Those of one socket that can be due before it repeats something, and that.
const TIMERS: usize = 3;
/// By then every timeout is the longest.
const BACKOFFS_MAX: u8 = 9;
/// RFC 5681 section 3.2.
const DUPLICATES: u32 = 3;
