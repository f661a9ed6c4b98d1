//! Start: from the kernel's call to the application's `main`.

use crate::handover::Handover;
use crate::panic;
use crate::power_button::PowerButton;
use crate::system;
use core::ffi::{CStr, c_char};
use core::slice;

/// What the application is started with.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The boot module; empty where there is none.
    pub module: &'static [u8],
    /// The hypervisor's command line; empty where that is not UTF-8.
    pub command_line: &'static str,
    /// Bytes of memory that the kernel was given.
    pub memory_bytes: usize,
    /// The power button.
    pub power_button: PowerButton,
}

/// Names the function that the kernel's first task runs: `hermit_system::entry!(main)` with `fn main(start: Start) -> !`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        fn hermit_main(start: $crate::Start) -> ! {
            let main: fn($crate::Start) -> ! = $main;
            main(start)
        }
    };
}

unsafe extern "Rust" {
    /// What [`entry!`](crate::entry) defines in the binary.
    safe fn hermit_main(start: Start) -> !;
}

/// Called by the kernel, with the words after `--` of its command line behind a name.
#[unsafe(no_mangle)]
extern "C" fn runtime_entry(
    count: i32,
    words: *const *const c_char,
    _environment: *const *const c_char,
) -> ! {
    panic::start();
    // SAFETY: the kernel made as many, which stay.
    let words = unsafe { slice::from_raw_parts(words, usize::try_from(count).unwrap_or(0)) };
    // SAFETY: each is a string of the kernel's making, and stays.
    let mut words = words.iter().map(|&word| unsafe { CStr::from_ptr(word) }.to_str());
    let _name = words.next();
    let handover = words.next().and_then(Result::ok).and_then(Handover::parse);
    let Some(Handover { module, memory_bytes, power }) = handover else {
        system::write("panic: the loader said nothing that is understood\n");
        system::fail()
    };
    let module_bytes = (module.end - module.start) as usize;
    let module = if module_bytes == 0 {
        &[][..]
    } else {
        // SAFETY: the loader copied it there, beside the image, and neither kernel nor heap touches it.
        unsafe { slice::from_raw_parts(module.start as *const u8, module_bytes) }
    };
    hermit_main(Start {
        module,
        command_line: words.next().and_then(Result::ok).unwrap_or_default(),
        memory_bytes: memory_bytes as usize,
        power_button: PowerButton::new(power),
    })
}
