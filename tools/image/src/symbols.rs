//! The table of functions' names for the image's own backtraces; `crates/machine/src/symbols.rs` says what it looks
//! like and reads it.

use command::{
    failure::{Failure, Result, fail},
    programs::{self, Program},
};
use std::{collections::HashMap, path::Path};

pub(crate) const NM: Program = Program { name: "nm", package: "binutils" };
/// What stands among the functions and is none: labels of the linker script, and data of the boot code.
const LABELS: [&str; 7] = [
    "image_start",
    "__executable_start",
    "boot_end",
    "text_start",
    "text_end",
    "__etext",
    "packed",
];
const TOKENS: usize = 128;
const FIRST_TOKEN: u8 = 128;
/// Bytes that the reader has waiting while it takes a token apart.
const NESTING_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 255;

/// What the linker made of the program.
pub(crate) struct Symbols {
    /// By address.
    functions: Vec<(u64, String)>,
    end: u64,
    /// The others.
    places: HashMap<String, u64>,
}

impl Symbols {
    /// Of a linked image.
    pub(crate) fn read(linked: &Path) -> Result<Self> {
        let listing = programs::output(
            programs::command(&NM)?
                .args(["--defined-only", "--demangle", "--numeric-sort"])
                .arg(linked),
        )?;
        Self::parse(&listing)
    }

