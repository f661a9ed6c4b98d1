use super::*;
use crate::mechanism::curve::{MESSAGE_OVERHEAD, public_key};
use crate::turns::Turns;
use crate::{Authority, CurveClient, CurveServer, Heartbeat, Limits, Security, SocketType};
use std::format;
use std::string::{String, ToString};
use std::vec;

mod clocks;
mod limits;
mod v2;

const SECOND: Duration = Duration::from_secs(1);
const ZERO: Duration = Duration::ZERO;

struct Door;

impl Authority for Door {
    fn admits_password(&self, username: &[u8], password: &[u8]) -> bool {
        (username, password) == (b"ada", b"1815")
    }

    fn admits_key(&self, key: &[u8; 32]) -> bool {
        *key == public_key(&[7; 32])
    }
}

fn connection(socket_type: SocketType, security: Security, seed: u8) -> Connection {
    let config = Config { security, ..Config::new(socket_type) };
    Connection::new(ZERO, Arc::new(config), &[seed; 48])
}

fn null(socket_type: SocketType) -> Connection {
    connection(socket_type, Security::Null, 1)
}

fn plain(password: &'static str) -> (Security, Security) {
    let client = Security::PlainClient { username: "ada".into(), password: password.into() };
    (client, Security::PlainServer(Arc::new(Door)))
}

fn curve(client_secret: u8) -> (Security, Security) {
    let client =
        CurveClient { server_public_key: public_key(&[9; 32]), secret_key: [client_secret; 32] };
    let server = CurveServer { secret_key: [9; 32], authority: Arc::new(Door) };
    (Security::CurveClient(client), Security::CurveServer(server))
}

/// Everything a connection has to send.
fn output(from: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buf = [0; 61];
    let mut turns = Turns::default();
    while turns.more(true) {
        if let Some(long) = from.long_output() {
            let some = long.len().min(40_000);
            bytes.extend_from_slice(&long[..some]);
            from.long_output_taken(ZERO, some);
            continue;
        }
        match from.poll_transmit(ZERO, &mut buf) {
            0 => return bytes,
            written => bytes.extend_from_slice(&buf[..written]),
        }
    }
    bytes
}

/// Feeds bytes in pieces of `step`; gives what came of it, pieces of a part joined.
fn feed(to: &mut Connection, bytes: &[u8], step: usize) -> Result<Vec<String>, Error> {
    let mut seen = Vec::new();
    let mut part = Vec::new();
    for piece in bytes.chunks(step.max(1)) {
        let mut piece = piece;
        let mut turns = Turns::default();
        while turns.more(!piece.is_empty()) {
            let (taken, rest) = piece.split_at(to.handle_input(ZERO, piece)?);
            match to.poll_event() {
                None => {}
                Some(Event::Ready) => seen.push("ready".into()),
                Some(Event::Subscribe(prefix)) => seen.push(format!("subscribe {prefix:?}")),
                Some(Event::Cancel(prefix)) => seen.push(format!("cancel {prefix:?}")),
                Some(Event::Skipped(len)) => seen.push(format!("skipped {len}")),
                Some(Event::Body(body)) => {
                    part.extend_from_slice(body.bytes(taken));
                    if body.part_left == 0 {
                        let tail = if body.more { "+" } else { "." };
                        seen.push(format!("{} {:x}{tail}", part.len(), sum(&part)));
                        part.clear();
                    }
                }
            }
            piece = rest;
        }
    }
    Ok(seen)
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum: u32, &byte| sum.rotate_left(5) ^ u32::from(byte))
}

/// Carries bytes both ways until none are left; what each side saw.
fn pump(a: &mut Connection, b: &mut Connection, step: usize) -> Result<[Vec<String>; 2], Error> {
    let mut seen = [vec![], vec![]];
    let mut turns = Turns::default();
    while turns.more(a.has_output() || b.has_output()) {
        let to_b = output(a);
        seen[1].extend(feed(b, &to_b, step)?);
        let to_a = output(b);
        seen[0].extend(feed(a, &to_a, step)?);
    }
    Ok(seen)
}

/// Carries bytes both ways until none are left; what `a` sent.
fn sent_by(a: &mut Connection, b: &mut Connection) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut turns = Turns::default();
    while turns.more(a.has_output() || b.has_output()) {
        let to_b = output(a);
        feed(b, &to_b, 64).unwrap();
        sent.extend(to_b);
        feed(a, &output(b), 64).unwrap();
    }
    sent
}

