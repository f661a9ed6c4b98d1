//! A backend of a disk that does anything: no panic, each request has one outcome at most, and what it read is as long as was
//! asked for.

use machine::xen::block::fake::{Backend, Taken, hold};
use machine::xen::block::{BlockRing, Request, SECTOR_BYTES, Shape};
use std::cell::RefCell;

const SHAPE: Shape = Shape { ring_pages: 1, requests_max: 3, request_bytes_max: 64 << 10 };

thread_local! {
    /// The same memory for every input: what a backend was given is never given back.
    static RING: RefCell<BlockRing> = RefCell::new(BlockRing::new(0, 51712, &SHAPE).expect("memory"));
}

/// What the backend has and has done.
struct World {
    backend: Backend,
    taken: Vec<Taken>,
    held: Vec<u32>,
    /// By slot, how long the request there is.
    asked: [Option<usize>; SHAPE.requests_max],
}

/// What a byte of the input makes happen, its arguments after it; false when the disk is to be given up.
fn act(world: &mut World, ring: &mut BlockRing, [verb, rest @ ..]: [u8; 6]) -> bool {
    let word = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
    // Before it writes over a request that it has not read.
    world.taken.extend(std::iter::from_fn(|| world.backend.take()));
    match verb % 7 {
        0 | 1 => {
            let bytes = SECTOR_BYTES * (1 + usize::from(rest[0]) % 128);
            if let Some(slot) = ring.submit(Request::Read { sector: u64::from(word), bytes }) {
                assert_eq!(world.asked[slot].replace(bytes), None, "a slot has one request");
            }
            ring.publish();
        }
        2 => {
            if let Some(request) = world.taken.pop() {
                world.backend.answer(&request, i16::from(rest[0] % 4) - 2);
            }
        }
        3 => world.backend.answer_raw(u64::from(word) << (rest[4] % 33), rest[0] % 7, 0),
        4 => world.backend.set_responses(word),
        5 => {
            if let Some(segment) = world.taken.last().and_then(|request| request.segments.first()) {
                hold(segment.0, true);
                world.held.push(segment.0);
            }
        }
        _ => return complete(world, ring),
    }
    true
}

fn complete(world: &mut World, ring: &mut BlockRing) -> bool {
    let asked = &mut world.asked;
    let done = ring.complete(|slot, outcome| {
        let bytes = asked[slot].take().expect("a request has one outcome");
        assert!(outcome.is_ok_and(|read| read.len() == bytes) || outcome.is_err());
    });
    done.is_ok()
}

pub(crate) fn target(data: &[u8]) {
    RING.with_borrow_mut(|ring| {
        ring.reset(0).expect("nothing is held");
        let backend = Backend::attach(&ring.references().collect::<Vec<_>>());
        let (taken, held) = (Vec::new(), Vec::new());
        let mut world = World { backend, taken, held, asked: [None; SHAPE.requests_max] };
        for step in data.as_chunks::<6>().0 {
            if !act(&mut world, ring, *step) {
                break;
            }
        }
        for reference in world.held {
            hold(reference, false);
        }
    });
}
