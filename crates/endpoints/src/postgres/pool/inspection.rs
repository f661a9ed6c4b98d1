//! What operators see of pools.

use super::Pool;
use alloc::string::String;
use inspect::{Column, Metric, Table};

/// A row of [`POOLS`].
pub struct PoolRow {
    name: String,
    used: usize,
    idle: usize,
    waiting: usize,
    connections_max: usize,
    failures: u32,
}

impl PoolRow {
    /// Connections that somebody has, or that are made for somebody.
    pub fn used(&self) -> usize {
        self.used
    }
}

/// Pools of connections to databases.
pub static POOLS: Table<PoolRow> = Table {
    name: "databases",
    help: "Pools of connections to databases.",
    columns: &[
        Column::text("database", "Its name in the configuration.", |row| row.name.as_str().into()),
        Column::number("used", "Connections that a handler has or waits for.", |row| {
            (row.used as u64).into()
        }),
        Column::number("idle", "Connections that wait for a handler.", |row| {
            (row.idle as u64).into()
        }),
        Column::number("waiting", "Handlers that wait since all are used.", |row| {
            (row.waiting as u64).into()
        }),
        Column::number("connections_max", "Connections at once, at most.", |row| {
            (row.connections_max as u64).into()
        }),
        Column::number("failures", "Attempts to connect that failed since one did not.", |row| {
            u64::from(row.failures).into()
        }),
    ],
};

/// What is counted for each pool.
pub static POOL_METRICS: &[Metric<Pool>] = &[
    Metric::counter("database_leases", "Times that a handler was given a connection.", |pool| {
        pool.0.totals.given.get()
    }),
    Metric::counter("database_timeouts", "Times that a handler waited in vain for one.", |pool| {
        pool.0.totals.timeouts.get()
    }),
    Metric::counter("database_connections_made", "Connections that were made.", |pool| {
        pool.0.totals.made.get()
    }),
    Metric::counter("database_connect_failures", "Attempts to make one that failed.", |pool| {
        pool.0.totals.failed.get()
    }),
];

impl Pool {
    /// What it is doing now, under this name.
    pub fn row(&self, name: &str) -> PoolRow {
        let shared = &self.0;
        let connections_max = shared.config.connections_max.max(1);
        PoolRow {
            name: name.into(),
            used: connections_max - shared.turnstile.free(),
            idle: self.idle_count(),
            waiting: shared.turnstile.waiting(),
            connections_max,
            failures: shared.failures.get(),
        }
    }
}
