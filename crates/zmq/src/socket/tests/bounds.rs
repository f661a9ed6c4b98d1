//! Marks, weights and wake-ups, each at both sides.

use super::*;
use crate::{Authority, CurveClient, CurveServer, Heartbeat, Security, public_key};

const SECOND: Duration = Duration::from_secs(1);

/// All that there is to look after.
fn events(socket: &mut Socket) -> Vec<SocketEvent> {
    core::iter::from_fn(|| socket.poll_event()).collect()
}

/// A socket with one peer that is ready, and the peer's own; the numbers of both, and the first one's name of the other.
fn pair(net: &mut Net, options: Options, theirs: Options) -> (usize, usize, PeerId) {
    let (own, other) = (net.with(options), net.with(theirs));
    let wire = net.join(own, other);
    events(&mut net.sockets[own]);
    events(&mut net.sockets[other]);
    (own, other, net.wires[wire][0].1)
}

fn options(socket_type: SocketType) -> Options {
    Options::new(socket_type)
}

#[test]
fn a_full_inbox_takes_no_more_until_it_is_half_empty() {
    for (bytes_max, bodies, woken_after) in [
        // By their number, ten; each is small.
        (1 << 20, [1; 10], 5),
        (1 << 20, [0; 10], 5),
        // By their bytes: five are left, and the last of them is most.
        (10_000, [1, 1, 1, 1, 1, 1, 1, 1, 1, 9000], 10),
        // Before they are ten; half of the bytes are gone, and some are left.
        (10_000, [6000, 1, 1, 1, 1, 1, 1, 1, 1, 3000], 5),
    ] {
        let mut net = Net::new(100_000);
        let theirs = options(SocketType::Push);
        let (pull, push, peer) = {
            let own = Options {
                receive_messages_max: 10,
                receive_bytes_max: bytes_max,
                ..options(SocketType::Pull)
            };
            pair(&mut net, own, theirs)
        };
        for len in bodies {
            assert!(net.sockets[pull].has_input_room(peer));
            net.sockets[push].send(Message::new(vec![7; len])).unwrap();
            net.run();
        }
        assert!(!net.sockets[pull].has_input_room(peer), "{bodies:?}");
        assert!(net.sockets[pull].can_recv());
        events(&mut net.sockets[pull]);
        for received in 1..=10 {
            net.sockets[pull].recv().unwrap();
            let is_woken = events(&mut net.sockets[pull]).contains(&SocketEvent::Input(peer));
            assert_eq!(is_woken, received == woken_after, "{bodies:?} {received}");
            assert_eq!(net.sockets[pull].has_input_room(peer), received >= woken_after);
        }
        assert!(!net.sockets[pull].can_recv());
    }
}

#[test]
fn an_inbox_for_no_messages_takes_one_at_a_time() {
    let mut net = Net::new(1000);
    let own =
        Options { receive_messages_max: 0, receive_bytes_max: 0, ..options(SocketType::Pull) };
    let (pull, push, peer) = pair(&mut net, own, options(SocketType::Push));
    assert!(net.sockets[pull].has_input_room(peer));
    for text in ["one", "two", ""] {
        net.send(push, &[text]).unwrap();
        assert!(!net.sockets[pull].has_input_room(peer));
        net.expect(pull, &[text]);
    }
}

#[test]
fn nothing_is_taken_from_who_is_gone_or_was_never_there() {
    let mut net = Net::new(1000);
    let (pull, push, peer) = pair(&mut net, options(SocketType::Pull), options(SocketType::Push));
    net.send(push, &["one"]).unwrap();
    net.cut(0);
    assert!(!net.sockets[pull].has_input_room(peer), "its message is still there");
    assert_eq!(net.sockets[pull].ready_peers(), 0);
    net.expect(pull, &["one"]);
    assert!(!net.sockets[pull].has_input_room(peer));
}

#[test]
fn who_is_sent_away_is_no_peer_to_send_to() {
    let mut net = Net::new(1000);
    let (push, _, peer) = pair(&mut net, options(SocketType::Push), options(SocketType::Pull));
    assert_eq!(net.sockets[push].ready_peers(), 1);
    net.sockets[push].disconnect(peer);
    assert_eq!(net.sockets[push].ready_peers(), 0);
    assert_eq!(net.send(push, &["x"]), Err(Refusal::Full));
}

/// What one message more makes its connection hold.
fn weight(socket: &mut Socket, peer: PeerId, message: Message) -> usize {
    let before = socket.peer_held_bytes(peer);
    socket.send(message).unwrap();
    socket.peer_held_bytes(peer) - before
}

