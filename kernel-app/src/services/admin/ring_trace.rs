//! Ring trace: the steps of one flow through shared memory while they come, of which its window graph is drawn.

use super::trace::{Stated, micros};
use super::wire::{TooMany, stream_of};
use crate::service::Services;
use ::capture::xplot::{RingGraph, RingStep};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;
use flow::time::Timers;
use inspect::json::Object;
use serde::Serialize;
use shared_ring::{FLOWS, FlowInfo, FlowRow, Rings, Watcher};
use web::Reply;
use web::event_stream::{self, Event, KeepAlive};

/// Steps that wait for a client. Where there are more, every other one is left out: each says how far the flow is, so that
/// nothing but when it was is lost.
const STEPS_MAX: usize = 4096;
/// How often they are sent, and how often the flow's row is.
const PAUSE: Duration = Duration::from_millis(100);
const STATE_PAUSE: Duration = Duration::from_millis(500);
/// Those who look at once.
const WATCHERS_MAX: usize = 8;

/// What is needed to look. Clones count those who do together.
#[derive(Clone)]
pub(super) struct RingMeans {
    pub(super) rings: Rings,
    pub(super) timers: Timers,
    pub(super) services: Services,
    /// Time since 1970-01-01 00:00 UTC when the timers' was zero.
    pub(super) wall_clock_start: Duration,
    pub(super) places: Rc<()>,
}

impl RingMeans {
    /// Its steps as events named `step`, and its row as one named `state` now and then, until it is no more or the time is over.
    pub(super) fn events(self, number: u64, time: Option<Duration>) -> Result<Reply, TooMany> {
        let until = time.map(|time| self.timers.now() + time);
        let trace = self.watch(number)?;
        let keep_alive = KeepAlive::new(&self.timers);
        Ok(event_stream::reply(keep_alive, async move |mut events| {
            let mut state_due = Duration::ZERO;
            loop {
                let row = self.rings.flow(number);
                let now = self.timers.now();
                // First, since it has the rings' sizes.
                if let Some(row) = row.as_ref().filter(|_| now >= state_due) {
                    state_due = now + STATE_PAUSE;
                    events.send(Event::new(self.state(row)).named("state")).await;
                }
                for Seen { at, info } in trace.take(row.as_ref()) {
                    let told = Told::new(self.wall_clock_start + at, &info);
                    let json = serde_json::to_string(&told).unwrap_or_default();
                    events.send(Event::new(json).named("step")).await;
                }
                if row.is_none() || self.is_over(until) {
                    break;
                }
                self.timers.sleep(PAUSE).await;
            }
            events.send(Event::new("{\"dropped\":0}").named("end")).await;
        }))
    }

    /// The graph of what is written, or of what comes, as a file of xplot.
    pub(super) fn xpl(
        self,
        row: &FlowRow,
        is_of_received: bool,
        time: Duration,
    ) -> Result<Reply, TooMany> {
        let (number, until) = (row.number, Some(self.timers.now() + time));
        let trace = self.watch(number)?;
        let mut graph = if is_of_received {
            RingGraph::new(&row.peer, &row.local)
        } else {
            RingGraph::new(&row.local, &row.peer)
        };
        Ok(Reply::stream(stream_of("text/plain; charset=utf-8"), async move |mut writer| {
            let mut text = Vec::new();
            graph.begin(&mut text);
            loop {
                let row = self.rings.flow(number);
                for Seen { at, info } in trace.take(row.as_ref()) {
                    if let Some(step) = ring_step(&info, is_of_received) {
                        graph.step(&mut text, self.wall_clock_start + at, &step);
                    }
                }
                if row.is_none() || self.is_over(until) {
                    break;
                }
                writer.write(core::mem::take(&mut text)).await;
                self.timers.sleep(PAUSE).await;
            }
            graph.end(&mut text);
            writer.write(text).await;
        }))
    }

    fn watch(&self, number: u64) -> Result<RingTrace, TooMany> {
        // One is the means' own, and one is this clone's.
        if Rc::strong_count(&self.places) > WATCHERS_MAX + 1 {
            return Err(TooMany);
        }
        let steps = Rc::new(Steps { timers: self.timers.clone(), seen: RefCell::default() });
        let watcher: Rc<dyn Watcher> = steps.clone();
        self.rings.watch(number, &watcher);
        Ok(RingTrace(steps))
    }

    fn is_over(&self, until: Option<Duration>) -> bool {
        self.services.are_draining() || until.is_some_and(|until| self.timers.now() >= until)
    }

    fn state(&self, row: &FlowRow) -> String {
        let time_us = micros(self.wall_clock_start + self.timers.now());
        let row = FLOWS.row(row);
        serde_json::to_string(&Stated { time_us, row: Object(&row) }).unwrap_or_default()
    }
}

/// A flow that is watched until this is dropped.
struct RingTrace(Rc<Steps>);

impl RingTrace {
    /// The steps since the last call, and how far the flow is by now: what the other side does alone is no step.
    fn take(&self, row: Option<&FlowRow>) -> Vec<Seen> {
        if let Some(info) = row.and_then(|row| row.info) {
            self.0.step(&info);
        }
        self.0.seen.take()
    }
}

