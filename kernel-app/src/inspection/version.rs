//! Version: what runs here, and since when.

use crate::Platform;
use crate::context::Context;
use alloc::string::String;
use core::time::Duration;
use inspect::{Column, Metric, Table};

struct VersionRow {
    uptime: Duration,
    time: String,
    hostname: String,
}

static TABLE: Table<VersionRow> = Table {
    name: "version",
    help: "What runs here, and since when.",
    columns: &[
        Column::text("name", "What it is.", |_| "aqueduct".into()),
        Column::text("version", "Its version.", |_| env!("CARGO_PKG_VERSION").into()),
        Column::text("hostname", "What others know it by.", |row| row.hostname.as_str().into()),
        Column::number("uptime_ms", "Since the start.", |row| super::millis(row.uptime).into()),
        Column::text("time", "The time of day, as RFC 3339 has it.", |row| {
            row.time.as_str().into()
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
        let mut time = String::new();
        web::date::write_rfc3339(&mut time, of.platform.wall_clock());
        visit(&VersionRow {
            uptime: of.timers.now(),
            time,
            hostname: of.config.network.hostname.clone(),
        });
    });
}