/// A peer that takes nothing, of a PUSH.
fn deaf(own: Options) -> (Socket, PeerId) {
    let mut net = Net::new(1000);
    let (push, _, peer) = pair(&mut net, own, options(SocketType::Pull));
    (net.sockets.swap_remove(push), peer)
}

#[test]
fn a_mark_for_bytes_is_reached_and_not_passed() {
    let (mut probe, peer) = deaf(options(SocketType::Push));
    let one = weight(&mut probe, peer, Message::new("x"));
    for (bytes_max, taken) in [(3 * one - 1, 3), (3 * one, 3), (3 * one + 1, 4)] {
        let own = Options { send_bytes_max: bytes_max, ..options(SocketType::Push) };
        let (mut push, _) = deaf(own);
        let sent = (0..10).take_while(|_| push.send(Message::new("x")).is_ok()).count();
        assert_eq!(sent, taken, "{bytes_max}");
    }
    // A piece that comes when the mark is reached waits, too.
    let start = |own: Options| {
        let (mut push, peer) = deaf(own);
        push.send_start(Message::new("x"), 10).unwrap();
        (push.peers.get(peer).unwrap().connection.queued_bytes(), push, peer)
    };
    let (queued, ..) = start(options(SocketType::Push));
    for (bytes_max, expected) in [(queued, Err(Refusal::Full)), (queued + 1, Ok(()))] {
        let own = Options { send_bytes_max: bytes_max, ..options(SocketType::Push) };
        let (_, mut push, peer) = start(own);
        assert_eq!(push.send_piece(peer, "y".into()), expected);
    }
}

#[test]
fn whoever_gives_a_message_in_pieces_is_woken_when_half_of_them_have_gone() {
    let own = Options { send_bytes_max: 10_000, ..options(SocketType::Push) };
    let (mut push, peer) = deaf(own);
    push.send_start(Message::new(""), 1 << 20).unwrap();
    while push.send_piece(peer, vec![7; 1000].into()).is_ok() {}
    events(&mut push);
    let queued = |push: &Socket| push.peers.get(peer).unwrap().connection.queued_bytes();
    let mut woken_at = None;
    for _ in 0..20 {
        push.poll_transmit(ZERO, peer, &mut [0; 500]);
        let is_woken = events(&mut push).contains(&SocketEvent::Send);
        assert_eq!(is_woken, queued(&push) <= 5000, "{}", queued(&push));
        woken_at = woken_at.or(is_woken.then(|| queued(&push)));
    }
    assert!(woken_at.is_some_and(|bytes| bytes > 3000), "{woken_at:?}");
    // Who gives whole messages, and had room all the time, is not.
    let (mut push, peer) = deaf(options(SocketType::Push));
    push.send(Message::new("x")).unwrap();
    events(&mut push);
    push.poll_transmit(ZERO, peer, &mut [0; 500]);
    assert_eq!(events(&mut push), []);
}

#[test]
fn output_is_told_once_and_again_when_64_kib_more_wait() {
    let (mut probe, peer) = deaf(options(SocketType::Push));
    let beside = weight(&mut probe, peer, Message::new("x")) - 1;
    let (mut push, peer) = deaf(options(SocketType::Push));
    for (len, is_told) in [
        (1, true),
        (1, false),
        // Exactly 64 KiB more than when it was told.
        (65_536 - beside - (1 + beside), false),
        (1, true),
        (65_536 - beside, false),
        (1, true),
    ] {
        push.send(Message::new(vec![7; len])).unwrap();
        let expected: &[_] = if is_told { &[SocketEvent::Transmit(peer)] } else { &[] };
        let told: Vec<_> =
            events(&mut push).into_iter().filter(|it| *it != SocketEvent::Send).collect();
        assert_eq!(told, expected, "{len}");
    }
}

