//! Redirects and rewrites from a file of the site, in the syntax that Netlify documents for `_redirects`.
//!
//! A line is `FROM [NAME=VALUE...] TO [STATUS[!]]`; `#` begins a comment. FROM is a path. A segment `:name` of it stands for any
//! segment, and `*` at its end for all that follows, which TO has as `:name` and `:splat`; so may values of the query, as
//! `id=:id`. TO is a path or an `https:` or `http:` URL. The status is 301 unless said: 301, 302, 303, 307 and 308 send the
//! client there; 200 answers with the file of that path, and 404 and 410 do so with that status. The first line that fits
//! counts. Where the site has a file of the path, that is the answer, unless the status ends with `!`.

mod absent;
mod hidden;

use crate::{Status, percent};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub use absent::AbsentTarget;
pub use hidden::HiddenRule;

/// The name of the file, in the site's root.
pub const REDIRECTS_FILE: &str = "_redirects";
/// Longest file, in bytes.
pub const REDIRECTS_BYTES_MAX: usize = 256 << 10;
/// Most lines that are rules.
pub const REDIRECTS_MAX: usize = 4096;
/// Of them, those whose path has `:name` or `*`: each is compared with a path that no file has.
pub const PATTERNS_MAX: usize = 512;
/// Faults of one file that are told.
const FAULTS_MAX: usize = 20;

/// The rules of a file.
#[derive(Debug, Default)]
pub struct Redirects {
    rules: Vec<Rule>,
    /// Those without `:name`, `*` and query, by their paths.
    exact: BTreeMap<Box<str>, usize>,
    /// The others, in the order of the file.
    patterns: Vec<usize>,
    has_forced: bool,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectFault {
    /// Counted from 1.
    pub line: usize,
    /// What stands there.
    pub found: String,
    /// What may stand there.
    pub allowed: &'static str,
}

impl fmt::Display for RedirectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, found, allowed } = self;
        write!(f, "{REDIRECTS_FILE}:{line}: found `{found}`; allowed: {allowed}")
    }
}

impl core::error::Error for RedirectFault {}

/// Where a request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To this URI reference.
    Moved(Status, String),
    /// The file of this path answers, with this status.
    File(Status, String),
}

#[derive(Debug)]
struct Rule {
    /// Counted from 1.
    line: usize,
    from: Vec<Segment>,
    query: Vec<(Box<str>, Segment)>,
    to: Box<str>,
    status: Status,
    is_forced: bool,
}

/// A segment of a path, or a value of a query.
#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Named(Box<str>),
    Rest,
}

