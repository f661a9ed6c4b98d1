//! Page tables (Intel SDM volume 3, chapter 4): everything where it physically is, nothing both writable and executable.
//!
//! RAM is mapped cached at its physical address, other memory below 4 GiB uncached; of the image,
//! code may run, constants may be read, and the rest may be written. Page 0 and the page under each
//! stack are not mapped, so that a null pointer or an overflow faults. A region of fresh addresses
//! far above RAM serves mappings made later.

use crate::image_layout::Image;
use crate::memory::{PAGE_BYTES, Pages};
use crate::start_info;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const UNCACHED: u64 = 1 << 3 | 1 << 4;
const IS_LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const LARGE_BYTES: u64 = 2 << 20;

/// Where mappings that are not at their physical address go: the middle of the lower half.
pub(crate) const FRESH_START: u64 = 1 << 46;
static FRESH_NEXT: AtomicU64 = AtomicU64::new(FRESH_START);
static ROOT: AtomicU64 = AtomicU64::new(0);

/// Maps a physical range twice, back to back, at fresh addresses: a ring in which no run of
/// bytes ever wraps. `None` when memory for the tables is short. The mapping stays for ever.
///
/// # Safety
/// `physical` is RAM that the caller owns for as long as anybody uses the mapping, page-aligned,
/// `bytes` long (a multiple of the page size), and only reached through the mapping from now on.
pub(crate) unsafe fn map_twice(physical: u64, bytes: usize) -> Option<NonNull<u8>> {
    let length = bytes as u64;
    // One page more stays unmapped, against a run past the end.
    let start = FRESH_NEXT.fetch_add(2 * length + PAGE_BYTES as u64, Ordering::Relaxed);
    for copy in [start, start + length] {
        map(PAGE, copy, physical, length, PRESENT | WRITABLE | NO_EXECUTE)?;
    }
    NonNull::new(start as *mut u8)
}

/// Maps a device's memory, cached, at fresh addresses. `None` when memory for the tables is short. The mapping stays for ever.
///
/// # Safety
/// The range is memory on a device, a multiple of the page size long, and only reached through the mapping.
pub(crate) unsafe fn map_cached(physical: u64, bytes: u64) -> Option<NonNull<u8>> {
    let is_large = physical.is_multiple_of(LARGE_BYTES) && bytes.is_multiple_of(LARGE_BYTES);
    let (level, align) = if is_large { (LARGE, LARGE_BYTES) } else { (PAGE, PAGE_BYTES as u64) };
    // Room for the alignment in front of it, and as much behind, so that no other mapping shares its large pages.
    let room = FRESH_NEXT.fetch_add(bytes + 2 * align, Ordering::Relaxed);
    let start = room.next_multiple_of(align);
    map(level, start, physical, bytes, PRESENT | WRITABLE | NO_EXECUTE)?;
    NonNull::new(start as *mut u8)
}

/// Whether what is mapped at this address is at the same physical one.
pub(crate) fn is_identity(address: u64) -> bool {
    address < FRESH_START
}

/// A device's registers, uncached. Below 4 GiB they are mapped already.
///
/// # Safety
/// The range is a device's, not RAM.
pub(crate) unsafe fn map_device(physical: u64, bytes: usize) -> NonNull<u8> {
    let end = physical + bytes as u64;
    if end > 1 << 32 {
        let start = physical & ADDRESS;
        let flags = PRESENT | WRITABLE | UNCACHED | NO_EXECUTE;
        map(PAGE, start, start, end - start, flags).expect("memory for page tables");
    }
    NonNull::new(physical as *mut u8).expect("no device is at address 0")
}

/// Maps a range behind all that is mapped where it is, cached, at its physical address: addresses without memory, onto which
/// other memory is put later. `None` when memory for the tables is short. The mapping stays for ever.
///
/// # Safety
/// Nothing is there, and nothing is reached there but what the caller has put there. Both numbers are multiples of 2 MiB.
pub(crate) unsafe fn map_vacant(physical: u64, bytes: usize) -> Option<NonNull<u8>> {
    map(LARGE, physical, physical, bytes as u64, PRESENT | WRITABLE | NO_EXECUTE)?;
    NonNull::new(physical as *mut u8)
}

/// Replaces the boot code's map. Called once.
pub(crate) fn start(image: &Image, image_end: u64) {
    let root = new_table().expect("memory for page tables");
    ROOT.store(root, Ordering::Relaxed);
    map_where_it_is(image, image_end).expect("memory for page tables");
    // SAFETY: the new tables map all that is in use, where it is.
    unsafe { core::arch::asm!("mov cr3, {}", in(reg) root, options(nostack)) }
}

