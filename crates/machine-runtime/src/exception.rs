//! CPU exceptions: reported with registers and a backtrace, and the end of the machine (Intel SDM volume
//! 3, chapter 6).

use crate::backtrace;
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, Ordering};
use machine::console::Emergency;
use machine::symbols::Location;
use machine::{image_layout, power};

global_asm!(include_str!("exception.s"), options(att_syntax));

const PAGE_FAULT: u64 = 14;

/// A report is being written.
static REPORTING: AtomicBool = AtomicBool::new(false);

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
    let mut out = Emergency::take();
    out.line(format_args!(
        "fault: {} at {}, code {:#x}, address {address:#018x}",
        name(frame.vector),
        Location::of(frame.instruction),
        frame.code,
    ));
    if again {
        // In the report itself, perhaps for what the first fault has destroyed.
        power::fail()
    }
    if frame.vector == PAGE_FAULT && image_layout::is_stack_guard(address) {
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
    if frame.vector == PAGE_FAULT && frame.code & FETCH != 0 && image_layout::is_stack(frame.stack)
    {
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
