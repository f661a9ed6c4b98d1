//! Service as text: its protocol, ways and options, as lines of a `names` file and values of xenstore have them.

use super::{BadWay, Label, Service, WAYS_MAX, Way};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

const LABEL: &str = "1 to 63 letters, digits, `-`, `_` or `.`";
const VERSION: &str = "version=";
const WEIGHT: &str = "weight=";
const PRIORITY: &str = "priority=";
const DRAINS: &str = "drains";

/// A word that is not what a service has there, and what is.
pub(super) type BadWord<'a> = (&'a str, &'static str);

/// The text does not describe a [`Service`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDescription {
    /// The word that is wrong; none if one is missing.
    pub found: String,
    /// What may stand there.
    pub allowed: &'static str,
}

impl fmt::Display for BadDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found `{}`; allowed: {}", self.found, self.allowed)
    }
}

impl core::error::Error for BadDescription {}

impl Service {
    /// What [`description`](Self::description) has written of it.
    ///
    /// # Errors
    /// It is none; which word is wrong, and what may stand there.
    pub fn described(name: Label, host: Label, description: &str) -> Result<Self, BadDescription> {
        let read = Self::of_words(name, host, description.split(' '));
        read.map_err(|(word, allowed)| BadDescription { found: word.to_string(), allowed })
    }

    /// All but its name and host: its protocol, its ways, the best one first, and its options as far as they are not
    /// what they are by default. Words with spaces between.
    pub fn description(&self) -> impl fmt::Display + '_ {
        Description(self)
    }

    /// A service from its protocol, ways and options. Without a word it is empty that stands there.
    pub(super) fn of_words<'a>(
        name: Label,
        host: Label,
        mut words: impl Iterator<Item = &'a str>,
    ) -> Result<Self, BadWord<'a>> {
        let protocol = label(words.next().unwrap_or_default())?;
        let mut service = Self::new(name, host, protocol, Vec::new());
        for word in words {
            service.take(word)?;
        }
        if service.ways.is_empty() { Err(("", BadWay::EXPECTED)) } else { Ok(service) }
    }

    /// One more word: an option or a way.
    fn take<'a>(&mut self, word: &'a str) -> Result<(), BadWord<'a>> {
        if let Some(version) = word.strip_prefix(VERSION) {
            self.version = Some(label(version)?);
        } else if let Some(weight) = word.strip_prefix(WEIGHT) {
            let weight = weight.parse().ok().filter(|&weight| weight > 0);
            self.weight = weight.ok_or((word, "weight=1 to weight=65535"))?;
        } else if let Some(priority) = word.strip_prefix(PRIORITY) {
            let is_number = priority.bytes().all(|byte| byte.is_ascii_digit());
            let priority = priority.parse().ok().filter(|_| is_number);
            self.priority = priority.ok_or((word, "priority=0 to priority=65535"))?;
        } else if word == DRAINS {
            self.is_draining = true;
        } else if self.ways.len() < WAYS_MAX {
            self.ways.push(word.parse::<Way>().map_err(|_| (word, BadWay::EXPECTED))?);
        } else {
            return Err((word, "at most 8 places"));
        }
        Ok(())
    }
}

pub(super) fn label(word: &str) -> Result<Label, BadWord<'_>> {
    word.parse().map_err(|_| (word, LABEL))
}

struct Description<'a>(&'a Service);

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Service { name: _, host: _, protocol, ways, version, weight, is_draining, priority } =
            self.0;
        protocol.fmt(f)?;
        for way in ways {
            write!(f, " {way}")?;
        }
        if let Some(version) = version {
            write!(f, " {VERSION}{version}")?;
        }
        if *weight != Service::WEIGHT {
            write!(f, " {WEIGHT}{weight}")?;
        }
        if *priority != 0 {
            write!(f, " {PRIORITY}{priority}")?;
        }
        if *is_draining { write!(f, " {DRAINS}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(description: &str) -> Option<Service> {
        Service::described("web".parse().unwrap(), "alpha".parse().unwrap(), description).ok()
    }

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "http 10.0.0.2:80",
            "zmtp shm:/run/x.shm unix:/run/x.sock 10.0.0.2:5555 version=1.2 weight=3 drains",
            "zmtp 00112233445566778899aabbccddeeff!shm:/run/x.shm beta.example:5555 weight=65535",
            "http a:80 weight=2 priority=65535 drains",
        ] {
            assert_eq!(read(text).unwrap().description().to_string(), text);
        }
        let plain = read("http 10.0.0.2:80").unwrap();
        assert_eq!((plain.version, plain.weight, plain.is_draining), (None, 1, false));
        // What stands for a default is not written, and options may be anywhere.
        let options = read("http drains weight=1 10.0.0.2:80").unwrap();
        assert_eq!(options.description().to_string(), "http 10.0.0.2:80 drains");
    }

    #[test]
    fn what_is_no_service_is_refused() {
        for text in ["", "http", "http drains", "http weight=0 a:1", "http weight=65536 a:1"] {
            assert_eq!(read(text), None, "{text}");
        }
        for text in ["http a:1 priority=", "http a:1 priority=65536", "http a:1 priority=+1"] {
            assert_eq!(read(text), None, "{text}");
        }
        for text in ["http version= a:1", "http a:1  b:1", "http service://web", "h/ a:1"] {
            assert_eq!(read(text), None, "{text}");
        }
        let ways = |count| (0..count).map(|port| alloc::format!(" a:{}", port + 1)).collect();
        let all: String = ways(WAYS_MAX);
        assert_eq!(read(&alloc::format!("http{all}")).unwrap().ways.len(), 8);
        let more: String = ways(WAYS_MAX + 1);
        assert_eq!(read(&alloc::format!("http{more}")), None);
    }
}
