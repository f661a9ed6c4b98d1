//! The address space: everything where it physically is, nothing both writable and executable.
//!
//! RAM is mapped cached at its physical address, other memory below 4 GiB uncached; of the image,
//! code may run, constants may be read, and the rest may be written. Page 0 and the page under each
//! stack are not mapped, so that a null pointer or an overflow faults. A region of fresh addresses
//! far above RAM serves mappings made later.

use crate::memory::{PAGE_BYTES, Pages};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const UNCACHED: u64 = 1 << 3 | 1 << 4;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const LARGE_BYTES: u64 = 2 << 20;

/// Where mappings that are not at their physical address go: the middle of the lower half.
const FRESH_START: u64 = 1 << 46;
static FRESH_NEXT: AtomicU64 = AtomicU64::new(FRESH_START);
static ROOT: AtomicU64 = AtomicU64::new(0);

/// The same physical range twice, back to back, at fresh addresses: a ring in which no run of
/// bytes ever wraps. `None` when memory for the tables is short. The mapping stays for ever.
///
/// # Safety
/// `physical` is RAM that the caller owns for as long as anybody uses the mapping, page-aligned,
/// `bytes` long (a multiple of the page size), and only reached through the mapping from now on.
pub unsafe fn map_twice(physical: u64, bytes: usize) -> Option<NonNull<u8>> {
    let length = bytes as u64;
    // One page more stays unmapped, against a run past the end.
    let start = FRESH_NEXT.fetch_add(2 * length + PAGE_BYTES as u64, Ordering::Relaxed);
    for offset in (0..length).step_by(PAGE_BYTES) {
        for copy in [start, start + length] {
            map_page(copy + offset, physical + offset, PRESENT | WRITABLE | NO_EXECUTE)?;
        }
    }
    NonNull::new(start as *mut u8)
}

/// A device's registers, uncached. Below 4 GiB they are mapped already.
///
/// # Safety
/// The range is a device's, not RAM.
pub(crate) unsafe fn map_device(physical: u64, bytes: usize) -> NonNull<u8> {
    let end = physical + bytes as u64;
    if end > 1 << 32 {
        for page in (physical & ADDRESS..end).step_by(PAGE_BYTES) {
            let flags = PRESENT | WRITABLE | UNCACHED | NO_EXECUTE;
            map_page(page, page, flags).expect("memory for page tables");
        }
    }
    NonNull::new(physical as *mut u8).expect("no device is at address 0")
}

/// Replaces the boot code's map.
#[cfg(feature = "runtime")]
pub(crate) fn install(info: &crate::start_info::StartInfo) {
    let root = new_table().expect("memory for page tables");
    ROOT.store(root, Ordering::Relaxed);
    let image_end = crate::memory::image_end();
    let is_ram = |address: u64| {
        let overlaps = |region: &crate::start_info::Region| {
            region.is_ram() && region.start < address + LARGE_BYTES && address < region.end()
        };
        info.regions().iter().any(overlaps)
    };
    for address in (0..1_u64 << 32).step_by(LARGE_BYTES as usize) {
        if address < image_end {
            map_image_part(address);
        } else {
            let cache = if is_ram(address) { 0 } else { UNCACHED };
            map_large(address, PRESENT | WRITABLE | NO_EXECUTE | cache);
        }
    }
    for region in info.regions().iter().filter(|region| region.is_ram() && region.end() > 1 << 32) {
        let start = region.start.max(1 << 32) & !(LARGE_BYTES - 1);
        for address in (start..region.end()).step_by(LARGE_BYTES as usize) {
            map_large(address, PRESENT | WRITABLE | NO_EXECUTE);
        }
    }
    // SAFETY: the new tables map all that is in use, where it is.
    unsafe { core::arch::asm!("mov cr3, {}", in(reg) root, options(nostack)) }
    // SAFETY: the RAM above 4 GiB has just been mapped, and this runs once.
    unsafe { crate::memory::install_high(info) }
}

/// Maps the 2 MiB at `base` page by page, with the permissions of the image's sections.
#[cfg(feature = "runtime")]
fn map_image_part(base: u64) {
    unsafe extern "C" {
        static text_start: u8;
        static text_end: u8;
        static constants_end: u8;
        static symbols: u8;
    }
    let text = &raw const text_start as u64..&raw const text_end as u64;
    let constants = text.end..&raw const constants_end as u64;
    let names = &raw const symbols as u64..crate::memory::image_end();
    for page in (base..base + LARGE_BYTES).step_by(PAGE_BYTES) {
        let flags = if page == 0 || is_guard(page) {
            continue;
        } else if text.contains(&page) {
            PRESENT
        } else if constants.contains(&page) || names.contains(&page) {
            PRESENT | NO_EXECUTE
        } else {
            PRESENT | WRITABLE | NO_EXECUTE
        };
        map_page(page, page, flags).expect("memory for page tables");
    }
}

/// Whether the address is in the page under a stack, where nothing is mapped.
#[cfg(feature = "runtime")]
pub(crate) fn is_guard(address: u64) -> bool {
    unsafe extern "C" {
        static stack_guards: u8;
        static boot_stack_end: u8;
        static exception_stack_end: u8;
    }
    let guards = [
        &raw const stack_guards as u64,
        &raw const boot_stack_end as u64,
        &raw const exception_stack_end as u64,
    ];
    guards.contains(&(address & ADDRESS))
}

/// Whether there is a word of the stack that programs run on at the address.
#[cfg(feature = "runtime")]
pub(crate) fn is_stack(address: u64) -> bool {
    unsafe extern "C" {
        static stack_guards: u8;
        static boot_stack_end: u8;
    }
    let words =
        &raw const stack_guards as u64 + PAGE_BYTES as u64..&raw const boot_stack_end as u64;
    words.contains(&address) && address.is_multiple_of(8)
}

#[cfg(feature = "runtime")]
fn map_large(address: u64, flags: u64) {
    let entry = entry(address, 2).expect("memory for page tables");
    set(entry, address | flags | LARGE);
}

fn map_page(virtual_address: u64, physical: u64, flags: u64) -> Option<()> {
    set(entry(virtual_address, 1)?, physical & ADDRESS | flags);
    // SAFETY: drops a translation that this CPU may have kept.
    unsafe {
        core::arch::asm!("invlpg [{}]", in(reg) virtual_address, options(nostack, preserves_flags));
    }
    Some(())
}

/// The entry for an address at `level` (1: 4 KiB, 2: 2 MiB), making the tables above it. `None`
/// when memory is short or a large page is in the way.
fn entry(address: u64, level: u32) -> Option<NonNull<u64>> {
    let mut table = ROOT.load(Ordering::Relaxed);
    for above in (level + 1..=4).rev() {
        let slot = slot(table, address, above);
        let mut next = get(slot);
        if next & PRESENT == 0 {
            next = new_table()? | PRESENT | WRITABLE;
            set(slot, next);
        } else if next & LARGE != 0 {
            return None;
        }
        table = next & ADDRESS;
    }
    Some(slot(table, address, level))
}

fn slot(table: u64, address: u64, level: u32) -> NonNull<u64> {
    let index = address >> (12 + 9 * (level - 1)) & 511;
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
