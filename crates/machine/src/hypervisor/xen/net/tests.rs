use super::fake::{Backend, hold, is_granted, read_page, write_page};
use super::protocol::*;
use super::{Frame, Offload, ReceiveRing, TransmitRing};
use crate::memory::PAGE_BYTES;
use core::num::NonZeroU16;
use std::vec::Vec;

const PAGES: u16 = 32;

fn pair() -> (ReceiveRing, TransmitRing, Backend) {
    let mut receive = ReceiveRing::new(0, PAGES).unwrap();
    let transmit = TransmitRing::new(0, 4, 2).unwrap();
    receive.publish();
    let backend = Backend::attach(transmit.reference(), receive.reference());
    (receive, transmit, backend)
}

fn pattern(bytes: usize, seed: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + at / 251 + seed) as u8).collect()
}

#[test]
fn frames_of_every_length_arrive_whole_around_the_ring() {
    let (mut receive, _, mut backend) = pair();
    let lengths = [60, 1514, 4095, 4096, 4097, 8192, 20_000, 65_549];
    for round in 0..40 {
        for (nth, &length) in lengths.iter().enumerate() {
            let coalesced = (round + nth) % 2 == 0;
            let frame = pattern(length, round);
            backend.send(&frame, if coalesced { 1 } else { 0 }, coalesced);
            let accepted = receive.accept().unwrap().unwrap();
            assert_eq!(accepted, Frame { bytes: length, is_sound: coalesced });
            assert!(receive.bytes() == frame, "{length} bytes in round {round}");
            receive.recycle();
            receive.publish();
        }
    }
    assert_eq!(receive.refusals().total(), 0);
}

#[test]
fn a_lent_page_is_the_stack_s_alone() {
    let (mut receive, _, mut backend) = pair();
    let offer = backend.offer(0).unwrap();
    backend.send(b"frame", 0, false);
    receive.accept().unwrap().unwrap();
    assert!(!is_granted(offer.reference));
    receive.recycle();
    assert!(is_granted(offer.reference));
}

#[test]
fn parts_that_do_not_fill_their_pages_are_joined() {
    let (mut receive, _, mut backend) = pair();
    let parts: [(u16, &[u8]); 4] = [(100, b"one"), (0, b"two"), (4090, b"three."), (7, b"")];
    for (nth, (offset, bytes)) in parts.iter().enumerate() {
        let offer = backend.offer(0).unwrap();
        write_page(offer.reference, usize::from(*offset), bytes);
        let more = if nth < 3 { MORE_DATA } else { 0 };
        backend.answer(offer.id, *offset, more, bytes.len() as i16);
    }
    backend.publish();
    assert_eq!(receive.accept().unwrap().unwrap().bytes, 12);
    assert_eq!(receive.bytes(), b"onetwothree.");
}

/// A gap stays one, also where the first part's place and length make the next one's place if multiplied.
#[test]
fn a_part_in_the_middle_of_its_page_is_joined_to_the_next() {
    let (mut receive, _, mut backend) = pair();
    for (offset, more, bytes) in [(2048, MORE_DATA, &b"12"[..]), (0, 0, b"345")] {
        let offer = backend.offer(0).unwrap();
        write_page(offer.reference, usize::from(offset), bytes);
        backend.answer(offer.id, offset, more, bytes.len() as i16);
    }
    backend.publish();
    assert_eq!(receive.accept().unwrap().unwrap().bytes, 5);
    assert_eq!(receive.bytes(), b"12345");
}

#[test]
fn a_frame_waits_until_all_of_it_is_there() {
    let (mut receive, _, mut backend) = pair();
    let frame = pattern(9000, 1);
    for (nth, chunk) in frame.chunks(PAGE_BYTES).enumerate() {
        assert_eq!(receive.accept(), Ok(None));
        // What has come is no reason to look again.
        assert!(receive.arm(), "{nth} parts");
        let offer = backend.offer(0).unwrap();
        write_page(offer.reference, 0, chunk);
        backend.answer(offer.id, 0, if nth < 2 { MORE_DATA } else { 0 }, chunk.len() as i16);
        backend.publish();
        assert!(!receive.arm(), "{nth} parts and one");
    }
    receive.accept().unwrap().unwrap();
    assert_eq!(receive.bytes(), frame);
}

