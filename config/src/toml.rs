//! TOML reader: `appliance.toml` into a `Config`, by the events of `toml_parser` against the table in `keys.rs`.
//! The file is flat: sections, and in them keys with a value or a list of values.

use crate::{
    Config, ConfigError, check,
    error::{Origin, quoted},
    keys::{self, KEYS, Key, Rule, Value},
    places::{Places, Sought},
};
use alloc::{borrow::Cow, borrow::ToOwned, format, string::String, vec::Vec};
use toml_parser::{
    Expected, ParseError, Source, Span,
    decoder::ScalarKind,
    parser::{Event, EventKind, RecursionGuard, parse_document},
};

/// Largest configuration file, in bytes: twenty times the commented default.
const FILE_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting that is read at all; one list is all that any key takes.
const DEPTH_MAX: u32 = 4;
/// Databases of one appliance: each has connections and what they hold.
const DATABASES_MAX: usize = 16;
/// Folders that are served to other hosts: each request's host is compared with the names of all of them.
const SITE_HOSTS_MAX: usize = 32;
/// Rules by path: each file is compared with all of them.
const SITE_RULES_MAX: usize = 64;
/// Faults of one file after which no more is read of it.
const FAULTS_MAX: usize = 20;

impl Config {
    /// The defaults, changed by what the file says. `file` names it in errors.
    ///
    /// # Errors
    /// What is not TOML, not known, given twice, of the wrong type or out of range: all of it, as [`ConfigError::more`] has it;
    /// or, if nothing of the sort is, settings that contradict each other.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let origin = Origin { file, text };
        Ok(read(origin)?.0)
    }
}

/// The defaults, changed by what the file says, and where it says that.
pub(crate) fn read(origin: Origin<'_>) -> Result<(Config, Places<'_>), ConfigError> {
    change(origin, Config::default())
}

/// A configuration, changed by what the text says, and where it says that.
pub(crate) fn change(
    origin: Origin<'_>,
    config: Config,
) -> Result<(Config, Places<'_>), ConfigError> {
    if origin.text.len() > FILE_BYTES_MAX {
        let found = format!("a file of {} bytes", origin.text.len());
        return Err(origin.error(0, found, format!("at most {FILE_BYTES_MAX} bytes")));
    }
    let source = Source::new(origin.text);
    let mut reader = Reader::new(origin, source, config);
    let (events, mut errors) = events(origin, source);
    for event in events {
        if let Err(error) = reader.event(event) {
            errors.push(error);
            reader.skip(event.kind());
        }
        if errors.len() >= FAULTS_MAX {
            break;
        }
    }
    let Reader { config, places, .. } = reader;
    if errors.is_empty() {
        let contradictions = check::sizes(&config);
        errors.extend(contradictions.into_iter().map(|contradiction| places.error(contradiction)));
    }
    match ConfigError::all(errors) {
        Some(error) => Err(error),
        None => Ok((config, places)),
    }
}

/// The line, counted from 1, at which a file gives what is sought; none if it does not, or is no TOML.
pub(crate) fn line_of(text: &str, sought: Sought<'_>) -> Option<usize> {
    let Sought { section, number, name, item } = sought;
    let (origin, source) = (Origin { file: "", text }, Source::new(text));
    let (mut is_header, mut is_within, mut seen) = (false, false, 0);
    let (events, errors) = events(origin, source);
    if !errors.is_empty() {
        return None;
    }
    let mut events = events.into_iter();
    let found = events.find(|event| {
        let is = |expected: &str| {
            let mut name = Cow::Borrowed("");
            source.get(*event).is_some_and(|raw| {
                raw.decode_key(&mut name, &mut None::<ParseError>);
                name == expected
            })
        };
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => is_header = true,
            EventKind::StdTableClose | EventKind::ArrayTableClose => is_header = false,
            EventKind::SimpleKey if is_header => {
                is_within = is(section) && seen == number;
                seen += usize::from(is(section));
            }
            EventKind::SimpleKey => return is_within && is(name),
            _ => {}
        }
        false
    })?;
    let found = match item {
        None => found,
        Some(item) => events.filter(|event| event.kind() == EventKind::Scalar).nth(item)?,
    };
    Some(1 + text.get(..found.span().start())?.matches('\n').count())
}

/// What a text consists of, and what of it is no TOML.
fn events(origin: Origin<'_>, source: Source<'_>) -> (Vec<Event>, Vec<ConfigError>) {
    let tokens = source.lex().into_vec();
    let mut events = Vec::with_capacity(tokens.len());
    let mut receive = |event: Event| events.push(event);
    let mut failures: Vec<ParseError> = Vec::new();
    let mut guarded = RecursionGuard::new(&mut receive, DEPTH_MAX);
    parse_document(&tokens, &mut guarded, &mut failures);
    let errors = failures.iter().take(FAULTS_MAX).map(|failure| syntax(origin, failure)).collect();
    (events, errors)
}

struct Reader<'a> {
    origin: Origin<'a>,
    source: Source<'a>,
    config: Config,
    places: Places<'a>,
    sections: Vec<&'static str>,
    state: State,
    /// The name under which a key with any name stands, and how many of those there were.
    named: (String, usize),
}

