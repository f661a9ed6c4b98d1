//! Spawner: makes, lists and ends tasks.

use super::late::Late;
use super::meter::Meter;
use super::place::{self, Place};
use super::queue::TaskWaker;
use super::{BoxedTask, CatchPanic, RunQueue, TaskError, Trace};
use crate::sync::{OneShot, WakerKey, WakerList};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;
use core::pin::Pin;
use core::str::FromStr;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

/// Names one task; never given twice by one executor (until 2^32 tasks shared one slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    slot: u32,
    generation: u32,
}

/// Its slot and its generation there, with a point between.
impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

impl FromStr for TaskId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (slot, generation) = text.split_once('.').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self { slot: number(slot)?, generation: number(generation)? })
    }
}

/// What can be seen of a live task from outside.
#[derive(Clone, Debug)]
pub struct TaskInfo {
    /// By which it is cancelled.
    pub id: TaskId,
    /// Given at spawning; many tasks may share one.
    pub name: &'static str,
    /// Whom or what it is for, if somebody [said so](Spawner::describe).
    pub subject: Option<String>,
    /// What it is doing.
    pub state: TaskState,
    /// Where in the source it waits, or waited last; where it was spawned, if nothing that it waits for tells.
    pub waits_at: Place,
    /// How often it was polled.
    pub polls: u64,
    /// How long its polls took, while somebody [measured](Spawner::measure) that.
    pub run: Duration,
    /// How long the longest of them took, in whole microseconds.
    pub longest_poll: Duration,
    /// Since it was spawned, in whole turns of the loop.
    pub age: Duration,
    /// By which those know it that are to wake it.
    pub waker: WakerKey,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It is polled at this moment.
    Running,
    /// It was woken and waits to be polled.
    Ready,
    /// It waits to be woken.
    Waiting,
}

impl TaskState {
    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            TaskState::Running => "running",
            TaskState::Ready => "ready",
            TaskState::Waiting => "waiting",
        }
    }
}

/// Makes tasks; clones belong to the same executor.
#[derive(Clone)]
pub struct Spawner {
    pub(super) shared: Rc<Shared>,
}

impl Spawner {
    pub(super) fn new(catch: CatchPanic) -> Self {
        let shared = Shared {
            queue: Arc::new(RunQueue::default()),
            slots: RefCell::new(Slots::default()),
            catch,
            panics: Cell::new(0),
            is_nested: Cell::new(false),
            late: Late::default(),
            tasks_max: Cell::new(usize::MAX),
            waiting: WakerList::default(),
            now: Cell::new(Duration::ZERO),
            meter: Meter::default(),
            trace: Trace::default(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Says whom or what a task is for, in place of what was said before; without effect when it has ended.
    pub fn describe(&self, id: TaskId, subject: impl Into<String>) {
        if let Some(task) = self.shared.slots.borrow_mut().task(id) {
            task.subject = Some(Box::new(subject.into()));
        }
    }

    /// The task that is polled at this moment.
    pub fn current(&self) -> Option<TaskId> {
        self.shared.queue.running()
    }

    /// Says at how many live tasks [`poll_room`](Self::poll_room) waits from now on. Without that it
    /// never does.
    pub fn limit_tasks(&self, tasks_max: usize) {
        self.shared.tasks_max.set(tasks_max);
    }

    /// Of how many hundredths of its limit there are tasks. For whoever refuses what would take more, and leaves the last
    /// of it to others.
    pub fn load_percent(&self) -> usize {
        self.shared.slots.borrow().count().saturating_mul(100) / self.shared.tasks_max.get().max(1)
    }

    /// Ready while there are fewer tasks than the limit. For whoever makes tasks because others ask
    /// for it; [`spawn`](Self::spawn) itself never refuses.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.shared.has_room() {
            return Poll::Ready(());
        }
        self.shared.waiting.register(cx);
        Poll::Pending
    }

    /// Starts a task that nobody waits for; its panic is logged and counted. When the executor has ended, or is ending,
    /// `future` is dropped instead, and the id is of no task.
    #[track_caller]
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + 'static) -> TaskId {
        self.shared.insert(name, Box::pin(future))
    }

