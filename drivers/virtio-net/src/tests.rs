//! The driver against a fake device.

mod counters;
mod hostile;
mod interrupts;
mod receive;
mod revival;
mod transfer;
mod transmit;
mod zero_copy;

use crate::{Error, Fault, Settings, VirtioNet};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::num::NonZeroU16;
use machine::console::fake::LogLines;
use machine::virtio::fake::{self, DeviceSide, Offer};
use machine::virtio::{Kind, feature};
use net::device::{NetDevice, TxFrame};

/// Feature bits (5.1.3).
const CSUM: u64 = 0x1;
const GUEST_CSUM: u64 = 0x2;
const MTU: u64 = 0x8;
const MAC: u64 = 0x20;
const GUEST_TSO4: u64 = 0x80;
const GUEST_TSO6: u64 = 0x100;
const HOST_TSO4: u64 = 0x800;
const HOST_TSO6: u64 = 0x1000;
const MRG_RXBUF: u64 = 0x8000;
const STATUS: u64 = 0x1_0000;
const ALL: u64 = CSUM
    | GUEST_CSUM
    | GUEST_TSO4
    | GUEST_TSO6
    | HOST_TSO4
    | HOST_TSO6
    | MAC
    | MRG_RXBUF
    | MTU
    | STATUS
    | feature::EVENT_IDX
    | feature::VERSION_1;
const SETTINGS: Settings = Settings {
    receive_buffers: 64,
    receive_buffer_bytes: 2048,
    transmit_frames: 16,
    transmit_bytes: 140_000,
};
/// The queues of the first pair (5.1.2).
const RECEIVE_QUEUE: u16 = 0;
const TRANSMIT_QUEUE: u16 = 1;
const MAC_ADDRESS: [u8; 6] = [0x52, 0x54, 0, 1, 2, 0xef];

/// A card and the device behind it.
struct Card {
    net: VirtioNet,
    side: DeviceSide,
}

impl Card {
    fn new(features: u64) -> Self {
        Self::with(features, SETTINGS)
    }

    fn with(features: u64, settings: Settings) -> Self {
        let (device, side) = fake::device(offer(features));
        Self { net: VirtioNet::open(device, &settings).unwrap(), side }
    }

    /// Gives the driver a frame as a device does; whether it wants an interrupt for it.
    fn deliver(&self, flags: u8, frame: &[u8]) -> bool {
        deliver(&self.side, flags, frame)
    }

    /// The next frame that the driver has for the stack.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut received = None;
        self.net.receive(&mut |frame, _| received = Some(frame.to_vec()));
        received
    }

    /// Has the driver send a frame; false when there is no room.
    fn send(&mut self, frame: &[u8]) -> bool {
        self.send_in_segments(frame, 0)
    }

    /// The same for the device to cut into segments of so many bytes, unless that is 0.
    fn send_in_segments(&mut self, frame: &[u8], segment_bytes: u16) -> bool {
        let segment_bytes = NonZeroU16::new(segment_bytes);
        let whole = TxFrame { segment_bytes, ..TxFrame::new(frame.len()) };
        self.net.transmitter().transmit(whole, &mut |buffer| buffer.copy_from_slice(frame))
    }

    /// All that was sent, each with its header, returned to the driver.
    fn sent(&self) -> Vec<Vec<u8>> {
        core::iter::from_fn(|| self.sent_one()).collect()
    }

    fn sent_one(&self) -> Option<Vec<u8>> {
        sent_one(&self.side)
    }
}

fn deliver(side: &DeviceSide, flags: u8, frame: &[u8]) -> bool {
    let buffer_bytes = SETTINGS.receive_buffer_bytes;
    let buffers = (12 + frame.len()).div_ceil(buffer_bytes) as u16;
    let mut bytes = vec![0; 12];
    bytes[0] = flags;
    bytes[10..].copy_from_slice(&buffers.to_le_bytes());
    bytes.extend(frame);
    let mut interrupt = false;
    for piece in bytes.chunks(buffer_bytes) {
        let chain = side.take(RECEIVE_QUEUE).expect("a buffer is posted");
        side.write(&chain, piece);
        interrupt |= side.put(RECEIVE_QUEUE, chain.id.into(), piece.len() as u32);
    }
    interrupt
}

fn sent_one(side: &DeviceSide) -> Option<Vec<u8>> {
    let chain = side.take(TRANSMIT_QUEUE)?;
    let bytes = side.read(&chain);
    side.put(TRANSMIT_QUEUE, chain.id.into(), 0);
    Some(bytes)
}

fn offer(features: u64) -> Offer {
    let mut configuration = MAC_ADDRESS.to_vec();
    configuration.extend([1, 0, 1, 0]);
    configuration.extend(1500_u16.to_le_bytes());
    Offer { kind: Kind::Network, features, configuration, queue_sizes: vec![256, 256] }
}

