//! Frames to the device.

use super::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, IpRepr, Ipv4Repr,
    Ipv6Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

fn addresses(ipv6: bool) -> (IpAddress, IpAddress) {
    if ipv6 {
        (IpAddress::v6(0xfd00, 0, 0, 0, 1, 2, 3, 4), IpAddress::v6(0xfd00, 0, 0, 0, 5, 6, 7, 8))
    } else {
        (IpAddress::v4(10, 0, 0, 1), IpAddress::v4(192, 168, 1, 2))
    }
}

/// A TCP frame as smoltcp writes it: with its checksum, or 0 in its place.
pub(super) fn tcp(ipv6: bool, payload: &[u8], checksum: bool) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: 80,
        dst_port: 40_000,
        control: TcpControl::Psh,
        seq_number: TcpSeqNumber(1),
        ack_number: Some(TcpSeqNumber(2)),
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let mut checksums = ChecksumCapabilities::default();
    if !checksum {
        checksums.tcp = smoltcp::phy::Checksum::None;
    }
    let (from, to) = addresses(ipv6);
    let ip = match (from, to) {
        (IpAddress::Ipv4(src_addr), IpAddress::Ipv4(dst_addr)) => IpRepr::Ipv4(Ipv4Repr {
            src_addr,
            dst_addr,
            next_header: IpProtocol::Tcp,
            payload_len: repr.buffer_len(),
            hop_limit: 64,
        }),
        (IpAddress::Ipv6(src_addr), IpAddress::Ipv6(dst_addr)) => IpRepr::Ipv6(Ipv6Repr {
            src_addr,
            dst_addr,
            next_header: IpProtocol::Tcp,
            payload_len: repr.buffer_len(),
            hop_limit: 64,
        }),
        _ => unreachable!(),
    };
    let mut bytes = vec![0; 14 + ip.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    let ethertype = if ipv6 { EthernetProtocol::Ipv6 } else { EthernetProtocol::Ipv4 };
    EthernetRepr { src_addr: Default::default(), dst_addr: Default::default(), ethertype }
        .emit(&mut frame);
    ip.emit(frame.payload_mut(), &checksums);
    let segment = &mut frame.payload_mut()[ip.header_len()..];
    repr.emit(&mut TcpPacket::new_unchecked(segment), &from, &to, &checksums);
    bytes
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    u16::from_le_bytes([bytes[at], bytes[at + 1]]).into()
}

