//! What a socket says it holds is what the allocator gave it, whatever peers send. Alone in its process: the allocator
//! counts all.

use peak_alloc::PeakAlloc;
use std::sync::Arc;
use std::time::Duration;
use zmq::{
    Authority, Bytes, CurveClient, CurveServer, Error, Message, Options, PeerId, Security, Socket,
    SocketType, public_key,
};

#[path = "../src/turns.rs"]
mod turns;

use turns::Turns;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const ZERO: Duration = Duration::ZERO;
const MIB: usize = 1 << 20;

/// A socket and the one peer that makes it hold something.
struct Victim {
    socket: Socket,
    peer: PeerId,
}

impl Victim {
    /// Of a peer of ZMTP 3.1 with this socket type.
    fn new(options: Options, theirs: &str) -> Self {
        let mut socket = Socket::new(options);
        let peer = socket.add_peer(ZERO, &[1; 48]).unwrap();
        let mut hello = vec![0; 64];
        (hello[0], hello[9], hello[10], hello[11]) = (0xFF, 0x7F, 3, 1);
        hello[12..16].copy_from_slice(b"NULL");
        hello.extend_from_slice(&[4, 22 + theirs.len() as u8]);
        hello.extend_from_slice(b"\x05READY\x0bSocket-Type\0\0\0");
        hello.push(theirs.len() as u8);
        hello.extend_from_slice(theirs.as_bytes());
        let mut victim = Self { socket, peer };
        assert_eq!(victim.feed(&hello), hello.len());
        let mut turns = Turns::default();
        while turns.more(victim.socket.poll_transmit(ZERO, peer, &mut [0; 256]) > 0) {}
        victim
    }

    /// Offers bytes; how many were taken.
    fn feed(&mut self, bytes: &[u8]) -> usize {
        let (mut taken, mut turns) = (0, Turns::default());
        while turns.more(true) {
            let count = self.socket.handle_input(ZERO, self.peer, &bytes[taken..]).unwrap();
            while turns.more(self.socket.poll_event().is_some()) {}
            taken += count;
            if count == 0 {
                break;
            }
        }
        taken
    }

    /// Offers a frame or a message again and again, up to so many bytes, until it is no longer taken.
    fn flood(&mut self, unit: &[u8], bytes_max: usize) {
        let mut fed = 0;
        while fed < bytes_max {
            fed += unit.len();
            if self.feed(unit) < unit.len() {
                return;
            }
        }
    }
}

fn pull(receive_bytes_max: usize) -> Options {
    Options { receive_bytes_max, ..Options::new(SocketType::Pull) }
}

/// Does something to a victim; what the allocator gave for that and the socket counted, and at most so
/// much may it be, and not a fifth less. When its peer is gone and all is received, nothing is left.
fn weigh(what: &str, bytes_max: usize, mut victim: Victim, act: impl FnOnce(&mut Victim)) {
    let (real_before, said_before) = (MEMORY.current_usage(), victim.socket.held_bytes());
    act(&mut victim);
    let real = MEMORY.current_usage() - real_before;
    let said = victim.socket.held_bytes() - said_before;
    assert_eq!(victim.socket.held_bytes(), victim.socket.peer_held_bytes(victim.peer), "{what}");
    // Rings grow by doubling; small allocations weigh with what they cost a real allocator.
    assert!(said * 10 >= real * 7 && said <= 2 * real, "{what}: {real} held, {said} counted");
    assert!(real <= bytes_max && real * 10 >= bytes_max * 8, "{what}: {real} bytes held");
    victim.socket.remove_peer(victim.peer);
    let mut turns = Turns::default();
    while turns.more(victim.socket.recv_from().is_ok()) {}
    assert_eq!((victim.socket.held_bytes(), victim.socket.left_bytes()), (0, 0), "{what}");
}

fn inboxes() {
    // 1,000 messages of 1,000 parts would be far more than the mark.
    let parts = |len: u8| {
        let part = [&[1, len][..], &vec![7; usize::from(len)]].concat();
        let mut message = part.repeat(999);
        message.extend_from_slice(&[0, 0]);
        message
    };
    for (what, len, bytes_max) in [
        ("empty parts", 0, 4_600_000),
        ("parts of one byte", 1, 2_400_000),
        ("parts of 200 bytes", 200, 4_100_000),
    ] {
        let victim = Victim::new(pull(4 * MIB), "PUSH");
        weigh(what, bytes_max, victim, |victim| victim.flood(&parts(len), 100 * MIB));
    }
    let victim = Victim::new(pull(4 * MIB), "PUSH");
    weigh("short messages", 73_000, victim, |victim| victim.flood(b"\0\x01x", 100 * MIB));
    let victim = Victim::new(pull(4 * MIB), "PUSH");
    let long = [&[2, 0, 0, 0, 0, 0, 0x10, 0, 0][..], &vec![7; MIB]].concat();
    weigh("long messages", 4_600_000, victim, |victim| victim.flood(&long, 100 * MIB));
}

