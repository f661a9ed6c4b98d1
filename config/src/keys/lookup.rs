//! Lookup: keys by their section and name.

use super::{KEYS, Key, Rule};
use alloc::{format, string::String, vec::Vec};

/// Every key that `appliance.toml` may have, as its section and its name, in the order of the file.
pub fn keys() -> impl ExactSizeIterator<Item = (&'static str, &'static str)> {
    KEYS.iter().map(|key| (key.section, key.name))
}

/// The key of that name, with its place in `KEYS`.
pub(crate) fn find(section: &str, name: &str) -> Option<(usize, &'static Key)> {
    KEYS.iter().enumerate().find(|(_, key)| key.section == section && key.name == name)
}

/// The key of a section that takes any name, with its place in `KEYS`.
pub(crate) fn find_named(section: &str) -> Option<(usize, &'static Key)> {
    let is_named = |key: &Key| matches!(key.rule, Rule::Named { .. });
    KEYS.iter().enumerate().find(|(_, key)| key.section == section && is_named(key))
}

/// The section names, each once, in the order of the file.
pub(crate) fn sections() -> Vec<&'static str> {
    let mut names: Vec<_> = KEYS.iter().map(|key| key.section).collect();
    names.dedup();
    names
}

/// Whether a section may stand several times, each time for another thing: as `[[section]]`, an array of tables.
pub(crate) fn is_repeated(section: &str) -> bool {
    ["site_host", "site_rule", "database"].contains(&section)
}

/// A section's first line.
pub(crate) fn heading(section: &str) -> String {
    if is_repeated(section) { format!("[[{section}]]") } else { format!("[{section}]") }
}
