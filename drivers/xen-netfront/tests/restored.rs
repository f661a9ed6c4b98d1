//! A domain that is suspended, and restored: all of this process, so that there is one test.

extern crate alloc;

#[path = "../src/tests/bench.rs"]
mod bench;

use bench::{BACK, Bench, make_interface, open_one, run, tcp_frame};
use core::cell::Cell;
use core::pin::pin;
use core::task::{Context, Waker};
use machine::xen::net::fake::is_granted;
use machine::xen::{Resumed, restorations, suspend_fake};
use net::device::NetDevice;
use xen_netfront::{Error, Frontend, Interfaces, Settings, XenNetfront, open};
use xen_store::control;
use xen_store::fake::{self, Daemon};

const REQUEST: &str = "control/shutdown";
const FEATURE: &str = "control/feature-suspend";

#[test]
fn a_restored_interface_begins_anew() {
    nothing_is_taken_from_old_rings();
    what_was_met_before_the_task_runs_is_met_again();
}

fn nothing_is_taken_from_old_rings() {
    let mut bench = Bench::new();
    let mut old = bench.connect();
    let is_new = Cell::new(false);
    let mut toolstack = pin!(control::serve(bench.store.clone(), || is_new.set(true)));
    let mut step = |bench: &mut Bench| {
        for _ in 0..100 {
            let polled = toolstack.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "{polled:?}");
            if is_new.take() {
                replace_xenstore(&mut bench.daemon);
            }
            bench.store.poll();
            bench.daemon.step();
        }
    };
    step(&mut bench);
    assert_eq!(bench.daemon.get(FEATURE).as_deref(), Some("1"));
    let mut watch =
        run(&bench.store, &mut bench.daemon, bench.store.watch("elsewhere")).unwrap().unwrap();
    assert!(run(&bench.store, &mut bench.daemon, watch.changed()).is_some());
    assert!(run(&bench.store, &mut bench.daemon, watch.changed()).is_none());

    // Without a toolstack that saves it, it goes on.
    bench.daemon.set(REQUEST, "suspend");
    step(&mut bench);
    assert_eq!(bench.daemon.get(REQUEST).as_deref(), Some(""));
    old.send(&tcp_frame(20), 1, false);
    assert_eq!(bench.receive().unwrap(), tcp_frame(20));

    // A frame comes while the domain is being saved.
    let reference = bench.front("rx-ring-ref").unwrap().parse().unwrap();
    old.send(&tcp_frame(30), 1, false);
    suspend_fake::restore_next();
    bench.daemon.set(REQUEST, "suspend");
    step(&mut bench);
    assert_eq!(restorations(), 1);
    assert!(!is_granted(reference) && !bench.card.link_up());
    assert_eq!(bench.receive(), None);
    bench.send(&tcp_frame(10), None);
    assert_eq!(bench.card.counters().sent_dropped, 1);
    assert_eq!(bench.daemon.get(FEATURE).as_deref(), Some("1"));

    // Whoever watches something looks again.
    assert!(run(&bench.store, &mut bench.daemon, watch.changed()).is_some());
    bench.settle();
    let mut new = bench.connect();
    assert_eq!(bench.receive(), None);
    new.send(&tcp_frame(40), 1, false);
    assert_eq!(bench.receive().unwrap(), tcp_frame(40));
    bench.send(&tcp_frame(50), None);
    assert!(new.take().is_some());
    assert_eq!(bench.card.counters().received_frames, 2);
}

fn what_was_met_before_the_task_runs_is_met_again() {
    let (store, mut daemon) = fake::connect();
    make_interface(&mut daemon);
    let (card, frontend) = open_one(&store, &mut daemon);
    suspend_fake::restore_next();
    assert_eq!(machine::xen::suspend(), Ok(Resumed::Restored));
    replace_xenstore(&mut daemon);
    // The new backend is not ready, as the one before was.
    daemon.set(&format!("{BACK}/state"), "1");
    store.restored();
    let mut bench = Bench::of(store, daemon, card, frontend);
    assert_eq!(bench.front("state").as_deref(), Some("1"));
    bench.set_backend("2");
    bench.connect();
}

/// A new domain has a folder of its own, here of the same name, and the daemon has heard nothing of it.
fn replace_xenstore(daemon: &mut Daemon) {
    daemon.reset();
    daemon.remove(BACK);
    daemon.remove(fake::HOME);
    make_interface(daemon);
}
