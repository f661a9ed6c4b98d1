//! Capture: frames as pcapng, while they come.

use super::wire::{TooMany, Watcher, Wire, stream_of};
use crate::Platform;
use crate::service::Services;
use alloc::vec::Vec;
use capture::pcapng::{self, Packet, Statistics};
use capture::{Filter, Segment};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use flow::sync::Notify;
use flow::time::Timers;
use net::device::TappedFrame;
use web::Reply;

/// Bytes that wait for a client; what is more is dropped, and counted in the file.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// As many make its writer go on at once.
const BUFFER_BYTES: usize = 32 << 10;
/// How often fewer are sent.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes of each frame that are kept: the longest there are, unless fewer are asked for.
pub(super) const SNAP_BYTES_MAX: u32 = 65_535 + 14;

/// What is wanted of frames.
pub(super) struct Wish {
    pub(super) filter: Filter,
    pub(super) snap_bytes: u32,
    /// The one card whose frames are wanted.
    pub(super) card: Option<usize>,
    /// Frames, and time, after which it ends.
    pub(super) frames_max: Option<u64>,
    pub(super) time_max: Option<Duration>,
    /// The port at which it is asked for: frames of the capture itself would never end.
    pub(super) own_port: u16,
    /// Time since 1970-01-01 00:00 UTC when the timers' was zero.
    pub(super) wall_clock_start: Duration,
}

/// A capture from now on, as a client takes it. It ends when the appliance stops, too.
pub(super) fn reply<P: Platform>(
    wire: &Wire<P>,
    timers: &Timers,
    services: &Services,
    wish: Wish,
) -> Result<Reply, TooMany> {
    let until = wish.time_max.map(|time| timers.now() + time);
    let capture = wire.watch(Capture::new(wire.cards(), wish))?;
    let (timers, services) = (timers.clone(), services.clone());
    Ok(Reply::stream(stream_of("application/x-pcapng"), async move |mut writer| {
        let is_over = || {
            capture.is_whole()
                || until.is_some_and(|until| timers.now() >= until)
                || services.are_draining()
        };
        while !is_over() {
            writer.write(capture.piece(&timers).await).await;
        }
        writer.write(capture.end(timers.now())).await;
    }))
}

/// Frames that wait to be sent, as blocks of the file.
struct Capture {
    wish: Wish,
    file: RefCell<Vec<u8>>,
    counts: RefCell<Vec<Counts>>,
    frames: Cell<u64>,
    dropped_before: Cell<u64>,
    filled: Notify,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    seen: u64,
    wanted: u64,
    dropped: u64,
}

impl Capture {
    fn new(cards: usize, wish: Wish) -> Self {
        let mut file = Vec::new();
        pcapng::section(&mut file, concat!("aqueduct ", env!("CARGO_PKG_VERSION")));
        for card in 0..cards {
            pcapng::interface(&mut file, &alloc::format!("net{card}"), wish.snap_bytes);
        }
        Self {
            wish,
            file: RefCell::new(file),
            counts: RefCell::new(alloc::vec![Counts::default(); cards]),
            frames: Cell::new(0),
            dropped_before: Cell::new(0),
            filled: Notify::default(),
        }
    }

    /// What has come, once there is enough of it, or some time has passed.
    async fn piece(&self, timers: &Timers) -> Vec<u8> {
        let _ = timers.before(timers.now() + PAUSE, self.filled.notified()).await;
        core::mem::take(&mut self.file.borrow_mut())
    }

    /// As many frames as were wanted are there.
    fn is_whole(&self) -> bool {
        self.wish.frames_max.is_some_and(|max| self.frames.get() >= max)
    }

    /// The end of the file: what is left, and how many frames there were.
    fn end(&self, now: Duration) -> Vec<u8> {
        let mut file = core::mem::take(&mut *self.file.borrow_mut());
        let unix_nanoseconds = nanoseconds(self.wish.wall_clock_start + now);
        for (interface, counts) in (0..).zip(self.counts.borrow().iter()) {
            let Counts { seen, wanted, dropped } = *counts;
            let statistics = Statistics { interface, unix_nanoseconds, seen, wanted, dropped };
            pcapng::statistics(&mut file, &statistics);
        }
        file
    }

    fn wants(&self, card: usize, frame: &TappedFrame<'_>) -> bool {
        let Wish { filter, card: only, own_port, .. } = &self.wish;
        if only.is_some_and(|only| only != card) || self.is_whole() {
            return false;
        }
        let is_own = |ports: [u16; 2]| ports.contains(own_port);
        !Segment::ports_of(frame.head).is_some_and(is_own)
            && filter.matches(frame.head, frame.bytes())
    }
}

impl Watcher for Capture {
    fn frame(&self, card: usize, now: Duration, frame: &TappedFrame<'_>) {
        let mut counts = self.counts.borrow_mut();
        let Some(counts) = counts.get_mut(card) else { return };
        counts.seen += 1;
        if !self.wants(card, frame) {
            return;
        }
        counts.wanted += 1;
        self.frames.set(self.frames.get() + 1);
        let snap_bytes = self.wish.snap_bytes as usize;
        let head = frame.head.get(..snap_bytes).unwrap_or(frame.head);
        let tail_bytes = (snap_bytes - head.len()).min(frame.tail.len());
        let tail = frame.tail.get(..tail_bytes).unwrap_or_default();
        let mut file = self.file.borrow_mut();
        if file.len() + head.len() + tail.len() > BUFFER_BYTES_MAX {
            counts.dropped += 1;
            self.dropped_before.set(self.dropped_before.get() + 1);
            return;
        }
        let packet = Packet {
            interface: card as u32,
            unix_nanoseconds: nanoseconds(self.wish.wall_clock_start + now),
            is_outbound: frame.is_outbound,
            frame_bytes: frame.bytes(),
            dropped_before: self.dropped_before.take(),
        };
        pcapng::packet(&mut file, &packet, &[head, tail]);
        if file.len() >= BUFFER_BYTES || self.is_whole() {
            self.filled.notify();
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
