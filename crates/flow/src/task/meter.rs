//! Meter: how long polls take, while somebody wants to know; and the executor's metrics.

use super::Spawner;
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

/// Counts polls, and measures them once there is a clock.
#[derive(Default)]
pub(super) struct Meter {
    clock: Cell<Option<fn() -> Duration>>,
    polls: Cell<u64>,
    times: Histogram,
}

impl Meter {
    pub(super) fn start(&self, clock: fn() -> Duration) {
        self.clock.set(Some(clock));
    }

    #[inline]
    pub(super) fn clock(&self) -> Option<fn() -> Duration> {
        self.clock.get()
    }

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
