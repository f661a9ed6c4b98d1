//! Conversations with a server that is a list of bytes.

use super::*;
use crate::{ChannelBinding, Columns, Methods, Severity, SqlState};
use std::format;
use std::string::{String, ToString};
use std::vec;

const NOW: Duration = Duration::ZERO;

/// A message of the server's.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], &length[..], body].concat()
}

fn authentication(code: u32, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes()[..], rest].concat())
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn error(severity: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C42601\0Msyntax\0\0").as_bytes())
}

/// A row of these values.
fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        body.extend(length.to_be_bytes());
        body.extend(value.unwrap_or_default());
    }
    message(b'D', &body)
}

/// A description of columns of this type.
fn columns(names: &[&str], oid: Oid) -> Vec<u8> {
    let mut body = u16::try_from(names.len()).unwrap().to_be_bytes().to_vec();
    for name in names {
        body.extend_from_slice(name.as_bytes());
        body.extend([0; 7]);
        body.extend(oid.0.to_be_bytes());
        body.extend([0, 4, 255, 255, 255, 255, 0, 0]);
    }
    message(b'T', &body)
}

fn settings() -> Settings {
    Settings::new("alice")
}

fn new(settings: Settings) -> Connection {
    Connection::new(settings, Limits::default(), *b"0123456789abcdefgh")
}

/// All output.
fn sent(connection: &mut Connection) -> Vec<u8> {
    let mut sent = Vec::new();
    while connection.wants_transmit() {
        let mut space = [0; 100];
        let count = connection.poll_transmit(NOW, &mut space);
        sent.extend_from_slice(&space[..count]);
    }
    sent
}

/// Feeds all input in pieces of that length, and says what came of it.
fn feed_in(connection: &mut Connection, input: &[u8], piece: usize) -> Vec<Event> {
    let mut events = Vec::new();
    for piece in input.chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() && !connection.is_ended() {
            let taken = connection.handle_input(NOW, rest);
            rest = &rest[taken..];
            events.extend(core::iter::from_fn(|| connection.poll_event()));
        }
    }
    events.extend(core::iter::from_fn(|| connection.poll_event()));
    events
}

fn feed(connection: &mut Connection, input: &[u8]) -> Vec<Event> {
    feed_in(connection, input, usize::MAX)
}

fn open() -> Connection {
    let mut connection = new(settings());
    let key = message(b'K', &[0, 0, 0, 7, 1, 2, 3, 4]);
    let input = [authentication(0, b""), key, ready()].concat();
    assert!(matches!(feed(&mut connection, &input)[..], [Event::Started]));
    sent(&mut connection);
    connection
}

/// The error by which the connection failed.
fn failure(events: &[Event]) -> Error {
    match events.last() {
        Some(Event::Failed(error)) => error.clone(),
        other => panic!("no failure but {other:?}"),
    }
}

/// A text of events that does not depend on how rows and data were batched.
fn shown(events: Vec<Event>) -> String {
    let mut text = String::new();
    for event in events {
        match event {
            Event::Rows(rows) => {
                let any: Columns = vec![
                    crate::Column {
                        name: "a".into(),
                        oid: Oid::TEXT,
                        format: crate::Format::Binary
                    };
                    2
                ]
                .into();
                rows.into_rows(any).for_each(|row| text += &format!("{row:?} "));
            }
            Event::CopyData(data) => text += &data.escape_ascii().to_string(),
            event => text += &format!("{event:?} "),
        }
    }
    text
}

