//! Task state segment: the stacks that handlers run on (Intel SDM volume 3, section 8.7).

use crate::image_layout::Image;
use core::arch::asm;
use core::cell::UnsafeCell;

/// Its selector in the segment descriptor table.
const SELECTOR: u16 = 24;
const FIRST_STACK: usize = 9;

/// A CPU's own.
#[repr(C, align(16))]
pub(crate) struct TaskState(UnsafeCell<[u32; 26]>);

// SAFETY: written by `start` alone, before it is loaded; the CPU only reads it.
unsafe impl Sync for TaskState {}

impl TaskState {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new([0; 26]))
    }

    /// Has this CPU's exceptions run on the image's stacks for them. Called once, on the first CPU: they are
    /// its own.
    pub(crate) fn start(&'static self, image: &Image) {
        for (index, stack) in image.stacks[1..].iter().enumerate() {
            let word = self.0.get().cast::<u32>().wrapping_add(FIRST_STACK + 2 * index);
            // SAFETY: inside the segment, written before it is loaded.
            unsafe { word.cast::<u64>().write_unaligned(stack.end) }
        }
        let base = self.0.get() as u64;
        let limit = size_of::<Self>() as u64 - 1;
        let low =
            limit & 0xffff | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56;
        let descriptor = (image.segments as *mut u64).wrapping_add(usize::from(SELECTOR) / 8);
        // SAFETY: the table has this entry for just this, and nothing else writes it.
        unsafe { descriptor.write(low) }
        // SAFETY: as above; the descriptor takes two entries.
        unsafe { descriptor.wrapping_add(1).write(base >> 32) }
        // SAFETY: the descriptor is complete.
        unsafe { asm!("ltr {:x}", in(reg) SELECTOR, options(nostack)) }
    }
}
