//! Timers that are set, the earliest first.

use super::tasks::Index;
use crate::Platform;
use crate::context::Context;
use alloc::vec::Vec;
use core::time::Duration;
use flow::task::TaskId;
use flow::time::TimerInfo;
use inspect::{Column, Table, Value};

struct TimerRow {
    left: Duration,
    task: Option<TaskId>,
}

static TABLE: Table<TimerRow> = Table {
    name: "timers",
    help: "Timers that are set, the earliest first.",
    columns: &[
        Column::number("due_ms", "How long until it is due.", |row| super::millis(row.left).into()),
        Column::maybe_text("task", "The task that waits for it.", |row| {
            Value::shown(row.task.as_ref())
        }),
    ],
};

pub(super) fn add<P: Platform>(context: &Context<P>) {
    let (timers, spawner) = (context.timers.clone(), context.spawner.clone());
    context.inspector.add_table(&TABLE, move |visit| {
        let mut set: Vec<TimerInfo> = Vec::new();
        timers.visit_set(&mut |timer| set.push(timer));
        set.sort_unstable_by_key(|timer| timer.deadline);
        let tasks = Index::new(&spawner);
        for timer in set {
            let left = timer.deadline.saturating_sub(timers.now());
            visit(&TimerRow { left, task: timer.waker.and_then(|waker| tasks.find(waker)) });
        }
    });
}
