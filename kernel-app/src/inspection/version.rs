//! Version: what runs here, and since when.

use crate::Platform;
use crate::context::Context;
use core::time::Duration;
use inspect::{Column, Metric, Table};

struct VersionRow {
    uptime: Duration,
    time: Duration,
    hostname: alloc::string::String,
}

static TABLE: Table<VersionRow> = Table {
    name: "version",
    help: "What runs here, and since when.",
    columns: &[
        Column::text("name", "What it is.", |_| "aqueduct".into()),
        Column::text("version", "Its version.", |_| env!("CARGO_PKG_VERSION").into()),
        Column::text("hostname", "What others know it by.", |row| row.hostname.as_str().into()),
        Column::number("uptime_ms", "Since the start.", |row| super::millis(row.uptime).into()),
        Column::number("time_ms", "Since 1970-01-01 00:00 UTC.", |row| {
            super::millis(row.time).into()
        }),
    ],
};

static METRICS: &[Metric<()>] =
    &[Metric::gauge_by("build_info", "version", "The version that runs.", |(), visit| {
        visit(&env!("CARGO_PKG_VERSION"), 1);
    })];

pub(super) fn add<P: Platform>(context: &Context<P>) {
    context.inspector.add_metrics(METRICS, |visit| visit(None, &()));
    let of = context.clone();
    context.inspector.add_table(&TABLE, move |visit| {
        visit(&VersionRow {
            uptime: of.timers.now(),
            time: of.platform.wall_clock(),
            hostname: of.config.network.hostname.clone(),
        });
    });
}