/// A conversation of all kinds of steps: what the client asks, and all that the server says.
fn conversation() -> (Connection, Vec<u8>) {
    let mut connection = open();
    connection.parse("s", "select $1, $2", &[]).unwrap();
    connection.describe("s").unwrap();
    connection.sync().unwrap();
    connection.execute("s", &[Oid::TEXT; 2], &[&"a", &"b"], 2).unwrap();
    connection.sync().unwrap();
    connection.execute("s", &[Oid::TEXT; 2], &[&"a", &"b"], 2).unwrap();
    connection.parse("", "skipped", &[]).unwrap();
    connection.sync().unwrap();
    connection.query("select 1; copy t to stdout").unwrap();
    connection.close_statement("s").unwrap();
    connection.sync().unwrap();
    let parameters = [0, 2, 0, 0, 0, 25, 0, 0, 0, 25];
    let input = [
        message(b'1', b""),
        message(b't', &parameters),
        columns(&["a", "b"], Oid::TEXT),
        ready(),
        message(b'2', b""),
        row(&[Some(b"x"), None]),
        message(b'S', b"TimeZone\0UTC\0"),
        row(&[Some(b""), Some(b"long and longer")]),
        row(&[None, None]),
        message(b'C', b"SELECT 3\0"),
        ready(),
        error("ERROR"),
        message(b'N', b"VNOTICE\0C00000\0Mheard\0\0"),
        message(b'Z', b"E"),
        columns(&["a", "b"], Oid::TEXT),
        row(&[Some(b"1"), Some(b"2")]),
        message(b'C', b"SELECT 1\0"),
        message(b'H', &[0, 0, 1, 0, 0]),
        message(b'd', b"one\n"),
        message(b'd', b"two\n"),
        message(b'c', b""),
        message(b'C', b"COPY 2\0"),
        ready(),
        message(b'A', b"\0\0\0\x07news\0text\0"),
        message(b'3', b""),
        ready(),
    ]
    .concat();
    (connection, input)
}

#[test]
fn a_start_offers_3_2_and_names_user_database_and_parameters() {
    let settings = settings().database("shop").parameter("application_name", "till");
    let mut connection = new(settings);
    let pairs = b"user\0alice\0database\0shop\0client_encoding\0UTF8\0DateStyle\0ISO\0application_name\0till\0\0";
    let length = u32::try_from(pairs.len() + 8).unwrap();
    let expected = [&length.to_be_bytes()[..], &[0, 3, 0, 2], pairs].concat();
    assert_eq!(sent(&mut connection), expected);
    let mut old = new(Settings::new("a").protocol_3_0());
    assert_eq!(sent(&mut old)[4..8], [0, 3, 0, 0]);
    let mut zero = new(Settings::new("a\0b"));
    assert!(zero.is_ended() && matches!(zero.poll_event(), Some(Event::Failed(_))));
}

#[test]
fn the_same_comes_of_input_wherever_it_is_split() {
    let (mut connection, input) = conversation();
    let whole = shown(feed(&mut connection, &input));
    assert!(whole.contains("Notification") && whole.contains("one\\ntwo\\n"), "{whole}");
    assert!(whole.ends_with("Ready(Idle) ") && connection.is_idle());
    for piece in 1..60 {
        let (mut connection, input) = conversation();
        assert_eq!(shown(feed_in(&mut connection, &input, piece)), whole, "pieces of {piece}");
    }
    for at in 0..input.len() {
        let (mut connection, input) = conversation();
        let (front, back) = input.split_at(at);
        let mut events = feed(&mut connection, front);
        events.extend(feed(&mut connection, back));
        assert_eq!(shown(events), whole, "split at {at}");
    }
}

#[test]
fn an_end_anywhere_is_an_error_and_no_answer_is_taken_for_another() {
    let (_, input) = conversation();
    for at in 0..input.len() {
        let (mut connection, input) = conversation();
        feed(&mut connection, &input[..at]);
        connection.handle_end();
        let event = connection.poll_event();
        assert!(matches!(event, Some(Event::Failed(Error::Ended))), "{event:?} at {at}");
        assert!(connection.poll_event().is_none() && connection.is_ended());
    }
}

#[test]
fn every_message_out_of_its_place_ends_the_connection() {
    for kind in *b"1235CDGHIKRTWZcdnstv?\0" {
        let mut connection = open();
        let events = feed(&mut connection, &message(kind, b"\0\0\0\0"));
        assert_eq!(failure(&events), Error::Unexpected(kind));
        assert!(!connection.wants_input() && !connection.wants_transmit());
        assert_eq!(connection.sync(), Err(SendError::NotReady));
    }
    // Between the bind and its answer there are no rows.
    let mut connection = open();
    connection.execute("", &[], &[], 1).unwrap();
    let events = feed(&mut connection, &row(&[None]));
    assert_eq!(failure(&events), Error::Unexpected(b'D'));
}