impl Redirects {
    /// The rules of a file.
    ///
    /// # Errors
    /// Everything that is wrong with it, line by line, as far as that is at most 20 lines.
    pub fn parse(file: &[u8]) -> Result<Self, Vec<RedirectFault>> {
        let whole = |found: String, allowed| Vec::from([RedirectFault { line: 1, found, allowed }]);
        if file.len() > REDIRECTS_BYTES_MAX {
            return Err(whole(format!("{} bytes", file.len()), "at most 262144 bytes"));
        }
        let Ok(text) = core::str::from_utf8(file) else {
            return Err(whole("bytes that are not text".to_owned(), "UTF-8"));
        };
        let (mut redirects, mut faults) = (Self::default(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let line = line.split_once(" #").map_or(line, |(before, _)| before).trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let added = Rule::parse(line, index + 1).and_then(|rule| redirects.add(rule));
            if let Err((found, allowed)) = added {
                let found = found
                    .chars()
                    .take(80)
                    .map(|letter| if letter.is_control() { '?' } else { letter });
                faults.push(RedirectFault { line: index + 1, found: found.collect(), allowed });
            }
            if faults.len() == FAULTS_MAX {
                break;
            }
        }
        if faults.is_empty() { Ok(redirects) } else { Err(faults) }
    }

    /// Whether any goes before files.
    pub(super) fn has_forced(&self) -> bool {
        self.has_forced
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    fn add(&mut self, rule: Rule) -> Result<(), (String, &'static str)> {
        let index = self.rules.len();
        if index == REDIRECTS_MAX {
            return Err((format!("rule {}", index + 1), "at most 4096 rules"));
        }
        match rule.exact() {
            // The first counts, and so nothing comes to this one.
            Some(path) if self.exact.contains_key(&*path) => {
                return Err((
                    path,
                    "each path once: the first rule of a path is the one that counts",
                ));
            }
            Some(path) => {
                self.exact.insert(path.into(), index);
            }
            None if self.patterns.len() == PATTERNS_MAX => {
                return Err((
                    format!("pattern {}", PATTERNS_MAX + 1),
                    "at most 512 rules with `:name`, `*` or a query",
                ));
            }
            None => self.patterns.push(index),
        }
        self.has_forced |= rule.is_forced;
        self.rules.push(rule);
        Ok(())
    }

    /// Where a request for this name goes, which is decoded and in normal form. `is_forced`: among those that go before files.
    pub(super) fn find(&self, name: &str, query: Option<&[u8]>, is_forced: bool) -> Option<Target> {
        let name = name.trim_end_matches('/');
        let exact = self.exact.get(name).copied();
        let mut fitting = self.patterns.iter().copied().filter_map(|index| {
            let values = self.rules[index].fits(name, query)?;
            (!is_forced || self.rules[index].is_forced).then_some((index, values))
        });
        let exact = exact.filter(|index| !is_forced || self.rules[*index].is_forced);
        let (index, values) = match (exact, fitting.next()) {
            (Some(exact), Some((index, values))) if index < exact => (index, values),
            (Some(exact), _) => (exact, Vec::new()),
            (None, found) => found?,
        };
        Some(self.rules[index].target(&values, query))
    }
}

/// What stands for `:name` and `:splat`.
type Values<'a> = Vec<(&'a str, String)>;

const FROM: &str = "first a path, as /news/*; hosts have [[site_host]]";
const TO: &str = "a path, or a URL that begins with https:// or http://";
const STATUS: &str =
    "nothing, or 200, 301, 302, 303, 307, 308, 404 or 410, with `!` behind it or without";
const LOCAL: &str = "a path of this site for 200, 404 and 410; other servers are [proxy]'s";
const KNOWN: &str =
    "names that stand in the first path or the query, and `:splat` where that ends with `*`";

impl Rule {
    fn parse(line: &str, number: usize) -> Result<Self, (String, &'static str)> {
        let refused = |found: &str, allowed| Err((found.to_owned(), allowed));
        let mut words = line.split_ascii_whitespace().peekable();
        let first = words.next().unwrap_or("");
        let Some(path) = first.strip_prefix('/') else { return refused(first, FROM) };
        let Some(from) = segments(path) else {
            return refused(
                first,
                "a path without `?`, `//`, `..` and broken escapes, `*` at its end only and each `:name` once",
            );
        };
        let mut query = Vec::new();
        while let Some(word) =
            words.peek().copied().filter(|word| !is_target(word) && word.contains('='))
        {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            query.push((name.into(), segment(value)));
            words.next();
        }
        let Some(to) = words.next() else { return refused(line, "two paths: FROM TO [STATUS]") };
        if !is_target(to)
            || to.starts_with("//")
            || to.contains('\\')
            || to.contains(char::is_control)
        {
            return refused(to, TO);
        }
        let word = words.next().unwrap_or("301");
        let (code, is_forced) = word.strip_suffix('!').map_or((word, false), |code| (code, true));
        let known = [200, 301, 302, 303, 307, 308, 404, 410];
        let code = code.parse().ok().filter(|code| known.contains(code));
        let Some(status) = code.and_then(Status::new) else { return refused(word, STATUS) };
        if let Some(word) = words.next() {
            return refused(
                word,
                "nothing behind the status: conditions by country, language and role are not known here",
            );
        }
        let rule = Self { line: number, from, query, to: to.into(), status, is_forced };
        if !rule.moves() && !to.starts_with('/') {
            return refused(to, LOCAL);
        }
        match rule.unknown() {
            Some(name) => return refused(&format!(":{name}"), KNOWN),
            None if rule.moves()
                && rule.exact().is_some_and(|own| own == to[1..].trim_end_matches('/')) =>
            {
                return refused(
                    to,
                    "another path than the first: this one would be asked for again and again",
                );
            }
            None => {}
        }
        Ok(rule)
    }

