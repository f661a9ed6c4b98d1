//! Rings: what all flows through shared memory of one loop have together.

use crate::counters::{Counter, Counters};
use crate::flow::{Ends, Line, RingFlow};
use crate::inspection::FlowRow;
use crate::watch::Watcher;
use crate::{Counts, Ring, SharedMemory};
use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use flow::Address;
use inspect::Metric;

/// The gauges of flows through shared memory.
pub static GAUGE_METRICS: &[Metric<Rings>] = &[Metric::gauge(
    "shared_memory_flows",
    "Flows through shared memory that are open on this side.",
    |rings| rings.flows() as u64,
)];

/// A way to notify the other side.
pub trait Doorbell: 'static {
    /// Notifies it. Whoever is notified twice before he looks need not know of the second time.
    fn ring(&self);
}

/// What all flows through shared memory of one loop have together. Clones are the same.
///
/// A loop that sleeps calls [`notify`](Self::notify) in each turn, once the tasks have run, and [`may_sleep`](Self::may_sleep)
/// before it sleeps: the first notifies the other sides, and the second asks them to notify this one. In between it may
/// [`poll`](Self::poll) for a while, which spares both sides that.
#[derive(Clone, Default)]
pub struct Rings(Rc<Inner>);

#[derive(Default)]
struct Inner {
    /// Who may have to notify the other side.
    owing: RefCell<Vec<Rc<dyn AnyLine>>>,
    /// Whose tasks wait, and whose other sides are not asked yet. They may be gone by now.
    awaiting: RefCell<Vec<Weak<dyn AnyLine>>>,
    scratch: Cell<Box<[u8]>>,
    counters: Counters,
    open: Cell<usize>,
    /// All flows, and those that are gone since one was opened last.
    lines: RefCell<Vec<Weak<dyn AnyLine>>>,
}

/// How a transport tells a flow what it learns of the other side. It outlives the flow, without effect.
#[derive(Clone)]
pub struct Peer(Weak<dyn AnyLine>);

/// Most bytes moved at once.
const TRANSFER_BYTES: usize = 64 << 10;

impl Rings {
    /// Makes a flow of one side of a pair of rings.
    pub fn open<M: SharedMemory + 'static, D: Doorbell>(
        &self,
        ring: Ring<M>,
        doorbell: D,
        local: Address,
        peer: Address,
    ) -> RingFlow<M, D> {
        self.0.counters.add(Counter::Opened);
        let number = self.0.counters.counts().get(Counter::Opened);
        let line = Line::new(self.clone(), ring, doorbell, Ends { number, local, peer });
        let this: Rc<dyn AnyLine> = line.clone();
        let mut lines = self.0.lines.borrow_mut();
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Rc::downgrade(&this));
        drop(lines);
        line.mark();
        RingFlow::new(line)
    }

    /// Notifies the other sides that wait for what was done since the last call.
    pub fn notify(&self) {
        for line in self.0.owing.take() {
            line.notify();
        }
    }

    /// Whether any task began to wait since the last [`may_sleep`](Self::may_sleep), so that [`poll`](Self::poll) may find
    /// something.
    pub fn is_awaiting(&self) -> bool {
        !self.0.awaiting.borrow().is_empty()
    }

    /// Wakes the tasks for which the other side did something since they began to wait; whether there is one.
    pub fn poll(&self) -> bool {
        let mut found = false;
        for line in self.0.awaiting.borrow().iter().filter_map(Weak::upgrade) {
            found |= line.poll();
        }
        found
    }

    /// Asks the other sides to notify this one of what tasks wait for. No, if there is something by now: it wakes those tasks.
    #[must_use]
    pub fn may_sleep(&self) -> bool {
        let mut found = false;
        for line in self.0.awaiting.take().iter().filter_map(Weak::upgrade) {
            found |= line.ask();
        }
        !found
    }

    /// Shows all flows. To be asked by tasks.
    pub fn visit_flows(&self, visit: &mut dyn FnMut(FlowRow)) {
        let lines = self.0.lines.borrow();
        lines.iter().filter_map(Weak::upgrade).for_each(|line| visit(line.row()));
    }

    /// The flow of this number, if it is there. To be asked by tasks.
    pub fn flow(&self, number: u64) -> Option<FlowRow> {
        Some(self.line(number)?.row())
    }

    /// Shows each step of the flow of this number, if it is there, until the watcher is dropped. To be asked by tasks.
    pub fn watch(&self, number: u64, watcher: &Rc<dyn Watcher>) -> bool {
        self.line(number).is_some_and(|line| {
            line.watch(watcher);
            true
        })
    }

    fn line(&self, number: u64) -> Option<Rc<dyn AnyLine>> {
        let lines = self.0.lines.borrow();
        lines.iter().filter_map(Weak::upgrade).find(|line| line.number() == number)
    }

    /// Flows that are open.
    pub fn flows(&self) -> usize {
        self.0.open.get()
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.0.counters.counts()
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(crate) fn owe(&self, line: Rc<dyn AnyLine>) {
        self.0.owing.borrow_mut().push(line);
    }

    pub(crate) fn hear(&self, line: Weak<dyn AnyLine>) {
        self.0.awaiting.borrow_mut().push(line);
    }

    pub(crate) fn count_open(&self) -> OpenFlow {
        self.0.open.update(|open| open + 1);
        OpenFlow(self.clone())
    }

    /// One buffer serves all: a task that reads inside another's read has one of its own.
    pub(crate) fn with_scratch<R>(&self, body: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut scratch = self.0.scratch.take();
        if scratch.is_empty() {
            scratch = vec![0; TRANSFER_BYTES].into_boxed_slice();
        }
        let result = body(&mut scratch);
        self.0.scratch.set(scratch);
        result
    }
}

impl Peer {
    pub(crate) fn new(line: Weak<dyn AnyLine>) -> Self {
        Self(line)
    }

    /// The other side has notified this one.
    pub fn handle_notification(&self) {
        if let Some(line) = self.0.upgrade() {
            line.handle_notification();
        }
    }

    /// The other side is gone.
    pub fn handle_gone(&self) {
        if let Some(line) = self.0.upgrade() {
            line.handle_gone();
        }
    }

    /// The memory is not shared any more: what the other side wrote and said is not known. The flow is cut off.
    pub fn handle_lost(&self) {
        if let Some(line) = self.0.upgrade() {
            line.handle_lost();
        }
    }
}

/// A flow's state, whatever its memory and doorbell are.
pub(crate) trait AnyLine {
    /// Notifies the other side, if it waits for what was done.
    fn notify(&self);
    /// Wakes who waits for what the other side has done by now; whether there is one.
    fn poll(&self) -> bool;
    /// The same, and where there is nothing yet, asks the other side to notify this one.
    fn ask(&self) -> bool;
    /// By which it is known.
    fn number(&self) -> u64;
    /// What is seen of it.
    fn row(&self) -> FlowRow;
    /// Shows it each step from now on.
    fn watch(&self, watcher: &Rc<dyn Watcher>);
    fn handle_notification(&self);
    fn handle_gone(&self);
    fn handle_lost(&self);
}

/// One of the flows that are open, until it is dropped.
pub(crate) struct OpenFlow(Rings);

impl Drop for OpenFlow {
    fn drop(&mut self) {
        self.0.0.open.update(|open| open - 1);
    }
}
