//! OPEN (RFC 9293 section 3.10.1): active, passive, and from a handshake that others did.

use super::{
    CloseReason, Connection, Events, Features, Pending, ReceiveSequence, SendSequence, State,
};
use crate::config::Shared;
use crate::congestion::Congestion;
use crate::connection::challenge::ChallengeLimit;
use crate::connection::timers::Timers;
use crate::connection::window::ReceiveWindow;
use crate::options::Options;
use crate::receive_buffer::ReceiveBuffer;
use crate::recovery::Recovery;
use crate::rtt::Rtt;
use crate::scoreboard::Scoreboard;
use crate::segment::{Flags, Segment};
use crate::send_buffer::SendBuffer;
use crate::sequence::SeqNumber;
use crate::time::{Duration, Instant};

/// What an open needs of the world.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Our initial sequence number, which nobody may guess (RFC 6528).
    pub initial: SeqNumber,
    /// Bytes of data and options that a segment may have at our device: the MTU without the fixed headers of IP and TCP.
    pub mss: u16,
    /// The same of the path, if it is known to take less: until it is tried again, after ten minutes.
    pub path_mss: Option<u16>,
    /// Is added to the clock of timestamps, which nobody needs to know (RFC 7323 section 5.4). A SYN cookie
    /// in timestamps chooses it.
    pub timestamp_offset: u32,
}

/// A handshake that somebody else completed, as a SYN queue or SYN cookies do.
#[derive(Clone, Copy, Debug)]
pub struct Handshake {
    /// The peer's initial sequence number.
    pub peer_initial: SeqNumber,
    /// What was agreed upon: the options of our SYN-ACK ([`Config::syn_options`](crate::Config::syn_options)
    /// of what the peer offered).
    pub answered: Options,
    /// What the peer's SYN offered, as far as it is known.
    pub offered: Options,
    /// The window field of the acknowledgement that completes the handshake, not scaled.
    pub window: u16,
    /// The window that our SYN-ACK announced, in bytes.
    pub advertised: u32,
    /// Both said that they can do ECN.
    pub ecn: bool,
    /// The time between SYN-ACK and acknowledgement, if the SYN-ACK was sent once.
    pub round_trip: Option<Duration>,
}

impl Connection {
    /// Active open: the SYN leaves with the next [`poll_transmit`](Self::poll_transmit).
    pub fn connect(shared: &mut Shared, now: Instant, open: &Open) -> Self {
        let mut connection = Self::new(shared, now, open, State::SynSent);
        connection.features.is_active = true;
        connection.features.sack = shared.config.sack;
        connection.features.timestamps = shared.config.timestamps;
        connection.features.ecn = shared.config.ecn;
        connection.features.window_scaling = shared.config.window_scaling;
        connection.pending.syn = true;
        connection
    }

    /// Passive open: answers the SYN that a listener received; [`listen`](crate::listen) says whether to.
    pub fn accept(shared: &mut Shared, now: Instant, open: &Open, syn: &Segment) -> Self {
        let mut connection = Self::new(shared, now, open, State::SynReceived);
        connection.receive_syn(shared, now, syn);
        connection.features.ecn = shared.config.ecn && syn.flags.has(Flags::ECE | Flags::CWR);
        connection.pending.syn = true;
        connection
    }

    /// A connection whose handshake is complete. The segment that completed it is then given to
    /// [`handle_segment`](Self::handle_segment), for the data that it may have.
    pub fn from_handshake(
        shared: &mut Shared,
        now: Instant,
        open: &Open,
        handshake: &Handshake,
    ) -> Self {
        let mut connection = Self::new(shared, now, open, State::Established);
        let Handshake { peer_initial, answered, offered, window, advertised, ecn, round_trip } =
            *handshake;
        let agreed = Options {
            window_scale: answered.window_scale.and(offered.window_scale),
            timestamps: answered.timestamps.and(offered.timestamps),
            sack_permitted: answered.sack_permitted && offered.sack_permitted,
            ..offered
        };
        connection.features.sack = shared.config.sack;
        connection.features.timestamps = shared.config.timestamps;
        let mut syn = Segment::new(peer_initial, SeqNumber(0), Flags::SYN);
        syn.options = agreed;
        connection.receive_syn(shared, now, &syn);
        connection.features.ecn = ecn;
        let next = open.initial + 1;
        connection.send.unacknowledged = next;
        connection.send.next = next;
        connection.send.limited_at = next;
        connection.send.window = u32::from(window) << connection.send.scale;
        connection.send.window_max = connection.send.window;
        connection.send.window_ack = next;
        connection.send.window_seq = connection.receive.next;
        connection.receive.advertised = connection.receive.next + advertised;
        if let Some(sample) = round_trip {
            connection.rtt.sample(now, sample, sample);
        }
        connection.timers.idle_at = now + shared.config.keep_alive_idle;
        connection
    }

