//! Rules by path: fields that answers get or lose.

use crate::fields::FieldLines;
use crate::syntax::trim;
use crate::{Response, Status};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// Asterisks of one pattern: each may begin again for every byte of a path.
pub const ASTERISKS_MAX: usize = 4;

/// A pattern of paths: `/about` is that path alone, `/assets/*` what is below, `*.js` what ends so. An asterisk stands for any
/// text, slashes and nothing included. Paths are compared as they are when decoded, letter case included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The pattern that a text means; none if it begins with neither a slash nor an asterisk, or has more than
    /// [`ASTERISKS_MAX`].
    pub fn new(text: &str) -> Option<Self> {
        let is_pattern = text.starts_with(['/', '*'])
            && text.matches('*').count() <= ASTERISKS_MAX
            && !text.contains(char::is_control);
        is_pattern.then(|| Self(text.into()))
    }

    /// Whether it is a pattern of this path.
    pub fn fits(&self, path: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else {
            return false;
        };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        // The leftmost place of each leaves the most for those behind it.
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

/// What answers for the paths of a pattern get and lose.
#[derive(Clone, Debug)]
pub struct FieldRule {
    /// Of which paths: of the one that is asked for, or of the file that answers.
    pub pattern: Pattern,
    /// Fields that are set, in place of others of their names; but for `Vary`, which is added.
    pub set: Vec<(String, String)>,
    /// Names of fields that are left out.
    pub removed: Vec<String>,
}

impl FieldRule {
    fn fits(&self, paths: &[&str]) -> bool {
        paths.iter().any(|path| self.pattern.fits(path))
    }

    /// Fields as they are with this rule.
    fn apply(&self, fields: &mut Vec<(String, String)>) {
        let is_replaced = |name: &str| {
            let is_it = |own: &str| own.eq_ignore_ascii_case(name);
            !is_it("vary") && self.set.iter().any(|(own, _)| is_it(own))
                || self.removed.iter().any(|own| is_it(own))
        };
        fields.retain(|(name, _)| !is_replaced(name));
        fields.extend(self.set.iter().cloned());
    }
}

/// Field lines of a file, as the rules for its paths leave them.
pub(super) fn lines(
    rules: &[FieldRule],
    paths: &[&str],
    mut fields: Vec<(String, String)>,
) -> FieldLines {
    for rule in rules.iter().filter(|rule| rule.fits(paths)) {
        rule.apply(&mut fields);
    }
    let mut lines = FieldLines::default();
    for (name, value) in fields {
        lines.push(&name, value.as_bytes());
    }
    lines
}

/// A response for these paths as the rules leave it, which may be done again. What is no success says nothing of how long it
/// may be kept: a file that is missing now may be there tomorrow.
pub(super) fn applied(rules: &[FieldRule], paths: &[&str], mut response: Response) -> Response {
    let is_kept = is_kept(response.status());
    for rule in rules.iter().filter(|rule| rule.fits(paths)) {
        for name in &rule.removed {
            response = response.without_header(name);
        }
        for (name, value) in &rule.set {
            if !is_kept && is_freshness(name, value) {
                continue;
            }
            if !name.eq_ignore_ascii_case("vary") {
                response = response.without_header(name);
            } else if response.headers_named(name).any(|own| own == value.as_bytes()) {
                continue;
            }
            response = response.with_header(name, value);
        }
    }
    response
}

/// Whether answers of this status may be kept as the rules for their path say: those with the file, and those that say that
/// it is the same.
pub(super) fn is_kept(status: Status) -> bool {
    matches!(status.code(), 200..=299 | 304)
}

/// Whether a field lets caches keep an answer for a time (RFC 9111 sections 5.2.2 and 5.3): what only forbids it does not.
fn is_freshness(name: &str, value: &str) -> bool {
    const FORBIDDING: [&str; 6] =
        ["no-store", "no-cache", "private", "no-transform", "must-revalidate", "max-age=0"];
    let forbids = |directive: &[u8]| {
        FORBIDDING.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(trim(directive)))
    };
    let is_it = |own: &str| own.eq_ignore_ascii_case(name);
    is_it("expires")
        || is_it("cache-control") && !value.as_bytes().split(|&it| it == b',').all(forbids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_exact_or_have_asterisks() {
        for (pattern, fitting, others) in [
            ("/", &["/"][..], &["/a", ""][..]),
            ("/about", &["/about"], &["/about/", "/abou", "/x/about", "/About"]),
            ("/a/*", &["/a/", "/a/b", "/a/b/c.js"], &["/a", "/b/a/"]),
            ("/*", &["/", "/a"], &[""]),
            ("*.js", &["/a.js", "/a/b.js", "/.js"], &["/a.jsx", "/js"]),
            ("/a/*.js", &["/a/b.js", "/a/b/c.js"], &["/b.js", "/a/b.css", "/a.js"]),
            ("*a*b*", &["/ab", "/xaxbx"], &["/ba", "/a"]),
            ("/aa*aa", &["/aaaa", "/aabaa"], &["/aaa", "/aa"]),
            ("/ü*", &["/über"], &["/u"]),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            assert!(fitting.iter().all(|path| pattern.fits(path)), "{pattern:?}");
            assert!(!others.iter().any(|path| pattern.fits(path)), "{pattern:?}");
        }
        for text in ["", "a", "a*", "/*****", "/a\n"] {
            assert_eq!(Pattern::new(text), None, "{text}");
        }
    }

    fn rule(pattern: &str, set: &[(&str, &str)], removed: &[&str]) -> FieldRule {
        let own = |text: &&str| String::from(*text);
        FieldRule {
            pattern: Pattern::new(pattern).unwrap(),
            set: set.iter().map(|(name, value)| (own(name), own(value))).collect(),
            removed: removed.iter().map(own).collect(),
        }
    }

    #[test]
    fn what_a_later_rule_says_is_in_force() {
        let rules = [
            rule("/*", &[("X-A", "1"), ("X-B", "1"), ("Vary", "Origin")], &[]),
            rule("*.html", &[("x-a", "2"), ("X-C", "3")], &["etag", "X-b"]),
            rule("/other", &[("X-A", "4")], &[]),
        ];
        let own = || {
            let fields = [("ETag", "\"1\""), ("Vary", "Accept-Encoding")];
            fields.map(|(name, value)| (String::from(name), String::from(value))).into()
        };
        let expected = b"Vary: Accept-Encoding\r\nVary: Origin\r\nx-a: 2\r\nX-C: 3\r\n";
        assert_eq!(lines(&rules, &["/", "/index.html"], own()).as_bytes(), expected);
        let plain = lines(&rules, &["/a.js"], own());
        let expected =
            b"ETag: \"1\"\r\nVary: Accept-Encoding\r\nX-A: 1\r\nX-B: 1\r\nVary: Origin\r\n";
        assert_eq!(plain.as_bytes(), expected);
        let response = Response::plain(Status::NOT_FOUND).with_header("ETag", "\"1\"");
        let response = applied(&rules, &["/a.html"], response);
        assert_eq!(response.lines(), b"Vary: Origin\r\nx-a: 2\r\nX-C: 3\r\n");
        let again = applied(&rules, &["/a.html"], response);
        assert_eq!(again.lines(), b"Vary: Origin\r\nx-a: 2\r\nX-C: 3\r\n");
    }

    #[test]
    fn only_successes_are_kept_for_a_time() {
        let long = "public, max-age=31536000, immutable";
        for (name, value, is_for_errors) in [
            ("Cache-Control", long, false),
            ("cache-control", "max-age=1", false),
            ("Cache-Control", "no-cache, stale-if-error=60", false),
            ("Expires", "Thu, 01 Jan 2099 00:00:00 GMT", false),
            ("Cache-Control", "no-store", true),
            ("Cache-Control", "Private, NO-CACHE", true),
            ("X-A", long, true),
        ] {
            let rules = [rule("/*", &[(name, value)], &[])];
            for (code, is_success) in [
                (Status::OK, true),
                (Status::PARTIAL_CONTENT, true),
                (Status::NOT_MODIFIED, true),
                (Status::MOVED_PERMANENTLY, false),
                (Status::UNAUTHORIZED, false),
                (Status::NOT_FOUND, false),
                (Status::RANGE_NOT_SATISFIABLE, false),
                (Status::INTERNAL_SERVER_ERROR, false),
            ] {
                let response = applied(&rules, &["/a"], Response::plain(code));
                let is_said = response.header(name).is_some();
                assert_eq!(is_said, is_success || is_for_errors, "{value} {code:?}");
            }
        }
    }
}
