//! What a vat says of capabilities, word for word: how it names them, tells what promises became, releases, asks for
//! disembargoes and answers them, and hands a call over to the peer itself.

mod peer;
mod spoken;

#[allow(missing_docs, unused, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
#[rustfmt::skip]
#[path = "sim/sim_capnp.rs"]
mod sim_capnp;

use peer::{NOW, Peer, bootstrap, build, call_on_answer, finish};
use rpc::slot::Slot;
use rpc::{CallId, Cap, Event, Exception, Limits, ObjectId, Payload, Vat};
use sim_capnp::probe;
use spoken::{Theirs, call_with, disembargo, resolve, results, spoken};

/// A vat that has given its object away as export 0.
fn served() -> Peer {
    let mut peer = Peer::new(Limits::default());
    peer.send(&bootstrap(0));
    assert_eq!(spoken(&peer.output()), ["return 0: results [hosted 0]"]);
    peer
}

fn only_call(peer: &mut Peer) -> (CallId, Payload) {
    let mut asked = peer.asked();
    assert_eq!(asked.len(), 1);
    asked.pop().unwrap()
}

/// Calls `cap` without capabilities.
fn call(peer: &mut Peer, cap: Cap) -> CallId {
    peer.vat.call(cap, 1, 1, Payload::params(0))
}

/// With so many capabilities in a list.
fn naming(mut payload: Payload, caps: &[Cap]) -> Payload {
    let caps: Vec<_> = caps.iter().copied().map(Some).collect();
    let list = |content: capnp::any_pointer::Builder<'_>| {
        let mut list: capnp::any_pointer_list::Builder<'_> = content.initn_as(caps.len() as u32);
        for index in 0..caps.len() {
            list.reborrow().get(index as u32).set_as_capability(Slot(index).hook());
        }
    };
    payload.build(&caps, list).unwrap();
    payload
}

#[test]
fn capabilities_are_named_by_where_they_live_and_promises_by_what_becomes_of_them() {
    let mut peer = served();
    peer.send(&call_with(1, &[Theirs::Hosted(5), Theirs::Promise(6)], false));
    let (asked, params) = only_call(&mut peer);
    let [hosted, promised] = [0, 1].map(|index| params.caps()[index].unwrap());
    let theirs = peer.vat.bootstrap(peer.conn);
    let ours = call(&mut peer, theirs);
    let part = peer.vat.pipeline(ours, &[3]);
    let object = peer.vat.object(ObjectId(7));
    let [first, second] = [peer.vat.promise(), peer.vat.promise()];
    let broken = peer.vat.broken(Exception::failed("gone"));
    let all = [hosted, promised, part, object, first, second, broken, object];
    let is_promise = all.map(|cap| peer.vat.is_promise(cap));
    assert_eq!(is_promise, [false, true, true, false, true, true, false, false]);
    let all = all.map(|cap| peer.vat.retain(cap));
    peer.vat.reply(asked, naming(Payload::results(0), &all));
    let named =
        "yours 5, yours 6, answer 1 [3], hosted 1, promise 2, promise 3, promise 4, hosted 1";
    assert_eq!(
        spoken(&peer.output()),
        [
            "bootstrap 0",
            "call 1 on answer 0 []: []",
            &format!("return 1: results [{named}]"),
            "resolve 4: gone",
        ]
    );

    peer.vat.watch(first);
    peer.vat.resolve(first, object);
    peer.vat.resolve(first, hosted);
    assert_eq!(spoken(&peer.output()), ["resolve 2: hosted 1"], "once, and as the first says");
    let told: Vec<_> = std::iter::from_fn(|| peer.vat.poll_event()).collect();
    assert!(matches!(told[..], [Event::Resolved(cap)] if cap == first), "{told:?}");
    assert!(!peer.vat.is_promise(first));
    peer.vat.reject(second, Exception::failed("no"));
    assert_eq!(spoken(&peer.output()), ["resolve 3: no"]);
    assert!(peer.vat.poll_event().is_none(), "it was not watched");
    // What is settled is named as what it is.
    peer.send(&call_with(2, &[], false));
    let (asked, _) = only_call(&mut peer);
    let to_theirs = peer.vat.promise();
    let caps = [first, to_theirs].map(|cap| peer.vat.retain(cap));
    peer.vat.reply(asked, naming(Payload::results(0), &caps));
    peer.vat.resolve(to_theirs, promised);
    assert_eq!(
        spoken(&peer.output()),
        ["return 2: results [hosted 1, promise 5]", "resolve 5: yours 6"]
    );
}

