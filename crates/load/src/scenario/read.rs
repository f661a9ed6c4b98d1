//! Scenario's reader: TOML to a [`Scenario`]. What is wrong is said with its line and what is allowed.

use super::{ConnectionUse, GuestUse, Place, RequestKind, Scenario, Shape, check_field};
use crate::{Prefix, Rate, Schedule, Spacing};
use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Highest rate, requests per second.
const RATE_MAX: f64 = 1e7;

/// Why a scenario was refused. Prints as one sentence: `a.toml:3: found "fast"; allowed: a number from 0 to 10000000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The name that the caller gave.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// What was found, and what is allowed.
    pub sentence: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.sentence)
    }
}

impl core::error::Error for ScenarioError {}

type Result<T> = core::result::Result<T, ScenarioError>;
type Key<'a> = Spanned<Cow<'a, str>>;
type Value<'a> = Spanned<DeValue<'a>>;

const KEYS: &str = "target, duration_seconds, timeout_seconds, connections, seed, [arrivals], [closed_loop], [connection], [[requests]], [guest]";
const ARRIVALS: &str = "rate, ramp, steps, spacing";
const CONNECTION: &str = "pipelining, requests_max, read_bytes_per_second, write_bytes_per_second, abandoned_percent, half_open, cookies";
const REQUEST: &str =
    "name, weight, method, path, headers, body, expect_status, expect_body, interface, call";
const GUEST: &str = "via, allow, power_off, wait_seconds";
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

pub(super) fn scenario(file: &str, text: &str) -> Result<Scenario> {
    let reader = Reader { file, text };
    if text.len() > Scenario::FILE_BYTES_MAX {
        let (found, max) = (text.len(), Scenario::FILE_BYTES_MAX);
        let sentence = format!("found {found} bytes; allowed: {max}");
        return Err(reader.refuse(0..0, sentence));
    }
    let document = DeTable::parse(text).map_err(|error| {
        reader.refuse(error.span().unwrap_or(0..0), format!("no TOML: {}", error.message()))
    })?;
    let table = document.get_ref();
    let target = table.iter().find(|(key, _)| key.get_ref() == "target");
    let Some((_, target)) = target else {
        let sentence = "no target; allowed: target = \"http://HOST:PORT/\"".to_owned();
        return Err(reader.refuse(0..0, sentence));
    };
    let (place, path) = Place::parse(reader.string(target, "a URL")?)
        .map_err(|sentence| reader.refuse(target.span(), sentence))?;
    let mut scenario = Scenario::new(place, &path);
    reader.scenario(table, &mut scenario)?;
    scenario.check().map_err(|sentence| reader.refuse(0..0, sentence))?;
    Ok(scenario)
}

