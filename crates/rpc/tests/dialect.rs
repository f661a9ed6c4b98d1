//! As liberal as the reference implementation: what fails one call there does not end the connection here; and
//! what two parties do not need of the protocol is answered as its schema says.

mod peer;

use peer::{Peer, Said};
use rpc::{Event, Exception, Kind, Limits, Payload};

#[test]
fn a_finish_of_an_unknown_question_is_ignored() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&peer::finish(7));
    peer.send(&[peer::bootstrap(1), peer::finish(1), peer::finish(1)].concat());
    peer.is_served();
}

/// rpc.capnp, `Finish.requireEarlyCancellationWorkaround`: peers before 1.0 rely on it that a call arrives, though its
/// finish is right behind it. Those after do not, and nothing is done in vain.
#[test]
fn a_call_whose_finish_is_right_behind_it_is_seen_if_the_peer_says_so() {
    for relies in [true, false] {
        let mut peer = Peer::new(Limits::default());
        peer.send(&peer::bootstrap(0));
        let finish = peer::build(|message| {
            let mut finish = message.init_finish();
            finish.set_question_id(1);
            finish.set_require_early_cancellation_workaround(relies);
        });
        peer.send(&[peer::call_on_answer(1, 0, &[]), finish].concat());
        let Some(Event::Call { call, params, .. }) = peer.vat.poll_event() else {
            panic!("a call")
        };
        assert_eq!(peer.vat.live().1, usize::from(relies) + 1, "the bootstrap's, and this");
        peer.vat.release_payload(params);
        assert!(matches!(peer.vat.poll_event(), Some(Event::Cancelled(which)) if which == call));
        peer.is_served();
    }
}

/// What a call that follows asks is to see that the one before has ended.
#[test]
fn a_finish_is_told_before_the_call_behind_it() {
    for relies in [true, false] {
        let mut peer = Peer::new(Limits::default());
        peer.send(&[peer::bootstrap(0), peer::call_on_answer(1, 0, &[])].concat());
        let (first, params) = peer.asked().pop().expect("the first call");
        peer.vat.release_payload(params);
        let finish = peer::build(|message| {
            let mut finish = message.init_finish();
            finish.set_question_id(1);
            finish.set_require_early_cancellation_workaround(relies);
        });
        let later = [2, 3].map(|question| peer::call_on_answer(question, 0, &[])).concat();
        peer.send(&[finish, later].concat());
        assert!(matches!(peer.vat.poll_event(), Some(Event::Cancelled(call)) if call == first));
        let asked = peer.asked();
        assert_eq!(asked.len(), 2);
        for (call, params) in asked {
            peer.vat.release_payload(params);
            peer.vat.reply(call, Payload::results(0));
        }
        peer.is_served();
    }
}

/// Two such calls right behind each other: each is seen before it ends.
#[test]
fn calls_that_are_finished_at_once_are_told_one_after_the_other() {
    let mut peer = Peer::new(Limits::default());
    let both = [1, 2]
        .map(|question| [peer::call_on_answer(question, 0, &[]), peer::finish(question)].concat());
    peer.send(&[peer::bootstrap(0), both.concat()].concat());
    let mut told = Vec::new();
    while let Some(event) = peer.vat.poll_event() {
        match event {
            Event::Call { call, params, .. } => {
                peer.vat.release_payload(params);
                told.push((call, true));
            }
            Event::Cancelled(call) => told.push((call, false)),
            event => panic!("{event:?}"),
        }
    }
    let [(first, true), (first_again, false), (second, true), (second_again, false)] = told[..]
    else {
        panic!("{told:?}")
    };
    assert!(first == first_again && second == second_again && first != second);
}

#[test]
fn a_call_on_an_unknown_answer_fails_alone() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&peer::call_on_answer(1, 7, &[]));
    assert_eq!(peer.failures(), [(1, Kind::Failed)]);
    peer.is_served();
}

#[test]
fn a_receiver_hosted_capability_of_an_unknown_id_breaks_what_uses_it() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&peer::bootstrap(0));
    peer.send(&peer::build(|message| {
        let mut call = message.init_call();
        call.set_question_id(1);
        call.reborrow().init_target().init_promised_answer();
        call.init_params().init_cap_table(1).get(0).set_receiver_hosted(99);
    }));
    let (call, params) = peer.asked().pop().expect("the call");
    let used = peer.vat.call(params.caps()[0].unwrap(), 1, 1, Payload::params(0));
    assert_eq!(peer.vat.result(used).unwrap().unwrap_err().kind, Kind::Failed);
    peer.vat.release_call(used);
    peer.vat.release_payload(params);
    peer.vat.reply(call, Payload::results(0));
    peer.is_served();
}