#[test]
fn lengths_are_compared_before_anything_is_held() {
    for (kind, length) in
        [(b'D', 3), (b'D', 0), (b'D', u32::MAX), (b'E', (1 << 20) + 1), (b'd', 16_777_217)]
    {
        let mut connection = open();
        let header = [&[kind], &u32::to_be_bytes(length)[..]].concat();
        for piece in [5, 1] {
            let events = feed_in(&mut connection, &header, piece);
            if piece == 5 {
                assert_eq!(failure(&events), Error::Length(kind, length));
            }
        }
        assert!(connection.held_bytes() < 4096);
    }
    let mut connection = open();
    connection.execute("", &[], &[], 1).unwrap();
    feed(&mut connection, &message(b'2', b""));
    // As long as is allowed; what is announced is not reserved.
    feed(&mut connection, &[b'D', 1, 0, 0, 0, 1, 2]);
    assert!(!connection.is_ended() && connection.held_bytes() < 100_000);
}

#[test]
fn rows_whose_values_do_not_fill_them_are_refused() {
    let body = |parts: &[&[u8]]| message(b'D', &parts.concat());
    let bound = message(b'2', b"");
    for (message, expected) in [
        (row(&[None]), Error::ColumnCount),
        (row(&[None, None, None]), Error::ColumnCount),
        (body(&[&[0]]), Error::Malformed(b'D')),
        (body(&[&[0, 2], &[255; 4]]), Error::Malformed(b'D')),
        (body(&[&[0, 2], &[255; 8], &[0]]), Error::Malformed(b'D')),
        (body(&[&[0, 2], &[255; 4], &[255, 255, 255, 254]]), Error::Malformed(b'D')),
        (body(&[&[0, 2], &[255; 4], &[0, 0, 0, 2, 9]]), Error::Malformed(b'D')),
    ] {
        let mut connection = open();
        connection.execute("", &[], &[], 2).unwrap();
        feed(&mut connection, &bound);
        assert_eq!(failure(&feed(&mut connection, &message)), expected);
    }
}

#[test]
fn descriptions_that_lie_about_their_count_are_refused() {
    for lie in [&[255, 255][..], &[0, 1], &[0, 0, 0], &[0, 1, b'a', 0, 0]] {
        let mut connection = open();
        connection.describe("").unwrap();
        let events = feed(&mut connection, &message(b't', lie));
        assert_eq!(failure(&events), Error::Malformed(b't'), "{lie:?}");
        let mut connection = open();
        connection.describe("").unwrap();
        feed(&mut connection, &message(b't', &[0, 0]));
        let events = feed(&mut connection, &message(b'T', lie));
        assert_eq!(failure(&events), Error::Malformed(b'T'), "{lie:?}");
    }
}

#[test]
fn input_waits_while_nobody_polls_events() {
    let limits = Limits { events_bytes_max: 1000, ..Limits::default() };
    let mut connection = Connection::new(settings(), limits, [0; 18]);
    feed(&mut connection, &[authentication(0, b""), ready()].concat());
    connection.execute("", &[], &[], 1).unwrap();
    feed(&mut connection, &message(b'2', b""));
    let input = row(&[Some(&[7; 90])]).repeat(1000);
    let (mut taken, mut rows) = (0, 0);
    while taken < input.len() {
        let count = connection.handle_input(NOW, &input[taken..]);
        assert!(connection.held_bytes() < 4000);
        taken += count;
        if taken < input.len() {
            assert!(!connection.wants_input());
            assert_eq!(connection.handle_input(NOW, &input[taken..]), 0);
        }
        while let Some(event) = connection.poll_event() {
            let Event::Rows(batch) = event else { panic!("{event:?}") };
            rows += batch.len();
        }
        assert!(connection.wants_input());
    }
    assert_eq!(rows, 1000);
    // Notices, too, without a question.
    let input = message(b'N', b"\0").repeat(1000);
    assert!(connection.handle_input(NOW, &input) < input.len());
}

