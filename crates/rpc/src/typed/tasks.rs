//! Handler tasks: handlers that wait, and who runs them.

use super::server::Running;
use crate::table::{Beside, Key, Slab};
use crate::vat::CallId;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use spinning_top::Spinlock;

/// What may be woken: the handler of a call, or a future of the application's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TaskId {
    Call(CallId),
    Detached(Key),
}

type Detached = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
pub(super) struct Tasks {
    running: RefCell<Beside<Box<(Running, Waker)>>>,
    /// `None` while it runs.
    detached: RefCell<Slab<Option<(Detached, Waker)>>>,
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
        let id = self.detached.borrow_mut().insert(None);
        let waker = self.waker(TaskId::Detached(id));
        self.put_back(id, (Box::pin(future), waker.clone()));
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
        self.running.borrow_mut().insert(call.0, Box::new((running, waker)));
        None
    }

    /// The handler of a call, out of the way of being run.
    pub(super) fn remove(&self, call: CallId) -> Option<Running> {
        self.running.borrow_mut().remove(call.0).map(|handler| handler.0)
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
        let Some(mut handler) = self.running.borrow_mut().remove(call.0) else {
            return;
        };
        let (running, waker) = &mut *handler;
        if running.poll(&mut Context::from_waker(waker)) {
            finished(call, handler.0);
        } else {
            self.running.borrow_mut().insert(call.0, handler);
        }
    }

    fn poll_detached(&self, id: Key) {
        let taken = self.detached.borrow_mut().get_mut(id).and_then(Option::take);
        let Some((mut future, waker)) = taken else {
            return;
        };
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => self.put_back(id, (future, waker)),
            Poll::Ready(()) => drop(self.detached.borrow_mut().remove(id)),
        }
    }

    fn put_back(&self, id: Key, task: (Detached, Waker)) {
        if let Some(place) = self.detached.borrow_mut().get_mut(id) {
            *place = Some(task);
        }
    }
}
