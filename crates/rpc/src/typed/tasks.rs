//! Handlers that wait, and who runs them.

use super::server::Running;
use crate::vat::CallId;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use spinning_top::Spinlock;

/// What may be woken: the handler of a call, or a future of the application's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TaskId {
    Call(CallId),
    Detached(u64),
}

type Detached = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
pub(super) struct Tasks {
    running: RefCell<BTreeMap<CallId, (Running, Waker)>>,
    detached: RefCell<BTreeMap<u64, (Detached, Waker)>>,
    next_detached: Cell<u64>,
    ready: Arc<Ready>,
}

/// Shared with wakers, which the language wants to be usable from anywhere.
#[derive(Default)]
struct Ready {
    tasks: Spinlock<Vec<TaskId>>,
    runner: Spinlock<Option<Waker>>,
}

impl Ready {
    fn wake_runner(&self) {
        let runner = self.runner.lock().clone();
        if let Some(runner) = runner {
            runner.wake();
        }
    }
}

struct TaskWaker {
    task: TaskId,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.tasks.lock().push(self.task);
        self.ready.wake_runner();
    }
}

impl Tasks {
    pub(super) fn set_runner(&self, waker: &Waker) {
        let mut runner = self.ready.runner.lock();
        match &mut *runner {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    pub(super) fn wake_runner(&self) {
        self.ready.wake_runner();
    }

    fn waker(&self, task: TaskId) -> Waker {
        Waker::from(Arc::new(TaskWaker { task, ready: self.ready.clone() }))
    }

    pub(super) fn detach(&self, future: impl Future<Output = ()> + 'static) {
        let id = self.next_detached.replace(self.next_detached.get() + 1);
        let waker = self.waker(TaskId::Detached(id));
        self.detached.borrow_mut().insert(id, (Box::pin(future), waker.clone()));
        waker.wake();
    }

    /// Runs a handler for the first time; its outcome, or it waits here.
    pub(super) fn start(&self, call: CallId, mut running: Running) -> Option<Running> {
        // Most handlers never wait, so that no waker of their own is made before they do.
        if running.poll(&mut Context::from_waker(Waker::noop())) {
            return Some(running);
        }
        let waker = self.waker(TaskId::Call(call));
        if running.poll(&mut Context::from_waker(&waker)) {
            return Some(running);
        }
        self.running.borrow_mut().insert(call, (running, waker));
        None
    }

    /// The handler of a call, out of the way of being run.
    pub(super) fn remove(&self, call: CallId) -> Option<Running> {
        self.running.borrow_mut().remove(&call).map(|(running, _)| running)
    }

    /// The tasks that were woken.
    pub(super) fn poll_woken(&self, mut finished: impl FnMut(CallId, Running)) -> bool {
        let woken = core::mem::take(&mut *self.ready.tasks.lock());
        let any = !woken.is_empty();
        for task in woken {
            match task {
                TaskId::Call(call) => self.poll_handler(call, &mut finished),
                TaskId::Detached(id) => self.poll_detached(id),
            }
        }
        any
    }

    fn poll_handler(&self, call: CallId, finished: &mut impl FnMut(CallId, Running)) {
        // Out of the map while it runs, since it may cancel itself or others.
        let Some((mut running, waker)) = self.running.borrow_mut().remove(&call) else {
            return;
        };
        if running.poll(&mut Context::from_waker(&waker)) {
            finished(call, running);
        } else {
            self.running.borrow_mut().insert(call, (running, waker));
        }
    }

    fn poll_detached(&self, id: u64) {
        let Some((mut future, waker)) = self.detached.borrow_mut().remove(&id) else {
            return;
        };
        if future.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending {
            self.detached.borrow_mut().insert(id, (future, waker));
        }
    }
}
