//! Loads on a server, for `cargo xtask bench database`: `flow-peer database ADDRESS lone|pipelined|one-sync|rows COUNT [WIDTH]`. What each
//! does, the other clients do as well (`tools/bench/src/database.c`, `tests/interop/postgres/bench/tokio-postgres`).

use endpoints::postgres::{Client, ToSql};
use flow::task::Spawner;
use rustix::time::{ClockId, clock_gettime};
use std::rc::Rc;

const QUERY: &str = "select id, name from goods where id = $1";

/// Asks, and prints the processor time and the time that passed, in seconds.
pub(super) async fn run(client: Client, spawner: &Spawner, load: &str, count: u32, width: u32) {
    // The connection is there, and so is the statement.
    ask(&client, 0).await;
    let before = [ClockId::ProcessCPUTime, ClockId::Monotonic].map(seconds);
    match load {
        "lone" => {
            for number in 0..count {
                ask(&client, number).await;
            }
        }
        "pipelined" => pipelined(client, spawner, count, width).await,
        "one-sync" => one_sync(&client, count, width).await,
        "rows" => rows(&client, count).await,
        other => panic!("no load {other}"),
    }
    let after = [ClockId::ProcessCPUTime, ClockId::Monotonic].map(seconds);
    println!("{:.6} {:.6}", after[0] - before[0], after[1] - before[1]);
}

async fn ask(client: &Client, number: u32) {
    let number = i32::try_from(number % 1000).expect("a number");
    let row = client.query_one(QUERY, &[&number]).await.expect("a row");
    assert_eq!(row.get::<i32>(0), Ok(number));
}

/// So many tasks share the connection, and each asks again when it has its answer.
async fn pipelined(client: Client, spawner: &Spawner, count: u32, width: u32) {
    let client = Rc::new(client);
    let tasks: Vec<_> = (0..width)
        .map(|first| {
            let client = client.clone();
            spawner.spawn_joinable("asks", async move {
                for number in (first..count).step_by(width as usize) {
                    ask(&client, number).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

/// So many at once, in one group.
async fn one_sync(client: &Client, count: u32, width: u32) {
    let numbers: Vec<i32> = (0..width).map(|it| i32::try_from(it).expect("a number")).collect();
    let values: Vec<[&dyn ToSql; 1]> = numbers.iter().map(|it| [it as &dyn ToSql]).collect();
    let sets: Vec<&[&dyn ToSql]> = values.iter().map(|values| &values[..]).collect();
    for _ in 0..count / width {
        let results = client.query_many(QUERY, &sets).await.expect("rows");
        for (number, rows) in numbers.iter().zip(results) {
            assert_eq!(rows[0].get::<i32>(0), Ok(*number));
        }
    }
}

async fn rows(client: &Client, count: u32) {
    let sql = format!("select g, repeat('x', 90) from generate_series(1, {count}) g");
    let mut rows = client.query_stream(&sql, &[]).await.expect("rows");
    let (mut sum, mut bytes) = (0, 0);
    while let Some(row) = rows.next().await.expect("a row") {
        sum += u64::from(row.get::<i32>(0).expect("a number").unsigned_abs());
        bytes += row.get::<&str>(1).expect("text").len() as u64;
    }
    let count = u64::from(count);
    assert_eq!((sum, bytes), (count * (count + 1) / 2, 90 * count));
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
