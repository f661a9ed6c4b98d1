//! A network whose device is the test: it carries packets, is slow, or breaks the rules.

extern crate std;

use crate::{Error, Fault, Settings, VirtioVsock};
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use flow::{ConnectError, Connector, Flow, FlowError, Listener, Target, VsockAddress};
use machine::virtio::fake::{self, DeviceSide, Offer};
use machine::virtio::{Kind, feature};
use vsock::{Limits, VsockFlow, VsockListener};

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
const EVENTS: u16 = 2;
const ALL: u64 = super::STREAM | feature::VERSION_1;
const CID: u32 = 5;
const PORT: u32 = 80;
const NOW: Duration = Duration::from_secs(1);
const SETTINGS: Settings =
    Settings { receive_buffers: 16, receive_buffer_bytes: 4096, transmit_packets: 8 };

const REQUEST: u16 = 1;
const RESPONSE: u16 = 2;
const RESET: u16 = 3;
const DATA: u16 = 5;

fn offer(features: u64) -> Offer {
    Offer {
        kind: Kind::Socket,
        features,
        configuration: u64::from(CID).to_le_bytes().to_vec(),
        queue_sizes: vec![128; 3],
    }
}

fn open(features: u64) -> (VirtioVsock, DeviceSide) {
    let (control, side) = fake::device(offer(features));
    (VirtioVsock::open(control, &SETTINGS, Limits::default()).unwrap(), side)
}

/// A packet of the host's, from this port of it.
fn packet(operation: u16, port: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = 2_u64.to_le_bytes().to_vec();
    packet.extend(u64::from(CID).to_le_bytes());
    packet.extend(port.to_le_bytes());
    packet.extend(PORT.to_le_bytes());
    packet.extend((payload.len() as u32).to_le_bytes());
    packet.extend(1_u16.to_le_bytes());
    packet.extend(operation.to_le_bytes());
    packet.extend(0_u32.to_le_bytes());
    packet.extend((1_u32 << 20).to_le_bytes());
    packet.extend(0_u32.to_le_bytes());
    packet.extend(payload);
    packet
}

fn operation(packet: &[u8]) -> u16 {
    u16::from_le_bytes([packet[30], packet[31]])
}

/// The device fills a buffer.
fn fill(side: &DeviceSide, queue: u16, bytes: &[u8]) {
    let chain = side.take(queue).unwrap();
    side.write(&chain, bytes);
    side.put(queue, chain.id.into(), bytes.len() as u32);
}

/// The device takes a packet.
fn take(side: &DeviceSide) -> Option<Vec<u8>> {
    let chain = side.take(TRANSMIT)?;
    let packet = side.read(&chain);
    side.put(TRANSMIT, chain.id.into(), 0);
    Some(packet)
}

/// A connection that the host opened.
fn accepted(vsock: &mut VirtioVsock, side: &DeviceSide) -> (VsockListener, VsockFlow) {
    let mut listener = vsock.network().listen(PORT, 64).unwrap();
    fill(side, RECEIVE, &packet(REQUEST, 9, b""));
    assert!(!vsock.ingress(NOW));
    vsock.egress(NOW);
    assert_eq!(operation(&take(side).unwrap()), RESPONSE);
    let flow = accept(&mut listener).unwrap();
    (listener, flow)
}

fn accept(listener: &mut VsockListener) -> Option<VsockFlow> {
    match listener.poll_accept(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(flow) => Some(flow.unwrap()),
        Poll::Pending => None,
    }
}

fn read(flow: &mut VsockFlow) -> Poll<Result<Vec<u8>, FlowError>> {
    let mut all = Vec::new();
    let cx = &mut Context::from_waker(Waker::noop());
    let taken = flow.poll_read_with(cx, &mut |bytes| {
        all.extend_from_slice(bytes);
        bytes.len()
    });
    taken.map_ok(|_| all)
}

fn share(flow: &mut VsockFlow, bytes: &'static [u8]) -> Poll<Result<usize, FlowError>> {
    let cx = &mut Context::from_waker(Waker::noop());
    flow.poll_write_shared(cx, &mut bytes::Bytes::from_static(bytes))
}