#[derive(Clone, Copy)]
enum State {
    /// Between keys; `None` before the first section.
    Section(Option<&'static str>),
    /// Between `[` and `]`, or two of each where `is_repeated`: the name, once read.
    Header { is_repeated: bool, section: Option<&'static str> },
    /// After a key's name.
    Key(&'static Key),
    /// Inside a list, with its number of items.
    List(&'static Key, usize),
    /// In what is left out behind a fault: up to the line's end, and that of so many lists and tables; where no section can be
    /// gone on with, up to the next one.
    Fault { section: Option<&'static str>, depth: usize },
}

impl<'a> Reader<'a> {
    fn new(origin: Origin<'a>, source: Source<'a>, config: Config) -> Self {
        Self {
            origin,
            source,
            config,
            places: Places::new(origin),
            sections: Vec::new(),
            state: State::Section(None),
            named: (String::new(), 0),
        }
    }

    fn event(&mut self, event: Event) -> Result<(), ConfigError> {
        self.state = match (event.kind(), self.state) {
            (kind, State::Fault { section, depth })
                if ![EventKind::StdTableOpen, EventKind::ArrayTableOpen].contains(&kind) =>
            {
                match (kind, section, depth) {
                    (EventKind::Newline, Some(_), 0) => State::Section(section),
                    _ => State::Fault { section, depth: below(kind, depth) },
                }
            }
            (
                EventKind::Whitespace
                | EventKind::Newline
                | EventKind::KeyValSep
                | EventKind::ValueSep,
                same,
            ) => same,
            (EventKind::Comment, same) => self.comment(event).map(|()| same)?,
            (EventKind::StdTableOpen, _) => State::Header { is_repeated: false, section: None },
            (EventKind::ArrayTableOpen, _) => State::Header { is_repeated: true, section: None },
            (EventKind::SimpleKey, State::Header { is_repeated, section: None }) => {
                let section = Some(self.section(event, is_repeated)?);
                State::Header { is_repeated, section }
            }
            (
                EventKind::StdTableClose | EventKind::ArrayTableClose,
                State::Header { section, .. },
            ) => State::Section(section),
            (EventKind::SimpleKey, State::Section(Some(section))) => {
                State::Key(self.key(section, event)?)
            }
            (EventKind::SimpleKey, State::Section(None)) => {
                let allowed = format!("a section first, one of {}", bracketed(&keys::sections()));
                return Err(self.refuse(event, allowed));
            }
            (EventKind::ArrayOpen, State::Key(key)) => self.open_list(key, event)?,
            (EventKind::Scalar, State::List(key, items)) => self.item(key, items, event)?,
            (EventKind::ArrayClose, State::List(key, _)) => State::Section(Some(key.section)),
            (EventKind::Scalar, State::Key(key)) => self.scalar(key, event)?,
            (_, State::Key(key) | State::List(key, _)) => {
                return Err(self.refuse(event, key.rule.allowed()));
            }
            _ => {
                return Err(
                    self.refuse(event, "[section] lines and `key = value` lines".to_owned())
                );
            }
        };
        Ok(())
    }

    /// Goes on behind a fault at an event of this kind.
    fn skip(&mut self, kind: EventKind) {
        self.state = match self.state {
            State::Section(section @ Some(_)) => State::Fault { section, depth: 0 },
            State::Key(key) => State::Fault { section: Some(key.section), depth: below(kind, 0) },
            State::List(key, _) => {
                State::Fault { section: Some(key.section), depth: below(kind, 1) }
            }
            _ => State::Fault { section: None, depth: 0 },
        };
    }

    fn section(&mut self, event: Event, is_repeated: bool) -> Result<&'static str, ConfigError> {
        let name = self.name(event)?;
        let known = keys::sections();
        let Some(section) = known.iter().find(|section| **section == name) else {
            return Err(self.refuse(event, format!("the sections {}", bracketed(&known))));
        };
        if keys::is_repeated(section) != is_repeated {
            return Err(self.refuse(event, format!("{} for this section", keys::heading(section))));
        }
        if is_repeated {
            self.begin(section, event)?;
        } else if self.sections.contains(section) {
            return Err(self.refuse(event, "each section once".to_owned()));
        } else {
            self.sections.push(section);
        }
        Ok(section)
    }

    /// Another section of which there may be several.
    fn begin(&mut self, section: &'static str, event: Event) -> Result<(), ConfigError> {
        let Config { databases, site_hosts, site_rules, .. } = &mut self.config;
        let has_room = match section {
            "site_host" => pushed(site_hosts, SITE_HOSTS_MAX),
            "site_rule" => pushed(site_rules, SITE_RULES_MAX),
            _ => pushed(databases, DATABASES_MAX),
        };
        has_room.map_err(|max| {
            self.refuse(event, format!("at most {max} of {}", keys::heading(section)))
        })?;
        self.places.begin_repeated(section, event.span().start());
        Ok(())
    }

    fn key(&mut self, section: &str, event: Event) -> Result<&'static Key, ConfigError> {
        let name = self.name(event)?;
        if let Some((index, key)) = keys::find_named(section) {
            self.places.in_file(index, event.span().start());
            self.named = (name.into_owned(), self.named.1 + 1);
            return Ok(key);
        }
        let Some((index, key)) = keys::find(section, &name) else {
            let names: Vec<_> =
                KEYS.iter().filter(|key| key.section == section).map(|key| key.name).collect();
            return Err(self.refuse(
                event,
                format!("in {} the keys {}", keys::heading(section), names.join(", ")),
            ));
        };
        if !self.places.in_file(index, event.span().start()) {
            return Err(self.refuse(event, "each key once".to_owned()));
        }
        Ok(key)
    }

    fn open_list(&mut self, key: &'static Key, event: Event) -> Result<State, ConfigError> {
        let Rule::List { clear, .. } = key.rule else {
            return Err(self.refuse(event, key.rule.allowed()));
        };
        clear(&mut self.config);
        Ok(State::List(key, 0))
    }

    fn item(
        &mut self,
        key: &'static Key,
        items: usize,
        event: Event,
    ) -> Result<State, ConfigError> {
        let full = matches!(key.rule, Rule::List { items_max, .. } if items >= items_max);
        if full {
            return Err(self.refuse(event, key.rule.allowed()));
        }
        self.put(key, event)?;
        Ok(State::List(key, items + 1))
    }

    fn scalar(&mut self, key: &'static Key, event: Event) -> Result<State, ConfigError> {
        if matches!(key.rule, Rule::List { .. }) {
            return Err(self.refuse(event, key.rule.allowed()));
        }
        self.put(key, event)?;
        Ok(State::Section(Some(key.section)))
    }

    fn put(&mut self, key: &Key, event: Event) -> Result<(), ConfigError> {
        let raw = self.source.get(event).ok_or_else(|| self.refuse(event, key.rule.allowed()))?;
        let mut text = Cow::Borrowed("");
        let mut failure: Option<ParseError> = None;
        let kind = raw.decode_scalar(&mut text, &mut failure);
        let value = value(kind, &text);
        if let Rule::Named { put, items_max, .. } = key.rule {
            let (name, count) = &self.named;
            let fits = failure.is_none()
                && *count <= items_max
                && matches!(value, Value::Text(text) if put(&mut self.config, name, text));
            let found = format!("`{name}` and its value");
            let refused = || self.origin.error(event.span().start(), found, key.rule.allowed());
            return fits.then_some(()).ok_or_else(refused);
        }
        let allowed = failure.is_none() && key.rule.set(&mut self.config, value);
        let refused = || self.refuse(event, key.rule.refusal(&self.config, value));
        if allowed { Ok(()) } else { Err(refused()) }
    }

    fn name(&self, event: Event) -> Result<Cow<'a, str>, ConfigError> {
        let mut name = Cow::Borrowed("");
        let mut failure: Option<ParseError> = None;
        if let Some(raw) = self.source.get(event) {
            raw.decode_key(&mut name, &mut failure);
        }
        match failure {
            Some(failure) => Err(syntax(self.origin, &failure)),
            None => Ok(name),
        }
    }

    /// Comments are checked for control characters, as TOML asks, and otherwise skipped.
    fn comment(&self, event: Event) -> Result<(), ConfigError> {
        let mut failure: Option<ParseError> = None;
        if let Some(raw) = self.source.get(event) {
            raw.decode_comment(&mut failure);
        }
        failure.map_or(Ok(()), |failure| Err(syntax(self.origin, &failure)))
    }

    fn refuse(&self, event: Event, allowed: String) -> ConfigError {
        let found = self.source.get(event).map_or("", |raw| raw.as_str());
        self.origin.error(event.span().start(), quoted(found), allowed)
    }
}

/// How deep it is in lists and tables behind an event of this kind.
fn below(kind: EventKind, depth: usize) -> usize {
    match kind {
        EventKind::ArrayOpen | EventKind::InlineTableOpen => depth + 1,
        EventKind::ArrayClose | EventKind::InlineTableClose => depth.saturating_sub(1),
        _ => depth,
    }
}

/// Adds the defaults of a section to those that there are, of which there may be so many.
fn pushed<T: Default>(all: &mut Vec<T>, max: usize) -> Result<(), usize> {
    if all.len() >= max {
        return Err(max);
    }
    all.push(T::default());
    Ok(())
}

fn value<'a>(kind: ScalarKind, text: &'a str) -> Value<'a> {
    match kind {
        ScalarKind::String => Value::Text(text),
        ScalarKind::Boolean(flag) => Value::Flag(flag),
        ScalarKind::Integer(radix) => {
            u64::from_str_radix(text, radix.value()).map_or(Value::Other, Value::Number)
        }
        ScalarKind::Float | ScalarKind::DateTime => Value::Other,
    }
}

