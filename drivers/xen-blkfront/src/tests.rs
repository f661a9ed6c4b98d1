//! The whole disk against a backend and a xenstore daemon in this process.

mod bench;

use super::*;
use alloc::format;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec;
use bench::{
    BACK, Bench, FRONT, PROPERTIES, SETTINGS, content, make_disk, make_front, open_one, poll,
    set_all,
};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use machine::xen::block::fake::{Backend, Taken, hold, is_granted};
use xen_store::fake;

/// As the backend says.
const SECTORS: u64 = 4096;
const READ: u8 = 0;
const WRITE: u8 = 1;

#[test]
fn the_offer_tells_all_that_the_backend_needs() {
    let bench = Bench::new();
    assert!(bench.front("ring-ref").is_some() && bench.front("event-channel").is_some());
    assert!(bench.front("ring-page-order").is_none() && bench.front("ring-ref0").is_none());
    assert_eq!(bench.front("protocol").as_deref(), Some("x86_64-abi"));
    assert_eq!(bench.front("feature-persistent").as_deref(), Some("0"));
    assert_eq!(bench.front("state").as_deref(), Some("4"));
    let geometry = bench.disk.geometry();
    let expected = Geometry {
        capacity_bytes: SECTORS * 512,
        block_bytes: 512,
        request_bytes_max: 64 << 10,
        is_read_only: false,
    };
    assert_eq!(geometry, expected);
}

/// Note 6 in blkif.h: a ring of several pages has its pages' numbers in the names.
#[test]
fn many_requests_have_a_ring_of_several_pages_where_it_is_offered() {
    let settings = Settings { requests_max: 64, request_bytes_max: 4096 };
    for (node, value, pages) in [
        ("max-ring-page-order", "0", 1),
        ("max-ring-page-order", "1", 2),
        ("max-ring-page-order", "9", 2),
        ("max-ring-pages", "2", 2),
        ("max-ring-pages", "3", 2),
        ("max-ring-pages", "0", 1),
    ] {
        let bench = Bench::of(&settings, |daemon| {
            daemon.remove(&format!("{BACK}/max-ring-page-order"));
            set_all(daemon, &[(node, value)]);
        });
        let order = if pages == 2 { Some("1") } else { None };
        assert_eq!(bench.front("ring-page-order").as_deref(), order, "{node} {value}");
        assert_eq!(bench.front("ring-ref").is_some(), pages == 1);
        assert_eq!(bench.front("ring-ref1").is_some(), pages == 2);
        let _reads: Vec<_> = (0..70).map(|nth| bench.disk.read(nth * 512, 512)).collect();
        bench.disk.flush_requests();
        assert_eq!(bench.backend.waiting(), pages * 32);
    }
}

#[test]
fn requests_are_as_long_as_the_backend_takes_them() {
    for (segments, kib) in [(None, 44), (Some("5"), 44), (Some("12"), 48), (Some("400"), 64)] {
        let bench = Bench::of(&SETTINGS, |daemon| {
            daemon.remove(&format!("{BACK}/feature-max-indirect-segments"));
            if let Some(segments) = segments {
                set_all(daemon, &[("feature-max-indirect-segments", segments)]);
            }
        });
        assert_eq!(bench.disk.geometry().request_bytes_max, kib << 10, "{segments:?}");
    }
}

#[test]
fn reads_are_answered_in_any_order() {
    let mut bench = Bench::new();
    let mut reads: Vec<_> =
        (0..4).map(|nth| bench.disk.read(nth * 65_536, (nth as usize + 1) * 8192)).collect();
    assert_eq!(bench.backend.waiting(), 0, "one event for all of a turn");
    bench.disk.flush_requests();
    let taken: Vec<_> = (0..4).map(|_| bench.take()).collect();
    for at in [3, 0, 2, 1] {
        assert!(poll(&mut reads[at]).is_pending());
        bench.answer(&taken[at]);
        assert!(bench.disk.poll());
        let expected = content(at as u64 * 128, (at + 1) * 8192);
        assert_eq!(poll(&mut reads[at]), Poll::Ready(Ok(expected.into())));
    }
    assert!(!bench.disk.poll());
    let DiskCounters { requests, failed, depth_max, read_bytes, .. } = bench.disk.counters();
    assert_eq!((requests, failed, depth_max), (4, 0, 4));
    assert!(read_bytes > 0);
}