/// The file, for errors to name places in it.
struct Reader<'a> {
    file: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn scenario(&self, table: &DeTable<'_>, scenario: &mut Scenario) -> Result<()> {
        let mut looped = None;
        for (key, value) in in_order(table) {
            match key.get_ref().as_ref() {
                "target" => {}
                "duration_seconds" => scenario.duration = self.seconds(value, 0.001)?,
                "timeout_seconds" => scenario.timeout = self.seconds(value, 0.001)?,
                "connections" => {
                    scenario.connections =
                        self.whole(value, 1, super::CONNECTIONS_MAX.into())? as u32;
                }
                "seed" => scenario.seed = self.whole(value, 0, i64::MAX as u64)?,
                "arrivals" | "closed_loop" if looped.is_some() => {
                    return Err(self.found(key.span(), "one of [arrivals] and [closed_loop]"));
                }
                "arrivals" => looped = Some(Shape::Open(self.schedule(value)?)),
                "closed_loop" => looped = Some(self.closed(value)?),
                "connection" => scenario.connection = self.connection(value)?,
                "requests" => scenario.requests = self.requests(value, scenario)?,
                "guest" => scenario.guest = self.guest(value)?,
                _ => return Err(self.found(key.span(), KEYS)),
            }
        }
        if let Some(shape) = looped {
            scenario.shape = shape;
        }
        Ok(())
    }

    fn schedule(&self, value: &Value<'_>) -> Result<Schedule> {
        let (mut rate, mut spacing) = (None, Spacing::Even);
        for (key, value) in self.table(value)? {
            match key.get_ref().as_ref() {
                "rate" | "ramp" | "steps" if rate.is_some() => {
                    return Err(self.found(key.span(), "one of rate, ramp and steps"));
                }
                "rate" => rate = Some(Rate::Constant(self.number(value, 0.0, RATE_MAX)?)),
                "ramp" => {
                    let [from, to] = self.rates(value)?[..] else {
                        let allowed = "two rates, as [100, 1000]";
                        return Err(self.found(value.span(), allowed));
                    };
                    rate = Some(Rate::Ramp(from, to));
                }
                "steps" => rate = Some(Rate::Steps(self.rates(value)?)),
                "spacing" => {
                    let allowed = "\"even\" or \"poisson\"";
                    spacing = match self.string(value, allowed)? {
                        "even" => Spacing::Even,
                        "poisson" => Spacing::Poisson,
                        _ => return Err(self.found(value.span(), allowed)),
                    };
                }
                _ => return Err(self.found(key.span(), ARRIVALS)),
            }
        }
        let missing = || {
            let sentence =
                "no rate; allowed: rate = 1000, ramp = [100, 1000] or steps = [100, 200]";
            self.refuse(value.span(), sentence.to_owned())
        };
        Ok(Schedule { rate: rate.ok_or_else(missing)?, spacing })
    }

    fn closed(&self, value: &Value<'_>) -> Result<Shape> {
        let mut think = Duration::ZERO;
        for (key, value) in self.table(value)? {
            match key.get_ref().as_ref() {
                "think_seconds" => think = self.seconds(value, 0.0)?,
                _ => return Err(self.found(key.span(), "think_seconds")),
            }
        }
        Ok(Shape::Closed { think })
    }

    fn connection(&self, value: &Value<'_>) -> Result<ConnectionUse> {
        let mut connection = ConnectionUse::default();
        let rate_max = u64::from(u32::MAX);
        for (key, value) in self.table(value)? {
            match key.get_ref().as_ref() {
                "pipelining" => connection.pipelining = self.whole(value, 1, 1000)? as u16,
                "requests_max" => connection.requests_max = self.whole(value, 0, rate_max)? as u32,
                "read_bytes_per_second" => {
                    connection.read_bytes_per_second = self.whole(value, 0, rate_max)? as u32;
                }
                "write_bytes_per_second" => {
                    connection.write_bytes_per_second = self.whole(value, 0, rate_max)? as u32;
                }
                "abandoned_percent" => {
                    connection.abandoned_percent = self.whole(value, 0, 100)? as u8;
                }
                "half_open" => {
                    let max = super::CONNECTIONS_MAX.into();
                    connection.half_open = self.whole(value, 0, max)? as u32;
                }
                "cookies" => connection.cookies = self.flag(value)?,
                _ => return Err(self.found(key.span(), CONNECTION)),
            }
        }
        Ok(connection)
    }

    fn requests(&self, value: &Value<'_>, scenario: &Scenario) -> Result<Vec<RequestKind>> {
        let allowed = "tables [[requests]]";
        let list = value.get_ref().as_array().ok_or_else(|| self.found(value.span(), allowed))?;
        list.iter().map(|value| self.request(value, scenario)).collect()
    }

    fn request(&self, value: &Value<'_>, scenario: &Scenario) -> Result<RequestKind> {
        let path = scenario.path.clone();
        let mut request = RequestKind { name: String::new(), path, ..RequestKind::default() };
        let (mut interface, mut call) = (None, None);
        for (key, value) in self.table(value)? {
            match key.get_ref().as_ref() {
                "name" => request.name = self.string(value, "a name")?.to_owned(),
                "weight" => request.weight = self.whole(value, 0, 1_000_000)? as u32,
                "method" => request.method = self.method(value)?,
                "path" => request.path = self.path(value)?,
                "headers" => request.headers = self.headers(value)?,
                "body" => request.body = self.string(value, "a text")?.to_owned(),
                "expect_status" => {
                    request.expect_status = Some(self.whole(value, 200, 599)? as u16);
                }
                "expect_body" => {
                    request.expect_body = Some(self.string(value, "a text")?.to_owned());
                }
                "interface" => interface = Some(self.interface(value)?),
                "call" => call = Some(self.whole(value, 0, u16::MAX.into())? as u16),
                _ => return Err(self.found(key.span(), REQUEST)),
            }
        }
        request.call = match (interface, call) {
            (Some(interface), Some(call)) => Some((interface, call)),
            (None, None) => None,
            _ => return Err(self.found(value.span(), "interface and call, both or neither")),
        };
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
                    guest.via = Some(self.string(value, allowed)?.to_owned());
                }
                "allow" => guest.allow = self.prefixes(value)?,
                "power_off" => guest.power_off = self.flag(value)?,
                "wait_seconds" => guest.wait = self.seconds(value, 0.0)?,
                _ => return Err(self.found(key.span(), GUEST)),
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
        list.iter().map(prefix).collect()
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
        self.table(value)?.into_iter().map(header).collect()
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
        list.iter().map(|rate| self.number(rate, 0.0, RATE_MAX)).collect()
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
    fn found(&self, at: Range<usize>, allowed: &str) -> ScenarioError {
        const FOUND_CHARS_MAX: usize = 60;
        let text = self.text.get(at.clone()).unwrap_or("");
        let line = text.lines().next().unwrap_or("");
        let mut found: String = line.chars().take(FOUND_CHARS_MAX).collect();
        if found.len() < text.len() {
            found.push_str("...");
        }
        self.refuse(at, format!("found `{found}`; allowed: {allowed}"))
    }

    fn refuse(&self, at: Range<usize>, sentence: String) -> ScenarioError {
        let before = self.text.get(..at.start).unwrap_or("");
        let line = 1 + before.matches('\n').count();
        ScenarioError { file: self.file.to_owned(), line, sentence }
    }
}

