//! Liveness: who is there is asked, by those who wait for him.

use crate::RegionMemory;
use crate::table::{Incarnation, Table};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

/// How long a peer may leave a question without an answer: five times the time between two questions.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Between two looks at those with whom there are flows.
const PERIOD: Duration = Duration::from_secs(1);

/// Between two looks at our own entry, where there are none: a machine that was paused must come again to be found.
const IDLE_PERIOD: Duration = Duration::from_secs(30);

/// Questions that are open, and when the next look is due.
#[derive(Default)]
pub(crate) struct Liveness {
    questions: BTreeMap<Incarnation, Question>,
    /// Time of the last look.
    looked: Option<Duration>,
    sweep: Sweep,
}

/// Of all peers in the table, whether there is a flow with them or not.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sweep {
    #[default]
    Off,
    Wanted,
    Until(Duration),
}

struct Question {
    number: u32,
    since: Duration,
}

/// This peer is gone.
pub(crate) struct Verdict(pub(crate) Incarnation);

impl Liveness {
    /// Has everybody asked, from the next look on, for as long as an answer may take.
    pub(crate) fn sweep(&mut self) {
        self.sweep = Sweep::Wanted;
    }

    /// When the next look is due, `is_waiting` being whether there are flows or we are not there ourselves.
    pub(crate) fn next_deadline(&self, is_waiting: bool) -> Duration {
        let is_waiting = is_waiting || self.sweep != Sweep::Off;
        let period = if is_waiting { PERIOD } else { IDLE_PERIOD };
        self.looked.map_or(Duration::ZERO, |looked| looked + period)
    }

    /// Asks the `others`, and all while a sweep lasts; who of them is gone.
    pub(crate) fn handle_timeout<M: RegionMemory>(
        &mut self,
        now: Duration,
        table: &Table<M>,
        own: Option<(usize, Incarnation)>,
        mut others: BTreeSet<(usize, Incarnation)>,
    ) -> Vec<Verdict> {
        self.looked = Some(now);
        if self.is_sweeping(now) {
            others.extend(table.peers());
        }
        // We are there.
        others.retain(|other| Some(*other) != own);
        let is_asked = |incarnation: &u32| others.iter().any(|other| other.1 == *incarnation);
        self.questions.retain(|incarnation, _| is_asked(incarnation));
        others.into_iter().filter_map(|other| self.look_at(now, table, other)).collect()
    }

    fn is_sweeping(&mut self, now: Duration) -> bool {
        if self.sweep == Sweep::Wanted {
            self.sweep = Sweep::Until(now + SILENCE_MAX + PERIOD);
        }
        if matches!(self.sweep, Sweep::Until(end) if end < now) {
            self.sweep = Sweep::Off;
        }
        self.sweep != Sweep::Off
    }

    fn look_at<M: RegionMemory>(
        &mut self,
        now: Duration,
        table: &Table<M>,
        (index, other): (usize, Incarnation),
    ) -> Option<Verdict> {
        if table.owner(index) != Some(other) {
            self.questions.remove(&other);
            return Some(Verdict(other));
        }
        match self.questions.get(&other) {
            Some(Question { number, since }) if !table.is_answered(index, *number) => {
                if now.saturating_sub(*since) >= SILENCE_MAX {
                    log::warn!(
                        "shared memory: a peer has not answered for {SILENCE_MAX:?}, and is taken for gone"
                    );
                    table.strike(index, other);
                    self.questions.remove(&other);
                    return Some(Verdict(other));
                }
                // An interrupt may have been lost while the other machine came up.
                table.ask_again(index);
            }
            _ => {
                let question = Question { number: table.ask(index), since: now };
                self.questions.insert(other, question);
            }
        }
        None
    }
}
