//! Trace: what the loop and the tasks did when, as events of a fixed size, while somebody wants to know.

use super::TaskId;
use crate::sync::Notify;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

/// Something that took from one time to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// A step of the loop, or the name of a task.
    pub name: &'static str,
    /// The task that was polled, if it is one.
    pub task: Option<TaskId>,
    /// When it began, in the clock's time.
    pub start: Duration,
    /// How long it took.
    pub time: Duration,
}

/// Takes events, once somebody [traces](Trace::start). Clones are the same one.
#[derive(Clone, Default)]
pub struct Trace(Rc<Shared>);

#[derive(Default)]
struct Shared {
    /// There is one while somebody traces.
    clock: Cell<Option<fn() -> Duration>>,
    events: RefCell<Vec<TraceEvent>>,
    dropped: Cell<u64>,
    is_filling: Notify,
}

/// Events that wait to be taken; what is more is dropped, and counted. Each is 64 bytes.
pub const TRACE_EVENTS_MAX: usize = 8192;

impl Trace {
    /// Takes events from now on, until what this gives is dropped. None if somebody traces already, or there is no memory.
    pub fn start(&self, clock: fn() -> Duration) -> Option<Tracing> {
        let Shared { clock: of_trace, events, dropped, .. } = &*self.0;
        if of_trace.get().is_some() {
            return None;
        }
        events.borrow_mut().try_reserve_exact(TRACE_EVENTS_MAX).ok()?;
        dropped.set(0);
        of_trace.set(Some(clock));
        Some(Tracing(self.clone()))
    }

    /// Begins a turn of the loop, of which each step is an event; without cost if nobody traces.
    #[inline]
    pub fn turn(&self) -> Turn<'_> {
        Turn { trace: self.0.clock.get().map(|clock| (&*self.0, clock())) }
    }

    /// A poll has ended that took this time.
    #[inline]
    pub(super) fn polled(&self, name: &'static str, task: TaskId, time: Duration) {
        if let Some(clock) = self.0.clock.get() {
            let start = clock().saturating_sub(time);
            self.0.add(TraceEvent { name, task: Some(task), start, time });
        }
    }
}

impl Shared {
    #[cold]
    fn add(&self, event: TraceEvent) {
        let mut events = self.events.borrow_mut();
        if events.len() == TRACE_EVENTS_MAX {
            self.dropped.set(self.dropped.get() + 1);
            return;
        }
        events.push(event);
        let is_half_full = events.len() == TRACE_EVENTS_MAX / 2;
        drop(events);
        if is_half_full {
            self.is_filling.notify();
        }
    }
}

/// A turn of the loop.
pub struct Turn<'a> {
    trace: Option<(&'a Shared, Duration)>,
}

impl Turn<'_> {
    /// A step has ended, which took all the time since the one before.
    #[inline]
    pub fn step(&mut self, name: &'static str) {
        if self.trace.is_some() {
            self.note(name);
        }
    }

    #[cold]
    fn note(&mut self, name: &'static str) {
        let Some((trace, start)) = &mut self.trace else { return };
        // It may have ended in this turn.
        let Some(clock) = trace.clock.get() else { return };
        let now = clock();
        let time = now.saturating_sub(*start);
        trace.add(TraceEvent { name, task: None, start: *start, time });
        *start = now;
    }
}

/// Events are taken until this is dropped.
pub struct Tracing(Trace);

impl Tracing {
    /// Those since the last time, and how many were dropped since the start.
    pub fn take(&self) -> (Vec<TraceEvent>, u64) {
        let Shared { events, dropped, .. } = &*self.0.0;
        let taken = events.borrow().clone();
        events.borrow_mut().clear();
        (taken, dropped.get())
    }

    /// Waits until half of them are there.
    #[track_caller]
    pub fn filled(&self) -> impl Future<Output = ()> {
        self.0.0.is_filling.notified()
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        self.0.0.clock.set(None);
        *self.0.0.events.borrow_mut() = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Executor, yield_once};
    use super::*;

    fn clock() -> Duration {
        Duration::from_secs(7)
    }

    fn names(tracing: &Tracing) -> Vec<&'static str> {
        tracing.take().0.iter().map(|event| event.name).collect()
    }

    #[test]
    fn steps_and_polls_are_events_in_the_order_of_their_ends() {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let spawner = executor.spawner();
        spawner.measure(clock);
        let tracing = spawner.trace().start(clock).unwrap();
        spawner.spawn("yields", async { yield_once().await });
        let mut turn = executor.trace().turn();
        turn.step("ingress");
        executor.turn(10);
        turn.step("tasks");
        executor.turn(10);
        assert_eq!(names(&tracing), ["ingress", "yields", "tasks", "yields"]);
        assert_eq!(names(&tracing), [""; 0]);
    }

    #[test]
    fn nothing_is_taken_before_the_start_nor_after_the_end() {
        let trace = Trace::default();
        let mut before = trace.turn();
        let tracing = trace.start(clock).unwrap();
        assert!(trace.start(clock).is_none(), "one traces at a time");
        before.step("begun before");
        let mut turn = trace.turn();
        turn.step("ingress");
        assert_eq!(names(&tracing), ["ingress"]);
        drop(tracing);
        turn.step("egress");
        let tracing = trace.start(clock).unwrap();
        assert_eq!(names(&tracing), [""; 0]);
    }

    #[test]
    fn who_waits_is_told_when_half_of_the_events_are_there() {
        use core::task::{Context, Waker};
        let trace = Trace::default();
        let tracing = trace.start(clock).unwrap();
        let mut filled = core::pin::pin!(tracing.filled());
        let cx = &mut Context::from_waker(Waker::noop());
        let mut turn = trace.turn();
        for _ in 0..4095 {
            turn.step("ingress");
        }
        assert!(filled.as_mut().poll(cx).is_pending());
        turn.step("ingress");
        assert!(filled.as_mut().poll(cx).is_ready());
    }

    #[test]
    fn what_finds_no_place_is_counted() {
        let trace = Trace::default();
        let tracing = trace.start(clock).unwrap();
        let mut turn = trace.turn();
        for _ in 0..TRACE_EVENTS_MAX {
            turn.step("ingress");
        }
        turn.step("lost");
        let (events, dropped) = tracing.take();
        assert_eq!((events.len(), dropped), (8192, 1));
        assert!(events.iter().all(|event| event.name == "ingress"));
        turn.step("found");
        assert_eq!(names(&tracing), ["found"]);
    }
}
