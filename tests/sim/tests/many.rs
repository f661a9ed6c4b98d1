//! Fifty thousand connections: a packet of one costs what it costs alone, and the others cost nothing.

use flow::{FlowExt, Listener};
use net::{Config, Limits};
use sim::{Lone, MAC, reply_frame, syn_frame, tcp_fields};
use smoltcp::wire::TcpControl;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const OURS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 80);
const MANY: u32 = 50_000;
/// Of one peer's address.
const PORTS: u32 = 10_000;
/// Of a round.
const REQUESTS: u32 = 2_000;

/// What a round of requests made the machine do.
#[derive(Debug)]
struct Work {
    /// Connections that the stack looked at.
    visits: u64,
    /// Of all tasks.
    polls: u64,
    /// Of memory, the wire's included.
    allocations: usize,
    turns: u32,
}

impl Work {
    /// Whether it is as much as the other, but for a tenth: in a full table a look-up meets a few whose hashes are alike.
    fn is_like(&self, other: &Self) -> bool {
        let Self { visits, polls, allocations, turns } = *self;
        let like = |ours: u64, theirs: u64| ours.abs_diff(theirs) <= theirs / 10;
        like(visits, other.visits)
            && like(polls, other.polls)
            && like(allocations as u64, other.allocations as u64)
            && like(turns.into(), other.turns.into())
    }
}

/// A server that echoes, and the peers that it has.
struct Server {
    lone: Lone,
    connections: u32,
    turns: u32,
}

impl Server {
    fn new() -> Self {
        let limits = Limits {
            connections_max: MANY as usize + 1,
            buffers_max_bytes: 1 << 30,
            // Its probes would be turns.
            keep_alive: None,
            ..Limits::default()
        };
        let addresses = vec![((*OURS.ip()).into(), 8)];
        let config = Config { addresses, dhcp: false, slaac: false, limits, ..Config::default() };
        let mut lone = Lone::new(&config);
        let mut listener = lone.stack.listen(OURS.port()).unwrap();
        let spawner = lone.executor.spawner();
        lone.executor.spawner().spawn("accept", async move {
            while let Ok(mut flow) = listener.accept().await {
                spawner.spawn("echo", async move {
                    let mut bytes = [0; 64];
                    while let Ok(count @ 1..) = flow.read(&mut bytes).await {
                        if flow.write_all(&bytes[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { lone, connections: 0, turns: 0 }
    }

    fn ask(&mut self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        self.lone.wire.inject(0, frame);
        let until = self.lone.now + Duration::from_millis(1);
        let mut frames = Vec::new();
        loop {
            frames.extend(self.lone.turn());
            self.turns += 1;
            if !self.lone.step(until) {
                return frames;
            }
        }
    }

    /// A new connection; its peer, and the next number of ours.
    fn open(&mut self) -> (SocketAddrV4, u32) {
        let number = self.connections;
        let host = Ipv4Addr::new(10, 0, 1, (number / PORTS) as u8 + 1);
        let peer = SocketAddrV4::new(host, 10_000 + (number % PORTS) as u16);
        let macs = (MAC[1], MAC[0]);
        let answers = self.ask(syn_frame(macs, peer, OURS, 0));
        let syn_ack = answers.iter().find_map(|frame| tcp_fields(frame)).expect("a SYN-ACK");
        let next = syn_ack.seq.wrapping_add(1);
        self.ask(reply_frame(macs, peer, OURS, TcpControl::None, 1, Some(next), b""));
        self.connections += 1;
        assert_eq!(self.lone.stack.gauges().connections, self.connections as usize);
        (peer, next)
    }

    /// A round of requests on a connection of its own.
    fn round(&mut self) -> Work {
        let (peer, mut next) = self.open();
        let macs = (MAC[1], MAC[0]);
        let heap = Region::new(ALLOCATOR);
        let before = (self.lone.stack.connections_visited(), self.polls(), self.turns);
        for request in 0..REQUESTS {
            let seq = 1 + 4 * request;
            let frame = reply_frame(macs, peer, OURS, TcpControl::Psh, seq, Some(next), b"ping");
            let answers = self.ask(frame);
            let ports = (OURS.port(), peer.port());
            let mut own = answers.iter().filter_map(|frame| tcp_fields(frame));
            let answer = own.rfind(|tcp| tcp.ports == ports);
            let answer = answer.expect("an answer");
            assert_eq!((answer.seq, answer.ack, answer.data), (next, seq + 4, 4));
            next = next.wrapping_add(4);
        }
        let work = Work {
            visits: self.lone.stack.connections_visited() - before.0,
            allocations: heap.change().allocations,
            polls: self.polls() - before.1,
            turns: self.turns - before.2,
        };
        let seq = 1 + 4 * REQUESTS;
        self.ask(reply_frame(macs, peer, OURS, TcpControl::None, seq, Some(next), b""));
        work
    }

    fn polls(&self) -> u64 {
        let mut polls = 0;
        self.lone.executor.spawner().visit_tasks(&mut |task| polls += task.polls);
        polls
    }
}

#[test]
fn a_packet_costs_the_same_with_one_connection_and_with_fifty_thousand() {
    let mut server = Server::new();
    let alone = server.round();
    // Each request finds its connection, which is polled once for it.
    assert!(alone.visits >= REQUESTS.into() && alone.polls >= REQUESTS.into(), "{alone:?}");
    while server.connections < MANY - 1 {
        server.open();
    }
    let beside = server.round();
    assert_eq!(server.connections, MANY);
    assert!(beside.is_like(&alone), "{alone:?} alone, {beside:?} beside others");
    // Idle connections ask for no turns of the loop: those of an hour are the link's, which has an address to renew, a neighbour to ask.
    let until = server.lone.now + Duration::from_secs(3_600);
    let visits = server.lone.stack.connections_visited();
    let mut turns = 0;
    while server.lone.step(until) {
        server.lone.turn();
        turns += 1;
    }
    assert!(turns < MANY / 100, "{turns} turns");
    // One deadline of each at most: of what it waited for before.
    let visits = server.lone.stack.connections_visited() - visits;
    assert!(visits <= MANY.into(), "{visits} connections looked at");
    // The last that fits is let in, and the next is not, nor takes it anybody's place.
    server.open();
    let peer = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 1), 5_000);
    let answers = server.ask(syn_frame((MAC[1], MAC[0]), peer, OURS, 0));
    let syn_ack = answers.iter().filter_map(|frame| tcp_fields(frame)).find(|tcp| tcp.flags.0);
    if let Some(next) = syn_ack.map(|tcp| tcp.seq.wrapping_add(1)) {
        server.ask(reply_frame((MAC[1], MAC[0]), peer, OURS, TcpControl::None, 1, Some(next), b""));
    }
    assert_eq!(server.lone.stack.gauges().connections, MANY as usize + 1);
}