#[test]
fn an_error_ends_what_follows_up_to_the_next_sync() {
    let mut connection = open();
    for _ in 0..3 {
        connection.parse("", "x", &[]).unwrap();
        connection.execute("", &[], &[], 0).unwrap();
        connection.sync().unwrap();
    }
    let done = [message(b'1', b""), message(b'2', b""), message(b'C', b"X 5\0"), ready()].concat();
    let input = [&done[..], &error("ERROR"), &ready(), &done].concat();
    let events = shown(feed(&mut connection, &input));
    let good = "Parsed Complete(Completion { rows: 5, is_rollback: false }) Ready(Idle) ";
    let (front, back) = events.split_at(good.len());
    assert!(front == good && back.ends_with(good) && connection.is_idle(), "{events}");
    assert!(back.starts_with("Error("));
}

#[test]
fn an_error_at_a_sync_is_the_commit_s() {
    let mut connection = open();
    connection.sync().unwrap();
    let events = feed(&mut connection, &[error("ERROR"), ready()].concat());
    assert!(matches!(events[..], [Event::Error(_), Event::Ready(TransactionStatus::Idle)]));
}

#[test]
fn a_fatal_error_is_the_reason_why_the_connection_ends() {
    for asked in [false, true] {
        let mut connection = open();
        if asked {
            connection.query("x").unwrap();
        }
        let Error::Server(reason) = failure(&feed(&mut connection, &error("FATAL"))) else {
            panic!("another reason")
        };
        assert_eq!((reason.severity, reason.state), (Severity::Fatal, SqlState::SyntaxError));
    }
    // Nobody asked.
    let mut connection = open();
    assert!(matches!(failure(&feed(&mut connection, &error("ERROR"))), Error::Server(_)));
}

#[test]
fn copy_in_takes_data_until_it_is_done_or_fails() {
    let mut connection = open();
    assert_eq!(connection.copy_data(b"x"), Err(SendError::OutOfTurn));
    connection.query("copy t from stdin").unwrap();
    assert_eq!(connection.copy_done(), Err(SendError::OutOfTurn));
    let events = feed(&mut connection, &message(b'G', &[1, 0, 0]));
    assert!(matches!(events[..], [Event::CopyIn(crate::Format::Binary)]));
    assert_eq!(connection.sync(), Err(SendError::OutOfTurn));
    sent(&mut connection);
    connection.copy_data(b"one").unwrap();
    connection.copy_done().unwrap();
    assert_eq!(connection.copy_data(b"x"), Err(SendError::OutOfTurn));
    assert_eq!(sent(&mut connection), b"d\0\0\0\x07onec\0\0\0\x04");
    let events = feed(&mut connection, &[message(b'C', b"COPY 1\0"), ready()].concat());
    assert!(matches!(
        events[..],
        [Event::Complete(Completion { rows: 1, is_rollback: false }), Event::Ready(_)]
    ));

    connection.query("copy t from stdin").unwrap();
    feed(&mut connection, &message(b'G', &[0, 0, 0]));
    connection.copy_fail("no").unwrap();
    let events = feed(&mut connection, &[error("ERROR"), ready()].concat());
    assert!(matches!(events[..], [Event::Error(_), Event::Ready(_)]));

    // An end that nobody sent, and data that the server refuses in the middle.
    connection.query("copy t from stdin").unwrap();
    feed(&mut connection, &message(b'G', &[0, 0, 0]));
    feed(&mut connection, &error("ERROR"));
    assert_eq!(connection.copy_data(b"x"), Err(SendError::OutOfTurn));
    feed(&mut connection, &ready());
    connection.query("copy t from stdin").unwrap();
    feed(&mut connection, &message(b'G', &[0, 0, 0]));
    let events = feed(&mut connection, &message(b'C', b"COPY 0\0"));
    assert_eq!(failure(&events), Error::Unexpected(b'C'));
}

#[test]
fn copy_in_by_a_prepared_statement_is_given_up_in_step() {
    let mut connection = open();
    connection.execute("s", &[], &[], 0).unwrap();
    connection.sync().unwrap();
    sent(&mut connection);
    feed(&mut connection, &[message(b'2', b""), message(b'G', &[0, 0, 0])].concat());
    let answer = sent(&mut connection);
    assert!(answer.starts_with(b"f") && answer.ends_with(b"S\0\0\0\x04"));
    feed(&mut connection, &[error("ERROR"), ready()].concat());
    assert!(connection.is_idle());

    connection.execute("s", &[], &[], 0).unwrap();
    connection.sync().unwrap();
    connection.query("behind").unwrap();
    let input = [message(b'2', b""), message(b'G', &[0, 0, 0])].concat();
    assert_eq!(failure(&feed(&mut connection, &input)), Error::CopyInPipeline);
}

