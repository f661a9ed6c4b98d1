//! Who is to be polled next.

use super::TaskId;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicBool, Ordering};
use spinning_top::Spinlock;

/// Tasks to be polled, in the order of their waking; a task is in it at most once.
#[derive(Default)]
pub(super) struct RunQueue(Spinlock<VecDeque<TaskId>>);

impl RunQueue {
    pub(super) fn push(&self, id: TaskId) {
        self.0.lock().push_back(id);
    }

    pub(super) fn pop(&self) -> Option<TaskId> {
        self.0.lock().pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
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
