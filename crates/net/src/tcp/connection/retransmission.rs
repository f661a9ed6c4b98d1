//! The repair of loss, beyond what smoltcp does.
//!
//! smoltcp sends one segment again after three duplicate acknowledgements, and everything after a
//! timeout of at least a second, which doubles until new data has been measured. So a second hole
//! in a window, or a repeated segment that gets lost, too, costs seconds; and where a peer drops
//! what its window allowed, or the last FIN is repeated out of turn, smoltcp is left without a
//! timer. The clock is therefore ours, and a hole behind a repaired one is repaired at once
//! (RFC 6582). smoltcp is moved by what it hears (duplicate acknowledgements that we write) and by
//! the time it is told.

use crate::device::smoltcp::SmoltcpDevice;
use crate::device::{Transmit, Unplugged};
use crate::tcp::connection::fast_path::InFlight;
use crate::tcp::connection::output::Path;
use crate::tcp::connection::{Connection, Tcb};
use crate::time::{Duration, Instant};
use crate::wire::header::{PACKET_BYTES_MAX, TcpHeader};
use crate::wire::segment::{Segment, before};
use smoltcp::socket::tcp::State;

/// Where a connection stands in the repair of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// Nothing is known to be lost.
    Idle,
    /// A segment was sent again; others before this number may be lost, too.
    Segment(u32),
    /// The timeout has passed: smoltcp sends everything before this number again.
    Timeout(u32),
}

/// When to send again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetransmissionTimer {
    /// The next time, while something is unacknowledged.
    pub(crate) at: Instant,
    pub(crate) recovery: Recovery,
    /// Timeouts since the last progress.
    backoffs: u8,
    /// Selective acknowledgements without progress.
    duplicates: u8,
}

impl RetransmissionTimer {
    pub(crate) const STOPPED: Self =
        Self { at: Instant::NEVER, recovery: Recovery::Idle, backoffs: 0, duplicates: 0 };
}

impl Tcb {
    /// Something new is on its way.
    pub(crate) fn start_clock(&mut self, now: Instant) {
        if self.rto.at == Instant::NEVER {
            self.rto.at = now + self.timeout();
        }
    }

    /// Something was sent again, without our doing unless the clock says so.
    pub(crate) fn note_repetition(&mut self, now: Instant) {
        if self.rto.recovery == Recovery::Idle {
            let timed_out = self.waiting_since.is_some_and(|since| now >= since + Duration::SECOND);
            let until = self.snd_nxt;
            self.rto.recovery =
                if timed_out { Recovery::Timeout(until) } else { Recovery::Segment(until) };
        }
    }

