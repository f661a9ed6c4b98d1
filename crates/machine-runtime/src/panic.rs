//! Panics that unwind, and the heap: a panic ends the task that it is about, and for want of memory, too.

use crate::backtrace::{self, Backtrace};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::alloc::Layout;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use hermit_sync::OnceCell;
use machine::console::Emergency;
use machine::memory::Heap;
use machine::power;
use unwinding::panic::{begin_panic, catch_unwind};

#[global_allocator]
pub(crate) static HEAP: Heap = Heap::new();

/// How many calls of [`catch_panic`] are under way: without one, nobody would catch a panic.
static CATCHERS: AtomicUsize = AtomicUsize::new(0);
/// Who takes note of panics that were caught.
static NOTE: OnceCell<Note> = OnceCell::new();

/// Is given a panic's message, with its place in brackets at the end, and the backtrace, if there is one.
pub type Note = fn(&str, Option<String>);

/// Has `note` called with each panic that [`catch_panic`] catches, from now on.
pub fn note_panics(note: Note) {
    // The first stays.
    let _ = NOTE.set(note);
}

/// A panic is on its way to whoever catches it.
static PANICKING: AtomicBool = AtomicBool::new(false);

/// What a panic carries to whoever catches it. The log has to wait until then: the panic may have
/// come from inside of it.
struct Failure {
    message: String,
    backtrace: Option<Backtrace>,
}

/// Runs `body`; a panic in it ends here, with everything it owned dropped, and gives its message.
/// The log has where it came from, at most once a second.
pub fn catch_panic(body: &mut dyn FnMut()) -> Result<(), String> {
    // One CPU: load and store count right.
    let catchers = CATCHERS.load(Ordering::Relaxed);
    CATCHERS.store(catchers + 1, Ordering::Relaxed);
    let outcome = catch_unwind(body);
    CATCHERS.store(catchers, Ordering::Relaxed);
    outcome.map_err(|payload| {
        PANICKING.store(false, Ordering::Relaxed);
        let message = match payload.downcast::<Failure>() {
            Ok(failure) => {
                if let Some(backtrace) = &failure.backtrace {
                    log::error!("panic: {}", failure.message);
                    backtrace.log();
                }
                if let Some(note) = NOTE.get() {
                    note(&failure.message, failure.backtrace.as_ref().map(ToString::to_string));
                }
                failure.message
            }
            Err(_) => "a panic".to_string(),
        };
        HEAP.refill_reserve();
        message
    })
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if PANICKING.swap(true, Ordering::Relaxed) {
        fatal(format_args!("panic while panicking: {info}"));
    }
    if CATCHERS.load(Ordering::Relaxed) == 0 {
        // Not a task's failure but the machine's, and the boot code cannot unwind.
        fatal(format_args!("panic: {info}"));
    }
    let backtrace = Backtrace::take();
    HEAP.open_reserve();
    let message = match info.location() {
        Some(place) => format!("{} ({}:{})", info.message(), place.file(), place.line()),
        None => info.message().to_string(),
    };
    let code = begin_panic(Box::new(Failure { message, backtrace }));
    // Only when the image has no unwinding tables for who is to catch it.
    fatal(format_args!("panic: {info} (unwinding gave {})", code.0))
}

/// Memory is short: the task that asked for it panics, and what it held is free again.
#[alloc_error_handler]
fn out_of_memory(layout: Layout) -> ! {
    panic!("no memory for {} bytes", layout.size());
}

fn fatal(message: core::fmt::Arguments<'_>) -> ! {
    let mut out = Emergency::take();
    out.line(message);
    backtrace::write(&mut out);
    power::fail()
}
