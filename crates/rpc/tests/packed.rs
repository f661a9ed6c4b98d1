//! Packed streams, against the packing of the `capnp` crate: the same conversation, packed and not.

use capnp::message::ReaderOptions;
use capnp::{serialize, serialize_packed};
use rpc::rpc_capnp::{message, payload};
use rpc::{ConnId, Encoding, Event, Limits, ObjectId, Payload, Vat};
use std::time::Duration;

const NOW: Duration = Duration::ZERO;
type Draft = capnp::message::Builder<capnp::message::HeapAllocator>;

/// What a peer says; the last message has several segments and long runs of both kinds.
fn conversation() -> Vec<Draft> {
    let message = |write: &dyn Fn(message::Builder<'_>)| {
        let mut draft = Draft::new_default();
        write(draft.init_root());
        draft
    };
    let mut long = Draft::new(capnp::message::HeapAllocator::new().first_segment_words(8));
    let mut params = call(long.init_root(), 2);
    let data: capnp::data::Builder<'_> = params.reborrow().get_content().initn_as(9_000);
    data[..4_000].fill(0xA5);
    let table = params.init_cap_table(3);
    table.get(1).set_sender_hosted(7);
    vec![
        message(&|message| message.init_bootstrap().set_question_id(0)),
        message(&|message| call(message, 1).get_content().clear()),
        long,
        message(&|message| message.init_finish().set_question_id(1)),
    ]
}

fn call(message: message::Builder<'_>, question: u32) -> payload::Builder<'_> {
    let mut call = message.init_call();
    call.set_question_id(question);
    call.reborrow().init_target().init_promised_answer();
    call.init_params()
}

fn plain() -> Vec<u8> {
    let mut bytes = Vec::new();
    for draft in conversation() {
        serialize::write_message(&mut bytes, &draft).unwrap();
    }
    bytes
}

fn packed() -> Vec<u8> {
    let mut bytes = Vec::new();
    for draft in conversation() {
        serialize_packed::write_message(&mut bytes, &draft).unwrap();
    }
    bytes
}

/// What a vat sends in answer to `parts`, in buffers of `room` bytes. Calls that are not finished
/// are answered with what they brought.
fn answers(encoding: Encoding, parts: &[&[u8]], room: usize) -> Vec<u8> {
    let mut vat = Vat::new(Limits::default());
    let offered = vat.object(ObjectId(1));
    let conn = vat.connect_as(Some(offered), encoding);
    let mut out = Vec::new();
    for part in parts {
        assert_eq!(vat.handle_input(NOW, conn, part), part.len());
    }
    while let Some(event) = vat.poll_event() {
        let Event::Call { call, params, .. } = event else { continue };
        let mut results = Payload::results(0);
        params.read(|content| results.content_mut()?.set_as(content)).unwrap();
        vat.reply(call, results);
        vat.release_payload(params);
    }
    assert!(!vat.is_closed(conn));
    take_all(&mut vat, conn, room, &mut out);
    out
}

fn take_all(vat: &mut Vat, conn: ConnId, room: usize, out: &mut Vec<u8>) {
    let mut buffer = vec![0; room];
    loop {
        match vat.poll_transmit(NOW, conn, &mut buffer) {
            0 => return assert!(!vat.has_output(conn)),
            count => out.extend_from_slice(&buffer[..count]),
        }
    }
}

/// What another reader of packed messages makes of them.
fn unpacked(mut packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !packed.is_empty() {
        let read = serialize_packed::read_message(&mut packed, ReaderOptions::new()).unwrap();
        serialize::write_message_segments(&mut bytes, &read.into_segments()).unwrap();
    }
    bytes
}

#[test]
fn a_packed_conversation_is_the_plain_one_packed() {
    let expected = answers(Encoding::Plain, &[&plain()], 4096);
    assert!(expected.len() > 9_000);
    for room in [1, 7, 4096, 1 << 20] {
        let answered = answers(Encoding::Packed, &[&packed()], room);
        assert!(answered.len() < expected.len() / 2, "zeros are left out");
        assert!(unpacked(&answered) == expected);
    }
}

#[test]
fn split_at_every_byte_the_same_answers_come() {
    let (whole, expected) = (packed(), answers(Encoding::Packed, &[&packed()], 4096));
    for cut in 0..whole.len() {
        let (first, second) = whole.split_at(cut);
        let answered = answers(Encoding::Packed, &[first, second], 4096);
        assert!(answered == expected, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = whole.chunks(1).collect();
    assert!(answers(Encoding::Packed, &bytes, 4096) == expected);
}

#[test]
fn truncated_at_every_byte_nothing_but_waiting_happens() {
    let whole = packed();
    for cut in 0..whole.len() {
        let mut vat = Vat::new(Limits::default());
        let offered = vat.object(ObjectId(1));
        let conn = vat.connect_as(Some(offered), Encoding::Packed);
        assert_eq!(vat.handle_input(NOW, conn, &whole[..cut]), cut);
        assert!(!vat.is_closed(conn), "cut at {cut}");
        let waits = vat.next_deadline(NOW, conn).is_some();
        assert!(waits || cut == 0, "cut at {cut}");
    }
}

/// A few bytes that stand for many: limits hold for what they stand for.
#[test]
fn runs_do_not_pass_a_limit() {
    let limits = Limits { message_words_max: 1_000, ..Limits::default() };
    for (input, reason) in [
        // A table that announces 1,001 words.
        (&[0x30, 0xE9, 0x03][..], "message_words_max exceeded"),
        // 512 more segments.
        (&[0x02, 0x02], "segments_max exceeded"),
        (&[0x00, 0xFF], "an empty message"),
    ] {
        let mut vat = Vat::new(limits);
        let conn = vat.connect_as(None, Encoding::Packed);
        let _ = vat.handle_input(NOW, conn, input);
        let reasons: Vec<_> = std::iter::from_fn(|| vat.poll_event())
            .filter_map(|event| match event {
                Event::Disconnected { reason, .. } => Some(reason.reason),
                _ => None,
            })
            .collect();
        assert_eq!(reasons, [reason]);
    }
}
