//! What a freestanding binary lacks: panics that unwind, and backtraces.

use crate::console::Emergency;
use crate::power;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::ffi::c_void;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};
use unwinding::abi::{_Unwind_Backtrace, _Unwind_GetIP, UnwindContext, UnwindReasonCode};
use unwinding::panic::{begin_panic, catch_unwind};

/// A panic is on its way to whoever catches it.
static PANICKING: AtomicBool = AtomicBool::new(false);

/// Runs `body`; a panic in it ends here, with everything it owned dropped, and gives its message.
pub fn catch_panic(body: &mut dyn FnMut()) -> Result<(), String> {
    catch_unwind(body).map_err(|payload| {
        PANICKING.store(false, Ordering::Relaxed);
        payload.downcast::<String>().map_or_else(|_| "a panic".to_string(), |message| *message)
    })
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if PANICKING.swap(true, Ordering::Relaxed) {
        fatal(format_args!("panic while panicking: {info}"));
    }
    let message = match info.location() {
        Some(place) => format!("{} ({}:{})", info.message(), place.file(), place.line()),
        None => info.message().to_string(),
    };
    let code = begin_panic(Box::new(message));
    // Nobody catches it: not a task's failure but the machine's.
    fatal(format_args!("panic: {info} (unwinding gave {})", code.0))
}

fn fatal(message: core::fmt::Arguments<'_>) -> ! {
    let mut out = Emergency::take();
    out.line(message);
    backtrace(&mut out);
    power::fail()
}

/// Writes the return addresses from here up, through a fault if there is one.
pub(crate) fn backtrace(out: &mut Emergency) {
    /// More frames than this say nothing new.
    const FRAMES_MAX: usize = 64;
    struct Walk<'a> {
        out: &'a mut Emergency,
        frames: usize,
    }
    extern "C" fn frame(context: &UnwindContext<'_>, walk: *mut c_void) -> UnwindReasonCode {
        // SAFETY: the walk that `backtrace` passed, used by nobody else meanwhile.
        let walk = unsafe { &mut *walk.cast::<Walk<'_>>() };
        walk.out.line(format_args!("  {:2}: {:#018x}", walk.frames, _Unwind_GetIP(context)));
        walk.frames += 1;
        if walk.frames == FRAMES_MAX {
            UnwindReasonCode::NORMAL_STOP
        } else {
            UnwindReasonCode::NO_REASON
        }
    }
    out.line(format_args!("backtrace:"));
    let mut walk = Walk { out, frames: 0 };
    _Unwind_Backtrace(frame, (&raw mut walk).cast());
}
