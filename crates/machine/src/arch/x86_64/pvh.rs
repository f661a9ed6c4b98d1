//! `hvm_start_info`, by which PVH tells a guest where its things are (Xen,
//! public/arch-x86/hvm/start_info.h).
//!
//! It is copied at once: QEMU leaves it in the first page of memory, which is then unmapped, and
//! the rest becomes heap.

use core::cell::UnsafeCell;
use core::slice;
use core::str;

const MAGIC: u32 = 0x336e_c578;
/// Longest command line that is kept; Linux's limit on x86 too.
const COMMAND_LINE_BYTES_MAX: usize = 2048;
/// Most memory map entries that are kept; firmware gives about ten.
const REGIONS_MAX: usize = 64;

/// What the hypervisor said at the start.
pub(crate) struct StartInfo {
    command_line: &'static str,
    module: &'static [u8],
    root_pointer: u64,
    regions: &'static [Region],
}

/// Where the copies are.
struct Kept<T>(UnsafeCell<T>);

// SAFETY: written by `StartInfo::copy_from` alone, which is called once.
unsafe impl<T> Sync for Kept<T> {}

static COMMAND_LINE: Kept<[u8; COMMAND_LINE_BYTES_MAX]> =
    Kept(UnsafeCell::new([0; COMMAND_LINE_BYTES_MAX]));
static REGIONS: Kept<[Region; REGIONS_MAX]> = Kept(UnsafeCell::new([Region::NONE; REGIONS_MAX]));

impl<T, const MAX: usize> Kept<[T; MAX]> {
    /// As many of the items as there is room for.
    ///
    /// # Safety
    /// Called once.
    unsafe fn keep(&'static self, items: &[T]) -> &'static [T]
    where
        T: Copy,
    {
        // SAFETY: the caller's only call.
        let room: &'static mut [T; MAX] = unsafe { &mut *self.0.get() };
        let kept = &mut room[..items.len().min(MAX)];
        kept.copy_from_slice(&items[..items.len().min(MAX)]);
        kept
    }
}

/// One entry of the memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) bytes: u64,
    kind: u32,
    _reserved: u32,
}

impl Region {
    const NONE: Self = Self { start: 0, bytes: 0, kind: 0, _reserved: 0 };

    /// Usable memory, as opposed to reserved, ACPI and the like.
    pub(crate) fn is_ram(&self) -> bool {
        self.kind == 1
    }

    pub(crate) fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes)
    }
}

impl StartInfo {
    /// # Safety
    /// `address` is what the hypervisor passed at entry, all of it still intact and the first 4 GiB
    /// identity-mapped. Called once.
    pub(crate) unsafe fn copy_from(address: u64) -> Self {
        // SAFETY: the caller vouches for the address.
        let raw = unsafe { &*(address as *const Raw) };
        assert!(raw.magic == MAGIC, "not started by the PVH protocol");
        // SAFETY: the hypervisor's string; the bound keeps a missing terminator inside its pages.
        let text = unsafe { bytes(raw.command_line, COMMAND_LINE_BYTES_MAX) };
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        // SAFETY: the only call.
        let text = unsafe { COMMAND_LINE.keep(text) };
        // SAFETY: version 1 has a map, of that many entries.
        let regions = unsafe { raw.regions() };
        Self {
            command_line: str::from_utf8(text).unwrap_or_default(),
            // SAFETY: the hypervisor's list and module.
            module: unsafe { raw.module() },
            root_pointer: raw.root_pointer,
            // SAFETY: the only call.
            regions: unsafe { REGIONS.keep(regions) },
        }
    }

    /// The command line; empty when it is not UTF-8.
    pub(crate) fn command_line(&self) -> &'static str {
        self.command_line
    }

    /// The first boot module; empty when there is none.
    pub(crate) fn module(&self) -> &'static [u8] {
        self.module
    }

    /// Where ACPI's root pointer is, if the hypervisor gave one.
    pub(crate) fn root_pointer(&self) -> Option<u64> {
        (self.root_pointer != 0).then_some(self.root_pointer)
    }

    /// The memory map, in the hypervisor's order.
    pub(crate) fn regions(&self) -> &[Region] {
        self.regions
    }

    /// The pages of the module, from and to.
    pub(crate) fn module_pages(&self) -> (u64, u64) {
        let start = self.module.as_ptr() as u64;
        match self.module {
            [] => (0, 0),
            _ => (start & !0xfff, (start + self.module.len() as u64 + 0xfff) & !0xfff),
        }
    }
}

#[repr(C)]
struct Raw {
    magic: u32,
    version: u32,
    _flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
    root_pointer: u64,
    memory_map: u64,
    memory_map_entries: u32,
    _reserved: u32,
}

#[repr(C)]
struct Module {
    address: u64,
    bytes: u64,
    _command_line: u64,
    _reserved: u64,
}

impl Raw {
    /// # Safety
    /// As for [`StartInfo::copy_from`].
    unsafe fn module(&self) -> &'static [u8] {
        if self.modules == 0 || self.module_list == 0 {
            return &[];
        }
        // SAFETY: the count says that the list has an entry.
        let module = unsafe { &*(self.module_list as *const Module) };
        // SAFETY: the hypervisor loaded the module there, and the heap keeps off it.
        unsafe { bytes(module.address, module.bytes as usize) }
    }

    /// # Safety
    /// As for [`StartInfo::copy_from`].
    unsafe fn regions(&self) -> &'static [Region] {
        if self.version == 0 || self.memory_map == 0 {
            return &[];
        }
        let count = (self.memory_map_entries as usize).min(REGIONS_MAX);
        // SAFETY: the caller vouches for it.
        unsafe { slice::from_raw_parts(self.memory_map as *const Region, count) }
    }
}

/// Memory that the hypervisor filled; nothing when its address is 0.
///
/// # Safety
/// The bytes are mapped and do not change while the slice is in use.
unsafe fn bytes(address: u64, count: usize) -> &'static [u8] {
    if address == 0 {
        return &[];
    }
    // SAFETY: the caller vouches for it.
    unsafe { slice::from_raw_parts(address as *const u8, count) }
}
