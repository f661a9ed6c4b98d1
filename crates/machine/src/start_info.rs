//! Start information: what the hypervisor hands over by the PVH protocol (`hvm_start_info`; Xen,
//! public/arch-x86/hvm/start_info.h).
//!
//! It is copied at once: QEMU leaves it in the first page of memory, which is then unmapped, and
//! the rest becomes heap.

use core::{slice, str};
use heapless::{String, Vec};
use hermit_sync::OnceCell;

const MAGIC: u32 = 0x336e_c578;
/// Longest command line that is kept, in bytes; Linux's limit on x86 too.
const COMMAND_LINE_BYTES_MAX: usize = 2048;
/// Most memory map entries that are kept; firmware gives about ten.
const REGIONS_MAX: usize = 64;

static INFO: OnceCell<StartInfo> = OnceCell::new();

/// The command line as the hypervisor gave it; empty when it is not UTF-8.
pub fn command_line() -> &'static str {
    INFO.get().map_or("", |info| &info.command_line)
}

/// The first boot module (`-initrd` in QEMU, `ramdisk=` in Xen), empty when there is none.
pub fn module() -> &'static [u8] {
    INFO.get().map_or(&[], |info| info.module)
}

/// Address of ACPI's root system description pointer (RSDP), if the hypervisor gave one.
pub(crate) fn rsdp() -> Option<u64> {
    INFO.get().map(|info| info.rsdp).filter(|&address| address != 0)
}

/// RAM in the memory map, in the hypervisor's order; none on a host.
pub(crate) fn ram() -> impl Iterator<Item = &'static Region> {
    let regions = INFO.get().map_or(&[][..], |info| &info.regions);
    regions.iter().filter(|region| region.is_ram())
}

/// The first address behind all that the memory map names; 0 on a host.
pub(crate) fn memory_map_end() -> u64 {
    end_of(INFO.get().map_or(&[][..], |info| &info.regions))
}

fn end_of(regions: &[Region]) -> u64 {
    regions.iter().map(Region::end).max().unwrap_or(0)
}

/// The pages of the module, from and to; both 0 when there is none.
pub(crate) fn module_pages() -> (u64, u64) {
    pages_of(module())
}

fn pages_of(bytes: &[u8]) -> (u64, u64) {
    let start = bytes.as_ptr() as u64;
    match bytes {
        [] => (0, 0),
        _ => (start & !0xfff, (start + bytes.len() as u64 + 0xfff) & !0xfff),
    }
}

/// Copies what the hypervisor said. Called once.
///
/// # Safety
/// `address` is what the hypervisor passed at entry, all of it still intact and the first 4 GiB
/// identity-mapped.
pub(crate) unsafe fn install(address: u64) {
    // SAFETY: the caller vouches for the address.
    let info = unsafe { StartInfo::copy_from(address) };
    assert!(INFO.set(info).is_ok(), "one start");
}

struct StartInfo {
    command_line: String<COMMAND_LINE_BYTES_MAX>,
    module: &'static [u8],
    rsdp: u64,
    regions: Vec<Region, REGIONS_MAX>,
}

/// One entry of the memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Region {
    pub(crate) start: u64,
    bytes: u64,
    kind: u32,
    _reserved: u32,
}

impl Region {
    /// Usable memory, as opposed to reserved, ACPI and the like.
    fn is_ram(&self) -> bool {
        self.kind == 1
    }

    pub(crate) fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes)
    }
}

