//! TCP's context: what connections, listeners and connectors share with their stack.

use crate::config::{CongestionControl, Limits};
use crate::counters::{Counter, Counters};
use crate::device::{Capabilities, FrameTap};
use crate::link::path_mtu::PathMtus;
use crate::time::{Duration, Instant};
use crate::wire::tuple::Tuple;
use crate::wire::{ETHERNET, IPV4, IPV6, TCP};
use ::tcp::options::OPTIONS_BYTES_MAX;
use ::tcp::{Algorithm, Config, Shared};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::num::NonZeroUsize;
use flow::sync::WakerList;

/// One interface's state that tasks reach, too.
pub(crate) struct TcpContext {
    pub(crate) limits: Limits,
    /// The engine's settings, buffer memory and counters.
    pub(crate) shared: RefCell<Shared>,
    pub(crate) counters: Counters,
    /// Connections that there were.
    opened: Cell<u64>,
    /// The instant of the last phase.
    pub(crate) now: Cell<Instant>,
    /// Slots of connections that may have something to send.
    pub(crate) dirty: RefCell<Vec<u32>>,
    /// Writers that found no buffer memory, with nothing in flight whose acknowledgement would wake them.
    pub(crate) starved: WakerList,
    pub(crate) path_mtus: RefCell<PathMtus>,
    /// How long a connection that nobody holds may go on without progress: while there is something to acknowledge, and after.
    pub(crate) user_timeout: Duration,
    pub(crate) orphan_timeout: Duration,
    /// TCP checksums are ours to write, and ours to verify.
    pub(crate) checksum: bool,
    pub(crate) verify: bool,
    /// The most payload that the device cuts into segments, of IPv4 and IPv6, in bytes; 0 when it does not.
    offload_bytes: (usize, usize),
    /// RFC 6864 section 4.2: the next identification of a packet that may be cut.
    fragment_id: Cell<u16>,
    /// Who sees each frame.
    tap: RefCell<Option<Rc<dyn FrameTap>>>,
}

impl TcpContext {
    /// Who sees each frame, if somebody does.
    #[inline]
    pub(crate) fn tap(&self) -> Option<Rc<dyn FrameTap>> {
        self.tap.borrow().clone()
    }

    pub(crate) fn set_tap(&self, tap: Option<Rc<dyn FrameTap>>) {
        self.tap.replace(tap);
    }

    pub(crate) fn new(limits: Limits, device: &Capabilities, now: Instant) -> Self {
        Self {
            shared: RefCell::new(Shared::new(engine_config(&limits))),
            user_timeout: limits.user_timeout.into(),
            orphan_timeout: limits.orphan_timeout.into(),
            counters: Counters::new(),
            opened: Cell::new(0),
            now: Cell::new(now),
            dirty: RefCell::new(Vec::new()),
            starved: WakerList::default(),
            path_mtus: RefCell::default(),
            checksum: !device.transmit_checksums,
            verify: !device.receive_checksums,
            offload_bytes: (
                offload_bytes(device.segmentation_ipv4, device.mtu_bytes, IPV4),
                offload_bytes(device.segmentation_ipv6, device.mtu_bytes, IPV6),
            ),
            fragment_id: Cell::new(now.micros() as u16),
            tap: RefCell::default(),
            limits,
        }
    }

    /// The most payload that the device cuts into segments, in bytes; 0 when it does not.
    #[inline]
    pub(crate) fn offload_bytes(&self, tuple: &Tuple) -> usize {
        if tuple.is_v4() { self.offload_bytes.0 } else { self.offload_bytes.1 }
    }

    /// Bytes of data and options in a segment of a packet of that length.
    pub(crate) fn mss(&self, tuple: &Tuple, mtu_bytes: usize) -> u16 {
        mtu_bytes.saturating_sub(tuple.ip_header_len() + TCP).min(0xffff) as u16
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.opened.set(self.opened.get() + 1);
        self.opened.get()
    }

    pub(crate) fn next_fragment_id(&self) -> u16 {
        self.fragment_id.replace(self.fragment_id.get().wrapping_add(1))
    }