#[test]
fn several_results_of_one_query_have_their_own_columns() {
    let mut connection = open();
    connection.query("a; b;;").unwrap();
    let input = [columns(&["a"], Oid::INT4), message(b'C', b"SELECT 0\0"), row(&[None])].concat();
    assert_eq!(failure(&feed(&mut connection, &input)), Error::Unexpected(b'D'));
}

#[test]
fn weak_methods_are_answered_only_where_they_are_allowed() {
    let md5 = authentication(5, b"salt");
    for (input, name) in [
        (authentication(3, b""), "clear"),
        (md5.clone(), "MD5"),
        (authentication(0, b""), "no password"),
    ] {
        let mut connection = new(settings().password("secret"));
        let Error::Method(why) = failure(&feed(&mut connection, &input)) else { panic!() };
        assert!(why.contains(name), "{why}");
    }
    let methods = Methods { md5: true, cleartext: true, none: true };
    let allowing = || {
        let mut connection = new(settings().password("secret").methods(methods));
        sent(&mut connection);
        connection
    };
    let mut connection = allowing();
    feed(&mut connection, &authentication(3, b""));
    assert_eq!(sent(&mut connection), b"p\0\0\0\x0Bsecret\0");
    // It has had its answer.
    assert_eq!(failure(&feed(&mut connection, &md5)), Error::Unexpected(b'R'));
    let mut connection = allowing();
    feed(&mut connection, &md5);
    assert!(sent(&mut connection).starts_with(b"p\0\0\0\x28md5"));
    feed(&mut connection, &[authentication(0, b""), ready()].concat());
    assert!(connection.is_open());
    let mut connection = allowing();
    feed(&mut connection, &[authentication(0, b""), ready()].concat());
    assert!(connection.is_open());
    let mut connection = new(settings());
    assert_eq!(
        failure(&feed(&mut connection, &authentication(3, b""))),
        Error::Method("the password in the clear")
    );
    for code in [2, 7, 8, 9, 99] {
        let mut connection = allowing();
        assert!(matches!(
            failure(&feed(&mut connection, &authentication(code, b""))),
            Error::Method(_) | Error::Unexpected(b'R')
        ));
    }
}

#[test]
fn channel_binding_that_is_required_refuses_all_else() {
    let methods = Methods { md5: true, cleartext: true, none: true };
    let sasl = authentication(10, b"SCRAM-SHA-256\0\0");
    for input in [authentication(0, b""), authentication(3, b""), authentication(5, b"salt"), sasl]
    {
        let binding = ChannelBinding::Required(vec![1]);
        let settings = settings().password("x").methods(methods).channel_binding(binding);
        assert_eq!(failure(&feed(&mut new(settings), &input)), Error::ChannelBinding);
    }
}

#[test]
fn rfc_5802_a_server_that_does_not_prove_itself_is_refused() {
    let sasl = authentication(10, b"SCRAM-SHA-256\0\0");
    let begun = || {
        let mut connection = new(settings().password("pencil"));
        sent(&mut connection);
        feed(&mut connection, &sasl);
        connection
    };
    let mut connection = begun();
    let first = sent(&mut connection);
    assert!(
        first.starts_with(b"p\0\0\0\x36SCRAM-SHA-256\0\0\0\0\x20n,,n=,r="),
        "{}",
        first.escape_ascii()
    );
    // It is content without the exchange.
    assert_eq!(failure(&feed(&mut connection, &authentication(0, b""))), Error::ServerSignature);

    let mut connection = begun();
    let nonce = String::from_utf8(sent(&mut connection)[31..].to_vec()).unwrap();
    let challenge = format!("r={nonce}x,s=AAAA,i=600");
    feed(&mut connection, &authentication(11, challenge.as_bytes()));
    assert!(connection.is_computing() && !connection.wants_transmit());
    while connection.is_computing() {
        connection.compute();
    }
    assert!(sent(&mut connection).starts_with(b"p"));
    let wrong = authentication(12, b"v=AAAA");
    assert_eq!(failure(&feed(&mut connection, &wrong)), Error::ServerSignature);

    // There is no password.
    assert_eq!(failure(&feed(&mut new(settings()), &sasl)), Error::PasswordMissing);
    let unknown = authentication(10, b"SCRAM-SHA-512\0\0");
    let mut connection = new(settings().password("x"));
    assert!(matches!(failure(&feed(&mut connection, &unknown)), Error::Method(_)));
}