impl StartInfo {
    /// # Safety
    /// As for [`install`].
    unsafe fn copy_from(address: u64) -> Self {
        // SAFETY: the caller vouches for the address.
        let raw = unsafe { &*(address as *const Raw) };
        assert!(raw.magic == MAGIC, "not started by the PVH protocol");
        // SAFETY: the hypervisor's string; the bound keeps a missing terminator inside its pages.
        let text = unsafe { bytes(raw.command_line, COMMAND_LINE_BYTES_MAX) };
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        Self {
            // As long as was looked for at most: it fits.
            command_line: String::try_from(str::from_utf8(text).unwrap_or_default())
                .unwrap_or_default(),
            // SAFETY: the hypervisor's list and module.
            module: unsafe { raw.module() },
            rsdp: raw.rsdp,
            // SAFETY: version 1 has a map, of that many entries.
            regions: unsafe { raw.regions() }.iter().copied().collect(),
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
    rsdp: u64,
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
    /// As for [`install`].
    unsafe fn module(&self) -> &'static [u8] {
        if self.modules == 0 || self.module_list == 0 {
            return &[];
        }
        // SAFETY: the count says that the list has an entry. It follows the command line in QEMU's microvm, at any address.
        let module = unsafe { (self.module_list as *const Module).read_unaligned() };
        // SAFETY: the hypervisor loaded the module there, and the heap keeps off it.
        unsafe { bytes(module.address, module.bytes as usize) }
    }

    /// # Safety
    /// As for [`install`].
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const RAM: Region = Region { start: 0x10_0000, bytes: 0x1000, kind: 1, _reserved: 0 };
    const RESERVED: Region = Region { start: u64::MAX - 1, bytes: 7, kind: 2, _reserved: 0 };

    fn raw(text: &[u8], modules: &[Module], map: &[Region]) -> Raw {
        Raw {
            magic: 0x336e_c578,
            version: 1,
            _flags: 0,
            modules: modules.len() as u32,
            module_list: modules.as_ptr() as u64,
            command_line: text.as_ptr() as u64,
            rsdp: 0xf_0000,
            memory_map: map.as_ptr() as u64,
            memory_map_entries: map.len() as u32,
            _reserved: 0,
        }
    }

    fn copy(raw: &Raw) -> StartInfo {
        // SAFETY: all that it names is a test's, and lives on.
        unsafe { StartInfo::copy_from(&raw const *raw as u64) }
    }

    #[test]
    fn what_the_hypervisor_says_is_copied() {
        let bundle = [7_u8; 100];
        let module = |bytes| Module {
            address: bundle.as_ptr() as u64,
            bytes,
            _command_line: 0,
            _reserved: 0,
        };
        let modules = [module(100), module(3)];
        let raw = raw(b"ip=dhcp log=debug\0more", &modules, &[RAM, RESERVED]);
        let info = copy(&raw);
        assert_eq!(info.command_line.to_string(), "ip=dhcp log=debug");
        assert_eq!((info.module, info.rsdp), (&bundle[..], 0xf_0000));
        assert_eq!(&*info.regions, [RAM, RESERVED]);
        assert_eq!(
            info.regions.iter().map(Region::is_ram).collect::<std::vec::Vec<_>>(),
            [true, false]
        );
        assert_eq!((RAM.end(), RESERVED.end()), (0x10_1000, u64::MAX));
    }

    #[test]
    fn what_is_not_said_is_empty() {
        let text = [0xff, 0];
        for raw in [
            Raw { command_line: 0, modules: 0, version: 0, ..raw(b"\0", &[], &[RAM]) },
            Raw { module_list: 0, modules: 1, memory_map: 0, ..raw(&text, &[], &[RAM]) },
        ] {
            let info = copy(&raw);
            assert_eq!((&*info.command_line, info.module, info.regions.len()), ("", &[][..], 0));
        }
        let nowhere = [Module { address: 0, bytes: 9, _command_line: 0, _reserved: 0 }];
        assert_eq!(copy(&raw(b"\0", &nowhere, &[])).module, [0; 0]);
    }

    #[test]
    fn a_list_longer_than_is_kept_is_cut() {
        let mut text = [b'x'; 3000];
        text[2999] = 0;
        let info = copy(&raw(&text, &[], &[RAM; 70]));
        assert_eq!((info.command_line.len(), info.regions.len()), (2048, 64));
    }

    #[test]
    fn a_process_was_told_nothing() {
        assert_eq!((command_line(), module(), rsdp()), ("", &[][..], None));
        assert_eq!((ram().count(), memory_map_end(), module_pages()), (0, 0, (0, 0)));
    }

    #[test]
    fn a_module_has_all_pages_that_a_byte_of_it_is_in() {
        let memory = std::vec![0_u8; 5 * 4096];
        let start = (memory.as_ptr() as u64).next_multiple_of(4096);
        let skip = (start - memory.as_ptr() as u64) as usize;
        let pages = |from: usize, bytes: usize| {
            let (first, end) = pages_of(&memory[skip + from..][..bytes]);
            (first.wrapping_sub(start), end.wrapping_sub(start))
        };
        assert_eq!(
            (pages(0, 1), pages(0, 4096), pages(0, 4097)),
            ((0, 4096), (0, 4096), (0, 8192))
        );
        assert_eq!((pages(4095, 1), pages(4095, 2)), ((0, 4096), (0, 8192)));
        assert_eq!(pages(4096, 8193), (4096, 16_384));
        assert_eq!(pages_of(&[]), (0, 0));
    }

    #[test]
    fn a_memory_map_ends_behind_its_highest_entry_wherever_that_is_listed() {
        assert_eq!((end_of(&[]), end_of(&[RAM])), (0, 0x10_1000));
        let low = Region { start: 0x1000, bytes: 0x1000, ..RAM };
        let reserved = Region { start: 0xfec0_0000, bytes: 0x1000, kind: 2, _reserved: 0 };
        assert_eq!(end_of(&[low, reserved, RAM]), 0xfec0_1000);
    }
}
