use super::*;
use crate::turns::Turns;
use crate::{Limits, Message};
use std::string::ToString;
use std::vec;
use std::vec::Vec;

mod marks;
mod patterns;
mod stream;
mod sums;

const ZERO: Duration = Duration::ZERO;

/// Sockets joined by wires; a wire's end is the number of a socket and a peer of it.
#[derive(Default)]
struct Net {
    sockets: Vec<Socket>,
    wires: Vec<[(usize, PeerId, Vec<u8>); 2]>,
    // Bytes of one transmission, at most.
    step: usize,
}

impl Net {
    fn new(step: usize) -> Self {
        Self { step, ..Self::default() }
    }

    fn socket(&mut self, socket_type: SocketType) -> usize {
        self.with(Options::new(socket_type))
    }

    fn with(&mut self, options: Options) -> usize {
        self.sockets.push(Socket::new(options));
        self.sockets.len() - 1
    }

    fn join(&mut self, a: usize, b: usize) -> usize {
        let [a, b] = [a, b].map(|end| {
            let peer = self.sockets[end].add_peer(ZERO, &[1; 48]).unwrap();
            (end, peer, Vec::new())
        });
        self.wires.push([a, b]);
        self.run();
        self.wires.len() - 1
    }

    fn cut(&mut self, wire: usize) {
        for (end, peer, waiting) in &mut self.wires[wire] {
            waiting.clear();
            self.sockets[*end].remove_peer(*peer);
        }
    }

    /// Carries bytes until nothing moves.
    fn run(&mut self) {
        let mut turns = Turns::default();
        while turns.more(self.move_once()) {}
    }

    /// What is to be looked after at a socket.
    fn events(&mut self, socket: usize) -> Vec<SocketEvent> {
        let (mut events, mut turns) = (Vec::new(), Turns::default());
        while let Some(event) = self.sockets[socket].poll_event() {
            assert!(turns.more(true));
            events.push(event);
        }
        events
    }

    fn move_once(&mut self) -> bool {
        let mut moved = false;
        for wire in &mut self.wires {
            for (from, to) in [(0, 1), (1, 0)] {
                let mut buf = vec![0; self.step];
                let (end, peer, _) = &wire[from];
                let (end, peer) = (*end, *peer);
                // What the other end has not taken holds this end back, as TCP would.
                if wire[to].2.is_empty() {
                    let written = self.sockets[end].poll_transmit(ZERO, peer, &mut buf);
                    wire[to].2.extend_from_slice(&buf[..written]);
                    moved |= written > 0;
                }
                let (end, peer, waiting) = &mut wire[to];
                if !waiting.is_empty() {
                    match self.sockets[*end].handle_input(ZERO, *peer, waiting) {
                        Ok(taken) => {
                            waiting.drain(..taken);
                            moved |= taken > 0;
                        }
                        Err(_) => waiting.clear(),
                    }
                }
            }
        }
        moved
    }

    fn send(&mut self, socket: usize, parts: &[&str]) -> Result<(), Refusal> {
        self.sockets[socket].send(message(parts)).map_err(|refused| refused.why)?;
        self.run();
        Ok(())
    }

    fn recv(&mut self, socket: usize) -> Result<Vec<Bytes>, RecvError> {
        let parts = self.sockets[socket].recv()?.into_parts().collect();
        self.run();
        Ok(parts)
    }

    fn expect(&mut self, socket: usize, parts: &[&str]) {
        let expected: Vec<_> = message(parts).into_parts().collect();
        assert_eq!(self.recv(socket), Ok(expected));
    }
}

fn message(parts: &[&str]) -> Message {
    let owned = |part: &&str| Bytes::copy_from_slice(part.as_bytes());
    Message::from_parts(parts.iter().map(owned)).unwrap()
}

#[test]
fn rfc28_req_and_rep_keep_lock_step() {
    let mut net = Net::new(7);
    let (req, rep) = (net.socket(SocketType::Req), net.socket(SocketType::Rep));
    assert_eq!(net.send(req, &["early"]), Err(Refusal::Full));
    net.join(req, rep);
    assert_eq!(net.recv(req), Err(RecvError::OutOfTurn));
    assert_eq!(net.send(rep, &["unasked"]), Err(Refusal::OutOfTurn));
    for _ in 0..3 {
        net.send(req, &["question", ""]).unwrap();
        assert_eq!(net.send(req, &["another"]), Err(Refusal::OutOfTurn));
        assert_eq!(net.recv(req), Err(RecvError::Empty));
        net.expect(rep, &["question", ""]);
        assert_eq!(net.recv(rep), Err(RecvError::OutOfTurn));
        net.send(rep, &["answer"]).unwrap();
        net.expect(req, &["answer"]);
    }
}