/// Adds up what the device is asked to, and writes the result where it is asked to.
pub(super) fn complete(header: &[u8], frame: &mut [u8]) {
    let (start, offset) = (u16_at(header, 6), u16_at(header, 8));
    let mut sum: u64 = 0;
    for pair in frame[start..].chunks(2) {
        sum += u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |&byte| u64::from(byte));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    frame[start + offset..start + offset + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[test]
fn the_device_completes_the_checksum_that_the_stack_would_have() {
    for ipv6 in [false, true] {
        for bytes in [0, 1, 2, 3, 4, 5, 100, 1399, 1400] {
            let mut card = Card::new(ALL);
            let payload = pattern(bytes as u64 + 1, bytes);
            assert!(card.send(&tcp(ipv6, &payload, false)));
            card.net.flush();
            let sent = card.sent_one().unwrap();
            let (header, frame) = sent.split_at(12);
            let mut frame = frame.to_vec();
            assert_eq!(&header[..6], [1, 0, 0, 0, 0, 0]);
            complete(header, &mut frame);
            assert!(frame == tcp(ipv6, &payload, true), "ipv6 {ipv6}, {bytes} bytes");
        }
    }
}

#[test]
fn a_long_frame_says_how_to_cut_it() {
    for (ipv6, kind, headers) in [(false, 1, 54), (true, 4, 74)] {
        let mut card = Card::new(ALL);
        let frame = tcp(ipv6, &pattern(9, 60_000), false);
        assert!(card.send_in_segments(&frame, 1440));
        card.net.flush();
        let sent = card.sent_one().unwrap();
        assert_eq!(sent[..2], [1, kind]);
        assert_eq!([2, 4].map(|at| u16_at(&sent, at)), [headers, 1440]);
        assert_eq!([6, 8].map(|at| u16_at(&sent, at)), [headers - 20, 16]);
        let mut completed = sent[12..].to_vec();
        complete(&sent, &mut completed);
        assert!(completed == tcp(ipv6, &pattern(9, 60_000), true));
        assert_eq!(card.net.counters().sent_segmented, 1);
    }
}

#[test]
fn other_frames_are_left_alone() {
    let fragment = {
        let mut frame = tcp(false, &[1, 2, 3], false);
        frame[20] = 0x20;
        frame
    };
    let cut_short = tcp(false, &[1, 2, 3], false)[..50].to_vec();
    for frame in [vec![0xff; 60], vec![], vec![8; 13], fragment, cut_short] {
        let mut card = Card::new(ALL);
        assert!(card.send(&frame));
        card.net.flush();
        let sent = card.sent_one().unwrap();
        assert_eq!((&sent[..12], &sent[12..]), (&[0; 12][..], &frame[..]));
    }
}

#[test]
fn without_offload_frames_go_as_they_are() {
    let mut card = Card::new(ALL & !CSUM);
    let capabilities = card.net.capabilities();
    assert!(!capabilities.transmit_checksums);
    assert_eq!((capabilities.segmentation_ipv4, capabilities.segmentation_ipv6), (None, None));
    let frame = tcp(false, &[7; 99], true);
    assert!(card.send(&frame));
    card.net.flush();
    assert_eq!(card.sent(), [[&[0; 12], &frame[..]].concat()]);
}

/// Sends frames of 1 to `short` bytes, every eighth of up to `long`, and has the device take them
/// late.
fn survive(settings: Settings, features: u64, short: u64, long: u64) {
    let mut card = Card::with(features, settings);
    let mut random = Random(11);
    let mut queued = alloc::collections::VecDeque::new();
    for seed in 1..4000 {
        let limit = if random.below(8) == 0 { long } else { short };
        let frame = pattern(seed, 1 + random.below(limit) as usize);
        if card.send(&frame) {
            queued.push_back(frame);
            card.net.flush();
        } else {
            assert!(!queued.is_empty(), "room for one when nothing is in flight");
        }
        while random.below(3) == 0
            && let Some(frame) = queued.pop_front()
        {
            assert!(card.sent_one().unwrap()[12..] == frame, "frame {seed}");
        }
    }
    assert_eq!(card.net.error(), None);
}

#[test]
fn long_frames_survive_many_rounds_of_the_region() {
    survive(SETTINGS, ALL, 1514, 14 + 65_535);
}

#[test]
fn short_frames_survive_many_rounds_of_the_region() {
    let plain = ALL & !(HOST_TSO4 | HOST_TSO6);
    for pages in 1..=5 {
        survive(Settings { transmit_bytes: pages * 4096, ..SETTINGS }, plain, 1514, 64);
    }
}

#[test]
fn the_longest_frame_fits_and_no_longer_one() {
    let mut card = Card::new(ALL);
    let capabilities = card.net.capabilities();
    let longest = capabilities.segmentation_ipv4.unwrap().get();
    assert_eq!(longest, 14 + 65_535);
    assert_eq!(capabilities.segmentation_ipv6.map(|bytes| bytes.get()), Some(longest));
    assert!(card.send(&vec![1; longest]));
    assert!(card.send(&vec![1; longest + 1]), "the stack is let go on");
    let counters = card.net.counters();
    assert_eq!((counters.sent_frames, counters.sent_dropped), (1, 1));
}

/// Half of the memory, with the device's header, so that one is built while another is on its way.
#[test]
fn with_little_memory_the_longest_frame_is_shorter() {
    for (transmit_bytes, longest) in [(40_000, 19_988), (2000, 1514), (200_000, 65_549)] {
        let mut card = Card::with(ALL, Settings { transmit_bytes, ..SETTINGS });
        let capabilities = card.net.capabilities();
        assert_eq!(capabilities.segmentation_ipv4.map(|bytes| bytes.get()), Some(longest));
        assert!(card.send(&vec![1; longest]));
        card.net.flush();
        assert_eq!(card.sent_one().unwrap().len(), 12 + longest);
    }
}

#[test]
fn a_full_ring_gives_no_leave_until_the_device_returns_frames() {
    let mut card = Card::new(ALL);
    for _ in 0..16 {
        assert!(card.send(&[1; 60]));
    }
    assert!(!card.send(&[1; 60]));
    card.net.flush();
    assert_eq!(card.sent().len(), 16);
    assert!(card.send(&[1; 60]));
}

#[test]
fn frames_wait_while_there_is_no_room_to_answer() {
    let mut card = Card::new(ALL);
    while card.send(&[1; 60]) {}
    card.deliver(2, &[0; 60]);
    assert_eq!(card.receive(), None);
    assert!(card.net.prepare_to_wait(), "nothing to do until there is room");
    assert_eq!(card.sent().len(), 16);
    assert!(!card.net.prepare_to_wait());
    assert!(card.net.receive(&mut |_, answer| {
        assert!(answer.transmit(TxFrame::new(42), &mut |buffer| buffer.fill(5)));
    }));
    card.net.flush();
    assert_eq!(card.sent(), [[&[0; 12][..], &[5; 42]].concat()]);
}
