use super::fake::{Backend, Taken, hold, is_granted};
use super::request::SECTOR_BYTES;
use super::{BlockRing, Fault, InUse, Request, RequestError, Shape};
use crate::hypervisor::xen::fake::{read_page, write_page};
use crate::memory::PAGE_BYTES;
use alloc::vec;
use std::vec::Vec;

const XVDA: u16 = 51712;
const SHAPE: Shape = Shape { ring_pages: 1, requests_max: 4, request_bytes_max: 16 * PAGE_BYTES };
const READ: u8 = 0;
const WRITE: u8 = 1;

fn pair_of(shape: &Shape) -> (BlockRing, Backend) {
    let ring = BlockRing::new(0, XVDA, shape).unwrap();
    let backend = attach(&ring);
    (ring, backend)
}

fn pair() -> (BlockRing, Backend) {
    pair_of(&SHAPE)
}

fn attach(ring: &BlockRing) -> Backend {
    Backend::attach(&ring.references().collect::<Vec<_>>())
}

fn pattern(bytes: usize, seed: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + at / 251 + seed) as u8).collect()
}

/// What came of the next request that is done: its slot, and what it read.
type Outcome = (usize, Result<Vec<u8>, RequestError>);

fn complete(ring: &mut BlockRing) -> Result<Option<Outcome>, Fault> {
    let mut outcome = None;
    ring.complete(|slot, done| outcome = Some((slot, done.map(<[u8]>::to_vec))))?;
    Ok(outcome)
}

fn ask(ring: &mut BlockRing, backend: &mut Backend, request: Request<'_>) -> (usize, Taken) {
    let slot = ring.submit(request).expect("a free slot");
    assert!(ring.publish(), "an idle backend wants to be told");
    let taken = backend.take().expect("a request");
    (slot, taken)
}

#[test]
fn requests_of_every_length_go_there_and_back() {
    let (mut ring, mut backend) = pair();
    for (pages, sectors) in [(0, 1), (0, 7), (1, 0), (1, 1), (10, 3), (11, 0), (11, 1), (16, 0)] {
        let bytes = pages * PAGE_BYTES + sectors * SECTOR_BYTES;
        let data = pattern(bytes, pages);
        let sector = (7 << 32) + pages as u64;
        let (slot, taken) = ask(&mut ring, &mut backend, Request::Write { sector, data: &data });
        assert_eq!((taken.operation, taken.device, taken.sector), (WRITE, XVDA, sector));
        assert_eq!(taken.list.is_some(), bytes > 11 * PAGE_BYTES, "{bytes}");
        assert!(taken.bytes() == bytes && taken.read() == data, "{bytes}");
        backend.answer(&taken, 0);
        assert_eq!(complete(&mut ring), Ok(Some((slot, Ok(vec![])))));
        let (slot, taken) = ask(&mut ring, &mut backend, Request::Read { sector, bytes });
        assert_eq!((taken.operation, taken.sector, taken.bytes()), (READ, sector, bytes));
        let data = pattern(bytes, pages + 1);
        taken.write(&data);
        backend.answer(&taken, 0);
        assert_eq!(complete(&mut ring), Ok(Some((slot, Ok(data)))), "{bytes}");
    }
    for (request, operation) in [(Request::Barrier, 2), (Request::Flush, 3)] {
        let (slot, taken) = ask(&mut ring, &mut backend, request);
        assert_eq!((taken.operation, taken.sector, taken.segments.len()), (operation, 0, 0));
        backend.answer(&taken, -2);
        assert_eq!(complete(&mut ring), Ok(Some((slot, Err(RequestError::Unsupported)))));
    }
}

