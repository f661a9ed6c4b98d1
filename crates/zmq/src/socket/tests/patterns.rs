//! Patterns where peers leave, answer at odd times, or send what does not suit.

use super::stream::streaming;
use super::sums::{carry, in_the_middle, raw};
use super::*;

#[test]
fn whether_something_can_be_received_is_known() {
    let mut net = Net::new(100);
    let (req, rep) = (net.socket(SocketType::Req), net.socket(SocketType::Rep));
    let wire = net.join(req, rep);
    assert!(!net.sockets[req].can_recv() && !net.sockets[rep].can_recv());
    net.send(req, &["?"]).unwrap();
    assert!(net.sockets[rep].can_recv());
    net.expect(rep, &["?"]);
    assert!(!net.sockets[rep].can_recv());
    // The loss, too.
    net.cut(wire);
    assert!(net.sockets[req].can_recv());
    assert_eq!(net.recv(req), Err(RecvError::PeerLost));
    assert!(!net.sockets[req].can_recv());
}

#[test]
fn who_is_received_from_again_and_sent_nothing_has_nothing() {
    let mut net = Net::new(100);
    let (push, pull) = (net.socket(SocketType::Push), net.socket(SocketType::Pull));
    let wire = net.join(push, pull);
    let peer = net.wires[wire][1].1;
    net.events(pull);
    net.sockets[pull].hold_back(peer, true);
    net.sockets[pull].hold_back(peer, false);
    assert_eq!((net.sockets[pull].can_recv(), net.events(pull)), (false, vec![]));
}

#[test]
fn a_req_that_asked_nothing_loses_nothing_and_a_reply_that_came_is_there() {
    let mut net = Net::new(100);
    let (req, rep) = (net.socket(SocketType::Req), net.socket(SocketType::Rep));
    let wire = net.join(req, rep);
    net.events(req);
    net.cut(wire);
    assert_eq!(net.events(req), []);
    assert_eq!(net.recv(req), Err(RecvError::OutOfTurn));
    let wire = net.join(req, rep);
    net.send(req, &["?"]).unwrap();
    net.expect(rep, &["?"]);
    net.send(rep, &["!"]).unwrap();
    net.cut(wire);
    net.expect(req, &["!"]);
    assert_eq!(net.recv(req), Err(RecvError::OutOfTurn));
}

#[test]
fn a_dealer_without_room_to_send_receives() {
    let mut net = Net::new(100);
    let options = Options { send_messages_max: 1, ..Options::new(SocketType::Dealer) };
    let (dealer, other) = (net.with(options), net.socket(SocketType::Dealer));
    net.join(dealer, other);
    net.send(other, &["in"]).unwrap();
    net.sockets[dealer].send(message(&["out"])).unwrap();
    assert_eq!(net.sockets[dealer].send(message(&["out"])).unwrap_err().why, Refusal::Full);
    assert_eq!(net.sockets[dealer].recv(), Ok(message(&["in"])));
}

/// The peer is there until all that it sent is received, its name is free at once.
#[test]
fn a_name_is_free_when_its_peer_has_left_and_stays_on_what_it_sent() {
    for router_holds in [false, true] {
        let mut net = Net::new(100);
        let router = net.with(Options {
            router_mandatory: true,
            router_holds,
            ..Options::new(SocketType::Router)
        });
        let mut named = Options::new(SocketType::Dealer);
        named.config.identity = "anna".into();
        let (old, new) = (net.with(named.clone()), net.with(named));
        let wire = net.join(router, old);
        net.send(old, &["one"]).unwrap();
        net.send(old, &["two"]).unwrap();
        net.cut(wire);
        assert_eq!(net.send(router, &["anna", "x"]), Err(Refusal::Unroutable));
        net.join(router, new);
        net.send(router, &["anna", "y"]).unwrap();
        net.expect(new, &["y"]);
        net.expect(router, &["anna", "one"]);
        net.expect(router, &["anna", "two"]);
        // Its end takes the name from nobody.
        net.send(router, &["anna", "z"]).unwrap();
        net.expect(new, &["z"]);
    }
}

#[test]
fn a_router_that_holds_queues_nothing_behind_a_part_that_lacks_bytes() {
    let mut net = Net::new(100);
    let router = net.with(Options {
        router_mandatory: true,
        router_holds: true,
        ..Options::new(SocketType::Router)
    });
    let mut named = Options::new(SocketType::Dealer);
    named.config.identity = "anna".into();
    let dealer = net.with(named);
    let wire = net.join(router, dealer);
    let peer = net.wires[wire][0].1;
    assert_eq!(net.sockets[router].send_start(message(&["anna", "ab"]), 2), Ok(Some(peer)));
    assert_eq!(net.send(router, &["anna", "x"]), Err(Refusal::Full));
    net.sockets[router].send_piece(peer, "cd".into()).unwrap();
    net.send(router, &["anna", "x"]).unwrap();
    net.expect(dealer, &["abcd"]);
    net.expect(dealer, &["x"]);
}