/// The steps that nobody has been told of.
struct Steps {
    timers: Timers,
    seen: RefCell<Vec<Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    at: Duration,
    info: FlowInfo,
}

impl Watcher for Steps {
    fn step(&self, info: &FlowInfo) {
        let mut seen = self.seen.borrow_mut();
        if seen.len() == STEPS_MAX {
            thin_out(&mut seen);
        }
        seen.push(Seen { at: self.timers.now(), info: *info });
    }
}

/// Leaves every other one out, and keeps the last.
fn thin_out<T>(seen: &mut Vec<T>) {
    let mut is_kept = seen.len().is_multiple_of(2);
    seen.retain(|_| {
        is_kept = !is_kept;
        is_kept
    });
}

/// One ring of a flow; none where the other side wrote what cannot be.
fn ring_step(info: &FlowInfo, is_of_received: bool) -> Option<RingStep> {
    let FlowInfo { fill, notifications_out, notifications_in, .. } = *info;
    let (written_bytes, read_bytes, ring_bytes, waits) = if is_of_received {
        let unread = fill.unread_bytes? as u64;
        let read = info.received_bytes;
        (read + unread, read, fill.incoming_ring_bytes, info.stalls_empty)
    } else {
        let (written, undelivered) = (info.sent_bytes, fill.undelivered_bytes? as u64);
        let read = written.checked_sub(undelivered)?;
        (written, read, fill.outgoing_ring_bytes, info.stalls_full)
    };
    let ring_bytes = ring_bytes as u64;
    Some(RingStep {
        written_bytes,
        read_bytes,
        ring_bytes,
        waits,
        notifications_out,
        notifications_in,
    })
}

/// What a client is told of a step: how far the flow is.
#[derive(Serialize)]
struct Told {
    /// Since 1970-01-01 00:00 UTC.
    time_us: u64,
    sent_bytes: u64,
    undelivered_bytes: Option<usize>,
    received_bytes: u64,
    unread_bytes: Option<usize>,
    notifications_out: u64,
    notifications_in: u64,
    notifications_suppressed: u64,
    stalls_full: u64,
    stalls_empty: u64,
    waits_for_bytes: bool,
    waits_for_room: bool,
    peer_waits_for_bytes: bool,
    peer_waits_for_room: bool,
}

impl Told {
    fn new(at: Duration, info: &FlowInfo) -> Self {
        Self {
            time_us: micros(at),
            sent_bytes: info.sent_bytes,
            undelivered_bytes: info.fill.undelivered_bytes,
            received_bytes: info.received_bytes,
            unread_bytes: info.fill.unread_bytes,
            notifications_out: info.notifications_out,
            notifications_in: info.notifications_in,
            notifications_suppressed: info.notifications_suppressed,
            stalls_full: info.stalls_full,
            stalls_empty: info.stalls_empty,
            waits_for_bytes: info.waits.for_bytes,
            waits_for_room: info.waits.for_room,
            peer_waits_for_bytes: info.peer_waits.for_bytes,
            peer_waits_for_room: info.peer_waits.for_room,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use shared_ring::{Fill, Role, Waits};

    #[test]
    fn of_too_many_every_other_one_is_left_out_but_never_the_last() {
        for (mut all, kept) in [(vec![1, 2, 3, 4], vec![2, 4]), (vec![1, 2, 3], vec![1, 3])] {
            thin_out(&mut all);
            assert_eq!(all, kept);
        }
    }

    #[test]
    fn a_direction_is_drawn_of_its_own_numbers() {
        let fill = Fill {
            incoming_ring_bytes: 100,
            unread_bytes: Some(7),
            outgoing_ring_bytes: 200,
            undelivered_bytes: Some(30),
        };
        let info = FlowInfo {
            role: Role::Server,
            fill,
            waits: Waits::default(),
            peer_waits: Waits::default(),
            received_bytes: 1000,
            sent_bytes: 2000,
            notifications_in: 1,
            notifications_out: 2,
            notifications_suppressed: 3,
            stalls_empty: 4,
            stalls_full: 5,
        };
        let step = RingStep {
            written_bytes: 2000,
            read_bytes: 1970,
            ring_bytes: 200,
            waits: 5,
            notifications_out: 2,
            notifications_in: 1,
        };
        assert_eq!(ring_step(&info, false), Some(step));
        let received =
            RingStep { written_bytes: 1007, read_bytes: 1000, ring_bytes: 100, waits: 4, ..step };
        assert_eq!(ring_step(&info, true), Some(received));
        // What another client of a persistent server left there is no step of this flow.
        assert_eq!(ring_step(&FlowInfo { sent_bytes: 29, ..info }, false), None);
        let lie = Fill { unread_bytes: None, undelivered_bytes: None, ..fill };
        for is_of_received in [false, true] {
            assert_eq!(ring_step(&FlowInfo { fill: lie, ..info }, is_of_received), None);
        }
    }
}
