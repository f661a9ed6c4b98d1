//! Tasks, as `ps` shows processes, with whom they serve and what that makes us hold.

use super::{micros, millis};
use crate::Platform;
use crate::context::Context;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use flow::ledger::Ledger;
use flow::sync::WakerKey;
use flow::task::{Spawner, TaskId, TaskInfo};
use inspect::{Column, Table, Value};

pub(super) struct TaskRow {
    pub(super) info: TaskInfo,
    pub(super) subject: Option<String>,
    held_bytes: Option<usize>,
}

static TABLE: Table<TaskRow> = Table {
    name: "tasks",
    help: "The tasks that there are.",
    columns: &[
        Column::text("id", "Names the task; never given twice.", |row| Value::Shown(&row.info.id)),
        Column::text("name", "What it is; many may share one.", |row| row.info.name.into()),
        Column::maybe_text("subject", "Whom or what it is for.", |row| {
            row.subject.as_deref().into()
        }),
        Column::text("state", "running, ready or waiting.", |row| row.info.state.name().into()),
        Column::text("waits_at", "The place in the source where it waits.", |row| {
            Value::Shown(row.info.waits_at)
        }),
        Column::number("polls", "How often it ran.", |row| row.info.polls.into()),
        Column::number("run_us", "How long it ran, while that is measured.", |row| {
            micros(row.info.run).into()
        }),
        Column::number("longest_poll_us", "The longest time that it ran at once.", |row| {
            micros(row.info.longest_poll).into()
        }),
        Column::number("age_ms", "Since it was made.", |row| millis(row.info.age).into()),
        Column::maybe_number(
            "held_bytes",
            "What its peer makes us hold, if that is much.",
            |row| row.held_bytes.into(),
        ),
        Column::flag(
            "serves_all",
            "It is no peer's but the appliance's own: nobody ends it.",
            |row| serves_all(&row.info).into(),
        ),
    ],
};

/// Whether a task is the appliance's own, and no peer's: nothing would start it again.
pub(crate) fn serves_all(task: &TaskInfo) -> bool {
    const OWN: [&str; 3] = ["service", "rpc handlers", "zmq bind"];
    task.name.ends_with("listener") || OWN.contains(&task.name)
}

pub(super) fn add<P: Platform>(context: &Context<P>) {
    let of = context.clone();
    context.inspector.add_table(&TABLE, move |visit| visit_all(&of, visit));
}

pub(super) fn visit_all<P: Platform>(context: &Context<P>, visit: &mut dyn FnMut(&TaskRow)) {
    let (peers, held) = (peers(&context.platform), held(&context.ledger));
    context.spawner.visit_tasks(&mut |info| {
        let peer = || find(&peers, info.waker).map(|peer| peer.to_string());
        let subject = info.subject.clone().or_else(peer);
        let held_bytes = find(&held, info.waker).copied();
        visit(&TaskRow { subject, held_bytes, info });
    });
}

/// Tasks by who wakes them.
pub(super) struct Index(Vec<(WakerKey, TaskId)>);

impl Index {
    pub(super) fn new(spawner: &Spawner) -> Self {
        let mut tasks = Vec::with_capacity(spawner.count());
        spawner.visit_tasks(&mut |info| tasks.push((info.waker, info.id)));
        tasks.sort_unstable();
        Self(tasks)
    }

    pub(super) fn find(&self, waker: WakerKey) -> Option<TaskId> {
        find(&self.0, waker).copied()
    }
}

/// The other ends of connections, by who is woken for them.
fn peers<P: Platform>(platform: &P) -> Vec<(WakerKey, core::net::SocketAddr)> {
    let mut peers = Vec::new();
    platform.visit_peers(&mut |waker, peer| peers.push((waker, peer)));
    peers.sort_unstable();
    peers
}

/// What peers hold that hold much, by who is woken for them.
fn held(ledger: &Ledger) -> Vec<(WakerKey, usize)> {
    let mut held = Vec::new();
    for service in ledger.services() {
        service.visit_large(&mut |waker, bytes| held.push((waker, bytes)));
    }
    held.sort_unstable();
    held
}

fn find<T>(sorted: &[(WakerKey, T)], waker: WakerKey) -> Option<&T> {
    let at = sorted.binary_search_by_key(&waker, |(key, _)| *key).ok()?;
    sorted.get(at).map(|(_, value)| value)
}
