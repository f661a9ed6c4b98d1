//! Scope: a limit with its marks, and what is held below it, of a service or of the machine.

use core::cell::Cell;

/// An even share is this part of a limit: who holds no more is not paused for the sake of others.
pub const SHARE: usize = 64;

pub(super) struct Scope {
    limit: usize,
    pause: usize,
    refuse: usize,
    held: Cell<usize>,
    /// What of it belongs to accounts that were told to end, and is as good as free.
    ending: Cell<usize>,
    /// Somebody waits for there to be room.
    paused: Cell<bool>,
    /// The one account that goes on above the mark, by its number; zero is none.
    passing: Cell<usize>,
}

impl Scope {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            pause: limit / 2,
            refuse: limit - limit / 8,
            held: Cell::new(0),
            ending: Cell::new(0),
            paused: Cell::new(false),
            passing: Cell::new(0),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    #[inline]
    pub(super) fn held(&self) -> usize {
        self.held.get()
    }

    pub(super) fn share(&self) -> usize {
        self.limit / SHARE
    }

    /// Somebody held `before` and holds `after` now.
    #[inline]
    pub(super) fn change(&self, before: usize, after: usize) {
        debug_assert!(before <= self.held.get(), "what is given back was held");
        self.held.set(self.held.get().wrapping_add(after).wrapping_sub(before));
    }

    /// The same, for an account that was told to end.
    pub(super) fn change_ending(&self, before: usize, after: usize) {
        self.ending.set(self.ending.get().wrapping_add(after).wrapping_sub(before));
    }

    #[inline]
    pub(super) fn pauses(&self) -> bool {
        self.held.get() >= self.pause
    }

    #[inline]
    pub(super) fn refuses(&self) -> bool {
        self.held.get() >= self.refuse
    }

    /// More is held than the limit, even when those have ended that were told to.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.held.get().wrapping_sub(self.ending.get()) > self.limit
    }

    /// What is new is refused, even when those have ended that were told to.
    pub(super) fn is_crowded(&self) -> bool {
        self.held.get().wrapping_sub(self.ending.get()) >= self.refuse
    }

    /// Whether that account may go on above the mark: one may at a time. If not, it waits for there to be room.
    pub(super) fn admits(&self, account: usize) -> bool {
        let passing = self.passing.get();
        let is_admitted = !self.refuses() && (passing == 0 || passing == account);
        if is_admitted {
            self.passing.set(account);
        } else {
            // Whoever waits has no place, or nobody would be woken for it.
            self.gives_way(account);
            self.paused.set(true);
        }
        is_admitted
    }

    /// That account no longer goes on above the mark, if it did.
    pub(super) fn gives_way(&self, account: usize) {
        if self.passing.get() == account {
            self.passing.set(0);
        }
    }

    /// Whether somebody waited and can go on: there is room, or nobody goes on above the mark.
    #[inline]
    pub(super) fn resumes(&self) -> bool {
        let has_room = || !self.pauses() || (!self.refuses() && self.passing.get() == 0);
        self.paused.get() && has_room() && self.paused.replace(false)
    }
}
