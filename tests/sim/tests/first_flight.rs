//! What leaves before anything has been acknowledged.

use flow::{Flow, FlowExt, Listener};
use sim::{Link, MAC, Offloads, TcpFields, WorldConfig, ack_frame, check, syn_frame, tcp_fields};
use std::net::SocketAddrV4;

const ENDS: (SocketAddrV4, SocketAddrV4) = (
    SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 2), 5000),
    SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 1), 80),
);

/// Sequence numbers and lengths of the data that stack 0 sends when its task writes `total` bytes
/// in pieces of at most `chunk`, to a peer that acknowledges none of it.
fn first_flight(name: &str, offloads: Offloads, total: usize, chunk: usize) -> Vec<(u32, usize)> {
    let link = Link { offloads, ..Link::default() };
    let mut flight = Vec::new();
    check(name, &WorldConfig { link, ..WorldConfig::default() }, |world| {
        world.wire.set_filter(Some(Box::new(|_, _| true)));
        let mut listener = world.stacks[0].listen(80).unwrap();
        world.spawner().spawn("writer", async move {
            let mut flow = listener.accept().await.unwrap();
            let bytes: Vec<u8> = (0..total).map(|at| at as u8).collect();
            for piece in bytes.chunks(chunk) {
                flow.write_all(piece).await.unwrap();
            }
            flow.finish();
        });
        world.settle();
        world.wire.inject(0, syn_frame((MAC[1], MAC[0]), ENDS.0, ENDS.1, 99));
        world.settle();
        let own = |world: &sim::World| -> Vec<(TcpFields, Vec<u8>)> {
            let log = world.wire.log();
            let own = log.iter().filter(|(_, frame)| frame[6..12] == MAC[0]);
            own.filter_map(|(_, frame)| Some((tcp_fields(frame)?, frame.clone()))).collect()
        };
        let next = own(world)[0].0.seq.wrapping_add(1);
        let frame = ack_frame((MAC[1], MAC[0]), ENDS.0, ENDS.1, (100, next), 0xffff, None);
        world.wire.inject(0, frame);
        world.settle();
        for (fields, frame) in own(world).into_iter().filter(|(fields, _)| fields.data > 0) {
            let place = fields.seq.wrapping_sub(next);
            let data = &frame[frame.len() - fields.data..];
            let right =
                data.iter().enumerate().all(|(at, byte)| *byte == (place as usize + at) as u8);
            assert!(right, "the bytes at {place}");
            flight.push((place, fields.data));
        }
    });
    flight
}

fn bytes(flight: &[(u32, usize)]) -> usize {
    flight.iter().map(|(_, data)| data).sum()
}

#[test]
fn rfc_6928_ten_segments_leave_at_once() {
    for offloads in [Offloads::None, Offloads::Segmentation] {
        let flight = first_flight("answer", offloads, 12_000, 12_000);
        assert_eq!(bytes(&flight), 12_000, "{flight:?}");
        let flight = first_flight("more", offloads, 100_000, 100_000);
        assert!((13_000..=14_600).contains(&bytes(&flight)), "{flight:?}");
    }
}

#[test]
fn rfc_9293_3_7_small_writes_leave_in_full_segments() {
    let flight = first_flight("small", Offloads::None, 100_000, 1_000);
    assert_eq!((flight.len(), bytes(&flight)), (10, 14_600), "{flight:?}");
}
