//! `getrandom(2)`: crates that ask Linux for random bytes get them of the machine's generator.
//!
//! The image is compiled for Linux' ABI and has no C library. Of that the crate `getrandom` asks for two symbols, which are
//! here: `syscall(2)`, with this one number, and `errno(3)`.

use core::ffi::{c_int, c_long, c_uint};
use core::ptr::copy_nonoverlapping;
use core::sync::atomic::{AtomicI32, Ordering};

/// Linux' number of the call on x86-64, and its errors.
const SYS_GETRANDOM: c_long = 318;
const EIO: c_int = 5;
const ENOSYS: c_int = 38;

/// Of the last call that failed. There is one CPU, and no task is interrupted.
static ERRNO: AtomicI32 = AtomicI32::new(0);

/// Bytes copied at once.
const PIECE_BYTES: usize = 256;

/// As declared, it takes any number of arguments; on x86-64 the first six are where those of any function are.
///
/// # Safety
/// `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    buffer: *mut u8,
    length: usize,
    _flags: c_uint,
) -> c_long {
    if number != SYS_GETRANDOM {
        return failed(ENOSYS);
    }
    let mut piece = [0; PIECE_BYTES];
    let mut filled = 0;
    while filled < length {
        let count = (length - filled).min(PIECE_BYTES);
        if machine::entropy::fill(&mut piece[..count]).is_err() {
            return failed(EIO);
        }
        // SAFETY: `filled + count` is at most `length`, for which the caller has room at `buffer`.
        let place = unsafe { buffer.add(filled) };
        // SAFETY: the same, and a piece on our stack overlaps nobody's buffer.
        unsafe { copy_nonoverlapping(piece.as_ptr(), place, count) };
        filled += count;
    }
    // What went out is not to be found on the stack later.
    piece.fill(0);
    core::hint::black_box(&mut piece);
    filled as c_long
}

#[unsafe(no_mangle)]
extern "C" fn __errno_location() -> *mut c_int {
    ERRNO.as_ptr()
}

fn failed(error: c_int) -> c_long {
    ERRNO.store(error, Ordering::Relaxed);
    -1
}
