//! Page tables for another kernel's start: large pages, where they physically are.

use crate::memory::PAGE_BYTES;
use core::ops::Range;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const IS_LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const LARGE_BYTES: u64 = 2 << 20;
/// The level of tables whose entries are large pages, and of the root (Intel SDM volume 3, section 4.5).
const LARGE: u32 = 2;
const ROOT: u32 = 4;

/// Tables in a run of zeroed memory, of which the first is the root.
pub(super) struct Tables<'a> {
    memory: &'a mut [u8],
    /// The physical address of the memory.
    start: u64,
    count: usize,
}

impl<'a> Tables<'a> {
    /// No entry yet. `start` is the memory's physical address, at the beginning of a page.
    pub(super) fn new(memory: &'a mut [u8], start: u64) -> Self {
        Self { memory, start, count: 1 }
    }

    /// Maps the large pages that the range is in, writable and executable. `None` when memory for tables is short.
    pub(super) fn map(&mut self, range: &Range<u64>) -> Option<()> {
        let first = range.start & !(LARGE_BYTES - 1);
        for address in (first..range.end).step_by(LARGE_BYTES as usize) {
            let table = self.table(address)?;
            self.set(table, index(address, LARGE), address | PRESENT | WRITABLE | IS_LARGE)?;
        }
        Some(())
    }

    /// The offset of the table that is responsible for an address, made if need be.
    fn table(&mut self, address: u64) -> Option<usize> {
        let mut table = 0;
        for level in (LARGE + 1..=ROOT).rev() {
            let slot = index(address, level);
            let next = self.get(table, slot)?;
            table = if next & PRESENT != 0 {
                ((next & ADDRESS) - self.start) as usize
            } else {
                let new = self.count * PAGE_BYTES;
                self.count += 1;
                self.set(table, slot, (self.start + new as u64) | PRESENT | WRITABLE)?;
                new
            };
        }
        Some(table)
    }

    fn get(&self, table: usize, index: usize) -> Option<u64> {
        let bytes = self.memory.get(table + 8 * index..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }

    fn set(&mut self, table: usize, index: usize, entry: u64) -> Option<()> {
        *self.memory.get_mut(table + 8 * index..)?.first_chunk_mut()? = entry.to_le_bytes();
        Some(())
    }
}

fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * (level - 1)) & 511) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    const START: u64 = 0x4000_0000;

    /// What an address is mapped to, as the CPU finds it.
    fn walk(tables: &Tables<'_>, address: u64) -> Option<u64> {
        let mut table = 0;
        for level in (LARGE..=ROOT).rev() {
            let entry = tables.get(table, index(address, level))?;
            if entry & PRESENT == 0 {
                return None;
            }
            if entry & IS_LARGE != 0 {
                return Some((entry & ADDRESS) + address % LARGE_BYTES);
            }
            table = ((entry & ADDRESS) - START) as usize;
        }
        None
    }

    #[test]
    fn ranges_are_mapped_where_they_are_and_nothing_else_is() {
        let mut memory = vec![0; 8 * PAGE_BYTES];
        let mut tables = Tables::new(&mut memory, START);
        // Beyond a boundary of 1 GiB, and of 512 GiB.
        let ranges =
            [0x10_0000..0x30_0000, 0x3fff_0000..0x4020_0001, 0x80_0000_0000..0x80_0020_0000];
        for range in &ranges {
            tables.map(range).unwrap();
        }
        for address in
            [0, 0x10_0000, 0x3f_ffff, 0x3fe0_0000, 0x4020_0000, 0x403f_ffff, 0x80_001f_ffff]
        {
            assert_eq!(walk(&tables, address), Some(address));
        }
        for address in [0x40_0000, 0x3fdf_ffff, 0x4040_0000, 0x7f_ffff_ffff, 0x80_0020_0000] {
            assert_eq!(walk(&tables, address), None);
        }
    }

    #[test]
    fn too_little_memory_is_an_error() {
        let mut memory = vec![0; 3 * PAGE_BYTES];
        let mut tables = Tables::new(&mut memory, START);
        assert_eq!(tables.map(&(0..1)), Some(()));
        assert_eq!(tables.map(&(0x4000_0000..0x4000_0001)), None);
    }
}
