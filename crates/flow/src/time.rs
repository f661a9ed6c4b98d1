//! Timer heap: one-shot timers by the thousand.
//!
//! Time is a [`Duration`] since the platform's start and moves only when the platform's loop says
//! so ([`Timers::advance`]): within one turn of the loop everything sees the same instant, tests
//! and simulations drive it by hand, and reading it costs nothing.

use crate::sync::{WakerKey, WakerSlot};
use crate::task::{wait_fn, waiting};
use alloc::collections::BinaryHeap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::cmp::Reverse;
use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;
use inspect::Metric;

/// All timers of one core, and its present. Clones share both.
#[derive(Clone, Default)]
pub struct Timers(Rc<TimerHeap>);

impl Timers {
    /// No timers, at time zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// The present instant, as of the last [`advance`](Self::advance).
    pub fn now(&self) -> Duration {
        self.0.now.get()
    }

    /// Moves the present to `now` (never back) and wakes what is due.
    pub fn advance(&self, now: Duration) {
        let now = now.max(self.0.now.get());
        self.0.now.set(now);
        while let Some(mut waiting) = self.0.pop_due(now) {
            waiting.wake();
        }
    }

    /// When the platform must call [`advance`](Self::advance) again. It may be early: a deadline
    /// that moved back is noticed only at its old time.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.0.heap.borrow().peek().map(|Reverse(due)| due.at)
    }

    /// A timer that is not set.
    pub fn timer(&self) -> Timer {
        Timer { key: self.0.insert(), timers: self.clone() }
    }

    /// Shows every timer that is set, in no order.
    pub fn visit_set(&self, visit: &mut dyn FnMut(TimerInfo)) {
        for entry in self.0.entries.borrow().iter() {
            if let Some(deadline) = entry.deadline {
                visit(TimerInfo { deadline, waker: entry.waker.key() });
            }
        }
    }

    /// Waits until `deadline`.
    #[track_caller]
    pub fn sleep_until(&self, deadline: Duration) -> impl Future<Output = ()> + use<> {
        let mut timer = self.timer();
        timer.set(Some(deadline));
        wait_fn(move |cx| timer.poll_expired(cx))
    }

    /// Waits for `period`.
    #[track_caller]
    pub fn sleep(&self, period: Duration) -> impl Future<Output = ()> + use<> {
        self.sleep_until(self.now().saturating_add(period))
    }

    /// What `future` yields, unless `deadline` comes first.
    #[track_caller]
    pub fn before<T>(
        &self,
        deadline: Duration,
        future: impl Future<Output = T>,
    ) -> impl Future<Output = Result<T, Expired>> {
        let mut timer = self.timer();
        timer.set(Some(deadline));
        waiting(async move {
            let mut future = pin!(future);
            poll_fn(|cx| match future.as_mut().poll(cx) {
                Poll::Ready(value) => Poll::Ready(Ok(value)),
                Poll::Pending => timer.poll_expired(cx).map(|()| Err(Expired)),
            })
            .await
        })
    }

    /// How many timers there are, set or not.
    pub fn count(&self) -> usize {
        self.0.entries.borrow().len() - self.0.free.borrow().len()
    }
}

/// The metrics of timers.
pub static METRICS: &[Metric<Timers>] = &[
    Metric::gauge("timers", "Timers that there are, set or not.", |it| it.count() as u64),
    Metric::time_gauge("uptime", "Time since the start.", Timers::now),
];

/// A timer that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerInfo {
    /// When it is due.
    pub deadline: Duration,
    /// Who is woken then.
    pub waker: Option<WakerKey>,
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timers(now: {:?})", self.now())
    }
}

/// The deadline came before the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline passed")
    }
}

impl core::error::Error for Expired {}

/// The earlier of two deadlines, either of which may be missing.
pub fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A deadline that can be moved at will. Moving it later costs a store, so a connection may set it
/// for every byte; it leaves the heap when it is dropped or its old time comes.
pub struct Timer {
    key: u32,
    timers: Timers,
}

impl Timer {
    /// Moves the deadline; `None` stops the timer.
    pub fn set(&mut self, deadline: Option<Duration>) {
        let heap = &self.timers.0;
        heap.set(self.key, &mut heap.entries.borrow_mut()[self.key as usize], deadline);
    }

