//! Flow limit: how many flows others have of us at a time, and one of them, and what these hold.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll};
use flow::ledger::{Account, ServiceLedger};
use flow::sync::WakerList;

/// A bound on the flows that are exported. Clones are the same one.
#[derive(Clone)]
pub struct FlowLimit {
    all: Rc<Shared>,
    /// Flows that are open of who has a share; none where one has all.
    own: Option<Rc<Cell<usize>>>,
}

/// How many times what is free one share may have. With 3, one that is alone gets three quarters, and two get three sevenths
/// each (dynamic thresholds, as for buffers of switches: Choudhury and Hahne 1998).
const SHARE_OF_FREE: usize = 3;

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
        Self { all: Rc::new(Shared { flows_max, open, ledger, waiting }), own: None }
    }

    /// A share of the same bound, for one of those who have flows: it may have at most three times as many as are free, so that
    /// none takes all. Clones are the same share.
    pub fn share(&self) -> Self {
        Self { all: self.all.clone(), own: Some(Rc::default()) }
    }

    /// Flows that are open, of all.
    pub fn open(&self) -> usize {
        self.all.open.get()
    }

    /// Another one may be opened.
    pub(super) fn has_room(&self) -> bool {
        let free = self.all.flows_max.saturating_sub(self.open());
        let is_fair = |own: &Rc<Cell<usize>>| own.get() < free.saturating_mul(SHARE_OF_FREE);
        free > 0 && self.own.as_ref().is_none_or(is_fair)
    }

    /// Ready when another one may be opened.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        self.all.waiting.borrow_mut().register(cx);
        Poll::Pending
    }

    /// The place of one that is opened now, by who found room for it.
    pub(super) fn take(&self) -> FlowPlace {
        self.all.open.update(|open| open + 1);
        if let Some(own) = &self.own {
            own.update(|open| open + 1);
        }
        FlowPlace { limit: self.clone(), account: self.all.ledger.account() }
    }
}

impl Drop for FlowPlace {
    fn drop(&mut self) {
        let FlowLimit { all, own } = &self.limit;
        all.open.update(|open| open - 1);
        if let Some(own) = own {
            own.update(|open| open - 1);
        }
        all.waiting.borrow_mut().wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::ledger::Ledger;
    use std::vec::Vec;

    fn limit(flows_max: usize) -> FlowLimit {
        FlowLimit::new(flows_max, Ledger::new(1 << 20).service("network", 1 << 20, 1 << 20))
    }

    /// As many as there is room for.
    fn fill(share: &FlowLimit) -> Vec<FlowPlace> {
        let mut places = Vec::new();
        while share.has_room() {
            places.push(share.take());
        }
        places
    }

    #[test]
    fn who_takes_what_he_can_leaves_a_quarter_of_it_for_the_next() {
        let all = limit(1000);
        let greedy: Vec<_> = (0..4).map(|_| fill(&all.share())).collect();
        let taken: Vec<_> = greedy.iter().map(Vec::len).collect();
        assert_eq!(taken, [750, 188, 47, 12]);
        assert!(all.share().has_room());
        drop(greedy);
        assert_eq!(all.open(), 0);
        // Who has no share has all.
        assert_eq!(fill(&all).len(), 1000);
    }

    #[test]
    fn a_share_is_the_same_whoever_has_it_and_comes_back() {
        let all = limit(8);
        let (share, again) = (all.share(), all.share());
        let same = share.clone();
        let first = fill(&share);
        assert_eq!((first.len(), fill(&same).len()), (6, 0));
        assert_eq!(fill(&again).len(), 2);
        drop(first);
        assert_eq!(fill(&same).len(), 6);
    }

    #[test]
    fn the_smallest_bounds_are_used_up() {
        for flows_max in 1..4 {
            assert_eq!(fill(&limit(flows_max).share()).len(), flows_max);
        }
    }
}
