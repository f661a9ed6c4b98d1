//! Streamed messages, and peers that are sent away.

use super::*;

/// Options of a socket that receives parts over 100 bytes in pieces.
pub(super) fn streaming(socket_type: SocketType) -> Options {
    Options { stream_over_bytes: Some(100), ..Options::new(socket_type) }
}

/// Sends `start` and `pieces` as one part behind `head`, carrying bytes in between; to whom.
fn send_pieces(net: &mut Net, from: usize, head: &[&str], pieces: &[Bytes]) -> Option<PeerId> {
    let (start, rest) = pieces.split_first().unwrap();
    let mut parts: Vec<_> =
        head.iter().map(|part| Bytes::copy_from_slice(part.as_bytes())).collect();
    parts.push(start.clone());
    let left = rest.iter().map(Bytes::len).sum::<usize>() as u64;
    let start = Message::from_parts(parts).unwrap();
    let peer = net.sockets[from].send_start(start, left).unwrap();
    for piece in rest {
        net.run();
        net.sockets[from].send_piece(peer.unwrap(), piece.clone()).unwrap();
    }
    net.run();
    peer
}

/// Receives a message that streams, whole: its parts.
fn receive_pieces(net: &mut Net, to: usize) -> Vec<Vec<u8>> {
    let Received { peer, message, part_left } = net.sockets[to].recv_from().unwrap();
    let mut parts: Vec<Vec<u8>> = message.into_parts().map(|part| part.to_vec()).collect();
    let (mut left, mut more) = (part_left, part_left > 0);
    let mut turns = Turns::default();
    while turns.more(left > 0 || more) {
        net.run();
        let chunk = net.sockets[to].recv_chunk(peer).unwrap();
        if left == 0 {
            parts.push(Vec::new());
        }
        parts.last_mut().unwrap().extend_from_slice(&chunk.bytes);
        (left, more) = (chunk.part_left, chunk.more);
    }
    parts
}

fn pieces(count: u8, len: usize) -> Vec<Bytes> {
    (0..count).map(|number| vec![number; len].into()).collect()
}

#[test]
fn long_parts_stream_in_every_pattern_that_has_one_receiver() {
    let body = pieces(20, 70);
    let whole = body.concat();
    for (from, to) in [
        (SocketType::Push, SocketType::Pull),
        (SocketType::Dealer, SocketType::Dealer),
        (SocketType::Dealer, SocketType::Rep),
        (SocketType::Req, SocketType::Rep),
    ] {
        for step in [7, 64, 4000] {
            let mut net = Net::new(step);
            let (from, to) = (net.socket(from), net.with(streaming(to)));
            net.join(from, to);
            let is_dealer = net.sockets[from].socket_type() == SocketType::Dealer;
            let is_rep = net.sockets[to].socket_type() == SocketType::Rep;
            let head: &[&str] = if is_dealer && is_rep { &["", "head"] } else { &["head"] };
            send_pieces(&mut net, from, head, &body);
            assert_eq!(receive_pieces(&mut net, to), [b"head".to_vec(), whole.clone()]);
        }
    }
    let mut publisher = Socket::new(Options::new(SocketType::Pub));
    let refused = publisher.send_start(Message::new("x"), 1).unwrap_err();
    assert_eq!(refused.why, Refusal::Unsupported);
}

#[test]
fn requests_and_replies_stream_through_a_router() {
    let mut net = Net::new(50);
    let (req, router) =
        (net.with(streaming(SocketType::Req)), net.with(streaming(SocketType::Router)));
    net.join(req, router);
    let body = pieces(9, 90);
    send_pieces(&mut net, req, &[], &body);
    let mut parts = receive_pieces(&mut net, router);
    assert_eq!(parts.pop(), Some(body.concat()));
    let mut reply: Vec<Bytes> = parts.into_iter().map(Bytes::from).collect();
    reply.push(Bytes::from_static(b"re"));
    let peer = net.sockets[router].send_start(Message::from_parts(reply).unwrap(), 300).unwrap();
    net.sockets[router].send_piece(peer.unwrap(), vec![7; 300].into()).unwrap();
    net.run();
    assert_eq!(receive_pieces(&mut net, req), [[&b"re"[..], &[7; 300]].concat()]);
}

