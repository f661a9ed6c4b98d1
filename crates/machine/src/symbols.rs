//! Symbols: names for addresses in the image's code.
//!
//! `cargo xtask image` appends a table of all functions to the linked image, in a segment of its
//! own that the linker script reserves; without it there are addresses only. The names are cut into
//! tokens, since they repeat each other's paths: a byte below 128 stands for itself, another one for
//! a pair of bytes, which may be tokens in turn.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `SYMS` |
//! | 4 | length of the table, little-endian as all numbers |
//! | 4 | address of the first function |
//! | 4 | address one past the last function |
//! | 256 | the pairs of tokens 128 to 255 |
//! | rest | per function, by address: LEB128 difference to the one before; length; name |

use crate::image_layout::{self, Image};
use crate::memory::PAGE_BYTES;
use core::fmt::{self, Write};

const MAGIC: &[u8; 4] = b"SYMS";
const LENGTH_AT: usize = 4;
const START_AT: usize = 8;
const END_AT: usize = 12;
const TOKENS_AT: usize = 16;
const ENTRIES_AT: usize = TOKENS_AT + 256;
const FIRST_TOKEN: u8 = 128;
/// Deepest nesting of tokens; the table's writer keeps to it.
const NESTING_MAX: usize = 16;

/// An address as a backtrace shows it: with the function that it is in, if that is known.
#[derive(Clone, Copy, Debug)]
pub struct Location {
    address: u64,
    found: Option<Found<'static>>,
}

impl Location {
    /// Of an instruction.
    pub fn of(address: u64) -> Self {
        Self {
            address,
            found: image_layout::running().and_then(table).and_then(|table| table.find(address)),
        }
    }

    /// Of a call, by where it would have returned to: that may be the next function's first byte,
    /// when the compiler knows that the called one does not return.
    pub fn of_return(address: u64) -> Self {
        let mut location = Self::of(address.wrapping_sub(1));
        location.address = address;
        if let Some(found) = &mut location.found {
            found.offset += 1;
        }
        location
    }

    /// The function, if it is known.
    pub fn name(&self) -> Option<impl fmt::Display + use<>> {
        self.found.map(|found| found.name)
    }

    /// Whether the function's name begins with one of `prefixes`.
    pub fn is_in(&self, prefixes: &[&str]) -> bool {
        self.found.is_some_and(|found| prefixes.iter().any(|prefix| found.name.starts(prefix)))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.address)?;
        match self.found {
            Some(Found { name, offset }) => write!(f, " {name}+{offset:#x}"),
            None => Ok(()),
        }
    }
}

/// One past the image's last byte, a multiple of the page size: the table is last in the image.
pub(crate) fn image_end(image: &Image) -> u64 {
    let bytes = table(image).map_or(0, |table| table.0.len());
    image.symbols + bytes.next_multiple_of(PAGE_BYTES) as u64
}

/// The table behind the image, if `cargo xtask image` put one there.
fn table(image: &Image) -> Option<Table<'static>> {
    // SAFETY: the linker script puts these bytes there, with or without a table.
    let head = unsafe { &*(image.symbols as *const [u8; 8]) };
    let length = Table::length(head)?;
    // SAFETY: who wrote the length made the segment that long, and the heap keeps off it.
    Table::parse(unsafe { core::slice::from_raw_parts(head.as_ptr(), length) })
}

#[derive(Clone, Copy)]
struct Table<'a>(&'a [u8]);

#[derive(Clone, Copy, Debug)]
struct Found<'a> {
    name: Name<'a>,
    offset: u64,
}

impl<'a> Table<'a> {
    /// From the first eight bytes.
    fn length(head: &[u8]) -> Option<usize> {
        head.starts_with(MAGIC).then(|| word(head, LENGTH_AT))?.map(|length| length as usize)
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let whole = Self::length(bytes)? == bytes.len() && bytes.len() >= ENTRIES_AT;
        whole.then_some(Self(bytes))
    }

    /// A search from the start: a report has a few dozen addresses, and the machine has time.
    fn find(&self, address: u64) -> Option<Found<'a>> {
        let mut start = u64::from(word(self.0, START_AT)?);
        if !(start..word(self.0, END_AT)?.into()).contains(&address) {
            return None;
        }
        let tokens = self.0.get(TOKENS_AT..ENTRIES_AT)?;
        let mut rest = self.0.get(ENTRIES_AT..)?;
        let mut found = None;
        while let Some((difference, name, after)) = entry(rest) {
            start += difference;
            if start > address {
                break;
            }
            found = Some(Found { name: Name { bytes: name, tokens }, offset: address - start });
            rest = after;
        }
        found
    }
}

/// The difference, the name and what follows.
fn entry(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (mut rest, mut difference, mut shift) = (bytes, 0, 0);
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        difference |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 || shift > 28 {
            break;
        }
    }
    let (&length, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked(length.into())?;
    Some((difference, name, rest))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().map(u32::from_le_bytes).ok()
}

/// A name in tokens.
#[derive(Clone, Copy, Debug)]
struct Name<'a> {
    bytes: &'a [u8],
    tokens: &'a [u8],
}

