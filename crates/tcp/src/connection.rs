//! A connection: the transmission control block (RFC 9293 section 3.3.1) and what is done with it.

mod acknowledge;
mod challenge;
mod close;
mod expected;
mod info;
mod input;
mod open;
mod output;
mod path;
mod read;
mod schedule;
mod syn;
mod timers;
mod window;
mod write;

pub use info::Info;
pub use open::{Handshake, Open};
pub use output::Transmit;

use crate::congestion::Congestion;
use crate::receive_buffer::ReceiveBuffer;
use crate::recovery::Recovery;
use crate::rtt::Rtt;
use crate::scoreboard::Scoreboard;
use crate::send_buffer::SendBuffer;
use crate::sequence::SeqNumber;
use crate::state::State;
use crate::time::Instant;
use alloc::boxed::Box;
use challenge::ChallengeLimit;
use timers::Timers;
use window::ReceiveWindow;

/// A TCP connection. See the [crate's page](crate) for how to drive it.
///
/// Its buffers count in [`Memory`](crate::Memory): [`release`](Self::release) it before it is dropped.
#[derive(Debug)]
pub struct Connection {
    state: State,
    /// What is to be told by [`poll_event`](Self::poll_event).
    events: Events,
    /// Why it is closed.
    reason: CloseReason,
    features: Features,
    send: SendSequence,
    receive: ReceiveSequence,
    send_buffer: SendBuffer,
    receive_buffer: ReceiveBuffer,
    receive_window: ReceiveWindow,
    scoreboard: Scoreboard,
    recovery: Recovery,
    congestion: Congestion,
    rtt: Rtt,
    timers: Timers,
    /// The search for the path's segment size, where it is less than what both ends take.
    search: Option<Box<path::Search>>,
    pending: Pending,
    challenge: ChallengeLimit,
    /// When the last segment was received that was acceptable.
    heard_at: Instant,
    /// When the peer last acknowledged something, or something was sent after everything had been.
    progress_at: Instant,
    /// When data was sent last.
    sent_at: Instant,
    /// Segments sent again.
    resent: u32,
}

/// The send sequence space (RFC 9293 section 3.3.1).
#[derive(Clone, Copy, Debug)]
struct SendSequence {
    /// ISS: the number of our SYN.
    initial: SeqNumber,
    /// SND.UNA.
    unacknowledged: SeqNumber,
    /// SND.NXT.
    next: SeqNumber,
    /// SND.WND in bytes, and the largest that it was.
    window: u32,
    window_max: u32,
    /// SND.WL1 and SND.WL2.
    window_seq: SeqNumber,
    window_ack: SeqNumber,
    /// The window was in the way of data last when this was SND.NXT: growth is for those who need it.
    limited_at: SeqNumber,
    /// Bytes of data and options that a segment may have: what the peer takes, and the path.
    mss: u16,
    /// The shift of windows that the peer sends.
    scale: u8,
}

/// The receive sequence space (RFC 9293 section 3.3.1).
#[derive(Clone, Copy, Debug)]
struct ReceiveSequence {
    /// RCV.NXT.
    next: SeqNumber,
    /// RCV.NXT + RCV.WND as the peer was told: never goes back.
    advertised: SeqNumber,
    /// The acknowledgement that was sent last (RFC 7323: Last.ACK.sent).
    acknowledged: SeqNumber,
    /// The number of the peer's FIN, when it came ahead of a gap.
    fin: Option<SeqNumber>,
    /// RFC 7323: TS.Recent, and when it was set, in seconds.
    timestamp: u32,
    timestamp_at: u32,
    /// Bytes of data and options that we said we take, and the longest segment seen.
    mss: u16,
    segment: u16,
    /// The shift of windows that we send.
    scale: u8,
}

/// What both ends agreed upon, and what the user chose.
#[derive(Clone, Copy, Debug)]
struct Features {
    sack: bool,
    timestamps: bool,
    window_scaling: bool,
    ecn: bool,
    nagle: bool,
    /// It was opened by a SYN of ours.
    is_active: bool,
    /// Nobody reads any more.
    stopped_reading: bool,
    /// A CLOSE waits for the handshake.
    close_queued: bool,
    /// Is added to the clock of timestamps (RFC 7323 section 5.4).
    timestamp_offset: u32,
}

/// What is to be sent, apart from data.
#[derive(Clone, Copy, Debug)]
struct Pending {
    acknowledgement: AckState,
    /// Segments that are acknowledged at once before acknowledgements are delayed.
    quick_acks: u8,
    syn: bool,
    /// A reset with that number.
    reset: Option<SeqNumber>,
    /// A retransmission or probe that no window holds back.
    probe: Probe,
    keep_alive: bool,
    /// RFC 3168: we saw congestion marked and say so until the peer has reduced its window.
    echo_congestion: bool,
    /// RFC 3168: we have reduced ours and say so with the next data.
    window_reduced: bool,
    /// RFC 2883: data that came twice.
    duplicate: Option<(SeqNumber, SeqNumber)>,
}

impl Pending {
    const NONE: Self = Self {
        acknowledgement: AckState::None,
        quick_acks: QUICK_ACKS,
        syn: false,
        reset: None,
        probe: Probe::None,
        keep_alive: false,
        echo_congestion: false,
        window_reduced: false,
        duplicate: None,
    };
}

