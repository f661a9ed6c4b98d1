//! Sessions kept by a database: a row for each appliance, by its hostname.

use super::{Step, Store};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use endpoints::postgres::{ClientError, Pool, SqlState};
use flow::registry::Label;

const TABLE: &str = "create table if not exists aqueduct_sessions \
    (host text primary key, archive bytea not null, saved timestamptz not null)";

/// Most bytes of all sessions: a little less than the client takes of one row.
const ARCHIVE_BYTES_MAX: usize = 15 << 20;

pub(super) struct DatabaseStore {
    name: String,
    pool: Pool,
    host: String,
}

impl DatabaseStore {
    pub(super) fn new(name: &str, pool: Pool, host: &Label) -> Self {
        Self { name: name.into(), pool, host: host.to_string() }
    }

    async fn ask(&self) -> Result<Option<Vec<u8>>, ClientError> {
        let sql = "select archive from aqueduct_sessions where host = $1";
        let asked = self.pool.get().await?.query_optional(sql, &[&self.host]).await;
        match asked {
            Ok(Some(row)) => Ok(Some(row.get(0)?)),
            Ok(None) => Ok(None),
            // Nobody has put anything away.
            Err(error) if error.state() == Some(SqlState::UndefinedTable) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn tell(&self, archive: &[u8]) -> Result<(), ClientError> {
        let client = self.pool.get().await?;
        // Of two that make it at once one is told of the other's; what else is wrong, the next one tells.
        let _ = client.batch(TABLE).await;
        let sql = "insert into aqueduct_sessions values ($1, $2, now()) \
            on conflict (host) do update set archive = excluded.archive, saved = excluded.saved";
        client.execute(sql, &[&self.host, &archive]).await.map(drop)
    }
}

impl Store for DatabaseStore {
    fn fetch(&self) -> Step<'_, Option<Vec<u8>>> {
        Box::pin(async move { self.ask().await.map_err(|error| error.to_string()) })
    }

    fn put(&self, archive: Vec<u8>) -> Step<'_, ()> {
        Box::pin(async move {
            if archive.len() > ARCHIVE_BYTES_MAX {
                return Err(format!("they are more than {ARCHIVE_BYTES_MAX} bytes"));
            }
            self.tell(&archive).await.map_err(|error| error.to_string())
        })
    }
}

impl fmt::Display for DatabaseStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database {}", self.name)
    }
}
