//! ACPI tables, as far as they can be read without an AML interpreter (ACPI 6.5, chapter 5).

use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

/// Where the root pointer is; 0 while nobody said so.
static ROOT_POINTER: AtomicU64 = AtomicU64::new(0);

const HEADER_BYTES: usize = 36;
/// Longest table that is believed, in bytes.
const TABLE_BYTES_MAX: usize = 1 << 20;

/// Tells this module where the hypervisor put the root system description pointer.
pub(crate) fn start(rsdp: Option<u64>) {
    let found = rsdp.or_else(scan);
    ROOT_POINTER.store(found.unwrap_or(0), Ordering::Relaxed);
}

/// The first table with that signature, header included; `None` when there is none, or when its
/// checksum is wrong.
pub(crate) fn table(signature: &[u8; 4]) -> Option<&'static [u8]> {
    let root = root_pointer()?;
    if signature == b"DSDT" {
        return dsdt();
    }
    let extended = root[15] >= 2 && u64_at(root, 24)? != 0;
    let (list, entry_bytes) =
        if extended { (u64_at(root, 24)?, 8) } else { (u32_at(root, 16)?.into(), 4) };
    let list_signature = if extended { b"XSDT" } else { b"RSDT" };
    let entries = checked(list, list_signature)?.get(HEADER_BYTES..)?;
    entries.chunks_exact(entry_bytes).find_map(|entry| {
        let address = if extended { u64_at(entry, 0)? } else { u32_at(entry, 0)?.into() };
        checked(address, signature)
    })
}

/// The root system description pointer (section 5.2.5.3).
pub(crate) fn root_pointer() -> Option<&'static [u8; 36]> {
    let root = ROOT_POINTER.load(Ordering::Relaxed);
    // SAFETY: firmware's structure, in memory that stays mapped and untouched.
    (root != 0).then(|| unsafe { &*(root as *const [u8; 36]) })
}

/// The two bytes at `offset` of a table.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..offset + 2)?.try_into().map(u16::from_le_bytes).ok()
}

/// The four bytes at `offset` of a table.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..offset + 4)?.try_into().map(u32::from_le_bytes).ok()
}

/// The eight bytes at `offset` of a table.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..offset + 8)?.try_into().map(u64::from_le_bytes).ok()
}

/// The differentiated description table hangs off the FADT (section 5.2.9).
fn dsdt() -> Option<&'static [u8]> {
    let fadt = table(b"FACP")?;
    let extended = u64_at(fadt, 140).filter(|&address| address != 0);
    checked(extended.or_else(|| u32_at(fadt, 40).map(u64::from))?, b"DSDT")
}

/// The table at a physical address, if it is that one, its length is sane and its bytes add up to
/// zero.
fn checked(address: u64, signature: &[u8; 4]) -> Option<&'static [u8]> {
    if address == 0 || address >= 1 << 32 {
        return None;
    }
    // SAFETY: memory below 4 GiB is mapped, and firmware's tables are never written.
    let header = unsafe { slice::from_raw_parts(address as *const u8, HEADER_BYTES) };
    let bytes = u32_at(header, 4)? as usize;
    if !header.starts_with(signature) || !(HEADER_BYTES..=TABLE_BYTES_MAX).contains(&bytes) {
        return None;
    }
    // SAFETY: as above.
    let table = unsafe { slice::from_raw_parts(address as *const u8, bytes) };
    let sum = table.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
    (sum == 0).then_some(table)
}

/// Firmware that gives no pointer leaves the root in the BIOS area (section 5.2.5.1).
fn scan() -> Option<u64> {
    (0xe_0000_u64..0x10_0000).step_by(16).find(|&address| {
        // SAFETY: the BIOS area is mapped and has no read side effects.
        let candidate: &[u8; 20] = unsafe { &*(address as *const [u8; 20]) };
        let sum = || candidate.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
        candidate.starts_with(b"RSD PTR ") && sum() == 0
    })
}