#[test]
fn a_path_that_is_too_long_fails_that_call_only() {
    let mut peer = Peer::new(Limits { path_fields_max: 3, ..Limits::default() });
    peer.send(&peer::bootstrap(0));
    peer.send(&peer::call_on_answer(1, 0, &[0, 0, 0, 0]));
    peer.send(&peer::build(|message| {
        let mut call = message.init_call();
        call.set_question_id(2);
        call.reborrow().init_target().init_promised_answer();
        let table = call.init_params().init_cap_table(1);
        table.get(0).init_receiver_answer().init_transform(4);
    }));
    let (call, params) = peer.asked().pop().expect("the second call");
    assert_eq!(
        peer.vat.broken_by(params.caps()[0].unwrap()),
        Some(Exception::overloaded("path_fields_max exceeded"))
    );
    peer.vat.release_payload(params);
    peer.vat.reply(call, Payload::results(0));
    assert_eq!(peer.failures(), [(1, Kind::Overloaded)]);
    peer.is_served();
}

#[test]
fn more_parts_of_an_answer_than_are_remembered_fail_alone() {
    let mut peer = Peer::new(Limits { parts_max: 2, ..Limits::default() });
    peer.send(&[peer::bootstrap(0), peer::call_on_answer(1, 0, &[])].concat());
    for (question, field) in [(2, 0), (3, 1), (4, 1), (5, 2)] {
        peer.send(&peer::call_on_answer(question, 1, &[field]));
    }
    assert_eq!(peer.failures(), [(5, Kind::Overloaded)]);
    peer.is_served();
}

#[test]
fn a_capability_of_an_unknown_kind_breaks_what_uses_it() {
    let mut peer = Peer::new(Limits::default());
    let mut call = peer::build(|message| {
        let mut call = message.init_call();
        call.set_question_id(1);
        call.reborrow().init_target().init_promised_answer();
        call.init_params().init_cap_table(1).get(0).set_sender_hosted(0x0707_0707);
    });
    // Its discriminant stands before the number.
    let at = call.windows(4).position(|bytes| bytes == [7; 4]).unwrap() - 4;
    call[at] = 77;
    peer.send(&[peer::bootstrap(0), call].concat());
    let (_, params) = peer.asked().pop().expect("the call");
    let reason = peer.vat.broken_by(params.caps()[0].unwrap()).unwrap();
    assert_eq!(reason.kind, Kind::Unimplemented);
}

/// rpc.capnp, `Message.unimplemented`: the sender's own words come back.
#[test]
fn level_3_messages_come_back_as_unimplemented() {
    let messages = [
        peer::build(|message| message.init_provide().set_question_id(77)),
        peer::build(|message| message.init_accept().set_question_id(77)),
        peer::build(|message| message.init_join().set_question_id(77)),
        peer::build(|message| {
            let _ = message.init_obsolete_save();
        }),
        peer::build(|message| {
            let mut call = message.init_call();
            call.set_question_id(77);
            let _ = call.get_send_results_to().init_third_party();
        }),
        peer::build(|message| message.init_disembargo().get_context().set_accept(())),
        peer::build(|message| message.init_disembargo().get_context().set_provide(77)),
    ];
    for message in messages {
        let mut peer = Peer::new(Limits::default());
        peer.send(&message);
        let said = peer.said();
        assert_eq!(said.len(), 1);
        let Said::Unimplemented(theirs) = &said[0] else { panic!("{said:?}") };
        assert_eq!(*theirs, peer::canonical(&message));
        peer.is_served();
    }
}

#[test]
fn results_at_a_third_party_fail_the_call_only() {
    let mut peer = Peer::new(Limits::default());
    let theirs = peer.vat.bootstrap(peer.conn);
    let call = peer.vat.call(theirs, 1, 1, Payload::params(0));
    peer.send(&peer::build(|message| {
        let mut return_ = message.init_return();
        return_.set_answer_id(1);
        let _ = return_.init_accept_from_third_party();
    }));
    assert_eq!(peer.vat.result(call).unwrap().unwrap_err().kind, Kind::Unimplemented);
    peer.vat.release_call(call);
    peer.is_served();
}