    /// Whether it sends the client elsewhere.
    fn moves(&self) -> bool {
        (300..400).contains(&self.status.code())
    }

    /// The path, if it is one alone.
    fn exact(&self) -> Option<String> {
        let mut path = String::new();
        for segment in &self.from {
            let Segment::Literal(text) = segment else { return None };
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(text);
        }
        self.query.is_empty().then_some(path)
    }

    /// A name in the target for which nothing stands.
    fn unknown(&self) -> Option<&str> {
        let is_known = |wanted: &str| {
            let is_it = |segment: &Segment| match segment {
                Segment::Literal(_) => false,
                Segment::Named(name) => **name == *wanted,
                Segment::Rest => wanted == "splat",
            };
            self.from.iter().chain(self.query.iter().map(|(_, value)| value)).any(is_it)
        };
        pieces(path_of(&self.to)).find_map(|piece| match piece {
            Piece::Name(name) if !is_known(name) => Some(name),
            _ => None,
        })
    }

    fn fits<'a>(&'a self, name: &str, query: Option<&[u8]>) -> Option<Values<'a>> {
        let mut values = Values::new();
        let mut rest = Some(name).filter(|name| !name.is_empty());
        for segment in &self.from {
            if *segment == Segment::Rest {
                values.push(("splat", percent::encode(rest.take().unwrap_or(""))));
                break;
            }
            let (own, after) = match rest?.split_once('/') {
                Some((own, after)) => (own, Some(after)),
                None => (rest?, None),
            };
            rest = after;
            match segment {
                Segment::Literal(text) if **text == *own => {}
                Segment::Named(name) => values.push((name, percent::encode(own))),
                _ => return None,
            }
        }
        if rest.is_some() {
            return None;
        }
        for (name, wanted) in &self.query {
            let value = parameter(query?, name)?;
            match wanted {
                Segment::Literal(text) if text.as_bytes() == value => {}
                Segment::Named(name) => values.push((name, encoded(value))),
                _ => return None,
            }
        }
        Some(values)
    }

    fn target(&self, values: &Values<'_>, query: Option<&[u8]>) -> Target {
        let mut to = String::with_capacity(self.to.len() + 32);
        let scheme = self.to.len() - path_of(&self.to).len();
        to.push_str(&self.to[..scheme]);
        for piece in pieces(path_of(&self.to)) {
            match piece {
                Piece::Text(text) => to.push_str(text),
                Piece::Name(name) => {
                    let value = values.iter().find(|(own, _)| *own == name);
                    to.push_str(value.map_or("", |(_, value)| value));
                }
            }
        }
        if !self.moves() {
            return Target::File(self.status, to);
        }
        // The query goes along, unless the rule says what becomes of it.
        if let Some(query) = query.filter(|_| self.query.is_empty() && !to.contains('?')) {
            // Before a fragment (RFC 3986 section 3).
            let at = to.find('#').unwrap_or(to.len());
            to.insert_str(at, &format!("?{}", encoded_query(query)));
        }
        Target::Moved(self.status, to)
    }
}

fn is_target(word: &str) -> bool {
    word.starts_with(['/']) || word.starts_with("https://") || word.starts_with("http://")
}

/// What of a target may have names: not the scheme, whose colon is none.
fn path_of(to: &str) -> &str {
    to.strip_prefix("https://").or_else(|| to.strip_prefix("http://")).unwrap_or(to)
}

