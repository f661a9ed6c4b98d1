//! Transcript: the last lines of the chat, in the database `main`, if the configuration has one: there they outlive a restart, and
//! all appliances that ask the same database have them.

use super::chat::Line;
use crate::Platform;
use crate::context::Context;
use alloc::vec::Vec;
#[cfg(feature = "database")]
use endpoints::postgres::{ClientError, Pool};

/// What all visitors of the chat have in common.
#[derive(Clone)]
pub(super) struct Transcript {
    #[cfg(feature = "database")]
    pool: Option<Pool>,
}

impl Transcript {
    /// That of the database, if there is one.
    pub(super) fn new<P: Platform>(context: &Context<P>) -> Self {
        let _ = context;
        Self {
            #[cfg(feature = "database")]
            pool: context.database("main").ok(),
        }
    }

    /// Adds a line, and drops all but the last so many. Where the database is out of reach the line is not in it.
    #[cfg(feature = "database")]
    pub(super) async fn add(&self, line: &Line, lines_max: usize) {
        if let Some(pool) = &self.pool
            && let Err(error) = add(pool, line, lines_max).await
        {
            log::warn!("chat: {error}");
        }
    }

    /// The last lines, in order; none if there is no database, or if it is out of reach.
    #[cfg(feature = "database")]
    pub(super) async fn last(&self, lines_max: usize) -> Option<Vec<Line>> {
        let lines = last(self.pool.as_ref()?, lines_max).await;
        lines.inspect_err(|error| log::warn!("chat: {error}")).ok()
    }

    #[cfg(not(feature = "database"))]
    pub(super) async fn add(&self, _: &Line, _: usize) {}

    #[cfg(not(feature = "database"))]
    pub(super) async fn last(&self, _: usize) -> Option<Vec<Line>> {
        None
    }
}

#[cfg(feature = "database")]
const TABLE: &str = "create table if not exists chat_lines \
    (id int8 generated always as identity primary key, who text not null, said text not null)";

#[cfg(feature = "database")]
async fn add(pool: &Pool, line: &Line, lines_max: usize) -> Result<(), ClientError> {
    let mut client = pool.get().await?;
    // Of two that make it at once one is told of the other's; what else is wrong, the next one tells.
    let _ = client.batch(TABLE).await;
    let transaction = client.transaction().await?;
    let sql = "insert into chat_lines (who, said) values ($1, $2)";
    transaction.execute(sql, &[&line.who, &line.text]).await?;
    let sql = "delete from chat_lines where id <= \
        (select id from chat_lines order by id desc offset $1 limit 1)";
    transaction.execute(sql, &[&(lines_max as i64)]).await?;
    transaction.commit().await
}

#[cfg(feature = "database")]
async fn last(pool: &Pool, lines_max: usize) -> Result<Vec<Line>, ClientError> {
    let client = pool.get().await?;
    let _ = client.batch(TABLE).await;
    let sql = "select who, said from (select * from chat_lines order by id desc limit $1) newest \
        order by id";
    let rows = client.query(sql, &[&(lines_max as i64)]).await?;
    rows.iter().map(|row| Ok(Line { who: row.get(0)?, text: row.get(1)? })).collect()
}
