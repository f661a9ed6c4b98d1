//! Slot: one side of a pair of rings in a region, as memory and as a doorbell.

use crate::RegionMemory;
use crate::region::Region;
use crate::table::{Incarnation, Side, Table};
use core::fmt;
use shared_ring::{Doorbell, SharedMemory};

/// The memory of one slot.
#[derive(Clone, Debug)]
pub struct Slot<M> {
    memory: M,
    start: usize,
    bytes: usize,
}

impl<M: RegionMemory> Slot<M> {
    pub(crate) fn new(table: &Table<M>, slot: usize) -> Self {
        let (start, bytes) = (table.layout.memory(slot), table.layout.geometry().bytes());
        Self { memory: table.memory.clone(), start, bytes }
    }

    /// Where a part of the slot is in the region.
    fn at(&self, offset: usize, bytes: usize) -> usize {
        assert!(offset <= self.bytes && bytes <= self.bytes - offset, "a part of the slot");
        self.start + offset
    }
}

impl<M: RegionMemory> SharedMemory for Slot<M> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn load_word(&self, offset: usize) -> u32 {
        self.memory.load_word(self.at(offset, 4))
    }

    fn store_word(&self, offset: usize, word: u32) {
        self.memory.store_word(self.at(offset, 4), word);
    }

    fn load_byte(&self, offset: usize) -> u8 {
        self.memory.load_byte(self.at(offset, 1))
    }

    fn store_byte(&self, offset: usize, byte: u8) {
        self.memory.store_byte(self.at(offset, 1), byte);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.memory.set_bits(self.at(offset, 1), bits);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.memory.clear_bits(self.at(offset, 1), bits)
    }

    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        self.memory.copy_out(self.at(offset, into.len()), into);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.memory.copy_in(self.at(offset, bytes.len()), bytes);
    }
}

/// One side's doorbell, and its hold on the slot, which ends with it.
pub struct SlotBell<M: RegionMemory>(pub(crate) Hold<M>);

impl<M: RegionMemory> Doorbell for SlotBell<M> {
    fn ring(&self) {
        let Hold { region, slot, other, .. } = &self.0;
        // Who is gone is not rung at: his entry may be another's.
        region.with_table(|table| {
            if table.owner(other.0) == Some(other.1) {
                table.tell(other.0, *slot);
            }
        });
    }
}

impl<M: RegionMemory> fmt::Debug for SlotBell<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotBell({}, {:?})", self.0.slot, self.0.side)
    }
}

/// One side of a slot, which is left when this is dropped.
pub(crate) struct Hold<M: RegionMemory> {
    pub(crate) region: Region<M>,
    pub(crate) slot: usize,
    pub(crate) side: Side,
    pub(crate) own: Incarnation,
    /// Who is on the other side, and where its entry is.
    pub(crate) other: (usize, Incarnation),
    /// The flow is one of so many of a listener's.
    pub(crate) _place: Option<alloc::rc::Rc<()>>,
}

impl<M: RegionMemory> Drop for Hold<M> {
    fn drop(&mut self) {
        self.region.forget(self.slot, self.side, self.own);
    }
}