#[test]
fn packets_go_both_ways() {
    let (mut vsock, side) = open(ALL);
    assert_eq!(
        (vsock.network().cid(), side.available(RECEIVE), side.available(EVENTS)),
        (CID, 16, 4)
    );
    let (_listener, mut flow) = accepted(&mut vsock, &side);
    fill(&side, RECEIVE, &packet(DATA, 9, b"question"));
    vsock.ingress(NOW);
    assert_eq!(read(&mut flow), Poll::Ready(Ok(b"question".to_vec())));
    assert_eq!(share(&mut flow, &[7; 100_000]), Poll::Ready(Ok(100_000)));
    vsock.egress(NOW);
    // The longest payload, and the rest.
    for bytes in [65_536, 34_464] {
        let sent = take(&side).unwrap();
        assert_eq!((operation(&sent), sent.len(), sent[44]), (DATA, 44 + bytes, 7));
    }
    assert_eq!(take(&side), None);
}

#[test]
fn buffers_go_round() {
    let (mut vsock, side) = open(ALL);
    let (_listener, mut flow) = accepted(&mut vsock, &side);
    for nth in 0..70_000_u32 {
        fill(&side, RECEIVE, &packet(DATA, 9, &nth.to_le_bytes()));
        vsock.ingress(NOW);
        assert_eq!(read(&mut flow), Poll::Ready(Ok(nth.to_le_bytes().to_vec())));
        assert_eq!(share(&mut flow, b"x"), Poll::Ready(Ok(1)));
        vsock.egress(NOW);
        assert_eq!(take(&side).unwrap()[44..], *b"x");
    }
    assert_eq!(vsock.fault(), None);
}

#[test]
fn what_has_no_room_leaves_later_and_room_is_waited_for() {
    let (mut vsock, side) = open(ALL);
    let (_listener, mut flow) = accepted(&mut vsock, &side);
    for _ in 0..20 {
        assert_eq!(share(&mut flow, b"x"), Poll::Ready(Ok(1)));
    }
    assert!(!vsock.prepare_to_wait(), "there is something to send");
    vsock.egress(NOW);
    assert_eq!(side.waiting(TRANSMIT), 8);
    assert!(vsock.prepare_to_wait(), "there is no room");
    let mut taken = 0;
    while take(&side).is_some() {
        taken += 1;
        if side.waiting(TRANSMIT) == 0 {
            assert_eq!(vsock.prepare_to_wait(), taken == 20, "there is room");
            vsock.egress(NOW);
        }
        assert!(taken <= 20);
    }
    assert_eq!(taken, 20);
    assert!(vsock.prepare_to_wait());
}

#[test]
fn it_waits_only_when_there_is_nothing_to_do() {
    let (mut vsock, side) = open(ALL);
    let _listener = vsock.network().listen(PORT, 64).unwrap();
    assert!(vsock.prepare_to_wait());
    fill(&side, RECEIVE, &packet(REQUEST, 9, b""));
    assert!(!vsock.prepare_to_wait(), "a packet came");
    vsock.ingress(NOW);
    assert!(!vsock.prepare_to_wait(), "its answer is to leave");
    vsock.egress(NOW);
    assert!(vsock.prepare_to_wait());
    fill(&side, EVENTS, &[0; 4]);
    assert!(!vsock.prepare_to_wait(), "an event came");
    vsock.ingress(NOW);
    assert!(vsock.prepare_to_wait());
    // Interrupts are wanted while it waits, and not while it works.
    assert!(side.set_put(RECEIVE, 1));
    vsock.ingress(NOW);
    assert!(!side.set_put(RECEIVE, 1));
}

#[test]
fn a_batch_is_bounded() {
    let settings = Settings { receive_buffers: 128, ..SETTINGS };
    let (control, side) = fake::device(offer(ALL));
    let mut vsock = VirtioVsock::open(control, &settings, Limits::default()).unwrap();
    let mut listener = vsock.network().listen(PORT, 200).unwrap();
    for port in 0..100 {
        fill(&side, RECEIVE, &packet(REQUEST, port, b""));
    }
    assert!(vsock.ingress(NOW), "more waits");
    let first = core::iter::from_fn(|| accept(&mut listener)).map(core::mem::forget).count();
    assert_eq!(first, super::BATCH_PACKETS);
    assert!(!vsock.ingress(NOW));
}

/// 5.10.6.1: a device that does not take answers is not asked for more.
#[test]
fn what_cannot_be_answered_is_not_taken() {
    let (mut vsock, side) = open(ALL);
    let mut asked = 0;
    while side.waiting(RECEIVE) > 0 {
        fill(&side, RECEIVE, &packet(REQUEST, asked, b""));
        vsock.ingress(NOW);
        vsock.egress(NOW);
        asked += 1;
        assert!(asked < 1000);
    }
    assert!(vsock.prepare_to_wait(), "it does not spin");
    let mut answers = 0;
    for _ in 0..1000 {
        answers += u32::from(take(&side).is_some());
        vsock.ingress(NOW);
        vsock.egress(NOW);
    }
    assert_eq!(answers, asked);
}