#[test]
fn rfc29_what_an_xsub_takes_back_nobody_is_asked_for_any_more() {
    let mut net = Net::new(100);
    let xsub = net.socket(SocketType::XSub);
    let xpubs = [(); 2].map(|()| net.socket(SocketType::XPub));
    net.join(xsub, xpubs[0]);
    for text in ["\u{1}news", "\u{1}sport", "\u{0}news"] {
        net.send(xsub, &[text]).unwrap();
        net.expect(xpubs[0], &[text]);
    }
    // Of two parts it is a message.
    let user = &["\u{0}sport", "parts"];
    net.send(xsub, user).unwrap();
    net.expect(xpubs[0], user);
    // Who comes later hears of what is left.
    net.join(xsub, xpubs[1]);
    net.expect(xpubs[1], &["\u{1}sport"]);
    assert_eq!(net.recv(xpubs[1]), Err(RecvError::Empty));
}

#[test]
fn a_message_that_streams_and_is_sent_away_in_the_middle_is_lost_and_that_is_said() {
    let (mut socket, _, peer) = in_the_middle();
    assert!(socket.recv_from().unwrap().part_left > 0);
    let mut turns = Turns::default();
    while turns.more(socket.poll_event().is_some()) {}
    socket.disconnect(peer);
    assert_eq!(socket.poll_event(), Some(SocketEvent::Recv));
    assert_eq!(socket.recv_chunk(peer), Err(RecvError::PeerLost));
}

/// RFC 28: a REP discards what has no envelope; of what streams, all of it and nothing else.
#[test]
fn rfc28_what_is_no_request_is_discarded_whole_and_the_next_one_is_not() {
    let long = |text: &str| text.repeat(500);
    for bad in [vec!["x"], vec!["no", "delimiter"], vec!["no", &*long("n")], vec![&*long("n")]] {
        let mut socket = Socket::new(streaming(SocketType::Rep));
        let (mut dealer, peer) = raw(&mut socket, SocketType::Dealer);
        dealer.send(message(&bad)).unwrap();
        dealer.send(message(&["", &long("y")])).unwrap();
        // In small pieces, so that all long parts stream.
        let (mut turns, mut buf) = (Turns::default(), [0; 60]);
        while turns.more(dealer.has_output()) {
            let count = dealer.poll_transmit(ZERO, &mut buf);
            let mut rest = &buf[..count];
            while turns.more(!rest.is_empty()) {
                rest = &rest[socket.handle_input(ZERO, peer, rest).unwrap()..];
            }
        }
        let Received { message, mut part_left, .. } = socket.recv_from().unwrap();
        let mut body = message.last().to_vec();
        while turns.more(part_left > 0) {
            let chunk = socket.recv_chunk(peer).unwrap();
            body.extend_from_slice(&chunk.bytes);
            part_left = chunk.part_left;
        }
        assert_eq!(body, long("y").as_bytes(), "{bad:?}");
    }
}

#[test]
fn parts_over_the_bound_stream_when_so_much_has_come_and_others_come_whole() {
    for len in [99, 100, 101, 300] {
        for step in [1, 60, 10_000] {
            let mut net = Net::new(step);
            let options = streaming(SocketType::Pull);
            let (push, pull) = (net.socket(SocketType::Push), net.with(options));
            net.join(push, pull);
            net.send(push, &[&"x".repeat(len)]).unwrap();
            net.send(push, &["next"]).unwrap();
            let Received { peer, message, mut part_left } = net.sockets[pull].recv_from().unwrap();
            let start = message.body_bytes();
            assert!(start >= len.min(100), "{len} {step}: {start}");
            // One that is whole when so much has come does not stream.
            let streams = matches!((len, step), (101 | 300, 1) | (300, 60));
            assert_eq!((part_left > 0, start as u64 + part_left), (streams, len as u64));
            let mut turns = Turns::default();
            while turns.more(part_left > 0) {
                part_left = net.sockets[pull].recv_chunk(peer).unwrap().part_left;
            }
            let next = net.sockets[pull].recv_from().unwrap();
            assert_eq!((next.message, next.part_left), (Message::new("next"), 0));
        }
    }
}

#[test]
fn a_part_that_is_not_to_stream_is_refused_by_its_length_and_a_longer_one_by_its_start() {
    let mut options = streaming(SocketType::Pull);
    options.config.limits.message_bytes_max = 90;
    for (len, taken, outcome) in [
        (90, 1, Ok(())),
        (91, 1, Err(Error::MessageTooLong)),
        (100, 1, Err(Error::MessageTooLong)),
        (101, 90, Ok(())),
        (101, 91, Err(Error::MessageTooLong)),
    ] {
        let mut socket = Socket::new(options.clone());
        let (mut push, peer) = raw(&mut socket, SocketType::Push);
        push.begin_part(len, false).unwrap();
        push.send_piece(vec![7; taken]).unwrap();
        assert_eq!(carry(&mut push, &mut socket, peer), outcome, "{taken} of {len}");
    }
}
