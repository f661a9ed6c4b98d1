//! Run queue: which task is polled next, and the wakers that put it there.

use super::TaskId;
use crate::sync::WakerKey;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicBool, Ordering};
use spinning_top::Spinlock;

/// Tasks to be polled, in the order of their waking; a task is in it at most once.
#[derive(Default)]
pub(super) struct RunQueue(Spinlock<Order>);

#[derive(Default)]
struct Order {
    ready: VecDeque<TaskId>,
    /// The one that was taken out last.
    running: Option<TaskId>,
    /// Those that woke themselves while they ran: they give way to all others.
    yielded: VecDeque<TaskId>,
}

impl RunQueue {
    /// Finds the memory that it takes for so many tasks to be in it: waking takes none.
    pub(super) fn reserve(&self, tasks: usize) {
        let mut order = self.0.lock();
        let more = tasks + order.yielded.len();
        order.ready.reserve(more);
        order.yielded.reserve(tasks);
    }

    pub(super) fn push(&self, id: TaskId) {
        let mut order = self.0.lock();
        let has_yielded = order.running == Some(id);
        let queue = if has_yielded { &mut order.yielded } else { &mut order.ready };
        queue.push_back(id);
    }

    pub(super) fn pop(&self) -> Option<TaskId> {
        let mut order = self.0.lock();
        order.running = order.ready.pop_front();
        order.running
    }

    /// The one that was taken out last, if its turn is not over.
    pub(super) fn running(&self) -> Option<TaskId> {
        self.0.lock().running
    }

    /// Takes the task that was queued last, if it is this one, to run inside the task that runs: which that is, to be
    /// [resumed](Self::resume).
    pub(super) fn interrupt(&self, id: TaskId) -> Option<Option<TaskId>> {
        let mut order = self.0.lock();
        if order.ready.back() != Some(&id) {
            return None;
        }
        order.ready.pop_back();
        Some(order.running.replace(id))
    }

    /// The task that was interrupted runs again.
    pub(super) fn resume(&self, id: Option<TaskId>) {
        self.0.lock().running = id;
    }

    /// Those that have given way are to be polled again.
    pub(super) fn begin_turn(&self) {
        let mut order = self.0.lock();
        let order = &mut *order;
        order.running = None;
        if !order.yielded.is_empty() {
            order.ready.append(&mut order.yielded);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let order = self.0.lock();
        order.ready.is_empty() && order.yielded.is_empty()
    }
}

/// What a task's waker points to.
pub(super) struct TaskWaker {
    id: TaskId,
    queued: AtomicBool,
    queue: Arc<RunQueue>,
}

impl TaskWaker {
    pub(super) fn new(id: TaskId, queue: Arc<RunQueue>) -> Arc<Self> {
        Arc::new(Self { id, queued: AtomicBool::new(false), queue })
    }

    /// By which those know it that have a waker of it: its address, which is what such a waker has, too.
    pub(super) fn key(self: &Arc<Self>) -> WakerKey {
        WakerKey::at(Arc::as_ptr(self).addr())
    }

    /// It was woken and not polled since.
    pub(super) fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Relaxed)
    }

    /// From here on, waking queues the task again.
    pub(super) fn unqueued(&self) {
        self.queued.store(false, Ordering::Release);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.queue.push(self.id);
        }
    }
}

/// Remembers that somebody woke the only future of a `block_on`.
#[derive(Default)]
pub(super) struct WokenFlag(AtomicBool);

impl WokenFlag {
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

impl Wake for WokenFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}