#[test]
fn a_buffer_that_was_not_written_to_is_heard_once() {
    let (mut vsock, side) = open(ALL);
    let (_listener, mut flow) = accepted(&mut vsock, &side);
    for _ in 0..15 {
        let chain = side.take(RECEIVE).unwrap();
        side.put(RECEIVE, chain.id.into(), 44);
    }
    fill(&side, RECEIVE, &packet(DATA, 9, b"once"));
    vsock.ingress(NOW);
    assert_eq!(read(&mut flow), Poll::Ready(Ok(b"once".to_vec())));
    for _ in 0..16 {
        let chain = side.take(RECEIVE).unwrap();
        side.put(RECEIVE, chain.id.into(), 48);
    }
    vsock.ingress(NOW);
    assert_eq!((read(&mut flow), vsock.fault()), (Poll::Pending, None));
}

#[test]
fn virtio_5_10_6_7_a_reset_of_the_transport_reads_the_number_anew() {
    let (mut vsock, side) = open(ALL);
    let (_listener, mut flow) = accepted(&mut vsock, &side);
    // Other events are none that we know.
    fill(&side, EVENTS, &[1, 0, 0, 0]);
    fill(&side, EVENTS, &[0, 0]);
    vsock.ingress(NOW);
    assert_eq!(read(&mut flow), Poll::Pending);
    side.configure(0, 9);
    fill(&side, EVENTS, &[0; 4]);
    vsock.ingress(NOW);
    assert_eq!(read(&mut flow), Poll::Ready(Err(FlowError::Reset)));
    assert_eq!((vsock.network().cid(), side.waiting(EVENTS)), (9, 4));
    // A number that is none is not taken.
    side.configure(0, 1);
    fill(&side, EVENTS, &[0; 4]);
    vsock.ingress(NOW);
    assert_eq!((vsock.network().cid(), vsock.fault()), (9, None));
}

/// Each lie stops the device, and with it all connections; nothing panics or spins.
#[test]
fn a_device_that_lies_is_stopped() {
    type Act = fn(&DeviceSide);
    let lies: [(&str, Fault, Act); 9] = [
        ("more packets than buffers", Fault::UsedIndex, |side| _ = side.set_put(RECEIVE, 18)),
        ("a buffer that is not next", Fault::UsedId, |side| _ = side.put(RECEIVE, 3, 44)),
        ("a buffer beyond the ring", Fault::UsedId, |side| _ = side.put(RECEIVE, 0xffff, 44)),
        ("a packet longer than its buffer", Fault::UsedLength, |side| {
            side.put(RECEIVE, 1, 4097);
        }),
        ("a packet of nothing", Fault::UsedLength, |side| _ = side.put(RECEIVE, 1, 0)),
        ("more taken than sent", Fault::UsedIndex, |side| _ = side.set_put(TRANSMIT, 200)),
        ("another taken than sent", Fault::UsedId, |side| _ = side.put(TRANSMIT, 6, 0)),
        ("more events than buffers", Fault::UsedIndex, |side| _ = side.set_put(EVENTS, 5)),
        ("an event longer than its buffer", Fault::UsedLength, |side| {
            side.put(EVENTS, 0, 1025);
        }),
    ];
    for (lie, fault, act) in lies {
        let (mut vsock, side) = open(ALL);
        let (_listener, mut flow) = accepted(&mut vsock, &side);
        assert_eq!(share(&mut flow, b"x"), Poll::Ready(Ok(1)));
        vsock.egress(NOW);
        act(&side);
        vsock.ingress(NOW);
        vsock.egress(NOW);
        assert_eq!(vsock.fault(), Some(fault), "{lie}");
        assert_eq!(side.status(), 0, "{lie}: it was reset");
        assert_eq!(read(&mut flow), Poll::Ready(Err(FlowError::Down)), "{lie}");
        let target = Target::Vsock(VsockAddress { cid: 2, port: 1 });
        let network = vsock.network().clone();
        let mut connecting = pin!(network.connect(&target));
        let connected = connecting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let refused = Poll::Ready(Some(ConnectError::Unreachable));
        assert_eq!(connected.map(Result::err), refused, "{lie}");
        let doorbells = side.doorbells(TRANSMIT);
        assert!(!vsock.ingress(NOW), "{lie}");
        vsock.egress(NOW);
        assert_eq!(side.doorbells(TRANSMIT), doorbells, "{lie}");
    }
}