/// An inbox that is empty keeps some places, and one message takes no more than its body.
fn empty_inboxes() {
    for (messages, kept) in [(64, 4_000..8_000), (65, 0..200), (1000, 0..200)] {
        let mut victim = Victim::new(pull(4 * MIB), "PUSH");
        let before = MEMORY.current_usage();
        assert_eq!(victim.feed(&b"\0\x01x".repeat(messages)), 3 * messages);
        for _ in 0..messages {
            victim.socket.recv().unwrap();
        }
        let left = MEMORY.current_usage() - before;
        assert!(kept.contains(&left), "{left} bytes held after {messages} messages");
    }
    let mut victim = Victim::new(pull(4 * MIB), "PUSH");
    for most in [10_000, 100] {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        victim.feed(b"\0\x01x");
        let peak = MEMORY.peak_usage() - before;
        assert!(peak <= most, "{peak} bytes for one message");
        victim.socket.recv().unwrap();
    }
}

fn unfinished() {
    let victim = Victim::new(pull(4 * MIB), "PUSH");
    weigh("a message without its last part", 37_000, victim, |victim| {
        victim.flood(&[1, 1, 7], 3 * 1023);
    });
    let victim = Victim::new(pull(4 * MIB), "PUSH");
    weigh("half a part", 4_200_000, victim, |victim| {
        victim.feed(&[2, 0, 0, 0, 0, 0x07, 0, 0, 0]);
        victim.flood(&[7; 60_000], 3 * MIB);
    });
}

fn subscriptions() {
    let publisher = || Victim::new(Options::new(SocketType::Pub), "SUB");
    for (what, len, bytes_max) in [("short topics", 4, 1_170_000), ("long topics", 4000, 4_550_000)]
    {
        weigh(what, bytes_max, publisher(), |victim| {
            for number in 0..20_000_u32 {
                let mut topic = vec![7; len];
                topic[..4].copy_from_slice(&number.to_be_bytes());
                let command = [b"\x09SUBSCRIBE", &topic[..]].concat();
                let header = [&[6][..], &(command.len() as u64).to_be_bytes()].concat();
                victim.feed(&[header, command].concat());
            }
        });
    }
}

fn unread_replies() {
    let mut victim = Victim::new(Options::new(SocketType::Pub), "SUB");
    victim.feed(b"\x04\x0A\x09SUBSCRIBE");
    weigh("unsent messages", 5 * MIB, victim, |victim| {
        let message = || Message::from_parts((0..100).map(|_| Bytes::from(vec![7; 20]))).unwrap();
        let mut turns = Turns::default();
        while turns.more(victim.socket.dropped() == 0) {
            victim.socket.send(message()).unwrap();
        }
    });
}

struct Anybody;

impl Authority for Anybody {
    fn admits_key(&self, _: &[u8; 32]) -> bool {
        true
    }
}

/// A victim under CURVE, with this bound on what is not whole, and what feeds it a frame of 8 MiB piece by piece.
fn curve(unfinished_bytes_max: usize) -> (Victim, impl FnMut(&mut Victim, usize)) {
    let [server_key, client_key] = [[9; 32], [8; 32]];
    let authority = Arc::new(Anybody);
    let mut options = Options { unfinished_bytes_max, ..pull(4 * MIB) };
    options.config.security =
        Security::CurveServer(CurveServer { secret_key: server_key, authority });
    let mut socket = Socket::new(options);
    let keys = CurveClient { server_public_key: public_key(&server_key), secret_key: client_key };
    let mut options = Options::new(SocketType::Push);
    options.config.security = Security::CurveClient(keys);
    let mut client = Socket::new(options);
    let server = client.add_peer(ZERO, &[2; 48]).unwrap();
    let peer = socket.add_peer(ZERO, &[1; 48]).unwrap();
    let mut wire = vec![0; 64 << 10];
    for _ in 0..4 {
        let count = client.poll_transmit(ZERO, server, &mut wire);
        socket.handle_input(ZERO, peer, &wire[..count]).unwrap();
        let count = socket.poll_transmit(ZERO, peer, &mut wire);
        client.handle_input(ZERO, server, &wire[..count]).unwrap();
    }
    assert_eq!((socket.ready_peers(), client.ready_peers()), (1, 1));
    client.send(Message::new(vec![7; 8 * MIB])).unwrap();
    let mut victim = Victim { socket, peer };
    let mut feed = move |victim: &mut Victim, pieces: usize| {
        for _ in 0..pieces {
            let count = client.poll_transmit(ZERO, server, &mut wire);
            victim.feed(&wire[..count]);
        }
    };
    // Sealed now, so that this is not counted.
    feed(&mut victim, 1);
    (victim, feed)
}

fn half_a_frame_under_curve() {
    let (victim, mut feed) = curve(5 * MIB);
    weigh("half a frame under CURVE", 4_500_000, victim, |victim| {
        feed(victim, 32);
        assert_eq!(victim.socket.leaving(victim.peer), None);
    });
    let (mut victim, mut feed) = curve(MIB);
    feed(&mut victim, 32);
    assert_eq!(victim.socket.leaving(victim.peer), Some(&Error::HeldMost));
    assert!(victim.socket.held_bytes() < 10_000);
}

#[test]
fn a_socket_holds_what_it_says_and_within_its_bounds() {
    inboxes();
    empty_inboxes();
    unfinished();
    subscriptions();
    unread_replies();
    half_a_frame_under_curve();
}