    /// Starts a task whose value or failure can be awaited; dropping the handle leaves it running.
    #[track_caller]
    pub fn spawn_joinable<T: 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + 'static,
    ) -> TaskHandle<T> {
        let outcome = Rc::<OneShot<_>>::default();
        let reporter = Reporter { outcome: outcome.clone() };
        let spawner = self.clone();
        let id = self.spawn(name, async move {
            let value = spawner.catching(future).await;
            reporter.outcome.set(value);
        });
        TaskHandle { id, outcome }
    }

    /// `future`, with a panic in it turned into an error here instead of ending the whole task.
    pub fn catching<F: Future>(&self, future: F) -> Catching<F> {
        Catching { future: Some(Box::pin(future)), shared: self.shared.clone() }
    }

    /// Runs `body`; a panic in it is counted and becomes an error here.
    pub fn catch<T>(&self, body: impl FnOnce() -> T) -> Result<T, TaskError> {
        let mut body = Some(body);
        let mut value = None;
        let mut run = || {
            if let Some(body) = body.take() {
                value = Some(body());
            }
        };
        if let Err(message) = (self.shared.catch)(&mut run) {
            self.shared.caught();
            return Err(TaskError::Panicked(message));
        }
        value.ok_or(TaskError::Cancelled)
    }

    /// Polls a task that was woken just now, inside the poll of the task that runs: for whoever woke it and may have its
    /// answer at once, in place of being woken for it. Without effect if others were woken since, and inside a task that
    /// is polled so itself, so that tasks do not stand on each other's stack.
    pub fn poll_now(&self, id: TaskId) {
        self.shared.poll_nested(id);
    }

    /// Polls every task once more, for the rare news that concerns all of them.
    pub fn wake_all(&self) {
        let slots = self.shared.slots.borrow();
        slots
            .entries
            .iter()
            .filter_map(|slot| slot.task.as_ref())
            .for_each(|task| task.waker.wake_by_ref());
    }

    /// Every live task, in no order.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        let mut tasks = Vec::new();
        self.visit_tasks(&mut |task| tasks.push(task));
        tasks
    }

    /// Shows every live task, in no order, to a function that makes and ends none.
    pub fn visit_tasks(&self, visit: &mut dyn FnMut(TaskInfo)) {
        let now = self.shared.now.get();
        let slots = self.shared.slots.borrow();
        slots.entries.iter().filter_map(|slot| slot.info(now)).for_each(visit);
    }

    /// How many tasks there are.
    pub fn count(&self) -> usize {
        self.shared.slots.borrow().count()
    }

    /// How many there may be: see [`limit_tasks`](Self::limit_tasks).
    pub fn tasks_max(&self) -> usize {
        self.shared.tasks_max.get()
    }

    /// Drops the task; false when it has ended. A task that cancels itself is dropped when it next
    /// waits.
    pub fn cancel(&self, id: TaskId) -> bool {
        self.shared.cancel(id)
    }

    /// Panics caught since the start.
    pub fn panics(&self) -> u64 {
        self.shared.panics.get()
    }
}

/// Waits for a task's value.
pub struct TaskHandle<T> {
    id: TaskId,
    outcome: Rc<OneShot<Result<T, TaskError>>>,
}

impl<T> TaskHandle<T> {
    /// By which the task is cancelled.
    pub fn id(&self) -> TaskId {
        self.id
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcome.poll_take(cx)
    }
}

/// A future whose panic is an error; see [`Spawner::catching`].
pub struct Catching<F> {
    future: Option<Pin<Box<F>>>,
    shared: Rc<Shared>,
}

impl<F: Future> Future for Catching<F> {
    type Output = Result<F::Output, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(future) = &mut this.future else { return Poll::Ready(Err(TaskError::Cancelled)) };
        let mut polled = Poll::Pending;
        let mut body = || polled = future.as_mut().poll(cx);
        if let Err(message) = (this.shared.catch)(&mut body) {
            this.shared.caught();
            let mut doomed = this.future.take();
            this.shared.guarded(&mut || drop(doomed.take()));
            return Poll::Ready(Err(TaskError::Panicked(message)));
        }
        polled.map(Ok)
    }
}