#[test]
fn under_curve_a_part_longer_than_the_mark_is_gathered_whole_and_weighed() {
    struct Anybody;
    impl Authority for Anybody {
        fn admits_key(&self, _: &[u8; 32]) -> bool {
            true
        }
    }
    let mut net = Net::new(5000);
    let mut own = Options { send_bytes_max: 1000, ..options(SocketType::Push) };
    let server_public_key = public_key(&[9; 32]);
    own.config.security =
        Security::CurveClient(CurveClient { server_public_key, secret_key: [7; 32] });
    let mut theirs = options(SocketType::Pull);
    let authority = Arc::new(Anybody);
    theirs.config.security = Security::CurveServer(CurveServer { secret_key: [9; 32], authority });
    let (push, pull, peer) = pair(&mut net, own, theirs);
    let before = net.sockets[push].peer_held_bytes(peer);
    net.sockets[push].send_start(Message::new(vec![7; 1000]), 4000).unwrap();
    for _ in 0..4 {
        let held = net.sockets[push].peer_held_bytes(peer) - before;
        assert!(held >= 1000, "{held}");
        net.sockets[push].send_piece(peer, vec![7; 1000].into()).unwrap();
        assert_eq!(net.wires[0][1].2, b"", "none of it goes before it is whole");
    }
    net.run();
    assert_eq!(net.sockets[pull].recv(), Ok(Message::new(vec![7; 5000])));
    assert_eq!(net.sockets[push].peer_held_bytes(peer), before);
}

#[test]
fn a_long_body_is_written_from_where_it_lies() {
    let mut net = Net::new(100);
    let (push, pull, peer) = pair(&mut net, options(SocketType::Push), options(SocketType::Pull));
    let body = Bytes::from(vec![7; 100_000]);
    net.sockets[push].send(Message::new(body.clone())).unwrap();
    let mut header = [0; 9];
    assert_eq!(net.sockets[push].poll_transmit(ZERO, peer, &mut header), 9);
    let long = net.sockets[push].long_output(peer).unwrap();
    assert_eq!((long.as_ptr(), long.len()), (body.as_ptr(), 100_000));
    net.sockets[push].long_output_taken(ZERO, peer, 100_000);
    assert_eq!(net.sockets[push].long_output(peer), None);
    let to = net.wires[0][1].1;
    for bytes in [&header[..], &long] {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[net.sockets[pull].handle_input(ZERO, to, rest).unwrap()..];
        }
    }
    assert_eq!(net.sockets[pull].recv(), Ok(Message::new(body)));
}

#[test]
fn messages_of_a_lost_peer_weigh_until_another_has_them() {
    let mut net = Net::new(1000);
    let (push, pull, _) = pair(&mut net, options(SocketType::Push), options(SocketType::Pull));
    let bodies = [100, 200, 300];
    for len in bodies {
        net.sockets[push].send(Message::new(vec![7; len])).unwrap();
    }
    net.cut(0);
    // A body weighs with what its allocation costs, 32 bytes.
    let left = 3 * (size_of::<Message>() + 32) + 600;
    let socket = &net.sockets[push];
    assert_eq!((socket.left_bytes(), socket.held_bytes()), (left, left));
    assert!(socket.has_unsent());
    net.join(push, pull);
    let socket = &net.sockets[push];
    assert_eq!((socket.left_bytes(), socket.has_unsent()), (0, false));
    for len in bodies {
        assert_eq!(net.sockets[pull].recv(), Ok(Message::new(vec![7; len])));
    }
    net.cut(1);
    assert_eq!(net.sockets[push].held_bytes(), 0);
}

#[test]
fn messages_of_lost_peers_weigh_less_with_each_that_another_takes() {
    let mut net = Net::new(10_000);
    let push = net.with(Options { send_messages_max: 1, ..options(SocketType::Push) });
    for _ in 0..6 {
        let pull = net.socket(SocketType::Pull);
        net.join(push, pull);
    }
    for len in 1..=6 {
        net.sockets[push].send(Message::new(vec![7; 100 * len])).unwrap();
    }
    (0..6).for_each(|wire| net.cut(wire));
    let left = |count: usize, bytes: usize| count * (size_of::<Message>() + 32) + bytes;
    assert_eq!(net.sockets[push].left_bytes(), left(6, 2100));
    // It has room for one; another is under way, and one waits for that.
    let pull = net.with(Options { receive_messages_max: 1, ..options(SocketType::Pull) });
    net.join(push, pull);
    for (len, count, bytes) in [(1, 3, 1500), (2, 2, 1100), (3, 1, 600), (4, 0, 0)] {
        assert_eq!(net.sockets[push].left_bytes(), left(count, bytes), "{len}");
        let received = net.sockets[pull].recv().unwrap();
        assert_eq!(received, Message::new(vec![7; 100 * len]));
        net.run();
    }
}

