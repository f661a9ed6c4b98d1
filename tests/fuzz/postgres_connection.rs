//! Any bytes, in any pieces, from a server: no panic, the pieces make no difference, and no more is held than allowed.

use postgres::{
    Columns, Connection, Date, Event, FromSql, Json, Limits, Methods, Numeric, Row, Settings, Time,
    Timestamp, ToSql, Uuid,
};
use std::time::Duration;

const NOW: Duration = Duration::ZERO;

/// A start that is over: AuthenticationOk and ReadyForQuery.
const STARTED: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

pub(crate) fn target(data: &[u8]) {
    let [choice, piece, input @ ..] = data else { return };
    let (events, sent) = outcome(*choice, input, usize::MAX);
    let (same_events, more_sent) = outcome(*choice, input, usize::from(*piece).max(1));
    assert_eq!(events, same_events);
    // What was not sent when the connection fails is not sent any more.
    assert!(more_sent.starts_with(&sent), "{sent:?} {more_sent:?}");
}

/// What came of the input, and what was sent.
fn outcome(choice: u8, input: &[u8], piece_bytes: usize) -> (Vec<String>, Vec<u8>) {
    let limits = Limits {
        row_bytes_max: 4096,
        message_bytes_max: 1024,
        scram_iterations_max: 300,
        ..Limits::default()
    };
    let methods = Methods { md5: true, cleartext: true, none: true };
    let settings = Settings::new("alice").password("pencil").methods(methods);
    let mut connection = Connection::new(settings, limits, [7; 18]);
    if choice & 1 == 1 {
        connection.handle_input(NOW, STARTED);
        ask(choice, &mut connection);
    }
    let (mut events, mut sent, mut columns) = (Vec::new(), Vec::new(), Columns::from([]));
    // A client speaks first.
    send(&mut connection, &mut sent);
    for piece in input.chunks(piece_bytes.min(input.len()).max(1)) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = connection.handle_input(NOW, rest);
            rest = &rest[taken..];
            assert!(connection.held_bytes() < 1 << 20);
            while connection.is_computing() {
                connection.compute();
            }
            while let Some(event) = connection.poll_event() {
                note(event, &mut columns, &mut events);
            }
            // What copying sends is sent at once, so that pieces make no difference.
            send(&mut connection, &mut sent);
        }
    }
    (events, sent)
}

/// Steps of all kinds.
fn ask(choice: u8, connection: &mut Connection) {
    let steps = [choice >> 1 & 3, choice >> 3 & 3, choice >> 5 & 3];
    for step in steps {
        let asked = match step {
            0 => connection.query("x"),
            1 => connection
                .parse("", "x", &[])
                .and_then(|()| connection.describe(""))
                .and_then(|()| connection.sync()),
            2 => connection.execute_many("", &[], &[&[], &[]], 2).and_then(|()| connection.sync()),
            _ => connection.close_statement("").and_then(|()| connection.sync()),
        };
        let _ = asked;
    }
}

fn send(connection: &mut Connection, sent: &mut Vec<u8>) {
    while connection.wants_transmit() {
        let mut space = [0; 64];
        let count = connection.poll_transmit(NOW, &mut space);
        sent.extend_from_slice(&space[..count]);
    }
}

fn note(event: Event, columns: &mut Columns, events: &mut Vec<String>) {
    match event {
        Event::Columns(new) => {
            events.push(format!("{new:?}"));
            *columns = new;
        }
        Event::Rows(rows) => {
            for row in rows.into_rows(columns.clone()) {
                events.push(format!("{row:?}"));
                read(&row);
            }
        }
        Event::CopyData(data) => events.extend(data.iter().map(u8::to_string)),
        event => events.push(format!("{event:?}")),
    }
}

/// Reads values as all types that they may be, and writes them again.
fn read(row: &Row) {
    for index in 0..row.columns().len() {
        let _ = row.text(index);
        again::<bool>(row, index);
        again::<i64>(row, index);
        again::<f64>(row, index);
        again::<String>(row, index);
        again::<Numeric>(row, index);
        again::<Timestamp>(row, index);
        again::<Date>(row, index);
        again::<Time>(row, index);
        again::<Uuid>(row, index);
        again::<Vec<Option<Numeric>>>(row, index);
        again::<Vec<u8>>(row, index);
        let _ = row.get::<Json<u32>>(index);
    }
}

fn again<T: for<'a> FromSql<'a> + ToSql>(row: &Row, index: usize) {
    if let Ok(value) = row.get::<T>(index) {
        let mut bytes = Vec::new();
        // A value that is read may be of a narrower type than it is written as, but it always has one.
        value.write(row.columns()[index].oid, &mut bytes).ok();
    }
}
