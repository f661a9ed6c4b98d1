//! Hidden rules: those that no request comes to, since an earlier one is for all of theirs.

use super::{REDIRECTS_FILE, Redirects, Rule, Segment};
use core::fmt;

/// A rule that no request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenRule {
    /// Its line, counted from 1.
    pub line: usize,
    /// The line of the rule that all its requests come to.
    pub by: usize,
}

impl fmt::Display for HiddenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, by } = self;
        write!(
            f,
            "{REDIRECTS_FILE}:{line}: it never counts, since line {by} is for all its paths and comes first"
        )
    }
}

impl Redirects {
    /// Rules that no request comes to, each with the first that hides it. One that several others hide together is not
    /// among them.
    pub fn hidden(&self) -> impl Iterator<Item = HiddenRule> {
        self.rules.iter().enumerate().filter_map(|(index, rule)| {
            let earlier = self.patterns.iter().take_while(move |other| **other < index);
            let mut earlier = earlier.filter_map(|other| self.rules.get(*other));
            let by = earlier.find(|other| other.hides(rule))?;
            Some(HiddenRule { line: rule.line, by: by.line })
        })
    }
}

impl Rule {
    /// Whether all requests that fit a later rule fit this one, and come to it first.
    fn hides(&self, later: &Rule) -> bool {
        // What is forced goes before all that is not, wherever it stands.
        (self.is_forced || !later.is_forced)
            && self.has_paths_of(later)
            && self.has_queries_of(later)
    }

    fn has_paths_of(&self, later: &Rule) -> bool {
        let (mut own, mut others) = (self.from.iter(), later.from.iter());
        loop {
            match (own.next(), others.next()) {
                (None, None) | (Some(Segment::Rest), _) => return true,
                (Some(Segment::Named(_)), Some(Segment::Literal(_) | Segment::Named(_))) => {}
                (Some(Segment::Literal(own)), Some(Segment::Literal(other))) if own == other => {}
                _ => return false,
            }
        }
    }

    /// A condition less is for more requests.
    fn has_queries_of(&self, later: &Rule) -> bool {
        self.query.iter().all(|(name, wanted)| {
            let mut same = later.query.iter().filter(|(other, _)| other == name);
            same.any(|(_, value)| match wanted {
                Segment::Named(_) => true,
                Segment::Literal(_) | Segment::Rest => value == wanted,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn hidden(file: &str) -> Vec<(usize, usize)> {
        let redirects = Redirects::parse(file.as_bytes()).unwrap();
        redirects.hidden().map(|it| (it.line, it.by)).collect()
    }

    #[test]
    fn a_rule_that_an_earlier_one_covers_is_told_with_both_lines() {
        for (file, expected) in [
            ("/a/* /x\n/a/b /y\n", &[(2, 1)][..]),
            ("/a/* /x\n# why\n/a /y\n/a/:n/c /z\n", &[(3, 1), (4, 1)]),
            ("/* /x\n/ /y\n/b/* /z\n", &[(2, 1), (3, 1)]),
            ("/:one/:two /x\n/a/:b /y\n/a/b /z\n", &[(2, 1), (3, 1)]),
            ("/a/* /x\n/a/b/* /y\n/a/b/c /z\n", &[(2, 1), (3, 1)]),
            ("/a q=:v /x\n/a q=1 /y\n", &[(2, 1)]),
            ("/a/* /x 301!\n/a/b /y 301!\n/a/c /z\n", &[(2, 1), (3, 1)]),
        ] {
            assert_eq!(hidden(file), expected, "{file}");
        }
        let redirects = Redirects::parse(b"/a/* /x\n/a/b /y\n").unwrap();
        let said = alloc::string::ToString::to_string(&redirects.hidden().next().unwrap());
        assert_eq!(
            said,
            "_redirects:2: it never counts, since line 1 is for all its paths and comes first"
        );
    }

    #[test]
    fn a_rule_that_some_request_comes_to_is_not() {
        for file in [
            "/a/b /y\n/a/* /x\n",
            "/a/:n /x\n/a/b/c /y\n/a /z\n",
            "/a/:n /x\n/a/* /y\n",
            "/a/* /x\n/a/b /y 301!\n",
            "/a q=1 /x\n/a q=2 /y\n/a /z\n",
            "/a q=:v /x\n/a r=1 /y\n",
            "/a/* q=1 /x\n/a/b /y\n",
            "/a/* /x\n/b/* /y\n",
        ] {
            assert_eq!(hidden(file), [], "{file}");
        }
    }

    /// Whatever is told as hidden is never found.
    #[test]
    fn what_is_hidden_answers_nothing() {
        let file = "/a/* /one\n/a/b /two\n/:x/c q=:v /three\n/d/c q=7 /four\n/d/c /five\n";
        let redirects = Redirects::parse(file.as_bytes()).unwrap();
        assert_eq!(hidden(file), [(2, 1), (4, 3)]);
        for (path, query) in [("a/b", None), ("d/c", Some(&b"q=7"[..])), ("d/c", None)] {
            let found = redirects.find(path, query, false);
            let text = alloc::format!("{found:?}");
            assert!(!text.contains("two") && !text.contains("four"), "{path}: {text}");
        }
    }
}