    /// The present of its [`Timers`].
    pub fn now(&self) -> Duration {
        self.timers.now()
    }

    /// The deadline, if it is set.
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.0.entries.borrow()[self.key as usize].deadline
    }

    /// Ready once the deadline has passed; the timer stays set. Wakes the task when it comes.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let heap = &self.timers.0;
        heap.poll_expired(&mut heap.entries.borrow_mut()[self.key as usize], cx)
    }

    /// Moves the deadline as [`set`](Self::set) does; ready once it has passed.
    pub fn poll_until(&mut self, deadline: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
        let heap = &self.timers.0;
        let entry = &mut heap.entries.borrow_mut()[self.key as usize];
        heap.set(self.key, entry, deadline);
        heap.poll_expired(entry, cx)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.timers.0.remove(self.key);
    }
}

#[derive(Default)]
struct TimerHeap {
    now: Cell<Duration>,
    /// By time; an entry is believed only if its timer still remembers it as its own.
    heap: RefCell<BinaryHeap<Reverse<Due>>>,
    entries: RefCell<Vec<Entry>>,
    free: RefCell<Vec<u32>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Duration,
    key: u32,
}

#[derive(Default)]
struct Entry {
    deadline: Option<Duration>,
    /// The time of this timer's one live entry in the heap, never later than the deadline.
    queued_at: Option<Duration>,
    waker: WakerSlot,
}

impl TimerHeap {
    fn insert(&self) -> u32 {
        if let Some(key) = self.free.borrow_mut().pop() {
            return key;
        }
        let mut entries = self.entries.borrow_mut();
        entries.push(Entry::default());
        (entries.len() - 1) as u32
    }

    fn remove(&self, key: u32) {
        let old = core::mem::take(&mut self.entries.borrow_mut()[key as usize]);
        self.free.borrow_mut().push(key);
        drop(old);
        self.discard_stale();
    }

    #[inline]
    fn set(&self, key: u32, entry: &mut Entry, deadline: Option<Duration>) {
        entry.deadline = deadline;
        let Some(at) = deadline else { return };
        if entry.queued_at.is_none_or(|queued| queued > at) {
            entry.queued_at = Some(at);
            self.heap.borrow_mut().push(Reverse(Due { at, key }));
        }
    }

    fn poll_expired(&self, entry: &mut Entry, cx: &Context<'_>) -> Poll<()> {
        if entry.deadline.is_some_and(|deadline| deadline <= self.now.get()) {
            return Poll::Ready(());
        }
        entry.waker.register(cx);
        Poll::Pending
    }

    /// Who waits for the next timer that is due. Timers whose deadline moved later go back.
    fn pop_due(&self, now: Duration) -> Option<WakerSlot> {
        loop {
            let mut heap = self.heap.borrow_mut();
            if heap.peek().is_none_or(|Reverse(due)| due.at > now) {
                return None;
            }
            let Reverse(due) = heap.pop()?;
            let mut entries = self.entries.borrow_mut();
            let entry = &mut entries[due.key as usize];
            if entry.queued_at != Some(due.at) {
                continue;
            }
            entry.queued_at = None;
            match entry.deadline {
                Some(at) if at > now => {
                    entry.queued_at = Some(at);
                    heap.push(Reverse(Due { at, key: due.key }));
                }
                Some(_) => return Some(entry.waker.take()),
                None => {}
            }
        }
    }

