//! What a peer may make us hold.

use super::*;
use crate::deflate::Compression;

fn limits() -> Limits {
    Limits { message_bytes_max: 1000, fragments_max: 5, ..Limits::default() }
}

#[test]
fn a_message_is_as_long_as_allowed_and_no_longer() {
    let make = || server_with(limits());
    let allowed = frame(Opcode::Binary, true, &[7; 1000]);
    assert_eq!(check(make, &allowed).words(), ["binary 1000"]);
    let refused = ["failed: a message is too long", "close 1009"];
    let longer = frame(Opcode::Binary, true, &[7; 1001]);
    assert_eq!(check(make, &longer).words(), refused);
    // Its head is enough, also with the largest length that there is.
    assert_eq!(check(make, &longer[..8]).words(), refused);
    let huge = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    assert_eq!(check(make, &huge).words(), refused);
    let fragments =
        [frame(Opcode::Text, false, &[b'a'; 600]), frame(Opcode::Continuation, true, &[b'a'; 400])];
    assert_eq!(check(make, &fragments.concat()).words(), ["text 1000 aaaaaaaaaaaa"]);
    let fragments =
        [frame(Opcode::Text, false, &[b'a'; 600]), frame(Opcode::Continuation, true, &[b'a'; 401])];
    assert_eq!(check(make, &fragments.concat()).words(), refused);
}

/// The bytes of a character that is not whole count, too.
#[test]
fn a_cut_character_at_the_limit_is_no_way_around_it() {
    let make = || server_with(Limits { message_bytes_max: 4, ..limits() });
    let split = |front: &[u8], back: &[u8]| {
        [frame(Opcode::Text, false, front), frame(Opcode::Continuation, true, back)].concat()
    };
    assert_eq!(check(make, &split(b"a\xe2\x82", b"\xac")).words(), ["text 4 a\u{20ac}"]);
    let refused = ["failed: a message is too long", "close 1009"];
    assert_eq!(check(make, &split(b"ab\xe2\x82", b"\xac")).words(), refused);
    assert_eq!(check(make, &split(b"abc\xe2", b"\x82\xacd")).words(), refused);
}

#[test]
fn fragments_are_counted() {
    let make = || server_with(limits());
    let message = |fragments: usize| -> Vec<u8> {
        let opcode = |at| if at == 0 { Opcode::Binary } else { Opcode::Continuation };
        (0..fragments).flat_map(|at| frame(opcode(at), at + 1 == fragments, b"")).collect()
    };
    assert_eq!(check(make, &message(5)).words(), ["binary 0"]);
    let refused = ["failed: a message in too many fragments", "close 1008"];
    assert_eq!(check(make, &message(6)).words(), refused);
}

/// A few bytes that become many end as soon as they are too many, and nothing more is held on the way.
#[test]
fn rfc7692_8_a_bomb_is_stopped_at_the_limit() {
    let zeros = vec![0; 50 << 20];
    let bomb =
        Compression::new(agreed(false), SharedCompressor::default()).compress(&zeros).unwrap();
    assert!(bomb.len() < 300_000);
    let mut server = deflating(false);
    let before = server.held_bytes();
    let mut bytes = put(Opcode::Binary, true, true, &bomb, Some(MASK));
    let (mut taken, mut most) = (0, 0);
    while taken < bytes.len() {
        let end = bytes.len().min(taken + 1000);
        taken += server.handle_input(NOW, &mut bytes[taken..end]);
        most = most.max(server.held_bytes());
    }
    assert!(most < before + (2 << 20) + 50_000, "{most} bytes");
    let outcome = run(&mut server, b"", &[]);
    assert_eq!(outcome.words(), ["failed: a message is too long", "close 1009"]);
    assert_eq!(server.held_bytes(), before, "all is given back");
}

/// A peer that sends pings and takes no pong is not read any more; all pings are answered once it does.
#[test]
fn rfc6455_5_5_2_a_flood_of_pings_waits_and_is_answered() {
    let mut server = server();
    let ping = control(Opcode::Ping, &[b'p'; 125]);
    let mut flood: Vec<u8> = ping.repeat(1000);
    let mut taken = 0;
    loop {
        let count = server.handle_input(NOW, &mut flood[taken..]);
        taken += count;
        if count == 0 {
            break;
        }
    }
    assert!(!server.wants_input());
    assert!(taken < 20 * ping.len(), "{taken} bytes");
    assert!(server.held_bytes() < 8_000, "{} bytes", server.held_bytes());
    let mut wire = Vec::new();
    while taken < flood.len() {
        assert!(take_output(&mut server, &mut wire), "there is an answer to take");
        taken += server.handle_input(NOW, &mut flood[taken..]);
    }
    take_output(&mut server, &mut wire);
    assert_eq!(frames(&wire, Role::Server).len(), 1000);
}

/// Who sends small messages to an application that takes none is not read any more, and no message is lost.
#[test]
fn messages_that_nobody_takes_hold_the_peer_back() {
    let mut server = server();
    let mut flood = text("small").repeat(1000);
    let taken = server.handle_input(NOW, &mut flood);
    assert!(!server.wants_input() && taken < flood.len());
    assert_eq!(server.handle_input(NOW, &mut flood[taken..]), 0);
    assert!(server.held_bytes() < 16_000, "{} bytes", server.held_bytes());
    let mut rest = flood.split_off(taken);
    let mut count = 0;
    while let Some(event) = server.poll_event() {
        assert_eq!(event, Event::Message("small".into()));
        count += 1;
        let taken = server.handle_input(NOW, &mut rest);
        rest.drain(..taken);
    }
    assert_eq!(count, 1000);
    // One long message is enough.
    let mut long = text(&"x".repeat(70_000));
    assert_eq!(server.handle_input(NOW, &mut long), long.len());
    assert!(!server.wants_input());
    server.poll_event();
    assert!(server.wants_input());
}

#[test]
fn what_is_not_sent_holds_the_application_back() {
    let mut server = server();
    let mut sent = 0;
    while server.can_send().is_ok() {
        server.send(NOW, vec![1; 1000].into()).unwrap();
        sent += 1;
    }
    assert_eq!(sent, 66, "64 KiB, and the message that exceeds it");
    assert_eq!(server.send(NOW, "x".into()), Err(Refused::Full));
    assert!(server.held_bytes() > 66_000);
    let mut space = vec![0; 2 * 1004];
    assert_eq!(server.poll_transmit(NOW, &mut space), space.len());
    assert_eq!(server.can_send(), Ok(()));
    let mut wire = space;
    take_output(&mut server, &mut wire);
    assert_eq!(frames(&wire, Role::Server).len(), 66);
}

/// Memory for decompression is held while a message is under way; with the peer's context, from the first one on.
#[test]
fn a_window_is_weighed() {
    for keeps_context in [false, true] {
        let mut server = deflating(keeps_context);
        let idle = server.held_bytes();
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let mut bytes = put(Opcode::Text, true, true, &hello, Some(MASK));
        let last = bytes.len() - 1;
        server.handle_input(NOW, &mut bytes[..last]);
        assert!(server.held_bytes() > idle + 32_768);
        server.handle_input(NOW, &mut bytes[last..]);
        server.poll_event();
        assert_eq!(server.held_bytes() > idle, keeps_context);
        server.send(NOW, "answer".into()).unwrap();
        take_output(&mut server, &mut Vec::new());
        assert_eq!(server.held_bytes() > idle + 300_000, keeps_context);
    }
}