pub(super) struct Shared {
    pub(super) queue: Arc<RunQueue>,
    slots: RefCell<Slots>,
    catch: CatchPanic,
    panics: Cell<u64>,
    /// A task is polled inside another's poll.
    is_nested: Cell<bool>,
    /// What is spawned when the executor has ended.
    late: Late,
    /// Tasks at which it is waited for fewer.
    tasks_max: Cell<usize>,
    /// Who waits for that.
    waiting: WakerList,
    /// The instant of the present turn.
    pub(super) now: Cell<Duration>,
    pub(super) meter: Meter,
    pub(super) trace: Trace,
}

#[derive(Default)]
struct Slots {
    entries: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    task: Option<Task>,
}

struct Task {
    id: TaskId,
    name: &'static str,
    polls: u64,
    spawned_at: Place,
    waits_at: Option<Place>,
    // Numbers, since a `Duration` is twice as long, and there are many tasks.
    born_nanos: u64,
    run_nanos: u64,
    longest_poll_micros: u32,
    /// In a box, since few tasks have one.
    #[allow(clippy::box_collection, reason = "an option of it is one word")]
    subject: Option<Box<String>>,
    waker: Arc<TaskWaker>,
    /// Taken out while it is polled, so that it can spawn, list and cancel.
    body: Option<Body>,
}

/// What a poll needs.
struct Body {
    future: BoxedTask,
    waker: Waker,
}

impl Slot {
    fn info(&self, now: Duration) -> Option<TaskInfo> {
        let task = self.task.as_ref()?;
        Some(TaskInfo {
            id: task.id,
            name: task.name,
            subject: task.subject.as_deref().cloned(),
            state: task.state(),
            waits_at: task.waits_at.unwrap_or(task.spawned_at),
            polls: task.polls,
            run: Duration::from_nanos(task.run_nanos),
            longest_poll: Duration::from_micros(task.longest_poll_micros.into()),
            age: now.saturating_sub(Duration::from_nanos(task.born_nanos)),
            waker: task.waker.key(),
        })
    }
}

impl Task {
    fn state(&self) -> TaskState {
        if self.body.is_none() {
            TaskState::Running
        } else if self.waker.is_queued() {
            TaskState::Ready
        } else {
            TaskState::Waiting
        }
    }

    /// Takes note of a poll that took so long.
    fn ran(&mut self, time: Duration, waits_at: Option<Place>) {
        self.run_nanos += nanos(time);
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.longest_poll_micros = self.longest_poll_micros.max(micros);
        if time >= SLOW_POLL {
            let before = self.waits_at.unwrap_or(self.spawned_at);
            let now = waits_at.unwrap_or(self.spawned_at);
            let (name, millis) = (self.name, time.as_millis());
            log::warn!(
                "task {name} kept all others waiting for {millis} ms: from {before} to {now}"
            );
        }
    }
}

/// Enough for 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A poll that takes longer is logged: whoever waits for an answer meanwhile would notice.
const SLOW_POLL: Duration = Duration::from_millis(100);