#[test]
fn what_the_application_lets_go_of_is_released() {
    let mut peer = served();
    peer.send(&call_with(1, &[Theirs::Hosted(5), Theirs::Hosted(5), Theirs::Promise(6)], false));
    let (_, params) = only_call(&mut peer);
    assert!(peer.output().is_empty());
    peer.vat.release_payload(params);
    let mut said = spoken(&peer.output());
    said.sort();
    assert_eq!(said, ["release 5 x2", "release 6 x1"]);
    assert_eq!(peer.vat.table_sizes(peer.conn).imports, 0);
}

/// The peer takes the results from itself, where its call is answered by a call of its own.
#[test]
fn a_tail_call_to_the_caller_sends_no_results() {
    let mut peer = served();
    peer.send(&call_with(1, &[Theirs::Hosted(5)], false));
    let (asked, params) = only_call(&mut peer);
    let own = params.caps()[0].unwrap();
    call(&mut peer, own);
    assert_eq!(spoken(&peer.output()), ["call 0 on import 5: []"], "a call as any");
    peer.vat.tail_call(asked, own, 1, 1, Payload::params(0));
    assert_eq!(spoken(&peer.output()), ["call 1 on import 5: [], to yourself", "return 1: take 1"]);
    peer.send(&build(|message| {
        let mut return_ = message.init_return();
        return_.set_answer_id(1);
        return_.set_results_sent_elsewhere(());
    }));
    peer.send(&finish(1));
    assert_eq!(spoken(&peer.output()), ["finish 1, releasing"]);

    // Where the peer wants to take them from here itself, it gets them here.
    peer.send(&call_with(3, &[], true));
    let (asked, _) = peer.asked().pop().unwrap();
    peer.vat.tail_call(asked, own, 1, 1, Payload::params(0));
    assert_eq!(spoken(&peer.output()), ["call 1 on import 5: []"]);
    peer.send(&results(1, &[]));
    assert_eq!(spoken(&peer.output()), ["finish 1", "return 3: elsewhere"]);

    // A tail call of a tail call ends in one as well, and one to somebody else is a call.
    peer.send(&call_with(4, &[], false));
    let (asked, _) = peer.asked().pop().unwrap();
    let object = peer.vat.object(ObjectId(8));
    peer.vat.tail_call(asked, object, 1, 1, Payload::params(0));
    let (inner, _) = peer.asked().pop().unwrap();
    let other = peer.vat.connect(None);
    let far = peer.vat.bootstrap(other);
    peer.vat.tail_call(inner, far, 1, 1, Payload::params(0));
    assert!(peer.output().is_empty());
    let mut buffer = [0; 4096];
    let count = peer.vat.poll_transmit(NOW, other, &mut buffer);
    assert_eq!(spoken(&buffer[..count]), ["bootstrap 0", "call 1 on answer 0 []: []"]);
}

/// Such a call is answered: it weighs no more, and makes room for others.
#[test]
fn a_tail_call_to_the_caller_makes_room() {
    let mut peer = Peer::new(Limits { answers_max: 1, ..Limits::default() });
    peer.send(&bootstrap(0));
    let theirs = peer.vat.bootstrap(peer.conn);
    peer.send(&peer::call_with(1, 0, &[], 20_000));
    let (asked, params) = only_call(&mut peer);
    drop(params);
    let weighed = peer.vat.held_bytes(peer.conn);
    peer.vat.tail_call(asked, theirs, 1, 1, Payload::params(0));
    assert!(peer.vat.held_bytes(peer.conn) < weighed - 150_000);
    // As it owes something, it has twice the room.
    (2..6).for_each(|question| peer.send(&call_with(question, &[], false)));
    assert_eq!(peer.asked().len(), 2);
}

#[test]
fn two_calls_may_take_one_result_and_either_may_go() {
    let mut peer = served();
    let theirs = peer.vat.bootstrap(peer.conn);
    let [first, second, third] = [0; 3].map(|_| call(&mut peer, theirs));
    peer.send(&call_with(7, &[], true));
    let (asked, _) = only_call(&mut peer);
    for question in 1..=3 {
        peer.send(&take(question, 7));
    }
    peer.vat.release_call(second);
    peer.vat.reply(asked, Payload::results(0));
    for call in [first, third] {
        assert!(matches!(peer.vat.result(call), Some(Ok(_))));
    }
    assert!(peer.vat.result(second).is_none());
}