/// The segments of a path, decoded; none if it cannot be the path of a request.
fn segments(path: &str) -> Option<Vec<Segment>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some(Vec::new());
    }
    let parts: Vec<&str> = path.split('/').collect();
    let mut segments: Vec<Segment> = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let own = if *part == "*" { Segment::Rest } else { segment(part) };
        let fits = match &own {
            Segment::Rest => index + 1 == parts.len(),
            Segment::Named(name) => !name.is_empty() && !segments.contains(&own),
            Segment::Literal(text) => {
                let decoded =
                    percent::decode(text.as_bytes()).and_then(|it| String::from_utf8(it).ok())?;
                let is_plain =
                    !["", ".", ".."].contains(&&*decoded) && !text.contains(['*', '?', '#', '\\']);
                if !is_plain
                    || decoded.contains(|letter: char| letter.is_control() || letter == '/')
                {
                    return None;
                }
                segments.push(Segment::Literal(decoded.into()));
                continue;
            }
        };
        if !fits {
            return None;
        }
        segments.push(own);
    }
    Some(segments)
}

fn segment(text: &str) -> Segment {
    match text.strip_prefix(':') {
        Some(name) if name.bytes().all(is_of_name) => Segment::Named(name.into()),
        _ => Segment::Literal(text.into()),
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A target's text and names.
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(after) = rest.strip_prefix(':') {
            let end = after.bytes().position(|byte| !is_of_name(byte)).unwrap_or(after.len());
            // A port, as in `host:8080`, begins with a digit; names do not.
            if end > 0 && !after.as_bytes()[0].is_ascii_digit() {
                rest = &after[end..];
                return Some(Piece::Name(&after[..end]));
            }
        }
        let from = usize::from(rest.starts_with(':'));
        let end = rest[from..].find(':').map_or(rest.len(), |at| from + at);
        let own = &rest[..end];
        rest = &rest[end..];
        Some(Piece::Text(own))
    })
}

