//! Executor: named tasks on one core, spawned at any time, listed, cancelled, and unable to take each other
//! down.
//!
//! Own code rather than a published executor, for three needs that come together only here: safe
//! spawning of tasks that are not `Send` without an interrupt lock per wake-up, a list of what
//! lives, and a panic that ends its task only. Waking costs a flag and a queue push, whatever the
//! number of tasks.
//!
//! Wakers are `Send + Sync` because the language asks it; interrupts set flags that the platform's
//! loop reads, and never wake a task themselves.

mod late;
mod meter;
mod place;
mod queue;
mod slices;
mod spawner;
mod trace;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

pub use meter::METRICS;
pub use place::{Place, Waiting, wait_fn, waiting, waits_here};
pub use slices::Slices;
pub use spawner::{Catching, Spawner, TaskHandle, TaskId, TaskInfo, TaskState};
pub use trace::{TRACE_EVENTS_MAX, Trace, TraceEvent, Tracing, Turn};

use queue::RunQueue;

/// Runs the closure and says whether it panicked, with the panic's message. The platform supplies
/// it, since `core` cannot catch: `std::panic::catch_unwind` in a process, the unwinder on bare
/// metal.
pub type CatchPanic = fn(&mut dyn FnMut()) -> Result<(), String>;

/// Why a task gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskError {
    /// It panicked with this message.
    Panicked(String),
    /// Somebody cancelled it, or the executor is gone.
    Cancelled,
}

impl core::fmt::Display for TaskError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl core::error::Error for TaskError {}

/// Owns the tasks of one core and runs those that were woken.
pub struct Executor {
    spawner: Spawner,
}

impl Executor {
    /// An executor without tasks, whose tasks' panics are caught by `catch`.
    pub fn new(catch: CatchPanic) -> Self {
        Self { spawner: Spawner::new(catch) }
    }

    /// A handle by which tasks are made; clones are cheap.
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// Events of this executor's tasks, and of the loop that runs it.
    pub fn trace(&self) -> &Trace {
        &self.spawner.shared.trace
    }

    /// Says what time it is in the turns that follow: for the ages of tasks.
    pub fn advance(&self, now: Duration) {
        self.spawner.shared.now.set(now);
    }

    /// Polls woken tasks in the order of their waking until none is left, or `polls_max` are done;
    /// says whether some are still waiting to be polled. A task that wakes itself while it is polled
    /// gives way: it waits for the next turn, so that it cannot keep the caller from its other work.
    pub fn turn(&self, polls_max: usize) -> bool {
        self.spawner.shared.queue.begin_turn();
        for _ in 0..polls_max {
            let Some(id) = self.spawner.shared.queue.pop() else { break };
            self.spawner.shared.poll(id);
        }
        !self.is_idle()
    }

    /// Takes turns until no task is left to be polled, or `polls_max` polls are done; says whether
    /// some tasks are still waiting.
    pub fn run(&self, polls_max: usize) -> bool {
        let queue = &self.spawner.shared.queue;
        let next_turn = || {
            queue.begin_turn();
            queue.pop()
        };
        for _ in 0..polls_max {
            let Some(id) = queue.pop().or_else(next_turn) else { return false };
            self.spawner.shared.poll(id);
        }
        !self.is_idle()
    }

    /// Takes turns until no task is left to be polled: for tests and simulations, whose tasks come to rest.
    ///
    /// # Panics
    ///
    /// After ten million polls: tasks wake each other, or themselves, for ever.
    pub fn run_until_stalled(&self) {
        const POLLS_MAX: usize = 10_000_000;
        assert!(!self.run(POLLS_MAX), "tasks do not come to rest in {POLLS_MAX} polls");
    }

    /// No task is waiting to be polled.
    pub fn is_idle(&self) -> bool {
        self.spawner.shared.queue.is_empty()
    }
}

impl Drop for Executor {
    /// Tasks hold spawners, and spawners the tasks: the cycle is cut here.
    fn drop(&mut self) {
        self.spawner.shared.clear();
    }
}

/// Polls one future to its end on this thread, for tests and examples.
///
/// # Panics
/// When the future waits for something that nothing in the future itself will bring.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let woken = Arc::new(queue::WokenFlag::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
        assert!(woken.take(), "the future waits and nobody can wake it");
    }
}

