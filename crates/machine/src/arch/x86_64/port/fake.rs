//! I/O ports of a test: each thread has its own, and they keep what the test says, whatever is written.

use alloc::collections::BTreeMap;
use core::cell::RefCell;
use std::thread_local;
use std::vec::Vec;

thread_local! {
    static VALUES: RefCell<BTreeMap<u16, u32>> = const { RefCell::new(BTreeMap::new()) };
    static WRITTEN: RefCell<Vec<(u16, u32)>> = const { RefCell::new(Vec::new()) };
}

/// What a port reads as from now on. Others read as all ones, as those do that nothing is at.
pub(crate) fn set(port: u16, value: u32) {
    VALUES.with_borrow_mut(|values| values.insert(port, value));
}

/// Ports and values that were written since this was last asked.
pub(crate) fn take_written() -> Vec<(u16, u32)> {
    WRITTEN.take()
}

fn read(port: u16) -> u32 {
    VALUES.with_borrow(|values| values.get(&port).copied().unwrap_or(u32::MAX))
}

fn write(port: u16, value: u32) {
    WRITTEN.with_borrow_mut(|written| written.push((port, value)));
}

/// # Safety
/// None is needed: unsafe as the machine's.
pub(crate) unsafe fn read8(port: u16) -> u8 {
    read(port) as u8
}

/// # Safety
/// As [`read8`].
pub(crate) unsafe fn read16(port: u16) -> u16 {
    read(port) as u16
}

/// # Safety
/// As [`read8`].
pub(crate) unsafe fn read32(port: u16) -> u32 {
    read(port)
}

/// # Safety
/// As [`read8`].
pub(crate) unsafe fn write8(port: u16, value: u8) {
    write(port, value.into());
}

/// # Safety
/// As [`read8`].
pub(crate) unsafe fn write16(port: u16, value: u16) {
    write(port, value.into());
}

/// # Safety
/// As [`read8`].
pub(crate) unsafe fn write32(port: u16, value: u32) {
    write(port, value);
}
