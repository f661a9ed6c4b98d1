//! DMA memory on a host: the fake device reaches exactly what a driver allocated.

use crate::memory::PAGE_BYTES;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU8, Ordering};
use spinning_top::Spinlock;

/// Every range that a device may be told of, by physical start: its length, and where this process
/// has it.
static RANGES: Spinlock<BTreeMap<u64, (usize, usize)>> = Spinlock::new(BTreeMap::new());

/// Ranges that a device may read for now, each as often as it was shared.
static SHARED: Spinlock<Vec<(u64, usize)>> = Spinlock::new(Vec::new());

pub(super) fn share(physical: u64, bytes: usize) {
    SHARED.lock().push((physical, bytes));
}

pub(super) fn take_back(physical: u64, bytes: usize) {
    let mut shared = SHARED.lock();
    let at = shared.iter().position(|&range| range == (physical, bytes)).expect("it was shared");
    shared.swap_remove(at);
}

pub(super) fn register(start: NonNull<u8>, physical: u64, bytes: usize) {
    RANGES.lock().insert(physical, (bytes, start.as_ptr() as usize));
}

pub(super) fn unregister(physical: u64) {
    RANGES.lock().remove(&physical);
}

/// Memory mapped twice in a row, as the machine's page tables would.
pub(super) fn map_twice(bytes: usize) -> Option<(NonNull<u8>, u64)> {
    assert!(bytes.is_multiple_of(PAGE_BYTES));
    // SAFETY: the name is a terminated string.
    let file = unsafe { libc::memfd_create(c"mirror".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: `file` is this function's own.
    assert_eq!(unsafe { libc::ftruncate(file, bytes as libc::off_t) }, 0);
    let (reserve, shared) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::MAP_SHARED);
    // SAFETY: the kernel chooses a free range.
    let start = unsafe { libc::mmap(null_mut(), 2 * bytes, libc::PROT_NONE, reserve, -1, 0) };
    for copy in [start, start.wrapping_byte_add(bytes)] {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: replaces half of the range reserved above.
        let mapped = unsafe { libc::mmap(copy, bytes, access, shared | libc::MAP_FIXED, file, 0) };
        assert_eq!(mapped, copy);
    }
    // SAFETY: `file` is this function's own, and the mappings stay.
    unsafe { libc::close(file) };
    let start = NonNull::new(start.cast::<u8>())?;
    let physical = start.as_ptr() as u64;
    register(start, physical, bytes);
    Some((start, physical))
}

/// Zeroed memory below 4 GiB for ever, at a multiple of 64 KiB: what registers and firmware's tables are to a test.
#[cfg(test)]
pub(crate) fn low(bytes: usize) -> &'static mut [u8] {
    const ALIGN: usize = 64 << 10;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the kernel chooses a free range.
    let start = unsafe { libc::mmap(null_mut(), bytes + ALIGN, access, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    let at = (start as usize).next_multiple_of(ALIGN);
    // SAFETY: within the range, which is nobody else's and is never given back.
    unsafe { core::slice::from_raw_parts_mut(at as *mut u8, bytes) }
}

/// Zeroed memory at just that address for ever, where a machine has something that is nowhere else. Once for each.
#[cfg(test)]
pub(crate) fn fixed(address: usize, bytes: usize) -> &'static mut [u8] {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: replaces nothing that is there.
    let start = unsafe { libc::mmap(address as *mut _, bytes, access, flags, -1, 0) };
    assert_eq!(start as usize, address, "the range is not free");
    // SAFETY: mapped just now, and never given back.
    unsafe { core::slice::from_raw_parts_mut(start.cast(), bytes) }
}

/// What a device reads at a physical address.
pub(crate) fn read(physical: u64, bytes: usize) -> Vec<u8> {
    let shared = SHARED.lock();
    let end = physical + bytes as u64;
    if shared.iter().any(|&(start, length)| start <= physical && end <= start + length as u64) {
        let at = physical as *const u8;
        // SAFETY: inside a range of immutable bytes that stays as long as it is in the list.
        return unsafe { core::slice::from_raw_parts(at, bytes) }.to_vec();
    }
    drop(shared);
    memory(physical, bytes).iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
}

/// What a device writes at a physical address.
pub(crate) fn write(physical: u64, bytes: &[u8]) {
    for (to, &from) in memory(physical, bytes.len()).iter().zip(bytes) {
        to.store(from, Ordering::Relaxed);
    }
}

/// The bytes there; panics unless a driver allocated all of them: a device that strays would
/// corrupt the machine, and it only goes where the driver sent it.
fn memory(physical: u64, bytes: usize) -> &'static [AtomicU8] {
    let end = physical + bytes as u64;
    let ranges = RANGES.lock();
    let (start, (_, at)) = ranges
        .range(..=physical)
        .next_back()
        .filter(|&(&start, &(length, _))| end <= start + length as u64)
        .expect("the device was sent to memory that is not a driver's");
    let from = (at + (physical - start) as usize) as *const AtomicU8;
    // SAFETY: inside a range that was leaked to devices, which reach it atomically.
    unsafe { core::slice::from_raw_parts(from, bytes) }
}

/// The address of the page whose number ends in these 32 bits: grants have no more of it.
pub(crate) fn page(number: u32) -> Option<u64> {
    let ranges = RANGES.lock();
    ranges.iter().find_map(|(&start, &(length, _))| {
        let nth = u64::from(number.wrapping_sub((start >> 12) as u32));
        (nth < (length as u64) >> 12).then_some(start + (nth << 12))
    })
}
