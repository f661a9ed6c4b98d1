//! Shares: of the connections that a machine may have, some are kept for each who has few, so that the clients of one port
//! cannot have them all.

use alloc::rc::Rc;
use core::cell::Cell;

/// The connections of one port, or those that we open ourselves. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share(Rc<Cell<usize>>);

/// Of all connections, what is kept for each share: an eighth, rounded down.
const PARTS: usize = 8;

impl Share {
    /// So many connections more.
    pub(crate) fn add(&self, count: isize) {
        self.0.set(self.0.get().saturating_add_signed(count));
    }

    /// Whether another connection would be beyond the maximum, or one that is kept for another of `all` shares.
    pub(crate) fn is_full(
        &self,
        open: usize,
        connections_max: usize,
        all: impl Iterator<Item = Share>,
    ) -> bool {
        let kept = connections_max / PARTS;
        let others = all.filter(|other| !Rc::ptr_eq(&self.0, &other.0));
        let kept_for_others: usize = others.map(|other| kept.saturating_sub(other.0.get())).sum();
        open + kept_for_others >= connections_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_what_is_kept_for_another_who_has_less() {
        let all = [Share::default(), Share::default(), Share::default()];
        let [greedy, modest, idle] = &all;
        let open = || all.iter().map(|share| share.0.get()).sum();
        let is_full = |share: &Share| share.is_full(open(), 24, all.iter().cloned());
        while !is_full(greedy) {
            greedy.add(1);
        }
        assert_eq!(greedy.0.get(), 24 - 2 * 3);
        for _ in 0..3 {
            assert!(!is_full(modest));
            modest.add(1);
        }
        // The rest is kept for the third, who may have it still.
        assert!(is_full(greedy) && is_full(modest) && !is_full(idle));
        greedy.add(-1);
        assert!(!is_full(greedy) && !is_full(modest));
    }

    #[test]
    fn of_few_connections_none_is_kept() {
        let all = [Share::default(), Share::default()];
        let is_full = |open| all[0].is_full(open, 7, all.iter().cloned());
        assert_eq!([0, 6, 7].map(is_full), [false, false, true]);
    }
}
