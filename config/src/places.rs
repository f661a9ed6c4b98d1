//! Places: where each setting was given, so that an error can name it.

use crate::{
    Bundle, CONFIG_FILE, ConfigError,
    check::{Contradiction, databases::Fault},
    error::{Origin, quoted},
    keys::{self, KEYS},
    toml,
};
use alloc::{borrow::ToOwned, format, string::String, vec, vec::Vec};

/// A key of a file, to be looked for.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// Its section.
    pub section: &'a str,
    /// Zero, or which of the sections it is of which there may be several.
    pub number: usize,
    /// Its name.
    pub name: &'a str,
    /// The item of its list, counted from 0, if not the key itself is sought.
    pub item: Option<usize>,
}

/// The line of a bundle's `appliance.toml`, counted from 1, that gives a key: for what only those find wrong who use the
/// setting. None if the file does not give it.
pub fn line_of(bundle: &Bundle<'_>, sought: Sought<'_>) -> Option<usize> {
    let file = bundle.get(CONFIG_FILE)?;
    toml::line_of(core::str::from_utf8(file.bytes).ok()?, sought)
}

/// Where the settings of one configuration come from.
pub(crate) struct Places<'a> {
    file: Origin<'a>,
    command_line: Origin<'a>,
    /// For each key of `KEYS`, the text and the offset at which it was last given.
    given: Vec<Option<(Text, usize)>>,
    /// Sections of which there may be several, in their order.
    repeated: Vec<Repeated>,
}

/// A section of which there may be several: where it begins, and its keys.
struct Repeated {
    section: &'static str,
    start: usize,
    given: Vec<(usize, usize)>,
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
        Self { file, command_line, given: vec![None; KEYS.len()], repeated: Vec::new() }
    }

    /// The key with this index stands at an offset of the file; false if it stood somewhere already.
    pub(crate) fn in_file(&mut self, index: usize, offset: usize) -> bool {
        let is_repeated = KEYS.get(index).is_some_and(|key| keys::is_repeated(key.section));
        if let Some(own) = self.repeated.last_mut().filter(|_| is_repeated) {
            let is_first = own.given.iter().all(|(other, _)| *other != index);
            own.given.push((index, offset));
            return is_first;
        }
        let Some(place) = self.given.get_mut(index) else { return false };
        place.replace((Text::File, offset)).is_none()
    }

    /// Whether the key with this index stands anywhere.
    pub(crate) fn is_given(&self, index: usize) -> bool {
        let is_among = |own: &Repeated| own.given.iter().any(|(other, _)| *other == index);
        self.given.get(index).is_some_and(Option::is_some) || self.repeated.iter().any(is_among)
    }

    /// Another section begins in the line with this offset of the file, of those of which there may be several.
    pub(crate) fn begin_repeated(&mut self, section: &'static str, start: usize) {
        let before = self.file.text.get(..start).unwrap_or("");
        let start = before.rfind('\n').map_or(0, |line_end| line_end + 1);
        self.repeated.push(Repeated { section, start, given: Vec::new() });
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
                found: match keys.first() {
                    Some((section, name)) => {
                        format!(
                            "the default of {name} in [{section}], since no setting says otherwise"
                        )
                    }
                    None => "the defaults, since no setting says otherwise".to_owned(),
                },
                allowed,
                more: Vec::new(),
            },
            Some((Text::File, start)) => self.in_line_of_file(start, allowed),
            Some((Text::CommandLine, start)) => {
                let rest = self.command_line.text.get(start..).unwrap_or("");
                let word = rest.split_ascii_whitespace().next().unwrap_or("");
                self.command_line.error(start, quoted(word), allowed)
            }
        }
    }

    /// The error of one of the sections of which there may be several, by its number from zero: at the key, or where the
    /// section begins.
    pub(crate) fn error_in(&self, fault: Fault) -> ConfigError {
        let Fault { section, number, key: name, allowed } = fault;
        let Some(own) = self.repeated.iter().filter(|own| own.section == section).nth(number)
        else {
            return self.error(Contradiction { keys: Vec::new(), allowed });
        };
        let is_it =
            |(index, _): &&(usize, usize)| KEYS.get(*index).is_some_and(|key| key.name == name);
        let start = own.given.iter().find(is_it).map_or(own.start, |(_, offset)| *offset);
        self.in_line_of_file(start, allowed)
    }

    fn in_line_of_file(&self, start: usize, allowed: String) -> ConfigError {
        let line = self.file.text.get(start..).and_then(|rest| rest.lines().next());
        self.file.error(start, quoted(line.unwrap_or("")), allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpio;

    #[test]
    fn the_line_of_a_key_is_that_of_the_file_in_the_bundle() {
        let lines = |path: &str, text: &[u8]| {
            let mut writer = cpio::Writer::new();
            writer.file(path, text, 0).unwrap();
            let archive = writer.finish();
            let bundle = Bundle::parse(&archive).unwrap();
            ["port", "hosts", "index"].map(|name| {
                line_of(&bundle, Sought { section: "http", number: 0, name, item: None })
            })
        };
        let text = b"[http]\n\nport = 80\nhosts = []\n";
        assert_eq!(lines("appliance.toml", text), [Some(3), Some(4), None]);
        assert_eq!(lines("other.toml", text), [None; 3]);
        assert_eq!(lines("appliance.toml", b"[http]\nport = 80 # \xff\n"), [None; 3]);
    }
}