    /// How often it happened, whether the engine counts it or we do.
    pub(crate) fn count(&self, counter: Counter) -> u64 {
        let engine = self.shared.borrow().counters;
        match counter {
            Counter::SegmentsIn => engine.segments_received,
            Counter::SegmentsPredicted => engine.segments_predicted,
            Counter::SegmentsOut => engine.segments_sent,
            Counter::DuplicateBytes => engine.bytes_duplicate,
            Counter::OutOfOrderBytes => engine.bytes_out_of_order,
            Counter::RetransmittedBytes => engine.bytes_retransmitted,
            Counter::Recoveries => engine.recoveries,
            Counter::CongestionEchoes => engine.congestion_echoes,
            Counter::WindowProbes => engine.window_probes,
            Counter::KeepAliveProbes => engine.keep_alive_probes,
            Counter::Retransmits => engine.segments_retransmitted,
            Counter::RetransmissionTimeouts => engine.retransmission_timeouts,
            Counter::LossProbes => engine.loss_probes,
            Counter::SpuriousRecoveries => engine.undone,
            Counter::ChallengeAcks => engine.challenge_acks,
            Counter::Unacceptable => engine.segments_unacceptable,
            Counter::BlackHoles => engine.black_holes,
            Counter::ResetsIn => engine.resets_received,
            Counter::TimedOut => engine.timed_out,
            Counter::NoBufferMemory => engine.bytes_without_memory,
            other => self.counters.get(other),
        }
    }
}

fn offload_bytes(frame: Option<NonZeroUsize>, mtu_bytes: usize, ip_header_len: usize) -> usize {
    let longest = frame.map_or(0, |bytes| bytes.get().saturating_sub(ETHERNET).min(PACKET_MAX));
    // Less than two segments is no segmentation.
    if longest <= 2 * mtu_bytes {
        return 0;
    }
    longest - ip_header_len - TCP - OPTIONS_BYTES_MAX
}

/// The longest IP packet: what both versions' length fields can say.
const PACKET_MAX: usize = 0xffff;

/// The engine's settings.
fn engine_config(limits: &Limits) -> Config {
    let user_timeout = Duration::from(limits.user_timeout);
    Config {
        buffers_bytes_max: limits.buffers_max_bytes,
        receive_initial_bytes: bytes(limits.receive_buffer_initial_bytes),
        receive_bytes_max: bytes(limits.receive_buffer_max_bytes),
        send_initial_bytes: bytes(limits.send_buffer_initial_bytes),
        send_bytes_max: bytes(limits.send_buffer_max_bytes),
        congestion_control: match limits.congestion_control {
            CongestionControl::Cubic => Algorithm::Cubic,
            CongestionControl::Reno => Algorithm::Reno,
            CongestionControl::Bbr => Algorithm::Bbr,
            CongestionControl::Off => Algorithm::Off,
        },
        delayed_ack: limits.acknowledge.into(),
        open_timeout: limits.connect_timeout.into(),
        user_timeout,
        keep_alive_idle: limits.keep_alive.map_or(Duration::ENDLESS, Duration::from),
        keep_alive_interval: user_timeout.divided(KEEP_ALIVE_PROBES.into()),
        keep_alive_probes: KEEP_ALIVE_PROBES,
        time_wait: limits.time_wait.into(),
        ..Config::default()
    }
}

/// Questions to a silent peer, spread over the time that it may be silent.
const KEEP_ALIVE_PROBES: u8 = 6;

