//! Flow limit: how many flows others have of us at a time, and what these hold.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll};
use flow::ledger::{Account, ServiceLedger};
use flow::sync::WakerList;

/// A bound on the flows that are exported. Clones are the same one.
#[derive(Clone)]
pub struct FlowLimit(Rc<Shared>);

struct Shared {
    flows_max: usize,
    open: Cell<usize>,
    ledger: ServiceLedger,
    waiting: RefCell<WakerList>,
}

/// The place of one flow, given back when dropped, and the account of what it holds.
pub(super) struct FlowPlace {
    limit: FlowLimit,
    pub(super) account: Account,
}

impl FlowLimit {
    /// So many at a time; what others wrote and a flow has not taken is weighed.
    pub fn new(flows_max: usize, ledger: ServiceLedger) -> Self {
        let (open, waiting) = (Cell::new(0), RefCell::default());
        Self(Rc::new(Shared { flows_max, open, ledger, waiting }))
    }

    /// Flows that are open.
    pub fn open(&self) -> usize {
        self.0.open.get()
    }

    /// Another one may be opened.
    pub(super) fn has_room(&self) -> bool {
        self.open() < self.0.flows_max
    }

    /// Ready when another one may be opened.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        self.0.waiting.borrow_mut().register(cx);
        Poll::Pending
    }

    /// The place of one that is opened now, by who found room for it.
    pub(super) fn take(&self) -> FlowPlace {
        self.0.open.set(self.open() + 1);
        FlowPlace { limit: self.clone(), account: self.0.ledger.account() }
    }
}

impl Drop for FlowPlace {
    fn drop(&mut self) {
        let Shared { open, waiting, .. } = &*self.limit.0;
        open.set(open.get() - 1);
        waiting.borrow_mut().wake();
    }
}