impl Name<'_> {
    fn starts(&self, prefix: &str) -> bool {
        let mut letters = prefix.bytes();
        // Stops at the first letter that is not in the prefix, or behind its end.
        let _ = self.each(|letter| match letters.next() {
            Some(expected) if expected == letter => Ok(()),
            Some(_) => {
                letters = "!".bytes();
                Err(fmt::Error)
            }
            None => Err(fmt::Error),
        });
        letters.len() == 0
    }

    /// Gives each letter to `take`, until that refuses one.
    fn each(&self, mut take: impl FnMut(u8) -> fmt::Result) -> fmt::Result {
        for &byte in self.bytes {
            let mut waiting = [0; NESTING_MAX];
            let mut count = 1;
            waiting[0] = byte;
            while count > 0 {
                count -= 1;
                let byte = waiting[count];
                if byte < FIRST_TOKEN {
                    take(byte)?;
                    continue;
                }
                let at = usize::from(byte - FIRST_TOKEN) * 2;
                let (Some(pair), true) = (self.tokens.get(at..at + 2), count + 2 <= NESTING_MAX)
                else {
                    return Err(fmt::Error);
                };
                waiting[count] = pair[1];
                waiting[count + 1] = pair[0];
                count += 2;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A table that breaks off in a name is no reason to break off the report.
        let _ = self.each(|letter| f.write_char(letter.into()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_layout::tests::image_of;
    use std::string::ToString;
    use std::vec::Vec;

    /// Three functions at 0x1000, 0x1010 and 0x1090; `ab` is token 128, `abab` token 129.
    fn example() -> Vec<u8> {
        let mut table = Vec::from(*MAGIC);
        table.extend([0; 4]);
        table.extend(0x1000_u32.to_le_bytes());
        table.extend(0x2000_u32.to_le_bytes());
        table.extend([b'a', b'b', 128, 128]);
        table.resize(ENTRIES_AT, 0);
        table.extend([0, 3, b'x', b':', 128]);
        table.extend([0x10, 1, 129]);
        table.extend([0x80, 1, 2, 129, b'!']);
        let length = table.len() as u32;
        table[4..8].copy_from_slice(&length.to_le_bytes());
        table
    }

    fn show(table: &[u8], address: u64) -> Option<std::string::String> {
        let found = Table::parse(table)?.find(address)?;
        Some(std::format!("{}+{:#x}", found.name, found.offset))
    }

    #[test]
    fn addresses_have_the_name_of_the_function_before_them() {
        let table = example();
        assert_eq!(show(&table, 0xfff), None);
        assert_eq!(show(&table, 0x1000).as_deref(), Some("x:ab+0x0"));
        assert_eq!(show(&table, 0x100f).as_deref(), Some("x:ab+0xf"));
        assert_eq!(show(&table, 0x1010).as_deref(), Some("abab+0x0"));
        assert_eq!(show(&table, 0x1fff).as_deref(), Some("abab!+0xf6f"));
        assert_eq!(show(&table, 0x2000), None);
    }

    #[test]
    fn names_are_compared_by_their_beginning() {
        let table = example();
        let name = Table::parse(&table).unwrap().find(0x1090).unwrap().name;
        assert_eq!(name.to_string(), "abab!");
        for (prefix, expected) in
            [("", true), ("ab", true), ("abab!", true), ("abab!x", false), ("b", false)]
        {
            assert_eq!(name.starts(prefix), expected, "{prefix}");
        }
    }

    #[test]
    fn no_table_and_broken_tables_have_no_names() {
        let table = example();
        assert!(Table::parse(&[0; 8]).is_none());
        for length in 0..table.len() {
            assert!(Table::parse(&table[..length]).is_none());
        }
        let mut endless = table.clone();
        // Token 128 stands for itself twice: the nesting has a limit.
        endless[TOKENS_AT..TOKENS_AT + 2].copy_from_slice(&[128, 128]);
        assert_eq!(show(&endless, 0x1000).as_deref(), Some("x:+0x0"));
        let mut cut = table;
        cut.truncate(ENTRIES_AT + 4);
        let length = cut.len() as u32;
        cut[4..8].copy_from_slice(&length.to_le_bytes());
        assert_eq!(show(&cut, 0x1000), None);
    }

    #[test]
    fn an_address_is_shown_with_its_function_if_that_is_known() {
        assert_eq!(Location::of(0x12_3456).to_string(), "0x0000000000123456");
        assert_eq!(Location::of_return(0).to_string(), "0x0000000000000000");
        assert!(Location::of(1).name().is_none() && !Location::of(1).is_in(&[""]));
        let found = Table::parse(example().leak()).unwrap().find(0x10a0);
        let location = Location { address: 0x10a0, found };
        assert_eq!(location.to_string(), "0x00000000000010a0 abab!+0x10");
        assert_eq!(location.name().unwrap().to_string(), "abab!");
        assert!(location.is_in(&["x", "aba"]) && !location.is_in(&["x", "b"]));
        assert!(!location.is_in(&[]));
    }

    #[test]
    fn a_difference_has_35_bits_at_most() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 1, b'x', 9];
        assert_eq!(entry(&bytes), Some((0x7_ffff_ffff, &b"x"[..], &[9][..])));
        assert_eq!(entry(&[0x81, 2, 0]), Some((0x101, &[][..], &[][..])));
        assert_eq!((entry(&[0x81]), entry(&[1]), entry(&[1, 2, b'x'])), (None, None, None));
    }

    #[test]
    fn an_image_ends_behind_its_table_at_a_page() {
        let memory = std::vec![0_u8; 3 * PAGE_BYTES].leak();
        let skip = memory.as_ptr().align_offset(PAGE_BYTES);
        let memory = &mut memory[skip..];
        let image = image_of(memory.as_ptr() as u64);
        let table = |bytes: usize, memory: &mut [u8]| {
            memory[..4].copy_from_slice(MAGIC);
            memory[4..8].copy_from_slice(&(bytes as u32).to_le_bytes());
            image_end(&image) - image.symbols
        };
        assert_eq!(image_end(&image), image.symbols, "there is none");
        assert_eq!([271, 272, 4096, 4097].map(|bytes| table(bytes, memory)), [0, 4096, 4096, 8192]);
    }
}