/// RFC 7323 section 2.3: no window is larger than 1 GiB.
fn bytes(size: usize) -> u32 {
    size.min(1 << 30) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counter as C;

    fn context(limits: Limits, start: Instant) -> TcpContext {
        TcpContext::new(limits, &Capabilities::new(1_500), start)
    }

    #[test]
    fn a_device_that_cuts_less_than_three_packets_cuts_none() {
        for (frame, v4, v6) in [
            (None, 0, 0),
            (Some(14), 0, 0),
            (Some(3_014), 0, 0),
            (Some(3_015), 2_921, 2_901),
            // An IP packet has 65,535 bytes at most.
            (Some(65_549), 65_455, 65_435),
            (Some(100_000), 65_455, 65_435),
        ] {
            let frame = frame.and_then(NonZeroUsize::new);
            assert_eq!(
                [offload_bytes(frame, 1_500, 20), offload_bytes(frame, 1_500, 40)],
                [v4, v6]
            );
            let device = Capabilities { segmentation_ipv6: frame, ..Capabilities::new(1_500) };
            let context = TcpContext::new(Limits::default(), &device, Instant::START);
            let [tuple_v4, tuple_v6] = tuples();
            let taken = [context.offload_bytes(&tuple_v4), context.offload_bytes(&tuple_v6)];
            assert_eq!(taken, [0, v6]);
        }
    }

    fn tuples() -> [Tuple; 2] {
        [("10.0.0.1:80", "10.0.0.2:9"), ("[fd00::1]:80", "[fd00::2]:9")]
            .map(|(own, peer)| Tuple::new(own.parse().unwrap(), peer.parse().unwrap()))
    }

    #[test]
    fn segments_are_what_headers_leave_of_a_packet() {
        let context = context(Limits::default(), Instant::START);
        for (mtu, expected) in [
            (1_500, [1_460, 1_440]),
            (61, [21, 1]),
            (60, [20, 0]),
            (39, [0, 0]),
            (70_000, [65_535, 65_535]),
        ] {
            assert_eq!(tuples().map(|tuple| context.mss(&tuple, mtu)), expected);
        }
    }

    #[test]
    fn rfc_6864_4_2_identifications_follow_each_other_and_go_round() {
        let context = context(Limits::default(), Instant::START + Duration::from_micros(0x1_fffe));
        let next = [0; 3].map(|_| context.next_fragment_id());
        assert_eq!(next, [0xfffe, 0xffff, 0]);
        assert_eq!([0; 3].map(|_| context.next_number()), [1, 2, 3]);
    }

    #[test]
    fn every_limit_is_the_engines_too() {
        let core_time = core::time::Duration::from_secs;
        let limits = Limits {
            buffers_max_bytes: 1 << 21,
            receive_buffer_initial_bytes: 1_001,
            receive_buffer_max_bytes: 1 << 31,
            send_buffer_initial_bytes: 1_003,
            send_buffer_max_bytes: (1 << 30) - 1,
            congestion_control: CongestionControl::Bbr,
            acknowledge: core_time(1),
            connect_timeout: core_time(2),
            user_timeout: core_time(12),
            keep_alive: Some(core_time(4)),
            time_wait: core_time(5),
            ..Limits::default()
        };
        let seconds = Duration::from_secs;
        let config = engine_config(&limits);
        assert_eq!(config.buffers_bytes_max, 1 << 21);
        // RFC 7323 section 2.3: a window is of 1 GiB at most.
        assert_eq!((config.receive_initial_bytes, config.receive_bytes_max), (1_001, 1 << 30));
        assert_eq!((config.send_initial_bytes, config.send_bytes_max), (1_003, (1 << 30) - 1));
        assert_eq!((config.delayed_ack, config.open_timeout), (seconds(1), seconds(2)));
        assert_eq!((config.user_timeout, config.time_wait), (seconds(12), seconds(5)));
        assert_eq!((config.keep_alive_idle, config.keep_alive_interval), (seconds(4), seconds(2)));
        assert_eq!(config.keep_alive_probes, 6);
        let never = engine_config(&Limits { keep_alive: None, ..Limits::default() });
        assert_eq!(never.keep_alive_idle, Duration::ENDLESS);
        for (asked, algorithm) in [
            (CongestionControl::Cubic, Algorithm::Cubic),
            (CongestionControl::Reno, Algorithm::Reno),
            (CongestionControl::Bbr, Algorithm::Bbr),
            (CongestionControl::Off, Algorithm::Off),
        ] {
            let limits = Limits { congestion_control: asked, ..Limits::default() };
            assert!(engine_config(&limits).congestion_control == algorithm, "{asked:?}");
        }
        let context = context(limits, Instant::START);
        assert_eq!(
            (context.user_timeout, context.checksum, context.verify),
            (seconds(12), true, true)
        );
    }

    #[test]
    fn what_the_engine_counts_is_shown_under_its_name() {
        let context = context(Limits::default(), Instant::START);
        context.counters.add_many(C::FramesIn, 99);
        context.shared.borrow_mut().counters = ::tcp::Counters {
            segments_received: 1,
            segments_sent: 2,
            segments_predicted: 3,
            segments_unacceptable: 4,
            challenge_acks: 5,
            segments_retransmitted: 6,
            bytes_retransmitted: 7,
            retransmission_timeouts: 8,
            loss_probes: 9,
            recoveries: 10,
            undone: 11,
            window_probes: 12,
            keep_alive_probes: 13,
            bytes_without_memory: 14,
            bytes_out_of_order: 15,
            bytes_duplicate: 16,
            congestion_echoes: 17,
            black_holes: 18,
            resets_received: 19,
            timed_out: 20,
            ..::tcp::Counters::default()
        };
        let shown = [
            C::SegmentsIn,
            C::SegmentsOut,
            C::SegmentsPredicted,
            C::Unacceptable,
            C::ChallengeAcks,
            C::Retransmits,
            C::RetransmittedBytes,
            C::RetransmissionTimeouts,
            C::LossProbes,
            C::Recoveries,
            C::SpuriousRecoveries,
            C::WindowProbes,
            C::KeepAliveProbes,
            C::NoBufferMemory,
            C::OutOfOrderBytes,
            C::DuplicateBytes,
            C::CongestionEchoes,
            C::BlackHoles,
            C::ResetsIn,
            C::TimedOut,
            C::FramesIn,
            C::BytesIn,
        ];
        let expected = (1..=20).chain([99, 0]);
        assert!(shown.into_iter().map(|counter| context.count(counter)).eq(expected));
    }
}