/// A peer in slow start needs acknowledgements.
const QUICK_ACKS: u8 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckState {
    None,
    Delayed,
    Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    None,
    /// One segment of what is lost, whatever the window (RFC 6298 section 5.4, RFC 9937).
    Retransmission,
    /// RFC 8985 section 7.3.
    TailLoss,
    /// RFC 9293 section 3.8.6.1, or the override of section 3.8.6.2.1.
    Window,
}

/// Something that the user of a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is complete.
    Connected,
    /// There are bytes to read that were not there before.
    Readable,
    /// The peer has finished; what it sent before can still be read.
    PeerFinished,
    /// The send buffer has room again, after a write that found too little.
    Writable,
    /// Everything written is acknowledged.
    Drained,
    /// The path takes segments of [`Connection::mss`] bytes, and none that is notably larger, as a search after a
    /// black hole has shown. To be remembered for the destination.
    PathMss,
    /// Both ends have finished: after what [`poll_transmit`](Connection::poll_transmit) still has, and what is
    /// to be read, [`Connection::time_wait`] is all that has to be kept.
    TimeWait,
    /// It is over, and holds nothing but bytes to be read.
    Closed(CloseReason),
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both ends finished, or [`Connection::close`] was called before anything was known of the peer.
    Finished,
    /// The user aborted it.
    Aborted,
    /// The peer does not listen.
    Refused,
    /// The peer reset it.
    Reset,
    /// The peer did not answer for so long that it is believed to be gone.
    TimedOut,
    /// The network says that the peer cannot be reached.
    Unreachable,
}

/// Events that have not been told: a bit each, in the order of [`Event`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u16);

impl Events {
    /// [`Event::Connected`].
    pub const CONNECTED: u16 = 1;
    /// [`Event::Readable`].
    pub const READABLE: u16 = 1 << 1;
    /// [`Event::PeerFinished`].
    pub const PEER_FINISHED: u16 = 1 << 2;
    /// [`Event::Writable`].
    pub const WRITABLE: u16 = 1 << 3;
    /// [`Event::Drained`].
    pub const DRAINED: u16 = 1 << 4;
    /// [`Event::PathMss`].
    pub const PATH_MSS: u16 = 1 << 5;
    /// [`Event::TimeWait`].
    pub const TIME_WAIT: u16 = 1 << 6;
    /// [`Event::Closed`].
    pub const CLOSED: u16 = 1 << 7;
    /// A write found too little room, and waits for [`WRITABLE`](Self::WRITABLE).
    const WANTS_ROOM: u16 = 1 << 15;
    const POLLED: u16 = !Self::WANTS_ROOM;

    #[inline]
    fn add(&mut self, event: u16) {
        self.0 |= event;
    }

    /// One of `events` is among them.
    #[inline]
    pub fn has(self, events: u16) -> bool {
        self.0 & events != 0
    }

    fn remove(&mut self, event: u16) {
        self.0 &= !event;
    }
}

impl Connection {
    /// All that has happened and was not told yet, for those who ask more often than something happens.
    #[inline]
    pub fn take_events(&mut self) -> Events {
        let told = self.events.0 & Events::POLLED;
        self.events.remove(told);
        Events(told)
    }

    /// What has happened and was not told yet, the first first.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        let waiting = self.events.0 & Events::POLLED;
        if waiting == 0 {
            return None;
        }
        let event = waiting & waiting.wrapping_neg();
        self.events.remove(event);
        Some(match event {
            Events::CONNECTED => Event::Connected,
            Events::READABLE => Event::Readable,
            Events::PEER_FINISHED => Event::PeerFinished,
            Events::WRITABLE => Event::Writable,
            Events::DRAINED => Event::Drained,
            Events::PATH_MSS => Event::PathMss,
            Events::TIME_WAIT => Event::TimeWait,
            _ => Event::Closed(self.reason),
        })
    }

    /// Why it is closed, if it is.
    pub fn close_reason(&self) -> CloseReason {
        self.reason
    }

    /// The state.
    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    /// Bytes of data and options that a segment to the peer may have now.
    pub fn mss(&self) -> u16 {
        self.send.mss
    }

    /// Everything written, and the FIN if there is one, is acknowledged.
    pub fn is_drained(&self) -> bool {
        self.send_buffer.len() == 0 && !(self.state.is_finishing())
    }

    /// When the last segment was received that was acceptable.
    pub fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// When the peer last acknowledged something, or something was sent after everything had been.
    pub fn progress_at(&self) -> Instant {
        self.progress_at
    }

    /// When the application last took something that was received, to a round trip; `None` if it never did.
    pub fn read_at(&self) -> Option<Instant> {
        self.receive_window.read_at()
    }

    /// Retransmission time-outs since the peer last acknowledged something.
    pub fn timeouts(&self) -> u8 {
        self.rtt.backoff()
    }

    /// It is closed, and [`poll_transmit`](Self::poll_transmit) has nothing left.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.state == State::Closed && self.pending.reset.is_none()
    }

    /// Nothing of ours is in flight or waits.
    fn fin_is_sent(&self) -> bool {
        self.send.next.is_after(self.send_buffer.end())
    }

    /// The clock of timestamps: milliseconds (RFC 7323 section 5.4: between 1 ms and 1 s a tick).
    #[inline]
    fn timestamp(&self, now: Instant) -> u32 {
        (now.millis() as u32).wrapping_add(self.features.timestamp_offset)
    }
}

#[cfg(test)]
mod tests;
