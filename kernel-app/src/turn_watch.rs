//! Turn watch: notices a turn of the loop that took long, in which nobody was answered. For platforms without a second thread,
//! where that can be told only once it is over.

use core::time::Duration;

/// A turn that takes longer is a stall.
pub const TURN_MAX: Duration = Duration::from_secs(5);

/// Looks at how long turns take.
#[derive(Clone, Debug, Default)]
pub struct TurnWatch {
    /// When the present turn began, if none has ended since.
    began: Option<Duration>,
    has_stalled: bool,
}

impl TurnWatch {
    /// A turn begins; one that began before has ended, if it is not known to have.
    pub fn begins(&mut self, now: Duration) {
        self.ends(now);
        self.began = Some(now);
    }

    /// The turn has ended: the loop waits.
    pub fn ends(&mut self, now: Duration) {
        let Some(began) = self.began.take() else { return };
        let time = now.saturating_sub(began);
        if time > TURN_MAX {
            self.note(time);
        }
    }

    /// Whether there was a stall since this was asked last.
    pub fn take_stall(&mut self) -> bool {
        core::mem::take(&mut self.has_stalled)
    }

    #[cold]
    fn note(&mut self, time: Duration) {
        let seconds = time.as_secs();
        log::error!(
            "the loop made no turn for {seconds} s, in which nobody was answered, or the machine stood still"
        );
        self.has_stalled = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);
    const TICK: Duration = Duration::from_nanos(1);

    #[test]
    fn a_turn_that_takes_longer_than_it_may_is_a_stall_once() {
        let mut watch = TurnWatch::default();
        watch.begins(START);
        watch.ends(START + TURN_MAX);
        assert!(!watch.take_stall());
        watch.begins(START);
        watch.ends(START + TURN_MAX + TICK);
        assert_eq!((watch.take_stall(), watch.take_stall()), (true, false));
        // One after which there is more to do, so that the loop does not wait.
        watch.begins(START);
        watch.begins(START + TURN_MAX + TICK);
        assert!(watch.take_stall());
    }

    #[test]
    fn a_wait_is_none() {
        let mut watch = TurnWatch::default();
        watch.begins(START);
        watch.ends(START + TICK);
        watch.ends(START + 10 * TURN_MAX);
        watch.begins(START + 10 * TURN_MAX);
        assert!(!watch.take_stall());
    }
}
