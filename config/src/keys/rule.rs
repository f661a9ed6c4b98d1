//! Rules: what a key may hold, and the field that it goes to.

use crate::Config;
use alloc::{borrow::ToOwned, format, string::String};
use core::time::Duration;

/// Most hosts of one web server: each request is compared with all of them.
pub(super) const HOSTS_MAX: usize = 32;

/// Most certificates of one server, and clients that are known by their certificates' fingerprints.
pub(super) const CERTIFICATES_MAX: usize = 16;
pub(super) const FINGERPRINTS_MAX: usize = 256;

/// Routes to services of others: each request is compared with all of them.
pub(super) const ROUTES_MAX: usize = 64;

/// Services of one vat that settings name, and capabilities of others that it has.
pub(super) const SERVICES_MAX: usize = 64;

/// A key of a section.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) section: &'static str,
    pub(crate) name: &'static str,
    pub(crate) rule: Rule,
}

/// What a key may hold, and the field that it goes to.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    Flag(fn(&mut Config) -> &mut bool),
    Count {
        min: u64,
        max: u64,
        field: fn(&mut Config) -> Number<'_>,
    },
    Seconds {
        min: u64,
        max: u64,
        field: fn(&mut Config) -> &mut Duration,
    },
    Port(fn(&mut Config) -> &mut u16),
    /// Zero turns the service off.
    PortOrOff(fn(&mut Config) -> &mut Option<u16>),
    /// `set` says whether the text is allowed.
    Text {
        allowed: &'static str,
        set: fn(&mut Config, &str) -> bool,
    },
    /// A list of texts: `clear`, then `push` for each.
    List {
        allowed: &'static str,
        items_max: usize,
        clear: fn(&mut Config),
        push: fn(&mut Config, &str) -> bool,
        /// What may stand in place of a part of an item that is not allowed, where an item is long.
        refusal: fn(&Config, &str) -> Option<String>,
    },
    /// A text under each of any number of names; `put` says whether both are allowed. It is a secret, which errors do not
    /// show.
    Named {
        allowed: &'static str,
        items_max: usize,
        put: fn(&mut Config, &str, &str) -> bool,
    },
}

/// A field that holds a count, as large as its reader takes.
pub(crate) enum Number<'a> {
    U16(&'a mut u16),
    U32(&'a mut u32),
    U64(&'a mut u64),
    Usize(&'a mut usize),
}

/// One value as it stands in the file or in a command-line word.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Flag(bool),
    Number(u64),
    Text(&'a str),
    /// Dates, floats, negative numbers, tables: nothing that any key takes.
    Other,
}

impl Rule {
    /// Puts a value where it belongs; false if it is not allowed. For a list: adds one item.
    pub(crate) fn set(&self, config: &mut Config, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Flag(field), Value::Flag(flag)) => *field(config) = flag,
            (Self::Count { min, max, field }, Value::Number(number))
                if (*min..=*max).contains(&number) =>
            {
                return field(config).put(number);
            }
            (Self::Seconds { min, max, field }, Value::Number(number))
                if (*min..=*max).contains(&number) =>
            {
                *field(config) = Duration::from_secs(number);
            }
            (Self::Port(field), Value::Number(number)) => match u16::try_from(number) {
                Ok(port) if port > 0 => *field(config) = port,
                _ => return false,
            },
            (Self::PortOrOff(field), Value::Number(number)) => match u16::try_from(number) {
                Ok(port) => *field(config) = (port > 0).then_some(port),
                Err(_) => return false,
            },
            (Self::Text { set, .. }, Value::Text(text)) => return set(config, text),
            (Self::List { push, .. }, Value::Text(text)) => return push(config, text),
            _ => return false,
        }
        true
    }

    /// What this key may hold in place of a value that is not allowed, for an error.
    pub(crate) fn refusal(&self, config: &Config, value: Value<'_>) -> String {
        let of_item = match (self, value) {
            (Self::List { refusal, .. }, Value::Text(text)) => refusal(config, text),
            _ => None,
        };
        of_item.unwrap_or_else(|| self.allowed())
    }

    /// What this key may hold, for an error.
    pub(crate) fn allowed(&self) -> String {
        match self {
            Self::Flag(_) => "true or false".to_owned(),
            Self::Count { min, max, .. } => format!("a whole number from {min} to {max}"),
            Self::Seconds { min, max, .. } => format!("whole seconds from {min} to {max}"),
            Self::Port(_) => "a port from 1 to 65535".to_owned(),
            Self::PortOrOff(_) => "a port from 1 to 65535, or 0 for off".to_owned(),
            Self::Text { allowed, .. } => (*allowed).to_owned(),
            Self::List { allowed, items_max, .. } => {
                format!("a list of at most {items_max} {allowed}")
            }
            Self::Named { allowed, items_max, .. } => format!("{allowed}; at most {items_max}"),
        }
    }
}

impl Number<'_> {
    /// What the field holds.
    pub(crate) fn get(&self) -> u64 {
        match self {
            Self::U16(field) => u64::from(**field),
            Self::U32(field) => u64::from(**field),
            Self::U64(field) => **field,
            Self::Usize(field) => **field as u64,
        }
    }

    /// False if the field cannot hold it.
    fn put(self, number: u64) -> bool {
        match self {
            Self::U16(field) => number.try_into().map(|number| *field = number).is_ok(),
            Self::U32(field) => number.try_into().map(|number| *field = number).is_ok(),
            Self::U64(field) => {
                *field = number;
                true
            }
            Self::Usize(field) => number.try_into().map(|number| *field = number).is_ok(),
        }
    }
}

pub(super) const fn key(section: &'static str, name: &'static str, rule: Rule) -> Key {
    Key { section, name, rule }
}

/// A key that holds a text: `set` says whether it is allowed.
pub(super) const fn text(
    section: &'static str,
    name: &'static str,
    allowed: &'static str,
    set: fn(&mut Config, &str) -> bool,
) -> Key {
    key(section, name, Rule::Text { allowed, set })
}

/// A key that holds a list of texts.
pub(super) const fn list(
    section: &'static str,
    name: &'static str,
    allowed: &'static str,
    items_max: usize,
    clear: fn(&mut Config),
    push: fn(&mut Config, &str) -> bool,
) -> Key {
    key(section, name, Rule::List { allowed, items_max, clear, push, refusal: |_, _| None })
}

pub(super) const fn count(min: u64, max: u64, field: fn(&mut Config) -> Number<'_>) -> Rule {
    Rule::Count { min, max, field }
}

pub(super) const fn seconds(min: u64, max: u64, field: fn(&mut Config) -> &mut Duration) -> Rule {
    Rule::Seconds { min, max, field }
}

/// The last number stands for any port. Zero is off.
pub(super) const fn vsock_port(field: fn(&mut Config) -> Number<'_>) -> Rule {
    count(0, u32::MAX as u64 - 1, field)
}

/// A connection's buffer: at least two segments of Ethernet's, for less makes peers halve theirs; at most what
/// window scaling can announce (RFC 7323 section 2.3).
pub(super) const fn buffer(field: fn(&mut Config) -> Number<'_>) -> Rule {
    count(4_096, 1 << 30, field)
}
