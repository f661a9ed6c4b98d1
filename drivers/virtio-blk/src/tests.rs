//! A disk whose device is the test: it answers in any order, late, wrongly, or not at all.

extern crate std;

use crate::{Error, Fault, Settings, VirtioBlk};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use machine::virtio::fake::{self, Chain, DeviceSide, Offer};
use machine::virtio::{Kind, feature};
use storage::{BlockDevice, DiskError, Pending};

const SIZE_MAX: u64 = 1 << 1;
const RO: u64 = 1 << 5;
const BLK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;
const ALL: u64 = BLK_SIZE | FLUSH | feature::VERSION_1;

const SETTINGS: Settings = Settings { requests_max: 16, request_bytes_max: 65_536 };
const SECTORS: u64 = 4096;

const QUEUE: u16 = 0;
const OK: u8 = 0;
const IO_ERROR: u8 = 1;

/// Configuration (5.2.4): capacity, size_max, seg_max, geometry, blk_size.
fn offer(features: u64) -> Offer {
    let mut configuration = SECTORS.to_le_bytes().to_vec();
    configuration.extend(8192_u32.to_le_bytes());
    configuration.extend([0; 8]);
    configuration.extend(512_u32.to_le_bytes());
    Offer { kind: Kind::Block, features, configuration, queue_sizes: vec![256] }
}

fn disk(features: u64) -> (VirtioBlk, DeviceSide) {
    let (control, side) = fake::device(offer(features));
    (VirtioBlk::open(control, &SETTINGS).unwrap(), side)
}

fn poll<T>(pending: &mut Pending<T>) -> Poll<Result<T, DiskError>> {
    Pin::new(pending).poll(&mut Context::from_waker(Waker::noop()))
}

/// What the driver asks for: its kind, and the sector that it begins with.
fn header(side: &DeviceSide, chain: &Chain) -> (u32, u64) {
    let bytes = side.read(chain);
    let kind = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    (kind, u64::from_le_bytes(bytes[8..16].try_into().unwrap()))
}

/// What lies in a sector.
fn content(sector: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (sector as usize + at / 512) as u8).collect()
}

/// Answers a read as a disk does.
fn answer(side: &DeviceSide, chain: &Chain) {
    let (kind, sector) = header(side, chain);
    assert_eq!(kind, 0, "a read");
    let bytes = chain.buffers[1].1 as usize;
    let mut answer = content(sector, bytes);
    answer.push(OK);
    side.write(chain, &answer);
    side.put(QUEUE, chain.id.into(), bytes as u32 + 1);
}

#[test]
fn reads_are_answered_in_any_order() {
    let (disk, side) = disk(ALL);
    let mut reads: Vec<_> = (0..8).map(|nth| disk.read(nth * 4096, 4096)).collect();
    assert_eq!(side.available(QUEUE), 0, "one doorbell for all of a turn");
    disk.flush_requests();
    assert_eq!((side.available(QUEUE), side.doorbells(QUEUE)), (8, 1));
    let chains: Vec<_> = (0..8).map(|_| side.take(QUEUE).unwrap()).collect();
    for at in [3, 0, 7, 1, 2, 6, 5, 4] {
        assert!(poll(&mut reads[at]).is_pending());
        answer(&side, &chains[at]);
        assert!(disk.poll());
        let expected = content(at as u64 * 8, 4096);
        assert_eq!(poll(&mut reads[at]), Poll::Ready(Ok(expected.into())));
    }
    assert!(!disk.poll());
    assert_eq!(disk.counters().depth_max, 8);
}

#[test]
fn what_has_no_room_waits_and_is_not_lost() {
    let (disk, side) = disk(ALL);
    let mut reads: Vec<_> = (0..40).map(|nth| disk.read(nth * 512, 512)).collect();
    let mut asked = 0;
    while asked < 40 {
        disk.flush_requests();
        let Some(chain) = side.take(QUEUE) else { panic!("{asked} of 40 were asked for") };
        assert!(side.waiting(QUEUE) < 16);
        answer(&side, &chain);
        asked += 1;
        assert!(disk.poll());
    }
    for (nth, read) in (0..).zip(&mut reads) {
        assert_eq!(poll(read), Poll::Ready(Ok(content(nth, 512).into())));
    }
    assert_eq!(disk.counters().depth_max, 16);
}

#[test]
fn the_crate_s_queue_goes_round() {
    let (disk, side) = disk(ALL);
    for nth in 0..70_000 {
        let mut read = disk.read(nth % 8 * 512, 512);
        disk.flush_requests();
        answer(&side, &side.take(QUEUE).unwrap());
        assert!(disk.poll());
        assert!(poll(&mut read).is_ready());
    }
}

