//! Two stacks over two cards and a cable between their devices.

use super::*;
use offload::header::NEEDS_CHECKSUM;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

/// What the devices do to frames on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cable {
    /// Nothing: long frames stay long and checksums incomplete, as between guests of one host.
    Direct,
    /// Cut into segments, with whole checksums, as on a wire.
    Wire,
}

struct Host {
    card: Card,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: smoltcp::iface::SocketHandle,
}

impl Host {
    fn new(features: u64, number: u8) -> Self {
        let mut card = Card::new(features);
        let config = Config::new(EthernetAddress([2, 0, 0, 0, 0, number]).into());
        let mut interface = Interface::new(config, &mut card.net, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            for ipv6 in [false, true] {
                addresses.push(IpCidr::new(address(number, ipv6), 24)).unwrap();
            }
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; 200_000]);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
        Self { card, interface, sockets, handle }
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.card.net, &mut self.sockets);
        self.card.net.flush();
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }
}

fn address(number: u8, ipv6: bool) -> IpAddress {
    if ipv6 {
        IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, number.into())
    } else {
        IpAddress::v4(10, 0, 0, number)
    }
}

/// Takes what one device has to send to the other, as long as the longest frame has room there.
fn carry(cable: Cable, from: &Card, to: &Card) {
    while to.side.waiting(RECEIVE_QUEUE) >= 48
        && let Some(sent) = from.sent_one()
    {
        let (header, frame) = sent.split_at(12);
        let segment_bytes: usize = u16::from_le_bytes([header[4], header[5]]).into();
        if cable == Cable::Direct {
            to.deliver(header[0], frame);
        } else if header[1] == 0 {
            let mut frame = frame.to_vec();
            if header[0] & NEEDS_CHECKSUM != 0 {
                transmit::complete(header, &mut frame);
            }
            to.deliver(0, &frame);
        } else {
            for segment in cut(header, frame, segment_bytes) {
                to.deliver(0, &segment);
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
        tcp.fill_checksum(&from, &to);
        bytes
    });
    segments.collect()
}

/// Sends a megabyte from one host to the other and compares; how many frames the sender took.
fn transfer(cable: Cable, features: [u64; 2], ipv6: bool) -> u64 {
    let [mut server, mut client] = [Host::new(features[0], 1), Host::new(features[1], 2)];
    let data = pattern(5, 1 << 20);
    server.socket().listen(80).unwrap();
    let context = client.interface.context();
    let socket = client.sockets.get_mut::<tcp::Socket>(client.handle);
    socket.connect(context, (address(1, ipv6), 80), 40_000).unwrap();
    let (mut sent, mut received) = (0, Vec::new());
    for round in 0.. {
        assert!(round < 20_000, "{} bytes arrived", received.len());
        let now = Instant::from_millis(round);
        server.poll(now);
        carry(cable, &server.card, &client.card);
        client.poll(now);
        carry(cable, &client.card, &server.card);
        if server.socket().can_send() && sent < data.len() {
            sent += server.socket().send_slice(&data[sent..]).unwrap();
        }
        if client.socket().can_recv() {
            client.socket().recv(|bytes| (bytes.len(), received.extend_from_slice(bytes))).unwrap();
        }
        if received.len() >= data.len() {
            break;
        }
    }
    assert!(received == data);
    for host in [server.card, client.card] {
        assert_eq!(host.net.error(), None);
        assert_eq!(host.net.counters().received_dropped, 0);
        if host.net.counters().received_bytes < data.len() as u64 {
            return host.net.counters().sent_frames;
        }
    }
    unreachable!("one of them sent")
}

#[test]
fn long_frames_go_from_stack_to_stack_in_one_piece() {
    let frames = transfer(Cable::Direct, [ALL, ALL], false);
    assert!(frames < 150, "{frames} frames for a megabyte");
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

/// smoltcp 0.14 drops IPv6 packets above the MTU even if the device would segment them, so they
/// must not be built.
#[test]
fn ipv6_segments_fit_the_mtu() {
    let frames = transfer(Cable::Direct, [ALL, ALL], true);
    assert!(frames > 700, "{frames} frames for a megabyte");
}