fn ready_pair(a: SocketType, b: SocketType) -> (Connection, Connection) {
    let (mut a, mut b) = (null(a), null(b));
    pump(&mut a, &mut b, 100).unwrap();
    assert!(a.is_ready() && b.is_ready());
    (a, b)
}

fn three_parts() -> Message {
    let mut message = Message::new("first");
    message.push(Bytes::new());
    message.push(vec![5; 300]);
    message
}

#[test]
fn every_mechanism_carries_messages_both_ways_in_any_splits() {
    for security in [(Security::Null, Security::Null), plain("1815"), curve(7)] {
        for step in [1, 2, 7, 64, 10_000] {
            let mut a = connection(SocketType::Dealer, security.0.clone(), 1);
            let mut b = connection(SocketType::Router, security.1.clone(), 2);
            let seen = pump(&mut a, &mut b, step).unwrap();
            assert_eq!(seen, [["ready"], ["ready"]], "{security:?} {step}");
            assert_eq!(a.peer().unwrap().socket_type, SocketType::Router);
            a.send(three_parts()).unwrap();
            a.send(Message::new("")).unwrap();
            b.send(Message::new(vec![1; 150_000])).unwrap();
            assert_eq!(a.queued_messages(), 2);
            assert!((305..1000).contains(&a.queued_bytes()), "{}", a.queued_bytes());
            let seen = pump(&mut a, &mut b, step).unwrap();
            let part =
                |len: usize, byte: u8, tail| format!("{len} {:x}{tail}", sum(&vec![byte; len]));
            let first = format!("5 {:x}+", sum(b"first"));
            assert_eq!(seen[1], [first, "0 0+".into(), part(300, 5, "."), "0 0.".into()]);
            assert_eq!(seen[0], [part(150_000, 1, ".")]);
            assert_eq!((a.queued_messages(), a.queued_bytes()), (0, 0));
        }
    }
}

#[test]
fn wrong_secrets_are_refused_and_the_peer_reads_why() {
    for security in [plain("wrong"), curve(8)] {
        let mut client = connection(SocketType::Push, security.0, 1);
        let mut server = connection(SocketType::Pull, security.1, 2);
        assert_eq!(pump(&mut client, &mut server, 64), Err(Error::Unauthorized));
        let error = output(&mut server);
        let heard = feed(&mut client, &error, 64);
        assert_eq!(heard, Err(Error::Peer("access refused".into())));
        assert!(!client.has_output(), "ERROR is not answered");
    }
}

#[test]
fn mechanisms_and_roles_must_match() {
    let (plain_client, plain_server) = plain("1815");
    let cases = [
        (Security::Null, plain_server.clone(), Error::MechanismMismatch),
        (plain_client.clone(), plain_client, Error::UnexpectedCommand),
        (plain_server.clone(), plain_server, Error::RoleMismatch),
    ];
    for (ours, theirs, expected) in cases {
        let mut a = connection(SocketType::Push, ours, 1);
        let mut b = connection(SocketType::Pull, theirs, 2);
        assert_eq!(pump(&mut a, &mut b, 64), Err(expected));
    }
}

/// RFC 37 section "Security handshake": both name one mechanism, or there is no connection. What is offered against what is
/// wanted, either side first; and of two that agree, roles that do not.
#[test]
fn rfc37_only_the_same_mechanism_in_both_roles_makes_a_connection() {
    let (plain_client, plain_server) = plain("1815");
    let (curve_client, curve_server) = curve(7);
    let all = [Security::Null, plain_client, plain_server, curve_client, curve_server];
    let fits = [(0, 0), (1, 2), (2, 1), (3, 4), (4, 3)];
    for (offered, ours) in all.iter().enumerate() {
        for (wanted, theirs) in all.iter().enumerate() {
            let mut a = connection(SocketType::Push, ours.clone(), 1);
            let mut b = connection(SocketType::Pull, theirs.clone(), 2);
            let outcome = pump(&mut a, &mut b, 64);
            let is_fit = fits.contains(&(offered, wanted)) && a.is_ready() && b.is_ready();
            assert_eq!(
                (outcome.is_ok(), a.is_ready() || b.is_ready()),
                (is_fit, is_fit),
                "{offered} {wanted}"
            );
            if offered.div_ceil(2) != wanted.div_ceil(2) {
                assert_eq!(outcome.unwrap_err(), Error::MechanismMismatch, "{offered} {wanted}");
            }
        }
    }
}

