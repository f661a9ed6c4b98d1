//! Places: where each setting was given, so that an error can name it.

use crate::{
    Bundle, CONFIG_FILE, ConfigError,
    check::Contradiction,
    error::{Origin, quoted},
    keys::{self, KEYS},
    toml,
};
use alloc::{borrow::ToOwned, vec, vec::Vec};

/// The line of a bundle's `appliance.toml`, counted from 1, that gives a key, or an item of its list, counted from 0: for what
/// only those find wrong who use the setting. None if the file does not give it.
pub fn line_of(
    bundle: &Bundle<'_>,
    section: &str,
    name: &str,
    item: Option<usize>,
) -> Option<usize> {
    let file = bundle.get(CONFIG_FILE)?;
    toml::line_of(core::str::from_utf8(file.bytes).ok()?, section, name, item)
}

/// Where the settings of one configuration come from.
pub(crate) struct Places<'a> {
    file: Origin<'a>,
    command_line: Origin<'a>,
    /// For each key of `KEYS`, the text and the offset at which it was last given.
    given: Vec<Option<(Text, usize)>>,
}

#[derive(Clone, Copy)]
enum Text {
    File,
    CommandLine,
}

impl<'a> Places<'a> {
    /// Nothing is given yet.
    pub(crate) fn new(file: Origin<'a>) -> Self {
        let command_line = Origin { file: "command line", text: "" };
        Self { file, command_line, given: vec![None; KEYS.len()] }
    }

    /// The key with this index stands at an offset of the file; false if it stood somewhere already.
    pub(crate) fn in_file(&mut self, index: usize, offset: usize) -> bool {
        let Some(place) = self.given.get_mut(index) else { return false };
        place.replace((Text::File, offset)).is_none()
    }

    /// Whether the key with this index stands anywhere.
    pub(crate) fn is_given(&self, index: usize) -> bool {
        self.given.get(index).is_some_and(Option::is_some)
    }

    /// Words of this line override the file.
    pub(crate) fn read_line(&mut self, command_line: Origin<'a>) {
        self.command_line = command_line;
    }

    /// A word at an offset of the command line sets a key.
    pub(crate) fn in_line(&mut self, section: &str, name: &str, offset: usize) {
        let index = keys::find(section, name).map(|(index, _)| index);
        if let Some(place) = index.and_then(|index| self.given.get_mut(index)) {
            *place = Some((Text::CommandLine, offset));
        }
    }

    /// The error at the first of the settings that was given anywhere.
    pub(crate) fn error(&self, contradiction: Contradiction) -> ConfigError {
        let Contradiction { keys, allowed } = contradiction;
        let place = keys.iter().find_map(|(section, name)| {
            let (index, _) = keys::find(section, name)?;
            self.given.get(index).copied().flatten()
        });
        match place {
            None => ConfigError {
                file: "bundle".to_owned(),
                // No text says so.
                line: 0,
                column: 0,
                found: "the defaults, since no setting says otherwise".to_owned(),
                allowed,
            },
            Some((Text::File, start)) => {
                let line = self.file.text.get(start..).and_then(|rest| rest.lines().next());
                self.file.error(start, quoted(line.unwrap_or("")), allowed)
            }
            Some((Text::CommandLine, start)) => {
                let rest = self.command_line.text.get(start..).unwrap_or("");
                let word = rest.split_ascii_whitespace().next().unwrap_or("");
                self.command_line.error(start, quoted(word), allowed)
            }
        }
    }
}