/// What is left of a peer that sent and went weighs until it is received.
#[test]
fn messages_from_a_lost_peer_weigh_until_they_are_received() {
    let mut net = Net::new(1000);
    let (pull, push, _) = pair(&mut net, options(SocketType::Pull), options(SocketType::Push));
    net.send(push, &["x"]).unwrap();
    assert_eq!(net.sockets[pull].left_bytes(), 0);
    net.cut(0);
    let left = net.sockets[pull].left_bytes();
    assert!(left > 33 && left == net.sockets[pull].held_bytes(), "{left}");
    net.expect(pull, &["x"]);
    assert_eq!((net.sockets[pull].left_bytes(), net.sockets[pull].held_bytes()), (0, 0));
}

#[test]
fn a_req_waits_for_the_peer_that_it_asked_whoever_else_leaves() {
    let mut net = Net::new(1000);
    let req = net.socket(SocketType::Req);
    let reps = [(); 2].map(|()| net.socket(SocketType::Rep));
    let wires = reps.map(|rep| net.join(req, rep));
    net.send(req, &["?"]).unwrap();
    net.cut(wires[1]);
    assert!(!net.sockets[req].can_recv());
    assert_eq!(net.recv(req), Err(RecvError::Empty));
    net.expect(reps[0], &["?"]);
    net.send(reps[0], &["!"]).unwrap();
    // Its answer was there before it left.
    net.cut(wires[0]);
    net.expect(req, &["!"]);
    net.join(req, reps[0]);
    net.send(req, &["again?"]).unwrap();
    net.cut(2);
    assert!(net.sockets[req].can_recv(), "an error is there to be heard");
    assert_eq!(net.recv(req), Err(RecvError::PeerLost));
    assert!(!net.sockets[req].can_recv());
}

#[test]
fn a_name_is_free_again_when_its_peer_is_lost_though_its_messages_are_not_received() {
    let mut net = Net::new(1000);
    let own = Options { router_mandatory: true, ..options(SocketType::Router) };
    let mut anna = options(SocketType::Dealer);
    anna.config.identity = "anna".into();
    let (router, dealer, _) = pair(&mut net, own, anna.clone());
    net.send(dealer, &["one"]).unwrap();
    net.cut(0);
    assert_eq!(net.send(router, &["anna", "x"]), Err(Refusal::Unroutable));
    let again = net.with(anna);
    net.join(router, again);
    net.send(router, &["anna", "hello"]).unwrap();
    net.expect(again, &["hello"]);
    net.expect(router, &["anna", "one"]);
}

/// A part is under way to a peer whose replies are not held back by marks.
#[test]
fn a_router_sends_nothing_between_the_pieces_of_a_part() {
    let mut net = Net::new(1000);
    let own = Options { router_holds: true, router_mandatory: true, ..options(SocketType::Router) };
    let mut anna = options(SocketType::Dealer);
    anna.config.identity = "anna".into();
    let (router, dealer, peer) = pair(&mut net, own, anna);
    let sent = net.sockets[router].send_start(message(&["anna", "ab"]), 2).unwrap();
    assert_eq!(sent, Some(peer));
    assert_eq!(net.send(router, &["anna", "other"]), Err(Refusal::Full));
    net.sockets[router].send_piece(peer, "cd".into()).unwrap();
    net.send(router, &["anna", "other"]).unwrap();
    net.expect(dealer, &["abcd"]);
    net.expect(dealer, &["other"]);
}

#[test]
fn only_a_router_that_holds_keeps_the_messages_of_who_has_no_room() {
    let own = Options { send_messages_max: 1, ..options(SocketType::Dealer) };
    let mut net = Net::new(1000);
    let (dealer, other, _) = pair(&mut net, own, options(SocketType::Dealer));
    net.sockets[dealer].send(message(&["to"])).unwrap();
    assert_eq!(net.sockets[dealer].send(message(&["to"])).unwrap_err().why, Refusal::Full);
    let (from, to) = (net.wires[0][1].1, net.wires[0][0].1);
    net.sockets[other].send(message(&["from"])).unwrap();
    let mut buf = [0; 100];
    let count = net.sockets[other].poll_transmit(ZERO, from, &mut buf);
    net.sockets[dealer].handle_input(ZERO, to, &buf[..count]).unwrap();
    assert_eq!(net.sockets[dealer].recv(), Ok(message(&["from"])));
    // And one that is gone needs no room any more.
    let own = Options { router_holds: true, ..options(SocketType::Router) };
    let mut net = Net::new(1000);
    let (router, dealer, _) = pair(&mut net, own, options(SocketType::Dealer));
    net.send(dealer, &["one"]).unwrap();
    net.cut(0);
    assert_eq!(net.recv(router).unwrap()[1], "one");
}

