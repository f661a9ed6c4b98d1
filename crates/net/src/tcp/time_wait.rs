//! TIME-WAIT table (RFC 9293 section 3.6), 60 bytes for each connection: what section 3.10.7 asks of that
//! state needs no buffers.

use crate::wire::tuple::{Tuple, TupleHasher};
use ::tcp::{SeqNumber, TimeWait};
use alloc::collections::VecDeque;
use core::time::Duration;
use hashbrown::HashTable;

/// The last of a connection whose end we began: a [`TimeWait`], packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TimeWaitEntry {
    tuple: Tuple,
    next: u32,
    expected: u32,
    /// Whole seconds of the stack's time.
    expires: u32,
    /// TS.Recent and the offset of our clock; counts only if there are timestamps.
    timestamps: (u32, u32),
    has_timestamps: bool,
    window: u16,
}

impl TimeWaitEntry {
    fn pack(tuple: Tuple, state: &TimeWait) -> Self {
        let until = Duration::from(state.until);
        Self {
            tuple,
            next: state.next.0,
            expected: state.expected.0,
            expires: until.as_secs().saturating_add(1).min(u64::from(u32::MAX)) as u32,
            timestamps: state.timestamps.unwrap_or_default(),
            has_timestamps: state.timestamps.is_some(),
            window: state.window.min(0xffff) as u16,
        }
    }

    fn unpack(&self) -> TimeWait {
        TimeWait {
            next: SeqNumber(self.next),
            expected: SeqNumber(self.expected),
            window: self.window.into(),
            timestamps: self.has_timestamps.then_some(self.timestamps),
            until: Duration::from_secs(self.expires.into()).into(),
        }
    }
}

/// All of them, bounded; the oldest is forgotten first. They all last equally long, so that the
/// oldest is the first to expire, too.
pub(crate) struct TimeWaitTable {
    queue: VecDeque<Option<TimeWaitEntry>>,
    /// Entries that have left the front of the queue, ever.
    gone: u64,
    index: HashTable<u64>,
    hasher: TupleHasher,
    entries_max: usize,
}

impl TimeWaitTable {
    pub(crate) fn new(hasher: TupleHasher, entries_max: usize) -> Self {
        let (queue, index) = (VecDeque::new(), HashTable::new());
        Self { queue, gone: 0, index, hasher, entries_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tuple> {
        self.queue.iter().flatten().map(|entry| &entry.tuple)
    }

    /// Takes in a connection, or begins the time of one anew; true when an older one had to go.
    pub(crate) fn insert(&mut self, tuple: Tuple, state: &TimeWait, now: Duration) -> bool {
        self.expire(now);
        self.remove(&tuple);
        let mut recycled = false;
        while self.queue.len() >= self.entries_max.max(1) {
            recycled |= self.pop();
        }
        self.queue.push_back(Some(TimeWaitEntry::pack(tuple, state)));
        let number = self.gone + self.queue.len() as u64 - 1;
        let Self { index, hasher, queue, gone, .. } = self;
        index.insert_unique(hasher.hash(&tuple), number, |number| {
            entry(queue, *gone, *number).map_or(0, |entry| hasher.hash(&entry.tuple))
        });
        recycled
    }

    pub(crate) fn find(&self, tuple: &Tuple, now: Duration) -> Option<TimeWait> {
        let hash = self.hasher.hash(tuple);
        let is_it = |number: &u64| {
            entry(&self.queue, self.gone, *number).is_some_and(|entry| entry.tuple == *tuple)
        };
        let number = self.index.find(hash, is_it)?;
        let entry = entry(&self.queue, self.gone, *number)?;
        (u64::from(entry.expires) > now.as_secs()).then(|| entry.unpack())
    }

    pub(crate) fn remove(&mut self, tuple: &Tuple) {
        let hash = self.hasher.hash(tuple);
        let Self { index, queue, gone, .. } = self;
        let is_it =
            |number: &u64| entry(queue, *gone, *number).is_some_and(|entry| entry.tuple == *tuple);
        let Ok(found) = index.find_entry(hash, is_it) else { return };
        let (number, _) = found.remove();
        if let Some(slot) = queue.get_mut((number - *gone) as usize) {
            *slot = None;
        }
    }

    /// Forgets those whose time is over.
    fn expire(&mut self, now: Duration) {
        let over = |entry: &Option<TimeWaitEntry>| {
            entry.is_none_or(|entry| u64::from(entry.expires) <= now.as_secs())
        };
        while self.queue.front().is_some_and(over) {
            self.pop();
        }
    }

    /// Forgets the oldest; true when it had not been removed before.
    fn pop(&mut self) -> bool {
        let number = self.gone;
        let Some(oldest) = self.queue.pop_front() else { return false };
        self.gone += 1;
        let Some(entry) = oldest else { return false };
        let hash = self.hasher.hash(&entry.tuple);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == number) {
            found.remove();
        }
        true
    }
}

fn entry(
    queue: &VecDeque<Option<TimeWaitEntry>>,
    gone: u64,
    number: u64,
) -> Option<&TimeWaitEntry> {
    queue.get(number.checked_sub(gone)? as usize)?.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn tuple(port: u16) -> Tuple {
        Tuple::v4([10, 0, 0, 1], [10, 0, 0, 2], 80, port)
    }

    fn table() -> TimeWaitTable {
        TimeWaitTable::new(TupleHasher::new(7), 100)
    }

    /// A connection that ended at `now`, with that SND.NXT.
    fn ended(next: u32, now: Duration) -> TimeWait {
        TimeWait {
            next: SeqNumber(next),
            expected: SeqNumber(6),
            window: 7,
            timestamps: Some((8, 9)),
            until: (now + MINUTE).into(),
        }
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Option<TimeWaitEntry>>(), 60);
    }

