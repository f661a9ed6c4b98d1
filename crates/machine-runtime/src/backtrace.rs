//! Backtraces: who called whom, when something went wrong.

use core::ffi::c_void;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use heapless::Vec;
use machine::clock;
use machine::console::Emergency;
use machine::symbols::Location;
use unwinding::abi::{_Unwind_Backtrace, _Unwind_GetIPInfo, UnwindContext, UnwindReasonCode};

/// Functions that only lead from a panic to its report.
const MACHINERY: [&str; 7] = [
    "core::panicking::",
    "machine_runtime::panic::",
    "machine_runtime::backtrace::",
    "unwinding::",
    "__rustc::",
    "_Unwind_",
    "exception_",
];

/// Writes the return addresses from here up, through a fault if there is one.
pub(crate) fn write(out: &mut Emergency) {
    /// More frames than this say nothing new.
    const FRAMES_MAX: usize = 64;
    out.line(format_args!("backtrace:"));
    let mut frames = 0;
    walk(&mut |location| {
        out.line(format_args!("  {frames:2}: {location}"));
        frames += 1;
        frames < FRAMES_MAX
    });
}

/// The callers at one moment, innermost first.
pub(crate) struct Backtrace {
    frames: Vec<Location, { Self::FRAMES_MAX }>,
}

impl Backtrace {
    /// A handler's own functions and the executor below it.
    const FRAMES_MAX: usize = 16;
    /// A console carries about ten backtraces a second and a loop of panics makes thousands, which look
    /// alike: one in this time tells as much, and the others cost nothing.
    const PAUSE: Duration = Duration::from_secs(1);

    /// The callers now, unless there has been a backtrace just before.
    pub(crate) fn take() -> Option<Self> {
        /// When one may be taken again, in nanoseconds since the start.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let now = clock::now();
        if now < Duration::from_nanos(NEXT.load(Ordering::Relaxed)) {
            return None;
        }
        let next = u64::try_from((now + Self::PAUSE).as_nanos()).unwrap_or(u64::MAX);
        NEXT.store(next, Ordering::Relaxed);
        let mut frames = Vec::new();
        walk(&mut |location| frames.push(location).is_ok());
        Some(Self { frames })
    }

    /// One line in the log for each caller.
    pub(crate) fn log(&self) {
        for (number, location) in self.frames.iter().enumerate() {
            log::error!("  {number:2}: {location}");
        }
    }
}

/// A line for each caller.
impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut callers = self.frames.iter().enumerate();
        callers.try_for_each(|(number, location)| writeln!(f, "{number:2}: {location}"))
    }
}

/// Gives where an interrupt has come, and the return addresses of that code's callers, innermost first, to `visit`, until that has
/// had enough. Addresses only: a name costs a search.
pub(crate) fn interrupted(visit: &mut dyn FnMut(u64) -> bool) {
    struct Walk<'a> {
        visit: &'a mut dyn FnMut(u64) -> bool,
        is_outside: bool,
    }
    extern "C" fn frame(context: &UnwindContext<'_>, walk: *mut c_void) -> UnwindReasonCode {
        // SAFETY: the walk of the function around this one, used by nobody else meanwhile.
        let walk = unsafe { &mut *walk.cast::<Walk<'_>>() };
        let mut interrupted = 0;
        let address = _Unwind_GetIPInfo(context, &mut interrupted) as u64;
        walk.is_outside |= interrupted != 0;
        if !walk.is_outside || (walk.visit)(address) {
            UnwindReasonCode::NO_REASON
        } else {
            UnwindReasonCode::NORMAL_STOP
        }
    }
    let mut walk = Walk { visit, is_outside: false };
    _Unwind_Backtrace(frame, (&raw mut walk).cast());
}

/// Gives each caller to `visit`, innermost first, until that has had enough.
fn walk(visit: &mut dyn FnMut(Location) -> bool) {
    struct Walk<'a> {
        visit: &'a mut dyn FnMut(Location) -> bool,
        in_machinery: bool,
    }
    extern "C" fn frame(context: &UnwindContext<'_>, walk: *mut c_void) -> UnwindReasonCode {
        // SAFETY: the walk of the function around this one, used by nobody else meanwhile.
        let walk = unsafe { &mut *walk.cast::<Walk<'_>>() };
        let mut interrupted = 0;
        let address = _Unwind_GetIPInfo(context, &mut interrupted) as u64;
        let location =
            if interrupted == 0 { Location::of_return(address) } else { Location::of(address) };
        walk.in_machinery &= interrupted == 0 && location.is_in(&MACHINERY);
        if walk.in_machinery || (walk.visit)(location) {
            UnwindReasonCode::NO_REASON
        } else {
            UnwindReasonCode::NORMAL_STOP
        }
    }
    let mut walk = Walk { visit, in_machinery: true };
    _Unwind_Backtrace(frame, (&raw mut walk).cast());
}