#[test]
fn rfc28_req_asks_its_peers_in_turn() {
    let mut net = Net::new(100);
    let req = net.socket(SocketType::Req);
    let reps = [(); 3].map(|()| net.socket(SocketType::Rep));
    for rep in reps {
        net.join(req, rep);
    }
    for round in 0..6 {
        net.send(req, &["?"]).unwrap();
        let rep = reps[round % 3];
        net.expect(rep, &["?"]);
        net.send(rep, &["!"]).unwrap();
        net.expect(req, &["!"]);
    }
}

#[test]
fn a_req_whose_peer_is_lost_hears_so_once_and_may_ask_again() {
    let mut net = Net::new(100);
    let (req, rep) = (net.socket(SocketType::Req), net.socket(SocketType::Rep));
    let wire = net.join(req, rep);
    net.send(req, &["?"]).unwrap();
    net.expect(rep, &["?"]);
    net.cut(wire);
    assert_eq!(net.recv(req), Err(RecvError::PeerLost));
    assert_eq!(net.recv(req), Err(RecvError::OutOfTurn));
    net.send(rep, &["to nobody"]).unwrap();
    net.join(req, rep);
    net.send(req, &["again"]).unwrap();
    net.expect(rep, &["again"]);
}

#[test]
fn a_relaxed_req_gives_the_old_reply_up() {
    for correlate in [false, true] {
        let mut net = Net::new(100);
        let options = Options {
            request_relaxed: true,
            request_correlate: correlate,
            ..Options::new(SocketType::Req)
        };
        let (req, router) = (net.with(options), net.socket(SocketType::Router));
        net.join(req, router);
        net.send(req, &["one"]).unwrap();
        net.send(req, &["two"]).unwrap();
        let mut requests = [(); 2].map(|()| net.recv(router).unwrap());
        assert_eq!(requests[0].len(), if correlate { 4 } else { 3 });
        for (request, reply) in requests.iter_mut().zip(["old", "new"]) {
            *request.last_mut().unwrap() = reply.into();
            let reply = Message::from_parts(request.drain(..)).unwrap();
            net.sockets[router].send(reply).unwrap();
        }
        net.run();
        net.expect(req, &[if correlate { "new" } else { "old" }]);
    }
}

#[test]
fn rfc28_rep_discards_what_has_no_envelope() {
    let mut net = Net::new(100);
    let (dealer, rep) = (net.socket(SocketType::Dealer), net.socket(SocketType::Rep));
    net.join(dealer, rep);
    net.send(dealer, &["no", "delimiter"]).unwrap();
    net.send(dealer, &["nothing after", ""]).unwrap();
    net.send(dealer, &["address", "", "body"]).unwrap();
    net.expect(rep, &["body"]);
    net.send(rep, &["reply"]).unwrap();
    net.expect(dealer, &["address", "", "reply"]);
}

#[test]
fn rfc28_router_names_its_peers() {
    let mut net = Net::new(100);
    let router = net.socket(SocketType::Router);
    let mut named = Options::new(SocketType::Dealer);
    named.config.identity = "anna".into();
    let (anna, other) = (net.with(named.clone()), net.socket(SocketType::Dealer));
    net.join(router, anna);
    net.join(other, router);
    net.send(router, &["anna", "hello"]).unwrap();
    net.expect(anna, &["hello"]);
    net.send(other, &["who am I"]).unwrap();
    let from = net.recv(router).unwrap();
    assert_eq!((from[0].len(), from[0][0]), (5, 0));
    net.send(router, &["nobody", "x"]).unwrap();
    assert_eq!(net.sockets[router].dropped(), 1);
    assert_eq!(net.send(router, &["anna"]), Err(Refusal::Malformed));
    // The name is taken.
    let impostor = net.with(named);
    net.join(router, impostor);
    assert_eq!(net.sockets[router].ready_peers(), 2);
    net.send(router, &["anna", "still you"]).unwrap();
    net.expect(anna, &["still you"]);
}

