//! Where a task waits. One test, in a process of its own: what executors of other threads wait for is noted in the same
//! place.

use flow::sync::Notify;
use flow::task::{Executor, TaskState, waits_here};
use flow::time::Timers;
use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

fn executor() -> Executor {
    Executor::new(|body| {
        body();
        Ok(())
    })
}

#[test]
fn a_task_shows_the_line_of_the_await_where_it_waits() {
    let executor = executor();
    let (bell, timers) = (Rc::<Notify>::default(), Timers::new());
    let (rung, clock) = (bell.clone(), timers.clone());
    let lines = Rc::new(RefCell::new(Vec::new()));
    let seen = lines.clone();
    executor.spawner().spawn("waits", async move {
        seen.borrow_mut().push(line!() + 1);
        rung.notified().await;
        seen.borrow_mut().push(line!() + 1);
        clock.sleep(Duration::from_secs(1)).await;
        // What is inside of another wait is not what the task's own code waits for.
        seen.borrow_mut().push(line!() + 1);
        let _ = clock.before(Duration::from_secs(9), rung.notified()).await;
    });
    let waits = || {
        executor.run(10);
        let task = &executor.spawner().tasks()[0];
        assert!(task.waits_at.file().ends_with("wait_places.rs"));
        (task.state, task.waits_at.line())
    };
    let last = || (TaskState::Waiting, *lines.borrow().last().unwrap());
    let first = waits();
    assert_eq!(first, last());
    bell.notify();
    assert_eq!(executor.spawner().tasks()[0].state, TaskState::Ready);
    let second = waits();
    assert_eq!(second, last());
    timers.advance(Duration::from_secs(2));
    let third = waits();
    assert_eq!(third, last());
    assert_eq!(lines.borrow().len(), 3);
    what_tells_no_place_is_shown_where_it_was_spawned();
    who_polls_itself_says_where_unless_something_inside_has();
}

fn what_tells_no_place_is_shown_where_it_was_spawned() {
    let executor = executor();
    let (spawner, line) = (executor.spawner(), line!() + 1);
    spawner.spawn("foreign", pending());
    executor.run(10);
    assert_eq!(spawner.tasks()[0].waits_at.line(), line);
}

fn who_polls_itself_says_where_unless_something_inside_has() {
    let executor = executor();
    let (spawner, timers) = (executor.spawner(), Timers::new());
    let own = line!() + 3;
    spawner.spawn("own", async {
        poll_fn(|_| {
            waits_here();
            Poll::<()>::Pending
        })
        .await;
    });
    let inside = line!() + 2;
    spawner.spawn("inside", async move {
        let mut sleeping = pin!(timers.sleep(Duration::from_secs(1)));
        poll_fn(|cx| {
            let polled = sleeping.as_mut().poll(cx);
            waits_here();
            polled
        })
        .await;
    });
    executor.run(10);
    let lines: Vec<_> = spawner.tasks().iter().map(|task| task.waits_at.line()).collect();
    assert_eq!(lines, [own, inside]);
}