    /// The peer of a calm connection has acknowledged all that has left, or a part.
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
        path: &mut Path,
        segment: &Segment,
        snd_una: u32,
    ) {
        let now = path.now;
        self.rto.backoffs = 0;
        self.rto.duplicates = u8::from(segment.has_options);
        let is_done = self.snd_nxt == snd_una;
        self.rto.at = if is_done { Instant::NEVER } else { now + self.timeout() };
        match self.rto.recovery {
            Recovery::Idle => (),
            Recovery::Segment(until) if before(snd_una, until) => {
                self.repeat_first(connection, path);
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
        path: &mut Path,
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
            self.repeat_first(connection, path);
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

    /// The clock's time has come. False when the device was full.
    pub(crate) fn send_again(
        &mut self,
        connection: &Connection,
        path: &mut Path,
        output: &mut dyn Transmit,
    ) -> bool {
        self.rto.recovery = Recovery::Timeout(self.snd_nxt);
        if self.engine.is_fast() {
            self.leave_fast_path(InFlight::Lost, connection);
        }
        let sent = self.poll_timers(connection, path, output).and_then(|sent| {
            if sent { Some(true) } else { self.repeat_untimed(connection, path, output) }
        });
        if sent.is_none() {
            return false;
        }
        self.rto.backoffs = (self.rto.backoffs + 1).min(BACKOFFS_MAX);
        self.rto.at = path.now + self.timeout();
        true
    }

    /// smoltcp has no timer for what is unacknowledged. `None` when the device was full.
    fn repeat_untimed(
        &mut self,
        connection: &Connection,
        path: &mut Path,
        output: &mut dyn Transmit,
    ) -> Option<bool> {
        if self.engine.queued() > 0 {
            if self.snd_wnd > 0 {
                self.repeat_first(connection, path);
                return self.poll_at_time(path.now, connection, path, output);
            }
            self.revive(connection, path);
            return self.poll_timers(connection, path, output);
        }
        let state = self.state();
        if !matches!(state, State::FinWait1 | State::LastAck | State::Closing) {
            return Some(false);
        }
        let fin = TcpHeader::fin(self.write_seq(), self.rcv_nxt());
        self.send_bare(fin, connection, path, output).then_some(true)
    }

    /// Lets smoltcp's timers run out: that of a delayed acknowledgement, and the one that repeats.
    fn poll_timers(
        &mut self,
        connection: &Connection,
        path: &mut Path,
        output: &mut dyn Transmit,
    ) -> Option<bool> {
        for _ in 0..TIMERS {
            let Some(next) = self.poll_at(path) else { break };
            if self.poll_at_time(next.max(path.now), connection, path, output)? {
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
        path: &mut Path,
        output: &mut dyn Transmit,
    ) -> Option<bool> {
        let (sent, blocked) = self.poll_egress(at, path, output);
        self.note_sent(connection, &sent, path.now);
        (!blocked).then_some(sent.seq != sent.seq_end)
    }

    /// Makes smoltcp send the first unacknowledged segment again, by the three duplicates that it
    /// waits for. What it counted before is forgotten when the window changes.
    fn repeat_first(&mut self, connection: &Connection, path: &mut Path) {
        let window = (self.snd_wnd >> self.offer.window_scale.unwrap_or(0)).min(0xffff) as u16;
        for window in [window ^ 1, window, window, window, window] {
            self.hear(window, connection, path);
        }
    }

    /// smoltcp forgets its timers when a retransmission falls due while the window is closed, which
    /// happens when acknowledgements overtake each other. Hearing of the closed window once more
    /// lets it begin to probe.
    pub(crate) fn revive(&mut self, connection: &Connection, path: &mut Path) {
        self.hear(0, connection, path);
    }

    /// Shows smoltcp an acknowledgement of nothing new.
    fn hear(&mut self, window: u16, connection: &Connection, path: &mut Path) {
        let back = connection.tuple.reversed();
        let (rcv_nxt, snd_una) = (self.rcv_nxt(), self.snd_una());
        let mut ack = TcpHeader::ack(rcv_nxt, snd_una);
        ack.window = window;
        let mut buffer = [0; PACKET_BYTES_MAX];
        let frame = &mut buffer[..ack.packet_len(&back)];
        ack.emit(&back, &[], true, frame);
        self.poll_ingress(frame, path, &mut Unplugged);
    }

    /// Sends a segment that smoltcp knows nothing of; false when the device was full.
    pub(crate) fn send_bare(
        &mut self,
        mut header: TcpHeader,
        connection: &Connection,
        path: &Path,
        output: &mut dyn Transmit,
    ) -> bool {
        let tuple = &connection.tuple;
        let free = self.engine.receive_capacity() - self.engine.unread();
        header.window = (free >> self.template.window_shift_in).min(0xffff) as u16;
        let mut device = SmoltcpDevice::new(path.caps, output);
        device.template = Some(&self.template);
        device.send(header.packet_len(tuple), None, &mut |packet| {
            header.emit(tuple, &[], false, packet);
        });
        let sent = device.sent;
        self.note_sent(connection, &sent, path.now);
        sent.packets > 0
    }

    /// RFC 6298's timeout, with twice the round trip for its variance.
    pub(crate) fn timeout(&self) -> Duration {
        let once =
            self.srtt.map_or(Duration::SECOND, |srtt| Duration::plus(srtt.times(2), TIMEOUT_MIN));
        let longest = if self.snd_wnd == 0 { PROBE_MAX } else { TIMEOUT_MAX };
        once.times(1 << self.rto.backoffs).min(longest)
    }
}

/// RFC 6298 section 2.4 says a second; what everybody runs says this, which covers the 40 to 200 ms
/// for which acknowledgements are delayed.
const TIMEOUT_MIN: Duration = Duration::TICK.times(200);
/// RFC 6298 section 2.5.
const TIMEOUT_MAX: Duration = Duration::SECOND.times(60);
/// Between questions to a closed window: its owner must be heard often enough not to be given up.
const PROBE_MAX: Duration = Duration::SECOND.times(10);
/// Those of one socket that can be due before it repeats something, and that.
const TIMERS: usize = 3;
/// By then every timeout is the longest.
const BACKOFFS_MAX: u8 = 9;
/// RFC 5681 section 3.2.
const DUPLICATES: u32 = 3;