#[test]
fn rfc37_socket_types_that_do_not_match_end_in_error() {
    let (mut a, mut b) = (null(SocketType::Push), null(SocketType::Sub));
    assert_eq!(pump(&mut a, &mut b, 64), Err(Error::SocketTypeMismatch));
    // Whoever read the other's READY first.
    let errors = [output(&mut a), output(&mut b)];
    let error = b"\x05ERROR\x13invalid socket type";
    assert!(errors.iter().any(|sent| sent.ends_with(error)), "{errors:?}");
}

#[test]
fn a_part_of_one_gib_passes_in_pieces_and_none_is_kept() {
    const GIB: usize = 1 << 30;
    const PIECE: usize = 256 << 10;
    let (mut a, mut b) = ready_pair(SocketType::Push, SocketType::Pull);
    a.begin_part(GIB as u64, true).unwrap();
    assert_eq!(a.send(Message::new("x")), Err(SendError::PartUnfinished));
    assert_eq!(a.begin_part(1, true), Err(SendError::PartUnfinished));
    let piece = Bytes::from(vec![3; PIECE]);
    let mut wire = vec![0; PIECE + HEADER_BYTES_MAX];
    let mut received = 0;
    for _ in 0..GIB / PIECE {
        a.send_piece(piece.clone()).unwrap();
        let written = a.poll_transmit(ZERO, &mut wire);
        assert_eq!((a.queued_bytes(), a.has_output()), (0, false));
        let mut rest = &wire[..written];
        let mut turns = Turns::default();
        while turns.more(!rest.is_empty()) {
            let (taken, left) = rest.split_at(b.handle_input(ZERO, rest).unwrap());
            rest = left;
            if let Some(Event::Body(body)) = b.poll_event() {
                assert!(matches!(body.data, Data::Taken(_)));
                received += body.bytes(taken).len();
                assert_eq!(body.part_left as usize, GIB - received);
            }
        }
    }
    assert_eq!(received, GIB);
    assert_eq!(a.send_piece("x"), Err(SendError::PartOverrun));
    a.begin_part(0, false).unwrap();
    assert_eq!(pump(&mut a, &mut b, 9).unwrap()[1], ["0 0."]);
    assert_eq!(a.queued_messages(), 0);
}

#[test]
fn commands_never_stand_inside_a_message() {
    let (mut a, mut b) = ready_pair(SocketType::Dealer, SocketType::Dealer);
    a.begin_part(4, false).unwrap();
    a.send_piece("ab").unwrap();
    let first = output(&mut a);
    feed(&mut a, b"\x04\x08\x04PING\0\0x", 64).unwrap();
    assert_eq!(output(&mut a), b"");
    a.send_piece("cd").unwrap();
    let rest = output(&mut a);
    assert_eq!(rest, b"cd\x04\x06\x04PONGx");
    assert_eq!(feed(&mut b, &[first, rest].concat(), 3).unwrap().len(), 1);
}

#[test]
fn messages_of_which_nothing_was_sent_come_back() {
    let (mut a, _) = ready_pair(SocketType::Push, SocketType::Pull);
    for body in ["one", "two", "three"] {
        a.send(Message::new(body)).unwrap();
    }
    a.poll_transmit(ZERO, &mut [0; 3]);
    let mut unsent = a.take_unsent();
    assert_eq!(unsent.remove(0), Message::new("two"));
    assert_eq!(unsent, [Message::new("three")]);
}

#[test]
fn subscriptions_are_commands_at_3_1_and_messages_at_3_0() {
    let (mut sub, mut publisher) = ready_pair(SocketType::Sub, SocketType::Pub);
    sub.send_subscription(true, b"a").unwrap();
    sub.send_subscription(false, b"a").unwrap();
    let seen = pump(&mut sub, &mut publisher, 1).unwrap();
    assert_eq!(seen[1], ["subscribe b\"a\"", "cancel b\"a\""]);

    let mut sub = null(SocketType::Sub);
    let mut old = null(SocketType::Pub);
    let mut hello = sent_by(&mut old, &mut null(SocketType::Sub));
    hello[11] = 0;
    assert_eq!(feed(&mut sub, &hello, 64).unwrap(), ["ready"]);
    output(&mut sub);
    sub.send_subscription(true, b"a").unwrap();
    assert_eq!(output(&mut sub), b"\0\x02\x01a");
}

#[test]
fn a_peer_that_never_finishes_its_handshake_is_given_up() {
    let mut a = null(SocketType::Push);
    a.handle_timeout(29 * SECOND).unwrap();
    assert_eq!(a.handle_timeout(30 * SECOND), Err(Error::HandshakeTimeout));
}

