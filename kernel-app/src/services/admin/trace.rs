//! Trace: the segments of one connection while they come, of which its window graph is drawn.

use super::wire::{TooMany, Watcher, Wire, stream_of};
use crate::Platform;
use crate::service::Services;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use capture::{Segment, TcpFlags, xplot};
use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::time::Duration;
use flow::time::Timers;
use inspect::json::Object;
use net::device::TappedFrame;
use net::{CONNECTIONS, ConnectionRow};
use serde::Serialize;
use web::Reply;
use web::event_stream::{self, Event, KeepAlive};

/// Segments that wait for a client; what is more is dropped, and counted.
const SEGMENTS_MAX: usize = 4096;
/// How often they are sent, and how often what else is known of the connection is.
const PAUSE: Duration = Duration::from_millis(100);
const STATE_PAUSE: Duration = Duration::from_millis(500);

/// A connection that is looked at.
pub(super) struct Traced {
    /// As the table of connections names it.
    pub(super) id: String,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// By how many bits the peer's windows are shifted, and ours.
    pub(super) window_shifts: [u8; 2],
}

/// What is needed to look.
pub(super) struct Means<P> {
    pub(super) platform: P,
    pub(super) wire: Wire<P>,
    pub(super) timers: Timers,
    pub(super) services: Services,
    /// Time since 1970-01-01 00:00 UTC when the timers' was zero.
    pub(super) wall_clock_start: Duration,
}

impl<P: Platform> Means<P> {
    /// The connection of this id, if it is open.
    pub(super) fn find(&self, id: &str) -> Option<Traced> {
        let mut found = None;
        self.visit(id, &mut |row| {
            let window_shifts = row.info.as_ref().map_or([0; 2], |info| info.window_shifts);
            let (local, remote) = (row.local, row.remote);
            found = Some(Traced { id: id.into(), local, remote, window_shifts });
        });
        found
    }

    fn visit(&self, id: &str, visit: &mut dyn FnMut(ConnectionRow)) {
        self.platform.visit_connections(&mut |row| {
            if row.info.is_some() && row.id.to_string() == id {
                visit(row);
            }
        });
    }

    /// Its segments as events named `segment`, and its row among the connections as one named `state` now and then, until it
    /// is no more or the time is over.
    pub(super) fn events(self, traced: Traced, time: Option<Duration>) -> Result<Reply, TooMany> {
        let until = time.map(|time| self.timers.now() + time);
        let id = traced.id.clone();
        let trace = self.wire.watch(Trace::new(traced))?;
        let keep_alive = KeepAlive::new(&self.timers);
        Ok(event_stream::reply(keep_alive, async move |mut events| {
            let mut state_due = Duration::ZERO;
            loop {
                for seen in trace.take() {
                    let told = trace.told(&seen, self.wall_clock_start);
                    let json = serde_json::to_string(&told).unwrap_or_default();
                    events.send(Event::new(json).named("segment")).await;
                }
                let now = self.timers.now();
                if now >= state_due {
                    state_due = now + STATE_PAUSE;
                    let Some(state) = self.state(&id) else { break };
                    events.send(Event::new(state).named("state")).await;
                }
                if self.is_over(until) {
                    break;
                }
                self.timers.sleep(PAUSE).await;
            }
            let end = alloc::format!("{{\"dropped\":{}}}", trace.dropped.get());
            events.send(Event::new(end).named("end")).await;
        }))
    }

    /// The time-sequence graph of what one end sends, as a file of xplot.
    pub(super) fn xpl(
        self,
        traced: Traced,
        is_of_received: bool,
        time: Duration,
    ) -> Result<Reply, TooMany> {
        let until = Some(self.timers.now() + time);
        let [of_peer, ours] = traced.window_shifts;
        let mut graph = if is_of_received {
            xplot::Graph::new(traced.remote, traced.local, Some(ours))
        } else {
            xplot::Graph::new(traced.local, traced.remote, Some(of_peer))
        };
        let trace = self.wire.watch(Trace::new(traced))?;
        Ok(Reply::stream(stream_of("text/plain; charset=utf-8"), async move |mut writer| {
            let mut text = Vec::new();
            graph.begin(&mut text);
            loop {
                for Seen { at, segment, .. } in trace.take() {
                    graph.segment(&mut text, self.wall_clock_start + at, &segment);
                }
                if self.is_over(until) {
                    break;
                }
                writer.write(core::mem::take(&mut text)).await;
                self.timers.sleep(PAUSE).await;
            }
            graph.end(&mut text);
            writer.write(text).await;
        }))
    }

    fn is_over(&self, until: Option<Duration>) -> bool {
        self.services.are_draining() || until.is_some_and(|until| self.timers.now() >= until)
    }