/// One wrong answer of each kind: how, and where it is counted.
type Wrong = (&'static str, fn(&mut Backend), fn(&Refusals) -> u64);
const WRONG_ANSWERS: &[Wrong] = &[
    (
        "the id of another offer",
        |backend| {
            let other = backend.offer(1).unwrap();
            backend.answer(other.id, 0, 0, 60);
        },
        |refusals| refusals.ids,
    ),
    ("an id that never was", |backend| backend.answer(0xffff, 0, 0, 60), |refusals| refusals.ids),
    (
        "an offset beyond the page",
        |backend| {
            let offer = backend.offer(0).unwrap();
            backend.answer(offer.id, 4097, 0, 60);
        },
        |refusals| refusals.bounds,
    ),
    (
        "bytes beyond the page",
        |backend| {
            let offer = backend.offer(0).unwrap();
            backend.answer(offer.id, 4000, 0, 97);
        },
        |refusals| refusals.bounds,
    ),
    (
        "a negative length",
        |backend| {
            let offer = backend.offer(0).unwrap();
            backend.answer(offer.id, 0, 0, i16::MIN);
        },
        |refusals| refusals.statuses,
    ),
    (
        "a frame longer than any",
        |backend| {
            for nth in 0..17 {
                let offer = backend.offer(0).unwrap();
                backend.answer(offer.id, 0, if nth < 16 { MORE_DATA } else { 0 }, 4096);
            }
        },
        |refusals| refusals.bounds,
    ),
    (
        "extra information of no known kind",
        |backend| {
            let offer = backend.offer(0).unwrap();
            backend.answer(offer.id, 0, EXTRA_INFO, 60);
            backend.answer_raw([77, 0]);
        },
        |refusals| refusals.extras,
    ),
    (
        "a page that it keeps",
        |backend| {
            let offer = backend.offer(0).unwrap();
            hold(offer.reference, true);
            backend.answer(offer.id, 0, 0, 60);
        },
        |refusals| refusals.held,
    ),
    (
        "one bad part of many",
        |backend| {
            for nth in 0..3 {
                let offer = backend.offer(0).unwrap();
                let (offset, more) =
                    (if nth == 1 { 1 } else { 0 }, if nth < 2 { MORE_DATA } else { 0 });
                backend.answer(offer.id, offset, more, 4096);
            }
        },
        |refusals| refusals.bounds,
    ),
];

#[test]
fn wrong_answers_are_counted_and_the_next_frame_arrives() {
    for (name, wrong, count) in WRONG_ANSWERS {
        let (mut receive, _, mut backend) = pair();
        wrong(&mut backend);
        backend.publish();
        assert_eq!(receive.accept(), Ok(None), "{name}");
        assert_eq!(count(&receive.refusals()), 1, "{name}");
        assert_eq!(receive.refusals().total(), 1, "{name}");
        receive.publish();
        backend.send(b"the next", 0, false);
        assert_eq!(receive.accept().unwrap().unwrap().bytes, 8, "{name}");
        assert_eq!(receive.bytes(), b"the next", "{name}");
    }
}

#[test]
fn a_page_that_the_backend_still_maps_is_never_received_into() {
    let (mut receive, _, mut backend) = pair();
    let mapped = backend.offer(0).unwrap().reference;
    hold(mapped, true);
    for _ in 0..3 {
        for _ in 0..PAGES {
            let offer = backend.offer(0).unwrap();
            backend.answer(offer.id, 0, 0, 60);
            backend.publish();
            let received = receive.accept().unwrap().is_some();
            assert_eq!(received, offer.reference != mapped);
            receive.recycle();
            receive.publish();
        }
    }
    hold(mapped, false);
    backend.send(b"again", 0, false);
    assert!(receive.accept().unwrap().is_some());
}

#[test]
fn indices_that_lie_are_a_fault() {
    for index in [33, 1 << 20, u32::MAX, 1 << 31] {
        let (mut receive, _, mut backend) = pair();
        backend.set_receive_responses(index);
        assert_eq!(receive.accept(), Err(Fault::ResponseIndex), "{index:#x}");
        let (_, mut transmit, mut backend) = pair();
        backend.set_transmit_responses(index);
        assert_eq!(transmit.reap(), Err(Fault::ResponseIndex), "{index:#x}");
    }
}

#[test]
fn a_frame_over_too_many_pages_is_a_fault() {
    let (mut receive, _, mut backend) = pair();
    for _ in 0..PAGES {
        let offer = backend.offer(0).unwrap();
        backend.answer(offer.id, 0, MORE_DATA, 1);
    }
    backend.publish();
    assert_eq!(receive.accept(), Err(Fault::FrameSlots));
    let (mut receive, _, mut backend) = pair();
    let offer = backend.offer(0).unwrap();
    backend.answer(offer.id, 0, EXTRA_INFO, 60);
    for _ in 0..8 {
        backend.answer_raw([u32::from(EXTRA_GSO) | u32::from(EXTRA_MORE) << 8, 0]);
    }
    backend.publish();
    assert_eq!(receive.accept(), Err(Fault::FrameSlots));
}

fn send(transmit: &mut TransmitRing, frame: &[u8], offload: Offload) {
    assert!(transmit.ready().unwrap());
    transmit.buffer(frame.len()).copy_from_slice(frame);
    transmit.send(frame.len(), offload);
    transmit.publish();
}

#[test]
fn sent_frames_of_every_length_reach_the_backend() {
    let (_, mut transmit, mut backend) = pair();
    let offload = Offload { checksum: true, segment: NonZeroU16::new(1448), is_ipv6: false };
    for round in 0..100 {
        for length in [60, 1514, 4096, 4097, 40_000, 65_535] {
            let frame = pattern(length, round);
            let offload = if length > 4096 { offload } else { Offload::default() };
            send(&mut transmit, &frame, offload);
            let sent = backend.take().unwrap();
            assert!(sent.bytes == frame, "{length} bytes");
            assert_eq!(sent.segment, offload.segment.map(NonZeroU16::get));
            assert_eq!(sent.flags & 3, if offload.checksum { 3 } else { 0 });
            backend.complete(&sent);
        }
    }
    assert_eq!(transmit.refusals().total(), 0);
}

/// One of 64 KiB that is to be cut takes 17 of the ring's 256 entries, while pages for it are there.
#[test]
fn a_ring_with_no_room_for_the_longest_frame_is_not_ready() {
    let longest = pattern(65_535, 1);
    let offload = Offload { checksum: true, segment: NonZeroU16::new(1448), is_ipv6: false };
    for (short, is_ready) in [(1, true), (2, false)] {
        let mut transmit = TransmitRing::new(0, 8, 15).unwrap();
        (0..14).for_each(|_| send(&mut transmit, &longest, offload));
        (0..short).for_each(|_| send(&mut transmit, &[1; 60], Offload::default()));
        assert_eq!(transmit.ready(), Ok(is_ready), "238 entries and {short}");
        if is_ready {
            send(&mut transmit, &longest, offload);
        }
    }
    // Without long frames one entry is enough.
    let mut transmit = TransmitRing::new(0, 8, 0).unwrap();
    (0..8).for_each(|_| send(&mut transmit, &[1; 60], Offload::default()));
    assert_eq!(transmit.ready(), Ok(false), "no page is free");
}

#[test]
fn frames_answered_out_of_order_free_their_own_pages() {
    let (_, mut transmit, mut backend) = pair();
    let mut waiting = Vec::new();
    for nth in 0..4_u8 {
        send(&mut transmit, &[nth; 100], Offload::default());
        waiting.push(backend.take().unwrap());
    }
    assert!(!transmit.ready().unwrap());
    let last = waiting.pop().unwrap();
    backend.complete(&last);
    send(&mut transmit, &[9; 100], Offload::default());
    let sent = backend.take().unwrap();
    assert_eq!((sent.bytes[0], &sent.ids), (9, &last.ids));
    // The others still hold what was put there.
    assert!(!transmit.ready().unwrap());
}

#[test]
fn answers_to_frames_that_were_not_sent_are_counted() {
    let (_, mut transmit, mut backend) = pair();
    send(&mut transmit, &[1; 100], Offload::default());
    send(&mut transmit, &[2; 100], Offload::default());
    send(&mut transmit, &[3; 100], Offload::default());
    let sent = backend.take().unwrap();
    backend.complete(&sent);
    backend.complete(&sent);
    backend.answer_sent(0xffff, 0);
    transmit.reap().unwrap();
    assert_eq!(transmit.refusals().ids, 2);
}

#[test]
fn a_frame_that_the_backend_drops_is_counted_and_its_page_free() {
    let (_, mut transmit, mut backend) = pair();
    send(&mut transmit, &[1; 100], Offload::default());
    let sent = backend.take().unwrap();
    backend.answer_sent(sent.ids[0], -1);
    transmit.reap().unwrap();
    assert_eq!(transmit.refusals().statuses, 1);
    send(&mut transmit, &[2; 100], Offload::default());
    assert_eq!(backend.take().unwrap().ids, sent.ids);
}

#[test]
#[should_panic(expected = "a write to what is not granted: Some")]
fn sent_pages_are_granted_for_reading_only() {
    let (_, mut transmit, _) = pair();
    send(&mut transmit, &[1; 100], Offload::default());
    let page = transmit.page_reference(0);
    write_page(page, 0, b"x");
}

#[test]
fn another_backend_starts_afresh_and_kept_pages_stay_away() {
    let (mut receive, mut transmit, mut backend) = pair();
    send(&mut transmit, &[1; 100], Offload::default());
    backend.send(b"old", 0, false);
    let mapped = transmit.page_reference(0);
    hold(mapped, true);
    receive.end();
    transmit.end();
    assert!(is_granted(mapped), "a page in use cannot be taken back");
    receive.reset(3).unwrap();
    transmit.reset(3).unwrap();
    receive.publish();
    let mut backend = Backend::attach(transmit.reference(), receive.reference());
    backend.send(b"new", 0, false);
    assert_eq!(receive.accept().unwrap().unwrap().bytes, 3);
    assert_eq!(receive.bytes(), b"new");
    send(&mut transmit, &[2; 100], Offload::default());
    assert_eq!(backend.take().unwrap().ids, [1]);
}

/// What one domain has sent or was sent is no other's to read; the same one has seen it.
#[test]
fn pages_are_zeroed_when_the_backends_domain_changes() {
    for (domain, is_left) in [(0, true), (3, false)] {
        let (mut receive, mut transmit, mut backend) = pair();
        backend.send(&pattern(9000, 1), 0, false);
        receive.accept().unwrap().unwrap();
        receive.recycle();
        for _ in 0..2 {
            send(&mut transmit, &pattern(6000, 2), Offload::default());
            backend.take().unwrap();
        }
        receive.end();
        transmit.end();
        receive.reset(domain).unwrap();
        transmit.reset(domain).unwrap();
        receive.publish();
        let backend = Backend::attach(transmit.reference(), receive.reference());
        let offers = (0..u32::from(PAGES)).map_while(|nth| backend.offer(nth));
        let references: Vec<u32> = offers.map(|offer| offer.reference).collect();
        assert_eq!(references.len(), usize::from(PAGES));
        // Both runs, behind four single pages.
        let [first, second] =
            [4, 20].map(|run| (run..run + 2).map(|page| transmit.page_reference(page)).collect());
        for references in [references, first, second] {
            let mut bytes =
                references.iter().flat_map(|&reference| read_page(reference, 0, PAGE_BYTES));
            assert_eq!(bytes.any(|byte| byte != 0), is_left, "domain {domain}");
        }
    }
}

#[test]
fn random_backends_never_panic_nor_reach_what_is_lent() {
    for seed in 1..400_u64 {
        let mut state = seed;
        let mut random = move |below: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u32 % below
        };
        let (mut receive, mut transmit, mut backend) = pair();
        for _ in 0..200 {
            match random(10) {
                0 => backend.set_receive_responses(random(1 << 30)),
                1 => backend.set_transmit_responses(random(300)),
                2 | 3 => {
                    let id = backend.offer(0).map_or(7, |offer| offer.id);
                    let flags = random(16) as u16;
                    backend.answer(id, random(5000) as u16, flags, random(5000) as i16);
                    backend.publish();
                }
                4 => backend.answer_raw([random(1 << 31), random(1 << 31)]),
                5 => {
                    backend.answer_sent(random(50) as u16, random(3) as i16 - 1);
                }
                6 => {
                    if let Some(offer) = backend.offer(random(3)) {
                        hold(offer.reference, random(2) == 0);
                    }
                }
                7 => {
                    let length = 1 + random(65_535) as usize;
                    if transmit.ready() == Ok(true) {
                        transmit.buffer(length).fill(1);
                        transmit.send(length, Offload::default());
                        transmit.publish();
                    }
                }
                _ => {
                    if receive.accept().is_ok_and(|frame| frame.is_some()) {
                        assert!(receive.bytes().len() <= FRAME_BYTES_MAX, "seed {seed}");
                    }
                    receive.publish();
                }
            }
        }
    }
}