/// rpc.capnp, `ThirdPartyCapDescriptor.vineId`.
#[test]
fn a_capability_at_a_third_party_is_its_vine() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&peer::bootstrap(0));
    peer.send(&peer::build(|message| {
        let mut call = message.init_call();
        call.set_question_id(1);
        call.reborrow().init_target().init_promised_answer();
        let table = call.init_params().init_cap_table(1);
        table.get(0).init_third_party_hosted().set_vine_id(5);
    }));
    let (_, params) = peer.asked().pop().expect("the call");
    peer.said();
    peer.vat.call(params.caps()[0].unwrap(), 1, 1, Payload::params(0));
    assert!(matches!(peer.said()[..], [Said::Call { on_import: Some(5), .. }]));
}

/// 45 kB in which a list's elements all lead to one text became 62.7 MB.
#[test]
fn an_answer_to_an_unknown_message_is_no_longer_than_the_message() {
    let mut peer = Peer::new(Limits::default());
    for count in [30, 5_000] {
        let overlapping = peer::overlapping(count);
        peer.send(&overlapping);
        assert!(peer.output().len() <= overlapping.len() + 256);
        peer.is_served();
        peer.send(&peer::finish(1001));
    }
    let plain = peer::build(|message| {
        let _: capnp::text::Builder<'_> = message.init_provide().init_recipient().initn_as(40_000);
    });
    peer.send(&plain);
    let Said::Unimplemented(theirs) = &peer.said()[0] else { panic!("an echo") };
    assert_eq!(*theirs, peer::canonical(&plain));
}

/// What is no longer than a limit is taken.
#[test]
fn as_many_fields_and_capabilities_as_the_limits_say() {
    let limits = Limits { path_fields_max: 3, message_caps_max: 2, ..Limits::default() };
    for (fields, reason) in
        [(3, "no capability at this place in the results"), (4, "path_fields_max exceeded")]
    {
        let mut peer = Peer::new(limits);
        peer.send(&[peer::bootstrap(0), peer::call_on_answer(1, 0, &[0; 4][..fields])].concat());
        let Some(Said::Failed { reason: said, .. }) = peer.said().pop() else {
            panic!("a failure")
        };
        assert_eq!(said, reason);
    }
    for (caps, taken) in [(2, true), (3, false)] {
        let mut peer = Peer::new(limits);
        peer.send(&peer::bootstrap(0));
        peer.send(&peer::build(|message| {
            let mut call = message.init_call();
            call.set_question_id(1);
            call.reborrow().init_target().init_promised_answer();
            call.init_params().init_cap_table(caps);
        }));
        assert_eq!((peer.asked().len() == 1, peer.vat.is_closed(peer.conn)), (taken, !taken));
    }
}

/// The message of ours that the peer does not know comes back: what it stood for is let go.
#[test]
fn what_the_peer_does_not_know_is_undone() {
    let unknown = |ours: &[u8]| {
        let options = capnp::message::ReaderOptions::new();
        let read = capnp::serialize::read_message_from_flat_slice(&mut &ours[..], options).unwrap();
        peer::build(|mut message| message.set_unimplemented(read.get_root().unwrap()).unwrap())
    };
    let mut peer = Peer::new(Limits::default());
    let theirs = peer.vat.bootstrap(peer.conn);
    let ours = peer.output();
    peer.send(&unknown(&ours));
    assert_eq!(peer.vat.broken_by(theirs).map(|reason| reason.kind), Some(Kind::Unimplemented));
    assert_eq!(peer.vat.table_sizes(peer.conn).questions, 0);

    peer.send(&[peer::bootstrap(0), peer::call_on_answer(1, 0, &[])].concat());
    let (call, _) = peer.asked().pop().expect("the call");
    let [promise, object] = [peer.vat.promise(), peer.vat.object(rpc::ObjectId(7))];
    let mut results = Payload::results(0);
    let held = peer.vat.retain(promise);
    let write = |mut root: capnp::any_pointer::Builder<'_>| {
        root.set_as_capability(rpc::slot::Slot(0).hook());
    };
    results.build(&[Some(held)], write).unwrap();
    peer.vat.reply(call, results);
    peer.output();
    peer.vat.resolve(promise, object);
    assert_eq!(peer.vat.table_sizes(peer.conn).exports, 3, "the promise, and what it is");
    let ours = peer.output();
    peer.send(&unknown(&ours));
    assert_eq!(peer.vat.table_sizes(peer.conn).exports, 2);
}
