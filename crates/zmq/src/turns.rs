//! For tests: loops that a fault would make endless end in a failure.

/// Counts the turns of a loop: `while turns.more(side.has_output())`.
#[derive(Default)]
pub(crate) struct Turns(u32);

impl Turns {
    /// Whether it goes on, which is what it is told, of at most 100,000 turns.
    #[track_caller]
    pub(crate) fn more(&mut self, goes_on: bool) -> bool {
        self.0 += 1;
        assert!(self.0 <= 100_000, "a loop goes on for ever");
        goes_on
    }
}
