//! Ways to services that were tried, and which are in use.

use crate::Platform;
use crate::context::Context;
use flow::registry::WayRow;
use inspect::{Column, Table, Value};

static TABLE: Table<WayRow> = Table {
    name: "ways",
    help: "Ways to services of others that were tried.",
    columns: &[
        Column::text("service", "The service's name.", |row| row.service.as_str().into()),
        Column::text("host", "Who offers it.", |row| row.host.as_str().into()),
        Column::text("way", "Where the way leads.", |row| Value::shown(Some(&row.target))),
        Column::flag("is_in_use", "The latest connection was made by it.", |row| {
            row.is_in_use.into()
        }),
        Column::number("opened", "Connections that were made by it.", |row| row.opened.into()),
        Column::number("failed", "Attempts that failed.", |row| row.failed.into()),
        Column::maybe_text("failure", "Why the latest attempt failed.", |row| {
            Value::shown(row.failure.as_ref())
        }),
    ],
};

pub(super) fn add<P: Platform>(context: &Context<P>) {
    let ways = context.ways.clone();
    context.inspector.add_table(&TABLE, move |visit| ways.visit(&mut |row| visit(row)));
}