#[test]
fn writes_and_flushes_reach_the_device() {
    let (disk, side) = disk(ALL);
    let data = Bytes::from(content(7, 1024));
    let (mut write, mut flush) = (disk.write(512, data.clone()), disk.flush());
    disk.flush_requests();
    let chain = side.take(QUEUE).unwrap();
    assert_eq!(header(&side, &chain), (1, 1));
    assert_eq!(side.read(&chain)[16..], data);
    side.write(&chain, &[OK]);
    side.put(QUEUE, chain.id.into(), 1);
    let chain = side.take(QUEUE).unwrap();
    assert_eq!(header(&side, &chain), (4, 0));
    side.write(&chain, &[IO_ERROR]);
    side.put(QUEUE, chain.id.into(), 1);
    assert!(disk.poll());
    assert_eq!(poll(&mut write), Poll::Ready(Ok(())));
    assert_eq!(poll(&mut flush), Poll::Ready(Err(DiskError::Failed)));
}

#[test]
fn a_device_without_flush_is_not_asked_to() {
    let (disk, side) = disk(ALL & !FLUSH);
    assert_eq!(poll(&mut disk.flush()), Poll::Ready(Ok(())));
    disk.flush_requests();
    assert_eq!(side.available(QUEUE), 0);
}

#[test]
fn what_cannot_be_done_fails_alone() {
    let (disk, side) = disk(ALL | RO);
    let end = SECTORS * 512;
    assert_eq!(poll(&mut disk.read(end, 512)), Poll::Ready(Err(DiskError::OutOfRange)));
    assert_eq!(poll(&mut disk.read(100, 512)), Poll::Ready(Err(DiskError::OutOfRange)));
    let write = &mut disk.write(0, Bytes::from(vec![0; 512]));
    assert_eq!(poll(write), Poll::Ready(Err(DiskError::ReadOnly)));
    let (mut bad, mut short, mut good) =
        (disk.read(0, 512), disk.read(512, 1024), disk.read(1024, 512));
    disk.flush_requests();
    let chain = side.take(QUEUE).unwrap();
    let mut answered = vec![0xaa; 512];
    answered.push(IO_ERROR);
    side.write(&chain, &answered);
    side.put(QUEUE, chain.id.into(), 513);
    let chain = side.take(QUEUE).unwrap();
    let mut answered = vec![0xaa; 1024];
    answered.push(OK);
    side.write(&chain, &answered);
    side.put(QUEUE, chain.id.into(), 1023);
    answer(&side, &side.take(QUEUE).unwrap());
    assert!(disk.poll());
    assert_eq!(poll(&mut bad), Poll::Ready(Err(DiskError::Failed)));
    assert_eq!(poll(&mut short), Poll::Ready(Err(DiskError::Short)));
    assert_eq!(poll(&mut good), Poll::Ready(Ok(content(2, 512).into())));
    assert_eq!((disk.counters().requests, disk.counters().failed, disk.fault()), (3, 2, None));
}

/// A status that the device did not write is no success, whatever the slot's last request left there.
#[test]
fn an_unwritten_status_is_an_error() {
    let (disk, side) = disk(ALL);
    for _ in 0..2 {
        let mut read = disk.read(0, 512);
        disk.flush_requests();
        answer(&side, &side.take(QUEUE).unwrap());
        assert!(disk.poll());
        assert!(matches!(poll(&mut read), Poll::Ready(Ok(_))));
        let mut read = disk.read(0, 512);
        disk.flush_requests();
        side.put(QUEUE, side.take(QUEUE).unwrap().id.into(), 513);
        assert!(disk.poll());
        assert_eq!(poll(&mut read), Poll::Ready(Err(DiskError::Failed)));
    }
}

