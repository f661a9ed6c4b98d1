//! Synchronisation between the tasks of one core: wakers, flags, values and queues that somebody
//! waits for. Nothing here locks, and nothing is woken while something is borrowed.

use crate::task::wait_fn;
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::task::{Context, Poll, Waker};

/// Names a task as those know it that are to wake it: equal for all wakers of one task that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WakerKey(usize);

impl WakerKey {
    /// That of whatever wakes by what is at that address.
    pub(crate) fn at(address: usize) -> Self {
        Self(address)
    }

    /// That of the task that `waker` wakes.
    pub fn of(waker: &Waker) -> Self {
        Self(waker.data().addr())
    }
}

/// The waker of the one task that waits for something, if one does.
#[derive(Debug, Default)]
pub struct WakerSlot(Option<Waker>);

impl WakerSlot {
    /// Lets the task of `cx` be woken, in place of an earlier one.
    #[inline]
    pub fn register(&mut self, cx: &Context<'_>) {
        if self.0.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.0 = Some(cx.waker().clone());
        }
    }

    /// Whether it is the task of `cx` that would be woken.
    pub fn wakes(&self, cx: &Context<'_>) -> bool {
        self.0.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    /// Who would be woken.
    pub fn key(&self) -> Option<WakerKey> {
        self.0.as_ref().map(WakerKey::of)
    }

    /// Wakes whoever waits, once.
    #[inline]
    pub fn wake(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    /// Who waits, to be woken once nothing is borrowed any more.
    #[inline]
    pub fn take(&mut self) -> Self {
        Self(self.0.take())
    }
}

/// The wakers of all tasks that wait for one thing.
#[derive(Default)]
pub struct WakerList(RefCell<Vec<Waker>>);

impl WakerList {
    /// Lets the task of `cx` be woken, too; once, if it was the last that asked.
    pub fn register(&self, cx: &Context<'_>) {
        let mut wakers = self.0.borrow_mut();
        if wakers.last().is_none_or(|last| !last.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Wakes all, once, in the order in which they came.
    pub fn wake(&self) {
        if !self.is_empty() {
            self.0.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// A flag that one task waits for, and takes down again: said twice before that, it is seen once.
#[derive(Default)]
pub struct Notify {
    is_set: Cell<bool>,
    waiting: Cell<WakerSlot>,
}

impl Notify {
    /// Raises the flag and wakes whoever waits.
    pub fn notify(&self) {
        self.is_set.set(true);
        self.waiting.take().wake();
    }

    /// Ready if the flag was up; it is down then.
    pub fn poll_notified(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_set.take() {
            return Poll::Ready(());
        }
        register(&self.waiting, cx);
        Poll::Pending
    }

    /// Waits until the flag is up, and takes it down. Cancel-safe.
    #[track_caller]
    pub fn notified(&self) -> impl Future<Output = ()> {
        wait_fn(|cx| self.poll_notified(cx))
    }
}

/// A place for one value that one task waits for.
pub struct OneShot<T> {
    value: Cell<Option<T>>,
    waiting: Cell<WakerSlot>,
}

impl<T> Default for OneShot<T> {
    fn default() -> Self {
        Self { value: Cell::default(), waiting: Cell::default() }
    }
}

impl<T> OneShot<T> {
    /// Leaves the value, in place of one that nobody took, and wakes whoever waits.
    pub fn set(&self, value: T) {
        self.value.set(Some(value));
        self.waiting.take().wake();
    }

    /// Takes the value, if it is there.
    pub fn try_take(&self) -> Option<T> {
        self.value.take()
    }

    /// Takes the value, once it is there.
    pub fn poll_take(&self, cx: &Context<'_>) -> Poll<T> {
        if let Some(value) = self.value.take() {
            return Poll::Ready(value);
        }
        register(&self.waiting, cx);
        Poll::Pending
    }

    /// Waits for the value and takes it. Cancel-safe.
    #[track_caller]
    pub fn take(&self) -> impl Future<Output = T> {
        wait_fn(|cx| self.poll_take(cx))
    }
}

/// A queue that one task empties. It has no bound: whoever fills it looks at its length.
pub struct Queue<T> {
    items: RefCell<VecDeque<T>>,
    waiting: Cell<WakerSlot>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { items: RefCell::default(), waiting: Cell::default() }
    }
}

impl<T> Queue<T> {
    /// An empty one, with room for so many items, where one alone is rare.
    pub fn with_capacity(items: usize) -> Self {
        Self { items: RefCell::new(VecDeque::with_capacity(items)), waiting: Cell::default() }
    }

    /// Adds an item and wakes whoever waits.
    pub fn push(&self, item: T) {
        let mut items = self.items.borrow_mut();
        if items.capacity() == 0 {
            // Most queues never have two items at once, and some programs have many queues.
            items.reserve_exact(1);
        }
        items.push_back(item);
        drop(items);
        self.waiting.take().wake();
    }

    /// Takes the oldest item, once there is one.
    pub fn poll_pop(&self, cx: &Context<'_>) -> Poll<T> {
        if let Some(item) = self.try_pop() {
            return Poll::Ready(item);
        }
        register(&self.waiting, cx);
        Poll::Pending
    }

    /// Takes the oldest item that fits, once there is one; the others keep their places.
    pub fn poll_first(&self, cx: &Context<'_>, mut fits: impl FnMut(&T) -> bool) -> Poll<T> {
        let mut items = self.items.borrow_mut();
        if items.front().is_some_and(&mut fits)
            && let Some(item) = items.pop_front()
        {
            return Poll::Ready(item);
        }
        if let Some(item) = items.iter().position(fits).and_then(|place| items.remove(place)) {
            return Poll::Ready(item);
        }
        drop(items);
        register(&self.waiting, cx);
        Poll::Pending
    }

    /// Takes the oldest item, if there is one.
    pub fn try_pop(&self) -> Option<T> {
        self.items.borrow_mut().pop_front()
    }

    /// Who waits for an item.
    pub fn waker(&self) -> Option<WakerKey> {
        let waiting = self.waiting.take();
        let key = waiting.key();
        self.waiting.set(waiting);
        key
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.items.borrow().len()
    }

    /// How many items that fit wait.
    pub fn count(&self, fits: impl FnMut(&&T) -> bool) -> usize {
        self.items.borrow().iter().filter(fits).count()
    }

    /// Whether no item waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A value that changes, and whoever wants to know. Each [`Watcher`] sees the last value, not every one.
pub struct Watch<T> {
    value: RefCell<T>,
    watchers: RefCell<Vec<Weak<Notify>>>,
}

impl<T> Watch<T> {
    /// A value that nobody watches yet.
    pub fn new(value: T) -> Rc<Self> {
        Rc::new(Self { value: RefCell::new(value), watchers: RefCell::default() })
    }

    /// Changes the value and wakes whoever watches it.
    pub fn set(&self, value: T) {
        self.update(|place| *place = value);
    }

    /// Changes the value in place and wakes whoever watches it.
    pub fn update(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.borrow_mut());
        self.watchers
            .borrow_mut()
            .retain(|watcher| watcher.upgrade().inspect(|watcher| watcher.notify()).is_some());
    }

    /// The value as it is.
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.value.borrow().clone()
    }

    /// Begins to watch: what is set from now on is a change.
    pub fn watch(self: &Rc<Self>) -> Watcher<T> {
        let changed = Rc::<Notify>::default();
        let mut watchers = self.watchers.borrow_mut();
        if watchers.len() == watchers.capacity() {
            // Those who have gone are let go before there is more room: nobody else does it while nothing is set.
            watchers.retain(|watcher| watcher.strong_count() > 0);
        }
        watchers.push(Rc::downgrade(&changed));
        drop(watchers);
        Watcher { watch: self.clone(), changed }
    }
}

/// One that watches a [`Watch`].
pub struct Watcher<T> {
    watch: Rc<Watch<T>>,
    changed: Rc<Notify>,
}

impl<T: Clone> Watcher<T> {
    /// Waits until the value was set, since the last call or the beginning, and gives the last one. Cancel-safe.
    #[track_caller]
    pub fn changed(&mut self) -> impl Future<Output = T> {
        wait_fn(|cx| self.changed.poll_notified(cx).map(|()| self.watch.get()))
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notify({})", self.is_set.get())
    }
}

impl<T> fmt::Debug for OneShot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneShot")
    }
}

fn register(slot: &Cell<WakerSlot>, cx: &Context<'_>) {
    let mut waiting = slot.take();
    waiting.register(cx);
    slot.set(waiting);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Executor;
    use core::future::poll_fn;
    use std::string::String;
    use std::vec;

    /// Runs `waiting` until it waits, does `then`, and runs it to its end.
    fn run<T: 'static>(waiting: impl Future<Output = T> + 'static, then: impl FnOnce()) -> T {
        let executor = Executor::new(|body| {
            body();
            Ok::<(), String>(())
        });
        let handle = executor.spawner().spawn_joinable("waiting", waiting);
        executor.run_until_stalled();
        then();
        executor.run_until_stalled();
        crate::task::block_on(handle).unwrap()
    }

    #[test]
    fn a_flag_said_twice_is_seen_once() {
        let notify = Rc::new(Notify::default());
        notify.notify();
        notify.notify();
        let cx = Context::from_waker(Waker::noop());
        assert!(notify.poll_notified(&cx).is_ready());
        assert!(notify.poll_notified(&cx).is_pending());
        let waiting = notify.clone();
        run(async move { waiting.notified().await }, || notify.notify());
    }

    #[test]
    fn a_value_is_there_for_whoever_waits_or_comes_later() {
        let one = Rc::new(OneShot::default());
        let waiting = one.clone();
        assert_eq!(run(async move { waiting.take().await }, || one.set(1)), 1);
        one.set(2);
        assert_eq!((one.try_take(), one.try_take()), (Some(2), None));
    }

    #[test]
    fn a_queue_keeps_its_order() {
        let queue = Rc::new(Queue::default());
        let waiting = queue.clone();
        let two = async move {
            let next = async || poll_fn(|cx| waiting.poll_pop(cx)).await;
            (next().await, next().await)
        };
        let fill = || (1..=3).for_each(|n| queue.push(n));
        assert_eq!(run(two, fill), (1, 2));
        assert_eq!(queue.len(), 1);
        assert_eq!((queue.try_pop(), queue.try_pop()), (Some(3), None));
        assert!(queue.is_empty());
    }

    #[test]
    fn what_does_not_fit_keeps_its_place_in_the_queue() {
        let queue = Rc::new(Queue::default());
        let waiting = queue.clone();
        let even = async move {
            let next = async || poll_fn(|cx| waiting.poll_first(cx, |n| n % 2 == 0)).await;
            (next().await, next().await)
        };
        queue.push(1);
        assert_eq!(run(even, || (2..=5).for_each(|n| queue.push(n))), (2, 4));
        assert_eq!(queue.count(|n| **n > 1), 2);
        let left: Vec<_> = core::iter::from_fn(|| queue.try_pop()).collect();
        assert_eq!(left, [1, 3, 5]);
    }

    #[test]
    fn each_watcher_sees_the_last_value_once() {
        let watch = Watch::new(0);
        let (mut first, mut second) = (watch.watch(), watch.watch());
        let seen = run(async move { (first.changed().await, first) }, || {
            watch.set(1);
            watch.update(|value| *value += 1);
        });
        let (value, mut first) = seen;
        assert_eq!((value, crate::task::block_on(second.changed())), (2, 2));
        let mut again = core::pin::pin!(first.changed());
        assert!(again.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(watch.get(), 2);
    }

    #[test]
    fn watchers_that_have_gone_are_forgotten() {
        let watch = Watch::new(());
        let kept = watch.watch();
        for _ in 0..1000 {
            watch.watch();
        }
        assert!(watch.watchers.borrow().len() < 10);
        drop(kept);
        watch.set(());
        assert!(watch.watchers.borrow().is_empty());
    }

    #[test]
    fn a_watcher_among_many_that_have_gone_still_sees_what_is_set() {
        let watch = Watch::new(0);
        let mut kept = watch.watch();
        for _ in 0..1000 {
            watch.watch();
        }
        watch.set(7);
        assert_eq!(crate::task::block_on(kept.changed()), 7);
    }

    #[test]
    fn a_queue_has_the_room_that_it_was_made_with_and_else_for_one() {
        let (few, many) = (Queue::default(), Queue::with_capacity(20));
        assert!(few.is_empty() && many.is_empty());
        few.push(1);
        many.push(1);
        assert!(!few.is_empty() && !many.is_empty());
        assert_eq!(few.items.borrow().capacity(), 1);
        let room = many.items.borrow().capacity();
        (1..20).for_each(|item| many.push(item));
        assert_eq!((room >= 20, many.items.borrow().capacity()), (true, room));
    }

    #[test]
    fn who_waits_is_known() {
        let (queue, list) = (Queue::<u8>::default(), WakerList::default());
        let cx = Context::from_waker(Waker::noop());
        let noop = WakerKey::of(Waker::noop());
        assert_eq!((queue.waker(), list.is_empty()), (None, true));
        assert!(queue.poll_pop(&cx).is_pending());
        list.register(&cx);
        // Asked twice: it waits still.
        assert_eq!((queue.waker(), queue.waker()), (Some(noop), Some(noop)));
        assert!(!list.is_empty());
        list.wake();
        assert!(list.is_empty());
        let (notify, place) = (Notify::default(), OneShot::<u8>::default());
        notify.notify();
        assert_eq!(std::format!("{notify:?} {place:?}"), "Notify(true) OneShot");
    }

    #[test]
    fn all_that_wait_are_woken_once() {
        let (list, counts) = (Rc::new(WakerList::default()), Rc::new(Cell::new(0)));
        let (waiting, polls) = (list.clone(), counts.clone());
        let twice = async move {
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                if polls.get() > 2 {
                    return Poll::Ready(());
                }
                waiting.register(cx);
                Poll::Pending
            })
            .await;
        };
        run(twice, || {
            list.wake();
            list.wake();
            // The task has not run yet, so that it waits once more.
            assert_eq!(vec![counts.get()], [1]);
            counts.set(2);
        });
        assert_eq!(counts.get(), 3);
    }

    #[test]
    fn a_task_that_asks_again_is_in_the_list_once() {
        let list = WakerList::default();
        let cx = Context::from_waker(Waker::noop());
        list.register(&cx);
        list.register(&cx);
        assert_eq!(list.0.borrow().len(), 1);
    }

    #[test]
    fn a_waker_that_is_known_is_not_made_anew() {
        let mut slot = WakerSlot::default();
        let cx = Context::from_waker(Waker::noop());
        assert!(!slot.wakes(&cx));
        slot.register(&cx);
        slot.register(&cx);
        assert!(slot.wakes(&cx));
        let mut taken = slot.take();
        slot.wake();
        taken.wake();
    }
}