#[test]
fn a_router_names_the_sender_of_what_came_before_it_left() {
    let mut net = Net::new(100);
    let (router, dealer) = (net.socket(SocketType::Router), net.socket(SocketType::Dealer));
    let wire = net.join(router, dealer);
    net.send(dealer, &["one"]).unwrap();
    net.send(dealer, &["two"]).unwrap();
    let first = net.recv(router).unwrap();
    net.cut(wire);
    let second = net.recv(router).unwrap();
    assert_eq!((&first[0], second[0].len()), (&second[0], 5));
}

#[test]
fn a_router_can_hand_a_name_over_and_refuse_the_unroutable() {
    let mut net = Net::new(100);
    let mut options = Options::new(SocketType::Router);
    (options.router_mandatory, options.router_handover) = (true, true);
    options.send_messages_max = 1;
    let router = net.with(options);
    let mut named = Options::new(SocketType::Dealer);
    named.config.identity = "anna".into();
    let (old, new) = (net.with(named.clone()), net.with(named));
    assert_eq!(net.send(router, &["anna", "x"]), Err(Refusal::Unroutable));
    net.join(router, old);
    net.join(router, new);
    let to_anna = || message(&["anna", "x"]);
    net.sockets[router].send(to_anna()).unwrap();
    let refused = net.sockets[router].send(to_anna()).unwrap_err();
    assert_eq!(refused, Refused { message: to_anna(), why: Refusal::Full });
    net.run();
    net.expect(new, &["x"]);
}

#[test]
fn rfc30_push_goes_round_and_pull_takes_from_each() {
    let mut net = Net::new(100);
    let pushes = [(); 2].map(|()| net.socket(SocketType::Push));
    let pulls = [(); 2].map(|()| net.socket(SocketType::Pull));
    for push in pushes {
        for pull in pulls {
            net.join(push, pull);
        }
    }
    for push in pushes {
        for _ in 0..10 {
            net.send(push, &[if push == pushes[0] { "a" } else { "b" }]).unwrap();
        }
    }
    for pull in pulls {
        let got: Vec<_> = (0..10).map(|_| net.recv(pull).unwrap().remove(0)).collect();
        assert_eq!(got.concat(), b"ababababab");
        assert_eq!(net.recv(pull), Err(RecvError::Empty));
        assert_eq!(net.send(pull, &["x"]), Err(Refusal::Unsupported));
    }
    assert_eq!(net.recv(pushes[0]), Err(RecvError::Unsupported));
}

#[test]
fn high_water_marks_hold_on_both_sides_and_nothing_is_lost() {
    let mut net = Net::new(1000);
    let mut options = Options::new(SocketType::Push);
    (options.send_messages_max, options.receive_messages_max) = (5, 5);
    let push = net.with(options.clone());
    options.config.socket_type = SocketType::Pull;
    let pull = net.with(options);
    net.join(push, pull);
    let mut sent = 0;
    let body = "x".repeat(300);
    while net.send(push, &[&body]) != Err(Refusal::Full) {
        sent += 1;
        assert!(sent < 20, "no mark holds");
    }
    // 5 received, 5 to send, and what one transmission holds.
    assert!((10..15).contains(&sent), "{sent}");
    for _ in 0..sent {
        net.expect(pull, &[&body]);
    }
    net.send(push, &["room again"]).unwrap();
    net.expect(pull, &["room again"]);
}

#[test]
fn byte_marks_hold_and_a_longer_message_goes_alone() {
    let mut net = Net::new(4096);
    let mut options = Options::new(SocketType::Push);
    (options.send_bytes_max, options.receive_bytes_max) = (1000, 1000);
    let push = net.with(options.clone());
    options.config.socket_type = SocketType::Pull;
    let pull = net.with(options);
    net.join(push, pull);
    let long = "x".repeat(100_000);
    let mut sent = 0;
    while net.send(push, &[&long]).is_ok() {
        sent += 1;
        assert!(sent < 20, "no mark holds");
    }
    assert_eq!(sent, 2, "one received, one waiting to be sent");
    net.expect(pull, &[&long]);
    net.expect(pull, &[&long]);
}

