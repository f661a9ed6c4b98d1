//! A client of PostgreSQL by tokio-postgres: `tokio-postgres-client CONNECTION LOAD COUNT [WIDTH]`, on one thread as the appliance has. It
//! prints its processor time and the time that passed, in seconds.

use futures_util::{TryStreamExt, pin_mut};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use tokio_postgres::{Client, NoTls, Row, Statement};

const QUERY: &str = "select id, name from goods where id = $1";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [connection, load, count, width @ ..] = &arguments[..] else {
        panic!("CONNECTION LOAD COUNT [WIDTH]")
    };
    let count = count.parse().expect("a count");
    let width = width.first().map_or(1, |width| width.parse().expect("a width"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime.expect("a runtime").block_on(run(connection, load, count, width));
}

async fn run(connection: &str, load: &str, count: u32, width: u32) {
    let (client, carrier) = tokio_postgres::connect(connection, NoTls).await.expect("a server");
    tokio::spawn(carrier);
    let statement = client.prepare(QUERY).await.expect("a statement");
    let before = [ClockId::ProcessCPUTime, ClockId::Monotonic].map(seconds);
    match load {
        "lone" => {
            for number in 0..count {
                ask(&client, &statement, number).await;
            }
        }
        "pipelined" => pipelined(client, statement, count, width).await,
        "rows" => rows(&client, count).await,
        other => panic!("no load {other}"),
    }
    let after = [ClockId::ProcessCPUTime, ClockId::Monotonic].map(seconds);
    println!("{:.6} {:.6}", after[0] - before[0], after[1] - before[1]);
}

async fn ask(client: &Client, statement: &Statement, number: u32) {
    let number = i32::try_from(number % 1000).expect("a number");
    let row: Row = client.query_one(statement, &[&number]).await.expect("a row");
    assert_eq!(row.get::<_, i32>(0), number);
}

/// So many tasks share the connection, and each asks again when it has its answer.
async fn pipelined(client: Client, statement: Statement, count: u32, width: u32) {
    let client = Arc::new(client);
    let tasks: Vec<_> = (0..width)
        .map(|first| {
            let (client, statement) = (client.clone(), statement.clone());
            tokio::spawn(async move {
                for number in (first..count).step_by(width as usize) {
                    ask(&client, &statement, number).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

async fn rows(client: &Client, count: u32) {
    let sql = format!("select g, repeat('x', 90) from generate_series(1, {count}) g");
    let none: [i32; 0] = [];
    let rows = client.query_raw(&sql, none).await.expect("rows");
    pin_mut!(rows);
    let (mut sum, mut bytes) = (0, 0);
    while let Some(row) = rows.try_next().await.expect("a row") {
        sum += u64::from(row.get::<_, i32>(0).unsigned_abs());
        bytes += row.get::<_, &str>(1).len() as u64;
    }
    let count = u64::from(count);
    assert_eq!((sum, bytes), (count * (count + 1) / 2, 90 * count));
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