    #[test]
    fn entries_are_found_until_their_time_is_over() {
        let mut table = table();
        let state = ended(5, Duration::ZERO);
        assert!(!table.insert(tuple(1), &state, Duration::ZERO));
        let found = table.find(&tuple(1), MINUTE / 2).unwrap();
        assert_eq!(TimeWait { until: state.until, ..found }, state);
        assert_eq!(table.find(&tuple(2), MINUTE / 2), None);
        assert_eq!(table.find(&tuple(1), 2 * MINUTE), None);
        table.insert(tuple(2), &ended(1, 2 * MINUTE), 2 * MINUTE);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn the_oldest_goes_when_the_table_is_full() {
        let mut table = table();
        for port in 0..100 {
            assert!(!table.insert(tuple(port), &ended(0, Duration::ZERO), Duration::ZERO));
        }
        for port in 100..1_000 {
            assert!(table.insert(tuple(port), &ended(0, Duration::ZERO), Duration::ZERO));
            assert_eq!(table.len(), 100);
            assert_eq!(table.find(&tuple(port - 100), Duration::ZERO), None);
            assert!(table.find(&tuple(port - 99), Duration::ZERO).is_some());
        }
    }

    #[test]
    fn a_removed_entry_is_gone_and_its_name_can_come_back() {
        let mut table = table();
        for round in 0..1_000 {
            table.insert(tuple(9), &ended(round, Duration::ZERO), Duration::ZERO);
            assert_eq!(table.find(&tuple(9), Duration::ZERO).unwrap().next, SeqNumber(round));
            table.remove(&tuple(9));
            assert_eq!(table.find(&tuple(9), Duration::ZERO), None);
        }
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_time_that_begins_anew_is_the_last_to_end() {
        let mut table = table();
        table.insert(tuple(1), &ended(0, Duration::ZERO), Duration::ZERO);
        table.insert(tuple(2), &ended(0, MINUTE / 2), MINUTE / 2);
        table.insert(tuple(1), &ended(0, MINUTE), MINUTE);
        assert_eq!(table.len(), 2);
        let later = MINUTE * 7 / 4;
        table.insert(tuple(3), &ended(0, later), later);
        assert_eq!((table.find(&tuple(2), later), table.len()), (None, 2));
    }

    #[test]
    fn an_entry_lasts_for_whole_seconds_and_its_window_is_that_of_a_header() {
        let mut table = table();
        let state = TimeWait { window: 70_000, timestamps: None, ..ended(5, Duration::ZERO) };
        table.insert(tuple(1), &state, Duration::ZERO);
        let found = table.find(&tuple(1), Duration::from_millis(60_999)).unwrap();
        assert_eq!((found.window, found.timestamps), (65_535, None));
        assert_eq!(table.find(&tuple(1), Duration::from_secs(61)), None);
        // By 60 s nothing has expired, by 61 s it has.
        table.insert(tuple(2), &ended(5, MINUTE), MINUTE);
        assert_eq!(table.len(), 2);
        table.insert(tuple(3), &ended(5, MINUTE), Duration::from_secs(61));
        assert_eq!(table.len(), 2);
        assert_eq!(table.iter().map(|it| it.remote_port).collect::<std::vec::Vec<_>>(), [2, 3]);
        // One that may have none has one.
        let mut table = TimeWaitTable::new(TupleHasher::new(7), 0);
        assert!(!table.insert(tuple(1), &ended(0, MINUTE), MINUTE));
        assert!(table.insert(tuple(2), &ended(0, MINUTE), MINUTE));
        table.remove(&tuple(2));
        assert!(!table.insert(tuple(3), &ended(0, MINUTE), MINUTE), "that was gone");
        assert_eq!((table.len(), table.find(&tuple(3), MINUTE).is_some()), (1, true));
    }
}