#[test]
fn what_was_queued_for_a_lost_peer_goes_to_another() {
    let mut net = Net::new(100);
    let push = net.socket(SocketType::Push);
    let pulls = [(); 2].map(|()| net.socket(SocketType::Pull));
    let wire = net.join(push, pulls[0]);
    for number in 0..100 {
        net.sockets[push].send(Message::new(vec![number])).unwrap();
    }
    net.move_once();
    net.cut(wire);
    assert_eq!(net.sockets[push].send(Message::new("x")).unwrap_err().why, Refusal::Full);
    net.join(push, pulls[1]);
    let mut got = Vec::new();
    for pull in pulls {
        let mut turns = Turns::default();
        while let Ok(parts) = net.recv(pull) {
            assert!(turns.more(true));
            got.push(parts[0][0]);
        }
    }
    // One message was half sent when its connection went.
    assert!(got.len() >= 99, "{}", got.len());
    assert!(got.is_sorted(), "{got:?}");
}

#[test]
fn rfc29_subscribers_get_what_they_asked_for() {
    let mut net = Net::new(100);
    let publisher = net.socket(SocketType::Pub);
    let subs = [(); 2].map(|()| net.socket(SocketType::Sub));
    net.sockets[subs[0]].subscribe("a");
    for sub in subs {
        net.join(publisher, sub);
    }
    net.sockets[subs[1]].subscribe("");
    net.run();
    net.send(publisher, &["apple", "1"]).unwrap();
    net.send(publisher, &["pear", "2"]).unwrap();
    net.expect(subs[0], &["apple", "1"]);
    assert_eq!(net.recv(subs[0]), Err(RecvError::Empty));
    net.expect(subs[1], &["apple", "1"]);
    net.expect(subs[1], &["pear", "2"]);
    net.sockets[subs[1]].unsubscribe(b"");
    net.run();
    net.send(publisher, &["pear"]).unwrap();
    assert_eq!(net.recv(subs[1]), Err(RecvError::Empty));
    assert_eq!(net.recv(publisher), Err(RecvError::Unsupported));
}

#[test]
fn rfc29_a_slow_subscriber_misses_messages_and_others_do_not() {
    let mut net = Net::new(100);
    let mut options = Options::new(SocketType::Pub);
    options.send_messages_max = 3;
    let publisher = net.with(options);
    let sub = net.socket(SocketType::Sub);
    net.sockets[sub].subscribe("");
    net.join(publisher, sub);
    for number in 0..10 {
        net.sockets[publisher].send(Message::new(vec![number])).unwrap();
    }
    net.run();
    assert_eq!(net.sockets[publisher].dropped(), 7);
    for number in 0..3 {
        assert_eq!(net.recv(sub).unwrap()[0][..], [number]);
    }
    assert_eq!(net.recv(sub), Err(RecvError::Empty));
}

#[test]
fn rfc29_xpub_and_xsub_pass_subscriptions_as_messages() {
    let mut net = Net::new(100);
    let (xpub, xsub, sub) =
        (net.socket(SocketType::XPub), net.socket(SocketType::XSub), net.socket(SocketType::Sub));
    net.join(xpub, xsub);
    let wire = net.join(xpub, sub);
    net.send(xsub, &["\u{1}news"]).unwrap();
    net.expect(xpub, &["\u{1}news"]);
    net.sockets[sub].subscribe("news");
    net.sockets[sub].subscribe("sport");
    net.run();
    net.expect(xpub, &["\u{1}sport"]);
    net.send(xpub, &["news", "body"]).unwrap();
    net.expect(xsub, &["news", "body"]);
    net.expect(sub, &["news", "body"]);
    for user in [&["plain"][..], &["\u{1}two", "parts"]] {
        net.send(xsub, user).unwrap();
        net.expect(xpub, user);
    }
    net.cut(wire);
    net.expect(xpub, &["\u{0}sport"]);
    net.send(xsub, &["\u{0}news"]).unwrap();
    net.expect(xpub, &["\u{0}news"]);
}

