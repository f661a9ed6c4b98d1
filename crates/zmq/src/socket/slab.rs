//! Slab of a socket's peers, by number.

use super::peer::Peer;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Names one peer of one socket. It is never used again for another peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    slot: u32,
    generation: u32,
}

#[derive(Debug, Default)]
pub(super) struct Slab {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    peer: Option<Box<Peer>>,
}

impl Slab {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, peer: Peer) -> PeerId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            // Room now for what `remove` gives back, so that it cannot fail.
            self.free.reserve(self.slots.len());
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        entry.peer = Some(Box::new(peer));
        PeerId { slot, generation: entry.generation }
    }

    pub(super) fn get(&self, id: PeerId) -> Option<&Peer> {
        let entry = self.slots.get(id.slot as usize)?;
        entry.peer.as_deref().filter(|_| entry.generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        let entry = self.slots.get_mut(id.slot as usize)?;
        let generation = entry.generation;
        entry.peer.as_deref_mut().filter(|_| generation == id.generation)
    }

    pub(super) fn remove(&mut self, id: PeerId) {
        if self.get(id).is_none() {
            return;
        }
        let entry = &mut self.slots[id.slot as usize];
        entry.peer = None;
        // A slot whose numbers ran out is left empty for good.
        if let Some(next) = entry.generation.checked_add(1) {
            entry.generation = next;
            self.free.push(id.slot);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| {
            let id = PeerId { slot: slot as u32, generation: entry.generation };
            Some((id, entry.peer.as_deref()?))
        })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerId, &mut Peer)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, entry)| {
            let id = PeerId { slot: slot as u32, generation: entry.generation };
            Some((id, entry.peer.as_deref_mut()?))
        })
    }
}
