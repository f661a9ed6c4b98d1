//! A hostile peer: every limit, every order that cannot be, every byte cut off or changed. The vat
//! must answer with an abort that names the reason, and must never panic.

mod peer;

use peer::{NOW, Peer as Victim, bootstrap, build, finish, return_to};
use rpc::rpc_capnp::message;
use rpc::slot::Slot;
use rpc::{Event, Exception, Limits, ObjectId, Payload};
use std::time::Duration;

impl Victim {
    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.vat.poll_event()).collect()
    }

    /// The reason of the abort that the peer gets as the last message; panics if there is none.
    #[track_caller]
    fn aborted(&mut self) -> String {
        self.aborted_within(usize::MAX)
    }

    /// As [`aborted`](Self::aborted), after so many bytes at most.
    #[track_caller]
    fn aborted_within(&mut self, bytes_max: usize) -> String {
        assert!(self.vat.is_closed(self.conn), "still open");
        let output = self.output();
        assert!(output.len() <= bytes_max, "{} bytes", output.len());
        let mut rest = &output[..];
        let mut reason = None;
        while let Ok(read) =
            capnp::serialize::read_message_from_flat_slice(&mut rest, Default::default())
        {
            let root: message::Reader<'_> = read.get_root().unwrap();
            assert!(reason.is_none(), "a message after the abort");
            if let Ok(message::Abort(abort)) = root.which() {
                reason = Some(abort.unwrap().get_reason().unwrap().to_string().unwrap());
            }
        }
        reason.expect("an abort")
    }
}

fn call(question: u32, on_answer: u32) -> Vec<u8> {
    build(|message| {
        let mut call = message.init_call();
        call.set_question_id(question);
        call.init_target().init_promised_answer().set_question_id(on_answer);
    })
}

fn call_export(question: u32, export: u32) -> Vec<u8> {
    build(|message| {
        let mut call = message.init_call();
        call.set_question_id(question);
        call.init_target().set_imported_cap(export);
    })
}

fn call_with_caps(question: u32, promises: impl Iterator<Item = u32>) -> Vec<u8> {
    let promises: Vec<u32> = promises.collect();
    build(|message| {
        let mut call = message.init_call();
        call.set_question_id(question);
        call.reborrow().init_target().init_promised_answer();
        let mut table = call.init_params().init_cap_table(promises.len() as u32);
        for (index, id) in (0..).zip(promises) {
            table.reborrow().get(index).set_sender_promise(id);
        }
    })
}

fn release(export: u32, count: u32) -> Vec<u8> {
    build(|message| {
        let mut release = message.init_release();
        release.set_id(export);
        release.set_reference_count(count);
    })
}

fn resolve(promise: u32) -> Vec<u8> {
    build(|message| {
        let mut resolve = message.init_resolve();
        resolve.set_promise_id(promise);
        resolve.init_cap().set_sender_hosted(99);
    })
}