/// The value of a query's parameter, as it stands there.
fn parameter<'a>(query: &'a [u8], name: &str) -> Option<&'a [u8]> {
    query
        .split(|&byte| byte == b'&')
        .find_map(|part| part.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// A value of a query, as it may stand in a path.
fn encoded(value: &[u8]) -> String {
    let decoded = percent::decode_leniently(value);
    // A slash would make two segments of one.
    percent::encode(&String::from_utf8_lossy(&decoded)).replace('/', "%2F")
}

/// A query of a request, which is of visible bytes or is escaped.
fn encoded_query(query: &[u8]) -> String {
    let mut text = String::with_capacity(query.len());
    for &byte in query {
        if byte.is_ascii_graphic() && byte != b'#' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Redirects {
        Redirects::parse(text.as_bytes()).unwrap()
    }

    fn found(rules: &str, request: &str) -> Option<(u16, String)> {
        let (name, query) =
            request.split_once('?').map_or((request, None), |(name, query)| (name, Some(query)));
        let target = parsed(rules).find(name, query.map(str::as_bytes), false)?;
        Some(match target {
            Target::Moved(status, to) | Target::File(status, to) => (status.code(), to),
        })
    }

    #[test]
    fn lines_of_every_kind() {
        for (rule, request, expected) in [
            ("/old /new", "old", Some((301, "/new"))),
            ("/old/ /new 308 # moved", "old", Some((308, "/new"))),
            ("/old /new", "old/", Some((301, "/new"))),
            ("/old /new", "older", None),
            ("/old /new", "old?a=1&b", Some((301, "/new?a=1&b"))),
            ("/old /new?x#y", "old?a", Some((301, "/new?x#y"))),
            ("/old /new#y", "old?a", Some((301, "/new?a#y"))),
            ("/ /en/ 302", "", Some((302, "/en/"))),
            ("/news/* /blog/:splat", "news/2024/a b", Some((301, "/blog/2024/a%20b"))),
            ("/news/* /blog/:splat", "news", Some((301, "/blog/"))),
            ("/news/* /blog/:splat", "newsletter", None),
            ("/* /index.html 200", "any/thing", Some((200, "/index.html"))),
            (
                "/:year/:month/:slug /posts/:slug-:year.html 200",
                "2024/05/x",
                Some((200, "/posts/x-2024.html")),
            ),
            ("/:year/:month /a", "2024", None),
            ("/:year /a", "2024/05", None),
            ("/a id=:id tag=x /b/:id 302", "a?tag=x&id=7%2F8", Some((302, "/b/7%2F8"))),
            ("/a id=:id tag=x /b/:id 302", "a?id=7", None),
            ("/a https://b.example:8080/x 303", "a", Some((303, "https://b.example:8080/x"))),
            ("/a/* http://:splat.example/", "a/b", Some((301, "http://b.example/"))),
            ("/gone/* /gone.html 410", "gone/x", Some((410, "/gone.html"))),
            ("/%C3%BC /u", "ü", Some((301, "/u"))),
            ("/ü /u", "ü", Some((301, "/u"))),
            ("# /old /new", "old", None),
        ] {
            let expected = expected.map(|(status, to)| (status, String::from(to)));
            assert_eq!(found(rule, request), expected, "{rule}: {request}");
        }
    }

    #[test]
    fn the_first_that_fits_counts() {
        let rules = "/a/b /1\n/a/* /2\n/a/c /3\n/:x/:y /4 302!\n/z/z /5\n/d /6\n";
        for (name, to) in [("a/b", "/1"), ("a/c", "/2"), ("z/z", "/4"), ("d", "/6")] {
            assert_eq!(found(rules, name).unwrap().1, to, "{name}");
        }
        let rules = parsed(rules);
        assert!(rules.has_forced() && rules.len() == 6);
        let forced = |name| rules.find(name, None, true).is_some();
        assert!(forced("z/z") && forced("a/c") && !forced("d"));
    }

    #[test]
    fn each_fault_is_told_with_its_line() {
        let text = "/a /b\na /b\n/a\n/a b\n/c /d 200 Country=de\n/e /f 418\n/g/*/h /i\n/j /:k\n/l https://x.example/ 200\n\
                    https://a.example/* /b\n/m //evil.example\n/a /n\n/o /o\n/../p /q\n/r /s 301!x\n/%zz /t\n/:a/:a /u\n/v?x /w\n";
        let faults = Redirects::parse(text.as_bytes()).unwrap_err();
        let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, (2..=18).collect::<Vec<_>>());
        let said = alloc::string::ToString::to_string(&faults[0]);
        assert_eq!(said, format!("_redirects:2: found `a`; allowed: {FROM}"));
        assert_eq!((&*faults[6].found, faults[6].allowed), (":k", KNOWN));
        let many = "x\n".repeat(100);
        assert_eq!(Redirects::parse(many.as_bytes()).unwrap_err().len(), 20);
        let rules = |count: usize, line: fn(usize) -> String| {
            Redirects::parse((0..count).map(line).collect::<String>().as_bytes())
        };
        let exact = |n| format!("/{n} /x\n");
        let pattern = |n| format!("/{n}/* /x\n");
        assert!(rules(4096, exact).is_ok() && rules(4097, exact).is_err());
        assert!(rules(512, pattern).is_ok() && rules(513, pattern).is_err());
        let long = "#".repeat(REDIRECTS_BYTES_MAX + 1);
        assert!(
            Redirects::parse(&long.as_bytes()[1..]).is_ok()
                && Redirects::parse(long.as_bytes()).is_err()
        );
        assert!(Redirects::parse(b"\xff").is_err());
    }

    #[test]
    fn nobody_is_sent_to_a_host_of_a_visitors_choice() {
        // The normal form of a name has no empty segment, so a splat does not begin with a slash.
        assert_eq!(found("/x/* /:splat", "x/evil.example").unwrap().1, "/evil.example");
        assert_eq!(found("/x/* /:splat", "x").unwrap().1, "/");
        assert_eq!(found("/x v=:v /:v", "x?v=/evil.example").unwrap().1, "/%2Fevil.example");
        assert_eq!(
            found("/x/:v https://a.example/:v", "x/@evil\r\n").unwrap().1,
            "https://a.example/%40evil%0D%0A"
        );
    }
}
