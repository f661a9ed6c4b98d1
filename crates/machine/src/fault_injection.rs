//! Fault injection: what the machine must survive or report, done on purpose. For the trial image; where
//! nobody calls it, the linker leaves it out.

use crate::memory::{PAGE_BYTES, Pages};
use core::arch::asm;
use core::hint::black_box;

/// A fault of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Reading through a null pointer.
    Null,
    /// Calling deeper than the stack.
    Stack,
    /// Writing to the image's code.
    WriteCode,
    /// Writing to the image's constants.
    WriteConstant,
    /// Running what is in the heap.
    RunHeap,
    /// An instruction that is none.
    Instruction,
}

impl Fault {
    /// By its name in a test's request.
    pub fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"null" => Self::Null,
            b"stack" => Self::Stack,
            b"write-code" => Self::WriteCode,
            b"write-constant" => Self::WriteConstant,
            b"run-heap" => Self::RunHeap,
            b"instruction" => Self::Instruction,
            _ => return None,
        })
    }
}

/// Causes it, which ends the machine with a report; it returns if that does not happen.
pub fn fault(fault: Fault) {
    static CONSTANT: [u8; 16] = [1; 16];
    match fault {
        // SAFETY: nothing is mapped at 0, and the value goes nowhere.
        Fault::Null => unsafe {
            asm!("mov {0}, qword ptr [{0}]", inout(reg) 0_u64 => _, options(nostack, readonly));
        },
        Fault::Stack => {
            black_box(deeper(0));
        }
        Fault::WriteCode => write(black_box(deeper as *const () as *mut u8)),
        Fault::WriteConstant => write(black_box(CONSTANT.as_ptr().cast_mut())),
        Fault::RunHeap => {
            const RETURN: u8 = 0xc3;
            let Some(pages) = Pages::new(1, 1) else { return };
            let code = pages.as_ptr().as_ptr();
            // SAFETY: the first of a page's bytes, which are this function's.
            unsafe { code.write_volatile(RETURN) }
            // SAFETY: returns at once, if it is run at all.
            unsafe { asm!("call {}", in(reg) code, clobber_abi("C")) }
        }
        // SAFETY: changes nothing but the course of things.
        Fault::Instruction => unsafe { asm!("ud2", options(nomem, nostack)) },
    }
}

/// Writes back what is there: harmless where it is allowed.
fn write(address: *mut u8) {
    // SAFETY: the image's own bytes.
    let value = unsafe { address.read_volatile() };
    // SAFETY: the value does not change; where the page is read-only, the machine ends.
    unsafe { address.write_volatile(value) }
}

#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; PAGE_BYTES / 64]);
    if frame[0] == u64::MAX { 0 } else { deeper(depth + 1) + black_box(&frame)[1] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_names() {
        let names =
            ["null", "stack", "write-code", "write-constant", "run-heap", "instruction", ""];
        let faults = names.map(|name| Fault::named(name.as_bytes()));
        let expected = [
            Some(Fault::Null),
            Some(Fault::Stack),
            Some(Fault::WriteCode),
            Some(Fault::WriteConstant),
            Some(Fault::RunHeap),
            Some(Fault::Instruction),
            None,
        ];
        assert_eq!(faults, expected);
    }
}
