//! Calls that wait for their own results, and for each other's: they fail, and nothing of them is left. In one vat, since
//! a peer can bring about no more by resolving its promises to parts of its own calls' results.

use rpc::{CallId, Event, Exception, Limits, ObjectId, Payload, Vat};

fn call(vat: &mut Vat, target: rpc::Cap) -> CallId {
    vat.call(target, 1, 0, Payload::params(0))
}

/// The calls that have ended, all of them in failure.
fn failed(vat: &mut Vat) -> Vec<CallId> {
    let mut calls = Vec::new();
    while let Some(event) = vat.poll_event() {
        let Event::Returned(call) = event else { panic!("{event:?}") };
        assert!(matches!(vat.result(call), Some(Err(_))), "{call:?}");
        calls.push(call);
    }
    calls
}

/// `count` calls, each at a promise that is a part of the next one's result, and the last at one of the first's.
fn circle(count: usize) {
    let mut vat = Vat::new(Limits::default());
    let promises: Vec<_> = (0..count).map(|_| vat.promise()).collect();
    let calls: Vec<_> = promises.iter().map(|promise| call(&mut vat, *promise)).collect();
    for (at, promise) in promises.iter().enumerate() {
        assert!(failed(&mut vat).is_empty(), "before the circle is closed");
        let part = vat.pipeline(calls[(at + 1) % count], &[0]);
        vat.resolve(*promise, part);
    }
    let mut ended = failed(&mut vat);
    ended.sort();
    assert_eq!(ended, calls);
    promises.into_iter().for_each(|promise| vat.release(promise));
    calls.into_iter().for_each(|call| vat.release_call(call));
    assert_eq!(vat.live(), (0, 0));
}

#[test]
fn calls_that_wait_for_each_other_fail() {
    for count in [1, 2, 3, 10] {
        circle(count);
    }
}

/// As a peer brings about that has its own call's result taken for the answer to ours.
#[test]
fn a_call_that_is_answered_by_a_call_of_a_part_of_its_result_fails() {
    let mut vat = Vat::new(Limits::default());
    let object = vat.object(ObjectId(1));
    let first = call(&mut vat, object);
    let part = vat.pipeline(first, &[0]);
    let Some(Event::Call { call: received, params, .. }) = vat.poll_event() else {
        panic!("it arrives")
    };
    vat.release_payload(params);
    vat.tail_call(received, part, 1, 0, Payload::params(0));
    assert_eq!(failed(&mut vat), [first]);
    vat.release(part);
    vat.release(object);
    vat.release_call(first);
    assert!(matches!(vat.poll_event(), Some(Event::Released(ObjectId(1)))));
    assert_eq!(vat.live(), (0, 0));
}

/// Each new call looks at all before it, so that their number is bounded.
#[test]
fn a_thousand_calls_may_wait_for_each_other_in_a_row() {
    let mut vat = Vat::new(Limits::default());
    let promise = vat.promise();
    let (mut calls, mut parts) = (Vec::new(), vec![promise]);
    for _ in 0..1000 {
        let next = call(&mut vat, parts[parts.len() - 1]);
        parts.push(vat.pipeline(next, &[0]));
        calls.push(next);
    }
    assert!(failed(&mut vat).is_empty());
    let last = call(&mut vat, parts[parts.len() - 1]);
    assert_eq!(failed(&mut vat), [last]);
    let broken = vat.broken(Exception::failed("as chosen"));
    vat.resolve(promise, broken);
    assert_eq!(failed(&mut vat), calls);
    parts.into_iter().for_each(|part| vat.release(part));
    calls.into_iter().chain([last]).for_each(|call| vat.release_call(call));
    assert_eq!(vat.live(), (0, 0));
}
