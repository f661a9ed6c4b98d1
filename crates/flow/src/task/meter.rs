//! Meter: how long polls take, while somebody wants to know; and the executor's metrics.

use super::{Spawner, Trace};
use core::cell::Cell;
use core::time::Duration;
use inspect::{Histogram, Metric};

/// The metrics of an executor.
pub static METRICS: &[Metric<Spawner>] = &[
    Metric::gauge("tasks", "Tasks that there are.", |spawner| spawner.count() as u64),
    Metric::gauge("tasks_limit", "Tasks above which no connection is accepted.", |spawner| {
        spawner.tasks_max() as u64
    }),
    Metric::counter("task_panics", "Panics that ended a task, or a part of one.", Spawner::panics),
    Metric::counter("task_polls", "Polls of tasks.", |spawner| spawner.shared.meter.polls.get()),
    Metric::histogram("task_poll", "How long polls of tasks took, while that is measured.", |it| {
        &it.shared.meter.times
    }),
];

impl Spawner {
    /// From now on the time that polls take is measured with that clock, which is read twice for each; and a slow one is
    /// logged with its place.
    pub fn measure(&self, clock: fn() -> Duration) {
        self.shared.meter.clock.set(Some(clock));
    }

    /// The clock by which polls are measured, if they are.
    #[inline]
    pub fn clock(&self) -> Option<fn() -> Duration> {
        self.shared.meter.clock.get()
    }

    /// Events of the executor's tasks, which are taken while polls are [measured](Self::measure), and of its loop.
    pub fn trace(&self) -> &Trace {
        &self.shared.trace
    }
}

/// Counts polls, and measures them once there is a clock.
#[derive(Default)]
pub(super) struct Meter {
    clock: Cell<Option<fn() -> Duration>>,
    polls: Cell<u64>,
    times: Histogram,
}

impl Meter {
    /// A poll begins: when, if it is measured.
    #[inline]
    pub(super) fn now(&self) -> Option<Duration> {
        self.polls.set(self.polls.get() + 1);
        self.clock.get().map(|clock| clock())
    }

    /// It has ended: how long it took, if it was measured.
    #[inline]
    pub(super) fn stop(&self, start: Option<Duration>) -> Option<Duration> {
        let (start, clock) = (start?, self.clock.get()?);
        let time = clock().saturating_sub(start);
        self.times.observe(time);
        Some(time)
    }
}