    fn parse(listing: &str) -> Result<Self> {
        let mut functions: Vec<(u64, String)> = Vec::new();
        let mut places = HashMap::new();
        for line in listing.lines() {
            let mut words = line.splitn(3, ' ');
            let (Some(address), Some(kind), Some(name)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let Ok(address) = u64::from_str_radix(address, 16) else { continue };
            let is_new = functions.last().is_none_or(|last| last.0 < address);
            if !matches!(kind, "t" | "T") || LABELS.contains(&name) {
                places.insert(name.to_owned(), address);
            } else if is_new {
                functions.push((address, shorten(name)));
            }
        }
        match places.get("text_end") {
            Some(&end) if !functions.is_empty() => Ok(Self { functions, end, places }),
            _ => fail!("the image has no symbols: its linker script and xtask do not fit together"),
        }
    }

    /// The address of what is no function.
    pub(crate) fn place(&self, name: &str) -> Result<u64> {
        let place = self.places.get(name).copied();
        place.ok_or_else(|| Failure(format!("the linked image has no `{name}`")))
    }

    /// The functions' names.
    pub(crate) fn table(&self) -> Vec<u8> {
        let names = self.functions.iter().map(|(_, name)| name.as_bytes().to_vec()).collect();
        let (names, tokens) = tokenise(names);
        let start = self.functions[0].0;
        let mut table = b"SYMS\0\0\0\0".to_vec();
        table.extend((start as u32).to_le_bytes());
        table.extend((self.end as u32).to_le_bytes());
        table.extend(tokens.as_flattened());
        let mut before = start;
        for ((address, _), name) in self.functions.iter().zip(&names) {
            leb128(&mut table, address - before);
            before = *address;
            let name = &name[..name.len().min(NAME_BYTES_MAX)];
            table.push(name.len() as u8);
            table.extend(name);
        }
        let length = table.len() as u32;
        table[4..8].copy_from_slice(&length.to_le_bytes());
        table
    }
}

fn leb128(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A name without generic arguments, and a type's path instead of `<Type as Trait>`.
fn shorten(name: &str) -> String {
    /// What a bracket that is still open does to what is in it.
    #[derive(PartialEq)]
    enum Bracket {
        /// `<Type`: is written.
        Type,
        /// `as Trait>` and generic arguments: are not.
        Hidden,
    }
    let mut out = String::with_capacity(name.len());
    let mut open: Vec<Bracket> = Vec::new();
    let mut before = ' ';
    for (at, letter) in name.char_indices() {
        let hidden = open.last() == Some(&Bracket::Hidden);
        match letter {
            '<' if !hidden && begins_path(&out) => open.push(Bracket::Type),
            '<' => {
                if !hidden && out.ends_with("::") {
                    out.truncate(out.len() - 2);
                }
                open.push(Bracket::Hidden);
            }
            '>' if before != '-' => drop(open.pop()),
            ' ' if !hidden && !open.is_empty() && name[at..].starts_with(" as ") => {
                open.pop();
                open.push(Bracket::Hidden);
            }
            _ if !hidden && letter.is_ascii() => out.push(letter),
            _ => {}
        }
        before = letter;
    }
    out
}

/// Whether a `<` here opens a path instead of following one.
fn begins_path(out: &str) -> bool {
    out.is_empty() || out.ends_with(['(', ',', ' ', '&', '[', '*'])
}

/// Replaces the most frequent pairs of bytes by tokens, until there are no more tokens (byte pair encoding).
fn tokenise(mut names: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, [[u8; 2]; TOKENS]) {
    let mut tokens = [[0; 2]; TOKENS];
    let mut nesting = [1; 256];
    for (token, definition) in (FIRST_TOKEN..=u8::MAX).zip(&mut tokens) {
        let mut counts: HashMap<[u8; 2], usize> = HashMap::new();
        for pair in names.iter().flat_map(|name| name.windows(2)) {
            *counts.entry([pair[0], pair[1]]).or_default() += 1;
        }
        let needs = |pair: &[u8; 2]| (nesting[pair[0] as usize] + 1).max(nesting[pair[1] as usize]);
        let fits = counts.iter().filter(|(pair, _)| needs(pair) <= NESTING_MAX);
        // Of equals the same one each time: an image is the same when its source is.
        let Some((&pair, _)) = fits.max_by_key(|&(pair, count)| (count, pair)) else { break };
        (*definition, nesting[token as usize]) = (pair, needs(&pair));
        for name in &mut names {
            *name = replace(name, pair, token);
        }
    }
    (names, tokens)
}

fn replace(name: &[u8], pair: [u8; 2], token: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, others @ ..] = rest {
        if rest.starts_with(&pair) {
            out.push(token);
            rest = &rest[2..];
        } else {
            out.push(*first);
            rest = others;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_says_little() {
        for (long, short) in [
            ("machine::console::write", "machine::console::write"),
            ("<net::tuple::Tuple>::is_answerable", "net::tuple::Tuple::is_answerable"),
            ("<alloc::vec::Vec<u8>>::grow::<alloc::Global>", "alloc::vec::Vec::grow"),
            ("<a::B<c::D> as e::F<g>>::h::{closure#0}", "a::B::h::{closure#0}"),
            (
                "<<a::B>::c::{closure#0} as FnOnce<(&mut [u8],)>>::call_once",
                "a::B::c::{closure#0}::call_once",
            ),
            (
                "core::ptr::drop_in_place::<fn(u8) -> alloc::boxed::Box<dyn F>>",
                "core::ptr::drop_in_place",
            ),
            ("<&mut [a::B<c>] as d::E>::f", "&mut [a::B]::f"),
        ] {
            assert_eq!(shorten(long), short, "{long}");
        }
    }

    #[test]
    fn tokens_give_the_names_back() {
        let name = |n: usize| format!("alloc::vec::Vec::push_{n}_{}", "ab".repeat(n % 40));
        let names: Vec<_> = (0..500).map(|n| name(n).into_bytes()).collect();
        let (short, tokens) = tokenise(names.clone());
        let expand = |byte: u8| {
            let mut bytes = vec![byte];
            while let Some(at) = bytes.iter().position(|&byte| byte >= FIRST_TOKEN) {
                let pair = tokens[usize::from(bytes[at] - FIRST_TOKEN)];
                bytes.splice(at..=at, pair);
            }
            bytes
        };
        let long: Vec<_> = short
            .iter()
            .map(|name| name.iter().flat_map(|&byte| expand(byte)).collect::<Vec<_>>())
            .collect();
        assert_eq!(long, names);
        assert!(short.concat().len() * 4 < names.concat().len());
    }

    #[test]
    fn a_listing_gives_functions_by_address() {
        let listing = "0000000000100000 T image_start\n0000000000100000 T pvh_start\n0000000000100000 T twin\n\
             0000000000100010 t a::b::<c>\n0000000000100100 T text_end\n0000000000200000 r constant\n\
             0000000000300000 R symbols\n";
        let symbols = Symbols::parse(listing).unwrap();
        let functions: Vec<_> =
            symbols.functions.iter().map(|(at, name)| (*at, name.as_str())).collect();
        assert_eq!(functions, [(0x10_0000, "pvh_start"), (0x10_0010, "a::b")]);
        assert_eq!((symbols.end, symbols.place("symbols").unwrap()), (0x10_0100, 0x30_0000));
        assert!(symbols.place("a::b").is_err());
        assert!(Symbols::parse("").is_err());
    }
}
