//! A pipeline's memory is the sum of its bounds. Alone in its process: the allocator counts all.

use peak_alloc::PeakAlloc;
use pipe::{Next, NodeExt, Piece, Pipeline, cbor, lz4, map, prepend, skip};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn one_gib_goes_through_one_mib_of_pipeline() {
    let object = vec![0x5A_u64; 1000];
    let there = cbor::encode().then(lz4::compress()).then(prepend(b"4"));
    let back = skip(b"4").then(lz4::decompress()).then(cbor::decode::<Vec<u64>>());
    let mut pipeline = Pipeline::new(there.then(map(|piece: Piece| piece)).then(back));
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let object_bytes = size_of_val(&object[..]);
    let objects = (1 << 30) / object_bytes;
    let (mut offered, mut received) = (0, 0);
    while received < objects {
        while offered < objects && pipeline.has_room() {
            pipeline.offer_weighing(object.clone(), object_bytes).unwrap();
            offered += 1;
        }
        while let Next::Item(back) = pipeline.poll() {
            assert_eq!(back.len(), object.len());
            received += 1;
        }
    }
    let peak = MEMORY.peak_usage() - before;
    // The pipeline and what is weighed in it are bounded by one; what is held of the object itself is a part of that.
    assert!((145_000..176_000).contains(&peak), "{peak} bytes at the peak");
    assert_eq!(received, objects);
}