/// RFC 30: a PUSH receives nothing; what a peer sends it all the same is not kept.
#[test]
fn rfc30_what_a_push_is_sent_is_dropped() {
    let (mut push, peer) = deaf(options(SocketType::Push));
    let held = push.held_bytes();
    for _ in 0..10 {
        assert_eq!(push.handle_input(ZERO, peer, b"\0\x03abc\x01\x01a\0\x01b"), Ok(11));
    }
    assert!(!push.can_recv() && push.has_input_room(peer));
    assert_eq!((push.held_bytes(), events(&mut push).len()), (held, 0));
}

#[test]
fn who_has_nothing_to_receive_wakes_nobody() {
    let mut net = Net::new(1000);
    let (pull, _, peer) = pair(&mut net, options(SocketType::Pull), options(SocketType::Push));
    net.sockets[pull].hold_back(peer, true);
    net.sockets[pull].hold_back(peer, false);
    assert_eq!(events(&mut net.sockets[pull]), []);
    assert!(!net.sockets[pull].can_recv());
    net.cut(0);
    assert_eq!(events(&mut net.sockets[pull]), []);
}

#[test]
fn a_reply_of_no_use_is_dropped_and_a_streamed_request_behind_it_is_whole() {
    let long = || Bytes::from(vec![7; 300]);
    for useless_streams in [false, true] {
        let mut net = Net::new(10_000);
        let own = Options { stream_over_bytes: Some(100), ..options(SocketType::Rep) };
        let (rep, dealer, peer) = pair(&mut net, own, options(SocketType::Dealer));
        let to = net.wires[0][1].1;
        // Without a delimiter it is no request (RFC 28).
        if useless_streams {
            net.sockets[dealer].send_start(Message::new(long()), 300).unwrap();
            net.run();
            net.sockets[dealer].send_piece(to, long()).unwrap();
        } else {
            net.sockets[dealer].send(message(&["no request"])).unwrap();
        }
        net.run();
        let start = Message::from_parts([Bytes::new(), long()]).unwrap();
        net.sockets[dealer].send_start(start, 300).unwrap();
        net.run();
        net.sockets[dealer].send_piece(to, Bytes::from(vec![8; 300])).unwrap();
        net.run();
        let received = net.sockets[rep].recv_from().unwrap();
        assert_eq!((received.message, received.part_left), (Message::new(long()), 300));
        let chunk = net.sockets[rep].recv_chunk(peer).unwrap();
        assert_eq!((&chunk.bytes[..], chunk.part_left), (&[8; 300][..], 0));
        assert_eq!(net.sockets[rep].recv_chunk(peer), Err(RecvError::Empty));
    }
}

#[test]
fn chunks_fill_an_inbox_as_messages_do() {
    let mut net = Net::new(100_000);
    let own = Options {
        receive_messages_max: 10,
        stream_over_bytes: Some(100),
        ..options(SocketType::Pull)
    };
    let (pull, push, peer) = pair(&mut net, own, options(SocketType::Push));
    let to = net.wires[0][1].1;
    net.sockets[push].send_start(Message::new(vec![7; 200]), 10_000).unwrap();
    net.run();
    net.sockets[pull].recv_from().unwrap();
    for number in 0..10 {
        assert!(net.sockets[pull].has_input_room(peer), "{number}");
        net.sockets[push].send_piece(to, vec![7; 200].into()).unwrap();
        net.run();
    }
    assert!(!net.sockets[pull].has_input_room(peer));
    events(&mut net.sockets[pull]);
    for received in 1..=10 {
        net.sockets[pull].recv_chunk(peer).unwrap();
        let is_woken = events(&mut net.sockets[pull]).contains(&SocketEvent::Input(peer));
        assert_eq!(is_woken, received == 5, "{received}");
    }
}

#[test]
fn whoever_receives_a_stream_hears_that_its_peer_is_sent_away() {
    let mut net = Net::new(1000);
    let own = Options { stream_over_bytes: Some(100), ..options(SocketType::Pull) };
    let (pull, push, peer) = pair(&mut net, own, options(SocketType::Push));
    net.sockets[push].send_start(Message::new(vec![7; 200]), 300).unwrap();
    net.run();
    net.sockets[pull].recv_from().unwrap();
    assert_eq!(net.sockets[pull].recv_chunk(peer), Err(RecvError::Empty));
    events(&mut net.sockets[pull]);
    net.sockets[pull].disconnect(peer);
    assert!(events(&mut net.sockets[pull]).contains(&SocketEvent::Recv));
    assert_eq!(net.sockets[pull].recv_chunk(peer), Err(RecvError::PeerLost));
}