#[test]
fn what_has_no_room_waits_and_is_not_lost() {
    let mut bench = Bench::new();
    let mut reads: Vec<_> = (0..40).map(|nth| bench.disk.read(nth * 512, 512)).collect();
    for _ in 0..40 {
        bench.disk.flush_requests();
        let request = bench.take();
        assert!(bench.backend.waiting() < 4);
        bench.answer(&request);
        assert!(bench.disk.poll());
    }
    for (nth, read) in (0..).zip(&mut reads) {
        assert_eq!(poll(read), Poll::Ready(Ok(content(nth, 512).into())));
    }
}

#[test]
fn writes_and_flushes_reach_the_backend() {
    const FLUSH: u8 = 3;
    const BARRIER: u8 = 2;
    for (node, operation) in [("feature-flush-cache", FLUSH), ("feature-barrier", BARRIER)] {
        let mut bench = Bench::new();
        bench.disk.0.state.borrow_mut().flush = match node {
            "feature-barrier" => Flush::Barrier,
            _ => Flush::Cache,
        };
        let data = Bytes::from(content(7, 1024));
        let (mut write, mut flush) = (bench.disk.write(512, data.clone()), bench.disk.flush());
        bench.disk.flush_requests();
        let request = bench.take();
        assert_eq!((request.operation, request.sector), (WRITE, 1));
        assert_eq!(request.read(), data);
        bench.backend.answer(&request, 0);
        let request = bench.take();
        assert_eq!(request.operation, operation, "{node}");
        bench.backend.answer(&request, -2);
        assert!(bench.disk.poll());
        assert_eq!(poll(&mut write), Poll::Ready(Ok(())));
        assert_eq!(poll(&mut flush), Poll::Ready(Err(DiskError::Failed)));
    }
}

/// What a backend says, the disk's blocks, whether it takes writes, and how the backend is asked to flush.
type Likeness<'a> = (&'a [(&'a str, &'a str)], usize, bool, Flush);

#[test]
fn the_backend_says_what_its_disk_is_like() {
    let plain = [("sectors", "8191")];
    let cases: [Likeness<'_>; 6] = [
        (&[], 512, false, Flush::Never),
        (&[("sector-size", "4096")], 4096, false, Flush::Never),
        (&[("info", "4")], 512, true, Flush::Never),
        (&[("info", "1"), ("feature-barrier", "1")], 512, true, Flush::Barrier),
        (&[("info", "2"), ("feature-flush-cache", "1")], 512, false, Flush::Cache),
        (&[("feature-barrier", "1"), ("feature-flush-cache", "1")], 512, false, Flush::Cache),
    ];
    for (more, block_bytes, is_read_only, flush) in cases {
        let (store, mut daemon) = fake::connect();
        make_disk(&mut daemon);
        let nodes = [&plain[..], more].concat();
        let opened = open_one(&store, &mut daemon, &SETTINGS, &nodes);
        let (disk, ..) = opened.unwrap().unwrap();
        let geometry = disk.geometry();
        let capacity_bytes = if block_bytes == 4096 { 8184 * 512 } else { 8191 * 512 };
        assert_eq!((geometry.block_bytes, geometry.capacity_bytes), (block_bytes, capacity_bytes));
        assert_eq!((geometry.is_read_only, disk.0.state.borrow().flush), (is_read_only, flush));
        if flush == Flush::Never {
            assert_eq!(poll(&mut disk.flush()), Poll::Ready(Ok(())));
        }
    }
}

#[test]
fn what_cannot_be_done_fails_alone() {
    let mut bench = Bench::new();
    let out_of_range = &mut bench.disk.read(SECTORS * 512, 512);
    assert_eq!(poll(out_of_range), Poll::Ready(Err(DiskError::OutOfRange)));
    let mut reads: Vec<_> = (0..3).map(|nth| bench.disk.read(nth * 512, 512)).collect();
    bench.disk.flush_requests();
    for status in [-1, 77] {
        let request = bench.take();
        bench.backend.answer(&request, status);
    }
    let request = bench.take();
    bench.answer(&request);
    assert!(bench.disk.poll());
    assert_eq!(poll(&mut reads[0]), Poll::Ready(Err(DiskError::Failed)));
    assert_eq!(poll(&mut reads[1]), Poll::Ready(Err(DiskError::Failed)), "an unknown status");
    assert_eq!(poll(&mut reads[2]), Poll::Ready(Ok(content(2, 512).into())));
    assert_eq!((bench.disk.counters().failed, bench.disk.fault()), (2, None));
}

