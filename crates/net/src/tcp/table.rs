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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::device::Capabilities;
    use crate::tcp::connection::Owner;
    use crate::tcp::context::TcpContext;
    use crate::wire::template::HeaderTemplate;
    use ::tcp::{Open, SeqNumber};

    fn connection(port: u16) -> Rc<Connection> {
        let device = Capabilities::new(1_500);
        let context = Rc::new(TcpContext::new(Limits::default(), &device, Instant::START));
        let local = core::net::SocketAddr::from(([10, 0, 0, 1], port));
        let tuple = Tuple::new(local, "10.0.0.2:9".parse().unwrap());
        let open = Open { initial: SeqNumber(7), mss: 1_460, path_mss: None, timestamp_offset: 0 };
        let engine =
            ::tcp::Connection::connect(&mut context.shared.borrow_mut(), Instant::START, &open);
        let template = HeaderTemplate { ethernet: [0; 14], checksum: true, may_fragment: false };
        Connection::new(tuple, context, engine, template, Owner::Flow)
    }

    fn schedule(table: &mut Table, connection: &Connection, micros: u64) {
        connection.tcb().deadline = Instant::from_micros(micros);
        table.schedule(connection);
    }

    #[test]
    fn a_deadline_is_queued_once_and_an_earlier_one_beside_it() {
        let mut table = Table::new(TupleHasher::new(7));
        let one = connection(80);
        table.insert(one.clone());
        one.tcb().deadline = Instant::NEVER;
        table.schedule(&one);
        assert_eq!((table.deadlines.len(), table.next_deadline()), (0, None));
        for (micros, queued, next) in [(900, 1, 900), (900, 1, 900), (901, 1, 900), (899, 2, 899)] {
            schedule(&mut table, &one, micros);
            let expected = (queued, Some(Instant::from_micros(next)));
            assert_eq!((table.deadlines.len(), table.next_deadline()), expected, "{micros}");
        }
    }

    /// Four for each of those that live, and 64.
    #[test]
    fn deadlines_that_were_moved_do_not_pile_up() {
        for (moved, left) in [(71, 72), (72, 2)] {
            let mut table = Table::new(TupleHasher::new(7));
            let all = [80, 81, 82].map(connection);
            all.iter().for_each(|connection| table.insert(connection.clone()));
            schedule(&mut table, &all[0], 5_000);
            for step in 0..moved {
                schedule(&mut table, &all[1], 4_000 - step);
            }
            assert!(table.remove(all[2].tcb().slot).is_some());
            // Too many: one of each that lives is left.
            assert_eq!(table.deadlines.len(), left, "{moved}");
            assert_eq!(table.next_deadline(), Some(Instant::from_micros(4_001 - moved)));
            for connection in &all[..2] {
                assert!(table.remove(connection.tcb().slot).is_some());
            }
            assert_eq!((table.len(), table.next_deadline()), (0, None));
        }
    }
}
