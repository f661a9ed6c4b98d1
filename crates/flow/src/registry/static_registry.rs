//! Static registry: services that were written down.

use super::service_text::{BadWord, label};
use super::{Answer, Query, Registry, RegistryError, Service};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::future::{pending, ready};
use core::{fmt, str};

/// Most services in one registry: 1,000 lines.
const SERVICES_MAX: usize = 1000;

/// A fixed list of services, one a line: its name, its host, its protocol, and where it is, in one or several ways, the
/// best one first. A `#` begins a remark.
///
/// ```text
/// # name     host   protocol  where
/// transform  alpha  zmtp      10.9.0.2:5555
/// transform  here   zmtp      shm:/run/x.shm tcp://10.9.0.3:5555  weight=2
/// http       beta   http      beta.example:80  version=1.2 drains
/// ```
///
/// A host name in a place is resolved, by DNS, when somebody connects. `weight`, `version` and `drains` are what [`Service`]
/// has of these names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticRegistry(Vec<Service>);

/// A line that is no service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// What stands there.
    pub found: String,
    /// What may stand there.
    pub allowed: &'static str,
}

impl StaticRegistry {
    /// Reads a list.
    pub fn parse(text: &[u8]) -> Result<Self, BadLine> {
        let mut services = Vec::new();
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let bad = |found: String, allowed| BadLine { line: number + 1, found, allowed };
            let line = str::from_utf8(line)
                .map_err(|_| bad(String::from_utf8_lossy(line).into_owned(), "UTF-8"))?;
            let line = line.split_once('#').map_or(line, |(before, _)| before);
            if line.trim().is_empty() {
                continue;
            }
            if services.len() == SERVICES_MAX {
                return Err(bad(line.trim().to_string(), "at most 1000 services"));
            }
            let service =
                service(line).map_err(|(found, allowed)| bad(found.to_string(), allowed))?;
            let is_same =
                |other: &Service| other.name == service.name && other.host == service.host;
            if services.iter().any(is_same) {
                return Err(bad(line.trim().to_string(), "each name once on a host"));
            }
            services.push(service);
        }
        Ok(Self(services))
    }

    fn find(&self, query: &Query) -> Vec<Service> {
        self.0.iter().filter(|service| query.matches(service)).cloned().collect()
    }
}

/// The service on a line; else what is wrong, and what may stand there.
fn service(line: &str) -> Result<Service, BadWord<'_>> {
    const WORDS: &str = "four words or more: a name, a host, a protocol, HOST:PORT";
    let mut words = line.split_whitespace();
    if words.clone().nth(3).is_none() {
        return Err((line.trim(), WORDS));
    }
    let mut word = || label(words.next().unwrap_or_default());
    let (name, host) = (word()?, word()?);
    let service = Service::of_words(name, host, words);
    service.map_err(
        |(found, allowed)| if found.is_empty() { (line.trim(), WORDS) } else { (found, allowed) },
    )
}

impl Registry for StaticRegistry {
    fn can_register(&self) -> bool {
        false
    }

    fn register<'a>(&'a self, _: &'a Service) -> Answer<'a, ()> {
        Box::pin(ready(Err(RegistryError::Fixed)))
    }

    fn look_up<'a>(&'a self, query: &'a Query) -> Answer<'a, Vec<Service>> {
        Box::pin(ready(Ok(self.find(query))))
    }

    fn watch<'a>(&'a self, query: &'a Query, known: &'a [Service]) -> Answer<'a, Vec<Service>> {
        let found = self.find(query);
        if found == known { Box::pin(pending()) } else { Box::pin(ready(Ok(found))) }
    }
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found `{}`; allowed: {}", self.line, self.found, self.allowed)
    }
}

impl core::error::Error for BadLine {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::block_on;
    use std::vec;

    const TEXT: &[u8] = b"# who is where\n\
        transform alpha zmtp 10.9.0.2:5555 # of the lab\n\
        \n\
        transform\tbeta zmtp [fd00::2]:5555\r\n\
        http beta http beta.example:80";

    fn hosts(found: &[Service]) -> Vec<&str> {
        found.iter().map(|service| service.host.as_str()).collect()
    }

    #[test]
    fn services_are_found_by_name_and_by_host() {
        let registry = StaticRegistry::parse(TEXT).unwrap();
        let find = |text: &str| block_on(registry.look_up(&text.parse().unwrap())).unwrap();
        assert_eq!(hosts(&find("transform")), ["alpha", "beta"]);
        assert_eq!(hosts(&find("transform@beta")), ["beta"]);
        assert_eq!(find("http")[0].ways, ["beta.example:80".parse().unwrap()]);
        assert_eq!(find("transform@gamma"), []);
        let service = find("http").remove(0);
        assert!(!registry.can_register());
        assert_eq!(block_on(registry.register(&service)), Err(RegistryError::Fixed));
        let query = service.name.as_str().parse().unwrap();
        assert_eq!(block_on(registry.watch(&query, &[])), Ok(vec![service]));
    }

    #[test]
    fn a_bad_line_says_where_it_is_and_what_is_allowed() {
        for (text, line, found) in [
            (&b"a b c"[..], 1, "a b c"),
            (b"\n\na b c d\n", 3, "d"),
            (b"a b c d:1 e", 1, "e"),
            (b"a b c weight=2", 1, "a b c weight=2"),
            (b"a b c d:1 weight=x", 1, "weight=x"),
            (b"a b c d:1 d:2 d:3 d:4 d:5 d:6 d:7 d:8 d:9", 1, "d:9"),
            (b"# fine\na/ b c d:1", 2, "a/"),
            (b"a @ c d:1", 1, "@"),
            (b"a b c d:70000", 1, "d:70000"),
            (b"a b c d:0", 1, "d:0"),
            (b"a b c 10.9.0.2:0", 1, "10.9.0.2:0"),
            (b"a b c [fd00::2]:0", 1, "[fd00::2]:0"),
            (b"a b c d:1\na c c d:1\n a b e f:2 # again", 3, "a b e f:2"),
            (b"a b c service://d", 1, "service://d"),
            (b"a b c d:1\n\xFF", 2, "\u{fffd}"),
        ] {
            let bad = StaticRegistry::parse(text).unwrap_err();
            assert_eq!((bad.line, bad.found.as_str()), (line, found));
            assert!(!bad.allowed.is_empty());
        }
        let many: String =
            (0..=SERVICES_MAX).map(|number| std::format!("a{number} b c d:1\n")).collect();
        assert_eq!(StaticRegistry::parse(many.as_bytes()).unwrap_err().line, 1000 + 1);
    }
}