#[test]
fn too_long_messages_end_one_connection_only() {
    let mut net = Net::new(100);
    let mut options = Options::new(SocketType::Pull);
    options.config.limits.message_bytes_max = 10;
    let pull = net.with(options);
    let pushes = [(); 3].map(|()| net.socket(SocketType::Push));
    for push in pushes {
        net.join(push, pull);
    }
    net.send(pushes[0], &["12345678901"]).unwrap();
    net.send(pushes[1], &["12345", "123456"]).unwrap();
    assert_eq!(net.sockets[pull].ready_peers(), 1);
    net.send(pushes[2], &["12345", "12345"]).unwrap();
    net.expect(pull, &["12345", "12345"]);
}

#[test]
fn subscriptions_too_many_or_too_long_are_refused_alone() {
    let limits = || Limits { command_bytes_max: 50, ..Limits::default() };
    for (limits, refused) in [
        (Limits { subscriptions_max: 2, ..limits() }, 1),
        // Two of one byte fit exactly.
        (Limits { subscription_bytes_max: 2 * (128 + 32 + 1), ..limits() }, 1),
        (limits(), 100),
    ] {
        let refused = &*"c".repeat(refused);
        let mut net = Net::new(30);
        let mut options = Options::new(SocketType::Pub);
        options.config.limits = limits;
        let (publisher, sub) = (net.with(options), net.socket(SocketType::Sub));
        net.join(publisher, sub);
        for topic in ["a", "b", refused, "cx"] {
            net.sockets[sub].subscribe(topic.to_string());
            net.run();
        }
        let peer = net.wires[0][0].1;
        let said = net.events(publisher).into_iter();
        assert_eq!(said.filter(|&it| it == SocketEvent::Refused(peer)).count(), 1);
        for topic in [refused, "b", "a"] {
            net.send(publisher, &[topic]).unwrap();
        }
        net.expect(sub, &["b"]);
        net.expect(sub, &["a"]);
        assert_eq!(net.recv(sub), Err(RecvError::Empty));
    }
}

#[test]
fn who_is_held_back_is_not_received_from_until_it_is_no_longer() {
    let mut net = Net::new(100);
    let pull = net.socket(SocketType::Pull);
    let pushes = [(); 2].map(|()| net.socket(SocketType::Push));
    let wires = pushes.map(|push| net.join(push, pull));
    for (push, text) in [(0, "a"), (0, "b"), (1, "c"), (0, "d")] {
        net.send(pushes[push], &[text]).unwrap();
    }
    net.expect(pull, &["a"]);
    let peer = net.wires[wires[0]][1].1;
    net.sockets[pull].hold_back(peer, true);
    net.expect(pull, &["c"]);
    assert_eq!(net.recv(pull), Err(RecvError::Empty));
    net.sockets[pull].hold_back(peer, false);
    net.expect(pull, &["b"]);
    net.sockets[pull].hold_back(peer, true);
    net.cut(wires[0]);
    net.sockets[pull].hold_back(peer, false);
    net.expect(pull, &["d"]);
    assert_eq!(net.sockets[pull].peers.len(), 1, "who left is forgotten");
}

#[test]
fn a_socket_has_at_most_peers_max_and_forgets_the_gone() {
    let mut options = Options::new(SocketType::Pull);
    options.peers_max = 2;
    let mut socket = Socket::new(options);
    let first = socket.add_peer(ZERO, &[0; 48]).unwrap();
    socket.add_peer(ZERO, &[0; 48]).unwrap();
    assert_eq!(socket.add_peer(ZERO, &[0; 48]), None);
    socket.remove_peer(first);
    let third = socket.add_peer(ZERO, &[0; 48]).unwrap();
    assert_ne!(first, third);
    assert_eq!(socket.handle_input(ZERO, first, b"x"), Err(Error::Closed));
    assert_eq!(socket.poll_transmit(ZERO, first, &mut [0; 64]), 0);
}

#[test]
fn what_a_peer_sent_before_it_left_is_received() {
    let mut net = Net::new(10_000);
    let (push, pull) = (net.socket(SocketType::Push), net.socket(SocketType::Pull));
    let wire = net.join(push, pull);
    for number in 0..5 {
        net.sockets[push].send(Message::new(vec![number])).unwrap();
    }
    net.run();
    net.cut(wire);
    for number in 0..5 {
        assert_eq!(net.recv(pull).unwrap()[0][..], [number]);
    }
    assert_eq!(net.sockets[pull].peers.len(), 0);
}
