//! What is counted of the memory that peers make a socket hold.

use super::stream::streaming;
use super::*;

/// A connection of this type to a socket, past its handshake.
pub(super) fn raw(socket: &mut Socket, socket_type: SocketType) -> (Connection, PeerId) {
    let mut connection = Connection::new(ZERO, Arc::new(Config::new(socket_type)), &[2; 48]);
    let peer = socket.add_peer(ZERO, &[1; 48]).unwrap();
    for _ in 0..3 {
        carry(&mut connection, socket, peer).unwrap();
    }
    assert!(connection.is_ready());
    (connection, peer)
}

/// A socket that has got 300 bytes of a part of 1000, which it receives in pieces, and who sends them.
pub(super) fn in_the_middle() -> (Socket, Connection, PeerId) {
    let mut socket = Socket::new(streaming(SocketType::Pull));
    let (mut push, peer) = raw(&mut socket, SocketType::Push);
    push.begin_part(1000, false).unwrap();
    push.send_piece(vec![7; 300]).unwrap();
    carry(&mut push, &mut socket, peer).unwrap();
    (socket, push, peer)
}

/// Carries what a connection has to send, up to 1 MiB, and what is answered.
pub(super) fn carry(
    connection: &mut Connection,
    socket: &mut Socket,
    peer: PeerId,
) -> Result<(), Error> {
    let mut buf = vec![0; 1 << 20];
    let count = connection.poll_transmit(ZERO, &mut buf);
    let (mut rest, mut turns) = (&buf[..count], Turns::default());
    while turns.more(!rest.is_empty()) {
        rest = &rest[socket.handle_input(ZERO, peer, rest)?..];
    }
    let count = socket.poll_transmit(ZERO, peer, &mut buf);
    let (mut rest, mut turns) = (&buf[..count], Turns::default());
    while turns.more(!rest.is_empty()) {
        rest = &rest[connection.handle_input(ZERO, rest)?..];
    }
    Ok(())
}

#[test]
fn what_may_wait_by_default_is_what_is_documented() {
    let options = Options::new(SocketType::Pull);
    assert_eq!((options.send_messages_max, options.send_bytes_max), (1000, 4_194_304));
    assert_eq!((options.receive_messages_max, options.receive_bytes_max), (1000, 4_194_304));
    assert_eq!((options.unfinished_bytes_max, options.peers_max), (268_435_456, 10_000));
    assert_eq!(options.stream_over_bytes, None);
    assert!(!options.tells_moves && !options.request_relaxed && !options.request_correlate);
    assert!(!options.router_mandatory && !options.router_holds && !options.router_handover);
}

/// Never more than four times what has come, nor than the part needs.
#[test]
fn memory_for_a_long_part_follows_what_has_come() {
    const KIB: usize = 1 << 10;
    for (part_kib, after) in [
        (4096, [(1, 256), (4, 256), (5, 1024), (16, 1024), (17, 4096)]),
        (1100, [(1, 256), (4, 256), (5, 1024), (16, 1024), (17, 1100)]),
    ] {
        let mut socket = Socket::new(Options::new(SocketType::Pull));
        let (mut push, peer) = raw(&mut socket, SocketType::Push);
        push.begin_part((part_kib * KIB) as u64, false).unwrap();
        for pieces in 1..=17 {
            push.send_piece(vec![7; 64 * KIB]).unwrap();
            // Its header goes alone, so that pieces come whole.
            if pieces == 1 {
                let mut header = [0; 9];
                assert_eq!(push.poll_transmit(ZERO, &mut header), 9);
                assert_eq!(socket.handle_input(ZERO, peer, &header), Ok(9));
            }
            carry(&mut push, &mut socket, peer).unwrap();
            if let Some((_, kib)) = after.iter().find(|(count, _)| *count == pieces) {
                assert_eq!(socket.counted.unfinished, kib * KIB, "{part_kib} {pieces}");
            }
        }
    }
}

