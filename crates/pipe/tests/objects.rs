//! Objects as CBOR: messages, sequences, and how long an object may be.

mod run;

use pipe::{Fault, Next, Piece, Pipeline, cbor};
use run::run;

#[test]
fn a_sequence_gives_each_object_as_soon_as_it_is_whole() {
    let mut pipeline = Pipeline::new(cbor::decode_sequence::<u32>());
    pipeline.offer(Piece::part(&b"\x01\x02\x19\x01"[..])).unwrap();
    assert_eq!(pipeline.poll(), Next::Item(1));
    assert_eq!(pipeline.poll(), Next::Item(2));
    assert_eq!(pipeline.poll(), Next::Starved);
    pipeline.offer(Piece::last(&b"\x00"[..])).unwrap();
    assert_eq!(pipeline.poll(), Next::Item(256));
    pipeline.end();
    assert_eq!(pipeline.poll(), Next::End);
}

#[test]
fn all_objects_of_a_sequence_come_out_before_its_end() {
    let mut pipeline = Pipeline::new(cbor::decode_sequence::<u32>());
    pipeline.offer(Piece::last(&b"\x01\x02\x03"[..])).unwrap();
    pipeline.end();
    for number in 1..=3 {
        assert_eq!(pipeline.poll(), Next::Item(number));
    }
    assert_eq!(pipeline.poll(), Next::End);
}

#[test]
fn an_object_ends_with_its_message() {
    let torn = || [Piece::last(&b"\x19"[..]), Piece::last(&b"\x01\x02"[..])];
    let fault = || (vec![], Next::Fault(Fault::Truncated));
    assert_eq!(run(cbor::decode_sequence::<u32>(), torn()), fault());
    assert_eq!(run(cbor::decode::<u32>(), torn()), fault());
    let open = || [Piece::part(&b"\x19\x01"[..])];
    assert_eq!(run(cbor::decode_sequence::<u32>(), open()), fault());
    assert_eq!(run(cbor::decode::<u32>(), open()), fault());
}

#[test]
fn chunks_are_full_whatever_an_object_is_made_of() {
    let lens = |pieces: &[Piece]| pieces.iter().map(|it| it.bytes.len()).collect::<Vec<_>>();
    let (out, _) = run(cbor::encode(), ["x".repeat(100_000)]);
    assert_eq!(lens(&out), [32_768, 32_768, 32_768, 1_701]);
    // Nine bytes each.
    let numbers = || vec![1_u64 << 32; 10_000];
    let (out, _) = run(cbor::encode(), [numbers()]);
    assert_eq!(lens(&out), [32_768, 32_768, 24_467]);
    for (object_bytes_max, end) in
        [(90_003, Next::End), (90_002, Next::Fault(Fault::TooLong("cbor")))]
    {
        let limits = cbor::Limits { object_bytes_max, ..cbor::Limits::default() };
        assert_eq!(run(cbor::encode_within(limits), [numbers()]).1, end);
    }
}

#[test]
fn objects_over_the_limit_are_refused_both_ways() {
    let limits = cbor::Limits { object_bytes_max: 100, ..cbor::Limits::default() };
    let string = |len: usize| "x".repeat(len);
    let (out, end) = run(cbor::encode_within(limits), [string(98), string(99)]);
    assert_eq!((out.len(), end), (1, Next::Fault(Fault::TooLong("cbor"))));
    let encoded = |len| run(cbor::encode(), [string(len)]).0;
    let both = [encoded(98), encoded(99)].concat();
    let (out, end) = run(cbor::decode_within::<String>(limits), both);
    assert_eq!((out.len(), end), (1, Next::Fault(Fault::TooLong("cbor"))));
}

/// However many wait, and however they are cut: what is too long is known before more of it is taken.
#[test]
fn an_object_of_a_sequence_over_the_limit_is_refused_and_the_others_are_not() {
    let limits = cbor::Limits { object_bytes_max: 100, ..cbor::Limits::default() };
    // Two bytes say how long it is.
    let text = |len: u8| [&[0x78, len][..], &vec![b'x'; len.into()]].concat();
    let many = [text(98), text(30), text(98), text(98)].concat();
    for step in [1, 7, 100, 1000] {
        let pieces = |message: &[u8]| {
            message.chunks(step).map(|it| Piece::part(it.to_vec())).collect::<Vec<_>>()
        };
        let (out, end) = run(cbor::decode_sequence_within::<String>(limits), pieces(&many));
        assert_eq!((out.len(), end), (4, Next::End), "{step}");
        let longer = [&many[..], &text(99)].concat();
        let (out, end) = run(cbor::decode_sequence_within::<String>(limits), pieces(&longer));
        assert_eq!((out.len(), end), (4, Next::Fault(Fault::TooLong("cbor"))), "{step}");
    }
    let mut pipeline = Pipeline::new(cbor::decode_sequence_within::<String>(limits));
    pipeline.offer(Piece::part(text(200)[..99].to_vec())).unwrap();
    assert_eq!(pipeline.poll(), Next::Starved);
    pipeline.offer(Piece::part("x")).unwrap();
    assert_eq!(pipeline.poll(), Next::Fault(Fault::TooLong("cbor")));
}
