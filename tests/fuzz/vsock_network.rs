//! Any packets to the sockets of a machine, and any use of its flows: no panic, no more connections and bytes than there may
//! be, nothing sent that the peer has no room for, and nothing left when all have let go and time has passed.

use bytes::Bytes;
use flow::{Flow, Listener};
use std::collections::HashMap;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use vsock::{Limits, VsockFlow, VsockListener, VsockNetwork};

const CID: u32 = 3;
const PORT: u32 = 1;
const LIMITS: Limits = Limits {
    connections_max: 4,
    buffer_bytes: 5000,
    connect_timeout: Duration::from_secs(2),
    close_timeout: Duration::from_secs(8),
    keep_alive: Duration::from_secs(30),
};

pub(crate) fn target(data: &[u8]) {
    let mut world = World::new();
    for act in data.chunks_exact(8).take(500) {
        world.act(act);
        assert!(world.network.connections() <= LIMITS.connections_max);
    }
    world.end();
}

struct World {
    network: VsockNetwork,
    listener: VsockListener,
    flows: Vec<VsockFlow>,
    now: Duration,
    /// By the connection's number: how many bytes the peer has said that it has room for, from the first on.
    room: HashMap<u64, u64>,
}

impl World {
    fn new() -> Self {
        let network = VsockNetwork::new(CID, LIMITS);
        let listener = network.listen(PORT, 2).expect("nobody listens");
        Self { network, listener, flows: Vec::new(), now: Duration::ZERO, room: HashMap::new() }
    }

    /// The connection with a port of the peer's, and what it was sent.
    fn sent(&self, port: u32) -> Option<(u64, u64)> {
        let mut found = None;
        self.network.visit_connections(&mut |row| {
            if row.peer.port == port {
                found = row.info.map(|info| (row.number, info.sent_bytes));
            }
        });
        found
    }

    fn act(&mut self, act: &[u8]) {
        let mut cx = Context::from_waker(Waker::noop());
        let which = usize::from(act[1]) % self.flows.len().max(1);
        let bytes = usize::from(act[2]) * 64;
        match (act[0] % 12, self.flows.get_mut(which)) {
            (0..=3, _) => self.receive(act),
            (4, _) => self.transmit(usize::from(act[1] % 4)),
            (5, _) => {
                if let Poll::Ready(Ok(flow)) = self.listener.poll_accept(&mut cx) {
                    self.flows.push(flow);
                }
            }
            (6, Some(flow)) => drop(flow.poll_read_with(&mut cx, &mut |all| bytes.min(all.len()))),
            (7, Some(flow)) => drop(flow.poll_write(&mut cx, &vec![act[3]; bytes + 1])),
            (8, Some(flow)) => {
                let mut shared = Bytes::from(vec![act[3]; bytes + 1]);
                let _ = flow.poll_write_shared(&mut cx, &mut shared);
            }
            (9, Some(flow)) if act[2] == 0 => flow.abort(),
            (9, Some(flow)) => flow.finish(),
            (10, Some(_)) => drop(self.flows.remove(which)),
            (11, _) if act[2] == 0 => self.network.reset(CID),
            (11, _) => {
                self.now += Duration::from_millis(u64::from(act[1]) * 100);
                self.network.handle_timeout(self.now);
            }
            _ => {}
        }
    }

    /// A packet of the peer's: mostly one that could be.
    fn receive(&mut self, act: &[u8]) {
        let port = u32::from(act[1] % 6);
        let length = if act[0] & 0x80 == 0 { u32::from(act[3]) } else { u32::from(act[3]) << 24 };
        let buffer = u32::from(act[5]) * 32;
        let sent = self.sent(port).map_or(0, |(_, sent)| sent as u32);
        let forwarded = if act[6] == 0 { u32::from(act[7]) } else { sent };
        let mut packet = 2_u64.to_le_bytes().to_vec();
        packet.extend(u64::from(CID).to_le_bytes());
        for number in [port, PORT, length, 1 | u32::from(act[2] % 9) << 16] {
            packet.extend(number.to_le_bytes());
        }
        for number in [u32::from(act[7]), buffer, forwarded] {
            packet.extend(number.to_le_bytes());
        }
        packet.extend(vec![act[4]; usize::from(act[3])]);
        if !self.network.wants_input() {
            return;
        }
        self.network.handle_input(self.now, &packet);
        if let Some((number, _)) = self.sent(port) {
            let room = self.room.entry(number).or_default();
            *room = (*room).max(u64::from(forwarded) + u64::from(buffer));
        }
    }

    fn transmit(&mut self, packets: usize) {
        for _ in 0..packets {
            let Some(packet) = self.network.poll_transmit(self.now) else { return };
            let port = u16::from_le_bytes([packet.header[20], packet.header[21]]);
            if let Some((number, sent)) = self.sent(port.into()) {
                let room = self.room.get(&number).copied().unwrap_or_default();
                assert!(sent <= room, "{port}: {sent} of {room}");
            }
        }
    }

    fn end(mut self) {
        self.flows.clear();
        for seconds in [10, 20, 30] {
            while self.network.poll_transmit(self.now).is_some() {}
            self.network.handle_timeout(self.now + Duration::from_secs(seconds));
        }
        drop(self.listener);
        while self.network.poll_transmit(self.now).is_some() {}
        assert_eq!((self.network.connections(), self.network.next_deadline()), (0, None));
    }
}
