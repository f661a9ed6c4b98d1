//! Absent targets: rules that answer with a file, and no file is there.

use super::{Piece, REDIRECTS_FILE, Redirects, Rule, pieces};
use crate::files::normalise;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A rule whose file is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentTarget {
    /// Its line, counted from 1.
    pub line: usize,
    /// The path of the file, as the line has it.
    pub to: String,
}

impl fmt::Display for AbsentTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, to } = self;
        write!(f, "{REDIRECTS_FILE}:{line}: it answers nothing, since no file is at {to}")
    }
}

impl Redirects {
    /// Rules that answer with a file (200, 404, 410) which is not among those with these paths below the site's root. One whose
    /// file depends on the request is not among them, nor one whose target may be a folder's index or a page without its extension.
    pub fn absent_targets<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Vec<AbsentTarget> {
        let fixed: Vec<_> = self.rules.iter().filter(|rule| rule.has_fixed_file()).collect();
        if fixed.is_empty() {
            return Vec::new();
        }
        let paths: BTreeSet<&str> = paths.collect();
        let is_there = |to: &str| {
            let path = to.split(['?', '#']).next().unwrap_or("");
            let Ok(name) = normalise(path.as_bytes()) else { return false };
            let name = name.trim_end_matches('/');
            let begins = |start: &str| {
                paths.range(start..).next().is_some_and(|path| path.starts_with(start))
            };
            let is_root = name.is_empty();
            is_root
                || paths.contains(name)
                || begins(&format!("{name}."))
                || begins(&format!("{name}/"))
        };
        let absent = fixed.into_iter().filter(|rule| !is_there(&rule.to));
        absent.map(|rule| AbsentTarget { line: rule.line, to: (*rule.to).to_owned() }).collect()
    }
}

impl Rule {
    /// Whether it answers with the same file whatever is asked.
    fn has_fixed_file(&self) -> bool {
        !self.moves() && !pieces(&self.to).any(|piece| matches!(piece, Piece::Name(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn what_answers_with_a_file_that_is_not_there_is_told() {
        let rules = "/a/* /gone.html 410\n/b /there.html 200\n/c /none 404\n/d /moved\n/:x/e /p/:x.html 200\n\
                     /f /folder/ 200\n/g /there 200\n/h / 200\n/i /with%20space?q#f 200\n/j /the 200!\n";
        let redirects = Redirects::parse(rules.as_bytes()).unwrap();
        let paths = ["there.html", "folder/index.html", "with space", "the-other.html"];
        let told = redirects.absent_targets(paths.into_iter());
        let lines: Vec<_> = told.iter().map(|it| it.line).collect();
        assert_eq!(lines, [1, 3, 10]);
        let said = "_redirects:1: it answers nothing, since no file is at /gone.html";
        assert_eq!(told[0].to_string(), said);
        let all = ["gone.html", "none", "the"];
        assert_eq!(redirects.absent_targets(paths.into_iter().chain(all)), []);
    }
}
