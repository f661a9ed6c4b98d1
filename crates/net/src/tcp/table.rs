//! Connection table: by tuple in O(1), by slot, and by deadline (a heap of timers).

use crate::tcp::connection::Connection;
use crate::time::Instant;
use crate::wire::tuple::{Tuple, TupleHasher};
use alloc::collections::BinaryHeap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use hashbrown::HashTable;

/// Finds connections; its cost does not depend on their number.
pub(crate) struct Table {
    index: HashTable<u32>,
    hasher: TupleHasher,
    slots: Vec<Option<Rc<Connection>>>,
    free: Vec<u32>,
    /// By time; an entry is believed only if its connection still remembers it as its own.
    deadlines: BinaryHeap<Reverse<(Instant, u32)>>,
    visits: Visits,
}

/// How many connections the table looked at, for the test that a packet costs the same whatever their number; nothing is counted
/// without the feature `count-visits`.
#[derive(Default)]
struct Visits(#[cfg(feature = "count-visits")] core::cell::Cell<u64>);

impl Visits {
    #[inline(always)]
    fn add_one(&self) {
        #[cfg(feature = "count-visits")]
        self.0.set(self.0.get() + 1);
    }
}

impl Table {
    pub(crate) fn new(hasher: TupleHasher) -> Self {
        Self {
            index: HashTable::new(),
            hasher,
            slots: Vec::new(),
            free: Vec::new(),
            deadlines: BinaryHeap::new(),
            visits: Visits::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The connection of that tuple, and its slot.
    pub(crate) fn find(&self, tuple: &Tuple) -> Option<(u32, &Rc<Connection>)> {
        let hash = self.hasher.hash(tuple);
        let slot = *self.index.find(hash, |slot| self.is_at(*slot, tuple))?;
        Some((slot, self.get(slot)?))
    }

    #[cfg(feature = "count-visits")]
    pub(crate) fn visits(&self) -> u64 {
        self.visits.0.get()
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Rc<Connection>> {
        self.visits.add_one();
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rc<Connection>> {
        self.slots.iter().flatten().inspect(|_| self.visits.add_one())
    }

    /// Takes in a connection whose tuple no other has.
    pub(crate) fn insert(&mut self, connection: Rc<Connection>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        connection.tcb().slot = slot;
        let hash = self.hasher.hash(&connection.tuple);
        self.slots[slot as usize] = Some(connection);
        let Self { index, hasher, slots, .. } = self;
        let rehash =
            |slot: &u32| slots[*slot as usize].as_ref().map_or(0, |c| hasher.hash(&c.tuple));
        index.insert_unique(hash, slot, rehash);
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Rc<Connection>> {
        let connection = self.slots.get_mut(slot as usize)?.take()?;
        let hash = self.hasher.hash(&connection.tuple);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        self.free.push(slot);
        self.discard_stale();
        Some(connection)
    }

    /// Notes the deadline that the connection's schedule holds.
    pub(crate) fn schedule(&mut self, connection: &Connection) {
        let mut tcb = connection.tcb();
        let slot = tcb.slot;
        let at = tcb.deadline;
        if at < tcb.queued_at {
            tcb.queued_at = at;
            self.deadlines.push(Reverse((at, slot)));
        }
    }

    /// Marks every connection whose deadline has come.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(Reverse((at, slot))) = self.deadlines.peek().copied() {
            if at > now {
                return;
            }
            self.deadlines.pop();
            self.visits.add_one();
            let Some(connection) = self.slots.get(slot as usize).and_then(Option::as_ref) else {
                continue;
            };
            let mut tcb = connection.tcb();
            if tcb.queued_at != at {
                continue;
            }
            tcb.queued_at = Instant::NEVER;
            if tcb.deadline <= now {
                connection.mark(&mut tcb);
            } else if tcb.deadline < Instant::NEVER {
                tcb.queued_at = tcb.deadline;
                self.deadlines.push(Reverse((tcb.deadline, slot)));
            }
        }
    }

    /// The earliest deadline; it may have moved back since.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.peek().map(|Reverse((at, _))| *at)
    }

    fn is_at(&self, slot: u32, tuple: &Tuple) -> bool {
        self.get(slot).is_some_and(|connection| connection.tuple == *tuple)
    }

    /// Keeps the heap's size within a factor of the live connections'.
    fn discard_stale(&mut self) {
        if self.index.is_empty() {
            // A deadline in hours must not wake an idle machine until then.
            return self.deadlines.clear();
        }
        if self.deadlines.len() <= 64 + 4 * self.index.len() {
            return;
        }
        let Self { slots, visits, .. } = self;
        self.deadlines.retain(|Reverse((at, slot))| {
            visits.add_one();
            let connection = slots.get(*slot as usize).and_then(Option::as_ref);
            connection.is_some_and(|c| c.tcb().queued_at == *at)
        });
    }
}
