//! Task state segment: the stacks that handlers run on (Intel SDM volume 3, section 8.7).

use crate::image_layout::Image;
use core::arch::asm;
use hermit_sync::ExclusiveCell;

/// Its selector in the segment descriptor table.
const SELECTOR: u16 = 24;
const FIRST_STACK: usize = 9;

/// A CPU's own.
pub(crate) struct TaskState(ExclusiveCell<Segment>);

type Segment = [u32; 26];

impl TaskState {
    pub(crate) const fn new() -> Self {
        Self(ExclusiveCell::new([0; 26]))
    }

    /// Has this CPU's exceptions run on the image's stacks for them. Called once, on the first CPU: they are
    /// its own.
    pub(crate) fn start(&'static self, image: &Image) {
        let segment = self.0.take().expect("one start");
        let (words, _) = segment[FIRST_STACK..].as_chunks_mut::<2>();
        for (word, stack) in words.iter_mut().zip(&image.stacks[1..]) {
            *word = [stack.end as u32, (stack.end >> 32) as u32];
        }
        let base = segment.as_ptr() as u64;
        let limit = size_of::<Segment>() as u64 - 1;
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
