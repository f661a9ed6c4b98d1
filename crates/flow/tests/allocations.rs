//! Whoever has a task needs no memory to wake it, nor to end it. Alone in its process: the allocator counts all.

use flow::task::{Executor, yield_once};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::future::{pending, poll_fn};
use std::task::Poll;

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often memory was asked for meanwhile.
fn count(body: impl FnOnce()) -> usize {
    let region = Region::new(MEMORY);
    body();
    let made = region.change();
    made.allocations + made.reallocations
}

/// Waits to be woken once, gives way once, and ends.
async fn life() {
    let mut has_waited = false;
    poll_fn(
        |_| if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
    yield_once().await;
}

#[test]
fn waking_giving_way_and_ending_take_no_memory() {
    for tasks in [1, 2, 3, 9, 100] {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let spawner = executor.spawner();
        // Each waits before the next one is made, so that never more than one is in the queue.
        for _ in 0..tasks {
            spawner.spawn("lives", life());
            executor.run(10);
        }
        let taken = count(|| {
            spawner.wake_all();
            assert!(executor.turn(tasks), "all have given way");
            assert!(!executor.turn(tasks));
        });
        assert_eq!((taken, spawner.count()), (0, 0), "{tasks} tasks");
    }
    those_that_were_cancelled_while_they_gave_way_take_no_place();
}

/// Their numbers are in the queue still, when others are made.
fn those_that_were_cancelled_while_they_gave_way_take_no_place() {
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let spawner = executor.spawner();
    let ids: Vec<_> = (0..50)
        .map(|_| {
            spawner.spawn("spins", async {
                loop {
                    yield_once().await;
                }
            })
        })
        .collect();
    assert!(executor.turn(100));
    assert!(ids.into_iter().all(|id| spawner.cancel(id)));
    for _ in 0..50 {
        spawner.spawn("waits", pending());
    }
    assert_eq!(count(|| assert!(!executor.run(1000))), 0);
}