fn disembargo(write: impl FnOnce(rpc::rpc_capnp::disembargo::Builder<'_>)) -> Vec<u8> {
    build(|message| write(message.init_disembargo()))
}

#[track_caller]
fn refused(messages: &[Vec<u8>], reason: &str) {
    refused_with(Limits::default(), messages, reason);
}

/// All but the last message are taken; the last is refused, also when it comes byte by byte.
#[track_caller]
fn refused_with(limits: Limits, messages: &[Vec<u8>], reason: &str) {
    for byte_by_byte in [false, true] {
        let mut victim = Victim::new(limits);
        let (last, before) = messages.split_last().unwrap();
        for message in before {
            victim.send(message);
            assert!(!victim.vat.is_closed(victim.conn), "refused too early");
        }
        if byte_by_byte {
            last.iter().for_each(|byte| victim.send(&[*byte]));
        } else {
            victim.send(last);
        }
        assert_eq!(victim.aborted(), reason);
        let events = victim.events();
        assert!(matches!(events.last(), Some(Event::Disconnected { .. } | Event::Released(_))));
    }
}

#[test]
fn ids_that_were_never_given() {
    refused(&[call_export(1, 7)], "no such export");
    refused(&[release(7, 1)], "a release of no export");
    refused(&[return_to(7)], "a return to no question");
    refused(
        &[disembargo(|mut d| d.reborrow().get_context().set_receiver_loopback(7))],
        "a disembargo of no embargo",
    );
    refused(
        &[disembargo(|mut d| {
            d.reborrow().init_target().set_imported_cap(7);
            d.get_context().set_sender_loopback(1);
        })],
        "a disembargo of what was not resolved",
    );
}

#[test]
fn a_question_number_twice() {
    refused(&[bootstrap(1), bootstrap(1)], "a question number in use");
    refused(&[bootstrap(1), call(2, 1), call(2, 1)], "a question number in use");
}

#[test]
fn double_release_and_counts_too_high() {
    refused(&[bootstrap(1), release(0, 2)], "a release count too high");
    refused(&[bootstrap(1), release(0, u32::MAX)], "a release count too high");
    refused(&[bootstrap(1), release(0, 1), release(0, 1)], "a release of no export");
}

#[test]
fn a_resolve_of_a_settled_capability() {
    let hosted = build(|message| {
        let mut call = message.init_call();
        call.set_question_id(1);
        call.reborrow().init_target().init_promised_answer();
        call.init_params().init_cap_table(1).get(0).set_sender_hosted(5);
    });
    refused(&[bootstrap(0), hosted, resolve(5)], "a resolve of what is no promise");
}

#[test]
fn a_resolve_of_a_released_promise_only_releases() {
    let mut victim = Victim::new(Limits::default());
    victim.send(&resolve(5));
    assert!(!victim.vat.is_closed(victim.conn));
    assert_eq!(victim.vat.table_sizes(victim.conn), rpc::TableSizes::default());
}

#[test]
fn a_second_return() {
    let mut victim = Victim::new(Limits::default());
    let theirs = victim.vat.bootstrap(victim.conn);
    victim.send(&return_to(0));
    victim.send(&return_to(0));
    assert_eq!(victim.aborted(), "a return to no question");
    assert!(victim.vat.broken_by(theirs).is_some());
}

#[test]
fn a_disembargo_of_what_is_not_resolved() {
    let early = disembargo(|mut d| {
        d.reborrow().init_target().init_promised_answer().set_question_id(2);
        d.get_context().set_sender_loopback(1);
    });
    refused(&[bootstrap(1), call(2, 1), early], "a disembargo of what was not resolved");
}

#[test]
fn results_taken_from_nowhere() {
    for kept in [false, true] {
        let mut victim = Victim::new(Limits::default());
        let _theirs = victim.vat.bootstrap(victim.conn);
        if kept {
            victim.send(&bootstrap(5));
        }
        victim.send(&build(|message| {
            message.init_return().set_take_from_other_question(5);
        }));
        assert_eq!(victim.aborted(), "results from no kept answer");
    }
}

#[test]
fn a_result_that_is_its_own() {
    // Our question 0 is answered with the result of their question 1, which is a tail call to
    // them, which is answered with the result of their question 1.
    let mut victim = Victim::new(Limits::default());
    let theirs = victim.vat.bootstrap(victim.conn);
    victim.send(&bootstrap(0));
    victim.send(&build(|message| {
        let mut call = message.init_call();
        call.set_question_id(1);
        call.reborrow().init_target().init_promised_answer();
        call.get_send_results_to().set_yourself(());
    }));
    let asked = victim.events().into_iter().find_map(|event| match event {
        Event::Call { call, .. } => Some(call),
        _ => None,
    });
    victim.vat.tail_call(asked.unwrap(), theirs, 1, 1, Payload::params(0));
    let take = |question| {
        build(|message| {
            let mut return_ = message.init_return();
            return_.set_answer_id(question);
            return_.set_take_from_other_question(1);
        })
    };
    victim.send(&take(1));
    assert_eq!(victim.aborted(), "a result that is its own");
}

#[test]
fn limits_on_the_frame() {
    let limits = Limits { segments_max: 2, message_words_max: 100, ..Limits::default() };
    refused_with(limits, &[vec![2, 0, 0, 0]], "segments_max exceeded");
    refused_with(limits, &[vec![0, 0, 0, 0, 101, 0, 0, 0]], "message_words_max exceeded");
    refused_with(limits, &[vec![0; 8]], "an empty message");
}

#[test]
fn limit_on_imports() {
    let limits = Limits { imports_max: 3, ..Limits::default() };
    let messages = [bootstrap(0), call_with_caps(1, 0..3), call_with_caps(2, 2..4)];
    refused_with(limits, &messages, "imports_max exceeded");
}

#[test]
fn limit_on_capabilities_in_a_message() {
    let limits = Limits { message_caps_max: 3, ..Limits::default() };
    refused_with(limits, &[bootstrap(0), call_with_caps(1, 0..4)], "message_caps_max exceeded");
}

#[test]
fn limit_on_the_nesting_and_traversal_of_a_message() {
    let nesting = Limits { nesting_max: 2, ..Limits::default() };
    refused_with(nesting, &[call_with_caps(1, 0..20)], "nesting_max exceeded");
    let traversal = Limits { traversal_words_max: 8, ..Limits::default() };
    refused_with(traversal, &[call_with_caps(1, 0..20)], "traversal_words_max exceeded");
}

#[test]
fn limit_on_the_name_of_a_service() {
    let named = |length| {
        build(|message| {
            let bootstrap = message.init_bootstrap();
            let place: capnp::data::Builder<'_> =
                bootstrap.init_deprecated_object_id().initn_as(length);
            place.fill(b'x');
        })
    };
    let mut victim = Victim::new(Limits::default());
    victim.send(&named(rpc::SERVICE_BYTES_MAX as u32));
    assert!(matches!(victim.events()[..], [Event::Restore { .. }]));
    refused(&[named(rpc::SERVICE_BYTES_MAX as u32 + 1)], "SERVICE_BYTES_MAX exceeded");
}

/// One segment of these words.
fn words(words: &[u64]) -> Vec<u8> {
    let table = (words.len() as u64) << 32;
    [&[table], words].concat().iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn pointers_out_of_bounds() {
    /// `Message`, a struct of one data word and one pointer, right after the root pointer.
    const ROOT: u64 = 0x0001_0001_0000_0000;
    const ABORT: u64 = 1;
    for (what, message) in [
        ("the root begins after the end", words(&[ROOT | 10 << 2, 0, 0])),
        ("the root begins before the start", words(&[ROOT | 0xFFFF_FFF4, 0, 0])),
        ("the root ends after the end", words(&[0xFFFF_FFFF_0000_0000, 0, 0])),
        ("the message lies after the end", words(&[ROOT, ABORT, 0x0001_0001_0000_0100])),
        (
            "a text is longer than all",
            words(&[ROOT, ABORT, 0x0001_0001_0000_0000, 0, 0x7FFF_FFFA << 32 | 1]),
        ),
        ("a far pointer to no segment", words(&[7 << 32 | 2, 0, 0])),
        ("a far pointer to nowhere", words(&[0xFFFF << 3 | 2, 0, 0])),
        ("a capability at the root", words(&[3, 0, 0])),
    ] {
        let mut victim = Victim::new(Limits::default());
        victim.send(&message);
        assert!(victim.vat.is_closed(victim.conn), "{what}");
        assert_eq!(victim.aborted(), "a malformed message", "{what}");
    }
}

#[test]
fn limit_on_questions_is_the_callers_to_see() {
    let mut victim = Victim::new(Limits { questions_max: 2, ..Limits::default() });
    let theirs = victim.vat.bootstrap(victim.conn);
    let calls: Vec<_> = (0..2).map(|_| victim.vat.call(theirs, 1, 1, Payload::params(0))).collect();
    assert!(victim.vat.result(calls[0]).is_none());
    let refused = victim.vat.result(calls[1]).unwrap().unwrap_err();
    assert_eq!(refused, Exception::overloaded("questions_max exceeded"));
}

#[test]
fn limit_on_exports_is_the_callers_to_see() {
    let mut victim = Victim::new(Limits { exports_max: 2, ..Limits::default() });
    let theirs = victim.vat.bootstrap(victim.conn);
    let caps: Vec<_> = (10..13).map(|id| Some(victim.vat.object(ObjectId(id)))).collect();
    let mut params = Payload::params(0);
    params
        .build(&caps, |content| {
            let mut list: capnp::any_pointer_list::Builder<'_> = content.initn_as(3);
            (0..3).for_each(|i| list.reborrow().get(i).set_as_capability(Slot(i as usize).hook()));
        })
        .unwrap();
    let call = victim.vat.call(theirs, 1, 1, params);
    let refused = victim.vat.result(call).unwrap().unwrap_err();
    assert_eq!(refused, Exception::overloaded("exports_max exceeded"));
    assert_eq!(victim.vat.table_sizes(victim.conn).exports, 0);
}

#[test]
fn limit_on_parts_of_one_result() {
    let mut victim = Victim::new(Limits { parts_max: 3, ..Limits::default() });
    let theirs = victim.vat.bootstrap(victim.conn);
    let outer = victim.vat.call(theirs, 1, 1, Payload::params(0));
    let results: Vec<bool> = (0..5)
        .map(|field| {
            let part = victim.vat.pipeline(outer, &[field]);
            let call = victim.vat.call(part, 1, 1, Payload::params(0));
            victim.vat.release(part);
            victim.vat.result(call).is_none()
        })
        .collect();
    assert_eq!(results, [true, true, true, false, false]);
}

#[test]
fn limit_on_embargoes() {
    let mut victim = Victim::new(Limits { embargoes_max: 0, ..Limits::default() });
    victim.send(&bootstrap(0));
    victim.send(&call_with_caps(1, [5].into_iter()));
    let (call, promise) = victim
        .events()
        .into_iter()
        .find_map(|event| match event {
            Event::Call { call, params, .. } => Some((call, params.caps()[0].unwrap())),
            _ => None,
        })
        .unwrap();
    victim.vat.call(promise, 1, 1, Payload::params(0));
    victim.send(&build(|message| {
        let mut resolve = message.init_resolve();
        resolve.set_promise_id(5);
        resolve.init_cap().set_receiver_hosted(0);
    }));
    assert_eq!(victim.aborted(), "embargoes_max exceeded");
    victim.vat.fail(call, Exception::failed("late"));
    assert!(victim.output().is_empty(), "nothing follows an abort");
}

#[test]
fn limit_on_time_without_progress() {
    let limits = Limits::default();
    let mut victim = Victim::new(limits);
    assert_eq!(victim.vat.next_deadline(NOW, victim.conn), None);
    victim.send(&bootstrap(0)[..9]);
    assert_eq!(victim.vat.next_deadline(NOW, victim.conn), Some(limits.stall_timeout));
    victim.vat.handle_timeout(limits.stall_timeout, victim.conn);
    assert_eq!(victim.aborted(), "stall_timeout without progress");
}

#[test]
fn limit_on_time_in_which_no_byte_is_taken() {
    let limits = Limits::default();
    let mut victim = Victim::new(limits);
    victim.send(&bootstrap(0));
    let first = Duration::from_secs(1) + limits.stall_timeout;
    assert_eq!(victim.vat.next_deadline(Duration::from_secs(1), victim.conn), Some(first));
    let nearly = first - Duration::from_millis(1);
    victim.vat.handle_timeout(nearly, victim.conn);
    assert!(!victim.vat.is_closed(victim.conn));
    assert_eq!(victim.vat.poll_transmit(nearly, victim.conn, &mut [0; 1]), 1);
    let second = nearly + limits.stall_timeout;
    victim.vat.handle_timeout(second, victim.conn);
    assert!(victim.vat.is_closed(victim.conn));
    // The reason gets as much time; then it is forgotten too.
    assert_eq!(victim.vat.next_deadline(second, victim.conn), Some(second + limits.stall_timeout));
    assert!(victim.vat.has_output(victim.conn));
    victim.vat.handle_timeout(second + limits.stall_timeout, victim.conn);
    assert!(!victim.vat.has_output(victim.conn));
    assert_eq!(victim.vat.next_deadline(second, victim.conn), None);
}

/// A byte a minute is progress, but not enough.
#[test]
fn limit_on_the_rate_of_a_message() {
    let limits = Limits::default();
    let drips = |rate: usize| {
        let mut victim = Victim::new(limits);
        let long = call_with_caps(1, 0..5_000);
        victim.send(&bootstrap(0));
        victim.output();
        for (second, bytes) in (0..).zip(long.chunks(rate * 30)) {
            let now = Duration::from_secs(30 * second);
            if victim.vat.next_deadline(now, victim.conn).is_some_and(|deadline| deadline <= now) {
                victim.vat.handle_timeout(now, victim.conn);
                return Some(victim.aborted());
            }
            let _ = victim.vat.handle_input(now, victim.conn, bytes);
        }
        None
    };
    assert_eq!(drips(500), None);
    assert_eq!(drips(300), Some("less than bytes_per_second_min".into()));
}

#[test]
fn limit_on_the_rate_at_which_output_is_taken() {
    let mut victim = Victim::new(Limits::default());
    for question in 0..2_000 {
        victim.send(&bootstrap(question));
    }
    let mut now = NOW;
    let ended = loop {
        let deadline = victim.vat.next_deadline(now, victim.conn).unwrap();
        now += Duration::from_secs(50);
        if deadline <= now {
            victim.vat.handle_timeout(now, victim.conn);
            break now;
        }
        assert_eq!(victim.vat.poll_transmit(now, victim.conn, &mut [0; 1]), 1);
    };
    assert_eq!(ended, Duration::from_secs(100));
    let reason = victim.vat.closed_by(victim.conn).unwrap();
    assert_eq!(reason.reason, "less than bytes_per_second_min");
}

/// A flow takes much at once: what the peer took of that is progress, by its share of a second.
#[test]
fn what_the_peer_takes_of_what_has_left_puts_the_deadline_off() {
    let mut victim = Victim::new(Limits::default());
    victim.vat.peer_took(NOW, victim.conn, 1000);
    assert_eq!(victim.vat.next_deadline(NOW, victim.conn), None, "nothing is left");
    victim.send(&bootstrap(0));
    let deadline = victim.vat.next_deadline(NOW, victim.conn).unwrap();
    victim.vat.peer_took(deadline, victim.conn, 1000);
    victim.vat.handle_timeout(deadline, victim.conn);
    let later = deadline + Duration::from_secs(2);
    assert_eq!(victim.vat.next_deadline(deadline, victim.conn), Some(later));
}

#[test]
fn a_long_reason_is_cut() {
    let mut victim = Victim::new(Limits { reason_bytes_max: 10, ..Limits::default() });
    let theirs = victim.vat.bootstrap(victim.conn);
    victim.send(&build(|message| {
        message.init_return().init_exception().set_reason("x".repeat(1000));
    }));
    assert_eq!(victim.vat.broken_by(theirs).unwrap().reason.len(), 10);
}

#[test]
fn an_abort_breaks_everything_with_the_peers_reason() {
    let mut victim = Victim::new(Limits::default());
    let theirs = victim.vat.bootstrap(victim.conn);
    victim.send(&build(|message| message.init_abort().set_reason("enough")));
    assert_eq!(victim.vat.broken_by(theirs), Some(Exception::disconnected("enough")));
}

#[test]
fn a_call_that_the_peer_does_not_know_fails_as_unimplemented() {
    let mut victim = Victim::new(Limits::default());
    let theirs = victim.vat.bootstrap(victim.conn);
    let call = victim.vat.call(theirs, 1, 1, Payload::params(0));
    let sent = victim.output();
    for message in messages_of(&sent) {
        let read =
            capnp::serialize::read_message_from_flat_slice(&mut &message[..], Default::default());
        let read = read.unwrap();
        let ours: message::Reader<'_> = read.get_root().unwrap();
        victim.send(&build(|mut message| message.set_unimplemented(ours).unwrap()));
    }
    let reason = victim.vat.result(call).unwrap().unwrap_err();
    assert_eq!(reason.kind, rpc::Kind::Unimplemented);
}

fn messages_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let words = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        let (message, after) = rest.split_at(8 + 8 * words);
        messages.push(message.to_vec());
        rest = after;
    }
    messages
}

