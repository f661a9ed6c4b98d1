//! Handler tasks: handlers that wait, and who runs them.

use super::System;
use super::server::Received;
use crate::table::{Beside, Key, Slab};
use crate::vat::CallId;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::{IntoIter, Vec};
use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Waker};
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
    running: RefCell<Beside<Box<(Received, Waker)>>>,
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

    /// A handler waits: runs it again with a waker, to its end, or it stays here.
    pub(super) fn start(&self, mut received: Received) {
        let waker = self.waker(TaskId::Call(received.call));
        if let Some(outcome) = received.poll(&mut Context::from_waker(&waker)) {
            return received.finish(outcome);
        }
        received.waits();
        self.running.borrow_mut().insert(received.call.0, Box::new((received, waker)));
    }

    /// The handler of a call, out of the way of being run.
    pub(super) fn remove(&self, call: CallId) -> Option<Received> {
        self.running.borrow_mut().remove(call.0).map(|handler| handler.0)
    }

    /// Whether none was woken.
    pub(super) fn are_asleep(&self) -> bool {
        self.ready.tasks.lock().is_empty()
    }

    /// Runs the tasks that were woken; whether there were any.
    pub(super) fn poll_woken(&self, system: &System) -> bool {
        let tasks = core::mem::take(&mut *self.ready.tasks.lock());
        if tasks.is_empty() {
            return false;
        }
        let mut woken = Woken { tasks: tasks.into_iter(), ready: &self.ready };
        for task in woken.tasks.by_ref() {
            match task {
                TaskId::Call(call) => self.poll_handler(call),
                TaskId::Detached(id) => self.poll_detached(id, system),
            }
        }
        true
    }

    fn poll_handler(&self, call: CallId) {
        // Out of the map while it runs, since it may cancel itself or others.
        let Some(mut handler) = self.running.borrow_mut().remove(call.0) else {
            return;
        };
        let (received, waker) = &mut *handler;
        match received.poll(&mut Context::from_waker(waker)) {
            Some(outcome) => handler.0.finish(outcome),
            None => self.running.borrow_mut().insert(call.0, handler),
        }
    }

    fn poll_detached(&self, id: Key, system: &System) {
        let taken = self.detached.borrow_mut().get_mut(id).and_then(Option::take);
        let Some((mut future, waker)) = taken else {
            return;
        };
        let mut ended = false;
        let caught = system.catch(|| {
            ended = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        });
        if ended || caught.is_err() {
            drop(self.detached.borrow_mut().remove(id));
            let _ = system.catch_drop(future);
        } else {
            self.put_back(id, (future, waker));
        }
    }

    fn put_back(&self, id: Key, task: (Detached, Waker)) {
        if let Some(place) = self.detached.borrow_mut().get_mut(id) {
            *place = Some(task);
        }
    }
}

/// Tasks on their turn; those that do not get it are woken again.
struct Woken<'a> {
    tasks: IntoIter<TaskId>,
    ready: &'a Ready,
}

impl Drop for Woken<'_> {
    fn drop(&mut self) {
        if self.tasks.len() > 0 {
            self.ready.tasks.lock().extend(&mut self.tasks);
            self.ready.wake_runner();
        }
    }
}
