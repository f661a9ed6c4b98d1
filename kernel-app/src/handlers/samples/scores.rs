//! Scores: how many games took how many tries, in the database `main`, if the configuration has one.

use crate::Platform;
use crate::context::Context;
use alloc::format;
use alloc::string::String;
#[cfg(feature = "database")]
use endpoints::postgres::{ClientError, Pool};

/// What all games have in common.
#[derive(Clone)]
pub(super) struct Scores {
    #[cfg(feature = "database")]
    pool: Option<Pool>,
}

/// Games that took so many tries.
pub(super) struct Score {
    tries: i32,
    games: i64,
}

impl Scores {
    /// Those of the database, if there is one.
    pub(super) fn new<P: Platform>(context: &Context<P>) -> Self {
        let _ = context;
        Self {
            #[cfg(feature = "database")]
            pool: context.database("main").ok(),
        }
    }

    /// Adds a game, and gives all there were, as HTML; empty where there is no database.
    pub(super) async fn add(&self, tries: i32) -> String {
        match self.try_add(tries).await {
            None => String::new(),
            Some(Ok(scores)) => scores.iter().fold(String::from("<p>All games:"), |list, score| {
                let Score { tries, games } = score;
                list + &format!("<br>{games} in {tries} tries")
            }),
            // A game is won, whether or not the database hears of it.
            Some(Err(())) => String::from("<p>The scores are out of reach."),
        }
    }

    #[cfg(feature = "database")]
    async fn try_add(&self, tries: i32) -> Option<Result<alloc::vec::Vec<Score>, ()>> {
        let pool = self.pool.as_ref()?;
        Some(add(pool, tries).await.map_err(|error| log::warn!("scores: {error}")))
    }

    #[cfg(not(feature = "database"))]
    async fn try_add(&self, _: i32) -> Option<Result<alloc::vec::Vec<Score>, ()>> {
        None
    }
}

#[cfg(feature = "database")]
const TABLE: &str =
    "create table if not exists guess_scores (tries int4 primary key, games int8 not null)";

#[cfg(feature = "database")]
async fn add(pool: &Pool, tries: i32) -> Result<alloc::vec::Vec<Score>, ClientError> {
    let mut client = pool.get().await?;
    // Of two that make it at once one is told of the other's; what else is wrong, the next one tells.
    let _ = client.batch(TABLE).await;
    let transaction = client.transaction().await?;
    transaction
        .execute(
            "insert into guess_scores as own values ($1, 1) on conflict (tries) do update set games = own.games + 1",
            &[&tries],
        )
        .await?;
    let rows = transaction
        .query("select tries, games from guess_scores order by tries limit 20", &[])
        .await?;
    transaction.commit().await?;
    rows.iter().map(|row| Ok(Score { tries: row.get(0)?, games: row.get(1)? })).collect()
}