#[test]
fn a_device_that_was_stopped_is_started_anew_three_times() {
    let (mut vsock, side) = open(ALL);
    let mut listener = vsock.network().listen(PORT, 64).unwrap();
    for start in 0..=3 {
        fill(&side, RECEIVE, &packet(REQUEST, 9, b""));
        vsock.ingress(NOW);
        vsock.egress(NOW);
        assert_eq!(operation(&take(&side).unwrap()), RESPONSE);
        let mut flow = accept(&mut listener).unwrap();
        side.set_put(RECEIVE, 100);
        vsock.ingress(NOW);
        assert_eq!(read(&mut flow), Poll::Ready(Err(FlowError::Down)));
        assert!(vsock.prepare_to_wait(), "nobody is kept busy");
        assert_eq!(vsock.fault().is_none(), start < 3, "{start}");
    }
    assert_eq!(side.status(), 0);
    assert!(!vsock.ingress(NOW) && vsock.prepare_to_wait());
}

#[test]
fn a_device_that_has_changed_is_given_up() {
    let (mut vsock, side) = open(ALL);
    side.set_put(RECEIVE, 100);
    vsock.ingress(NOW);
    side.configure(0, 1);
    for _ in 0..5 {
        assert!(vsock.prepare_to_wait() && vsock.fault().is_some());
    }
    side.configure(0, 7);
    assert_eq!((vsock.restart(), vsock.network().cid(), vsock.fault()), (Ok(()), 7, None));
}

#[test]
fn a_device_that_asks_for_a_reset_is_started_anew() {
    const NEEDS_RESET: u8 = 1 << 6;
    let (mut vsock, side) = open(ALL);
    let (_listener, mut flow) = accepted(&mut vsock, &side);
    side.set_status(NEEDS_RESET);
    side.configure(0, 5);
    assert!(!vsock.prepare_to_wait());
    assert_eq!(read(&mut flow), Poll::Ready(Err(FlowError::Down)));
    assert!(vsock.prepare_to_wait());
    assert_eq!(vsock.fault(), None);
}

#[test]
fn silent_peers_are_given_up_at_their_time() {
    let (mut vsock, side) = open(ALL);
    let (_listener, mut flow) = accepted(&mut vsock, &side);
    flow.finish();
    drop(flow);
    vsock.egress(NOW);
    assert_eq!(operation(&take(&side).unwrap()), 4);
    let deadline = vsock.network().next_deadline().unwrap();
    vsock.ingress(deadline);
    vsock.egress(deadline);
    assert_eq!(operation(&take(&side).unwrap()), RESET);
    assert_eq!(vsock.network().next_deadline(), None);
}

#[test]
fn devices_that_cannot_serve_are_refused() {
    let open = |offer| {
        let opened = VirtioVsock::open(fake::device(offer).0, &SETTINGS, Limits::default());
        opened.map(|_| ()).unwrap_err()
    };
    let other = Offer { kind: Kind::Entropy, ..offer(ALL) };
    assert_eq!(open(other), Error::Unsupported("sockets"));
    let without_events = Offer { queue_sizes: vec![128; 2], ..offer(ALL) };
    assert_eq!(open(without_events), Error::Unsupported("enough queues"));
    let legacy = offer(ALL & !feature::VERSION_1);
    assert_eq!(open(legacy), Error::Unsupported("modern virtio"));
    let other_sockets = offer(feature::VERSION_1 | super::NO_IMPLIED_STREAM);
    assert_eq!(open(other_sockets), Error::Unsupported("streams"));
    for cid in [0, 1, 2, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        let configuration = cid.to_le_bytes().to_vec();
        let nobody = Offer { configuration, ..offer(ALL) };
        assert_eq!(open(nobody), Error::Unsupported("a machine's number from 3 on"), "{cid}");
    }
}

#[test]
fn streams_are_implied_unless_the_device_says_otherwise() {
    for (features, accepted) in [
        (feature::VERSION_1, feature::VERSION_1),
        (ALL | super::NO_IMPLIED_STREAM, ALL),
        (ALL | feature::EVENT_IDX, ALL | feature::EVENT_IDX),
    ] {
        let (vsock, side) = open(features);
        assert_eq!((vsock.fault(), side.accepted()), (None, accepted));
    }
}
