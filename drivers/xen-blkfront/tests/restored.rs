//! A domain that is restored: all of this process, so that there is one test.

extern crate alloc;

#[path = "../src/tests/bench.rs"]
mod bench;

use bench::{BACK, Bench, PROPERTIES, connect, content, make_disk, poll, set_all};
use core::task::Poll;
use core::time::Duration;
use machine::xen::block::fake::is_granted;
use machine::xen::{Resumed, suspend_fake};
use storage::{BlockDevice, DiskError, Pending};
use xen_blkfront::{Error, Frontend, Settings, XenBlkfront, list, open};
use xen_store::fake;

#[test]
fn a_restored_disk_connects_anew_and_asks_again() {
    what_was_not_answered_is_asked_again();
    for (node, value) in [
        ("sectors", "4095"),
        ("sectors", "4097"),
        ("info", "4"),
        ("sector-size", "1024"),
        ("feature-max-indirect-segments", "12"),
    ] {
        another_disk_is_not_taken_for_it(node, value);
    }
    a_backend_that_does_not_come_is_not_waited_for_for_ever();
    a_backend_that_closes_at_once_is_no_disk();
}

fn what_was_not_answered_is_asked_again() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        let mut reads: Vec<_> = (0..6).map(|nth| bench.disk.read(nth * 512, 512)).collect();
        let mut write = bench.disk.write(8192, content(9, 512).into());
        bench.disk.flush_requests();
        let first = bench.take();
        bench.answer(&first);
        assert!(bench.disk.poll());
        assert!(poll(&mut reads[0]).is_ready());
        let old = bench.take();
        // An answer comes while the domain is being saved.
        bench.answer(&old);
        restore(&mut bench);
        assert!(!is_granted(old.segments[0].0));
        assert!(!bench.disk.poll(), "what stands in the old ring is not looked at");
        assert!(poll(&mut reads[1]).is_pending() && bench.disk.prepare_to_wait());
        reconnect(&mut bench, &PROPERTIES);
        assert_eq!(bench.front("state").as_deref(), Some("4"));
        assert_eq!(bench.backend.waiting(), 4, "a ring's worth is asked for");
        while bench.backend.waiting() > 0 {
            let request = bench.take();
            if request.operation == 1 {
                assert_eq!((request.sector, request.read()), (16, content(9, 512)));
                bench.backend.answer(&request, 0);
            } else {
                bench.answer(&request);
            }
            bench.settle();
        }
        for (nth, read) in (0..).zip(&mut reads).skip(1) {
            assert_eq!(poll(read), Poll::Ready(Ok(content(nth, 512).into())));
        }
        assert_eq!(poll(&mut write), Poll::Ready(Ok(())));
    }
}

fn another_disk_is_not_taken_for_it(node: &str, value: &str) {
    let (mut bench, mut read) = restored_with_a_read();
    set_all(&mut bench.daemon, &[(node, value)]);
    let mut properties = PROPERTIES;
    for (name, is) in &mut properties {
        *is = if *name == node { value } else { *is };
    }
    reconnect(&mut bench, &properties);
    assert_eq!(bench.disk.fault(), Some(Error::Changed), "{node} {value}");
    assert_eq!(poll(&mut read), Poll::Ready(Err(DiskError::Gone)));
    assert_eq!(bench.front("state").as_deref(), Some("6"));
}

fn a_backend_that_does_not_come_is_not_waited_for_for_ever() {
    let (mut bench, mut read) = restored_with_a_read();
    bench.daemon.set(&format!("{BACK}/state"), "1");
    for (seconds, is_over) in [(0, false), (59, false), (60, true)] {
        bench.timers.advance(Duration::from_secs(seconds));
        bench.settle();
        assert_eq!(bench.disk.fault().is_some(), is_over, "{seconds} s");
    }
    assert_eq!(bench.disk.fault(), Some(Error::TimedOut));
    assert_eq!(poll(&mut read), Poll::Ready(Err(DiskError::Gone)));
}

fn a_backend_that_closes_at_once_is_no_disk() {
    let (mut bench, mut read) = restored_with_a_read();
    bench.daemon.set(&format!("{BACK}/state"), "5");
    bench.settle();
    assert_eq!(bench.disk.fault(), Some(Error::Closed));
    assert_eq!(poll(&mut read), Poll::Ready(Err(DiskError::Gone)));
    assert!(!bench.has_ended());
    bench.set_backend("6");
    assert!(bench.has_ended());
}

/// A disk that was asked for something, in a domain that was restored since.
fn restored_with_a_read() -> (Bench, Pending<bytes::Bytes>) {
    let mut bench = Bench::new();
    let read = bench.disk.read(0, 512);
    bench.disk.flush_requests();
    bench.take();
    restore(&mut bench);
    (bench, read)
}

/// A new domain has a folder of its own, here of the same name, and the daemon has heard nothing of it.
fn restore(bench: &mut Bench) {
    suspend_fake::restore_next();
    assert_eq!(machine::xen::suspend(), Ok(Resumed::Restored));
    bench.daemon.reset();
    bench.daemon.remove(BACK);
    bench.daemon.remove(fake::HOME);
    make_disk(&mut bench.daemon);
    bench.store.restored();
}

fn reconnect(bench: &mut Bench, properties: &[(&str, &str)]) {
    for _ in 0..100 {
        bench.run_task();
        if let Some(backend) = connect(&mut bench.daemon, properties) {
            bench.backend = backend;
        }
    }
    bench.settle();
}
