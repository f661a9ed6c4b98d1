//! One statement for many sets of values.

use super::unnamed::{answering, column, keeping};
use super::*;

/// A server that gives these answers to one group each; which messages came, up to the last one of each group.
fn asked<T: 'static, W: Future<Output = T> + 'static>(
    statements_max: usize,
    answers: Vec<Vec<u8>>,
    work: impl FnOnce(Client) -> W + 'static,
) -> (Vec<String>, T) {
    let world = World::new();
    let (groups, answering) = answering(&world, answers);
    let connecting = keeping(&world, statements_max);
    let server = async move {
        answering.await.up_to(b'?').await;
    };
    let came = world.run(server, async move { work(connecting.await).await });
    let groups = groups.borrow().clone();
    (groups, came)
}

fn complete(tag: &[u8]) -> Vec<u8> {
    message(b'C', tag)
}

fn failed() -> Vec<u8> {
    message(b'E', b"SERROR\0VERROR\0C23505\0Mtwice\0\0")
}

#[test]
fn all_sets_are_one_group_and_each_has_its_rows() {
    let results = [
        [bound(), rows(2), complete(b"SELECT 2\0")].concat(),
        [bound(), complete(b"SELECT 0\0")].concat(),
        [bound(), rows(1), complete(b"SELECT 1\0"), ready(b'I')].concat(),
    ];
    let answers = [described(), results.concat()];
    let (groups, counts) = asked(100, answers.into(), |client| async move {
        let results = client.query_many("select a", &[&[], &[], &[]]).await.unwrap();
        results.iter().map(Vec::len).collect::<Vec<_>>()
    });
    assert_eq!(groups, ["PDS", "BEBEBES"]);
    assert_eq!(counts, [2, 0, 1]);
}

#[test]
fn what_all_changed_is_counted_and_an_error_is_that_of_the_group() {
    let changed = [bound(), complete(b"INSERT 0 1\0"), bound(), complete(b"INSERT 0 4\0")];
    let answers = [
        described(),
        [changed.concat(), ready(b'I')].concat(),
        [bound(), complete(b"INSERT 0 1\0"), failed(), ready(b'I')].concat(),
        [bound(), complete(b"INSERT 0 1\0"), ready(b'I')].concat(),
    ];
    let (groups, counts) = asked(100, answers.into(), |client| async move {
        let all = client.execute_many("insert", &[&[], &[]]).await;
        let failed = client.execute_many("insert", &[&[], &[], &[]]).await.unwrap_err();
        (all, failed.state(), client.execute("insert", &[]).await)
    });
    assert_eq!(groups, ["PDS", "BEBES", "BEBEBES", "BES"]);
    assert_eq!(counts, (Ok(5), Some(SqlState::UniqueViolation), Ok(1)));
}

#[test]
fn no_sets_ask_nothing_and_sets_that_do_not_fit_send_nothing() {
    let answers = [described(), [bound(), complete(b"SELECT 0\0"), ready(b'I')].concat()];
    let (groups, ()) = asked(100, answers.into(), |client| async move {
        assert_eq!(client.execute_many("select a", &[]).await, Ok(0));
        assert!(client.query_many("select a", &[]).await.unwrap().is_empty());
        let error = client.execute_many("select a", &[&[], &[&1_i32]]).await.unwrap_err();
        assert!(matches!(error, ClientError::Request(_)), "{error}");
        assert!(client.query("select a", &[]).await.unwrap().is_empty());
    });
    assert_eq!(groups, ["PDS", "BES"]);
}

#[test]
fn without_names_each_set_has_its_description() {
    let result = |kind, row: &[u8]| {
        let parts = [message(b'1', b""), bound(), column(kind), message(b'D', row)];
        [parts.concat(), complete(b"SELECT 1\0")].concat()
    };
    let number = result(23, b"\0\x01\0\0\0\x04\0\0\0\x07");
    let results = [result(25, b"\0\x01\0\0\0\x03abc"), number, ready(b'I')];
    let answers = [described(), results.concat()];
    let (groups, ()) = asked(0, answers.into(), |client| async move {
        let results = client.query_many("select a", &[&[], &[]]).await.unwrap();
        assert_eq!(results[0][0].get::<&str>(0), Ok("abc"));
        assert_eq!(results[1][0].get::<i32>(0), Ok(7));
    });
    assert_eq!(groups, ["PDS", "PBDEPBDES"]);
}
