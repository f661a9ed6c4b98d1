//! Panics that unwind to whoever catches them.

use crate::system;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use unwinding::custom_eh_frame_finder::{
    EhFrameFinder, FrameInfo, FrameInfoKind, set_custom_eh_frame_finder,
};
use unwinding::panic::{begin_panic, catch_unwind};

/// How many calls of [`catch_panic`] are under way: without one, nobody would catch a panic.
static CATCHERS: AtomicUsize = AtomicUsize::new(0);
/// A panic is on its way to whoever catches it.
static PANICKING: AtomicBool = AtomicBool::new(false);

/// Runs `body`; a panic in it ends here, with everything it owned dropped, and gives its message. For one thread of the
/// application.
pub fn catch_panic(body: &mut dyn FnMut()) -> Result<(), String> {
    let catchers = CATCHERS.load(Ordering::Relaxed);
    CATCHERS.store(catchers + 1, Ordering::Relaxed);
    let outcome = catch_unwind(body);
    CATCHERS.store(catchers, Ordering::Relaxed);
    outcome.map_err(|payload| {
        PANICKING.store(false, Ordering::Relaxed);
        payload.downcast::<String>().map_or_else(|_| "a panic".into(), |message| *message)
    })
}

/// Lets panics unwind from now on.
pub(crate) fn start() {
    // There is one start, and a second one would set the same.
    let _ = set_custom_eh_frame_finder(&Image);
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let is_caught = CATCHERS.load(Ordering::Relaxed) > 0;
    if !is_caught || PANICKING.swap(true, Ordering::Relaxed) {
        fatal(info);
    }
    let message = match info.location() {
        Some(place) => format!("{} ({}:{})", info.message(), place.file(), place.line()),
        None => info.message().to_string(),
    };
    begin_panic(Box::new(message));
    // Only where there are no tables for who is to catch it.
    fatal(info)
}

fn fatal(info: &PanicInfo<'_>) -> ! {
    system::write(&format!("panic: {info}\n"));
    system::fail()
}

/// The application and the kernel, which are one ELF image in memory.
struct Image;

// SAFETY: what it finds is what the linker wrote about this image.
unsafe impl EhFrameFinder for Image {
    fn find(&self, _pc: usize) -> Option<FrameInfo> {
        let start = (&raw const __ehdr_start).addr();
        let headers = program_headers();
        let header = headers.iter().find(|header| header.kind == ProgramHeader::UNWINDING)?;
        let at = start + header.address as usize;
        Some(FrameInfo { text_base: None, kind: FrameInfoKind::EhFrameHdr(at) })
    }
}

unsafe extern "C" {
    /// The beginning of the image in memory, by the linker.
    static __ehdr_start: ElfHeader;
}

fn program_headers() -> &'static [ProgramHeader] {
    // SAFETY: the linker puts the header there, and the loader has loaded it with the first segment.
    let header = unsafe { &__ehdr_start };
    let first =
        (&raw const __ehdr_start).cast::<u8>().wrapping_add(header.program_headers as usize);
    // SAFETY: as above; the header says how many follow, and nothing writes them.
    unsafe { core::slice::from_raw_parts(first.cast(), header.program_header_count.into()) }
}

/// ELF-64 object file format, "ELF header".
#[repr(C)]
struct ElfHeader {
    identity: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    program_headers: u64,
    section_headers: u64,
    flags: u32,
    bytes: u16,
    program_header_bytes: u16,
    program_header_count: u16,
    section_header_bytes: u16,
    section_header_count: u16,
    section_names: u16,
}

/// "Program header".
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    file_bytes: u64,
    memory_bytes: u64,
    align: u64,
}

impl ProgramHeader {
    /// `PT_GNU_EH_FRAME`.
    const UNWINDING: u32 = 0x6474_e550;
}
