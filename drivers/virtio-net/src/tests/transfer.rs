//! Two stacks over two cards and a cable between their devices.

use super::*;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use flow::task::Executor;
use flow::{Connector, Flow, FlowExt, Listener, Target};
use net::{Config, Counter, Limits, Stack};
use offload::header::NEEDS_CHECKSUM;

/// What the devices do to frames on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cable {
    /// Nothing: long frames stay long and checksums incomplete, as between guests of one host.
    Direct,
    /// Cut into segments, with whole checksums, as on a wire.
    Wire,
}

struct Host {
    stack: Stack,
    side: DeviceSide,
    /// Frames that the device was given.
    frames: u64,
}

impl Host {
    fn new(features: u64, number: u8) -> Self {
        let Card { net, side } = Card::new(features);
        let addresses = [false, true].map(|ipv6| (address(number, ipv6), 24)).to_vec();
        let limits = Limits {
            receive_buffer_initial_bytes: 200_000,
            send_buffer_initial_bytes: 200_000,
            ..Limits::default()
        };
        let config = Config { addresses, dhcp: false, slaac: false, limits, ..Config::default() };
        let hardware_address = [2, 0, 0, 0, 0, number];
        let stack = Stack::new(net, &config, hardware_address, [number; 64], Duration::ZERO);
        Self { stack, side, frames: 0 }
    }

    /// One turn of the loop.
    fn poll(&mut self, tasks: &Executor, now: Duration) {
        self.stack.ingress(now);
        tasks.run(100);
        self.stack.egress(now);
    }
}

fn address(number: u8, ipv6: bool) -> IpAddr {
    if ipv6 {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()).into()
    } else {
        Ipv4Addr::new(10, 0, 0, number).into()
    }
}

/// Takes what one device has to send to the other, as long as the longest frame has room there.
fn carry(cable: Cable, from: &mut Host, to: &DeviceSide) {
    while to.waiting(RECEIVE_QUEUE) >= 48
        && let Some(sent) = sent_one(&from.side)
    {
        from.frames += 1;
        let (header, frame) = sent.split_at(12);
        let segment_bytes: usize = u16::from_le_bytes([header[4], header[5]]).into();
        if cable == Cable::Direct {
            deliver(to, header[0], frame);
        } else if header[1] == 0 {
            let mut frame = frame.to_vec();
            if header[0] & NEEDS_CHECKSUM != 0 {
                transmit::complete(header, &mut frame);
            }
            deliver(to, 0, &frame);
        } else {
            for segment in cut(header, frame, segment_bytes) {
                deliver(to, 0, &segment);
            }
        }
    }
}

/// The segments of a long IPv4 frame, as hardware makes them.
fn cut(header: &[u8], frame: &[u8], segment_bytes: usize) -> Vec<Vec<u8>> {
    use smoltcp::wire::{Ipv4Packet, TcpPacket};
    let headers_bytes: usize = u16::from_le_bytes([header[2], header[3]]).into();
    let (headers, payload) = frame.split_at(headers_bytes);
    let pieces = payload.chunks(segment_bytes).enumerate();
    let segments = pieces.map(|(index, piece)| {
        let mut bytes = [headers, piece].concat();
        let mut ip = Ipv4Packet::new_unchecked(&mut bytes[14..]);
        ip.set_total_len((headers_bytes - 14 + piece.len()) as u16);
        ip.fill_checksum();
        let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
        let mut tcp = TcpPacket::new_unchecked(ip.payload_mut());
        let number = tcp.seq_number() + index * segment_bytes;
        tcp.set_seq_number(number);
        // The end is the last one's.
        let is_last = (index + 1) * segment_bytes >= payload.len();
        tcp.set_fin(tcp.fin() && is_last);
        tcp.set_psh(tcp.psh() && is_last);
        tcp.fill_checksum(&from, &to);
        bytes
    });
    segments.collect()
}

/// Sends a megabyte from one host to the other and compares; how many frames the sender took.
fn transfer(cable: Cable, features: [u64; 2], ipv6: bool) -> u64 {
    let [mut server, mut client] = [Host::new(features[0], 1), Host::new(features[1], 2)];
    let tasks = Executor::new(|body| {
        body();
        Ok(())
    });
    let data = pattern(5, 1 << 20);
    let mut listener = server.stack.listen(80).unwrap();
    let connector = client.stack.connector();
    let sent = data.clone();
    tasks.spawner().spawn("server", async move {
        let mut flow = listener.accept().await.unwrap();
        flow.write_all(&sent).await.unwrap();
        flow.finish();
    });
    let received = Rc::new(RefCell::new(Vec::new()));
    let arrived = received.clone();
    tasks.spawner().spawn("client", async move {
        let target = Target::Address(SocketAddr::new(address(1, ipv6), 80));
        let mut flow = connector.connect(&target).await.unwrap();
        let mut take = |bytes: &mut [u8]| {
            arrived.borrow_mut().extend_from_slice(bytes);
            (bytes.len(), bytes.len())
        };
        while flow.read_with(&mut take).await.unwrap() > 0 {}
    });
    for round in 0.. {
        assert!(round < 20_000, "{} bytes arrived", received.borrow().len());
        let now = Duration::from_millis(round);
        server.poll(&tasks, now);
        carry(cable, &mut server, &client.side);
        client.poll(&tasks, now);
        carry(cable, &mut client, &server.side);
        if received.borrow().len() >= data.len() {
            break;
        }
    }
    assert!(*received.borrow() == data);
    assert_eq!(server.stack.count(Counter::Retransmits), 0, "nothing was dropped");
    server.frames
}

#[test]
fn long_frames_go_from_stack_to_stack_in_one_piece() {
    for ipv6 in [false, true] {
        let frames = transfer(Cable::Direct, [ALL, ALL], ipv6);
        assert!(frames < 150, "{frames} frames for a megabyte");
    }
}

#[test]
fn segments_cut_by_the_device_arrive() {
    let frames = transfer(Cable::Wire, [ALL, ALL], false);
    assert!(frames < 300, "{frames} frames for a megabyte");
}

#[test]
fn without_offloads_all_arrives_too() {
    let plain = MAC | feature::VERSION_1;
    for ipv6 in [false, true] {
        for cable in [Cable::Direct, Cable::Wire] {
            transfer(cable, [plain, plain], ipv6);
            transfer(Cable::Wire, [ALL & !HOST_TSO4, plain], ipv6);
        }
    }
}
