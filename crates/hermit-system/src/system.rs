//! The rest of the system: clocks, the console, sleeping and the end.

use core::arch::asm;
use core::time::Duration;
use hermit_abi::{
    CLOCK_MONOTONIC, CLOCK_REALTIME, FUTEX_RELATIVE_TIMEOUT, STDOUT_FILENO, clock_gettime,
    clockid_t, exit, futex_wait, timespec,
};

/// Time since the kernel's clock began; never goes back.
pub fn now() -> Duration {
    clock(CLOCK_MONOTONIC)
}

/// Time since 1970-01-01 00:00 UTC.
pub fn wall_clock() -> Duration {
    clock(CLOCK_REALTIME)
}

/// Writes text to the console, and waits until it is there.
pub fn write(text: &str) {
    // SAFETY: the bytes are readable. What the console does not take has no other place to go.
    let _ = unsafe { hermit_abi::write(STDOUT_FILENO, text.as_ptr(), text.len()) };
}

/// Lets the CPU sleep for so long, or other threads work.
pub fn sleep(duration: Duration) {
    // Not `usleep`, which keeps the CPU busy for all that is shorter than 10 ms.
    let mut nobody = 0;
    let timeout =
        timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos() as i32 };
    // SAFETY: word and timeout are there until the call is over; nobody else knows of the word.
    let _ = unsafe { futex_wait(&raw mut nobody, 0, &raw const timeout, FUTEX_RELATIVE_TIMEOUT) };
}

/// Lets other threads work.
pub(crate) fn give_way() {
    // SAFETY: touches no memory of ours.
    unsafe { hermit_abi::yield_now() }
}

/// Ends the machine that cannot go on; QEMU exits with code 33 where it has `isa-debug-exit`.
pub fn fail() -> ! {
    const DEBUG_EXIT_PORT: u16 = 0xf4;
    const FAILURE: u32 = 16;
    // SAFETY: a port that either is this device or nothing; there is no memory behind it.
    unsafe {
        asm!("out dx, eax", in("dx") DEBUG_EXIT_PORT, in("eax") FAILURE, options(nomem, nostack));
    }
    end(1)
}

/// Ends the kernel.
pub(crate) fn end(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { exit(code) }
}

fn clock(clock: clockid_t) -> Duration {
    let mut time = timespec::default();
    // SAFETY: there is room for the time.
    let outcome = unsafe { clock_gettime(clock, &raw mut time) };
    debug_assert_eq!(outcome, 0, "both clocks exist");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
