//! Interrupt descriptor table (Intel SDM volume 3, section 6.14), which all CPUs share.

use crate::image_layout::{Handler, Handlers};
use core::arch::asm;
use hermit_sync::OneShotMutex;

/// How many interrupt lines there are.
pub(crate) const LINES: usize = 56;
/// The vector of line 0; those below belong to exceptions.
const FIRST_VECTOR: u8 = 32;
/// What the local APIC raises when an interrupt went away; it is not acknowledged (section 11.9).
pub(crate) const SPURIOUS_VECTOR: u8 = 0xff;

/// What the timer raises while samples are taken. Its priority is above that of the lines (section 11.8.3.1).
pub(crate) const SAMPLE_VECTOR: u8 = 0xf0;
/// The task priority that keeps all lines away.
pub(crate) const LINES_PRIORITY: u8 = (FIRST_VECTOR + LINES as u8 - 1) >> 4;
const _: () = assert!(LINES_PRIORITY < SAMPLE_VECTOR >> 4);

const GATES: usize = 256;
const CODE_SELECTOR: u64 = 8;
const PRESENT_INTERRUPT_GATE: u64 = 0x8e;
const DOUBLE_FAULT: usize = 8;

static TABLE: OneShotMutex<[[u64; 2]; GATES]> = OneShotMutex::new([[0; 2]; GATES]);

/// The vector of an interrupt line.
pub(crate) fn line_vector(line: u8) -> u8 {
    FIRST_VECTOR + line
}

/// Points the vectors of exceptions at their handlers, which run on stacks of their own, and loads the
/// table. Called once.
pub(crate) fn start(handlers: &Handlers) {
    for (vector, &handler) in handlers.exceptions.iter().enumerate() {
        let stack = if vector == DOUBLE_FAULT { 2 } else { 1 };
        set_gate(vector as u8, handler, stack);
    }
    load();
}

/// Points the vectors of interrupts at their handlers.
pub(crate) fn set_interrupts(handlers: &Handlers) {
    for vector in FIRST_VECTOR..SPURIOUS_VECTOR {
        set_gate(vector, handlers.unclaimed, 0);
    }
    // The APIC wants no acknowledgement of this one.
    set_gate(SPURIOUS_VECTOR, handlers.ignored, 0);
    // On the stack of exceptions: the code below is any.
    set_gate(SAMPLE_VECTOR, handlers.sample, 1);
    for (vector, &handler) in (FIRST_VECTOR..).zip(handlers.lines) {
        set_gate(vector, handler, 0);
    }
}

/// Points a vector at a handler that runs on the stack of that number in the task state
/// segment (0: the current one).
pub(crate) fn set_gate(vector: u8, handler: Handler, stack: u64) {
    let handler = handler.address();
    let low = handler & 0xffff
        | CODE_SELECTOR << 16
        | stack << 32
        | PRESENT_INTERRUPT_GATE << 40
        | (handler >> 16 & 0xffff) << 48;
    TABLE.lock()[usize::from(vector)] = [low, handler >> 32];
}

fn load() {
    #[repr(C, packed)]
    struct Pointer {
        limit: u16,
        base: u64,
    }
    const LIMIT: usize = size_of::<[[u64; 2]; GATES]>() - 1;
    let pointer = Pointer { limit: LIMIT as u16, base: TABLE.data_ptr() as u64 };
    // SAFETY: the table is a static, filled before any interrupt or exception is expected.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(nostack)) }
}
