//! Slices: long work that gives way between its parts.

use super::yield_once;

/// Counts what a task has done in one go, and gives way once that is a slice of it: all other tasks that are woken have their
/// turn, and what came in is looked at.
#[derive(Debug)]
pub struct Slices {
    done: usize,
    slice: usize,
}

impl Slices {
    /// A slice is so much work, in units of the caller's.
    pub fn of(slice: usize) -> Self {
        Self { done: 0, slice: slice.max(1) }
    }

    /// So much has been done; gives way if a slice is full.
    pub async fn done(&mut self, units: usize) {
        self.done = self.done.saturating_add(units);
        if self.done >= self.slice {
            self.done = 0;
            yield_once().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Executor;
    use alloc::rc::Rc;
    use alloc::string::String;
    use core::cell::Cell;

    #[test]
    fn a_turn_has_one_slice() {
        let executor = Executor::new(|body| {
            body();
            Ok::<(), String>(())
        });
        let done = Rc::new(Cell::new(0));
        let seen = done.clone();
        executor.spawner().spawn("works", async move {
            let mut slices = Slices::of(10);
            for _ in 0..25 {
                seen.set(seen.get() + 1);
                slices.done(3).await;
            }
            // More than a slice at once is one.
            slices.done(1000).await;
            seen.set(100);
        });
        let mut turns = 0;
        while executor.turn(1000) {
            turns += 1;
            assert!(turns < 100, "it never ends");
            assert!(done.get() <= 4 * turns, "{} after {turns}", done.get());
        }
        assert_eq!((turns, done.get()), (7, 100));
    }
}
