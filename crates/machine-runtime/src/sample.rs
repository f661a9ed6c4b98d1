//! Samples: the handler of the interrupt that [`machine::profile`] has the timer raise.

use crate::backtrace;
use core::arch::global_asm;

global_asm!(include_str!("sample.s"), options(att_syntax));

/// Called by the assembly above, whatever it has interrupted: nothing here may allocate, lock or panic.
#[unsafe(no_mangle)]
extern "C" fn sample_taken() {
    machine::profile::sample(backtrace::interrupted);
}
