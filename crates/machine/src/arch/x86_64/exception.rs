//! Faults of the CPU: reported with registers and a backtrace, and the end of the machine.

use crate::arch::paging;
use crate::symbols::Place;
use crate::{backtrace, interrupt, power};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

global_asm!(include_str!("exception.s"), options(att_syntax));

unsafe extern "C" {
    static exception_entries: [u64; EXCEPTIONS];
    static exception_stack_end: u8;
    static double_fault_stack_end: u8;
    static mut gdt: [u64; 5];
}

const EXCEPTIONS: usize = 32;
const DOUBLE_FAULT: usize = 8;
const PAGE_FAULT: u64 = 14;
const TASK_SELECTOR: u16 = 24;

/// A report is being written.
static REPORTING: AtomicBool = AtomicBool::new(false);

/// Loads the table of handlers and their stacks.
pub(crate) fn install() {
    install_stacks();
    // SAFETY: a constant of the assembly.
    let entries = unsafe { &exception_entries };
    for (vector, &entry) in entries.iter().enumerate() {
        let stack = if vector == DOUBLE_FAULT { 2 } else { 1 };
        // SAFETY: these handlers never return.
        unsafe { interrupt::set_gate(vector as u8, entry, stack) }
    }
    interrupt::load();
}

/// What `exception.s` saved, in memory order.
#[repr(C)]
struct Frame {
    general: [u64; 15],
    vector: u64,
    code: u64,
    instruction: u64,
    code_segment: u64,
    flags: u64,
    stack: u64,
    stack_segment: u64,
}

/// Tells all there is to tell, and ends the machine.
#[unsafe(no_mangle)]
extern "C" fn exception_report(frame: &mut Frame) -> ! {
    const GENERAL: [&str; 15] = [
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8 ", "r9 ", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    let address: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack)) }
    let again = REPORTING.swap(true, Ordering::Relaxed);
    let mut out = crate::console::Emergency::take();
    out.line(format_args!(
        "fault: {} at {}, code {:#x}, address {address:#018x}",
        name(frame.vector),
        Place::of(frame.instruction),
        frame.code,
    ));
    if again {
        // In the report itself, perhaps for what the first fault has destroyed.
        power::fail()
    }
    if frame.vector == PAGE_FAULT && paging::is_guard(address) {
        out.line(format_args!("the stack is full"));
    }
    out.line(format_args!("rip {:#018x}  rsp {:#018x}", frame.instruction, frame.stack));
    for (names, values) in GENERAL.chunks(3).zip(frame.general.chunks(3)) {
        for (name, value) in names.iter().zip(values) {
            out.text(format_args!("{name} {value:#018x}  "));
        }
        out.line(format_args!(""));
    }
    out.line(format_args!("flags {:#x}", frame.flags));
    return_from_nowhere(frame);
    backtrace::write(&mut out);
    power::fail()
}

/// A call of what is no code has left the caller's address on the stack, and nothing else tells who
/// it was: the backtrace is to begin there.
fn return_from_nowhere(frame: &mut Frame) {
    const FETCH: u64 = 1 << 4;
    if frame.vector == PAGE_FAULT && frame.code & FETCH != 0 && paging::is_stack(frame.stack) {
        // SAFETY: an aligned word of the stack that was in use.
        frame.instruction = unsafe { (frame.stack as *const u64).read() };
        frame.stack += 8;
    }
}

fn name(vector: u64) -> &'static str {
    match vector {
        0 => "division error",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        6 => "invalid instruction",
        8 => "double fault",
        12 => "stack fault",
        13 => "protection fault",
        14 => "page fault",
        16 | 19 => "floating point error",
        17 => "alignment check",
        18 => "machine check",
        _ => "exception",
    }
}

/// The task state segment holds the stacks that handlers run on (Intel SDM volume 3, section 8.7).
fn install_stacks() {
    #[repr(C, align(16))]
    struct TaskState(UnsafeCell<[u32; 26]>);
    // SAFETY: written here once, before it is loaded; the CPU only reads it.
    unsafe impl Sync for TaskState {}
    static STATE: TaskState = TaskState(UnsafeCell::new([0; 26]));
    const FIRST_STACK: usize = 9;

    let stacks = [&raw const exception_stack_end as u64, &raw const double_fault_stack_end as u64];
    for (index, stack) in stacks.into_iter().enumerate() {
        let word = STATE.0.get().cast::<u32>().wrapping_add(FIRST_STACK + 2 * index);
        // SAFETY: inside the segment, written before it is loaded.
        unsafe { word.cast::<u64>().write_unaligned(stack) }
    }
    let base = STATE.0.get() as u64;
    let limit = size_of::<TaskState>() as u64 - 1;
    let low = limit & 0xffff | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56;
    let descriptor = (&raw mut gdt).cast::<u64>().wrapping_add(usize::from(TASK_SELECTOR) / 8);
    // SAFETY: the table has this entry for just this, and nothing else writes it.
    unsafe { descriptor.write(low) }
    // SAFETY: as above; the descriptor takes two entries.
    unsafe { descriptor.wrapping_add(1).write(base >> 32) }
    // SAFETY: the descriptor is complete.
    unsafe { asm!("ltr {:x}", in(reg) TASK_SELECTOR, options(nostack)) }
}
