//! Web sessions. Their ids are secrets, and not shown.

use super::millis;
use crate::Platform;
use crate::context::Context;
use alloc::string::String;
use alloc::vec::Vec;
use inspect::{Column, Metric, Table, Value};
use web::session::{SessionHost, SessionInfo};

struct SessionRow {
    info: SessionInfo,
    values: Vec<(&'static str, String)>,
    commands: Vec<(&'static str, String)>,
}

static TABLE: Table<SessionRow> = Table {
    name: "sessions",
    help: "Web sessions.",
    columns: &[
        Column::number("id", "Its number, which is not the secret that its visitor has.", |row| {
            row.info.number.into()
        }),
        Column::text("route", "The pattern of its route.", |row| row.info.route.into()),
        Column::maybe_text("waits_at", "Where it waits for its queue.", |row| {
            Value::shown(row.info.waits_at.as_ref())
        }),
        Column::number("queue", "Requests and messages that wait for it.", |row| {
            row.info.queue.into()
        }),
        Column::number("requests", "Requests that came for it.", |row| row.info.hits.into()),
        Column::number("age_ms", "Since its first request.", |row| millis(row.info.age).into()),
        Column::number("idle_ms", "Since its last request.", |row| millis(row.info.idle).into()),
        Column::members("values", "What it lets others look at.", |row| {
            Value::Members(&row.values)
        }),
        Column::members("commands", "What it does when others say so, with what that is.", |row| {
            Value::Members(&row.commands)
        }),
    ],
};

static METRICS: &[Metric<SessionHost>] = &[
    Metric::gauge("sessions", "Web sessions that there are.", |host| host.len() as u64),
    Metric::counter("sessions_begun", "Web sessions that have begun.", SessionHost::begun),
];

pub(super) fn add<P: Platform>(context: &Context<P>) {
    let host = context.sessions.clone();
    context.inspector.add_metrics(METRICS, move |visit| visit(None, &host));
    let host = context.sessions.clone();
    context.inspector.add_table(&TABLE, move |visit| {
        for info in host.sessions() {
            let values = host.watched(info.number);
            let commands = host.commands(info.number);
            visit(&SessionRow { info, values, commands });
        }
    });
}
