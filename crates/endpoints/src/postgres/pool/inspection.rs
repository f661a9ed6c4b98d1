//! What operators see of pools.

use super::Pool;
use super::status::LastError;
use alloc::string::{String, ToString};
use core::time::Duration;
use inspect::{Column, Metric, Table, Value};

/// A row of [`POOLS`].
pub struct PoolRow {
    name: String,
    used: usize,
    idle: usize,
    waiting: usize,
    connections_max: usize,
    failures: u32,
    last_error: Option<LastError>,
    now: Duration,
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
        Column::maybe_text("last_error", LAST_ERROR, |row| text_of(&row.last_error)),
        Column::maybe_number("last_error_ago_ms", "How long ago that was.", |row| {
            ago(&row.last_error, row.now)
        }),
    ],
};

const LAST_ERROR: &str = "Why an attempt to connect failed last, or a connection ended.";

/// A row of [`SERVERS`].
pub struct ServerRow {
    name: String,
    server: String,
    connections: usize,
    made: u64,
    failures: u64,
    last_error: Option<LastError>,
    now: Duration,
}

/// The servers of pools, in the order in which they are tried.
pub static SERVERS: Table<ServerRow> = Table {
    name: "database_servers",
    help: "Servers of databases, in the order in which they are tried.",
    columns: &[
        Column::text("database", "The database's name in the configuration.", |row| {
            row.name.as_str().into()
        }),
        Column::text("server", "Where it is.", |row| row.server.as_str().into()),
        Column::number("connections", "Connections to it, used or idle.", |row| {
            (row.connections as u64).into()
        }),
        Column::number("made", "Connections that were made.", |row| row.made.into()),
        Column::number("failures", "Attempts to connect that failed.", |row| row.failures.into()),
        Column::maybe_text("last_error", LAST_ERROR, |row| text_of(&row.last_error)),
        Column::maybe_number("last_error_ago_ms", "How long ago that was.", |row| {
            ago(&row.last_error, row.now)
        }),
    ],
};

fn text_of(error: &Option<LastError>) -> Value<'_> {
    error.as_ref().map_or(Value::Null, |error| error.text.as_str().into())
}

fn ago(error: &Option<LastError>, now: Duration) -> Value<'_> {
    error.as_ref().map_or(Value::Null, |error| {
        let ago = now.saturating_sub(error.at).as_millis();
        u64::try_from(ago).unwrap_or(u64::MAX).into()
    })
}

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
        let errors = shared.statuses.iter().filter_map(|status| status.last_error.borrow().clone());
        PoolRow {
            name: name.into(),
            used: connections_max - shared.turnstile.free(),
            idle: self.idle_count(),
            waiting: shared.turnstile.waiting(),
            connections_max,
            failures: shared.failures.get(),
            last_error: errors.max_by_key(|error| error.at),
            now: shared.environment.timers.now(),
        }
    }

    /// What is known of its servers.
    pub fn visit_servers(&self, name: &str, visit: &mut dyn FnMut(&ServerRow)) {
        let shared = &self.0;
        for (server, status) in shared.servers.iter().zip(&shared.statuses) {
            visit(&ServerRow {
                name: name.into(),
                server: server.target().to_string(),
                connections: status.connections(),
                made: status.made.get(),
                failures: status.failed.get(),
                last_error: status.last_error.borrow().clone(),
                now: shared.environment.timers.now(),
            });
        }
    }
}
