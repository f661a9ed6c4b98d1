//! How often an encoder asks for memory. Alone in its process: the allocator counts all.

use pipe::{Next, Pipeline, cbor};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn a_chunk_doubles_until_it_is_full() {
    let numbers = vec![1_u64 << 32; 3000];
    let mut pipeline = Pipeline::new(cbor::encode::<&[u64]>());
    let region = Region::new(MEMORY);
    pipeline.offer(&numbers[..]).unwrap();
    let Next::Item(piece) = pipeline.poll() else { panic!("no message") };
    let made = region.change();
    // From 64 bytes to 32 KiB, and the edges.
    assert_eq!(piece.bytes.len(), 27_003);
    assert!(made.allocations + made.reallocations <= 16, "{made:?}");
}
