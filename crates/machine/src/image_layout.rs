//! Image layout: where the parts of the linked image are, which only its linker script and its assembly know.

use crate::memory::{Heap, PAGE_BYTES};
use core::ops::Range;
use hermit_sync::OnceCell;

/// An image, by addresses. All of them are right: who calls `boot::bring_up` vouches for
/// that, and an image reaches this crate in no other way.
pub struct Image {
    /// The code that runs first, at the image's beginning.
    pub boot: Range<u64>,
    /// All other code. What follows it, up to the image's end, is constant.
    pub text: Range<u64>,
    /// The table of functions' names, which is last in the image.
    pub symbols: u64,
    /// The stacks: of programs, of exceptions, and of the double fault. The page under each belongs to
    /// it, and is left unmapped.
    pub stacks: [Range<u64>; 3],
    /// The segment descriptor table, whose last two entries are free for the task state segment.
    pub segments: u64,
    /// Where the CPU goes on.
    pub handlers: Handlers,
    /// Waits for one interrupt, with interrupts enabled meanwhile.
    pub idle: unsafe extern "C" fn(),
    /// What is to own all RAM.
    pub heap: &'static Heap,
}

/// Entries of exception and interrupt handlers. Those of interrupts set their flag.
pub struct Handlers {
    /// Of exceptions, by vector. They do not return.
    pub exceptions: &'static [Handler; 32],
    /// Of interrupt lines, by number.
    pub lines: &'static [Handler; 56],
    /// Of the interrupt that takes a sample: calls [`profile::sample`](crate::profile::sample).
    pub sample: Handler,
    /// Of interrupts that are nobody's: acknowledges.
    pub unclaimed: Handler,
    /// Of what is not to be acknowledged: does nothing.
    pub ignored: Handler,
}

/// The entry of a handler, which the CPU may go on at whenever it likes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Handler(unsafe extern "C" fn());

impl Handler {
    /// One that begins there.
    ///
    /// # Safety
    /// It keeps every register and ends in `iretq`, or does not return.
    pub const unsafe fn new(entry: unsafe extern "C" fn()) -> Self {
        Self(entry)
    }

    /// Where the CPU is to go on.
    pub(crate) fn address(self) -> u64 {
        self.0 as *const () as u64
    }
}

static IMAGE: OnceCell<Image> = OnceCell::new();

/// Keeps what the image's start says; `None` where it has been said before.
pub(crate) fn install(image: Image) -> Option<&'static Image> {
    IMAGE.set(image).ok()?;
    running()
}

/// The image that runs; `None` on a host.
pub(crate) fn running() -> Option<&'static Image> {
    IMAGE.get()
}

/// Whether the address is in the page under a stack, where nothing is mapped.
pub fn is_stack_guard(address: u64) -> bool {
    running().is_some_and(|image| image.is_stack_guard(address))
}

/// Whether there is a word of the stack that programs run on at the address.
pub fn is_stack(address: u64) -> bool {
    running().is_some_and(|image| image.is_stack(address))
}

impl Image {
    /// The page under each stack.
    pub(crate) fn guards(&self) -> [u64; 3] {
        self.stacks.each_ref().map(|stack| stack.start - PAGE_BYTES as u64)
    }

    fn is_stack_guard(&self, address: u64) -> bool {
        self.guards().contains(&(address & !(PAGE_BYTES as u64 - 1)))
    }

    fn is_stack(&self, address: u64) -> bool {
        self.stacks[0].contains(&address) && address.is_multiple_of(8)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    extern "C" fn nothing() {}

    /// One with stacks at 0x2000, 0x6000 and 0x9000, and its table of symbols there. It never runs.
    pub(crate) fn image_of(symbols: u64) -> Image {
        const NOTHING: Handler = Handler(nothing);
        static HEAP: Heap = Heap::new();
        Image {
            boot: 0..1,
            text: 1..2,
            symbols,
            stacks: [0x2000..0x4000, 0x6000..0x7000, 0x9000..0xa000],
            segments: 0,
            handlers: Handlers {
                exceptions: &[NOTHING; 32],
                lines: &[NOTHING; 56],
                sample: NOTHING,
                unclaimed: NOTHING,
                ignored: NOTHING,
            },
            idle: nothing,
            heap: &HEAP,
        }
    }

    #[test]
    fn the_page_under_each_stack_is_its_guard() {
        let image = image_of(0);
        for (address, is_guard) in [
            (0xfff, false),
            (0x1000, true),
            (0x1fff, true),
            (0x2000, false),
            (0x4fff, false),
            (0x5abc, true),
            (0x6000, false),
            (0x8000, true),
            (0x9000, false),
        ] {
            assert_eq!(image.is_stack_guard(address), is_guard, "{address:#x}");
        }
        assert!(!is_stack_guard(0x1000), "a process has none");
    }

    #[test]
    fn programs_have_the_first_stack_and_whole_words_of_it() {
        let image = image_of(0);
        let all = [0x1ff8, 0x2000, 0x2004, 0x3ff8, 0x3fff, 0x4000, 0x6000];
        let found = all.map(|address| image.is_stack(address));
        assert_eq!(found, [false, true, false, true, false, false, false]);
        assert!(!is_stack(0x2000), "a process has none");
    }
}
