//! Statements without names, for poolers that hand connections round between transactions.

use super::*;

pub(super) fn column(kind: u8) -> Vec<u8> {
    let mut description = b"\0\x01a\0\0\0\0\0\0\0\0\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\0\0".to_vec();
    description[13] = kind;
    message(b'T', &description)
}

/// To what is parsed, bound, described and executed at once.
fn answered(columns: &[u8], row: &[u8]) -> Vec<u8> {
    let parts = [&message(b'1', b""), &bound(), columns, &message(b'D', row), &done()];
    parts.map(<[u8]>::to_vec).concat()
}

fn unnamed(world: &World) -> impl Future<Output = Client> + use<> {
    keeping(world, 0)
}

/// Who keeps so many statements.
pub(super) fn keeping(
    world: &World,
    statements_max: usize,
) -> impl Future<Output = Client> + use<> {
    let (server, environment) = (world.server(), world.environment.clone());
    let options = Options { statements_max, ..Options::default() };
    async move { connect(&[server], &Settings::new("alice"), &options, &environment).await.unwrap() }
}

/// Which messages came, up to the last one of each group.
pub(super) type Groups = Rc<RefCell<Vec<String>>>;

/// A server that gives an answer to each group up to a Sync; the groups.
pub(super) fn answering(
    world: &World,
    answers: Vec<Vec<u8>>,
) -> (Groups, impl Future<Output = Peer> + use<>) {
    let (mut listener, groups) = (world.listen(), Groups::default());
    let seen = groups.clone();
    let server = async move {
        let mut peer = Peer::accept(&mut listener).await;
        for answer in answers {
            let group = peer.up_to(b'S').await;
            seen.borrow_mut().push(group);
            peer.say(&answer).await;
        }
        peer
    };
    (groups, server)
}

#[test]
fn each_execution_parses_and_needs_nothing_of_what_was_before() {
    let world = World::new();
    let answers = [
        described(),
        answered(&column(25), b"\0\x01\0\0\0\x03abc"),
        // By now it is a number.
        answered(&column(23), b"\0\x01\0\0\0\x04\0\0\0\x07"),
    ];
    let (seen, answering) = answering(&world, answers.into());
    let (connecting, groups) = (unnamed(&world), seen.clone());
    let server = async move {
        let last = answering.await.up_to(b'X').await;
        groups.borrow_mut().push(last);
    };
    world.run(server, async move {
        let client = connecting.await;
        let row = client.query_one("select a", &[]).await.unwrap();
        assert_eq!(row.get::<&str>(0), Ok("abc"));
        let mut rows = client.query_stream("select a", &[]).await.unwrap();
        assert_eq!(rows.columns().len(), 1);
        let row = rows.next().await.unwrap().unwrap();
        assert_eq!(row.get::<i32>(0), Ok(7));
        assert!(rows.next().await.unwrap().is_none());
    });
    // Nothing was to be closed.
    world.executor.run_until_stalled();
    assert_eq!(*seen.borrow(), ["PDS", "PBDES", "PBDES", "X"]);
}

#[test]
fn after_an_error_it_is_described_anew() {
    let world = World::new();
    let refused = message(b'E', b"SERROR\0VERROR\0C42804\0Mno longer\0\0");
    let row = answered(&column(25), b"\0\x01\0\0\0\x03abc");
    let answers = [described(), [refused, ready(b'I')].concat(), described(), row];
    let (seen, answering) = answering(&world, answers.into());
    let connecting = unnamed(&world);
    let server = async move {
        let _peer = answering.await;
        std::future::pending::<()>().await;
    };
    world.run(server, async move {
        let client = connecting.await;
        let error = client.query("select a", &[]).await.unwrap_err();
        assert_eq!(error.state(), Some(SqlState::DatatypeMismatch));
        client.query("select a", &[]).await.unwrap();
    });
    assert_eq!(*seen.borrow(), ["PDS", "PBDES", "PDS", "PBDES"]);
}
