//! One statement for many sets of values.

use endpoints::postgres::{Client, SqlState, ToSql};

/// They are one group, of which all come to be or none.
pub(super) async fn check(client: &Client) {
    client.batch("create temp table many (a int4 unique)").await.expect("a table");
    let numbers: Vec<i32> = (0..1000).chain([7]).collect();
    let values: Vec<[&dyn ToSql; 1]> = numbers.iter().map(|a| [a as &dyn ToSql]).collect();
    let sets: Vec<&[&dyn ToSql]> = values.iter().map(|values| &values[..]).collect();
    let insert = "insert into many values ($1)";
    let error = client.execute_many(insert, &sets).await.expect_err("a number twice");
    assert_eq!(error.state(), Some(SqlState::UniqueViolation));
    assert_eq!(client.execute_many(insert, &sets[..1000]).await, Ok(1000));
    let found = client.query_many("select a from many where a = $1", &sets).await;
    for (number, rows) in numbers.iter().zip(found.expect("rows")) {
        assert_eq!((rows.len(), rows[0].get::<i32>(0)), (1, Ok(*number)));
    }
}