#[test]
fn pings_of_a_peer_that_does_not_read_wait_and_each_is_answered() {
    let (mut a, _) = ready_pair(SocketType::Push, SocketType::Pull);
    let pings = b"\x04\x07\x04PING\0\0".repeat(1000);
    let (mut rest, mut answered) = (&pings[..], 0);
    let mut turns = Turns::default();
    while turns.more(!rest.is_empty()) {
        while let taken @ 1.. = a.handle_input(ZERO, rest).unwrap() {
            rest = &rest[taken..];
        }
        let waiting = output(&mut a).len() / 7;
        assert!((1..=64).contains(&waiting), "{waiting} PONGs");
        answered += waiting;
    }
    assert_eq!(answered, 1000);
}

#[test]
fn a_command_too_long_is_skipped_and_what_follows_is_heard() {
    for (a, b) in [(Security::Null, Security::Null), curve(7)] {
        for step in [1, 100, 100_000] {
            let mut a = connection(SocketType::Sub, a.clone(), 1);
            let mut b = connection(SocketType::Pub, b.clone(), 2);
            pump(&mut a, &mut b, step).unwrap();
            a.send_subscription(true, &[b'x'; 8183]).unwrap();
            a.send_subscription(true, b"y").unwrap();
            let seen = pump(&mut a, &mut b, step).unwrap();
            assert_eq!(seen[1], ["skipped 8193", "subscribe b\"y\""], "{step}");
        }
    }
}

#[test]
fn bad_traffic_names_its_cause() {
    let cases: [(&[u8], Error); 10] = [
        (b"\x08\0", Error::ReservedFlags),
        (b"\x05\0", Error::ReservedFlags),
        (b"\x04\0", Error::MalformedCommand),
        (b"\x04\x01\0", Error::MalformedCommand),
        (b"\x04\x02\x05P", Error::MalformedCommand),
        (b"\x04\x06\x04PING\0", Error::MalformedCommand),
        (b"\x04\x18\x04PING\0\0ABCDEFGHIJKLMNOPQ", Error::MalformedCommand),
        (b"\x04\x06\x05READY", Error::UnexpectedCommand),
        (b"\x04\x0A\x05ERROR\x03why", Error::Peer("why".into())),
        (b"\x02\0\0\0\0\x40\0\0\x01", Error::FrameTooLong((1 << 30) + 1)),
    ];
    for (bytes, expected) in cases {
        for step in [1, 100] {
            let (mut a, _) = ready_pair(SocketType::Pull, SocketType::Push);
            assert_eq!(feed(&mut a, bytes, step), Err(expected.clone()), "{bytes:?}");
            assert_eq!(feed(&mut a, b"x", step), Err(Error::Closed));
        }
    }
}

#[test]
fn bad_handshakes_name_their_cause() {
    let greeting = Greeting::new("NULL", false).encode();
    let cases: [(&[u8], Error); 6] = [
        (b"\0\x01x", Error::UnexpectedCommand),
        (b"\x04\x06\x05HELLO", Error::UnexpectedCommand),
        (b"\x04\x06\x05READY", Error::SocketTypeMismatch),
        (b"\x04\x07\x05READY\x09", Error::MalformedCommand),
        (b"\x04\x08\x05ERROR\x05x", Error::MalformedCommand),
        (b"\x06\xFF\0\0\0\0\0\0\0", Error::CommandTooLong(0xFF << 56)),
    ];
    for (bytes, expected) in cases {
        let mut a = null(SocketType::Pull);
        let bytes = [&greeting[..], bytes].concat();
        assert_eq!(feed(&mut a, &bytes, 5), Err(expected));
    }
}

#[test]
fn too_many_parts_are_refused() {
    let (mut a, _) = ready_pair(SocketType::Pull, SocketType::Push);
    let most = Limits::default().parts_max;
    feed(&mut a, &[[1, 0].repeat(most - 1), vec![0, 0]].concat(), 999).unwrap();
    feed(&mut a, &[1, 0].repeat(most), 999).unwrap();
    assert_eq!(feed(&mut a, &[0, 0], 9), Err(Error::TooManyParts));
}

#[test]
fn a_curve_frame_is_limited_like_a_message() {
    let (client, server) = curve(7);
    let mut a = connection(SocketType::Push, client, 1);
    let mut b = connection(SocketType::Pull, server, 2);
    pump(&mut a, &mut b, 64).unwrap();
    let max = Limits::default().message_bytes_max as u64 + MESSAGE_OVERHEAD as u64;
    let header = |len: u64| [&[2][..], &len.to_be_bytes()].concat();
    feed(&mut b, &header(max), 9).unwrap();
    let mut b = {
        let (client, server) = curve(7);
        let mut a = connection(SocketType::Push, client, 1);
        let mut b = connection(SocketType::Pull, server, 2);
        pump(&mut a, &mut b, 64).unwrap();
        b
    };
    assert_eq!(feed(&mut b, &header(max + 1), 9), Err(Error::FrameTooLong(max + 1)));
}