/// What it is, what it is taken for, and how it is told.
type Lie = (&'static str, Fault, fn(&DeviceSide, &Chain));

/// Each lie ends the device, and all that it was asked for; nothing panics, and no byte beyond what was lent is read.
#[test]
fn a_device_that_lies_is_stopped() {
    let lies: [Lie; 6] = [
        ("a request that nobody made", Fault::UsedId, |side, _| _ = side.put(QUEUE, 63, 513)),
        ("a number beyond the ring", Fault::UsedId, |side, _| _ = side.put(QUEUE, 0xffff, 513)),
        ("the middle of a chain", Fault::UsedId, |side, chain| {
            side.put(QUEUE, u32::from(chain.id) + 1, 513);
        }),
        ("twice the same", Fault::UsedId, |side, chain| {
            side.put(QUEUE, chain.id.into(), 513);
            side.put(QUEUE, chain.id.into(), 513);
        }),
        ("more than was lent", Fault::UsedLength, |side, chain| {
            side.put(QUEUE, chain.id.into(), 514);
        }),
        ("more answers than questions", Fault::UsedId, |side, _| _ = side.set_put(QUEUE, 5000)),
    ];
    for (lie, fault, tell) in lies {
        let (disk, side) = disk(ALL);
        let mut reads = [disk.read(0, 512), disk.read(512, 512)];
        disk.flush_requests();
        let _first = side.take(QUEUE).unwrap();
        let second = side.take(QUEUE).unwrap();
        if lie == "more answers than questions" {
            side.scribble(QUEUE, 4, &9_u32.to_le_bytes());
        }
        tell(&side, &second);
        disk.poll();
        assert_eq!(disk.fault(), Some(fault), "{lie}");
        assert_eq!(poll(&mut reads[0]), Poll::Ready(Err(DiskError::Gone)), "{lie}");
        assert!(poll(&mut reads[1]).is_ready(), "{lie}");
        assert_eq!(side.status(), 0, "{lie}: it was reset");
        assert_eq!(poll(&mut disk.read(0, 512)), Poll::Ready(Err(DiskError::Gone)), "{lie}");
        assert!(!disk.poll() && disk.prepare_to_wait(), "{lie}: a dead disk keeps nobody busy");
    }
}

#[test]
fn a_device_that_asks_for_a_reset_is_gone() {
    const NEEDS_RESET: u8 = 1 << 6;
    let (disk, side) = disk(ALL);
    let (mut asked, mut waiting) = (disk.read(0, 512), disk.read(512, 512));
    disk.flush_requests();
    side.set_status(NEEDS_RESET);
    side.configure(0, 0);
    assert!(!disk.prepare_to_wait());
    assert_eq!(poll(&mut asked), Poll::Ready(Err(DiskError::Gone)));
    assert_eq!(poll(&mut waiting), Poll::Ready(Err(DiskError::Gone)));
}

#[test]
fn it_waits_only_when_there_is_nothing_to_do() {
    let (disk, side) = disk(ALL);
    assert!(disk.prepare_to_wait());
    let _read = disk.read(0, 512);
    assert!(!disk.prepare_to_wait(), "a request is not with the device");
    disk.flush_requests();
    disk.poll();
    let chain = side.take(QUEUE).unwrap();
    assert!(disk.prepare_to_wait());
    answer(&side, &chain);
    assert!(!disk.prepare_to_wait(), "an answer came");
    // Interrupts are wanted while it waits, and not while it works.
    assert!(side.set_put(QUEUE, 1));
    assert!(disk.poll());
    assert!(!side.set_put(QUEUE, 1));
}

#[test]
fn a_read_that_nobody_waits_for_is_not_made() {
    let (disk, side) = disk(ALL);
    drop(disk.read(0, 512));
    drop(disk.write(0, Bytes::from(vec![0; 512])));
    disk.flush_requests();
    assert_eq!(header(&side, &side.take(QUEUE).unwrap()).0, 1, "a write is");
    // And one that is with the device is taken up when it is done.
    let read = disk.read(0, 512);
    disk.flush_requests();
    let chain = side.take(QUEUE).unwrap();
    drop(read);
    answer(&side, &chain);
    assert!(disk.poll());
    assert_eq!(disk.fault(), None);
}

#[test]
fn the_configuration_says_what_requests_are() {
    let (limited, _) = disk(ALL | SIZE_MAX);
    assert_eq!(limited.geometry().request_bytes_max, 8192);
    let with_block = |bytes: u32| {
        let mut offer = offer(ALL);
        offer.configuration[20..].copy_from_slice(&bytes.to_le_bytes());
        VirtioBlk::open(fake::device(offer).0, &SETTINGS).map(|disk| disk.geometry().block_bytes)
    };
    assert_eq!(with_block(4096), Ok(4096));
    for bytes in [0, 256, 513, 8192] {
        let refused = Err(Error::Unsupported("blocks of 512 to 4096 bytes"));
        assert_eq!(with_block(bytes), refused, "{bytes}");
    }
    let (plain, side) = disk(feature::VERSION_1 | feature::EVENT_IDX);
    assert_eq!((plain.geometry().block_bytes, plain.geometry().is_read_only), (512, false));
    assert_eq!(side.accepted(), feature::VERSION_1, "no event index");
}

#[test]
fn devices_that_cannot_serve_are_refused() {
    let open = |offer| VirtioBlk::open(fake::device(offer).0, &SETTINGS).map(|_| ());
    let other = Offer { kind: Kind::Entropy, ..offer(ALL) };
    assert_eq!(open(other), Err(Error::Unsupported("a disk's work")));
    let short = Offer { queue_sizes: vec![32], ..offer(ALL) };
    assert_eq!(open(short), Err(Error::Unsupported("a queue of 64 descriptors")));
    let legacy = offer(ALL & !feature::VERSION_1);
    assert_eq!(open(legacy), Err(Error::Unsupported("modern virtio")));
}
