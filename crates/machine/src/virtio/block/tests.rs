use super::*;
use crate::virtio::fake::{self, DeviceSide, Offer};
use crate::virtio::feature::VERSION_1;
use alloc::vec;

/// Capacity, size_max, seg_max, geometry, blk_size (5.2.4).
fn offer(features: u64, sectors: u64, size_max: u32, block: u32) -> Offer {
    let mut configuration = sectors.to_le_bytes().to_vec();
    configuration.extend(size_max.to_le_bytes());
    configuration.extend([0; 8]);
    configuration.extend(block.to_le_bytes());
    let features = features | VERSION_1;
    Offer { kind: Kind::Block, features, configuration, queue_sizes: vec![256] }
}

fn open(offer: Offer, request_bytes_max: usize) -> Result<(BlockQueue, DeviceSide), Error> {
    let (control, side) = fake::device(offer);
    BlockQueue::open(control, 4, request_bytes_max).map(|queue| (queue, side))
}

/// What is not offered is not read: the place may hold anything. Feature bits of virtio 1.2, 5.2.3.
#[test]
fn a_disk_is_like_what_it_says_where_it_offers_to_say_it() {
    const SIZE_MAX: u64 = 1 << 1;
    const RO: u64 = 1 << 5;
    const BLK_SIZE: u64 = 1 << 6;
    let geometry = |features, block| {
        let (queue, _) = open(offer(features, 4095, 10_000, block), 65_536).ok()?;
        let Geometry { capacity_bytes, block_bytes, request_bytes_max, is_read_only } =
            queue.geometry();
        Some((capacity_bytes, block_bytes, request_bytes_max, is_read_only))
    };
    assert_eq!(geometry(0, 4096), Some((4095 * 512, 512, 65_536, false)));
    assert_eq!(geometry(RO, 7), Some((4095 * 512, 512, 65_536, true)));
    assert_eq!(geometry(SIZE_MAX, 7), Some((4095 * 512, 512, 9728, false)));
    assert_eq!(geometry(BLK_SIZE, 4096), Some((511 * 4096, 4096, 65_536, false)));
    assert_eq!(geometry(BLK_SIZE | SIZE_MAX, 4096), Some((511 * 4096, 4096, 8192, false)));
    assert_eq!([0, 256, 513, 8192].map(|block| geometry(BLK_SIZE, block)), [None; 4]);
    let refusal = open(offer(SIZE_MAX, 4095, 511, 512), 65_536).err();
    assert_eq!(refusal, Some(Error::Unsupported("requests of a block")));
}

#[test]
fn whether_a_disk_can_flush_is_what_it_offers() {
    for (features, can_flush) in [(0, false), (1 << 6, false), (1 << 9, true)] {
        let (queue, side) = open(offer(features, 8, 0, 512), 512).unwrap();
        assert_eq!(queue.can_flush(), can_flush, "{features:#x}");
        assert_eq!(side.accepted(), features | VERSION_1);
    }
}

#[test]
fn a_request_that_is_not_some_whole_blocks_panics() {
    for (bytes, is_taken) in
        [(0, false), (512, false), (4095, false), (4096, true), (8192, true), (12_288, false)]
    {
        for is_write in [false, true] {
            let (mut queue, _side) = open(offer(1 << 6, 64, 0, 4096), 8192).unwrap();
            let data = vec![1; bytes];
            let submitted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let request = if is_write {
                    Request::Write { sector: 0, data: &data }
                } else {
                    Request::Read { sector: 0, bytes }
                };
                queue.submit(request)
            }));
            assert_eq!(submitted.ok(), is_taken.then_some(Some(0)), "{bytes} {is_write}");
        }
    }
}