/// Bytes that tell where they are from.
fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..bytes).map(|_| random.next() as u8).collect()
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[test]
fn features_that_hang_on_a_missing_one_are_left() {
    let cases = [
        ("all", ALL, SETTINGS, ALL),
        ("no CSUM", ALL & !CSUM, SETTINGS, ALL & !(CSUM | HOST_TSO4 | HOST_TSO6)),
        (
            "no GUEST_CSUM",
            ALL & !GUEST_CSUM,
            SETTINGS,
            ALL & !(GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6),
        ),
        ("no MRG_RXBUF", ALL & !MRG_RXBUF, SETTINGS, ALL & !(MRG_RXBUF | GUEST_TSO4 | GUEST_TSO6)),
        (
            "a ring below 64 KiB",
            ALL,
            Settings { receive_buffers: 32, ..SETTINGS },
            ALL & !(GUEST_TSO4 | GUEST_TSO6),
        ),
        (
            "a ring that the longest frame fills but for one buffer",
            ALL,
            Settings { receive_buffers: 2, receive_buffer_bytes: 65_549, ..SETTINGS },
            ALL & !(GUEST_TSO4 | GUEST_TSO6),
        ),
        (
            "and some bytes",
            ALL,
            Settings { receive_buffers: 2, receive_buffer_bytes: 65_550, ..SETTINGS },
            ALL,
        ),
        (
            "no power of two, of which a ring has fewer buffers",
            ALL,
            Settings { receive_buffers: 63, ..SETTINGS },
            ALL & !(GUEST_TSO4 | GUEST_TSO6),
        ),
        ("what nobody asked for", u64::MAX, SETTINGS, ALL | feature::ACCESS_PLATFORM),
    ];
    for (name, offered, settings, accepted) in cases {
        let card = Card::with(offered, settings);
        assert_eq!(card.side.accepted(), accepted, "{name}");
    }
}

#[test]
fn devices_that_cannot_serve_are_refused() {
    let open = |offer| VirtioNet::open(fake::device(offer).0, &SETTINGS).map(|_| ());
    let legacy = offer(ALL & !feature::VERSION_1);
    assert_eq!(open(legacy), Err(Error::Unsupported("modern virtio")));
    let one_queue = Offer { queue_sizes: vec![256], ..offer(ALL) };
    assert_eq!(open(one_queue), Err(Error::Unsupported("enough queues")));
    let other = Offer { kind: Kind::Entropy, ..offer(ALL) };
    assert_eq!(open(other), Err(Error::Unsupported("a network card")));
}

#[test]
fn configuration_is_read_where_it_is_offered() {
    let mut lines = LogLines::of_this_thread();
    let card = Card::new(ALL);
    assert_eq!(lines.take(), "INFO card 52:54:00:01:02:ef, packets of 1500 bytes\n");
    assert_eq!(card.net.driver(), "virtio-net");
    assert_eq!(
        (card.net.mac(), card.net.capabilities().mtu_bytes, card.net.link_up()),
        (MAC_ADDRESS, 1500, true)
    );
    let card = Card::new(ALL & !(MAC | MTU | STATUS));
    assert_eq!(
        (card.net.mac(), card.net.capabilities().mtu_bytes, card.net.link_up()),
        ([0; 6], 1500, true)
    );
    for (said, mtu_bytes) in [(9000, 9000), (1280, 1280), (1279, 1500), (9217, 1500), (0, 1500)] {
        let mut offer = offer(ALL);
        offer.configuration[10..].copy_from_slice(&u16::to_le_bytes(said));
        let net = VirtioNet::open(fake::device(offer).0, &SETTINGS).unwrap();
        assert_eq!(net.capabilities().mtu_bytes, mtu_bytes);
    }
}

#[test]
fn the_link_is_followed() {
    let mut lines = LogLines::of_this_thread();
    let mut card = Card::new(ALL);
    lines.take();
    for (link_up, text) in [
        (true, ""),
        (false, "INFO the link is down\n"),
        (false, ""),
        (true, "INFO the link is up\n"),
    ] {
        card.side.configure(6, link_up.into());
        assert!(card.net.prepare_to_wait());
        assert_eq!((card.net.link_up(), &*lines.take()), (link_up, text));
    }
    let mut offer = offer(ALL);
    offer.configuration[6] = 0;
    let net = VirtioNet::open(fake::device(offer).0, &SETTINGS).unwrap();
    assert!(!net.link_up() && lines.take().ends_with(" bytes, no link\n"));
}

#[test]
fn queues_are_as_long_as_both_sides_can() {
    let offered = Offer { queue_sizes: vec![32, 1000], ..offer(ALL) };
    let (device, side) = fake::device(offered);
    let settings = Settings { receive_buffers: 64, transmit_frames: 33, ..SETTINGS };
    VirtioNet::open(device, &settings).unwrap();
    assert_eq!((side.size(RECEIVE_QUEUE), side.size(TRANSMIT_QUEUE)), (32, 64));
    // Into the shorter ring no long frame goes.
    assert_eq!(side.accepted(), ALL & !(GUEST_TSO4 | GUEST_TSO6));
}
