//! Any bytes, in any pieces, to an RPC connection whose objects answer in every way: no panic, the
//! pieces make no difference, and in the end nothing is left.

use rpc::{CallId, Cap, Encoding, Event, Exception, Limits, ObjectId, Payload, Vat};
use std::time::Duration;

const NOW: Duration = Duration::ZERO;

pub(crate) fn target(data: &[u8]) {
    let [choice, step, input @ ..] = data else { return };
    let whole = outcome(*choice, input, usize::MAX);
    let pieces = outcome(*choice, input, usize::from(*step).max(1));
    assert_eq!(whole, pieces);
}

/// What was sent in answer, and whether the connection ended by itself.
fn outcome(choice: u8, input: &[u8], step: usize) -> (Vec<u8>, bool) {
    let limits = Limits {
        message_words_max: 2048,
        message_caps_max: 16,
        questions_max: 8,
        answers_max: 8,
        exports_max: 8,
        imports_max: 8,
        embargoes_max: 8,
        parts_max: 4,
        ..Limits::default()
    };
    let mut vat = Vat::new(limits);
    let offered = vat.object(ObjectId(1));
    let encoding = if choice & 0x80 == 0 { Encoding::Plain } else { Encoding::Packed };
    let conn = vat.connect_as(Some(offered), encoding);
    let theirs = vat.bootstrap(conn);
    vat.watch(theirs);
    let ours = vat.call(theirs, 1, 0, Payload::params(0));
    let part = vat.pipeline(ours, &[0]);
    let mut calls = Vec::new();
    let mut sent = Vec::new();
    // Calls that wait in the stream are refused, as after a while.
    let mut now = NOW;
    for piece in input.chunks(step.min(input.len()).max(1)) {
        let mut rest = piece;
        loop {
            rest = &rest[vat.handle_input(now, conn, rest)..];
            if rest.is_empty() {
                break;
            }
            now += limits.stall_timeout;
            vat.handle_timeout(now, conn);
        }
    }
    while let Some(event) = vat.poll_event() {
        match event {
            Event::Call { call, params, .. } => {
                vat.release_payload(params);
                answer(&mut vat, call, choice as usize + calls.len(), part);
                calls.push(call);
            }
            Event::Restore { call, .. } => vat.fail(call, Exception::failed("no services")),
            _ => {}
        }
    }
    drain(&mut vat, conn, &mut sent);
    let ended = vat.is_closed(conn);
    vat.handle_end(conn);
    for call in calls {
        vat.fail(call, Exception::failed("the end"));
    }
    vat.release(part);
    vat.release_call(ours);
    vat.release(theirs);
    vat.forget(conn);
    while let Some(event) = vat.poll_event() {
        match event {
            Event::Call { call, params, .. } => {
                vat.release_payload(params);
                vat.fail(call, Exception::failed("the end"));
            }
            Event::Restore { call, .. } => vat.fail(call, Exception::failed("no services")),
            _ => {}
        }
    }
    assert_eq!(vat.live(), (0, 0));
    (sent, ended)
}

/// Answers a call in one of the ways, or not yet.
fn answer(vat: &mut Vat, call: CallId, way: usize, part: Cap) {
    match way % 5 {
        0 => vat.reply(call, Payload::results(0)),
        1 => vat.fail(call, Exception::failed("as chosen")),
        2 => {
            let cap = vat.object(ObjectId(2));
            let mut results = Payload::results(1);
            let built = results.build(&[Some(cap)], |mut root| {
                root.set_as_capability(rpc::slot::Slot(0).hook());
            });
            built.expect("one capability");
            vat.reply(call, results);
        }
        3 => {
            let to = vat.retain(part);
            vat.tail_call(call, to, 1, 1, Payload::params(0));
            vat.release(to);
        }
        _ => {}
    }
}

fn drain(vat: &mut Vat, conn: rpc::ConnId, sent: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    loop {
        match vat.poll_transmit(NOW, conn, &mut buffer) {
            0 => return,
            count => sent.extend_from_slice(&buffer[..count]),
        }
    }
}