/// Calls to a part of such a result are on their way back, and who asks for that part again stays behind them.
#[test]
fn parts_of_a_result_that_is_taken_keep_their_own_order() {
    let mut peer = served();
    let theirs = peer.vat.bootstrap(peer.conn);
    let outer = call(&mut peer, theirs);
    let part = peer.vat.pipeline(outer, &[0]);
    call(&mut peer, part);
    peer.send(&call_with(7, &[], true));
    only_call(&mut peer);
    peer.send(&take(1, 7));
    assert_eq!(peer.vat.pipeline(outer, &[0]), part);
    assert_ne!(peer.vat.pipeline(outer, &[1]), part);
}

#[test]
fn results_that_go_elsewhere_unasked_are_refused() {
    let mut peer = served();
    peer.vat.bootstrap(peer.conn);
    peer.output();
    peer.send(&build(|message| message.init_return().set_results_sent_elsewhere(())));
    assert_eq!(spoken(&peer.output()), ["abort: results sent elsewhere unasked"]);
}

fn take(question: u32, from: u32) -> Vec<u8> {
    build(|message| {
        let mut return_ = message.init_return();
        return_.set_answer_id(question);
        return_.set_take_from_other_question(from);
    })
}

/// Two parts of a result turn out to be the same object of ours, after calls to both were sent: they come back to us
/// before what is called since.
#[test]
fn a_part_that_is_ours_waits_for_all_calls_under_way_to_it() {
    let mut peer = served();
    let theirs = peer.vat.bootstrap(peer.conn);
    let outer = call(&mut peer, theirs);
    let parts = [0, 1, 2].map(|field| peer.vat.pipeline(outer, &[field]));
    let early = [call(&mut peer, parts[0]), call(&mut peer, parts[1])];
    peer.output();
    peer.send(&results(1, &[Theirs::Yours(0), Theirs::Hosted(9)]));
    assert_eq!(
        spoken(&peer.output()),
        [
            "disembargo request 0 on answer 1 [0]",
            "disembargo request 1 on answer 1 [1]",
            "finish 1",
        ]
    );
    let results = peer.vat.result(outer).unwrap().unwrap();
    let of_results = results.caps()[0].unwrap();
    for cap in [parts[0], parts[1], of_results] {
        call(&mut peer, cap);
    }
    for embargo in 0..2 {
        assert!(peer.asked().is_empty(), "{embargo} of two came back");
        peer.send(&disembargo(|mut d| {
            d.reborrow().init_target().set_imported_cap(0);
            d.get_context().set_receiver_loopback(embargo);
        }));
    }
    assert_eq!(peer.asked().len(), 3);
    assert!(peer.output().is_empty());
    assert!(early.iter().all(|call| peer.vat.result(*call).is_none()));
    assert_eq!(peer.vat.table_sizes(peer.conn).embargoes, 0);
}

/// What was not called has nothing to wait for: no embargo on a part, nor on a promise that resolves.
#[test]
fn what_was_not_called_is_ours_at_once() {
    let mut peer = served();
    let theirs = peer.vat.bootstrap(peer.conn);
    let outer = call(&mut peer, theirs);
    let dropped = peer.vat.pipeline(outer, &[0]);
    peer.vat.release(dropped);
    let part = peer.vat.pipeline(outer, &[0]);
    let [called, elsewhere] = [1, 2].map(|field| peer.vat.pipeline(outer, &[field]));
    call(&mut peer, called);
    call(&mut peer, elsewhere);
    peer.output();
    peer.send(&results(1, &[Theirs::Yours(0), Theirs::Hosted(9)]));
    assert_eq!(spoken(&peer.output()), ["disembargo request 0 on answer 1 [1]", "finish 1"]);
    call(&mut peer, elsewhere);
    assert_eq!(spoken(&peer.output()).len(), 1, "called where it lives");
    call(&mut peer, part);
    assert_eq!(peer.asked().len(), 1);

    peer.send(&call_with(
        1,
        &[Theirs::Promise(20), Theirs::Promise(21), Theirs::Promise(22)],
        false,
    ));
    let (_, params) = only_call(&mut peer);
    let [unused, used, elsewhere] = [0, 1, 2].map(|index| params.caps()[index].unwrap());
    call(&mut peer, used);
    call(&mut peer, elsewhere);
    peer.output();
    peer.send(&[resolve(20, 0), resolve(21, 0), resolve_to_theirs(22, 30)].concat());
    assert_eq!(
        spoken(&peer.output()),
        ["release 20 x1", "disembargo request 1 on import 21", "release 21 x1", "release 22 x1",]
    );
    call(&mut peer, unused);
    assert_eq!(peer.asked().len(), 1);
    call(&mut peer, used);
    assert!(peer.asked().is_empty());
    call(&mut peer, elsewhere);
    assert_eq!(spoken(&peer.output()).len(), 1, "called where it lives");
}

