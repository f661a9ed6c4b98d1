//! What a peer may make the vat hold, at each limit and one beyond; and what it may still do while memory is short.

mod peer;

use peer::{NOW, Peer, Said};
use rpc::slot::Slot;
use rpc::{Cap, Kind, Limits, ObjectId, Payload, Vat};

fn served(limits: Limits) -> Peer {
    let mut peer = Peer::new(limits);
    peer.send(&peer::bootstrap(0));
    peer.said();
    peer
}

fn results(bytes: u32) -> Payload {
    let mut results = Payload::results(bytes / 8 + 1);
    let write = |content: capnp::any_pointer::Builder<'_>| {
        let _: capnp::data::Builder<'_> = content.initn_as(bytes);
    };
    results.build(&[], write).unwrap();
    results
}

fn with_cap(cap: Cap) -> Payload {
    let mut results = Payload::results(0);
    let write = |mut root: capnp::any_pointer::Builder<'_>| {
        root.set_as_capability(Slot(0).hook());
    };
    results.build(&[Some(cap)], write).unwrap();
    results
}

fn refused(question: u32, reason: &str) -> Said {
    let (kind, reason) = (Kind::Overloaded, reason.to_owned());
    Said::Failed { question, kind, reason, finish_needed: false }
}

#[test]
fn while_memory_is_short_one_call_is_at_work_and_the_next_waits() {
    let mut peer = served(Limits::default());
    peer.vat.refuse_calls(peer.conn, true);
    peer.send(&peer::call_with(1, 0, &[], 0));
    let weighed = peer.vat.held_bytes(peer.conn);
    peer.send(&peer::call_with(2, 0, &[], 100_000));
    let (first, _) = peer.asked().pop().expect("the first call");
    assert!(!peer.vat.wants_input(peer.conn));
    let grown = peer.vat.held_bytes(peer.conn) - weighed;
    assert!((800_000..801_000).contains(&grown), "a call that waits: {grown}");
    let text = format!("{:?}", peer.vat);
    assert!(text.contains("held: Some(Held { message: Call("), "{text}");
    assert!(text.len() < 10_000, "without what it brings");
    peer.vat.refuse_calls(peer.conn, false);
    assert!(peer.vat.wants_input(peer.conn), "there is memory again");
    assert_eq!(peer.asked().len(), 1);
    peer.vat.refuse_calls(peer.conn, true);
    peer.send(&peer::call_with(3, 0, &[], 0));
    peer.vat.reply(first, Payload::results(0));
    assert!(!peer.vat.wants_input(peer.conn), "one is at work still");
}

#[test]
fn while_memory_is_short_a_peer_that_owes_something_is_refused() {
    let mut peer = served(Limits::default());
    let _theirs = peer.vat.bootstrap(peer.conn);
    peer.vat.refuse_calls(peer.conn, true);
    peer.send(&peer::call_with(1, 0, &[], 0));
    peer.said();
    assert_eq!(peer.asked().len(), 1);
    peer.send(&[peer::call_with(2, 0, &[], 0), peer::bootstrap(3)].concat());
    assert_eq!(peer.said(), [refused(2, "memory is short"), refused(3, "memory is short")]);
    assert!(peer.vat.wants_input(peer.conn));
}

/// What a long message needs still is not read while memory is short, unless something depends on it.
#[test]
fn what_must_be_read_although_memory_is_short() {
    let long = |words: u32| [&[0; 4][..], &words.to_le_bytes(), &[1; 8 * 512]].concat();
    // Of the rest of a message as much is reserved as fifteen times what is here.
    for (words, needed) in [(8_191, true), (8_192, false), (100_000, false)] {
        let mut peer = served(Limits::default());
        peer.send(&peer::finish(0));
        assert!(peer.vat.needs_input(peer.conn));
        peer.send(&long(words));
        assert_eq!(peer.vat.needs_input(peer.conn), needed, "{words} words");
        let _theirs = peer.vat.bootstrap(peer.conn);
        assert!(peer.vat.needs_input(peer.conn), "what it owes may come by it");
        peer.vat.handle_end(peer.conn);
    }
    let mut peer = served(Limits::default());
    peer.send(&long(100_000));
    assert!(peer.vat.needs_input(peer.conn), "a finish of what is kept for it may come by it");
    peer.vat.forget(peer.conn);
    assert!(!peer.vat.needs_input(peer.conn));
}

/// Results and those before them that the peer left unread have three quarters of the limit; one alone may be as long
/// as it likes. Here each has 1,064 bytes, and its segment table 8.
#[test]
fn results_have_room_up_to_three_quarters_of_what_may_be_unread() {
    for (unsent_bytes_max, replies, failed) in [(2_847, 2, 0), (2_846, 2, 1), (100, 1, 0)] {
        let mut peer = served(Limits { unsent_bytes_max, ..Limits::default() });
        let calls = (1..=replies).map(|question| peer::call_with(question, 0, &[], 0));
        let calls: Vec<_> = calls.collect();
        peer.send(&calls.concat());
        for (call, _) in peer.asked() {
            peer.vat.reply(call, results(1_000));
        }
        assert_eq!(peer.failures().len(), failed, "unsent_bytes_max {unsent_bytes_max}");
    }
}

#[test]
fn exports_max_capabilities_may_be_given_away() {
    let mut peer = served(Limits { exports_max: 2, ..Limits::default() });
    let promise = peer.vat.promise();
    let object = peer.vat.object(ObjectId(7));
    for (question, cap, fits) in [(1, promise, true), (2, object, false)] {
        peer.send(&peer::call_with(question, 0, &[], 0));
        let (call, _) = peer.asked().pop().unwrap();
        let cap = peer.vat.retain(cap);
        peer.vat.reply(call, with_cap(cap));
        match peer.said().pop() {
            Some(Said::Results { .. }) => assert!(fits),
            Some(Said::Failed { kind, reason, .. }) => {
                assert_eq!(
                    (kind, &*reason, fits),
                    (Kind::Overloaded, "exports_max exceeded", false)
                );
            }
            said => panic!("{said:?}"),
        }
    }
    assert_eq!(peer.vat.table_sizes(peer.conn).exports, 2);
}

/// However many there are: others have their turn between them.
#[test]
fn a_peers_messages_are_taken_64_at_a_time() {
    let mut peer = served(Limits::default());
    let calls: Vec<_> = (1..=100).map(|question| peer::call_with(question, 0, &[], 0)).collect();
    let (first, all) = (calls[..64].concat().len(), calls.concat());
    assert_eq!(peer.vat.handle_input(NOW, peer.conn, &all), first);
    assert_eq!(peer.asked().len(), 64);
    assert_eq!(peer.vat.handle_input(NOW, peer.conn, &all[first..]), all.len() - first);
    assert_eq!(peer.asked().len(), 36);
}

#[test]
fn a_connection_that_is_gone_has_nothing() {
    let mut vat = Vat::new(Limits::default());
    let conn = vat.connect(None);
    vat.forget(conn);
    assert_eq!(vat.transmit_with(NOW, conn, |_| panic!("nothing to show")), 0);
    assert!(!vat.has_output(conn) && !vat.wants_input(conn) && vat.is_closed(conn));
    assert_eq!(vat.held_bytes(conn), 0);
}
