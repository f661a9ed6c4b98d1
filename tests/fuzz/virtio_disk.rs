//! A virtio disk that does anything to its ring: no panic, nothing beyond what it was lent is touched (the fake device's
//! memory sees to that), and each request has one outcome.

use machine::virtio::fake::{self, DeviceSide, Offer};
use machine::virtio::{Kind, feature};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use storage::{BlockDevice, Pending};
use virtio_blk::{Settings, VirtioBlk};

const QUEUE: u16 = 0;
const BLOCK_BYTES: usize = 512;

pub(crate) fn target(data: &[u8]) {
    let (disk, side) = disk();
    let mut reads = Vec::new();
    for act in data.chunks_exact(6).take(100) {
        if act[0] & 1 == 0 {
            reads.push(
                disk.read(u64::from(act[1]) * 512, BLOCK_BYTES * usize::from(1 + act[2] % 2)),
            );
            disk.flush_requests();
        }
        device_acts(&side, act);
        disk.poll();
        disk.prepare_to_wait();
        reads.retain_mut(is_pending);
    }
    if disk.fault().is_some() {
        assert!(reads.is_empty(), "a disk that is given up leaves nobody waiting");
    }
}

fn disk() -> (VirtioBlk, DeviceSide) {
    let mut configuration = 4096_u64.to_le_bytes().to_vec();
    configuration.resize(24, 0);
    let (device, side) = fake::device(Offer {
        kind: Kind::Block,
        features: feature::VERSION_1,
        configuration,
        queue_sizes: vec![64],
    });
    // Memory that a device was lent is never given back.
    let settings = Settings { requests_max: 2, request_bytes_max: 2 * BLOCK_BYTES };
    (VirtioBlk::open(device, &settings).expect("the offer is enough"), side)
}

fn device_acts(side: &DeviceSide, act: &[u8]) {
    let word = u32::from_le_bytes([act[2], act[3], act[4], act[5]]);
    match act[1] % 6 {
        0 | 1 => {
            if let Some(chain) = side.take(QUEUE) {
                let writable = chain.buffers.iter().filter(|buffer| buffer.2);
                let bytes: u32 = writable.map(|buffer| buffer.1).sum();
                let mut answer = vec![act[2]; bytes as usize];
                *answer.last_mut().expect("a status") = act[3] % 4;
                side.write(&chain, &answer);
                side.put(QUEUE, chain.id.into(), if act[4] == 0 { word } else { bytes });
            }
        }
        2 => drop(side.put(QUEUE, word % 70, u32::from(act[5]) * 8)),
        3 => drop(side.set_put(QUEUE, word as u16)),
        4 => side.scribble(QUEUE, u64::from(act[2] % 250) * 2, &act[3..5]),
        _ => side.configure(usize::from(act[2] % 24), act[3]),
    }
}

fn is_pending<T>(read: &mut Pending<T>) -> bool {
    matches!(Pin::new(read).poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}