    fn new(shared: &mut Shared, now: Instant, open: &Open, state: State) -> Self {
        let Open { initial, mss, path_mss, timestamp_offset } = *open;
        let nothing = SeqNumber(0);
        let send = SendSequence {
            initial,
            unacknowledged: initial,
            next: initial,
            window: 0,
            window_max: 0,
            window_seq: nothing,
            window_ack: initial,
            limited_at: initial,
            mss,
            scale: 0,
        };
        let receive = ReceiveSequence {
            next: nothing,
            advertised: nothing,
            acknowledged: nothing,
            fin: None,
            timestamp: 0,
            timestamp_at: now.seconds(),
            mss,
            segment: DEFAULT_MSS.min(mss),
            scale: 0,
        };
        let features = Features {
            sack: false,
            timestamps: false,
            window_scaling: false,
            ecn: false,
            nagle: shared.config.nagle,
            is_active: false,
            stopped_reading: false,
            close_queued: false,
            timestamp_offset,
        };
        let mut timers = Timers::OFF;
        timers.idle_at = now + shared.config.open_timeout;
        let mut connection = Self {
            state,
            events: Events::default(),
            reason: CloseReason::Finished,
            features,
            send,
            receive,
            send_buffer: SendBuffer::new(initial + 1),
            receive_buffer: ReceiveBuffer::EMPTY,
            receive_window: ReceiveWindow::new(shared.config.first_window(mss)),
            scoreboard: Scoreboard::new(initial + 1),
            recovery: Recovery::new(),
            congestion: Congestion::new(&shared.config, mss, now),
            rtt: Rtt::UNKNOWN,
            timers,
            search: None,
            pending: Pending::NONE,
            challenge: ChallengeLimit::default(),
            heard_at: now,
            progress_at: now,
            sent_at: now,
            resent: 0,
        };
        if let Some(path_mss) = path_mss {
            connection.handle_path_mss(now, path_mss, None);
        }
        connection
    }

    /// The peer's SYN: its number and what it offers. Ours was, or will be, answered in kind.
    pub(super) fn receive_syn(&mut self, shared: &Shared, now: Instant, syn: &Segment) {
        let config = &shared.config;
        let offers = &syn.options;
        self.receive.next = syn.seq + 1;
        self.receive.acknowledged = self.receive.next;
        self.receive.advertised = self.receive.next;
        // RFC 7323 section 2.2: windows are scaled if both say so.
        let scale = config.window_scale().filter(|_| offers.window_scale.is_some());
        self.receive.scale = scale.unwrap_or(0);
        self.send.scale = scale.and(offers.window_scale).unwrap_or(0);
        self.features.window_scaling = scale.is_some();
        if self.features.is_active {
            // What our SYN said.
            let window = self.receive_window.limit().min(u16::MAX.into());
            self.receive.advertised = self.receive.next + window;
        }
        if scale.is_none() {
            self.receive_window.limit_to(u16::MAX.into());
        }
        self.features.sack = config.sack && offers.sack_permitted;
        // RFC 7323 section 3.2.
        self.features.timestamps = config.timestamps && offers.timestamps.is_some();
        if let Some(timestamps) = offers.timestamps {
            (self.receive.timestamp, self.receive.timestamp_at) = (timestamps.value, now.seconds());
        }
        // RFC 9293 section 3.7.1: without the option, 536.
        let theirs = offers.mss.unwrap_or(DEFAULT_MSS).max(PEER_MSS_MIN);
        self.send.mss = self.send.mss.min(theirs);
        self.limit_search(theirs);
        self.congestion = Congestion::new(config, self.data_mss(), now);
        // RFC 7323 section 2.2: the window of a SYN is not scaled.
        self.set_window(syn, u32::from(syn.window));
    }

    /// Bytes of data in a full segment without unusual options.
    pub(super) fn data_mss(&self) -> u16 {
        let timestamps = if self.features.timestamps { 12 } else { 0 };
        self.send.mss - timestamps
    }
}

/// RFC 9293 section 3.7.1 (SHLD-5, MUST-15), for IPv4 and, as it is not less than what is allowed, for IPv6.
const DEFAULT_MSS: u16 = 536;
/// A peer that offers less makes us send headers only.
const PEER_MSS_MIN: u16 = 88;