#[test]
fn parts_of_a_message_that_is_not_whole_weigh_with_their_list() {
    let mut socket = Socket::new(Options::new(SocketType::Pull));
    let (mut push, peer) = raw(&mut socket, SocketType::Push);
    for _ in 0..2 {
        push.begin_part(100, true).unwrap();
        push.send_piece(vec![7; 100]).unwrap();
    }
    carry(&mut push, &mut socket, peer).unwrap();
    // Two bodies of 132 bytes, and a list of two to four places of 32 bytes.
    let unfinished = socket.counted.unfinished;
    assert!((264 + 64..=264 + 128).contains(&unfinished), "{unfinished}");
}

#[test]
fn pieces_of_a_message_that_streams_weigh_what_they_take() {
    let (mut socket, mut push, peer) = in_the_middle();
    let received = socket.recv_from().unwrap();
    assert_eq!(received.part_left + received.message.body_bytes() as u64, 1000);
    let before = socket.peer_held_bytes(peer);
    push.send_piece(vec![7; 500]).unwrap();
    carry(&mut push, &mut socket, peer).unwrap();
    assert_eq!(socket.peer_held_bytes(peer) - before, size_of::<Chunk>() + 500 + 32);
    assert_eq!(socket.recv_chunk(peer).unwrap().bytes.len(), 500);
    assert_eq!(socket.peer_held_bytes(peer), before);
}

#[test]
fn what_is_not_whole_may_take_as_much_as_the_bound_and_no_more() {
    // 300 bytes have come of 310.
    for (unfinished_bytes_max, is_over) in [(310, false), (309, true)] {
        let mut net = Net::new(1000);
        let options = Options { unfinished_bytes_max, ..Options::new(SocketType::Pull) };
        let (push, pull) = (net.socket(SocketType::Push), net.with(options));
        let wire = net.join(push, pull);
        net.sockets[push].send_start(Message::new(vec![1; 300]), 10).unwrap();
        net.run();
        let why = net.sockets[pull].leaving(net.wires[wire][1].1);
        assert_eq!(why, is_over.then_some(&Error::HeldMost));
    }
}

#[test]
fn what_a_lost_peer_left_weighs_until_another_has_it() {
    for count in [1, 3] {
        let mut net = Net::new(100);
        let (push, pull) = (net.socket(SocketType::Push), net.socket(SocketType::Pull));
        let wire = net.join(push, pull);
        for _ in 0..count {
            net.sockets[push].send(Message::new(vec![7; 50])).unwrap();
        }
        assert!(!net.sockets[push].has_unsent());
        assert_eq!(net.sockets[push].left_bytes(), 0);
        net.cut(wire);
        let socket = &net.sockets[push];
        let left = count * (size_of::<Message>() + 50 + 32);
        assert_eq!((socket.held_bytes(), socket.left_bytes()), (left, left));
        assert!(socket.has_unsent());
        let wire = net.join(push, pull);
        for _ in 0..count {
            assert_eq!(net.recv(pull).unwrap()[0], vec![7; 50]);
        }
        let socket = &net.sockets[push];
        assert!(!socket.has_unsent());
        let held = socket.peer_held_bytes(net.wires[wire][0].1);
        assert_eq!((socket.held_bytes(), socket.left_bytes()), (held, 0));
        net.cut(wire);
        assert_eq!((net.sockets[push].held_bytes(), net.sockets[pull].held_bytes()), (0, 0));
    }
}

/// RFC 30: a PUSH receives nothing, so that nobody would ever take what its peer sends.
#[test]
fn rfc30_what_is_sent_to_a_push_is_dropped() {
    let mut socket = Socket::new(Options::new(SocketType::Push));
    let (mut pull, peer) = raw(&mut socket, SocketType::Pull);
    let before = socket.held_bytes();
    pull.send(Message::new(vec![7; 1000])).unwrap();
    carry(&mut pull, &mut socket, peer).unwrap();
    assert_eq!((socket.held_bytes(), socket.can_recv()), (before, false));
}
