//! Slabs: tables of things with numbers, our own and the peer's.

use alloc::{collections::BTreeMap, vec::Vec};

/// The key of an entry in a [`Slab`]. A key of a removed entry never finds another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.index) | u64::from(self.generation) << 32
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Places that a table keeps although they are free.
const PLACES_KEPT: usize = 256;

/// Entries under keys of ours. Freed places are used again, last freed first, and given back at the end of the
/// table once most are free.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// Some may be used again, or given back, by now.
    free: Vec<u32>,
    live: usize,
    /// Of the next entry.
    generation: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), live: 0, generation: 0 }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, value: T) -> Key {
        let generation = self.generation;
        self.generation = generation.wrapping_add(1);
        self.live += 1;
        let entry = Slot { generation, value: Some(value) };
        while let Some(index) = self.free.pop() {
            if let Some(slot) = self.slots.get_mut(index as usize)
                && slot.value.is_none()
            {
                *slot = entry;
                return Key { index, generation };
            }
        }
        let index = self.slots.len() as u32;
        self.slots.push(entry);
        Key { index, generation }
    }

    /// All entries.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        slot.value.as_ref().filter(|_| slot.generation == key.generation)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        slot.value.as_mut().filter(|_| slot.generation == key.generation)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        self.freed(key);
        Some(value)
    }

    /// As [`remove`](Self::remove), for an entry that nobody looks at any more: it is dropped where it lies.
    pub(crate) fn discard(&mut self, key: Key) {
        if let Some(slot) = self.slots.get_mut(key.index as usize)
            && slot.generation == key.generation
            && slot.value.is_some()
        {
            slot.value = None;
            self.freed(key);
        }
    }

    fn freed(&mut self, key: Key) {
        self.live -= 1;
        self.free.push(key.index);
        if self.slots.len() > PLACES_KEPT && self.live < self.slots.len() / 4 {
            self.give_back();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Drops free places at the end, and their memory once it is much.
    fn give_back(&mut self) {
        while self.slots.len() > PLACES_KEPT
            && self.slots.last().is_some_and(|slot| slot.value.is_none())
        {
            self.slots.pop();
        }
        if self.slots.capacity() / 4 > self.slots.len() {
            let kept = self.slots.len() as u32;
            self.slots.shrink_to(2 * self.slots.len());
            self.free.retain(|index| *index < kept);
            self.free.shrink_to(2 * self.slots.len());
        }
    }
}

/// What somebody else keeps about entries of a [`Slab`], under their keys. An entry stays when the
/// slab's goes, until another takes its place.
#[derive(Debug)]
pub(crate) struct Beside<T> {
    slots: Vec<Option<(u32, T)>>,
}

impl<T> Default for Beside<T> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

impl<T> Beside<T> {
    pub(crate) fn insert(&mut self, key: Key, value: T) {
        let index = key.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some((key.generation, value));
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.index as usize)? {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.index as usize)? {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        let taken = slot.take_if(|(generation, _)| *generation == key.generation)?;
        if key.index as usize >= PLACES_KEPT {
            self.give_back();
        }
        Some(taken.1)
    }

    /// Drops free places at the end, and their memory once it is much.
    fn give_back(&mut self) {
        while self.slots.len() > PLACES_KEPT && self.slots.last().is_some_and(Option::is_none) {
            self.slots.pop();
        }
        if self.slots.capacity() / 4 > self.slots.len() {
            self.slots.shrink_to(2 * self.slots.len());
        }
    }
}

/// Entries under numbers that we give to the peer: small, and used again once free.
#[derive(Debug)]
pub(crate) struct OwnIds<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for OwnIds<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> OwnIds<T> {
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self.slots[id as usize] = Some(value);
            return id;
        }
        self.slots.push(Some(value));
        (self.slots.len() - 1) as u32
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        let value = self.slots.get_mut(id as usize)?.take()?;
        self.free.push(id);
        if self.slots.len() > DENSE_IDS as usize && self.len() == 0 {
            *self = Self::default();
        }
        Some(value)
    }

    /// What the table takes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<T>>() + self.free.capacity() * size_of::<u32>()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.free.clear();
        core::mem::take(&mut self.slots).into_iter().flatten()
    }
}

/// Numbers below this lie in an array; a well-behaved peer uses no others.
const DENSE_IDS: u32 = 1024;

/// Entries under numbers that the peer chose, any of 32 bits.
#[derive(Debug)]
pub(crate) struct PeerIds<T> {
    dense: Vec<Option<T>>,
    sparse: BTreeMap<u32, T>,
    live: usize,
}

