//! Memory of a region: what is asked of it beyond what a ring asks.

use shared_ring::SharedMemory;

/// Memory that several peers read and write at the same time, and the doorbells of those who have it. Clones are the same.
pub trait RegionMemory: SharedMemory + Clone + 'static {
    /// Writes `new` to a word of 32 bits if `current` is there; whether it was. One step, in one order with all such steps
    /// (sequentially consistent).
    fn compare_exchange(&self, offset: usize, current: u32, new: u32) -> bool;

    /// The number by which others ring here.
    fn own_device(&self) -> u16;

    /// Rings at the peer with this number, if there is one.
    fn ring(&self, device: u16);
}