#[test]
fn pages_are_the_backends_only_while_it_has_the_request() {
    let (mut ring, mut backend) = pair();
    let bytes = 12 * PAGE_BYTES;
    let (_, taken) = ask(&mut ring, &mut backend, Request::Read { sector: 0, bytes });
    let references: Vec<u32> =
        taken.segments.iter().map(|segment| segment.0).chain(taken.list).collect();
    assert_eq!(references.len(), 13);
    assert!(references.iter().all(|&reference| is_granted(reference)));
    backend.answer(&taken, 0);
    assert!(complete(&mut ring).unwrap().is_some());
    assert!(!references.iter().any(|&reference| is_granted(reference)));
    // A short one has no more of the slot's pages than it needs.
    let (_, taken) = ask(&mut ring, &mut backend, Request::Read { sector: 0, bytes: 512 });
    let granted = references.iter().filter(|&&reference| is_granted(reference));
    assert_eq!((granted.count(), taken.segments.len()), (1, 1));
}

#[test]
#[should_panic(expected = "a write to what is not granted")]
fn what_is_written_is_granted_for_reading_only() {
    let (mut ring, mut backend) = pair();
    let request = Request::Write { sector: 0, data: &[1; 512] };
    let (_, taken) = ask(&mut ring, &mut backend, request);
    write_page(taken.segments[0].0, 0, &[0]);
}

#[test]
fn answers_come_in_any_order_and_rings_of_several_pages_go_round() {
    for ring_pages in [1, 2, 4] {
        let shape = Shape { ring_pages, requests_max: 48, request_bytes_max: PAGE_BYTES };
        let (mut ring, mut backend) = pair_of(&shape);
        let slots = if ring_pages == 1 { 32 } else { 48 };
        assert_eq!(ring.slots(), slots);
        for round in 0..20 {
            let submit = |ring: &mut BlockRing, sector| {
                ring.submit(Request::Read { sector, bytes: 512 }).expect("a free slot")
            };
            let mine: Vec<usize> = (0..slots as u64).map(|at| submit(&mut ring, at)).collect();
            assert_eq!(ring.submit(Request::Flush), None);
            assert!(ring.publish() && ring.in_flight() == slots);
            let mut taken: Vec<_> = core::iter::from_fn(|| backend.take()).collect();
            assert_eq!(taken.len(), slots);
            taken.rotate_left(round);
            taken.swap(0, 5);
            for request in taken {
                let data = pattern(512, request.sector as usize);
                request.write(&data);
                backend.answer(&request, 0);
                let slot = mine[request.sector as usize];
                assert_eq!(complete(&mut ring), Ok(Some((slot, Ok(data)))));
            }
            assert_eq!((complete(&mut ring), ring.in_flight()), (Ok(None), 0));
        }
    }
}