impl Slots {
    /// The task of that id, if it still lives.
    fn task(&mut self, id: TaskId) -> Option<&mut Task> {
        let slot = self.entries.get_mut(id.slot as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        slot.task.as_mut()
    }

    /// Finds a slot, and memory for its return, without taking it.
    fn reserve(&mut self) -> TaskId {
        if let Some(&slot) = self.free.last() {
            let generation = self.entries.get(slot as usize).map_or(0, |entry| entry.generation);
            return TaskId { slot, generation };
        }
        self.entries.reserve(1);
        self.free.reserve(self.entries.len() + 1);
        TaskId { slot: self.entries.len() as u32, generation: 0 }
    }

    /// Puts a task into the slot that was found for it.
    fn take(&mut self, task: Task) {
        let slot = task.id.slot as usize;
        if slot == self.entries.len() {
            self.entries.push(Slot::default());
        } else {
            self.free.pop();
        }
        self.entries[slot].task = Some(task);
    }

    /// How many live.
    fn count(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    fn remove(&mut self, id: TaskId) -> Option<Task> {
        self.task(id)?;
        let slot = &mut self.entries[id.slot as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        slot.task.take()
    }
}

impl Shared {
    /// All memory that the task's life takes, waking and ending included, is taken before it is one: whoever has none
    /// has no task, and nothing else is lost.
    #[track_caller]
    fn insert(&self, name: &'static str, future: BoxedTask) -> TaskId {
        if self.late.is_over() {
            self.late.add(future, |body| self.guarded(body));
            return TaskId { slot: u32::MAX, generation: 0 };
        }
        let mut slots = self.slots.borrow_mut();
        let id = slots.reserve();
        let waker = TaskWaker::new(id, self.queue.clone());
        self.queue.reserve(slots.count() + 1);
        let body = Body { future, waker: Waker::from(waker.clone()) };
        slots.take(Task {
            id,
            name,
            polls: 0,
            spawned_at: Location::caller(),
            waits_at: None,
            born_nanos: nanos(self.now.get()),
            run_nanos: 0,
            longest_poll_micros: 0,
            subject: None,
            waker: waker.clone(),
            body: Some(body),
        });
        waker.wake_by_ref();
        id
    }

    pub(super) fn poll(&self, id: TaskId) {
        let Some(mut body) = self.begin(id) else { return };
        let mut done = false;
        let mut poll = || {
            let mut cx = Context::from_waker(&body.waker);
            done = body.future.as_mut().poll(&mut cx).is_ready();
        };
        let start = self.meter.now();
        if let Err(message) = (self.catch)(&mut poll) {
            let name = self.slots.borrow_mut().task(id).map_or("cancelled task", |task| task.name);
            log::error!("task {name} panicked: {message}");
            self.caught();
            done = true;
        }
        let time = self.meter.stop(start);
        self.end(id, body, done, time);
    }

    fn poll_nested(&self, id: TaskId) {
        if self.is_nested.get() {
            return;
        }
        let Some(interrupted) = self.queue.interrupt(id) else { return };
        self.is_nested.set(true);
        // What the task outside waits for, it tells when it is done.
        self.poll(id);
        self.is_nested.set(false);
        self.queue.resume(interrupted);
    }

    fn begin(&self, id: TaskId) -> Option<Body> {
        let mut slots = self.slots.borrow_mut();
        let task = slots.task(id)?;
        task.waker.unqueued();
        task.polls += 1;
        task.body.take()
    }

    fn end(&self, id: TaskId, body: Body, done: bool, time: Option<Duration>) {
        let waits_at = place::take();
        let mut slots = self.slots.borrow_mut();
        if !done && let Some(task) = slots.task(id) {
            task.body = Some(body);
            if let Some(time) = time {
                self.trace.polled(task.name, id, time);
                task.ran(time, waits_at);
            }
            task.waits_at = waits_at;
            return;
        }
        let removed = slots.remove(id);
        if let (Some(time), Some(task)) = (time, &removed) {
            self.trace.polled(task.name, id, time);
        }
        // Destructors may spawn and cancel.
        drop(slots);
        self.admit();
        let mut doomed = Some((body, removed));
        self.guarded(&mut || drop(doomed.take()));
    }

    fn cancel(&self, id: TaskId) -> bool {
        let removed = self.slots.borrow_mut().remove(id);
        let found = removed.is_some();
        self.admit();
        let mut doomed = removed;
        self.guarded(&mut || drop(doomed.take()));
        found
    }

    fn has_room(&self) -> bool {
        self.slots.borrow().count() < self.tasks_max.get()
    }

    /// Wakes those that wait for fewer tasks, if there are.
    fn admit(&self) {
        if !self.waiting.is_empty() && self.has_room() {
            self.waiting.wake();
        }
    }

    pub(super) fn clear(&self) {
        self.late.begin();
        let slots = self.slots.take();
        for slot in slots.entries {
            let mut doomed = slot.task;
            self.guarded(&mut || drop(doomed.take()));
        }
        self.late.end(|body| self.guarded(body));
    }

    /// Runs destructors of a task, which may panic themselves.
    fn guarded(&self, body: &mut dyn FnMut()) {
        if let Err(message) = (self.catch)(body) {
            log::error!("a task panicked while it was dropped: {message}");
            self.caught();
        }
    }

    fn caught(&self) {
        self.panics.set(self.panics.get() + 1);
    }
}

/// Lives in the task, so that a task which is dropped unfinished reports that.
struct Reporter<T> {
    outcome: Rc<OneShot<Result<T, TaskError>>>,
}

impl<T> Drop for Reporter<T> {
    fn drop(&mut self) {
        let outcome = self.outcome.try_take().unwrap_or(Err(TaskError::Cancelled));
        self.outcome.set(outcome);
    }
}