#[test]
fn parts_after_a_long_one_stream_too_and_the_next_message_waits_its_turn() {
    let mut net = Net::new(40);
    let (push, pull) = (net.socket(SocketType::Push), net.with(streaming(SocketType::Pull)));
    net.join(push, pull);
    let long = "l".repeat(500);
    net.send(push, &["a", &long, "", "b"]).unwrap();
    net.send(push, &["next"]).unwrap();
    let expected = [&b"a"[..], long.as_bytes(), b"", b"b"];
    assert_eq!(receive_pieces(&mut net, pull), expected);
    assert_eq!(receive_pieces(&mut net, pull), [b"next"]);
}

#[test]
fn a_stream_holds_no_more_than_the_marks_on_either_side() {
    let mut net = Net::new(1000);
    let mut options = streaming(SocketType::Push);
    (options.send_bytes_max, options.receive_bytes_max) = (3000, 3000);
    let push = net.with(options.clone());
    options.config.socket_type = SocketType::Pull;
    let pull = net.with(options);
    net.join(push, pull);
    let total = 10_000_000_u64;
    let peer = net.sockets[push].send_start(Message::new(""), total).unwrap().unwrap();
    let (mut sent, mut received, mut from) = (0, 0, None);
    let mut turns = Turns::default();
    while turns.more(received < total) {
        while net.sockets[push].send_piece(peer, vec![0; 1000].into()).is_ok() {
            sent += 1000;
            assert!(sent - received < 10_000, "{sent} sent, {received} received");
        }
        net.run();
        if from.is_none() {
            let start = net.sockets[pull].recv_from().unwrap();
            received += start.message.body_bytes() as u64;
            assert_eq!(start.part_left + received, total);
            from = Some(start.peer);
        }
        if let Ok(chunk) = net.sockets[pull].recv_chunk(from.unwrap()) {
            received += chunk.bytes.len() as u64;
        }
    }
    assert_eq!((sent, received), (total, total));
}

#[test]
fn both_sides_hear_that_a_stream_is_cut_off() {
    let mut net = Net::new(1000);
    let (push, pull) = (net.socket(SocketType::Push), net.with(streaming(SocketType::Pull)));
    let wire = net.join(push, pull);
    let peer = net.sockets[push].send_start(Message::new(vec![1; 300]), 300).unwrap().unwrap();
    net.run();
    let start = net.sockets[pull].recv_from().unwrap();
    assert_eq!((start.message.body_bytes(), start.part_left), (300, 300));
    assert_eq!(net.sockets[pull].recv_chunk(start.peer), Err(RecvError::Empty));
    for socket in [push, pull] {
        net.events(socket);
    }
    net.cut(wire);
    assert!(net.events(push).contains(&SocketEvent::Send));
    assert!(net.events(pull).contains(&SocketEvent::Recv));
    assert_eq!(net.sockets[pull].recv_chunk(start.peer), Err(RecvError::PeerLost));
    let piece = net.sockets[push].send_piece(peer, vec![1; 300].into());
    assert_eq!(piece, Err(Refusal::PeerLost));
    net.join(push, pull);
    net.send(push, &["whole"]).unwrap();
    assert_eq!(receive_pieces(&mut net, pull), [b"whole"]);
}

#[test]
fn what_nobody_wants_of_a_stream_is_dropped_as_it_comes() {
    for read_before in [0, 1, 3] {
        let mut net = Net::new(1000);
        let (push, pull) = (net.socket(SocketType::Push), net.with(streaming(SocketType::Pull)));
        net.join(push, pull);
        let peer = net.sockets[push].send_start(Message::new(vec![1; 300]), 900).unwrap();
        net.run();
        let from = net.sockets[pull].recv_from().unwrap().peer;
        for number in 0..3 {
            if number == read_before {
                net.sockets[pull].discard_rest(from);
            }
            net.sockets[push].send_piece(peer.unwrap(), vec![1; 300].into()).unwrap();
            net.run();
            let chunk = net.sockets[pull].recv_chunk(from);
            assert_eq!(chunk.is_ok(), number < read_before);
        }
        net.send(push, &["next"]).unwrap();
        assert_eq!(receive_pieces(&mut net, pull), [b"next"]);
    }
}