#[test]
fn a_server_may_have_an_older_minor_version_and_no_newer_one() {
    let version = |number: u32, count: u8| {
        message(b'v', &[&number.to_be_bytes()[..], &[0, 0, 0, count]].concat())
    };
    let key = |bytes: usize| message(b'K', &vec![1; 4 + bytes]);
    let start = |parts: &[Vec<u8>]| {
        let mut connection = new(settings());
        let events = feed(&mut connection, &parts.concat());
        (connection.is_open(), events)
    };
    let ok = authentication(0, b"");
    for (number, key_bytes, is_fine) in [
        (0x0003_0000, 4, true),
        (0, 4, true),
        (0, 5, false),
        (2, 32, true),
        (2, 256, true),
        (2, 257, false),
        (2, 3, false),
        (3, 4, false),
        (0x0004_0000, 4, false),
    ] {
        let (is_open, _) = start(&[version(number, 0), ok.clone(), key(key_bytes), ready()]);
        assert_eq!(is_open, is_fine, "{number:x} with a key of {key_bytes}");
    }
    assert_eq!(failure(&start(&[version(0, 1)]).1), Error::Malformed(b'v'));
    assert_eq!(failure(&start(&[ok.clone(), version(0, 0)]).1), Error::Unexpected(b'v'));
    assert_eq!(failure(&start(&[ready()]).1), Error::Unexpected(b'Z'));
    assert_eq!(failure(&start(&[key(4)]).1), Error::Unexpected(b'K'));
    assert_eq!(failure(&start(&[ok.clone(), ok]).1), Error::Unexpected(b'R'));
}

#[test]
fn what_makes_no_progress_ends_at_its_deadline() {
    let second = Duration::from_secs(1);
    let mut connection = new(settings());
    let deadline = connection.next_deadline(NOW).unwrap();
    assert_eq!(deadline, Limits::default().start_timeout);
    connection.handle_timeout(deadline - second);
    assert!(connection.poll_event().is_none());
    // Bytes put nothing off.
    feed(&mut connection, &authentication(0, b""));
    assert_eq!(connection.next_deadline(second), Some(deadline));
    connection.handle_timeout(deadline);
    assert!(matches!(connection.poll_event(), Some(Event::Failed(Error::StartTimeout))));

    let mut connection = open();
    assert_eq!(connection.next_deadline(second), None);
    connection.query("x").unwrap();
    let deadline = connection.next_deadline(second).unwrap();
    assert_eq!(deadline, second + Limits::default().write_timeout);
    connection.poll_transmit(second * 2, &mut [0; 3]);
    assert_eq!(connection.next_deadline(second * 2), Some(deadline + second));
    connection.handle_timeout(deadline + second);
    assert!(matches!(connection.poll_event(), Some(Event::Failed(Error::OutputStalled))));

    let mut connection = open();
    connection.handle_input(second, b"N");
    let deadline = connection.next_deadline(second).unwrap();
    assert_eq!(deadline, second + Limits::default().stall_timeout);
    connection.handle_input(second * 2, b"\0");
    assert_eq!(connection.next_deadline(second * 2), Some(deadline + second));
    connection.handle_timeout(deadline + second);
    assert!(matches!(connection.poll_event(), Some(Event::Failed(Error::Stalled))));
}

#[test]
fn a_farewell_is_sent_behind_everything_else() {
    let mut connection = open();
    connection.query("x").unwrap();
    connection.terminate();
    assert!(!connection.is_ended() && connection.query("y").is_err());
    assert!(sent(&mut connection).ends_with(b"x\0X\0\0\0\x04"));
    assert!(connection.is_ended());
    connection.handle_end();
    assert!(connection.poll_event().is_none());
}