/// A conversation that touches every table.
fn conversation() -> Vec<u8> {
    [
        bootstrap(0),
        call_with_caps(1, 0..3),
        call(2, 1),
        resolve(1),
        call_export(3, 0),
        finish(2),
        release(0, 1),
        build(|message| message.init_return().set_canceled(())),
        disembargo(|mut d| {
            d.reborrow().init_target().init_promised_answer();
            d.get_context().set_sender_loopback(3);
        }),
    ]
    .concat()
}

#[test]
fn truncated_at_every_byte_nothing_but_waiting_happens() {
    let all = conversation();
    for cut in 0..all.len() {
        let mut victim = Victim::new(Limits::default());
        let _theirs = victim.vat.bootstrap(victim.conn);
        victim.send(&all[..cut]);
        assert!(!victim.vat.is_closed(victim.conn), "cut at {cut}");
        victim.vat.handle_end(victim.conn);
        assert_eq!(victim.vat.table_sizes(victim.conn), rpc::TableSizes::default());
    }
}

#[test]
fn split_at_every_byte_the_same_answers_come() {
    let all = conversation();
    let answers = |parts: &[&[u8]]| {
        let mut victim = Victim::new(Limits::default());
        let _theirs = victim.vat.bootstrap(victim.conn);
        parts.iter().for_each(|part| victim.send(part));
        victim.output()
    };
    let whole = answers(&[&all]);
    for cut in 0..all.len() {
        assert_eq!(answers(&[&all[..cut], &all[cut..]]), whole, "cut at {cut}");
    }
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Answers what the vat asks of its objects, in ways that depend on `choice`.
fn play(victim: &mut Victim, choice: u64) {
    for event in victim.events() {
        let Event::Call { call, params, .. } = event else { continue };
        let cap = params.caps().iter().flatten().next().copied();
        match (choice % 4, cap) {
            (0, _) => victim.vat.reply(call, Payload::results(0)),
            (1, Some(cap)) => victim.vat.tail_call(call, cap, 1, 1, Payload::params(0)),
            (2, Some(cap)) => {
                victim.vat.call(cap, 1, 1, Payload::params(0));
            }
            _ => {}
        }
        victim.vat.release_payload(params);
    }
}

#[test]
fn changed_bytes_never_panic_and_always_let_go() {
    let all = conversation();
    for seed in 0..20_000u64 {
        let mut state = seed;
        let mut bytes = all.clone();
        for _ in 0..=random(&mut state) % 4 {
            let at = random(&mut state) as usize % bytes.len();
            bytes[at] = random(&mut state) as u8;
        }
        let mut victim = Victim::new(Limits { message_words_max: 4096, ..Limits::default() });
        let theirs = victim.vat.bootstrap(victim.conn);
        for part in bytes.chunks(1 + random(&mut state) as usize % 200) {
            victim.send(part);
            play(&mut victim, seed);
        }
        victim.vat.handle_end(victim.conn);
        victim.vat.release(theirs);
        play(&mut victim, 0);
        let sizes = victim.vat.table_sizes(victim.conn);
        assert_eq!(sizes, rpc::TableSizes::default(), "seed {seed}");
    }
}

#[test]
fn random_bytes_never_panic() {
    for seed in 0..20_000u64 {
        let mut state = seed;
        let mut bytes: Vec<u8> =
            (0..random(&mut state) % 300).map(|_| random(&mut state) as u8).collect();
        if seed % 2 == 0 && bytes.len() > 16 {
            let words = (bytes.len() as u32 - 8) / 8;
            bytes[..4].copy_from_slice(&[0; 4]);
            bytes[4..8].copy_from_slice(&words.to_le_bytes());
            // A struct at the root, so that more of it is looked at.
            bytes[8..16].copy_from_slice(&[0, 0, 0, 0, 1, 0, 1, 0]);
            bytes[16] %= 14;
        }
        let mut victim = Victim::new(Limits { message_words_max: 4096, ..Limits::default() });
        let _theirs = victim.vat.bootstrap(victim.conn);
        victim.send(&bytes);
        play(&mut victim, seed);
    }
}