/// A failure of the TOML grammar, in our words as far as the parser's allow.
fn syntax(origin: Origin<'_>, failure: &ParseError) -> ConfigError {
    let span = failure.unexpected().or(failure.context()).unwrap_or(Span::new_unchecked(0, 0));
    let text = origin.text.get(span.start()..span.end()).unwrap_or("");
    let found = if text.is_empty() {
        failure.description().to_owned()
    } else {
        format!("{} ({})", quoted(text), failure.description())
    };
    let mut allowed = String::new();
    for expected in failure.expected().unwrap_or(&[]) {
        let (Expected::Literal(name) | Expected::Description(name)) = expected else {
            continue;
        };
        if !allowed.is_empty() {
            allowed.push_str(" or ");
        }
        allowed.push_str(if *name == "\n" { "a new line" } else { name });
    }
    if allowed.is_empty() {
        allowed.push_str("TOML: [section] lines and `key = value` lines");
    }
    origin.error(span.start(), found, allowed)
}

fn bracketed(names: &[&str]) -> String {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&keys::heading(name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CongestionControl, DEFAULT_TOML};
    use core::time::Duration;
    use std::string::ToString;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse("a.toml", text)
    }

    fn refused(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    /// The commented default with every key in force.
    fn uncommented() -> String {
        let key = |line: &str| {
            line.strip_prefix('#').is_some_and(|rest| {
                !rest.starts_with(' ') && rest.contains(" = ") || rest.starts_with("[[")
            })
        };
        DEFAULT_TOML
            .lines()
            .map(|line| if key(line) { &line[1..] } else { line })
            .fold(String::new(), |all, line| all + line + "\n")
    }

    #[test]
    fn the_line_of_a_key_is_that_of_its_section() {
        let text =
            "# http = 1\n[http]\nport = 80\n\n[capabilities]\n\"a-b\" = \"x\"\nport = \"y\"\n";
        for (section, name, line) in [
            ("http", "port", Some(3)),
            ("capabilities", "a-b", Some(6)),
            ("capabilities", "port", Some(7)),
            ("http", "a-b", None),
            ("rpc", "port", None),
        ] {
            assert_eq!(line_of(text, sought(section, name)), line, "[{section}] {name}");
        }
        assert_eq!(line_of("[http\nport = 80\n", sought("http", "port")), None);
        let two = "[[database]]\nname = \"a\"\n[[database]]\nuser = \"b\"\nname = \"b\"\n";
        for (number, name, line) in
            [(0, "name", Some(2)), (1, "name", Some(5)), (0, "user", None), (2, "name", None)]
        {
            let sought = Sought { number, ..sought("database", name) };
            assert_eq!(line_of(two, sought), line, "{number} {name}");
        }
        let text =
            "[proxy]\nroutes = [\n  \"/a a:1\", \"/b a:1\",\n  # \"/x a:1\"\n  \"/c a:1\"\n]\n";
        let lines = [0, 1, 2, 3]
            .map(|item| line_of(text, Sought { item: Some(item), ..sought("proxy", "routes") }));
        assert_eq!(lines, [Some(3), Some(3), Some(5), None]);
    }

    fn sought<'a>(section: &'a str, name: &'a str) -> Sought<'a> {
        Sought { section, number: 0, name, item: None }
    }

    #[test]
    fn a_route_that_is_none_is_refused_by_its_word_and_line() {
        for (route, word) in [
            ("/c a:1 strip=yes", "`strip=yes`"),
            ("/c a:1 policy=best", "`policy=best`"),
            ("/c a:1 a:1*0", "`a:1*0`"),
            ("/b a:1", "`/b`"),
        ] {
            let text = std::format!("[proxy]\nroutes = [\n  \"/b a:1\",\n  \"{route}\",\n]\n");
            let said = refused(&text);
            assert!(said.starts_with("a.toml:4:3: ") && said.contains(word), "{said}");
        }
    }

    #[test]
    fn the_commented_file_shows_every_key_with_its_default() {
        assert_eq!(parse(DEFAULT_TOML).unwrap(), Config::default());
        let text = uncommented();
        let with_one = Config {
            databases: [crate::Database::default()].into(),
            site_hosts: [crate::SiteHost::default()].into(),
            site_rules: [crate::SiteRule::default()].into(),
            ..Config::default()
        };
        assert_eq!(parse(&text).unwrap(), with_one);
        let mut section = "";
        let mut shown = Vec::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_matches(['[', ']']);
            } else if let Some((name, _)) =
                line.split_once(" = ").filter(|_| !line.starts_with('#'))
            {
                shown.push((section, name));
            }
        }
        // What has any name is shown in words.
        let known = KEYS.iter().filter(|key| !matches!(key.rule, Rule::Named { .. }));
        let known: Vec<_> = known.map(|key| (key.section, key.name)).collect();
        assert_eq!(shown, known);
    }

    #[test]
    fn capabilities_have_any_name_once_and_are_not_shown_in_errors() {
        let config = parse("[capabilities]\nstore = \"capnp://insecure@a:1\"\nx-y_2 = 'capnp://b'\n[zmq]\nport = 1").unwrap();
        let own = |name: &str, text: &str| (name.to_string(), text.to_string());
        assert_eq!(
            config.capabilities.references,
            [own("store", "capnp://insecure@a:1"), own("x-y_2", "capnp://b")]
        );
        assert_eq!(std::format!("{:?}", config.capabilities), "[\"store\", \"x-y_2\"]");
        for (line, bad) in [
            (2, "store = \"http://deadbeef\""),
            (2, "\"st ore\" = \"capnp://deadbeef\""),
            (2, "store = 7"),
            (2, "store = [\"capnp://deadbeef\"]"),
            (3, "a = \"capnp://x\"\na = \"capnp://deadbeef\""),
        ] {
            let message = refused(&std::format!("[capabilities]\n{bad}"));
            assert!(message.starts_with(&std::format!("a.toml:{line}:")), "{message}");
            assert!(!message.contains("deadbeef"), "{message}");
        }
        let many = |count: usize| {
            let line = |n| std::format!("c{n} = \"capnp://x\"\n");
            parse(&(0..count).fold("[capabilities]\n".to_string(), |all, n| all + &line(n)))
        };
        assert!(many(64).is_ok() && many(65).is_err());
    }

    #[test]
    fn vats_and_services_are_named_in_full() {
        let key = "3Tj5y5Q2qpqN3Sbh0GRPxgORZw98_NtrU2nLI0-Tn6g";
        let peer = |text: &str| parse(&std::format!("[rpc]\npeers = [\"{text}\"]"));
        let known = peer(&std::format!("sha-256:{key} admin  calculator")).unwrap().rpc.peers;
        assert_eq!(known[0].fingerprint.0[..2], [0xDD, 0x38]);
        assert_eq!(known[0].services, ["admin", "calculator"]);
        assert!(peer(&std::format!("sha-256:{key} *")).is_ok());
        for bad in [
            std::format!("sha-256:{key}"),
            std::format!("{key} admin"),
            std::format!("sha-256:{} admin", &key[1..]),
            std::format!("sha-256:{key}g admin"),
            std::format!("sha-256:{key} ad.min"),
        ] {
            assert!(peer(&bad).is_err(), "{bad}");
        }
        let epochs = parse("[rpc]\nepochs = [\"admin 2\"]").unwrap().rpc.epochs;
        assert_eq!((&*epochs[0].service, epochs[0].epoch), ("admin", 2));
        for bad in ["admin", "admin -1", "2 admin", "admin 4294967296"] {
            assert!(parse(&std::format!("[rpc]\nepochs = [\"{bad}\"]")).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_reach_their_fields() {
        let config = parse(
            "[network]\ndhcp = false\naddresses = [\n  \"10.9.0.2/24\", # the first\n  'fd00::2/64',\n]\n\
             [http]\nport = 0x1f90\nhosts = [\"a.example\", \"[fd00::2]\", \"10.9.0.2\"]\nhead_timeout_seconds = 3\n[tcp]\ncongestion_control = \"bbr\"\n[rpc]\nport = 0\n[zmq]\nport = 5_556\n[log]\nlevel = \"warn\"",
        )
        .unwrap();
        assert_eq!(config.network.addresses.len(), 2);
        assert!(!config.network.dhcp);
        assert_eq!(config.http.port, 8080);
        assert_eq!(config.http.hosts, ["a.example", "[fd00::2]", "10.9.0.2"]);
        assert_eq!(config.http.head_timeout, Duration::from_secs(3));
        assert_eq!(config.tcp.congestion_control, CongestionControl::Bbr);
        assert_eq!((config.zmq.port, config.rpc.port), (Some(5556), None));
        assert_eq!(config.log.level, log::LevelFilter::Warn);
    }

    #[test]
    fn errors_name_place_found_and_allowed() {
        assert_eq!(
            refused("[http]\nport = \"eighty\"\n"),
            "a.toml:2:8: found `\"eighty\"`; allowed: a port from 1 to 65535"
        );
        assert_eq!(
            refused("[http]\n\n  prot = 80\n"),
            "a.toml:3:3: found `prot`; allowed: in [http] the keys port, hosts, site_root, index, access_log, access_log_format, request_line_bytes_max, header_bytes_max, headers_max, body_bytes_max, head_timeout_seconds, body_timeout_seconds, write_timeout_seconds, idle_timeout_seconds, linger_timeout_seconds, bytes_per_second_min, requests_per_minute_max, connections_per_client_max, compress, compress_bytes_min, compress_streams_max, compress_bytes_per_second_max, server_header"
        );
        assert_eq!(
            refused("[htpt]"),
            "a.toml:1:2: found `htpt`; allowed: the sections [network], [http], [fastcgi], [gopher], [tls], [site], [[site_host]], [[site_rule]], [tcp], [vsock], [shared_memory], [unix], [rpc], [capabilities], [conf], [relay], [zmq], [storage], [memory], [tasks], [sessions], [affinity], [names], [proxy], [balance], [[database]], [admin], [log], [shutdown]"
        );
        assert_eq!(
            refused("[log]\nlevel = \"loud\""),
            "a.toml:2:9: found `\"loud\"`; allowed: \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\""
        );
        assert_eq!(
            refused("[network]\nmtu_bytes = 100"),
            "a.toml:2:13: found `100`; allowed: a whole number from 576 to 9000"
        );
        assert_eq!(
            refused("[tcp]\nbuffers_max_bytes = 1024"),
            "a.toml:2:1: found `buffers_max_bytes = 1024`; allowed: 0, or at least 1048576, for buffers_max_bytes in [tcp]"
        );
        assert_eq!(
            refused(
                "[memory]
peers_bytes_max = 1"
            ),
            "a.toml:2:1: found `peers_bytes_max = 1`; allowed: 0, or at least 1048576, for peers_bytes_max in [memory]"
        );
        assert_eq!(
            refused("[storage]\ncache_bytes_max = 1"),
            "a.toml:2:1: found `cache_bytes_max = 1`; allowed: 0, or at least 1048576, for cache_bytes_max in [storage]"
        );
        assert_eq!(
            refused("[rpc]\nunsent_bytes_max = 65_536 # little"),
            "a.toml:2:1: found `unsent_bytes_max = 65_536 # little`; allowed: unsent_bytes_high at most unsent_bytes_max in [rpc]"
        );
    }

    #[test]
    fn all_faults_are_told_each_with_its_line() {
        let text = "[http]\nport = \"eighty\"\nindex = \"i.html\"\nprot = 80\nhosts = [\n  \"a\",\n  7, # a number\n  8,\n]\n\
                    access_log = { a = 1 }\nheaders_max = 0\n[htpt]\nport = 1\nx = 2\n[log]\nlevel = loud\nformat = \"xml\"\n\
                    [log]\nlevel = \"info\"\n[[http]]\n[tls]\nport = -1\n";
        let error = parse(text).unwrap_err();
        let places: Vec<_> =
            core::iter::once(&error).chain(&error.more).map(|it| it.line).collect();
        assert_eq!(places, [2, 4, 7, 10, 11, 12, 16, 17, 18, 20, 22]);
        let said = error.to_string();
        assert_eq!(said.lines().count(), 11);
        let second = said.lines().nth(1).unwrap();
        assert!(
            second.starts_with("a.toml:4:1: found `prot`; allowed: in [http] the keys port,"),
            "{second}"
        );
        let many = "[http]\n".to_string() + &"x = 1\n".repeat(1000);
        assert_eq!(refused(&many).lines().count(), FAULTS_MAX);
        // What contradicts each other comes after what is no configuration.
        let two = "[rpc]\nunsent_bytes_max = 65_536\n[tcp]\nbuffers_max_bytes = 1\n";
        assert_eq!(refused(two).lines().count(), 2);
        assert_eq!(refused(&(two.to_string() + "x = 1\n")).lines().count(), 1);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        for text in [
            "port = 80",
            "[http]\n[http]",
            "[http]\nport = 80\nport = 81",
            "[[http]]",
            "http.port = 80",
            "[http.port]",
            "[http]\nport = [80]",
            "[http]\nport = { a = 1 }",
            "[http]\nport.a = 1",
            "http = { port = 80 }",
            "[http]\nport = -1",
            "[http]\nport = 80.0",
            "[http]\nport = 2026-01-01",
            "[http]\nport = true",
            "[http]\naccess_log = 1",
            "[http]\nport =",
            "[http]\nport",
            "[http",
            "[http]\nport = 80 81",
            "[log]\nlevel = info",
            "[log]\nlevel = \"info",
            "[]",
            "= 1",
            "\u{1}",
            "[http]\nport = 99999999999999999999",
            "# \u{7}",
            "[http]\nindex = \"a/b\"",
            "[[site_host]]\nnames = [\"a\"]\nroot = \"b\"\nindex = \"a/b\"",
            "[http]\nsite_root = \"../etc\"",
            "[network]\naddresses = \"10.0.0.1/8\"",
            "[network]\naddresses = [[\"10.0.0.1/8\"]]",
            "[network]\naddresses = [10]",
            "[network]\naddresses = [\"10.0.0.1/8\", \"10.0.0.1/8\"]",
            "[network]\naddresses = [\"fd00::1/64\", \"10.0.0.1/8\", \"fd00:0::1/48\"]",
            "[network]\naddresses = [\"127.0.0.1/8\"]",
            "[network]\naddresses = [\"10.0.0.255/24\"]",
            "[network]\ngateways = [\"127.0.0.1\"]",
            "[network]\ngateways = [\"::1\"]",
            "[network]\ngateways = [\"0.0.0.0\"]",
            "[network]\ngateways = [\"224.0.0.1\"]",
            "[network]\ngateways = [\"255.255.255.255\"]",
            "[network]\ngateways = [\"ff02::1\"]",
            "[network]\ngateways = [\"10.0.0.1\", \"10.0.0.2\"]",
            "[network]\nhostname = \"-a\"",
            "[http]\nhosts = [\"a.example:80\"]",
            "[http]\nhosts = [\"fd00::2\"]",
            "[http]\nhosts = [\"[fd00\"]",
            "[http]\nhosts = [\"\"]",
        ] {
            let error = parse(text).expect_err(text);
            assert!(!error.allowed.is_empty() && !error.found.is_empty(), "{text}: {error}");
        }
    }

    #[test]
    fn every_range_is_kept_at_both_ends() {
        for key in KEYS {
            let (min, max) = match key.rule {
                Rule::Count { min, max, .. } | Rule::Seconds { min, max, .. } => (min, max),
                Rule::Port(_) => (1, 65_535),
                Rule::PortOrOff(_) => (0, 65_535),
                _ => continue,
            };
            let set = |number: u64| key.rule.set(&mut Config::default(), Value::Number(number));
            assert!(set(min) && set(max) && !set(max + 1), "{}", key.name);
            assert!(min == 0 || !set(min - 1), "{}", key.name);
        }
    }

    /// The same by way of the file: one below, at and one above each end.
    #[test]
    fn a_number_of_the_file_is_in_range_or_refused() {
        for key in KEYS {
            let (min, max) = match key.rule {
                Rule::Count { min, max, .. } | Rule::Seconds { min, max, .. } => (min, max),
                Rule::Port(_) => (1, 65_535),
                Rule::PortOrOff(_) => (0, 65_535),
                _ => continue,
            };
            let text =
                |number: u64| format!("{}\n{} = {number}\n", keys::heading(key.section), key.name);
            let below = min.checked_sub(1).map(text);
            for text in below.into_iter().chain([text(max + 1)]) {
                let said = refused(&text);
                assert!(
                    said.starts_with("a.toml:2:") && said.contains(&key.rule.allowed()),
                    "{said}"
                );
            }
            for text in [text(min), text(max)] {
                // What contradicts a default is another matter.
                if let Err(error) = parse(&text) {
                    assert!(error.allowed.contains(" at most "), "{error}");
                }
            }
        }
    }

    #[test]
    fn texts_are_limited() {
        let label = |length: usize| "a".repeat(length);
        for (key, fits) in [
            (format!("[network]\nhostname = \"{}\"", label(63)), true),
            (format!("[network]\nhostname = \"{}\"", label(64)), false),
            ("[network]\nhostname = \"\"".to_string(), false),
            (format!("[http]\nhosts = [\"{0}.{0}.{0}.{1}\"]", label(63), label(61)), true),
            (format!("[http]\nhosts = [\"{0}.{0}.{0}.{1}\"]", label(63), label(62)), false),
            ("[sessions]\ncarry_over = \"\"".to_string(), true),
            ("[sessions]\ncarry_over = \"http://10.9.0.1:8000/sessions\"".to_string(), true),
            ("[sessions]\ncarry_over = \"http://store.example/a/b\"".to_string(), true),
            ("[sessions]\ncarry_over = \"http://[fd00::1]:80/\"".to_string(), true),
            ("[sessions]\ncarry_over = \"http://[fd00::1]/x\"".to_string(), true),
            ("[sessions]\ncarry_over = \"https://a/x\"".to_string(), true),
            ("[sessions]\ncarry_over = \"httpx://a/x\"".to_string(), false),
            ("[http]\nserver_header = \"\"".to_string(), true),
            ("[http]\nserver_header = \"Aqueduct/1 (a b)\"".to_string(), true),
            (format!("[http]\nserver_header = \"{}\"", "a".repeat(128)), true),
            (format!("[http]\nserver_header = \"{}\"", "a".repeat(129)), false),
            ("[http]\nserver_header = \"a  b\"".to_string(), false),
            ("[http]\nserver_header = \" a\"".to_string(), false),
            ("[http]\nserver_header = \"a \"".to_string(), false),
            ("[http]\nserver_header = \"a\tb\"".to_string(), false),
            ("[http]\nserver_header = \"a\\u000ab: c\"".to_string(), false),
            ("[http]\nserver_header = \"ä\"".to_string(), false),
            ("[tls]\nclients = \"some\"".to_string(), false),
            ("[tls]\ncertificates = [\"../cert.pem\"]".to_string(), false),
            ("[tls]\nauthorities = \"/etc/ca.pem\"".to_string(), false),
            (format!("[tls]\nticket_key = \"{}\"", "0f".repeat(32)), true),
            (format!("[tls]\nticket_key = \"{}\"", "0f".repeat(31)), false),
            (format!("[tls]\nticket_key = \"{}0\"", "0f".repeat(32)), false),
            (format!("[tls]\nclient_fingerprints = [\"{}0F\"]", "0F:".repeat(31)), true),
            (format!("[tls]\nclient_fingerprints = [\"{}0G\"]", "0F:".repeat(31)), false),
            ("[sessions]\ncarry_over = \"http://a\"".to_string(), false),
            ("[sessions]\ncarry_over = \"http:///x\"".to_string(), false),
            ("[sessions]\ncarry_over = \"http://a:x/\"".to_string(), false),
            ("[sessions]\ncarry_over = \"http://a:70000/\"".to_string(), false),
            ("[sessions]\ncarry_over = \"http://a b/x\"".to_string(), false),
            ("[sessions]\ncarry_over = \"http://a/x?y\"".to_string(), false),
            ("[sessions]\ncarry_over = \"http://a/%20\"".to_string(), false),
            ("[affinity]\nkey = \"\"".to_string(), true),
            ("[affinity]\nkey = \"000102030405060708090a0b0c0d0eFF\"".to_string(), true),
            ("[affinity]\nkey = \"000102030405060708090a0b0c0d0e\"".to_string(), false),
            ("[affinity]\nkey = \"000102030405060708090a0b0c0d0e0g\"".to_string(), false),
            ("[affinity]\nkey = \"000102030405060708090a0b0c0d0e0f0\"".to_string(), false),
            ("[affinity]\nowner_lost = \"refuse\"".to_string(), true),
            ("[affinity]\nowner_lost = \"new\"".to_string(), false),
            ("[tcp]\ncongestion_control = \"off\"".to_string(), true),
            ("[tcp]\ncongestion_control = \"cubic\"".to_string(), true),
            ("[tcp]\ncongestion_control = \"bbr\"".to_string(), true),
            ("[tcp]\ncongestion_control = \"Reno\"".to_string(), false),
        ] {
            assert_eq!(parse(&key).is_ok(), fits, "{key}");
        }
    }

    #[test]
    fn lists_are_limited() {
        for key in KEYS {
            let Rule::List { items_max, .. } = key.rule else {
                continue;
            };
            let text = "\"x\",".repeat(items_max + 1);
            let mut reader =
                Reader::new(Origin { file: "", text: "" }, Source::new(""), Config::default());
            assert!(key.rule.allowed().contains(&items_max.to_string()));
            let heading = keys::heading(key.section);
            let said = refused(&format!("{heading}\n{} = [{text}]", key.name));
            // Of a long item, what is wrong with its word.
            let is_about_word = said.contains("not `x`") || said.contains("at least");
            assert!(said.contains("at most") || is_about_word, "{said}");
            reader.state = State::List(key, items_max);
            let item = Event::new_unchecked(EventKind::Scalar, None, Span::new_unchecked(0, 0));
            assert!(reader.event(item).is_err());
        }
        let addresses = |count: usize| {
            let items: String =
                (1..=count).map(|number| format!("\"10.0.0.{number}/8\",")).collect();
            format!("[network]\naddresses = [{items}]")
        };
        assert!(parse(&addresses(4)).is_ok());
        assert!(refused(&addresses(5)).contains("at most 4"));
    }

    #[test]
    fn size_and_depth_are_limited() {
        let comment = format!("#{}", "x".repeat(FILE_BYTES_MAX - 1));
        assert!(parse(&comment).is_ok());
        assert!(refused(&(comment + "x")).contains("at most 262144 bytes"));
        for open in ["[", "{ a = "] {
            assert!(
                parse(&format!("[network]\ndns = {}", open.repeat(100_000))).is_err()
                    || open.len() * 100_000 > FILE_BYTES_MAX
            );
            parse(&format!("[network]\ndns = {}", open.repeat(20_000))).unwrap_err();
        }
    }

    #[test]
    fn any_prefix_and_any_damage_is_an_answer_not_a_panic() {
        let text = uncommented();
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(7) {
            let _ = parse(&text[..end]);
        }
        for (index, _) in text.char_indices().step_by(11) {
            for damage in ["\"", "[", "\u{0}", "=", "\n", "'''", "é"] {
                let _ = parse(&format!("{}{damage}{}", &text[..index], &text[index + 1..]));
            }
        }
    }

    #[test]
    fn what_was_expected_is_said_where_it_was() {
        for (text, expected) in [
            (
                "port = 80\n",
                "a.toml:1:1: found `port`; allowed: a section first, one of [network], ",
            ),
            (
                "[http]\nport = { a = 1 }\n",
                "a.toml:2:8: found `{`; allowed: a port from 1 to 65535",
            ),
            ("[http", "a.toml:1:6: found unclosed table; allowed: ]"),
            ("[http]\nport 80\n", "a.toml:2:6: found key with no value; allowed: ="),
            ("[http] x\n", "a.toml:1:8: found unexpected key or value; allowed: a new line or #"),
            (
                "[http]\nhosts = [ { a = 1 } ]\n",
                "a.toml:2:11: found `{`; allowed: a list of at most 32 names or addresses",
            ),
        ] {
            let said = refused(text);
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn behind_a_fault_lists_and_tables_are_left_out_as_a_whole() {
        for (text, lines) in [
            ("[http]\nprot = [\n  1,\n  2,\n]\nport = 0\n", &[2, 6][..]),
            ("[http]\nprot = [\n  [1,\n  2],\n  3,\n]\nport = 0\n", &[2, 7]),
            ("[http]\nprot = [\n  [1, [2,\n  3], 4], [\n  5]\n]\nport = 0\n", &[2, 7]),
            ("[http]\nprot = [\n  { a = 1 },\n  2,\n]\nport = 0\n", &[2, 6]),
            ("[http]\nhosts = [\n  [1,\n  2],\n  3,\n]\nport = 0\n", &[3, 7]),
        ] {
            let error = parse(text).unwrap_err();
            let told: Vec<_> =
                core::iter::once(&error).chain(&error.more).map(|it| it.line).collect();
            assert_eq!(told, lines, "{text}");
        }
    }

    #[test]
    fn a_percentile_of_hedging_is_none_or_a_high_one() {
        let hedging =
            |percentile: u32| parse(&format!("[balance]\nhedge_percentile = {percentile}\n"));
        for percentile in [0, 50, 99] {
            assert_eq!(hedging(percentile).unwrap().balance.hedge_percentile, percentile);
        }
        for percentile in [1, 49] {
            let error = hedging(percentile).unwrap_err();
            assert_eq!((error.line, error.column), (2, 1));
            assert!(error.allowed.starts_with("0, or from 50 to 99"), "{error}");
        }
    }

    #[test]
    fn lists_take_what_each_item_may_be_beside_the_others() {
        let hash = |name: &str| format!("\"{name}:$5$salt${}\"", "b".repeat(43));
        let (ann, bob) = (hash("ann"), hash("bob"));
        for (key, items, fits) in [
            ("users", format!("{ann}, {bob}"), true),
            ("users", "\"*\"".to_string(), true),
            ("users", String::new(), true),
            ("users", format!("{ann}, {ann}"), false),
            ("users", format!("{ann}, {bob}, {ann}"), false),
            ("users", format!("{ann}, \"*\""), false),
            ("users", format!("\"*\", {ann}"), false),
            ("users", "\"*\", \"*\"".to_string(), false),
            ("users", "\"ann\"".to_string(), false),
            ("allow", "\"10.0.0.0/8\", \"fd00::1\"".to_string(), true),
            ("allow", "\"10.0.0.1/8\"".to_string(), false),
            ("deny", "\"::/0\", \"::/0\"".to_string(), true),
            ("deny", "\"a\"".to_string(), false),
        ] {
            let text = format!("[[site_rule]]\npath = \"/a\"\n{key} = [{items}]\n");
            assert_eq!(parse(&text).is_ok(), fits, "{text}");
        }
        for (servers, fits) in [
            ("\"a:1\", \"a:2\", \"b:1\"", true),
            ("\"a:1\", \"a:1\"", false),
            ("\"a:1\", \"b:1\", \"a:1\"", false),
            ("\"a:1\", \"a\"", false),
            ("\"a\"", false),
        ] {
            let text = format!("[[database]]\nservers = [{servers}]\n");
            assert_eq!(parse(&text).is_ok(), fits, "{text}");
        }
    }
}
