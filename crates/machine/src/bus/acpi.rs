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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::dma::host;
    use std::vec::Vec;

    /// A table whose bytes add up to zero.
    fn sealed(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut table = [&signature[..], &[0; 32], body].concat();
        let bytes = table.len() as u32;
        table[4..8].copy_from_slice(&bytes.to_le_bytes());
        table[9] = table.iter().fold(0_u8, |sum, &byte| sum.wrapping_sub(byte));
        table
    }

    fn place(table: &[u8]) -> u64 {
        let memory = host::low(table.len().max(36));
        memory[..table.len()].copy_from_slice(table);
        memory.as_ptr() as u64
    }

    /// A pointer to a list of addresses; the old one if it has 32 bits in each.
    fn root(list: u64, is_extended: bool) -> u64 {
        let mut root = [0; 36];
        root[..8].copy_from_slice(b"RSD PTR ");
        root[15] = if is_extended { 2 } else { 0 };
        if is_extended {
            root[24..32].copy_from_slice(&list.to_le_bytes());
        } else {
            root[16..20].copy_from_slice(&(list as u32).to_le_bytes());
        }
        place(&root)
    }

    /// All of a process has one pointer, so that this is one test.
    #[test]
    fn tables_are_found_by_their_signature_if_they_are_whole() {
        assert_eq!((root_pointer(), table(b"APIC")), (None, None));
        let apic = sealed(b"APIC", &[1, 2, 3]);
        let mut damaged = sealed(b"MCFG", &[4; 40]);
        damaged[40] ^= 1;
        let mcfg = sealed(b"MCFG", &[5; 40]);
        let dsdt = sealed(b"DSDT", b"_S5_");
        // Both addresses of the other table that hangs off it.
        let mut body = [0; 120];
        body[40 - 36..44 - 36].copy_from_slice(&(place(&dsdt) as u32).to_le_bytes());
        let fadt = sealed(b"FACP", &body);
        let tables = [&apic, &damaged, &mcfg, &fadt].map(|table| place(table));
        let narrow: Vec<u8> = tables.iter().flat_map(|&at| (at as u32).to_le_bytes()).collect();
        let wide: Vec<u8> = tables.iter().flat_map(|&at| at.to_le_bytes()).collect();
        for (signature, list, is_extended) in [(b"RSDT", &narrow, false), (b"XSDT", &wide, true)] {
            start(Some(root(place(&sealed(signature, list)), is_extended)));
            assert!(root_pointer().is_some_and(|root| root.starts_with(b"RSD PTR ")));
            assert_eq!(table(b"APIC"), Some(&*apic));
            assert_eq!(table(b"MCFG"), Some(&*mcfg), "the one that is whole");
            assert_eq!(table(b"FACP"), Some(&*fadt));
            assert_eq!(table(b"DSDT"), Some(&*dsdt));
            assert_eq!(table(b"HPET"), None);
        }
        // A list of the other kind, and one that is nowhere.
        for (list, is_extended) in [
            (place(&sealed(b"RSDT", &wide)), true),
            (0, false),
            (place(&sealed(b"XSDT", &[])), true),
        ] {
            start(Some(root(list, is_extended)));
            assert_eq!(table(b"APIC"), None);
        }
        let mut body = [0; 120];
        body[140 - 36..148 - 36].copy_from_slice(&place(&dsdt).to_le_bytes());
        let fadt = place(&sealed(b"FACP", &body));
        start(Some(root(place(&sealed(b"XSDT", &fadt.to_le_bytes())), true)));
        assert_eq!(table(b"DSDT"), Some(&*dsdt));
        ROOT_POINTER.store(0, Ordering::Relaxed);
    }

    /// ACPI 6.5, section 5.2.5.1: at a multiple of 16 bytes from 0xe0000 to 0xfffff, and 20 bytes that add up to zero.
    #[test]
    fn without_a_pointer_the_bios_area_is_searched() {
        let area = host::fixed(0xe_0000, 0x2_0000);
        assert_eq!(scan(), None);
        let mut root = *b"RSD PTR \0BOCHS \0____";
        root[8] = root.iter().fold(0_u8, |sum, &byte| sum.wrapping_sub(byte));
        area[0x1_eff0..][..20].copy_from_slice(&root);
        assert_eq!(scan(), Some(0xf_eff0));
        // Damaged, of another name, and where none is looked for.
        for (at, byte) in [(8, root[8] ^ 1), (0, b'r')] {
            area[0x20..0x34].copy_from_slice(&root);
            area[0x20 + at] = byte;
            assert_eq!(scan(), Some(0xf_eff0), "byte {at}");
        }
        area[0x48..0x5c].copy_from_slice(&root);
        assert_eq!(scan(), Some(0xf_eff0));
        area[..20].copy_from_slice(&root);
        assert_eq!(scan(), Some(0xe_0000));
    }

    #[test]
    fn what_cannot_be_a_table_is_none() {
        let whole = sealed(b"APIC", &[]);
        assert_eq!(checked(place(&whole), b"APIC"), Some(&*whole));
        assert_eq!(checked(place(&whole), b"MCFG"), None);
        let mut short = whole;
        short[4] -= 1;
        short[9] = short[9].wrapping_add(1);
        assert_eq!(checked(place(&short), b"APIC"), None, "shorter than a header");
        assert_eq!(checked(0, b"APIC"), None);
        assert_eq!(checked(1 << 32, b"APIC"), None, "not mapped");
        let longest = sealed(b"APIC", &[0; (1 << 20) - 36]);
        assert_eq!(checked(place(&longest), b"APIC").map(<[u8]>::len), Some(1 << 20));
        let longer = sealed(b"APIC", &[0; (1 << 20) - 35]);
        assert_eq!(checked(place(&longer), b"APIC"), None);
    }

    #[test]
    fn numbers_are_read_to_the_last_byte_of_a_table() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!((u16_at(&bytes, 7), u16_at(&bytes, 8)), (Some(0x0908), None));
        assert_eq!((u32_at(&bytes, 5), u32_at(&bytes, 6)), (Some(0x0908_0706), None));
        assert_eq!((u64_at(&bytes, 1), u64_at(&bytes, 2)), (Some(0x0908_0706_0504_0302), None));
    }
}
