//! Any peers doing anything to a socket: no panic, and no more kept than the marks allow.

use std::time::Duration;
use zmq::{Bytes, Limits, Message, Options, PeerId, Socket, SocketType};

const TYPES: [(SocketType, &str); 10] = [
    (SocketType::Req, "REP"),
    (SocketType::Rep, "REQ"),
    (SocketType::Dealer, "ROUTER"),
    (SocketType::Router, "DEALER"),
    (SocketType::Push, "PULL"),
    (SocketType::Pull, "PUSH"),
    (SocketType::Pub, "SUB"),
    (SocketType::Sub, "PUB"),
    (SocketType::XPub, "XSUB"),
    (SocketType::XSub, "XPUB"),
];

pub(crate) fn target(data: &[u8]) {
    let [kind, flags, operations @ ..] = data else { return };
    let (socket_type, theirs) = TYPES[usize::from(*kind) % TYPES.len()];
    let mut socket = Socket::new(options(socket_type, *flags));
    let mut peers: Vec<(PeerId, bool)> = Vec::new();
    let mut rest = operations;
    while let [operation, which, after @ ..] = rest {
        rest = after;
        let peer = (!peers.is_empty()).then(|| usize::from(*which) % peers.len());
        match (operation % 12, peer) {
            (0, _) => add(&mut socket, &mut peers, theirs, *which),
            (1 | 2, Some(at)) => {
                let len = usize::from(operation / 8).min(rest.len());
                let (input, after) = rest.split_at(len);
                rest = after;
                if peers[at].1 {
                    peers[at].1 = socket.handle_input(Duration::ZERO, peers[at].0, input).is_ok();
                }
            }
            (3, Some(at)) => {
                let mut space = vec![0; usize::from(operation / 8) * 8 + 1];
                socket.poll_transmit(Duration::ZERO, peers[at].0, &mut space);
            }
            (4, Some(at)) => socket.remove_peer(peers.swap_remove(at).0),
            (5, _) => {
                let part = Bytes::from(vec![*which; usize::from(operation / 8)]);
                let mut message = Message::new(part.clone());
                for _ in 0..which % 3 {
                    message.push(part.clone());
                }
                let _ = socket.send(message);
            }
            (6, _) => drop(socket.recv_from()),
            (8, Some(at)) => drop(socket.recv_chunk(peers[at].0)),
            (9, Some(at)) if which % 3 == 0 => socket.disconnect(peers[at].0),
            (9, Some(at)) => socket.discard_rest(peers[at].0),
            (10, _) => {
                drop(socket.send_start(Message::new(vec![*which; 3]), u64::from(operation / 12)))
            }
            (11, Some(at)) => {
                let piece = Bytes::from(vec![*which; usize::from(operation / 12)]);
                let _ = socket.send_piece(peers[at].0, piece);
            }
            (7, _) if which % 2 == 0 => socket.subscribe(vec![*which]),
            (7, _) => socket.unsubscribe(&[which - 1]),
            _ => {}
        }
        while socket.poll_event().is_some() {}
    }
    // Whatever was done: what can be received ends.
    for (peer, _) in peers {
        socket.remove_peer(peer);
    }
    let mut received = 0;
    while socket.recv_from().is_ok() || received == 0 && socket.can_recv() {
        received += 1;
        assert!(received < 10_000, "a few peers held that much");
    }
}

/// With small limits, and the ways that the flags say.
fn options(socket_type: SocketType, flags: u8) -> Options {
    let mut options = Options::new(socket_type);
    options.config.limits = Limits {
        frame_bytes_max: 300,
        message_bytes_max: 300,
        parts_max: 4,
        subscriptions_max: 3,
        ..Limits::default()
    };
    (options.send_messages_max, options.receive_messages_max) = (3, 3);
    options.peers_max = 4;
    options.request_relaxed = flags & 1 != 0;
    options.request_correlate = flags & 2 != 0;
    options.router_mandatory = flags & 4 != 0;
    options.router_handover = flags & 8 != 0;
    options.router_holds = flags & 16 != 0;
    options.stream_over_bytes = (flags & 32 != 0).then_some(40);
    options
}

fn add(socket: &mut Socket, peers: &mut Vec<(PeerId, bool)>, theirs: &str, which: u8) {
    let Some(peer) = socket.add_peer(Duration::ZERO, &[1; 48]) else { return };
    let mut hello = vec![0; 64];
    (hello[0], hello[9], hello[10], hello[11]) = (0xFF, 0x7F, 3, which % 2);
    hello[12..16].copy_from_slice(b"NULL");
    let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    ready.push(theirs.len() as u8);
    ready.extend_from_slice(theirs.as_bytes());
    if which > 200 {
        ready.extend_from_slice(b"\x08Identity\0\0\0\x01");
        ready.push(which);
    }
    hello.extend_from_slice(&[4, ready.len() as u8]);
    hello.extend_from_slice(&ready);
    let welcome = socket.handle_input(Duration::ZERO, peer, &hello).is_ok();
    peers.push((peer, welcome));
}
