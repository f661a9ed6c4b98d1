//! Marks on both sides, and what is said when there is room again.

use super::*;

/// A PUSH, a PULL with these options, and the PULL's peer.
fn pipeline(net: &mut Net, options: Options) -> (usize, usize, PeerId) {
    let (push, pull) = (net.socket(SocketType::Push), net.with(options));
    let wire = net.join(push, pull);
    net.events(pull);
    (push, pull, net.wires[wire][1].1)
}

/// A PUSH with these options, to a peer that has read nothing since the handshake.
fn slow(options: Options) -> (Net, PeerId) {
    let mut net = Net::new(10_000);
    let push = net.with(options);
    let pull = net.socket(SocketType::Pull);
    let wire = net.join(push, pull);
    net.events(push);
    let peer = net.wires[wire][0].1;
    (net, peer)
}

fn push() -> Options {
    Options::new(SocketType::Push)
}

#[test]
fn a_full_inbox_is_read_again_when_it_is_half_empty() {
    let pull = || Options::new(SocketType::Pull);
    let body = "x".repeat(100);
    let mut net = Net::new(10_000);
    let (from, to, peer) = pipeline(&mut net, pull());
    let before = net.sockets[to].peer_held_bytes(peer);
    net.send(from, &[&body]).unwrap();
    let weight = net.sockets[to].peer_held_bytes(peer) - before;
    for (options, full, half) in [
        (Options { receive_messages_max: 10, ..pull() }, 10, 5),
        (Options { receive_bytes_max: 4 * weight, ..pull() }, 4, 2),
        (Options { receive_bytes_max: 4 * weight + 1, ..pull() }, 5, 3),
    ] {
        let mut net = Net::new(10_000);
        let (from, to, peer) = pipeline(&mut net, options);
        for _ in 0..full - 1 {
            net.send(from, &[&body]).unwrap();
        }
        assert!(net.sockets[to].has_input_room(peer));
        for _ in 0..full {
            net.send(from, &[&body]).unwrap();
        }
        assert!(!net.sockets[to].has_input_room(peer));
        net.events(to);
        for received in 1..=full {
            net.sockets[to].recv().unwrap();
            let said = net.events(to).contains(&SocketEvent::Input(peer));
            assert_eq!(said, received == half, "{received} of {full}");
            assert_eq!(net.sockets[to].has_input_room(peer), received >= half);
        }
        net.sockets[to].remove_peer(peer);
        assert!(!net.sockets[to].has_input_room(peer));
    }
}

#[test]
fn an_inbox_that_was_never_full_says_nothing() {
    let mut net = Net::new(10_000);
    let (from, to, peer) = pipeline(&mut net, Options::new(SocketType::Pull));
    for _ in 0..3 {
        net.send(from, &["x"]).unwrap();
    }
    assert_eq!(net.events(to), [SocketEvent::Recv]);
    net.sockets[to].recv().unwrap();
    assert_eq!(net.events(to), []);
    net.sockets[to].remove_peer(peer);
    assert_eq!(net.events(to), []);
    assert!(!net.sockets[to].has_input_room(peer), "whose messages are still there");
}

#[test]
fn with_marks_of_nothing_messages_are_received_one_by_one() {
    let mut net = Net::new(10_000);
    let options =
        Options { receive_messages_max: 0, receive_bytes_max: 0, ..Options::new(SocketType::Pull) };
    let (from, to, _) = pipeline(&mut net, options);
    for text in ["a", "b", "c"] {
        net.send(from, &[text]).unwrap();
    }
    for text in ["a", "b", "c"] {
        net.expect(to, &[text]);
    }
}

#[test]
fn messages_wait_to_be_sent_up_to_the_mark_of_bytes() {
    let send = |net: &mut Net| net.sockets[0].send(Message::new(vec![7; 100]));
    let (mut net, peer) = slow(push());
    let before = net.sockets[0].peer_held_bytes(peer);
    send(&mut net).unwrap();
    let weight = net.sockets[0].peer_held_bytes(peer) - before;
    for (send_bytes_max, fit) in [(3 * weight, 3), (3 * weight + 1, 4), (0, 1)] {
        let (mut net, _) = slow(Options { send_bytes_max, ..push() });
        for _ in 0..fit {
            send(&mut net).unwrap();
        }
        assert_eq!(send(&mut net).unwrap_err().why, Refusal::Full, "{fit}");
    }
}

#[test]
fn pieces_are_asked_for_again_when_half_of_the_mark_is_free() {
    let (mut net, peer) = slow(Options { send_bytes_max: 3000, ..push() });
    let before = net.sockets[0].peer_held_bytes(peer);
    let socket = &mut net.sockets[0];
    assert_eq!(socket.send_start(Message::new(""), 100_000), Ok(Some(peer)));
    let mut turns = Turns::default();
    while turns.more(socket.send_piece(peer, vec![7; 400].into()).is_ok()) {}
    assert_eq!(socket.send_piece(peer, vec![7; 400].into()), Err(Refusal::Full));
    net.events(0);
    let (mut told, mut quiet) = (0, 0);
    for _ in 0..100 {
        if net.sockets[0].poll_transmit(ZERO, peer, &mut [0; 100]) == 0 {
            break;
        }
        let waiting = net.sockets[0].peer_held_bytes(peer) - before;
        let is_told = net.events(0).contains(&SocketEvent::Send);
        assert_eq!(is_told, waiting <= 1500, "{waiting}");
        (told, quiet) = (told + usize::from(is_told), quiet + usize::from(!is_told));
    }
    assert!(told > 5 && quiet > 5, "{told} {quiet}");
    assert_eq!(net.sockets[0].send_piece(peer, vec![7; 400].into()), Ok(()));
}