fn resolve_to_theirs(promise: u32, export: u32) -> Vec<u8> {
    build(|message| {
        let mut resolve = message.init_resolve();
        resolve.set_promise_id(promise);
        resolve.init_cap().set_sender_hosted(export);
    })
}

/// Calls that wait for a disembargo fail when it cannot come any more.
#[test]
fn what_is_under_embargo_breaks_with_its_connection() {
    let mut peer = served();
    let theirs = peer.vat.bootstrap(peer.conn);
    let outer = call(&mut peer, theirs);
    let part = peer.vat.pipeline(outer, &[0]);
    call(&mut peer, part);
    peer.send(&results(1, &[Theirs::Yours(0)]));
    let waiting = call(&mut peer, part);
    assert!(peer.vat.result(waiting).is_none());
    peer.vat.handle_loss(peer.conn, Exception::disconnected("cut"));
    assert_eq!(peer.vat.result(waiting).unwrap().err(), Some(Exception::disconnected("cut")));
    let after = call(&mut peer, part);
    assert_eq!(peer.vat.result(after).unwrap().err(), Some(Exception::disconnected("cut")));
    assert!(peer.asked().is_empty());
}

/// The answer to a disembargo names what it was for, and nothing of another peer's.
#[test]
fn a_disembargo_comes_back_with_its_target() {
    let mut peer = served();
    peer.send(&call_with(1, &[Theirs::Hosted(5)], false));
    let (asked, params) = only_call(&mut peer);
    let hosted = params.caps()[0].unwrap();
    let other = peer.vat.connect(None);
    let far = peer.vat.bootstrap(other);
    let outer = peer.vat.call(far, 1, 1, Payload::params(0));
    let far_part = peer.vat.pipeline(outer, &[4]);
    let promise = peer.vat.promise();
    let caps = [promise, far_part].map(|cap| peer.vat.retain(cap));
    let mut results = Payload::results(0);
    let write = |content: capnp::any_pointer::Builder<'_>| {
        let mut probe: probe::Builder<'_> = content.init_as();
        probe.reborrow().init_a().set_as_capability(Slot(0).hook());
        probe.init_b().set_as_capability(Slot(1).hook());
    };
    results.build(&caps.map(Some), write).unwrap();
    peer.vat.reply(asked, results);
    peer.vat.resolve(promise, hosted);
    assert_eq!(
        spoken(&peer.output()),
        ["return 1: results [promise 1, promise 2]", "resolve 1: yours 5"]
    );
    for (embargo, path) in [(70, 0), (71, 1)] {
        peer.send(&disembargo(|mut d| {
            let mut answer = d.reborrow().init_target().init_promised_answer();
            answer.set_question_id(1);
            answer.init_transform(1).get(0).set_get_pointer_field(path);
            d.get_context().set_sender_loopback(embargo);
        }));
    }
    assert_eq!(
        spoken(&peer.output()),
        ["disembargo reply 70 on import 5", "disembargo reply 71 on import 0"]
    );
}