/// RFC 29: as often as a topic was asked for, it has to be given up.
#[test]
fn rfc29_an_xsubs_messages_of_one_part_count_its_subscriptions() {
    let mut net = Net::new(1000);
    let (xsub, xpub, _) = pair(&mut net, options(SocketType::XSub), options(SocketType::XPub));
    for (text, heard) in [("\u{1}a", true), ("\u{1}a", false), ("\u{0}a", false)] {
        net.send(xsub, &[text]).unwrap();
        assert_eq!(net.recv(xpub).is_ok(), heard, "{text:?}");
        net.send(xpub, &["abc"]).unwrap();
        net.expect(xsub, &["abc"]);
    }
    for parts in [&["\u{0}a", "b"][..], &["\u{1}c", "b"]] {
        net.send(xsub, parts).unwrap();
        net.expect(xpub, parts);
    }
    net.send(xpub, &["abc"]).unwrap();
    net.expect(xsub, &["abc"]);
    net.send(xsub, &["\u{0}a"]).unwrap();
    net.expect(xpub, &["\u{0}a"]);
    net.send(xpub, &["abc"]).unwrap();
    assert_eq!(net.recv(xsub), Err(RecvError::Empty));
}

#[test]
fn silence_is_no_fault_of_who_is_not_read() {
    for is_paused in [false, true] {
        let heartbeat = Heartbeat { interval: SECOND, timeout: SECOND, ttl: Duration::ZERO };
        let mut own = options(SocketType::Pull);
        own.config.heartbeat = Some(heartbeat);
        let mut net = Net::new(1000);
        let (pull, _, peer) = pair(&mut net, own, options(SocketType::Push));
        let socket = &mut net.sockets[pull];
        socket.pause(peer, is_paused);
        let mut outcome = Ok(());
        for second in 1..=10 {
            outcome = outcome.and_then(|()| socket.handle_timeout(second * SECOND, peer));
            socket.poll_transmit(second * SECOND, peer, &mut [0; 100]);
        }
        let expected = if is_paused { Ok(()) } else { Err(Error::HeartbeatTimeout) };
        assert_eq!(outcome, expected);
        // Read again, it has to say something.
        socket.pause(peer, false);
        let outcomes = (11..=20).map(|second| {
            socket.poll_transmit(second * SECOND, peer, &mut [0; 100]);
            socket.handle_timeout(second * SECOND, peer)
        });
        assert!(outcomes.into_iter().any(|outcome| outcome.is_err()));
    }
}

#[test]
fn who_takes_something_has_the_whole_time_again() {
    for takes in [false, true] {
        let mut own = options(SocketType::Push);
        own.config.limits.write_timeout = Some(10 * SECOND);
        own.config.limits.bytes_per_second_min = 0;
        let (mut push, peer) = deaf(own);
        push.send(Message::new(vec![7; 100_000])).unwrap();
        push.poll_transmit(ZERO, peer, &mut [0; 1000]);
        assert_eq!(push.next_deadline(ZERO, peer), Some(10 * SECOND));
        if takes {
            push.peer_took(9 * SECOND, peer, 500);
        }
        let outcome = push.handle_timeout(10 * SECOND, peer);
        assert_eq!(outcome, if takes { Ok(()) } else { Err(Error::OutputStalled) });
    }
}

/// What has come of a part counts, and what is missing of a short one: 200, 600, 400 and 300 bytes.
#[test]
fn nobody_is_sent_away_while_unfinished_messages_are_within_the_bound() {
    for (bytes_max, leaves) in [(1499, true), (1500, false)] {
        let own = Options { unfinished_bytes_max: bytes_max, ..options(SocketType::Pull) };
        let mut net = Net::new(5000);
        let pull = net.with(own);
        let pushes = [(); 4].map(|()| net.socket(SocketType::Push));
        for (push, have) in pushes.into_iter().zip([100, 500, 300, 200]) {
            net.join(push, pull);
            net.sockets[push].send_start(Message::new(vec![1; have]), 100).unwrap();
            net.run();
        }
        let is_leaving = |wire: &[(usize, PeerId, Vec<u8>); 2]| {
            net.sockets[pull].leaving(wire[1].1) == Some(&Error::HeldMost)
        };
        let leaving: Vec<_> = net.wires.iter().map(is_leaving).collect();
        assert_eq!(leaving, [false, leaves, false, false], "{bytes_max}");
    }
}