/// Gives way once: all other tasks that are woken have their turn first.
#[track_caller]
pub fn yield_once() -> impl Future<Output = ()> {
    let mut has_yielded = false;
    wait_fn(move |cx| {
        if core::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// What a slot of the executor holds.
type BoxedTask = core::pin::Pin<Box<dyn Future<Output = ()>>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Notify;
    use core::cell::{Cell, RefCell};
    use core::future::{pending, poll_fn, ready};
    use std::rc::Rc;
    use std::string::ToString;
    use std::vec::Vec;

    fn catch(body: &mut dyn FnMut()) -> Result<(), String> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).map_err(|payload| {
            payload.downcast_ref::<&str>().map_or_else(String::new, ToString::to_string)
        })
    }

    #[test]
    fn tasks_run_in_the_order_of_their_waking() {
        let executor = Executor::new(catch);
        let seen = Rc::new(RefCell::new(Vec::new()));
        for name in ["a", "b"] {
            let seen = seen.clone();
            executor.spawner().spawn(name, async move {
                seen.borrow_mut().push(name);
                yield_once().await;
                seen.borrow_mut().push(name);
            });
        }
        assert!(!executor.run(100));
        assert_eq!(*seen.borrow(), ["a", "b", "a", "b"]);
        assert!(executor.spawner().tasks().is_empty());
    }

    #[test]
    fn a_panic_ends_its_task_only() {
        let executor = Executor::new(catch);
        let dropped = Rc::new(Cell::new(false));
        struct SetOnDrop(Rc<Cell<bool>>);
        impl Drop for SetOnDrop {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let guard = SetOnDrop(dropped.clone());
        let doomed = executor.spawner().spawn_joinable("doomed", async move {
            let _guard = guard;
            yield_once().await;
            panic!("one");
        });
        let fine = executor.spawner().spawn_joinable("fine", ready(7));
        executor.run(100);
        assert!(dropped.get());
        assert_eq!(block_on(doomed), Err(TaskError::Panicked("one".to_string())));
        assert_eq!(block_on(fine), Ok(7));
        assert_eq!(executor.spawner().panics(), 1);
    }

    #[test]
    fn a_panic_while_a_panicked_task_is_dropped_is_kept_in_too() {
        struct PanicOnDrop;
        impl Drop for PanicOnDrop {
            fn drop(&mut self) {
                panic!("drop");
            }
        }
        let executor = Executor::new(catch);
        let id = executor.spawner().spawn("bad", async {
            let _bad = PanicOnDrop;
            pending::<()>().await;
        });
        executor.run(10);
        assert!(executor.spawner().cancel(id));
        assert_eq!(executor.spawner().panics(), 1);
    }

    #[test]
    fn catching_keeps_a_panic_inside_one_await() {
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        let outcome = spawner.catching(async {
            yield_once().await;
            if true {
                panic!("inner");
            }
            1
        });
        assert_eq!(block_on(outcome), Err(TaskError::Panicked("inner".to_string())));
        assert_eq!(block_on(spawner.catching(ready(2))), Ok(2));
    }

    #[test]
    fn tasks_are_listed_and_cancelled_and_ids_are_not_reused() {
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        let first = spawner.spawn("waits", pending());
        executor.run(10);
        let listed = spawner.tasks();
        assert_eq!((listed[0].name, listed[0].polls), ("waits", 1));
        assert!(spawner.cancel(first));
        assert!(!spawner.cancel(first));
        let second = spawner.spawn("again", pending());
        assert_ne!(first, second);
        assert!(!spawner.cancel(first));
        assert_eq!(spawner.tasks().len(), 1);
    }

    #[test]
    fn polls_are_measured_once_there_is_a_clock() {
        use core::sync::atomic::{AtomicU64, Ordering};
        static NOW: AtomicU64 = AtomicU64::new(0);
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        executor.advance(Duration::from_secs(5));
        spawner.spawn("works", async {
            loop {
                NOW.fetch_add(7, Ordering::Relaxed);
                yield_once().await;
            }
        });
        executor.turn(10);
        assert_eq!(spawner.tasks()[0].run, Duration::ZERO);
        spawner.measure(|| Duration::from_millis(NOW.load(Ordering::Relaxed)));
        executor.turn(10);
        executor.turn(10);
        executor.advance(Duration::from_secs(8));
        let task = &spawner.tasks()[0];
        assert_eq!(
            (task.run, task.longest_poll),
            (Duration::from_millis(14), Duration::from_millis(7))
        );
        assert_eq!((task.polls, task.age), (3, Duration::from_secs(3)));
    }

    #[test]
    fn a_task_is_named_by_text_and_says_whom_it_is_for() {
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        let id = spawner.spawn("serves", pending());
        assert_eq!(spawner.tasks()[0].subject, None);
        spawner.describe(id, "10.0.0.2:80");
        assert_eq!(spawner.tasks()[0].subject.as_deref(), Some("10.0.0.2:80"));
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "1", "1.", ".1", "1.2.3", "-1.0", "1.4294967296"] {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
        let inner = spawner.clone();
        let own = Rc::new(Cell::new(None));
        let seen = own.clone();
        let id = spawner.spawn("asks", async move { seen.set(inner.current()) });
        executor.run(10);
        assert_eq!(own.get(), Some(id));
        assert_eq!(spawner.current(), None);
    }

    #[test]
    fn a_waker_tells_whose_it_is() {
        use crate::sync::WakerKey;
        let executor = Executor::new(catch);
        let keys = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..2 {
            let keys = keys.clone();
            executor.spawner().spawn(
                "waits",
                poll_fn(move |cx| {
                    keys.borrow_mut().push(WakerKey::of(&cx.waker().clone()));
                    Poll::Pending
                }),
            );
        }
        executor.run(10);
        let known: Vec<_> = executor.spawner().tasks().iter().map(|task| task.waker).collect();
        assert_eq!(known, *keys.borrow());
        assert_ne!(known[0], known[1]);
    }

    #[test]
    fn a_task_may_cancel_itself_and_spawn_others() {
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        let inner = spawner.clone();
        let own = Rc::new(Cell::new(None));
        let mine = own.clone();
        let id = spawner.spawn("self", async move {
            inner.spawn("child", ready(()));
            inner.cancel(mine.get().unwrap());
            pending::<()>().await;
        });
        own.set(Some(id));
        executor.run(10);
        assert!(spawner.tasks().is_empty());
    }

    #[test]
    fn a_dropped_executor_drops_its_tasks_and_their_joiners_learn_it() {
        let executor = Executor::new(catch);
        let handle = executor.spawner().spawn_joinable("waits", pending::<()>());
        executor.run(1);
        drop(executor);
        assert_eq!(block_on(handle), Err(TaskError::Cancelled));
    }

    #[test]
    fn room_for_tasks_is_waited_for() {
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        let first = spawner.spawn("first", pending());
        assert!(block_on(poll_fn(|cx| spawner.poll_room(cx).map(|()| true))));
        spawner.limit_tasks(2);
        let admitted = Rc::new(Cell::new(0));
        let (count, gate) = (admitted.clone(), spawner.clone());
        spawner.spawn("accepts", async move {
            loop {
                poll_fn(|cx| gate.poll_room(cx)).await;
                count.set(count.get() + 1);
                gate.spawn("admitted", pending());
            }
        });
        executor.run(100);
        assert_eq!(admitted.get(), 0);
        assert!(spawner.cancel(first));
        executor.run(100);
        assert_eq!((admitted.get(), spawner.tasks().len()), (1, 2));
        spawner.limit_tasks(5);
        let admitted = spawner.tasks().into_iter().find(|task| task.name == "admitted");
        assert!(spawner.cancel(admitted.unwrap().id));
        executor.run(100);
        assert_eq!(spawner.tasks().len(), 5);
    }

    #[test]
    fn who_waits_for_room_is_not_woken_while_there_is_none() {
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        spawner.limit_tasks(2);
        let ids: Vec<_> = (0..3).map(|_| spawner.spawn("waits", pending())).collect();
        let gate = spawner.clone();
        spawner.spawn("accepts", async move { poll_fn(|cx| gate.poll_room(cx)).await });
        executor.run(100);
        let polls =
            || spawner.tasks().iter().find(|task| task.name == "accepts").map(|it| it.polls);
        for (id, after) in ids.into_iter().zip([Some(1), Some(1), None]) {
            assert!(spawner.cancel(id));
            executor.run(100);
            assert_eq!(polls(), after);
        }
    }

    #[test]
    fn a_waker_kept_past_its_task_is_harmless() {
        let executor = Executor::new(catch);
        let saved = Rc::new(RefCell::new(None));
        let slot = saved.clone();
        executor.spawner().spawn("short", async move {
            poll_fn(|cx| {
                *slot.borrow_mut() = Some(cx.waker().clone());
                Poll::Ready(())
            })
            .await;
        });
        executor.run(10);
        let next = executor.spawner().spawn("next", pending());
        executor.run(10);
        let waker = saved.borrow_mut().take().unwrap();
        waker.wake();
        executor.run(10);
        assert_eq!(executor.spawner().tasks()[0].polls, 1);
        assert!(executor.spawner().cancel(next));
    }

    #[test]
    fn who_wakes_itself_gives_way() {
        let executor = Executor::new(catch);
        let polled = Rc::new(Cell::new(0));
        for _ in 0..2 {
            let polled = polled.clone();
            executor.spawner().spawn("spins", async move {
                loop {
                    polled.set(polled.get() + 1);
                    yield_once().await;
                }
            });
        }
        assert!(executor.turn(1000));
        assert_eq!(polled.get(), 2);
        assert!(executor.turn(1000));
        assert_eq!(polled.get(), 4);
        // Others may wake a task as often as they like in one turn.
        assert!(executor.turn(1) && executor.turn(1));
        assert_eq!(polled.get(), 6);
    }

    #[test]
    #[should_panic(expected = "tasks do not come to rest in 10000000 polls")]
    fn who_never_rests_is_told() {
        let executor = Executor::new(catch);
        let rests = executor.spawner().spawn("rests", yield_once());
        executor.run_until_stalled();
        assert!(!executor.spawner().tasks().iter().any(|task| task.id == rests));
        executor.spawner().spawn("spins", async {
            loop {
                yield_once().await;
            }
        });
        executor.run_until_stalled();
    }

    /// A task that writes its name whenever it is polled, and one that wakes it and has it polled at once.
    fn pair(executor: &Executor, seen: &Rc<RefCell<Vec<&'static str>>>) -> (Rc<Notify>, TaskId) {
        let bell = Rc::<Notify>::default();
        let (rung, seen) = (bell.clone(), seen.clone());
        let task = executor.spawner().spawn("inner", async move {
            loop {
                rung.notified().await;
                seen.borrow_mut().push("inner");
            }
        });
        executor.run(10);
        (bell, task)
    }

    #[test]
    fn a_task_is_polled_inside_another_that_woke_it() {
        let executor = Executor::new(catch);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (bell, inner) = pair(&executor, &seen);
        let (spawner, log) = (executor.spawner(), seen.clone());
        executor.spawner().spawn("outer", async move {
            log.borrow_mut().push("before");
            bell.notify();
            let outer = spawner.current();
            spawner.poll_now(inner);
            assert!(outer.is_some() && spawner.current() == outer);
            log.borrow_mut().push("after");
            // Nobody woke it.
            spawner.poll_now(inner);
        });
        executor.run(10);
        assert_eq!(*seen.borrow(), ["before", "inner", "after"]);
        assert_eq!(executor.spawner().tasks()[0].polls, 2, "it is not polled again for that");
    }

    #[test]
    fn who_was_woken_before_others_keeps_its_place() {
        let executor = Executor::new(catch);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (bell, inner) = pair(&executor, &seen);
        let (spawner, log) = (executor.spawner(), seen.clone());
        executor.spawner().spawn("outer", async move {
            bell.notify();
            spawner.spawn("other", ready(()));
            spawner.poll_now(inner);
            log.borrow_mut().push("after");
        });
        executor.run(10);
        assert_eq!(*seen.borrow(), ["after", "inner"]);
    }

    #[test]
    fn a_task_that_is_polled_inside_another_gives_way_and_panics_as_others_do() {
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        let outer = executor.spawner().spawn_joinable("outer", async move {
            let spins = spawner.spawn("spins", async {
                loop {
                    yield_once().await;
                }
            });
            spawner.poll_now(spins);
            let doomed = spawner.spawn("doomed", async { panic!("inside") });
            spawner.poll_now(doomed);
            // What the outer task wakes itself for is its own again.
            yield_once().await;
            spawner.tasks().len()
        });
        assert!(executor.turn(100), "both are polled once");
        assert_eq!(executor.spawner().tasks().iter().map(|task| task.polls).max(), Some(1));
        assert!(executor.turn(100));
        assert_eq!(block_on(outer), Ok(2));
        assert_eq!(executor.spawner().panics(), 1);
    }

    #[test]
    fn tasks_do_not_stand_on_each_others_stack() {
        let executor = Executor::new(catch);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (bell, inner) = pair(&executor, &seen);
        let (spawner, log) = (executor.spawner(), seen.clone());
        executor.spawner().spawn("outer", async move {
            let (within, log) = (spawner.clone(), log.clone());
            let middle = spawner.spawn("middle", async move {
                bell.notify();
                within.poll_now(inner);
                log.borrow_mut().push("middle");
            });
            spawner.poll_now(middle);
        });
        executor.run(10);
        assert_eq!(*seen.borrow(), ["middle", "inner"]);
    }

    #[test]
    #[should_panic(expected = "the future waits and nobody can wake it")]
    fn what_nobody_can_wake_is_told() {
        block_on(pending::<()>());
    }

    #[test]
    fn run_is_bounded() {
        let executor = Executor::new(catch);
        executor.spawner().spawn("spins", async {
            loop {
                yield_once().await;
            }
        });
        assert!(executor.run(1000));
    }
}