    /// Keeps the heap's size within a factor of the live timers', however many come and go.
    fn discard_stale(&self) {
        let mut heap = self.heap.borrow_mut();
        let entries = self.entries.borrow();
        let live = entries.len() - self.free.borrow().len();
        if heap.len() > 64 && heap.len() > 4 * live {
            heap.retain(|Reverse(due)| entries[due.key as usize].queued_at == Some(due.at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::block_on;
    use core::future::{pending, ready};
    use core::task::Waker;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_timer_fires_once_at_its_time_and_not_before() {
        let timers = Timers::new();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut timer = timers.timer();
        timer.set(Some(3 * SECOND));
        assert!(timer.poll_expired(&mut cx).is_pending());
        timers.advance(2 * SECOND);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        timers.advance(3 * SECOND);
        timers.advance(9 * SECOND);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(timer.poll_expired(&mut cx).is_ready());
    }

    #[test]
    fn moving_a_deadline_later_and_earlier_is_honoured() {
        let timers = Timers::new();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut timer = timers.timer();
        timer.set(Some(SECOND));
        assert!(timer.poll_expired(&mut cx).is_pending());
        timer.set(Some(5 * SECOND));
        timers.advance(2 * SECOND);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        timer.set(Some(3 * SECOND));
        assert_eq!(timers.next_deadline(), Some(3 * SECOND));
        timers.advance(3 * SECOND);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        timer.set(None);
        assert!(timer.poll_expired(&mut cx).is_pending());
    }

    #[test]
    fn setting_for_every_byte_does_not_grow_the_heap() {
        let timers = Timers::new();
        let mut timer = timers.timer();
        for step in 1..10_000 {
            timer.set(Some(step * SECOND));
        }
        assert_eq!(timers.0.heap.borrow().len(), 1);
        for _ in 0..10_000 {
            timer.set(Some(SECOND));
        }
        assert_eq!(timers.0.heap.borrow().len(), 1);
        for _ in 0..10_000 {
            timers.timer().set(Some(SECOND));
        }
        assert!(timers.0.heap.borrow().len() <= 65);
    }

    #[test]
    fn stale_entries_are_let_go_when_they_are_three_of_four() {
        for (live, stale_max) in [(1, 63), (100, 300)] {
            let timers = Timers::new();
            // Slots that are free count for nothing.
            drop((0..1000).map(|_| timers.timer()).collect::<Vec<_>>());
            let mut held: Vec<_> = (0..live).map(|_| timers.timer()).collect();
            held.iter_mut().for_each(|timer| timer.set(Some(SECOND)));
            for stale in 1..=stale_max {
                timers.timer().set(Some(SECOND));
                assert_eq!(timers.0.heap.borrow().len(), live + stale);
            }
            timers.timer().set(Some(SECOND));
            assert_eq!(timers.0.heap.borrow().len(), live);
        }
    }

    #[test]
    fn a_slot_taken_over_does_not_inherit_the_old_deadline() {
        let timers = Timers::new();
        timers.timer().set(Some(SECOND));
        let mut timer = timers.timer();
        timer.set(Some(4 * SECOND));
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        assert!(timer.poll_expired(&mut Context::from_waker(&waker)).is_pending());
        timers.advance(2 * SECOND);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn before_gives_the_value_or_expires() {
        let timers = Timers::new();
        assert_eq!(block_on(timers.before(SECOND, ready(1))), Ok(1));
        timers.advance(2 * SECOND);
        assert_eq!(block_on(timers.before(SECOND, pending::<()>())), Err(Expired));
    }

    #[test]
    fn what_is_set_is_shown_with_who_waits() {
        let timers = Timers::new();
        assert_eq!((timers.count(), timers.next_deadline()), (0, None));
        let (mut waits, mut set, unset) = (timers.timer(), timers.timer(), timers.timer());
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(waits.poll_until(Some(2 * SECOND), cx).is_pending());
        set.set(Some(3 * SECOND));
        assert_eq!((waits.deadline(), unset.deadline()), (Some(2 * SECOND), None));
        let mut shown = Vec::new();
        timers.visit_set(&mut |timer| shown.push((timer.deadline, timer.waker)));
        assert_eq!(shown, [(2 * SECOND, Some(WakerKey::of(Waker::noop()))), (3 * SECOND, None)]);
        assert_eq!(timers.count(), 3);
        drop(set);
        assert_eq!(timers.count(), 2);
        timers.advance(2 * SECOND);
        assert_eq!(
            (waits.now(), std::format!("{timers:?}")),
            (2 * SECOND, "Timers(now: 2s)".into())
        );
        assert!(waits.poll_until(Some(2 * SECOND), cx).is_ready());
        assert!(waits.poll_until(None, cx).is_pending());
    }

    #[test]
    fn the_earlier_of_two_deadlines_counts() {
        let (one, two) = (Some(SECOND), Some(2 * SECOND));
        assert_eq!((earlier(one, two), earlier(two, one)), (one, one));
        assert_eq!((earlier(two, None), earlier(None, two)), (two, two));
        assert_eq!(earlier(None, None), None);
    }

    #[test]
    fn time_never_goes_back() {
        let timers = Timers::new();
        timers.advance(SECOND);
        timers.advance(Duration::ZERO);
        assert_eq!(timers.now(), SECOND);
    }
}