impl<T> Default for PeerIds<T> {
    fn default() -> Self {
        Self { dense: Vec::new(), sparse: BTreeMap::new(), live: 0 }
    }
}

impl<T> PeerIds<T> {
    /// Enters `value`; what was there before comes back.
    pub(crate) fn insert(&mut self, id: u32, value: T) -> Option<T> {
        let before = if id < DENSE_IDS {
            if self.dense.len() <= id as usize {
                self.dense.resize_with(id as usize + 1, || None);
            }
            self.dense[id as usize].replace(value)
        } else {
            self.sparse.insert(id, value)
        };
        self.live += usize::from(before.is_none());
        before
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        if id < DENSE_IDS { self.dense.get(id as usize)?.as_ref() } else { self.sparse.get(&id) }
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        if id < DENSE_IDS {
            self.dense.get_mut(id as usize)?.as_mut()
        } else {
            self.sparse.get_mut(&id)
        }
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        let value = if id < DENSE_IDS {
            self.dense.get_mut(id as usize)?.take()
        } else {
            self.sparse.remove(&id)
        };
        self.live -= usize::from(value.is_some());
        value
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// What the table takes; of the tree's nodes, which are not always full, about.
    pub(crate) fn held_bytes(&self) -> usize {
        let sparse = self.sparse.len() * (size_of::<(u32, T)>() * 3 / 2);
        self.dense.capacity() * size_of::<Option<T>>() + sparse
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.live = 0;
        let dense = core::mem::take(&mut self.dense).into_iter().flatten();
        dense.chain(core::mem::take(&mut self.sparse).into_values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&'b'));
        assert_eq!(slab.len(), 1);
        slab.discard(first);
        assert_eq!((slab.get(second), slab.len()), (Some(&'b'), 1));
        slab.discard(second);
        slab.discard(second);
        assert_eq!((slab.get(second), slab.len()), (None, 0));
    }

    #[test]
    fn a_table_gives_back_what_many_entries_took() {
        let (mut slab, mut beside) = (Slab::default(), Beside::default());
        let kept = slab.insert(7);
        let keys: Vec<_> = (0..100_000).map(|number| slab.insert(number)).collect();
        keys.iter().for_each(|key| beside.insert(*key, ()));
        for key in &keys {
            assert!(slab.remove(*key).is_some());
            beside.remove(*key);
        }
        assert_eq!((slab.get(kept), slab.len()), (Some(&7), 1));
        assert!(slab.slots.capacity() < 10_000 && slab.free.capacity() < 10_000);
        assert!(beside.slots.capacity() < 10_000);
        let again: Vec<_> = (0..100_000).map(|number| slab.insert(number)).collect();
        for (number, key) in again.iter().enumerate() {
            assert_eq!(slab.get(*key), Some(&number));
        }
        assert!(keys.iter().all(|key| slab.get(*key).is_none()), "stale keys find nothing");
        assert_eq!(slab.len(), 100_001);
    }

    #[test]
    fn what_lies_beside_a_removed_entry_is_not_found_by_the_next() {
        let (mut slab, mut beside) = (Slab::default(), Beside::default());
        slab.insert(());
        let first = slab.insert(());
        beside.insert(first, 'a');
        slab.remove(first);
        let second = slab.insert(());
        assert_eq!(beside.get(second), None);
        assert_eq!(beside.remove(second), None);
        assert_eq!(beside.get_mut(second), None);
        assert_eq!(beside.get_mut(first), Some(&mut 'a'));
        beside.insert(second, 'b');
        assert_eq!((beside.get(first), beside.get(second)), (None, Some(&'b')));
        assert_eq!(beside.remove(second), Some('b'));
        assert_eq!(beside.get(second), None);
    }

