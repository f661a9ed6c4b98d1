//! One error type: a place, what stands there, what may stand there.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

/// Why a configuration was refused. Prints as one sentence:
/// `appliance.toml:3:8: found "eighty"; allowed: a whole number from 1 to 65535`, and as one for each [other
/// fault](Self::more), a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// `appliance.toml`, a path, `command line` or `bundle`.
    pub file: String,
    /// Counted from 1; 0 where no place is to blame.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// What stands there, shortened to one line.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
    /// What else is wrong, in the order of the text. Each of them has nothing here.
    pub more: Vec<ConfigError>,
}

/// Errors of one configuration that are told.
const TOLD_MAX: usize = 20;

impl ConfigError {
    /// All of these as one, in the order of the text; of a line the first, since what follows may come of it. None if there are
    /// none.
    pub(crate) fn all(mut errors: Vec<Self>) -> Option<Self> {
        let place = |error: &Self| (error.file.clone(), error.line);
        errors.sort_by_key(place);
        errors.dedup_by(|next, one| next.line > 0 && place(next) == place(one));
        errors.truncate(TOLD_MAX);
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        Some(Self { more: errors.collect(), ..first })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, found, allowed, more } = self;
        match line {
            0 => write!(f, "{file}: found {found}; allowed: {allowed}")?,
            _ => write!(f, "{file}:{line}:{column}: found {found}; allowed: {allowed}")?,
        }
        more.iter().try_for_each(|error| write!(f, "\n{error}"))
    }
}

impl core::error::Error for ConfigError {}

/// A text with a name, in which errors have a place.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

impl Origin<'_> {
    /// An error at a byte offset; an offset outside of the text means its end.
    pub(crate) fn error(&self, offset: usize, found: String, allowed: String) -> ConfigError {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let found = if self.is_secret(line_start) { NOT_SHOWN.to_owned() } else { found };
        ConfigError {
            file: self.file.to_owned(),
            line: count(before.bytes().filter(|byte| *byte == b'\n').count()),
            column: count(before.get(line_start..).unwrap_or("").chars().count()),
            found,
            allowed,
            more: Vec::new(),
        }
    }
}

/// Keys whose values stand in no error: errors are logged, and sent to others with questions.
const SECRETS: &[(&str, &str)] = &[
    ("tls", "ticket_key"),
    ("affinity", "key"),
    ("sessions", "carry_over"),
    ("names", "servers"),
    ("admin", "token"),
    ("capabilities", ANY),
    ("database", "password"),
    ("site_rule", "users"),
];
const ANY: &str = "*";

const NOT_SHOWN: &str = "a value that is not shown, since it may be a secret";

impl Origin<'_> {
    /// Whether the line that begins there gives a key that is a secret. It is read as text, since what is wrong with it may be
    /// that it is no TOML.
    fn is_secret(&self, line_start: usize) -> bool {
        let (before, rest) = self.text.split_at_checked(line_start).unwrap_or((self.text, ""));
        let Some((name, _)) = rest.lines().next().and_then(|line| line.split_once('=')) else {
            return false;
        };
        let header = before.lines().rev().find(|line| line.trim_start().starts_with('['));
        let section = header.unwrap_or("").trim().trim_matches(['[', ']', ' ']);
        let name = name.trim().trim_matches(['"', '\'']);
        SECRETS.iter().any(|known| *known == (section, name) || *known == (section, ANY))
    }
}

/// The text of a place for an error: quoted, one line, at most `FOUND_CHARS_MAX` characters.
pub(crate) fn quoted(text: &str) -> String {
    const FOUND_CHARS_MAX: usize = 60;
    let line = text.lines().next().unwrap_or("");
    let mut found = String::from("`");
    found.extend(line.chars().take(FOUND_CHARS_MAX).map(printable));
    if line.chars().count() > FOUND_CHARS_MAX || line.len() < text.trim_end().len() {
        found.push_str("...");
    }
    found.push('`');
    found
}

fn printable(character: char) -> char {
    if character.is_control() { '?' } else { character }
}

fn count(before: usize) -> u32 {
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_place_is_a_line_and_a_column_in_characters() {
        let origin = Origin { file: "a.toml", text: "ä = 1\nnäh = 2" };
        let at = origin.text.find('2').unwrap();
        let error = origin.error(at, quoted("2"), "1".to_string());
        assert_eq!(error.to_string(), "a.toml:2:7: found `2`; allowed: 1");
        let end = origin.error(usize::MAX, String::new(), String::new());
        assert_eq!((end.line, end.column), (2, 8));
    }

    #[test]
    fn secrets_are_not_shown() {
        const SECRET: &str = "deadbeef";
        for (section, name) in SECRETS {
            let name = if *name == ANY { "store" } else { name };
            let heading = crate::keys::heading(section);
            let spaced = heading.replace(section, &std::format!(" {section} "));
            for value in [
                "\"deadbeef\"",
                "deadbeef",
                "\"deadbeef",
                "'deadbeef",
                "\"deadbeef\" x",
                "[\"deadbeef\"]",
            ] {
                for text in [
                    std::format!("[http]\n{heading}\n{name} = {value}\n"),
                    std::format!("{spaced}\n\"{name}\"={value}"),
                ] {
                    let Err(error) = crate::Config::parse("a.toml", &text) else {
                        // Almost any text is a password.
                        assert_eq!((*section, name), ("database", "password"), "{text}");
                        continue;
                    };
                    let error = error.to_string();
                    assert!(!error.contains(SECRET) && error.contains("secret"), "{text}: {error}");
                }
            }
        }
        let error = crate::Config::parse("a.toml", "[http]\nindex = deadbeef\n").unwrap_err();
        assert!(error.to_string().contains(SECRET));
    }

    #[test]
    fn what_was_found_is_one_short_printable_line() {
        assert_eq!(quoted("a\u{1b}[0m\nb"), "`a?[0m...`");
        let long = "x".repeat(1000);
        assert!(quoted(&long).len() < 80);
        for (chars, end) in [(60, "ä`"), (61, "ä...`")] {
            let found = quoted(&"ä".repeat(chars));
            assert!(found.ends_with(end) && found.matches('ä').count() == 60, "{found}");
        }
        assert_eq!(quoted("end\n"), "`end`");
    }

    #[test]
    fn of_a_line_the_first_fault_is_told_and_all_of_those_without_a_line() {
        let error = |file: &str, line, found: &str| ConfigError {
            file: file.to_string(),
            line,
            column: 1,
            found: found.to_string(),
            allowed: String::new(),
            more: Vec::new(),
        };
        let told = |errors: Vec<ConfigError>| -> Vec<String> {
            let all = ConfigError::all(errors).unwrap();
            assert!(all.more.iter().all(|it| it.more.is_empty()));
            core::iter::once(&all).chain(&all.more).map(|it| it.found.clone()).collect()
        };
        assert_eq!(ConfigError::all(Vec::new()), None);
        let errors = std::vec![
            error("b", 2, "f"),
            error("b", 1, "d"),
            error("b", 1, "e"),
            error("a", 1, "c"),
            error("a", 0, "a"),
            error("a", 0, "b"),
        ];
        assert_eq!(told(errors), ["a", "b", "c", "d", "f"]);
        let many: Vec<_> = (1..=100).map(|line| error("a", line, "x")).collect();
        assert_eq!(told(many).len(), 20);
    }
}