/// What it is, what it is taken for, and how it is told.
type Lie = (&'static str, Fault, fn(&mut Backend, &Taken));

/// Each lie ends the disk, and all that it was asked for; the backend is told, and what it had is taken back.
#[test]
fn a_backend_that_lies_is_left() {
    let lies: [Lie; 6] = [
        ("a request that nobody made", Fault::ResponseId, |backend, _| {
            backend.answer_raw(u64::MAX, READ, 0);
        }),
        ("twice the same", Fault::ResponseId, |backend, request| {
            backend.answer(request, 0);
            backend.answer(request, 0);
        }),
        ("another kind", Fault::ResponseOperation, |backend, request| {
            backend.answer_raw(request.id, WRITE, 0);
        }),
        ("more answers than questions", Fault::ResponseIndex, |backend, _| {
            backend.set_responses(6);
        }),
        ("an index that went back", Fault::ResponseIndex, |backend, _| {
            backend.set_responses(u32::MAX);
        }),
        ("pages that it keeps", Fault::KeptPages, |backend, request| {
            hold(request.segments[0].0, true);
            backend.answer(request, 0);
        }),
    ];
    for (lie, fault, tell) in lies {
        let mut bench = Bench::new();
        let mut reads = [bench.disk.read(0, 512), bench.disk.read(512, 512)];
        let mut waiting = [bench.disk.flush(), bench.disk.flush(), bench.disk.flush()];
        bench.disk.flush_requests();
        let request = bench.take();
        tell(&mut bench.backend, &request);
        assert!(!bench.disk.prepare_to_wait(), "{lie}: there is something to look at");
        assert!(bench.disk.poll(), "{lie}");
        assert_eq!(bench.disk.fault(), Some(Error::Fault(fault)), "{lie}");
        let is_answered = lie == "twice the same";
        assert_eq!(poll(&mut reads[0]).map(|read| read.is_ok()), Poll::Ready(is_answered), "{lie}");
        assert_eq!(poll(&mut reads[1]), Poll::Ready(Err(DiskError::Gone)), "{lie}");
        for flush in &mut waiting {
            assert_eq!(poll(flush), Poll::Ready(Err(DiskError::Gone)), "{lie}");
        }
        assert!(!bench.disk.poll() && bench.disk.prepare_to_wait(), "{lie}: nobody is kept busy");
        expect_end(&mut bench, request.segments[0].0);
    }
}

#[test]
fn a_disk_that_is_given_up_wakes_its_task() {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let mut bench = Bench::new();
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    assert!(bench.disk.poll_given_up(&Context::from_waker(&waker)).is_pending());
    bench.backend.set_responses(1);
    assert!(bench.disk.poll() && woken.0.load(Ordering::Relaxed));
}

/// The disk is given up: the task says so and ends, and nothing is granted any more once the backend lets go.
fn expect_end(bench: &mut Bench, page: u32) {
    let ring = bench.front("ring-ref").unwrap().parse().unwrap();
    bench.settle();
    assert_eq!(bench.front("state").as_deref(), Some("6"));
    assert!(!bench.has_ended());
    hold(page, false);
    bench.set_backend("6");
    assert!(bench.has_ended());
    assert!(!is_granted(ring) && !is_granted(page));
    assert_eq!(poll(&mut bench.disk.read(0, 512)), Poll::Ready(Err(DiskError::Gone)));
    assert_eq!(bench.front("state").as_deref(), Some("6"), "nothing is begun anew");
}

#[test]
fn a_backend_that_closes_or_goes_fails_what_it_was_asked_for() {
    let ends: [fn(&mut Bench); 6] = [
        |bench| bench.set_backend("5"),
        |bench| bench.set_backend("6"),
        |bench| bench.set_backend("nonsense"),
        |bench| bench.set_backend("99"),
        |bench| {
            bench.daemon.remove(BACK);
            bench.settle();
        },
        |bench| {
            bench.daemon.hide(&format!("{BACK}/state"));
            bench.set_backend("4");
        },
    ];
    for end in ends {
        let mut bench = Bench::new();
        let mut asked = bench.disk.read(0, 512);
        bench.disk.flush_requests();
        let request = bench.take();
        end(&mut bench);
        assert_eq!(poll(&mut asked), Poll::Ready(Err(DiskError::Gone)));
        assert_eq!(bench.disk.fault(), Some(Error::Closed));
        // Too late.
        bench.backend.answer_raw(request.id, READ, 0);
        assert!(!bench.disk.poll());
        assert!(!is_granted(request.segments[0].0));
        assert_eq!(bench.front("state").as_deref(), Some("6"));
        bench.set_backend("6");
        assert!(bench.has_ended());
    }
}

#[test]
fn changes_of_the_backend_that_are_no_end_are_none() {
    let mut bench = Bench::new();
    for state in ["4", "7", "8", "2"] {
        bench.set_backend(state);
        let mut read = bench.disk.read(512, 512);
        bench.disk.flush_requests();
        let request = bench.take();
        bench.answer(&request);
        assert!(bench.disk.poll());
        assert_eq!(poll(&mut read), Poll::Ready(Ok(content(1, 512).into())), "{state}");
    }
    assert!(!bench.has_ended());
    assert_eq!(bench.timers.next_deadline(), None);
}

#[test]
fn it_waits_only_when_there_is_nothing_to_do() {
    let mut bench = Bench::new();
    assert!(bench.disk.prepare_to_wait());
    let _read = bench.disk.read(0, 512);
    assert!(!bench.disk.prepare_to_wait(), "a request is not with the backend");
    bench.disk.flush_requests();
    assert!(bench.disk.prepare_to_wait());
    let request = bench.take();
    bench.answer(&request);
    assert!(!bench.disk.prepare_to_wait(), "an answer came");
    assert!(bench.backend.wants_event(), "the wait would have ended");
    assert!(bench.disk.poll());
    // More than it has room for is nothing to do.
    let _reads: Vec<_> = (0..5).map(|nth| bench.disk.read(nth * 512, 512)).collect();
    bench.disk.flush_requests();
    assert!(bench.disk.prepare_to_wait());
}

/// What a backend or a toolstack wrote, and what is said of it.
#[test]
fn a_disk_that_cannot_be_used_is_refused_with_a_reason() {
    let cases: [(&str, &str, Error); 13] = [
        ("max-ring-page-order", "many", Error::Malformed("max-ring-page-order")),
        ("max-ring-pages", "-1", Error::Malformed("max-ring-pages")),
        (
            "feature-max-indirect-segments",
            "99999999999999999999",
            Error::Malformed("feature-max-indirect-segments"),
        ),
        ("sectors", "", Error::Malformed("sectors")),
        ("sectors", "36028797018963968", Error::Malformed("sectors")),
        ("sector-size", "0", Error::BlockBytes),
        ("sector-size", "256", Error::BlockBytes),
        ("sector-size", "513", Error::BlockBytes),
        ("sector-size", "8192", Error::BlockBytes),
        ("info", "0x4", Error::Malformed("info")),
        ("params", "", Error::NoMedium),
        ("state", "6", Error::Closed),
        ("state", "4", Error::InUse),
    ];
    for (node, value, error) in cases {
        let (store, mut daemon) = fake::connect();
        make_disk(&mut daemon);
        set_all(&mut daemon, &[(node, value)]);
        let mut properties = PROPERTIES;
        for (name, is) in &mut properties {
            *is = if *name == node { value } else { *is };
        }
        let opened = open_one(&store, &mut daemon, &SETTINGS, &properties);
        assert_eq!(opened.unwrap().map(drop).unwrap_err(), error, "{node} {value:?}");
    }
    let (store, mut daemon) = fake::connect();
    make_disk(&mut daemon);
    let opened = open_one(&store, &mut daemon, &SETTINGS, &[]);
    assert_eq!(opened.unwrap().map(drop).unwrap_err(), Error::Missing("sectors"));
}

#[test]
fn a_backend_that_is_not_ready_is_waited_for_and_one_that_goes_is_not() {
    let (store, mut daemon) = fake::connect();
    make_disk(&mut daemon);
    daemon.set(&format!("{BACK}/state"), "1");
    assert!(open_one(&store, &mut daemon, &SETTINGS, &PROPERTIES).is_none());
    daemon.remove(BACK);
    let opened = open_one(&store, &mut daemon, &SETTINGS, &PROPERTIES);
    assert_eq!(opened.unwrap().map(drop).unwrap_err(), Error::Closed);
}

#[test]
fn an_unusable_disk_keeps_its_place_and_says_that_it_is_gone() {
    let (store, mut daemon) = fake::connect();
    make_disk(&mut daemon);
    let vbds = daemon.drive(&store, list(&store)).unwrap().unwrap();
    let disk = XenBlkfront::unusable(&vbds[0], Error::NoMedium);
    daemon.drive(&store, vbds[0].refuse(&store)).unwrap().unwrap();
    assert_eq!(daemon.get(&format!("{FRONT}/state")).as_deref(), Some("6"));
    assert_eq!(disk.fault(), Some(Error::NoMedium));
    let block = disk.geometry().block_bytes;
    assert_eq!(poll(&mut disk.read(0, block)), Poll::Ready(Err(DiskError::Gone)));
    disk.flush_requests();
    assert!(!disk.poll() && disk.prepare_to_wait());
}

#[test]
fn disks_are_in_the_order_of_their_numbers() {
    let (store, mut daemon) = fake::connect();
    assert_eq!(daemon.drive(&store, list(&store)), Some(Ok(vec![])));
    for number in ["51728", "768", "268439552", "51712", "5632"] {
        make_front(&mut daemon, &FRONT.replace("51712", number), number);
    }
    // A name need not be the number.
    make_front(&mut daemon, &FRONT.replace("51712", "cd"), "832");
    make_front(&mut daemon, &FRONT.replace("51712", "what"), "ever");
    daemon.remove(&format!("{FRONT}/virtual-device"));
    let numbers = |vbds: Vec<Vbd>| vbds.iter().map(|vbd| vbd.number).collect::<Vec<_>>();
    let listed = daemon.drive(&store, list(&store)).unwrap().map(numbers);
    assert_eq!(listed, Ok(vec![768, 832, 5632, 51712, 51728, 268_439_552]));
}

#[test]
fn the_settings_are_a_sixteenth_of_the_memory_at_most() {
    for mib in [4_u64, 8, 15, 16, 63, 64, 255, 256, 4096] {
        let Settings { requests_max, request_bytes_max } = Settings::for_ram(mib << 20);
        assert!((requests_max * request_bytes_max) as u64 <= mib << 16, "{mib} MiB");
    }
}

#[test]
fn random_backends_are_survived() {
    for seed in 1..150_u64 {
        let mut state = seed;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut bench = Bench::new();
        let mut reads = Vec::new();
        let mut taken = Vec::new();
        for _ in 0..60 {
            // Before it answers what it was not asked, over a request that it has not read.
            taken.extend(core::iter::from_fn(|| bench.backend.take()));
            match random(10) {
                0 if random(4) == 0 => bench.backend.set_responses(random(1 << 32) as u32),
                1 if random(4) == 0 => {
                    bench.backend.answer_raw(random(1 << 34), random(4) as u8, 0);
                }
                2 if random(8) == 0 => bench.set_backend(&format!("{}", random(10))),
                0..=4 => reads.push(bench.disk.read(random(64) * 512, 512)),
                5..=7 => {
                    if !taken.is_empty() {
                        let request = taken.swap_remove(random(taken.len() as u64) as usize);
                        if bench.disk.fault().is_none() {
                            request.write(&content(request.sector, 512));
                        }
                        bench.backend.answer(&request, -(random(3) as i16));
                    }
                }
                _ => bench.settle(),
            }
        }
        // Whatever happened, nobody waits for ever.
        bench.set_backend("6");
        assert!(bench.has_ended());
        for read in &mut reads {
            assert!(poll(read).is_ready(), "seed {seed}");
        }
    }
}