#[test]
fn a_long_message_that_nobody_subscribed_to_leaves_no_trace() {
    let mut net = Net::new(30);
    let (publisher, sub) = (net.socket(SocketType::XPub), net.with(streaming(SocketType::Sub)));
    net.sockets[sub].subscribe("yes");
    net.join(publisher, sub);
    // Another subscriber, for whose sake the publisher sends all.
    net.sockets[publisher].recv().unwrap();
    net.sockets[sub].subscribe("no");
    net.run();
    let body = "x".repeat(1000);
    net.send(publisher, &[&["yes", &body].concat()]).unwrap();
    net.sockets[publisher].send(message(&[&["no", &body].concat()])).unwrap();
    net.sockets[sub].unsubscribe(b"no");
    net.run();
    net.send(publisher, &["yes!"]).unwrap();
    assert_eq!(receive_pieces(&mut net, sub), [["yes", &body].concat().into_bytes()]);
    assert_eq!(receive_pieces(&mut net, sub), [b"yes!"]);
}

#[test]
fn a_whole_receiver_of_a_socket_that_streams_is_told() {
    let mut net = Net::new(30);
    let pull = net.with(streaming(SocketType::Pull));
    assert_eq!(net.recv(pull), Err(RecvError::Unsupported));
}

#[test]
fn too_many_bytes_for_a_part_are_refused_and_the_part_can_go_on() {
    let mut net = Net::new(1000);
    let (push, pull) = (net.socket(SocketType::Push), net.socket(SocketType::Pull));
    net.join(push, pull);
    let peer = net.sockets[push].send_start(Message::new("a"), 2).unwrap().unwrap();
    let socket = &mut net.sockets[push];
    assert_eq!(socket.send_piece(peer, "bcd".into()), Err(Refusal::Malformed));
    assert_eq!(socket.send(message(&["other"])).unwrap_err().why, Refusal::Full);
    socket.send_piece(peer, "bc".into()).unwrap();
    assert_eq!(socket.send_piece(peer, "d".into()), Err(Refusal::Malformed));
    net.send(push, &["other"]).unwrap();
    net.expect(pull, &["abc"]);
    net.expect(pull, &["other"]);
}

#[test]
fn a_peer_that_is_sent_away_gets_what_was_queued_and_gives_no_more() {
    let mut net = Net::new(1000);
    let (dealer, router) = (net.socket(SocketType::Dealer), net.socket(SocketType::Router));
    let wire = net.join(dealer, router);
    for text in ["bad", "after", "more"] {
        net.send(dealer, &[text]).unwrap();
    }
    let received = net.sockets[router].recv_from().unwrap();
    let (route, _) = received.message.split_first();
    let reply = || Message::from_parts([route.clone(), "why".into()]).unwrap();
    net.sockets[router].send(reply()).unwrap();
    net.sockets[router].disconnect(received.peer);
    assert!(net.sockets[router].leaving(received.peer).is_some());
    assert_eq!(net.recv(router), Err(RecvError::Empty));
    net.send(dealer, &["too late"]).unwrap();
    assert_eq!(net.recv(router), Err(RecvError::Empty));
    net.sockets[router].send(reply()).unwrap();
    assert_eq!(net.sockets[router].dropped(), 1);
    net.run();
    net.expect(dealer, &["why"]);
    assert_eq!(net.recv(dealer), Err(RecvError::Empty));
    net.cut(wire);
    assert_eq!(net.sockets[router].peers.len(), 0);
}

#[test]
fn a_router_that_holds_receives_nothing_while_there_is_no_room_for_replies() {
    let mut net = Net::new(1000);
    let mut options = Options::new(SocketType::Router);
    (options.send_messages_max, options.router_holds) = (2, true);
    let router = net.with(options);
    // Peers that read nothing.
    let [slow, other] = [0, 1].map(|_| net.socket(SocketType::Dealer));
    for dealer in [slow, other] {
        net.join(dealer, router);
        for text in ["1", "2", "3", "4"] {
            net.send(dealer, &[text]).unwrap();
        }
    }
    let mut answered = [0; 2];
    let wire = &mut net.wires[0];
    let slow_peer = wire[1].1;
    let mut turns = Turns::default();
    while let Ok(received) = net.sockets[router].recv_from() {
        assert!(turns.more(true));
        let (route, text) = received.message.split_first();
        let reply = Message::from_parts([route, text.unwrap().first().clone()]).unwrap();
        net.sockets[router].send(reply).unwrap();
        answered[usize::from(received.peer == slow_peer)] += 1;
        if received.peer != slow_peer {
            // It reads.
            net.sockets[router].poll_transmit(ZERO, received.peer, &mut [0; 100]);
        }
    }
    assert_eq!(answered, [4, 2], "the slow one's other two wait");
    net.sockets[router].poll_transmit(ZERO, slow_peer, &mut [0; 100]);
    assert!(net.events(router).contains(&SocketEvent::Recv));
    assert!(net.sockets[router].recv_from().is_ok());
}