/// A disembargo of the peer's is behind calls that wait for one of ours, but not behind a promise.
#[test]
fn a_disembargo_waits_behind_an_embargo() {
    let mut peer = served();
    let theirs = peer.vat.bootstrap(peer.conn);
    let outer = call(&mut peer, theirs);
    let part = peer.vat.pipeline(outer, &[0]);
    call(&mut peer, part);
    let promise = peer.vat.promise();
    for (question, cap) in [(1, part), (2, promise)] {
        peer.send(&call_with(question, &[], false));
        let (asked, _) = only_call(&mut peer);
        let mut results = Payload::results(0);
        let write = |mut root: capnp::any_pointer::Builder<'_>| {
            root.set_as_capability(Slot(0).hook());
        };
        let cap = peer.vat.retain(cap);
        results.build(&[Some(cap)], write).unwrap();
        peer.vat.reply(asked, results);
    }
    peer.send(&results(1, &[Theirs::Yours(0)]));
    peer.output();
    for question in [1, 2] {
        peer.send(&disembargo(|mut d| {
            d.reborrow().init_target().init_promised_answer().set_question_id(question);
            d.get_context().set_sender_loopback(70 + question);
        }));
    }
    assert_eq!(spoken(&peer.output()), ["disembargo reply 72 on import 0"]);
    peer.send(&disembargo(|mut d| {
        d.reborrow().init_target().set_imported_cap(0);
        d.get_context().set_receiver_loopback(0);
    }));
    assert_eq!(spoken(&peer.output())[0], "disembargo reply 71 on import 0");
}

/// However long the results, what is called on them is found in them once they are sent.
#[test]
fn calls_on_long_results_arrive() {
    let mut peer = served();
    peer.send(&call_with(1, &[], false));
    let (asked, _) = only_call(&mut peer);
    let object = peer.vat.object(ObjectId(7));
    let mut results = Payload::results(5_000);
    let write = |content: capnp::any_pointer::Builder<'_>| {
        let mut probe: probe::Builder<'_> = content.init_as();
        probe.reborrow().init_a().set_as_capability(Slot(0).hook());
        let _: capnp::data::Builder<'_> = probe.init_b().initn_as(40_000);
    };
    results.build(&[Some(object)], write).unwrap();
    peer.vat.reply(asked, results);
    peer.send(&call_on_answer(2, 1, &[0]));
    let called = std::iter::from_fn(|| peer.vat.poll_event()).next();
    assert!(matches!(called, Some(Event::Call { object: ObjectId(7), .. })), "{called:?}");
}

/// Results as long as these leave from where they were built, but for their table and root.
#[test]
fn long_results_are_not_copied() {
    for (bytes, first) in [(10_000, None), (20_000, Some(16))] {
        let mut peer = served();
        peer.send(&call_with(1, &[], false));
        let (asked, _) = only_call(&mut peer);
        let mut results = Payload::results(bytes / 8 + 1);
        results
            .build(&[], |content| {
                let _: capnp::data::Builder<'_> = content.initn_as(bytes);
            })
            .unwrap();
        peer.vat.reply(asked, results);
        let mut pieces = Vec::new();
        while peer.vat.has_output(peer.conn) {
            pieces.push(peer.vat.transmit_with(NOW, peer.conn, <[u8]>::len));
        }
        assert_eq!(pieces.len(), 1 + usize::from(first.is_some()));
        assert!(first.is_none_or(|first| pieces[0] == first), "{pieces:?}");
    }
}

/// Promises that would stand for themselves break, by whatever way round.
#[test]
fn a_promise_that_resolves_to_itself_breaks() {
    let itself = Some(Exception::failed("a promise resolved to itself"));
    let mut vat = Vat::new(Limits::default());
    for length in 1..4 {
        let promises: Vec<_> = (0..length).map(|_| vat.promise()).collect();
        for (at, promise) in promises.iter().enumerate() {
            let next = vat.retain(promises[(at + 1) % length]);
            vat.resolve(*promise, next);
        }
        for promise in promises {
            assert_eq!(vat.broken_by(promise), itself);
            vat.release(promise);
        }
    }
    assert_eq!(vat.live(), (0, 0));

    // By a part of a peer's result, which waits for its disembargo.
    let mut peer = Peer::new(Limits::default());
    let promise = peer.vat.promise();
    let kept = peer.vat.retain(promise);
    peer.conn = peer.vat.connect(Some(promise));
    peer.send(&bootstrap(0));
    let theirs = peer.vat.bootstrap(peer.conn);
    let outer = call(&mut peer, theirs);
    let part = peer.vat.pipeline(outer, &[0]);
    call(&mut peer, part);
    peer.send(&results(1, &[Theirs::Yours(0)]));
    peer.vat.resolve(kept, part);
    assert_eq!(peer.vat.broken_by(kept), itself);
}
