//! The cases of the Autobahn test suite, by its numbers, as far as they are about bytes and not about time: groups 1 to 7,
//! 9 at smaller sizes, 12 and 13. What is sent to us, and what is to come of it.

use super::*;
use crate::deflate::Compression;
use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};

type Frame<'a> = (Opcode, bool, &'a [u8]);

/// What comes of these frames of a client.
fn after(frames: &[Frame<'_>]) -> Vec<String> {
    let bytes: Vec<u8> =
        frames.iter().flat_map(|(opcode, fin, payload)| frame(*opcode, *fin, payload)).collect();
    check(server, &bytes).words()
}

const REFUSED: &str = "close 1002";

#[test]
fn autobahn_1_1_text_messages_of_all_forms_of_length() {
    for length in [0, 125, 126, 127, 128, 65_535, 65_536] {
        let payload = "*".repeat(length);
        let outcome = run(&mut server(), &text(&payload), &[1, 2, 3]);
        assert_eq!(outcome.events, [Event::Message(payload.as_str().into())]);
    }
    assert_eq!(check(server, &text(&"*".repeat(126))).events.len(), 1);
    // 1.1.8: chopped, in 997 bytes.
    let payload = "*".repeat(65_536);
    let cuts: Vec<usize> = (997..65_536).step_by(997).collect();
    let outcome = run(&mut server(), &text(&payload), &cuts);
    assert_eq!(outcome.events, [Event::Message(payload.into())]);
}

#[test]
fn autobahn_1_2_binary_messages_of_all_forms_of_length() {
    for length in [0, 125, 126, 127, 128, 65_535, 65_536] {
        let payload = vec![0xfe; length];
        let outcome = run(&mut server(), &frame(Binary, true, &payload), &[1, 2, 3]);
        assert_eq!(outcome.events, [Event::Message(payload.into())]);
    }
}

#[test]
fn autobahn_2_pings_and_pongs() {
    for (payload, pong) in [
        (&b""[..], "pong 0"),
        (b"Hello, world!", "pong 13"),
        (b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", "pong 8"),
        (&[0xfe; 125], "pong 125"),
    ] {
        assert_eq!(after(&[(Ping, true, payload)]), [pong]);
        let sent = check(server, &frame(Ping, true, payload)).sent;
        assert_eq!(sent, [(Pong, payload.to_vec())]);
    }
    // 2.5: too long.
    assert_eq!(after(&[(Ping, true, &[0xfe; 126])]).last().unwrap(), REFUSED);
    // 2.7 to 2.9: pongs that nobody asked for, and a ping behind them.
    assert!(after(&[(Pong, true, b"")]).is_empty());
    assert!(after(&[(Pong, true, b"unsolicited")]).is_empty());
    assert_eq!(after(&[(Pong, true, b"unsolicited"), (Ping, true, b"ping")]), ["pong 4"]);
    // 2.10, 2.11: ten pings are answered in their order.
    let payloads: Vec<String> = (0..10).map(|n| std::format!("payload-{n}")).collect();
    let pings: Vec<u8> =
        payloads.iter().flat_map(|payload| frame(Ping, true, payload.as_bytes())).collect();
    let pongs: Vec<_> =
        payloads.iter().map(|payload| (Pong, payload.clone().into_bytes())).collect();
    assert_eq!(check(server, &pings).sent, pongs);
}

#[test]
fn autobahn_3_reserved_bits() {
    for (at, bits) in (1..8).enumerate() {
        let mut bad = frame(if at % 2 == 0 { Text } else { Binary }, true, b"Hello, world!");
        bad[0] |= bits << 4;
        let bytes = [text("first"), bad, frame(Ping, true, b"")].concat();
        let expected = ["text 5 first", "failed: a reserved bit is set", REFUSED];
        assert_eq!(check(server, &bytes).words(), expected);
    }
    // 3.6, 3.7: in control frames.
    for opcode in [Ping, Close] {
        let mut bad = frame(opcode, true, b"");
        bad[0] |= 0x60;
        assert_eq!(check(server, &bad).words()[1], REFUSED);
    }
}

#[test]
fn autobahn_4_reserved_opcodes() {
    for opcode in (3..8).chain(11..16) {
        for payload in [&b""[..], b"reserved opcode payload"] {
            let mut bad = frame(Text, true, payload);
            bad[0] = 0x80 | opcode;
            let bytes = [text("first"), bad, frame(Ping, true, b"")].concat();
            let expected = ["text 5 first", "failed: a reserved opcode", REFUSED];
            assert_eq!(check(server, &bytes).words(), expected, "{opcode}");
        }
    }
}

#[test]
fn autobahn_5_fragmentation() {
    let (start, end) = (b"frag\0ment1", b"fragment2!");
    let whole = "text 20 frag\0ment1fr";
    // 5.1, 5.2: control frames in fragments.
    for opcode in [Ping, Pong] {
        let words = after(&[(opcode, false, b"fragment1"), (Continuation, true, b"fragment2")]);
        assert_eq!(words, ["failed: a control frame in fragments", REFUSED]);
    }
    // 5.3 to 5.5: a message in two.
    assert_eq!(after(&[(Text, false, start), (Continuation, true, end)]), [whole]);
    // 5.6 to 5.8: with a ping inside.
    let with_ping = [(Text, false, &start[..]), (Ping, true, b"ping"), (Continuation, true, end)];
    assert_eq!(after(&with_ping), [whole, "pong 4"]);
    // 5.9 to 5.14: a continuation of nothing, final or not.
    for is_final in [true, false] {
        let alone = [(Continuation, is_final, &b"non-continuation"[..]), (Text, true, b"Hello")];
        assert_eq!(after(&alone), ["failed: a continuation without a message", REFUSED]);
    }
    // 5.15 to 5.17: after a message that is whole.
    let behind =
        [(Text, false, &start[..]), (Continuation, true, end), (Continuation, false, b"x")];
    assert_eq!(after(&behind), [whole, "failed: a continuation without a message", REFUSED]);
    // 5.18: a message inside a message.
    for second in [Text, Binary] {
        let words = after(&[(Text, false, start), (second, true, end)]);
        assert_eq!(words, ["failed: a message begins inside another", REFUSED]);
    }
    // 5.19, 5.20: five fragments with pings between them.
    let frames = [
        (Text, false, &b"fragment1"[..]),
        (Continuation, false, b"fragment2"),
        (Ping, true, b"pongme 1!"),
        (Continuation, false, b"fragment3"),
        (Continuation, false, b"fragment4"),
        (Ping, true, b"pongme 2!"),
        (Continuation, true, b"fragment5"),
    ];
    assert_eq!(after(&frames), ["text 45 fragment1fra", "pong 9", "pong 9"]);
}

#[test]
fn autobahn_6_1_and_6_2_text_in_fragments() {
    assert_eq!(after(&[(Text, true, b"")]), ["text 0 "]);
    assert_eq!(
        after(&[(Text, false, b""), (Continuation, false, b""), (Continuation, true, b"")]),
        ["text 0 "]
    );
    let around =
        [(Text, false, &b""[..]), (Continuation, false, b"middle"), (Continuation, true, b"")];
    assert_eq!(after(&around), ["text 6 middle"]);
    let words = "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!";
    // 6.2.3: one frame for each byte, so that characters are cut.
    let bytes: Vec<u8> = words
        .bytes()
        .enumerate()
        .flat_map(|(at, byte)| {
            let opcode = if at == 0 { Text } else { Continuation };
            frame(opcode, at + 1 == words.len(), &[byte])
        })
        .collect();
    assert_eq!(check(server, &bytes).events, [Event::Message(words.into())]);
}

/// 6.3, 6.4: refused as soon as no continuation could make it right, although the message, or the frame, is not whole.
#[test]
fn autobahn_6_3_and_6_4_wrong_text_fails_at_once() {
    let good = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
    let invalid = ["failed: text that is no UTF-8", "close 1007"];
    assert_eq!(after(&[(Text, true, &[good, &b"\xed\xa0\x80edited"[..]].concat())]), invalid);
    // In the second of three fragments, which is not final.
    let frames = [(Text, false, &good[..]), (Continuation, false, b"\xf4\x90")];
    assert_eq!(after(&frames), invalid);
    // Inside a frame whose rest never comes.
    let mut bytes = frame(Text, true, &[&good[..], b"\xf4\x90\x80\x80 and more"].concat());
    bytes.truncate(6 + good.len() + 2);
    assert_eq!(check(server, &bytes).words(), invalid);
    bytes.truncate(6 + good.len() + 1);
    assert!(check(server, &bytes).words().is_empty(), "F4 alone may become right");
}

/// 6.5 to 6.22: sequences from Markus Kuhn's collection and the Unicode standard.
#[test]
fn autobahn_6_5_to_6_22_valid_and_invalid_sequences() {
    for character in [
        '\0',
        '\u{7f}',
        '\u{80}',
        '\u{7ff}',
        '\u{800}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{fffd}',
        '\u{fffe}',
        '\u{ffff}',
        '\u{10000}',
        '\u{1fffe}',
        '\u{1ffff}',
        '\u{10fffe}',
        '\u{10ffff}',
        '\u{fdd0}',
    ] {
        let payload = character.to_string();
        let outcome = check(server, &text(&payload));
        assert_eq!(outcome.events, [Event::Message(payload.into())], "{character:?}");
    }
    for bytes in [
        // Lone continuations, lone beginnings, and what never occurs.
        &b"\x80"[..],
        b"\xbf",
        b"\x80\xbf\x80\xbf",
        b"\xc0 \xc1 ",
        b"\xe0 ",
        b"\xf0 ",
        b"\xfe",
        b"\xff",
        b"\xfe\xfe\xff\xff",
        // Cut at the end of the message.
        b"\xc2",
        b"\xe1\xbd",
        b"\xf0\x90\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        // Five and six bytes, and beyond U+10FFFF.
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        // Overlong forms.
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xf0\x80\x80\x80",
        // Surrogates, alone and in pairs.
        b"\xed\xa0\x80",
        b"\xed\xad\xbf",
        b"\xed\xae\x80",
        b"\xed\xaf\xbf",
        b"\xed\xb0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xed\xaf\xbf\xed\xbf\xbf",
    ] {
        let words = after(&[(Text, true, bytes)]);
        assert_eq!(words, ["failed: text that is no UTF-8", "close 1007"], "{bytes:x?}");
    }
}

#[test]
fn autobahn_7_1_nothing_counts_behind_a_close_frame() {
    let closed = ["closed 1000, \"Hello!\"", "close 1000"];
    let close = close(1000, "Hello!");
    assert_eq!(check(server, &close).words(), closed);
    for behind in [
        close.clone(),
        frame(Ping, true, b"x"),
        text("x"),
        frame(Continuation, true, b"x"),
        vec![0xff; 9],
    ] {
        let bytes = [&close[..], &behind].concat();
        assert_eq!(check(server, &bytes).words(), closed);
    }
    // 7.1.5: inside a message.
    let inside = [frame(Text, false, b"fragment1"), close.clone(), frame(Continuation, true, b"x")];
    assert_eq!(check(server, &inside.concat()).words(), closed);
    // 7.1.6: behind a long message, which arrives before.
    let bytes = [text(&"BAsd7&jh23".repeat(26_000)), close].concat();
    assert_eq!(run(&mut server(), &bytes, &[1000]).words()[1..], closed);
}

#[test]
fn autobahn_7_3_payloads_of_close_frames() {
    assert_eq!(after(&[(Close, true, b"")]), ["closed no code", "close"]);
    let refused = ["failed: a close code that is not allowed", REFUSED];
    assert_eq!(after(&[(Close, true, b"a")]), refused);
    assert_eq!(after(&[(Close, true, b"\x03\xe8")]), ["closed 1000", "close 1000"]);
    let reason = "*".repeat(123);
    let words = check(server, &close(1000, &reason)).words();
    assert_eq!(words, [std::format!("closed 1000, {reason:?}"), "close 1000".into()]);
    // 7.3.6: 124 bytes of reason are one too many.
    let too_long = frame(Close, true, &[b"\x03\xe8", "*".repeat(124).as_bytes()].concat());
    let words = check(server, &too_long).words();
    assert_eq!(words, ["failed: a control frame of more than 125 bytes", REFUSED]);
    // 7.5.1: a reason that is no text.
    let words = after(&[(Close, true, b"\x03\xe8\xce\xba\xed\xa0\x80")]);
    assert_eq!(words, ["failed: text that is no UTF-8", "close 1007"]);
}

#[test]
fn autobahn_7_7_and_7_9_codes_of_close_frames() {
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ] {
        let words = check(server, &close(code, "")).words();
        assert_eq!(words, [std::format!("closed {code}"), std::format!("close {code}")]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let words = check(server, &close(code, "")).words();
        assert_eq!(words, ["failed: a close code that is not allowed", REFUSED], "{code}");
    }
}

/// 9: long messages, whole, in fragments and chopped; here up to a mebibyte.
#[test]
fn autobahn_9_long_messages() {
    for exponent in [16, 18, 20] {
        let payload = "*".repeat(1 << exponent);
        for opcode in [Text, Binary] {
            let whole = frame(opcode, true, payload.as_bytes());
            let expected = match opcode {
                Text => Message::from(payload.as_str()),
                _ => Message::from(payload.clone().into_bytes()),
            };
            for chop in [64, 1_000, 65_536, 1 << 20] {
                let cuts: Vec<usize> = (chop..whole.len()).step_by(chop).collect();
                let events = run(&mut server(), &whole, &cuts).events;
                assert_eq!(events, [Event::Message(expected.clone())]);
            }
            for fragment in [64, 1_024, 65_536] {
                let pieces: Vec<&[u8]> = payload.as_bytes().chunks(fragment).collect();
                let bytes: Vec<u8> = pieces
                    .iter()
                    .enumerate()
                    .flat_map(|(at, piece)| {
                        let opcode = if at == 0 { opcode } else { Continuation };
                        frame(opcode, at + 1 == pieces.len(), piece)
                    })
                    .collect();
                let events = run(&mut server(), &bytes, &[]).events;
                assert_eq!(events, [Event::Message(expected.clone())]);
            }
        }
    }
}

/// 12 and 13: many compressed messages of each size, with and without context takeover, and with small windows.
#[test]
fn autobahn_12_and_13_compressed_messages() {
    let line = "{\"id\": 17, \"text\": \"the quick brown fox\", \"at\": [1, 2, 3]}\n";
    for keeps_context in [false, true] {
        for bits in [8, 9, 15] {
            let agreed = AgreedDeflate { own_window_bits: bits, ..agreed(keeps_context) };
            let mut client = Compression::new(agreed, SharedCompressor::default());
            let mut server = deflating(keeps_context);
            for length in [0, 16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072] {
                for round in 0..10 {
                    let payload = &line.repeat(length / line.len() + 1)[..length];
                    let compressed = client.compress(payload.as_bytes());
                    let is_compressed = compressed.is_some();
                    let wire = compressed.unwrap_or_else(|| payload.as_bytes().to_vec());
                    let (front, back) = wire.split_at(wire.len() * round / 10);
                    let bytes = [
                        put(Text, false, is_compressed, front, Some(MASK)),
                        frame(Ping, true, b""),
                        put(Continuation, true, false, back, Some(MASK)),
                    ]
                    .concat();
                    let outcome = run(&mut server, &bytes, &[round]);
                    assert_eq!(outcome.events, [Event::Message(payload.into())], "{bits} {length}");
                }
            }
        }
    }
}

/// RFC 7692 section 6: where it is agreed, messages may still come uncompressed; control frames never come compressed.
#[test]
fn rfc7692_6_what_may_be_compressed() {
    let make = || deflating(true);
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let compressed = |payload: &[u8]| put(Text, true, true, payload, Some(MASK));
    let bytes = [compressed(&hello), text("plain"), compressed(&again)].concat();
    assert_eq!(check(make, &bytes).words(), ["text 5 Hello", "text 5 plain", "text 5 Hello"]);
    for opcode in [Ping, Pong, Close, Continuation] {
        let words = check(make, &put(opcode, true, true, b"", Some(MASK))).words();
        assert_eq!(words, ["failed: a reserved bit is set", REFUSED]);
    }
    let words = check(make, &compressed(&[0x06, 0, 0, 0])).words();
    assert_eq!(words, ["failed: compressed data is corrupt", "close 1007"]);
    // Text is checked behind the decompressor: a stored block with FF.
    let words = check(make, &compressed(&[0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00])).words();
    assert_eq!(words, ["failed: text that is no UTF-8", "close 1007"]);
}