#[test]
fn a_mandatory_router_says_when_a_full_peer_has_room_again() {
    let mut net = Net::new(1000);
    let mut options = Options::new(SocketType::Router);
    (options.send_messages_max, options.router_mandatory) = (1, true);
    let (dealer, router) = (net.socket(SocketType::Dealer), net.with(options));
    net.join(dealer, router);
    net.send(dealer, &["hello"]).unwrap();
    let route = net.recv(router).unwrap().remove(0);
    let reply = || Message::from_parts([route.clone(), "re".into()]).unwrap();
    net.sockets[router].send(reply()).unwrap();
    net.events(router);
    assert_eq!(net.sockets[router].send(reply()).unwrap_err().why, Refusal::Full);
    net.run();
    assert!(net.events(router).contains(&SocketEvent::Send));
    net.sockets[router].send(reply()).unwrap();
}

#[test]
fn peers_that_come_and_go_leave_nothing_behind() {
    for kind in [SocketType::Router, SocketType::Rep, SocketType::Pub] {
        let mut net = Net::new(1000);
        let socket = net.socket(kind);
        let theirs = if kind == SocketType::Pub { SocketType::Sub } else { SocketType::Dealer };
        for _ in 0..100 {
            let other = net.socket(theirs);
            let wire = net.join(socket, other);
            net.cut(wire);
        }
        let socket = &net.sockets[socket];
        assert_eq!((socket.peers.len(), socket.writable.len()), (0, 0), "{kind:?}");
    }
}

#[test]
fn who_holds_most_of_the_memory_for_unfinished_messages_is_sent_away() {
    let mut options = Options::new(SocketType::Pull);
    options.unfinished_bytes_max = 1300;
    let mut net = Net::new(5000);
    let pull = net.with(options);
    let pushes: Vec<_> = (0..4).map(|_| net.socket(SocketType::Push)).collect();
    let wires: Vec<_> = pushes.iter().map(|&push| net.join(push, pull)).collect();
    for (&push, have) in pushes.iter().zip([100, 500, 300, 200]) {
        net.sockets[push].send_start(Message::new(vec![1; have]), 100).unwrap();
        net.run();
    }
    let peers = wires.iter().map(|&wire| net.wires[wire][1].1);
    let leaving: Vec<_> = peers.map(|peer| net.sockets[pull].leaving(peer).is_some()).collect();
    assert_eq!(leaving, [false, true, false, false]);
    // What is missing of a short part is reserved too.
    assert_eq!(net.sockets[pull].counted.unfinished, 200 + 400 + 300);
    for number in [0, 2, 3] {
        let peer = net.wires[wires[number]][0].1;
        net.sockets[pushes[number]].send_piece(peer, vec![1; 100].into()).unwrap();
        net.run();
        assert!(net.recv(pull).is_ok(), "{number}");
    }
    assert_eq!(net.sockets[pull].counted.unfinished, 0);
}

#[test]
fn memory_for_unfinished_messages_is_given_back_however_they_end() {
    let mut net = Net::new(50);
    let mut options = Options::new(SocketType::Pull);
    options.config.limits.message_bytes_max = 1000;
    let (push, pull) = (net.socket(SocketType::Push), net.with(options));
    // A lost connection.
    let wire = net.join(push, pull);
    net.sockets[push].send_start(Message::new(vec![1; 300]), 10).unwrap();
    net.run();
    assert_eq!(net.sockets[pull].counted.unfinished, 310);
    net.cut(wire);
    assert_eq!(net.sockets[pull].counted.unfinished, 0);
    // A message that becomes too long.
    net.join(push, pull);
    let parts = message(&[&"x".repeat(600), &"x".repeat(600)]);
    net.sockets[push].send(parts).unwrap();
    net.run();
    assert_eq!(net.sockets[pull].counted.unfinished, 0);
}