    /// Its row, if it is there.
    fn state(&self, id: &str) -> Option<String> {
        let time_us = micros(self.wall_clock_start + self.timers.now());
        let mut json = None;
        self.visit(id, &mut |row| {
            let row = CONNECTIONS.row(&row);
            json = serde_json::to_string(&Stated { time_us, row: Object(&row) }).ok();
        });
        json
    }
}

struct Trace {
    of: Traced,
    seen: RefCell<VecDeque<Seen>>,
    dropped: Cell<u64>,
    /// The ends of what was sent and of what was received.
    ends: [Cell<Option<u32>>; 2],
}

/// A segment that was seen.
struct Seen {
    at: Duration,
    is_sent: bool,
    /// Some of it was seen before.
    is_again: bool,
    segment: Segment,
}

/// What a client is told of the connection itself, or of another flow.
#[derive(Serialize)]
pub(super) struct Stated<'a> {
    /// Since 1970-01-01 00:00 UTC.
    pub(super) time_us: u64,
    #[serde(flatten)]
    pub(super) row: Object<'a>,
}

/// What a client is told of a segment.
#[derive(Serialize)]
struct Told {
    /// Since 1970-01-01 00:00 UTC.
    time_us: u64,
    is_sent: bool,
    is_again: bool,
    sequence: u32,
    sequence_bytes: u32,
    data_bytes: u32,
    acknowledgement: Option<u32>,
    window_bytes: u32,
    flags: String,
    sack: Vec<(u32, u32)>,
}

impl Trace {
    fn new(of: Traced) -> Self {
        Self {
            of,
            seen: RefCell::default(),
            dropped: Cell::new(0),
            ends: [const { Cell::new(None) }; 2],
        }
    }

    fn take(&self) -> VecDeque<Seen> {
        core::mem::take(&mut self.seen.borrow_mut())
    }

    fn told(&self, seen: &Seen, wall_clock_start: Duration) -> Told {
        let Seen { at, is_sent, is_again, segment } = seen;
        let [of_peer, ours] = self.of.window_shifts;
        // RFC 7323 section 2.2: the window of a SYN is not scaled.
        let shift = match (segment.flags.has(TcpFlags::SYN), is_sent) {
            (true, _) => 0,
            (false, true) => ours,
            (false, false) => of_peer,
        };
        Told {
            time_us: micros(wall_clock_start + *at),
            is_sent: *is_sent,
            is_again: *is_again,
            sequence: segment.sequence,
            sequence_bytes: segment.sequence_bytes(),
            data_bytes: segment.data_bytes,
            acknowledgement: segment.flags.has(TcpFlags::ACK).then_some(segment.acknowledgement),
            window_bytes: u32::from(segment.window) << shift,
            flags: letters(segment.flags),
            sack: segment.sack.iter().flatten().copied().collect(),
        }
    }

    /// Whether some of a segment was seen before; the end of what was is moved.
    fn note(&self, is_sent: bool, segment: &Segment) -> bool {
        let end = &self.ends[usize::from(is_sent)];
        let last = segment.sequence.wrapping_add(segment.sequence_bytes());
        // RFC 9293 section 3.4: numbers are compared modulo 2^32.
        let is_before = |one: u32, other: u32| (one.wrapping_sub(other) as i32) < 0;
        let is_again = segment.sequence_bytes() > 0
            && end.get().is_some_and(|end| is_before(segment.sequence, end));
        if end.get().is_none_or(|end| is_before(end, last)) {
            end.set(Some(last));
        }
        is_again
    }
}

impl Watcher for Trace {
    fn frame(&self, _: usize, now: Duration, frame: &TappedFrame<'_>) {
        // Most frames are others'.
        let [local, remote] = [self.of.local.port(), self.of.remote.port()];
        match Segment::ports_of(frame.head) {
            Some(ports) if ports == [local, remote] || ports == [remote, local] => {}
            _ => return,
        }
        let Some(segment) = Segment::of(frame.head) else { return };
        let ends = (segment.source, segment.destination);
        let is_sent = ends == (self.of.local, self.of.remote);
        if !is_sent && ends != (self.of.remote, self.of.local) {
            return;
        }
        let is_again = self.note(is_sent, &segment);
        let mut seen = self.seen.borrow_mut();
        if seen.len() == SEGMENTS_MAX {
            self.dropped.set(self.dropped.get() + 1);
            return;
        }
        seen.push_back(Seen { at: now, is_sent, is_again, segment });
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

fn letters(flags: TcpFlags) -> String {
    let all = [
        (TcpFlags::SYN, 'S'),
        (TcpFlags::FIN, 'F'),
        (TcpFlags::RST, 'R'),
        (TcpFlags::PSH, 'P'),
        (TcpFlags::ACK, 'A'),
    ];
    all.iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, letter)| *letter).collect()
}
