//! What is spawned when the executor has ended, as destructors do: it is dropped without ever being polled.

use super::BoxedTask;
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};

/// Tasks that came too late and wait to be dropped: one after the other, so that destructors that spawn do not stand on
/// each other's stack.
#[derive(Default)]
pub(super) struct Late {
    is_over: Cell<bool>,
    is_dropping: Cell<bool>,
    tasks: RefCell<VecDeque<BoxedTask>>,
}

/// So many tasks are dropped by reason of one: without a bound a destructor that always spawns would keep the executor from
/// ending. What is beyond is leaked.
const DROPS_MAX: usize = 1 << 18;

impl Late {
    /// No task is taken any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// From here on none is, and those that are [added](Self::add) wait for [`end`](Self::end).
    pub(super) fn begin(&self) {
        self.is_over.set(true);
        self.is_dropping.set(true);
    }

    /// Drops a task by `guarded`, which keeps panics in, and all that its destructors spawn; later, if one is being dropped.
    pub(super) fn add(&self, task: BoxedTask, guarded: impl Fn(&mut dyn FnMut())) {
        self.tasks.borrow_mut().push_back(task);
        if !self.is_dropping.replace(true) {
            self.end(guarded);
        }
    }

    /// Drops those that wait, and what their destructors spawn.
    pub(super) fn end(&self, guarded: impl Fn(&mut dyn FnMut())) {
        for _ in 0..DROPS_MAX {
            let mut doomed = self.tasks.borrow_mut().pop_front();
            if doomed.is_none() {
                break;
            }
            guarded(&mut || drop(doomed.take()));
        }
        let left = self.tasks.take();
        if !left.is_empty() {
            log::error!("destructors spawn tasks without end: {} are not dropped", left.len());
            core::mem::forget(left);
        }
        self.is_dropping.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use core::cell::{Cell, RefCell};
    use core::future::{pending, poll_fn};
    use core::task::Waker;
    use std::rc::Rc;
    use std::vec::Vec;

    fn catch(body: &mut dyn FnMut()) -> Result<(), String> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).map_err(|_| String::new())
    }

    /// Does something when it is dropped.
    struct OnDrop<F: FnMut()>(F);

    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    /// A task that ends only by being dropped, and then does that.
    fn task(on_drop: impl FnMut() + 'static) -> impl Future<Output = ()> {
        let guard = OnDrop(on_drop);
        async move {
            let _guard = guard;
            pending::<()>().await;
        }
    }

    /// Spawns a task in whose destructor the next one is spawned, and so on.
    fn spawn_chain(spawner: &Spawner, length: usize, dropped: &Rc<Cell<usize>>) {
        let (inner, count) = (spawner.clone(), dropped.clone());
        spawner.spawn(
            "chain",
            task(move || {
                count.set(count.get() + 1);
                if let Some(left) = length.checked_sub(1) {
                    spawn_chain(&inner, left, &count);
                }
            }),
        );
    }

    #[test]
    fn what_destructors_spawn_at_the_end_is_dropped_unpolled() {
        // Slots that were free before, and none.
        for ended_before in [0, 3, 40] {
            let executor = Executor::new(catch);
            let spawner = executor.spawner();
            let early: Vec<_> =
                (0..ended_before).map(|_| spawner.spawn("early", pending())).collect();
            let dropped = Rc::new(Cell::new(0));
            // Deeper than a stack would bear.
            for length in [0, 1, 7, 100_000] {
                spawn_chain(&spawner, length, &dropped);
            }
            executor.run(1000);
            assert!(early.into_iter().all(|id| spawner.cancel(id)));
            drop(executor);
            assert_eq!(dropped.get(), 1 + 2 + 8 + 100_001);
            assert_eq!((spawner.panics(), spawner.count()), (0, 0));
            // And it stays so.
            spawn_chain(&spawner, 100_000, &dropped);
            assert_eq!(dropped.get(), 2 * 100_001 + 1 + 2 + 8);
            assert_eq!((spawner.panics(), spawner.tasks().len()), (0, 0));
        }
    }

    #[test]
    fn destructors_at_the_end_may_use_the_executor_in_any_way() {
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        let ids = Rc::new(RefCell::new(Vec::<TaskId>::new()));
        let wakers = Rc::new(RefCell::new(Vec::<Waker>::new()));
        let joined = Rc::new(Cell::new(0));
        spawner.limit_tasks(5);
        for _ in 0..20 {
            let (inner, ids_inner) = (spawner.clone(), ids.clone());
            let (wakers_inner, joined) = (wakers.clone(), joined.clone());
            let guard = OnDrop(move || {
                let late = inner.spawn_joinable("late", pending::<()>());
                assert!(inner.current().is_none());
                let id = late.id();
                inner.describe(id, "late");
                inner.poll_now(id);
                assert!(!inner.cancel(id));
                wakers_inner.borrow().iter().for_each(Waker::wake_by_ref);
                inner.wake_all();
                assert!(ids_inner.borrow().iter().all(|id| !inner.cancel(*id)));
                assert_eq!((inner.count(), inner.load_percent()), (0, 0));
                let counted = joined.clone();
                // Its handle learns it, once all that waits was dropped.
                let spawner = inner.clone();
                inner.spawn(
                    "joins",
                    task_once(move || {
                        let learns = move || {
                            assert_eq!(block_on(late), Err(TaskError::Cancelled));
                            counted.set(counted.get() + 1);
                        };
                        spawner.spawn("learns", task_once(learns));
                    }),
                );
            });
            let wakers = wakers.clone();
            let id = spawner.spawn("user", async move {
                let _guard = guard;
                poll_fn(|cx| {
                    wakers.borrow_mut().push(cx.waker().clone());
                    Poll::<()>::Pending
                })
                .await;
            });
            ids.borrow_mut().push(id);
        }
        executor.run(1000);
        drop(executor);
        assert_eq!((spawner.panics(), spawner.count()), (0, 0));
        assert!(joined.get() > 0);
    }

    /// As [`task`], of what is done once.
    fn task_once(on_drop: impl FnOnce() + 'static) -> impl Future<Output = ()> {
        let mut on_drop = Some(on_drop);
        task(move || on_drop.take().into_iter().for_each(|body| body()))
    }

    #[test]
    fn a_panic_in_what_came_late_is_kept_in_and_the_others_are_dropped() {
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        let dropped = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let (inner, count) = (spawner.clone(), dropped.clone());
            spawner.spawn(
                "spawns",
                task(move || {
                    inner.spawn("panics", task(|| panic!("late")));
                    spawn_chain(&inner, 2, &count);
                    panic!("early");
                }),
            );
        }
        executor.run(10);
        drop(executor);
        assert_eq!((dropped.get(), spawner.panics()), (9, 6));
    }

    #[test]
    fn a_destructor_that_always_spawns_does_not_keep_the_executor_from_ending() {
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        let dropped = Rc::new(Cell::new(0));
        spawn_chain(&spawner, usize::MAX, &dropped);
        drop(executor);
        assert_eq!(dropped.get(), 1 + 262_144);
    }

    #[test]
    fn an_executor_may_end_inside_its_own_task() {
        let executor = Executor::new(catch);
        let spawner = executor.spawner();
        let dropped = Rc::new(Cell::new(0));
        spawn_chain(&spawner, 3, &dropped);
        let held = Rc::new(RefCell::new(None));
        let (own, inner, count) = (held.clone(), spawner.clone(), dropped.clone());
        spawner.spawn("ends", async move {
            drop(own.take());
            spawn_chain(&inner, 1, &count);
            pending::<()>().await;
        });
        let shared = spawner.shared.clone();
        *held.borrow_mut() = Some(executor);
        while let Some(id) = shared.queue.pop() {
            shared.poll(id);
        }
        assert_eq!((dropped.get(), spawner.panics(), spawner.count()), (6, 0, 0));
    }
}