#[test]
fn commands_pass_under_curve() {
    let (client, server) = curve(7);
    let mut a = connection(SocketType::Sub, client, 1);
    let mut b = connection(SocketType::Pub, server, 2);
    pump(&mut a, &mut b, 64).unwrap();
    a.send_subscription(true, b"water").unwrap();
    a.send_subscription(false, b"water").unwrap();
    let [_, seen] = pump(&mut a, &mut b, 64).unwrap();
    assert_eq!(seen, ["subscribe b\"water\"", "cancel b\"water\""]);
}

#[test]
fn rfc26_a_changed_or_repeated_curve_message_is_refused() {
    let (client, server) = curve(7);
    let mut a = connection(SocketType::Push, client, 1);
    let mut b = connection(SocketType::Pull, server, 2);
    pump(&mut a, &mut b, 64).unwrap();
    a.send(Message::new("secret")).unwrap();
    let frame = output(&mut a);
    assert!(!frame.windows(6).any(|window| window == b"secret"));
    assert_eq!(feed(&mut b, &frame, 64).unwrap().len(), 1);
    assert_eq!(feed(&mut b, &frame, 64), Err(Error::Crypto), "a replay");
}

#[test]
fn curve_handshakes_end_at_any_flipped_bit() {
    let (client, server) = curve(7);
    // HELLO is 2 + 200 bytes after the greeting; INITIATE follows.
    for position in (64usize..64 + 202 + 300).step_by(7) {
        let mut a = connection(SocketType::Push, client.clone(), 1);
        let mut b = connection(SocketType::Pull, server.clone(), 2);
        let mut sent = 0;
        let mut failed = false;
        let mut turns = Turns::default();
        while turns.more(a.has_output() && !failed) {
            let mut bytes = output(&mut a);
            if let Some(byte) = position.checked_sub(sent).and_then(|at: usize| bytes.get_mut(at)) {
                *byte ^= 1;
            }
            sent += bytes.len();
            failed = feed(&mut b, &bytes, 64).is_err();
            if !failed {
                let answer = output(&mut b);
                feed(&mut a, &answer, 64).unwrap();
            }
        }
        // HELLO's padding is not looked at (RFC 26: "SHALL ignore").
        let padding = 64 + 2 + 8..64 + 2 + 8 + 72;
        if position < sent && !padding.contains(&position) {
            assert!(!b.is_ready() && (failed || !a.is_ready()), "{position}");
        }
    }
}

/// All that one side sends in a conversation with everything in it.
fn conversation() -> Vec<u8> {
    let (mut a, mut b) = (null(SocketType::Dealer), null(SocketType::Dealer));
    let mut bytes = sent_by(&mut a, &mut b);
    a.send(three_parts()).unwrap();
    bytes.extend(output(&mut a));
    bytes.extend_from_slice(b"\x04\x0B\x04PING\0\x01ctxt");
    bytes.extend_from_slice(b"\x04\x07\x04PONGxx\x04\x0B\x07UNKNOWNabc");
    bytes
}

#[test]
fn a_conversation_may_break_off_at_every_byte() {
    let bytes = conversation();
    let whole = feed(&mut null(SocketType::Dealer), &bytes, bytes.len()).unwrap();
    assert_eq!(whole.len(), 4);
    for cut in 0..bytes.len() {
        let mut a = null(SocketType::Dealer);
        let mut seen = feed(&mut a, &bytes[..cut], cut).unwrap();
        seen.extend(feed(&mut a, &bytes[cut..], bytes.len()).unwrap());
        // A part cut in two is summed apart here.
        assert!(seen.len() == whole.len() && seen[0] == "ready", "{cut}: {seen:?}");
    }
}

#[test]
fn changed_bytes_never_panic_nor_grow_memory() {
    let bytes = conversation();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..20_000 {
        let mut changed = bytes.clone();
        for _ in 0..1 + round % 4 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = (seed >> 8) as usize % changed.len();
            changed[at] = seed as u8;
        }
        let mut a = null(SocketType::Dealer);
        let _ = feed(&mut a, &changed, 1 + (seed >> 40) as usize % 100);
        assert!(output(&mut a).len() < 1024, "round {round}");
    }
}