#[test]
fn whoever_holds_the_flow_hears_of_output_and_of_each_64_kib_more() {
    let (mut net, peer) = slow(push());
    let mut send = |len: usize| {
        let before = net.sockets[0].peer_held_bytes(peer);
        net.sockets[0].send(Message::new(vec![7; len])).unwrap();
        (net.sockets[0].peer_held_bytes(peer) - before, net.events(0))
    };
    let (weight, events) = send(1);
    assert_eq!(events, [SocketEvent::Transmit(peer)]);
    // 64 KiB more, and then past that.
    let (weight, events) = send(65_536 - (weight - 1));
    assert_eq!((weight, events), (65_536, vec![]));
    assert_eq!(send(1).1, [SocketEvent::Transmit(peer)]);
    assert_eq!(send(1).1, []);
    // And again when all had been taken.
    let mut turns = Turns::default();
    let mut buf = vec![0; 10_000];
    while turns.more(net.sockets[0].poll_transmit(ZERO, peer, &mut buf) > 0) {}
    assert!(!net.sockets[0].has_output(peer));
    net.sockets[0].send(Message::new("x")).unwrap();
    assert!(net.sockets[0].has_output(peer));
    assert_eq!(net.events(0), [SocketEvent::Transmit(peer)]);
}

#[test]
fn a_long_body_is_given_out_where_it_lies() {
    let (mut net, peer) = slow(push());
    net.sockets[0].send(Message::new(vec![7; 70_000])).unwrap();
    assert_eq!(net.sockets[0].long_output(peer), None, "its header goes first");
    assert_eq!(net.sockets[0].poll_transmit(ZERO, peer, &mut [0; 9]), 9);
    assert_eq!(net.sockets[0].long_output(peer).unwrap(), vec![7; 70_000]);
    net.sockets[0].long_output_taken(ZERO, peer, 70_000);
    assert!(!net.sockets[0].has_output(peer));
}

#[test]
fn a_peer_in_its_handshake_or_gone_or_sent_away_is_not_ready() {
    let mut socket = Socket::new(push());
    socket.add_peer(ZERO, &[1; 48]).unwrap();
    assert_eq!(socket.ready_peers(), 0);
    assert_eq!(socket.send(Message::new("x")).unwrap_err().why, Refusal::Full);
    for is_gone in [true, false] {
        let mut net = Net::new(1000);
        let (from, to, peer) = pipeline(&mut net, Options::new(SocketType::Pull));
        net.send(from, &["x"]).unwrap();
        assert_eq!(net.sockets[to].ready_peers(), 1);
        if is_gone {
            net.sockets[to].remove_peer(peer);
        } else {
            net.sockets[to].disconnect(peer);
        }
        assert_eq!(net.sockets[to].ready_peers(), 0);
    }
}

#[test]
fn a_peer_that_is_not_read_may_be_silent() {
    const SECOND: Duration = Duration::from_secs(1);
    let heartbeat = crate::Heartbeat { interval: 9 * SECOND, timeout: 2 * SECOND, ttl: SECOND };
    for (paused, outcome) in [
        (&[][..], Err(Error::HeartbeatTimeout)),
        (&[true], Ok(())),
        (&[true, false], Err(Error::HeartbeatTimeout)),
    ] {
        let mut options = push();
        options.config.heartbeat = Some(heartbeat);
        let (mut net, peer) = slow(options);
        let socket = &mut net.sockets[0];
        socket.handle_timeout(9 * SECOND, peer).unwrap();
        assert_eq!(socket.poll_transmit(9 * SECOND, peer, &mut [0; 64]), 9);
        for &is_paused in paused {
            socket.pause(peer, is_paused);
        }
        assert_eq!(socket.handle_timeout(11 * SECOND, peer), outcome, "{paused:?}");
    }
}

#[test]
fn what_a_peer_took_of_what_had_left_puts_the_deadline_off() {
    const SECOND: Duration = Duration::from_secs(1);
    let mut options = push();
    options.config.limits.write_timeout = Some(10 * SECOND);
    options.config.limits.bytes_per_second_min = 100;
    let (mut net, peer) = slow(options);
    let socket = &mut net.sockets[0];
    assert_eq!(socket.next_deadline(ZERO, peer), None);
    socket.send(Message::new(vec![7; 1000])).unwrap();
    assert_eq!(socket.next_deadline(ZERO, peer), Some(10 * SECOND));
    socket.peer_took(10 * SECOND, peer, 200);
    assert_eq!(socket.handle_timeout(10 * SECOND, peer), Ok(()));
    assert_eq!(socket.next_deadline(10 * SECOND, peer), Some(12 * SECOND));
    assert_eq!(socket.handle_timeout(12 * SECOND, peer), Err(Error::OutputTooSlow));
}