/// What it is, what it is taken for, and how it is told.
type Lie = (&'static str, Fault, fn(&mut Backend, &Taken));

#[test]
fn lies_are_faults() {
    let lies: [Lie; 6] = [
        ("more answers than requests", Fault::ResponseIndex, |backend, _| backend.set_responses(2)),
        ("an index that went back", Fault::ResponseIndex, |backend, _| {
            backend.set_responses(u32::MAX);
        }),
        ("a slot beyond the last", Fault::ResponseId, |backend, taken| {
            backend.answer_raw(taken.id + 4, READ, 0);
        }),
        ("a slot without a request", Fault::ResponseId, |backend, taken| {
            backend.answer_raw(taken.id + 1, READ, 0);
        }),
        ("another request of the slot", Fault::ResponseId, |backend, taken| {
            backend.answer_raw(taken.id.wrapping_sub(1 << 32), READ, 0);
        }),
        ("another kind of request", Fault::ResponseOperation, |backend, taken| {
            backend.answer_raw(taken.id, WRITE, 0);
        }),
    ];
    for (lie, fault, tell) in lies {
        let (mut ring, mut backend) = pair();
        let (_, taken) = ask(&mut ring, &mut backend, Request::Read { sector: 0, bytes: 512 });
        tell(&mut backend, &taken);
        assert_eq!(complete(&mut ring), Err(fault), "{lie}");
    }
}

/// The second answer comes while the slot has its next request.
#[test]
fn an_answer_twice_is_a_fault_also_when_the_slot_is_used_again() {
    let (mut ring, mut backend) = pair();
    let read = Request::Read { sector: 0, bytes: 512 };
    let (_, first) = ask(&mut ring, &mut backend, read);
    backend.answer(&first, 0);
    assert!(complete(&mut ring).unwrap().is_some());
    let (_, second) = ask(&mut ring, &mut backend, read);
    assert_eq!(first.segments, second.segments);
    backend.answer(&first, 0);
    assert_eq!(complete(&mut ring), Err(Fault::ResponseId));
}

#[test]
fn a_status_that_is_no_success_fails_that_request_alone() {
    let (mut ring, mut backend) = pair();
    let read = Request::Read { sector: 0, bytes: 512 };
    for (status, error) in [
        (-1, RequestError::Failed),
        (-2, RequestError::Unsupported),
        (1, RequestError::Failed),
        (i16::MIN, RequestError::Failed),
    ] {
        let (slot, taken) = ask(&mut ring, &mut backend, read);
        backend.answer(&taken, status);
        assert_eq!(complete(&mut ring), Ok(Some((slot, Err(error)))), "{status}");
    }
    let (slot, taken) = ask(&mut ring, &mut backend, read);
    taken.write(&[7; 512]);
    backend.answer(&taken, 0);
    assert_eq!(complete(&mut ring), Ok(Some((slot, Ok(vec![7; 512])))));
}

#[test]
fn pages_that_the_backend_keeps_are_a_fault_and_not_looked_at() {
    for page in 0..2 {
        let (mut ring, mut backend) = pair();
        let bytes = 2 * PAGE_BYTES;
        let (_, taken) = ask(&mut ring, &mut backend, Request::Read { sector: 0, bytes });
        hold(taken.segments[page].0, true);
        backend.answer(&taken, 0);
        assert_eq!(complete(&mut ring), Err(Fault::KeptPages));
        assert_eq!((ring.end(), ring.reset(0)), (Err(InUse), Err(InUse)));
        hold(taken.segments[page].0, false);
        assert_eq!((ring.end(), ring.reset(0)), (Ok(()), Ok(())));
    }
}

#[test]
fn another_backend_starts_afresh() {
    for (domain, is_left) in [(0, true), (3, false)] {
        let (mut ring, mut backend) = pair();
        let bytes = 3 * PAGE_BYTES;
        let (_, taken) = ask(&mut ring, &mut backend, Request::Read { sector: 0, bytes });
        taken.write(&vec![9; bytes]);
        ring.submit(Request::Flush).unwrap();
        ring.end().unwrap();
        assert!(!is_granted(taken.segments[0].0));
        ring.reset(domain).unwrap();
        assert_eq!((ring.in_flight(), complete(&mut ring)), (0, Ok(None)));
        let mut backend = attach(&ring);
        let (slot, taken) = ask(&mut ring, &mut backend, Request::Read { sector: 9, bytes });
        let left = read_page(taken.segments[0].0, 0, PAGE_BYTES);
        assert_eq!(left.iter().any(|&byte| byte != 0), is_left, "domain {domain}");
        let data = pattern(bytes, 1);
        taken.write(&data);
        backend.answer(&taken, 0);
        assert_eq!(complete(&mut ring), Ok(Some((slot, Ok(data)))));
    }
}

#[test]
fn a_ring_that_the_backend_keeps_is_not_offered_again() {
    let (mut ring, _backend) = pair();
    let reference = ring.references().next().unwrap();
    hold(reference, true);
    assert_eq!((ring.end(), ring.reset(0)), (Err(InUse), Err(InUse)));
    hold(reference, false);
    assert_eq!((ring.end(), ring.reset(0)), (Ok(()), Ok(())));
}

#[test]
fn events_are_asked_for_when_nothing_is_done() {
    let (mut ring, mut backend) = pair();
    let (_, taken) = ask(&mut ring, &mut backend, Request::Flush);
    assert!(ring.arm());
    backend.answer(&taken, 0);
    assert!(backend.wants_event() && !ring.arm());
    assert!(complete(&mut ring).unwrap().is_some());
    assert!(ring.arm());
    // One that lies is something to look at, too.
    backend.set_responses(9);
    assert!(!ring.arm());
}

#[test]
fn a_ring_has_the_pages_that_so_many_requests_need() {
    let pages = [1, 32, 33, 64, 65, 128].map(Shape::ring_pages_for);
    assert_eq!(pages, [1, 1, 2, 2, 4, 4]);
}

#[test]
fn random_backends_never_panic_nor_reach_what_is_not_theirs() {
    for seed in 1..200_u64 {
        let mut state = seed;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let shape = Shape { request_bytes_max: 2 * PAGE_BYTES, ..SHAPE };
        let (mut ring, mut backend) = pair_of(&shape);
        let mut taken = Vec::new();
        let mut held = Vec::new();
        for _ in 0..200 {
            match random(8) {
                0 if random(10) == 0 => backend.set_responses(random(1 << 32) as u32),
                1 if random(10) == 0 => {
                    backend.answer_raw(random(1 << 34), random(7) as u8, random(4) as i16 - 2);
                }
                0..=3 => {
                    let bytes = SECTOR_BYTES * (1 + random(16) as usize);
                    ring.submit(Request::Read { sector: random(100), bytes });
                    ring.publish();
                    taken.extend(core::iter::from_fn(|| backend.take()));
                }
                4 if !taken.is_empty() => {
                    let request: Taken = taken.swap_remove(random(taken.len() as u64) as usize);
                    if random(4) == 0 {
                        hold(request.segments[0].0, true);
                        held.push(request.segments[0].0);
                    }
                    backend.answer(&request, 0);
                }
                5 => held.drain(..).for_each(|reference| hold(reference, false)),
                _ => {
                    if complete(&mut ring).is_err() {
                        break;
                    }
                }
            }
        }
        held.drain(..).for_each(|reference| hold(reference, false));
        assert!(ring.end().is_ok(), "seed {seed}");
    }
}

/// Short ones and such as need a list: each has its own pages.
#[test]
fn requests_at_the_same_time_have_pages_of_their_own() {
    let (mut ring, mut backend) = pair();
    let data = [pattern(512, 1), pattern(12 * PAGE_BYTES, 2), pattern(12 * PAGE_BYTES, 3)];
    let taken = data
        .each_ref()
        .map(|data| ask(&mut ring, &mut backend, Request::Write { sector: 0, data }));
    for ((_, taken), data) in taken.iter().zip(&data) {
        assert!(taken.read() == *data, "{} bytes", data.len());
    }
    for ((slot, taken), _) in taken.iter().zip(&data) {
        backend.answer(taken, 0);
        assert_eq!(complete(&mut ring), Ok(Some((*slot, Ok(vec![])))));
    }
    let bytes = 12 * PAGE_BYTES;
    let taken = [(); 3].map(|()| ask(&mut ring, &mut backend, Request::Read { sector: 0, bytes }));
    for (nth, (_, taken)) in taken.iter().enumerate() {
        taken.write(&pattern(bytes, nth));
    }
    for (nth, (slot, taken)) in taken.iter().enumerate() {
        backend.answer(taken, 0);
        let expected = Ok(Some((*slot, Ok(pattern(bytes, nth)))));
        assert!(complete(&mut ring) == expected, "request {nth}");
    }
}

/// The page that lists the others is its slot's own, the last slot's too.
#[test]
fn requests_that_the_backend_takes_late_are_as_they_were_made() {
    let (mut ring, mut backend) = pair();
    let data = [0, 1, 2, 3].map(|seed| pattern(12 * PAGE_BYTES, seed));
    let slots = data.each_ref().map(|data| ring.submit(Request::Write { sector: 0, data }));
    assert_eq!(slots, [Some(0), Some(1), Some(2), Some(3)]);
    assert!(ring.publish());
    for (nth, data) in data.iter().enumerate() {
        let taken = backend.take().expect("a request");
        assert!(taken.bytes() == data.len() && taken.read() == *data, "request {nth}");
    }
}