fn in_order<'v, 't>(table: &'v DeTable<'t>) -> Vec<(&'v Key<'t>, &'v Value<'t>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;

    const FULL: &str = r#"
target = "https://localhost:8443/start"
duration_seconds = 2.5
timeout_seconds = 3
connections = 1_000
seed = 7

[arrivals]
ramp = [10, 100.5]
spacing = "poisson"

[connection]
pipelining = 4
requests_max = 100
read_bytes_per_second = 1000
write_bytes_per_second = 500
half_open = 3
cookies = true

[[requests]]
weight = 3
headers = { Z-First = "1", A-Second = "2" }
expect_body = "hello"

[[requests]]
name = "order"
method = "POST"
path = "/order?x=1"
body = "{}"
expect_status = 201

[guest]
via = "shm:http"
allow = ["10.9.0.0/24", "fd00::1"]
power_off = true
wait_seconds = 0.5
"#;

    #[test]
    fn a_whole_scenario_is_read() {
        let scenario = Scenario::parse("a.toml", FULL).unwrap();
        let place = Place { protocol: Protocol::Https, host: "localhost".into(), port: 8443 };
        let requests = [
            RequestKind {
                name: "/start".into(),
                path: "/start".into(),
                weight: 3,
                headers: [("Z-First".into(), "1".into()), ("A-Second".into(), "2".into())].into(),
                expect_body: Some("hello".into()),
                ..RequestKind::default()
            },
            RequestKind {
                name: "order".into(),
                method: "POST".into(),
                path: "/order?x=1".into(),
                body: "{}".into(),
                expect_status: Some(201),
                ..RequestKind::default()
            },
        ];
        let connection = ConnectionUse {
            pipelining: 4,
            requests_max: 100,
            read_bytes_per_second: 1000,
            write_bytes_per_second: 500,
            abandoned_percent: 0,
            half_open: 3,
            cookies: true,
        };
        let expected = Scenario {
            place,
            path: "/start".into(),
            shape: Shape::Open(Schedule {
                rate: Rate::Ramp(10.0, 100.5),
                spacing: Spacing::Poisson,
            }),
            duration: Duration::from_millis(2500),
            timeout: Duration::from_secs(3),
            connections: 1000,
            connection,
            seed: 7,
            requests: requests.into(),
            guest: GuestUse {
                via: Some("shm:http".into()),
                allow: ["10.9.0.0/24", "fd00::1/128"].map(|text| text.parse().unwrap()).into(),
                power_off: true,
                wait: Duration::from_millis(500),
            },
        };
        assert_eq!(scenario, expected);
    }

    #[test]
    fn what_is_not_said_is_as_without_a_file() {
        let text = "target = 'http://127.0.0.1:8080/x'";
        let place = Place::parse("http://127.0.0.1:8080").unwrap().0;
        assert_eq!(Scenario::parse("", text), Ok(Scenario::new(place, "/x")));
        let closed = format!("{text}\n[closed_loop]\nthink_seconds = 0.5");
        let think = Duration::from_millis(500);
        assert_eq!(Scenario::parse("", &closed).unwrap().shape, Shape::Closed { think });
    }

    /// Each with the line that is to blame and a part of what is allowed.
    const WRONG: &[(&str, usize, &str)] = &[
        ("x = = 1", 2, "no TOML"),
        ("target = 'http://h/'", 2, "no TOML"),
        ("conections = 3", 2, "found `conections`; allowed: target, duration_seconds"),
        ("connections = 0", 2, "found `0`; allowed: a whole number from 1 to 1000000"),
        ("connections = 1000001", 2, "from 1 to 1000000"),
        ("connections = 1.5", 2, "a whole number"),
        ("seed = -1", 2, "a whole number from 0"),
        ("duration_seconds = 0", 2, "a number from 0.001 to 86400"),
        ("timeout_seconds = 86401", 2, "a number from 0.001 to 86400"),
        ("timeout_seconds = nan", 2, "a number from 0.001 to 86400"),
        ("timeout_seconds = '1'", 2, "a number"),
        ("arrivals = 3", 2, "a table"),
        ("[arrivals]", 2, "no rate; allowed: rate = 1000"),
        ("[arrivals]\nrate = 10\nramp = [1, 2]", 4, "one of rate, ramp and steps"),
        ("[arrivals]\nramp = [1]", 3, "two rates"),
        ("[arrivals]\nsteps = []", 3, "a list of 1 to 1000 rates"),
        ("[arrivals]\nrate = 1e8", 3, "from 0 to 10000000"),
        ("[arrivals]\nrate = 0", 1, "0 requests in all; allowed: some"),
        ("[arrivals]\nrate = 1\nspacing = 'odd'", 4, "\"even\" or \"poisson\""),
        ("[arrivals]\nrate = 1\nburst = 1", 4, "rate, ramp, steps, spacing"),
        ("[arrivals]\nrate = 1\n[closed_loop]", 4, "one of [arrivals] and [closed_loop]"),
        ("[closed_loop]\nthink = 1", 3, "think_seconds"),
        ("[connection]\npipelining = 0", 3, "a whole number from 1 to 1000"),
        ("[connection]\nabandoned_percent = 101", 3, "from 0 to 100"),
        ("[connection]\npipelining = 2\nabandoned_percent = 1", 1, "do not go together"),
        ("[connection]\ncookies = 1", 3, "true or false"),
        ("[connection]\nkeep = 1", 3, "pipelining, requests_max"),
        ("requests = 1", 2, "[[requests]]"),
        ("requests = []", 1, "0 kinds of requests; allowed: 1 to 64"),
        ("[[requests]]\nmethod = 'FETCH'", 3, "GET, HEAD, POST"),
        ("[[requests]]\npath = 'x'", 3, "begins with /"),
        ("[[requests]]\npath = '/a b'", 3, "no spaces"),
        ("[[requests]]\nweight = 0", 1, "all requests have weight 0"),
        ("[[requests]]\nexpect_status = 100", 3, "from 200 to 599"),
        ("[[requests]]\nheaders = { a = 1 }", 3, "a text"),
        ("[[requests]]\nheaders = { Content-Length = '7' }", 3, "`Content-Length`"),
        ("[[requests]]\n[requests.headers]\nA = 'b'\n'B c' = 'd'", 5, "`B c`"),
        ("[[requests]]\n[requests.headers]\nA = \"b\\r\\nC: d\"", 4, "a value of one line"),
        ("[[requests]]\ncall = 1", 2, "both or neither"),
        ("[[requests]]\ninterface = '12'\ncall = 1", 3, "the id of an interface"),
        ("[guest]\nallow = '10.0.0.0/8'", 3, "a list of at most 100 networks"),
        ("[guest]\nallow = ['10.0.0.0/8', 'x']", 3, "a network, as"),
        ("[guest]\npower_off = 1", 3, "true or false"),
        ("[guest]\nwait_seconds = -1", 3, "a number from 0"),
        ("[guest]\nport = 1", 3, "via, allow, power_off, wait_seconds"),
        ("[[requests]]\nurl = '/'", 3, "name, weight, method, path"),
    ];

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_is_allowed() {
        for (text, line, part) in WRONG {
            let text = format!("target = 'http://127.0.0.1/'\n{text}\n");
            let error = Scenario::parse("a.toml", &text).unwrap_err();
            assert!(error.line == *line && error.sentence.contains(part), "{text}: {error}");
            assert!(error.to_string().starts_with(&format!("a.toml:{line}: ")));
        }
        let no_target = Scenario::parse("a.toml", "seed = 1").unwrap_err();
        assert_eq!(
            no_target.to_string(),
            "a.toml:1: no target; allowed: target = \"http://HOST:PORT/\""
        );
        let callless = "target = 'capnp://h:1/'";
        assert!(Scenario::parse("", callless).unwrap_err().sentence.contains("interface and call"));
        let slow = "target = 'zmq://h:1'\n[connection]\npipelining = 2";
        assert!(Scenario::parse("", slow).unwrap_err().sentence.contains("other than HTTP"));
        assert!(Scenario::parse("", &"#".repeat(Scenario::FILE_BYTES_MAX + 1)).is_err());
    }
}
