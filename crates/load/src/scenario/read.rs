//! Scenario's reader: TOML to a [`Scenario`]. What is wrong is said with its line and what is allowed.

use super::{ConnectionUse, GuestUse, Place, RequestKind, Scenario, Shape, check_field};
use crate::{Prefix, Rate, Schedule, Spacing};
use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::ops::Range;
use core::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Highest rate, requests per second.
const RATE_MAX: f64 = 1e7;

/// Faults of one file that are told at most.
const FAULTS_MAX: usize = 100;

/// Why a scenario was refused. Prints as a line for each fault: `a.toml:3: found "fast"; allowed: a number from 0 to 10000000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The name that the caller gave.
    pub file: String,
    /// At least one, and 100 at most, in the order of the file.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1; 1 for what concerns the whole.
    pub line: usize,
    /// What was found, and what is allowed.
    pub sentence: String,
}

impl ScenarioError {
    pub(super) fn new(file: &str, line: usize, sentence: String) -> Self {
        Self { file: file.to_owned(), faults: [Fault { line, sentence }].into() }
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Fault { line, sentence }) in self.faults.iter().enumerate() {
            let end = if index > 0 { "\n" } else { "" };
            write!(f, "{end}{}:{line}: {sentence}", self.file)?;
        }
        if self.faults.len() >= FAULTS_MAX {
            write!(f, "\n{}: there may be more faults; {FAULTS_MAX} are told", self.file)?;
        }
        Ok(())
    }
}

impl core::error::Error for ScenarioError {}

type Result<T> = core::result::Result<T, Fault>;
type Key<'a> = Spanned<Cow<'a, str>>;
type Value<'a> = Spanned<DeValue<'a>>;

const KEYS: &str = "target, duration_seconds, timeout_seconds, connections, seed, [arrivals], [closed_loop], [connection], [[requests]], [guest]";
const ARRIVALS: &str = "rate, ramp, steps, spacing";
const CONNECTION: &str = "pipelining, requests_max, read_bytes_per_second, write_bytes_per_second, abandoned_percent, half_open, cookies";
const REQUEST: &str =
    "name, weight, method, path, headers, body, expect_status, expect_body, interface, call";
const GUEST: &str = "via, allow, power_off, wait_seconds";
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

pub(super) fn scenario(file: &str, text: &str) -> core::result::Result<Scenario, ScenarioError> {
    let reader = Reader { text, faults: RefCell::default() };
    let scenario = reader.read();
    let mut faults = reader.faults.into_inner();
    match scenario {
        Some(scenario) if faults.is_empty() => Ok(scenario),
        _ => {
            faults.sort_by_key(|fault| fault.line);
            Err(ScenarioError { file: file.to_owned(), faults })
        }
    }
}

/// The file, for faults to name places in it.
struct Reader<'a> {
    text: &'a str,
    faults: RefCell<Vec<Fault>>,
}