/// Maps the image, what is below 4 GiB besides, and the RAM above, each at its physical address.
fn map_where_it_is(image: &Image, image_end: u64) -> Option<()> {
    const LOW_END: u64 = 1 << 32;
    const DATA: u64 = PRESENT | WRITABLE | NO_EXECUTE;
    let image_part = image_end.next_multiple_of(LARGE_BYTES);
    map_image(image, image_end, image_part)?;
    map(LARGE, image_part, image_part, LOW_END - image_part, DATA | UNCACHED)?;
    for region in start_info::ram() {
        // Whatever is beside it in its first and last 2 MiB is taken for RAM too.
        let start = (region.start & !(LARGE_BYTES - 1)).max(image_part);
        let end = region.end().min(FRESH_START).next_multiple_of(LARGE_BYTES);
        map(LARGE, start, start, end.saturating_sub(start), DATA)?;
    }
    Some(())
}

/// Maps what is below `end` page by page, with the permissions of the image's sections.
fn map_image(image: &Image, image_end: u64, end: u64) -> Option<()> {
    let only = |range: &Range<u64>, flags| {
        map(PAGE, range.start, range.start, range.end - range.start, flags)
    };
    only(&(0..end), PRESENT | WRITABLE | NO_EXECUTE)?;
    only(&image.boot, PRESENT)?;
    only(&image.text, PRESENT)?;
    only(&(image.text.end..image_end), PRESENT | NO_EXECUTE)?;
    for page in image.guards().into_iter().chain([0]) {
        only(&(page..page + PAGE_BYTES as u64), 0)?;
    }
    Some(())
}

/// The level of tables whose entries are pages of 4 KiB, and of those whose entries are large ones.
const PAGE: u32 = 1;
const LARGE: u32 = 2;

/// Fills the entries for `bytes` from an address on, which are multiples of the level's page size.
/// `None` when memory for tables is short or a large page is in the way.
///
/// No translation has to be dropped: in the tables in use, what is mapped stays as it is.
fn map(level: u32, start: u64, physical: u64, bytes: u64, flags: u64) -> Option<()> {
    let page_bytes = (PAGE_BYTES as u64) << (9 * (level - 1));
    let flags = if level == PAGE || flags == 0 { flags } else { flags | IS_LARGE };
    let mut done = 0;
    while done < bytes {
        let table = table(start + done, level)?;
        let first = index(start + done, level);
        for index in first..512.min(first + (bytes - done).div_ceil(page_bytes)) {
            set(slot(table, index), (physical + done) | flags);
            done += page_bytes;
        }
    }
    Some(())
}

/// The table of `level` that is responsible for an address, made if need be.
fn table(address: u64, level: u32) -> Option<u64> {
    let mut table = ROOT.load(Ordering::Relaxed);
    for above in (level + 1..=4).rev() {
        let slot = slot(table, index(address, above));
        let mut next = get(slot);
        if next & PRESENT == 0 {
            next = new_table()? | PRESENT | WRITABLE;
            set(slot, next);
        } else if next & IS_LARGE != 0 {
            return None;
        }
        table = next & ADDRESS;
    }
    Some(table)
}

fn index(address: u64, level: u32) -> u64 {
    address >> (12 + 9 * (level - 1)) & 511
}

fn slot(table: u64, index: u64) -> NonNull<u64> {
    NonNull::new((table + 8 * index) as *mut u64).expect("page tables are not at address 0")
}

fn get(entry: NonNull<u64>) -> u64 {
    // SAFETY: entries come from `slot`, over tables that `new_table` made.
    unsafe { entry.read_volatile() }
}

fn set(entry: NonNull<u64>, value: u64) {
    // SAFETY: entries come from `slot`, over tables that `new_table` made and nothing frees.
    unsafe { entry.write_volatile(value) }
}

/// An empty table; never freed.
fn new_table() -> Option<u64> {
    Pages::new(1, 1).map(|pages| pages.leak().as_ptr() as u64)
}

/// Tables of a test, which no CPU uses.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;

    /// Begins with empty ones. The process must have no other test of them.
    pub(crate) fn start() {
        ROOT.store(new_table().unwrap(), Ordering::Relaxed);
    }

    /// What is mapped at an address: where it physically is.
    pub(crate) fn physical(address: u64) -> Option<u64> {
        let mut table = ROOT.load(Ordering::Relaxed);
        for level in (1..=4).rev() {
            let entry = get(slot(table, index(address, level)));
            if entry & PRESENT == 0 {
                return None;
            }
            table = entry & ADDRESS;
            if level == PAGE || entry & IS_LARGE != 0 {
                let page_bytes = (PAGE_BYTES as u64) << (9 * (level - 1));
                return Some(table | address & (page_bytes - 1));
            }
        }
        None
    }
}