    /// By its end once less than a quarter is used, and to twice what is left.
    #[test]
    fn places_are_given_back_once_most_are_free() {
        let mut slab = Slab::default();
        let mut keys: Vec<_> = (0..2_000).map(|number| slab.insert(number)).collect();
        keys.drain(500..).rev().for_each(|key| slab.discard(key));
        assert_eq!((slab.slots.len(), slab.slots.capacity()), (2_000, 2_048));
        slab.discard(keys.pop().unwrap());
        assert_eq!((slab.slots.len(), slab.slots.capacity()), (499, 998));
        assert_eq!((slab.free.len(), slab.free.capacity()), (0, 998));
        keys.drain(..).rev().for_each(|key| slab.discard(key));
        assert_eq!((slab.slots.len(), slab.len()), (256, 0), "some are kept");

        let mut slab = Slab::default();
        let keys: Vec<_> = (0..2_048).map(|number| slab.insert(number)).collect();
        keys[512..].iter().for_each(|key| slab.discard(*key));
        slab.discard(keys[0]);
        assert_eq!((slab.slots.len(), slab.slots.capacity()), (512, 2_048), "a quarter is used");
        keys[510..512].iter().for_each(|key| slab.discard(*key));
        keys[1..400].iter().for_each(|key| slab.discard(*key));
        assert_eq!(keys[400..510].iter().filter(|key| slab.get(**key).is_some()).count(), 110);
        assert_eq!((slab.slots.len(), slab.len()), (510, 110));
        assert!(slab.free.contains(&399) && !slab.free.contains(&510));
    }

    #[test]
    fn what_lies_beside_is_given_back_from_the_end() {
        let (mut slab, mut beside) = (Slab::default(), Beside::default());
        let keys: Vec<_> = (0..2_000).map(|_| slab.insert(())).collect();
        (0..).zip(&keys).for_each(|(number, key)| beside.insert(*key, number));
        keys[512..].iter().rev().for_each(|key| assert!(beside.remove(*key).is_some()));
        assert_eq!((beside.slots.len(), beside.slots.capacity()), (512, 2_048));
        beside.remove(keys[511]);
        assert_eq!((beside.slots.len(), beside.slots.capacity()), (511, 1_022));
        beside.remove(keys[400]);
        assert_eq!((beside.slots.len(), beside.get(keys[510])), (511, Some(&510)));
        for key in keys[255..510].iter().filter(|key| **key != keys[400]) {
            assert!(beside.remove(*key).is_some());
        }
        beside.remove(keys[510]);
        assert_eq!((beside.slots.len(), beside.get(keys[254])), (256, Some(&254)));
    }

    #[test]
    fn what_tables_hold_is_weighed() {
        let own = OwnIds::<u64> { slots: Vec::with_capacity(10), free: Vec::with_capacity(3) };
        assert_eq!(own.held_bytes(), 10 * 16 + 3 * 4);
        let mut peers = PeerIds::<u64> { dense: Vec::with_capacity(10), ..PeerIds::default() };
        assert_eq!(peers.held_bytes(), 160);
        for id in [1_024, u32::MAX] {
            assert!(peers.insert(id, 0).is_none());
        }
        // A node of the tree has place for half as much again.
        assert_eq!(peers.held_bytes(), 160 + 2 * 24);
        for (count, is_kept) in [(1_024, true), (1_025, false)] {
            let mut own = OwnIds::default();
            (0..count).for_each(|number| assert_eq!(own.insert(number), number));
            (0..count).for_each(|number| assert_eq!(own.remove(number), Some(number)));
            assert_eq!(own.held_bytes() > 0, is_kept, "{count} entries");
        }
    }

    #[test]
    fn peer_ids_count_dense_and_sparse_alike() {
        let mut ids = PeerIds::default();
        for id in [0, 5, DENSE_IDS, u32::MAX] {
            assert_eq!(ids.insert(id, id), None);
        }
        assert_eq!(ids.insert(5, 6), Some(5));
        assert_eq!(ids.len(), 4);
        assert_eq!((ids.get(0), ids.get(5), ids.get(1_024)), (Some(&0), Some(&6), Some(&1_024)));
        assert_eq!((ids.get(6), ids.get(1_023), ids.get(1_025)), (None, None, None));
        assert_eq!(ids.get_mut(1_024), Some(&mut 1_024));
        assert_eq!(ids.remove(u32::MAX), Some(u32::MAX));
        assert_eq!(ids.remove(u32::MAX), None);
        assert_eq!(ids.remove(1), None);
        assert_eq!(ids.len(), 3);
        assert_eq!(ids.drain().count(), 3);
        assert_eq!(ids.len(), 0);
    }

    #[test]
    fn own_ids_are_used_again() {
        let mut ids = OwnIds::default();
        assert_eq!((ids.insert('a'), ids.insert('b')), (0, 1));
        assert_eq!(ids.remove(0), Some('a'));
        assert_eq!(ids.remove(0), None);
        assert_eq!(ids.insert('c'), 0);
        assert_eq!(ids.len(), 2);
    }
}