impl Reader<'_> {
    /// What the file says, of use only if it has no faults.
    fn read(&self) -> Option<Scenario> {
        if self.text.len() > Scenario::FILE_BYTES_MAX {
            let (found, max) = (self.text.len(), Scenario::FILE_BYTES_MAX);
            self.note(self.refuse(0..0, format!("found {found} bytes; allowed: {max}")));
            return None;
        }
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in errors.iter().take(FAULTS_MAX) {
            let at = error.span().unwrap_or(0..0);
            self.note(self.refuse(at, format!("no TOML: {}", error.message())));
        }
        if !errors.is_empty() {
            return None;
        }
        let table = document.get_ref();
        let place = self.place(table).unwrap_or_else(|fault| {
            self.note(fault);
            None
        });
        // Without a target, the faults of all else are told, too.
        let nowhere = Place { protocol: super::Protocol::Http, host: String::new(), port: 0 };
        let (place, path) = place.unwrap_or((nowhere, "/".to_owned()));
        let mut scenario = Scenario::new(place, &path);
        self.scenario(table, &mut scenario);
        if self.faults.borrow().is_empty() {
            super::check::faults(&scenario)
                .into_iter()
                .for_each(|sentence| self.note(self.refuse(0..0, sentence)));
        }
        Some(scenario)
    }

    fn place(&self, table: &DeTable<'_>) -> Result<Option<(Place, String)>> {
        let target = table.iter().find(|(key, _)| key.get_ref() == "target");
        let Some((_, target)) = target else {
            let sentence = "no target; allowed: target = \"http://HOST:PORT/\"".to_owned();
            return Err(self.refuse(0..0, sentence));
        };
        let parsed = Place::parse(self.string(target, "a URL")?);
        parsed.map(Some).map_err(|sentence| self.refuse(target.span(), sentence))
    }

    /// Keeps a fault, and goes on.
    fn note(&self, fault: Fault) {
        if !self.is_full() {
            self.faults.borrow_mut().push(fault);
        }
    }

    fn is_full(&self) -> bool {
        self.faults.borrow().len() >= FAULTS_MAX
    }

    /// Sets what was read, or keeps the fault.
    fn put<T>(&self, to: &mut T, read: Result<T>) {
        match read {
            Ok(value) => *to = value,
            Err(fault) => self.note(fault),
        }
    }

    fn scenario(&self, table: &DeTable<'_>, scenario: &mut Scenario) {
        let mut looped = None;
        for (key, value) in in_order(table) {
            match key.get_ref().as_ref() {
                "target" => {}
                "duration_seconds" => self.put(&mut scenario.duration, self.seconds(value, 0.001)),
                "timeout_seconds" => self.put(&mut scenario.timeout, self.seconds(value, 0.001)),
                "connections" => {
                    let read = self.whole32(value, 1, super::CONNECTIONS_MAX);
                    self.put(&mut scenario.connections, read);
                }
                "seed" => self.put(&mut scenario.seed, self.whole(value, 0, i64::MAX as u64)),
                "arrivals" | "closed_loop" if looped.is_some() => {
                    self.note(self.found(key.span(), "one of [arrivals] and [closed_loop]"));
                }
                "arrivals" => {
                    // It was said, whatever is wrong with it.
                    looped = Some(scenario.shape.clone());
                    let shape = self.schedule(value).map(|it| it.map(Shape::Open));
                    self.put(&mut looped, shape);
                }
                "closed_loop" => {
                    looped = Some(scenario.shape.clone());
                    self.put(&mut looped, self.closed(value).map(Some));
                }
                "connection" => self.put(&mut scenario.connection, self.connection(value)),
                "requests" => {
                    let requests = self.requests(value, scenario);
                    self.put(&mut scenario.requests, requests);
                }
                "guest" => self.put(&mut scenario.guest, self.guest(value)),
                _ => self.note(self.found(key.span(), KEYS)),
            }
        }
        if let Some(shape) = looped {
            scenario.shape = shape;
        }
    }

    /// None if its faults were told.
    fn schedule(&self, value: &Value<'_>) -> Result<Option<Schedule>> {
        let (mut rate, mut spacing) = (None, Spacing::Even);
        let mut is_said = false;
        for (key, value) in self.table(value)? {
            match key.get_ref().as_ref() {
                "rate" | "ramp" | "steps" if is_said => {
                    self.note(self.found(key.span(), "one of rate, ramp and steps"));
                }
                name @ ("rate" | "ramp" | "steps") => {
                    is_said = true;
                    self.put(&mut rate, self.rate(name, value).map(Some));
                }
                "spacing" => self.put(&mut spacing, self.spacing(value)),
                _ => self.note(self.found(key.span(), ARRIVALS)),
            }
        }
        if !is_said {
            let sentence =
                "no rate; allowed: rate = 1000, ramp = [100, 1000] or steps = [100, 200]";
            return Err(self.refuse(value.span(), sentence.to_owned()));
        }
        Ok(rate.map(|rate| Schedule { rate, spacing }))
    }

    fn rate(&self, name: &str, value: &Value<'_>) -> Result<Rate> {
        match name {
            "rate" => Ok(Rate::Constant(self.number(value, 0.0, RATE_MAX)?)),
            "ramp" => match self.rates(value)?[..] {
                [from, to] => Ok(Rate::Ramp(from, to)),
                _ => Err(self.found(value.span(), "two rates, as [100, 1000]")),
            },
            _ => Ok(Rate::Steps(self.rates(value)?)),
        }
    }

    fn spacing(&self, value: &Value<'_>) -> Result<Spacing> {
        let allowed = "\"even\" or \"poisson\"";
        match self.string(value, allowed)? {
            "even" => Ok(Spacing::Even),
            "poisson" => Ok(Spacing::Poisson),
            _ => Err(self.found(value.span(), allowed)),
        }
    }

    fn closed(&self, value: &Value<'_>) -> Result<Shape> {
        let mut think = Duration::ZERO;
        for (key, value) in self.table(value)? {
            match key.get_ref().as_ref() {
                "think_seconds" => self.put(&mut think, self.seconds(value, 0.0)),
                _ => self.note(self.found(key.span(), "think_seconds")),
            }
        }
        Ok(Shape::Closed { think })
    }

    fn connection(&self, value: &Value<'_>) -> Result<ConnectionUse> {
        let mut connection = ConnectionUse::default();
        for (key, value) in self.table(value)? {
            match key.get_ref().as_ref() {
                "pipelining" => {
                    let read = self.whole(value, 1, 1000).map(|count| count as u16);
                    self.put(&mut connection.pipelining, read);
                }
                "requests_max" => {
                    self.put(&mut connection.requests_max, self.whole32(value, 0, u32::MAX));
                }
                "read_bytes_per_second" => {
                    let read = self.whole32(value, 0, u32::MAX);
                    self.put(&mut connection.read_bytes_per_second, read);
                }
                "write_bytes_per_second" => {
                    let read = self.whole32(value, 0, u32::MAX);
                    self.put(&mut connection.write_bytes_per_second, read);
                }
                "abandoned_percent" => {
                    let read = self.whole(value, 0, 100).map(|percent| percent as u8);
                    self.put(&mut connection.abandoned_percent, read);
                }
                "half_open" => {
                    let read = self.whole32(value, 0, super::CONNECTIONS_MAX);
                    self.put(&mut connection.half_open, read);
                }
                "cookies" => self.put(&mut connection.cookies, self.flag(value)),
                _ => self.note(self.found(key.span(), CONNECTION)),
            }
        }
        Ok(connection)
    }

    fn requests(&self, value: &Value<'_>, scenario: &Scenario) -> Result<Vec<RequestKind>> {
        let allowed = "tables [[requests]]";
        let list = value.get_ref().as_array().ok_or_else(|| self.found(value.span(), allowed))?;
        let request = |value| {
            let mut request = RequestKind::default();
            self.put(&mut request, self.request(value, scenario));
            request
        };
        Ok(list.iter().map(request).collect())
    }

    fn request(&self, value: &Value<'_>, scenario: &Scenario) -> Result<RequestKind> {
        let path = scenario.path.clone();
        let mut request = RequestKind { name: String::new(), path, ..RequestKind::default() };
        let (mut interface, mut call) = (None, None);
        let (mut has_interface, mut has_call) = (false, false);
        for (key, value) in self.table(value)? {
            match key.get_ref().as_ref() {
                "name" => {
                    self.put(&mut request.name, self.string(value, "a name").map(str::to_owned));
                }
                "weight" => self.put(&mut request.weight, self.whole32(value, 0, 1_000_000)),
                "method" => self.put(&mut request.method, self.method(value)),
                "path" => self.put(&mut request.path, self.path(value)),
                "headers" => self.put(&mut request.headers, self.headers(value)),
                "body" => {
                    self.put(&mut request.body, self.string(value, "a text").map(str::to_owned));
                }
                "expect_status" => {
                    let read = self.whole(value, 200, 599).map(|status| Some(status as u16));
                    self.put(&mut request.expect_status, read);
                }
                "expect_body" => {
                    let read = self.string(value, "a text").map(|text| Some(text.to_owned()));
                    self.put(&mut request.expect_body, read);
                }
                "interface" => {
                    has_interface = true;
                    self.put(&mut interface, self.interface(value).map(Some));
                }
                "call" => {
                    has_call = true;
                    let read = self.whole(value, 0, u16::MAX.into());
                    self.put(&mut call, read.map(|method| Some(method as u16)));
                }
                _ => self.note(self.found(key.span(), REQUEST)),
            }
        }
        if has_interface != has_call {
            return Err(self.found(value.span(), "interface and call, both or neither"));
        }
        request.call = interface.zip(call);
        if request.name.is_empty() {
            request.name = request.path.clone();
        }
        Ok(request)
    }

    fn guest(&self, value: &Value<'_>) -> Result<GuestUse> {
        let mut guest = GuestUse::default();
        for (key, value) in self.table(value)? {
            match key.get_ref().as_ref() {
                "via" => {
                    let allowed = "a target, as \"service://http@alpha\" or \"shm:http\"";
                    let read = self.string(value, allowed).map(|via| Some(via.to_owned()));
                    self.put(&mut guest.via, read);
                }
                "allow" => self.put(&mut guest.allow, self.prefixes(value)),
                "power_off" => self.put(&mut guest.power_off, self.flag(value)),
                "wait_seconds" => self.put(&mut guest.wait, self.seconds(value, 0.0)),
                _ => self.note(self.found(key.span(), GUEST)),
            }
        }
        Ok(guest)
    }

    fn prefixes(&self, value: &Value<'_>) -> Result<Vec<Prefix>> {
        let allowed = "a list of at most 100 networks, as [\"10.9.0.0/24\"]";
        let list = value.get_ref().as_array().filter(|list| list.len() <= 100);
        let list = list.ok_or_else(|| self.found(value.span(), allowed))?;
        let prefix = |value| {
            let prefix = self.string(value, allowed)?.parse().ok();
            prefix.ok_or_else(|| self.found(value.span(), "a network, as \"10.9.0.0/24\""))
        };
        Ok(self.each(list.iter().map(prefix)))
    }

    fn method(&self, value: &Value<'_>) -> Result<String> {
        let method = self.string(value, "a method")?;
        if METHODS.contains(&method) {
            return Ok(method.to_owned());
        }
        Err(self.found(value.span(), &METHODS.join(", ")))
    }

    fn path(&self, value: &Value<'_>) -> Result<String> {
        let allowed = "a path that begins with / and has no spaces";
        let path = self.string(value, allowed)?;
        let fits = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| path.to_owned()).ok_or_else(|| self.found(value.span(), allowed))
    }

    fn headers(&self, value: &Value<'_>) -> Result<Vec<(String, String)>> {
        let header = |(name, value): (&Key<'_>, &Value<'_>)| {
            let text = self.string(value, "a text")?;
            check_field(name.get_ref(), text)
                .map_err(|sentence| self.refuse(name.span(), sentence))?;
            Ok((name.get_ref().to_string(), text.to_owned()))
        };
        Ok(self.each(self.table(value)?.into_iter().map(header)))
    }

    /// A Cap'n Proto schema's id has its highest bit set, which TOML's numbers do not have: it is a text.
    fn interface(&self, value: &Value<'_>) -> Result<u64> {
        let allowed = "the id of an interface, as \"0xb6a0be44b4d7d3d5\"";
        let id = self.string(value, allowed)?.strip_prefix("0x");
        let id = id.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        id.ok_or_else(|| self.found(value.span(), allowed))
    }

    fn rates(&self, value: &Value<'_>) -> Result<Vec<f64>> {
        let allowed = "a list of 1 to 1000 rates, as [100, 1000]";
        let list = value.get_ref().as_array().filter(|list| (1..=1000).contains(&list.len()));
        let list = list.ok_or_else(|| self.found(value.span(), allowed))?;
        let rate = |value| {
            let mut rate = 0.0;
            self.put(&mut rate, self.number(value, 0.0, RATE_MAX));
            rate
        };
        Ok(list.iter().map(rate).collect())
    }

    /// Those that were read; of the others the faults are kept.
    fn each<T>(&self, read: impl Iterator<Item = Result<T>>) -> Vec<T> {
        read.filter_map(|read| read.map_err(|fault| self.note(fault)).ok()).collect()
    }

    fn seconds(&self, value: &Value<'_>, min: f64) -> Result<Duration> {
        let seconds = self.number(value, min, 86_400.0)?;
        Ok(Duration::from_secs_f64(seconds))
    }

    /// A number, with a fraction or without.
    fn number(&self, value: &Value<'_>, min: f64, max: f64) -> Result<f64> {
        let digits = match value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            _ => "",
        };
        let number = digits.replace('_', "").parse().ok();
        let number = number.filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| self.found(value.span(), &format!("a number from {min} to {max}")))
    }

    fn whole(&self, value: &Value<'_>, min: u64, max: u64) -> Result<u64> {
        let integer = value.get_ref().as_integer();
        let number = integer
            .and_then(|digits| u64::from_str_radix(digits.as_str(), digits.radix()).ok())
            .filter(|number| (min..=max).contains(number));
        let allowed = || format!("a whole number from {min} to {max}");
        number.ok_or_else(|| self.found(value.span(), &allowed()))
    }

    fn whole32(&self, value: &Value<'_>, min: u32, max: u32) -> Result<u32> {
        self.whole(value, min.into(), max.into()).map(|number| number as u32)
    }

    fn flag(&self, value: &Value<'_>) -> Result<bool> {
        value.get_ref().as_bool().ok_or_else(|| self.found(value.span(), "true or false"))
    }

    fn string<'v>(&self, value: &'v Value<'_>, allowed: &str) -> Result<&'v str> {
        value.get_ref().as_str().ok_or_else(|| self.found(value.span(), allowed))
    }

    /// In the order of the file: TOML's tables have none.
    fn table<'v, 't>(&self, value: &'v Value<'t>) -> Result<Vec<(&'v Key<'t>, &'v Value<'t>)>> {
        let table = value.get_ref().as_table();
        Ok(in_order(table.ok_or_else(|| self.found(value.span(), "a table"))?))
    }

    /// What stands there, and what is allowed instead.
    fn found(&self, at: Range<usize>, allowed: &str) -> Fault {
        const FOUND_CHARS_MAX: usize = 60;
        let text = self.text.get(at.clone()).unwrap_or("");
        let line = text.lines().next().unwrap_or("");
        let mut found: String = line.chars().take(FOUND_CHARS_MAX).collect();
        if found.len() < text.len() {
            found.push_str("...");
        }
        self.refuse(at, format!("found `{found}`; allowed: {allowed}"))
    }

    fn refuse(&self, at: Range<usize>, sentence: String) -> Fault {
        if self.is_full() {
            // Nobody will see it, and lines take time to count.
            return Fault { line: 1, sentence };
        }
        let before = self.text.get(..at.start).unwrap_or("");
        let line = 1 + before.matches('\n').count();
        Fault { line, sentence }
    }
}

fn in_order<'v, 't>(table: &'v DeTable<'t>) -> Vec<(&'v Key<'t>, &'v Value<'t>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

#[cfg(test)]
mod tests;
