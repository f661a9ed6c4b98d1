//! What has to hold behind a pooler that hands two connections of a server round between transactions.

use super::{Bench, all, settings};
use endpoints::postgres::{Client, ClientError, Options, SqlState, connect};
use std::rc::Rc;

/// Clients at once, and transactions of each.
const CLIENTS: i32 = 40;
const TRANSACTIONS: i32 = 10;
/// Connections that the pooler has.
const SERVERS: i64 = 2;

impl Bench {
    pub(super) async fn pooler(&self) {
        self.statements_move().await;
        self.groups_stand_alone().await;
        self.columns_are_those_of_now().await;
        self.many_share().await;
        self.copy_pooled().await;
    }

    /// What was described on one connection is executed on another. With names it is not there.
    async fn statements_move(&self) {
        let named = Options { statements_max: 100, ..Options::default() };
        let named = connect(&[self.server()], &settings(), &named, &self.environment).await;
        let named = named.expect("a server");
        let client = self.client().await;
        let sql = "select pg_backend_pid(), $1::int4 + 1";
        let statement = client.prepare(sql).await.expect("a statement");
        assert_eq!((statement.parameters().len(), statement.columns().len()), (1, 2));
        named.query_one(sql, &[&1]).await.expect("a row");
        let mut other = self.client().await;
        // It holds the connection that was used last.
        let holding = other.transaction().await.expect("a transaction");
        let held = holding.query_one("select pg_backend_pid()", &[]).await.expect("a row");
        let mut rows = client.query_prepared(&statement, &[&4]).await.expect("rows");
        assert_eq!(rows.columns().len(), 2);
        let row = rows.next().await.expect("a row").expect("one");
        assert_eq!(row.get::<i32>(1), Ok(5));
        assert_ne!(row.get::<i32>(0), held.get::<i32>(0));
        drop(rows);
        let error = named.query_one(sql, &[&1]).await.expect_err("prepared elsewhere");
        assert_eq!(error.state(), Some(SqlState::InvalidSqlStatementName));
        holding.commit().await.expect("committed");
    }

    /// Queries in a pipeline, bad ones among them.
    async fn groups_stand_alone(&self) {
        let client = self.client().await;
        let asked = (0..500_i32).map(|number| {
            let client = &client;
            Box::pin(async move {
                let sql = match number % 10 {
                    0 => "select $1::int4 / 0",
                    1 => "select $1::int4 from generate_series(1, 1)",
                    _ => "select $1::int4",
                };
                let row = client.query_one(sql, &[&number]).await?;
                Ok::<_, ClientError>(row.get::<i32>(0).expect("a number"))
            })
        });
        for (number, outcome) in (0..).zip(all(asked.collect()).await) {
            match outcome {
                Ok(answer) => assert_eq!(answer, number),
                Err(error) => {
                    assert_eq!((number % 10, error.state()), (0, Some(SqlState::DivisionByZero)));
                }
            }
        }
        let error = client.query("select $1::int4", &[&"x"]).await.expect_err("no number");
        assert!(matches!(error, ClientError::Request(_)), "{error}");
        let error = client.query("selec 1", &[]).await.expect_err("no statement");
        assert_eq!(error.state(), Some(SqlState::SyntaxError));
        drop(client.query_stream("select generate_series(1, 100000000)", &[]).await.expect("rows"));
        client.query_one("select 1", &[]).await.expect("the connection goes on");
    }

    /// A table changes under a statement, and so do the types of its parameters.
    async fn columns_are_those_of_now(&self) {
        let client = self.client().await;
        client.batch("create table p (a int4); insert into p values (1)").await.expect("a table");
        let select = "select * from p where a >= $1";
        let row = client.query_one(select, &[&1]).await.expect("a row");
        assert_eq!((row.get::<i32>(0), row.columns().len()), (Ok(1), 1));
        let insert = "insert into p (a) values ($1)";
        assert_eq!(client.execute(insert, &[&2]).await, Ok(1));
        client.batch("alter table p add b int8 default 7").await.expect("a column");
        let rows = client.query(select, &[&1]).await.expect("rows");
        assert_eq!((rows.len(), rows[0].get::<i64>(1)), (2, Ok(7)));
        client.batch("alter table p alter a type text").await.expect("another type");
        // It is declared as it was, until that does not fit.
        assert_eq!(client.execute(insert, &[&3]).await, Ok(1));
        let error = client.execute(insert, &[&"four"]).await.expect_err("no number");
        assert!(matches!(error, ClientError::Request(_)), "{error}");
        assert_eq!(client.execute(insert, &[&"four"]).await, Ok(1));
        client.batch("drop table p").await.expect("it is nobody's");
    }

    /// Many clients over few connections: transactions are whole, and nobody has another's answer.
    async fn many_share(&self) {
        let first = self.client().await;
        let script = "create table accounts (id int4 primary key, amount int8, changes int4);
            insert into accounts select g, 100, 0 from generate_series(0, 9) g";
        first.batch(script).await.expect("accounts");
        let clients = (0..CLIENTS).map(|number| {
            Box::pin(async move {
                let mut client = self.client().await;
                for round in 0..TRANSACTIONS {
                    transfer(&mut client, (number + round) % 10, (number * 7 + round * 3) % 10)
                        .await;
                    let own = number * 1000 + round;
                    let row = client.query_one("select $1::int4", &[&own]).await.expect("a row");
                    assert_eq!(row.get::<i32>(0), Ok(own));
                }
            })
        });
        all(clients.collect()).await;
        let sum = "select sum(amount)::int8, sum(changes)::int4 from accounts";
        let row = first.query_one(sum, &[]).await.expect("a row");
        let changes = 2 * CLIENTS * TRANSACTIONS;
        assert_eq!((row.get::<i64>(0), row.get::<i32>(1)), (Ok(1000), Ok(changes)));
        let count = "select count(*) from pg_stat_activity where datname = 'postgres' and backend_type = 'client backend'";
        let row = first.query_one(count, &[]).await.expect("a row");
        assert!(row.get::<i64>(0).is_ok_and(|count| count <= SERVERS), "{row:?}");
        first.batch("drop table accounts").await.expect("they are nobody's");
    }

    async fn copy_pooled(&self) {
        let client = Rc::new(self.client().await);
        client.batch("create table c (a int4)").await.expect("a table");
        let mut copy = client.copy_in("copy c from stdin").await.expect("a copy");
        for number in 0..10_000 {
            copy.send(format!("{number}\n").as_bytes()).await.expect("data");
        }
        assert_eq!(copy.finish().await, Ok(10_000));
        let row = client.query_one("select count(*) from c", &[]).await.expect("a row");
        assert_eq!(row.get::<i64>(0), Ok(10_000));
        client.batch("drop table c").await.expect("it is nobody's");
    }
}

/// Moves one from an account to another, which takes two statements.
async fn transfer(client: &mut Client, from: i32, to: i32) {
    let transaction = client.transaction().await.expect("a transaction");
    // In the order of their numbers, so that no two wait for each other.
    let mut changes = [(from, -1_i64), (to, 1)];
    changes.sort_unstable();
    for (account, by) in changes {
        let sql = "update accounts set amount = amount + $1, changes = changes + 1 where id = $2";
        assert_eq!(transaction.execute(sql, &[&by, &account]).await, Ok(1));
    }
    transaction.commit().await.expect("committed");
}
