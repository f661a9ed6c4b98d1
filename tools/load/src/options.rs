//! The words of the command line.

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use load::{CONNECTIONS_MAX, GuestUse, Place, Prefix, Rate, Scenario, Schedule, Shape, Spacing};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Puts load on a server and says how long its answers took. Without a rate it is a closed loop: each connection asks again
/// when it has its answer. With --rate, --ramp or --steps it is an open loop: requests are due by a schedule, and latency
/// counts from when they were due.
#[derive(Debug, Default, Parser)]
#[command(name = "aqueduct-load", version, after_help = NOTES)]
pub(crate) struct Options {
    /// What is asked: http://, https://, capnp:// or zmq://HOST:PORT, of HTTP with a path
    pub(crate) url: Option<String>,
    /// The file with a scenario; what else is said here goes before it
    #[arg(long, short, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// Requests per second, evenly spaced
    #[arg(long, short, value_name = "RATE", group = "arrivals", value_parser = constant, help_heading = "When")]
    pub(crate) rate: Option<f64>,
    /// A rate that rises or falls in a straight line
    #[arg(long, value_name = "FROM:TO", group = "arrivals", value_parser = ramp, help_heading = "When")]
    pub(crate) ramp: Option<Rate>,
    /// Rates one after the other, for the same time each
    #[arg(long, value_name = "RATE,RATE", group = "arrivals", value_parser = steps, help_heading = "When")]
    pub(crate) steps: Option<Rate>,
    /// Requests come at random, as those of many independent users do
    #[arg(long, requires = "arrivals", help_heading = "When")]
    pub(crate) poisson: bool,
    /// How long a connection thinks between an answer and its next request
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "arrivals", help_heading = "When")]
    pub(crate) think: Option<Duration>,
    /// How long the run is, as 10s, 500ms or 2m [default: 10s]
    #[arg(long, short, value_name = "TIME", value_parser = length, help_heading = "When")]
    pub(crate) duration: Option<Duration>,
    /// How long an answer may take [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = length, help_heading = "When")]
    pub(crate) timeout: Option<Duration>,
    /// Seed of the random numbers [default: 1]
    #[arg(long, value_name = "NUMBER", help_heading = "When")]
    pub(crate) seed: Option<u64>,
    /// Connections that ask [default: 64]
    #[arg(long, short, value_name = "COUNT", help_heading = "Connections", value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX.into()))]
    pub(crate) connections: Option<u32>,
    /// Threads of this program
    #[arg(long, short, value_name = "COUNT", default_value_t = 1, help_heading = "Connections", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: u32,
    /// Requests under way on one connection at most [default: 1]
    #[arg(long, value_name = "DEPTH", help_heading = "Connections", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) pipelining: Option<u16>,
    /// Requests after which a connection is closed and another opened
    #[arg(long, value_name = "COUNT", help_heading = "Connections")]
    pub(crate) requests_max: Option<u32>,
    /// Connections that begin a request and never end it
    #[arg(long, value_name = "COUNT", help_heading = "Connections", value_parser = clap::value_parser!(u32).range(0..=CONNECTIONS_MAX.into()))]
    pub(crate) half_open: Option<u32>,
    /// Requests of a hundred that are given up by a reset
    #[arg(long, value_name = "PERCENT", help_heading = "Connections", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) abandoned_percent: Option<u8>,
    /// Slow readers: bytes of answers per second and connection
    #[arg(long, value_name = "BYTES", help_heading = "Connections")]
    pub(crate) read_bytes_per_second: Option<u32>,
    /// Slow writers: bytes of requests per second and connection
    #[arg(long, value_name = "BYTES", help_heading = "Connections")]
    pub(crate) write_bytes_per_second: Option<u32>,
    /// Each connection is a visitor who keeps the server's cookies
    #[arg(long, help_heading = "Connections")]
    pub(crate) cookies: bool,
    /// HTTP's method
    #[arg(long, short = 'X', value_name = "METHOD", help_heading = "Requests")]
    pub(crate) method: Option<String>,
    /// A field of the request, as "Accept: text/html"
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header, help_heading = "Requests")]
    pub(crate) header: Vec<(String, String)>,
    /// Content of the request
    #[arg(long, value_name = "TEXT", help_heading = "Requests")]
    pub(crate) body: Option<String>,
    /// The status that an answer must have [default: 200 to 399]
    #[arg(long, value_name = "STATUS", help_heading = "Requests", value_parser = clap::value_parser!(u16).range(200..=599))]
    pub(crate) expect_status: Option<u16>,
    /// What an answer's content must contain
    #[arg(long, value_name = "TEXT", help_heading = "Requests")]
    pub(crate) expect_body: Option<String>,
    /// Where load may go beside loopback: only to machines that are yours
    #[arg(long, value_name = "ADDRESS/PREFIX", help_heading = "Safety")]
    pub(crate) allow: Vec<Prefix>,
    /// The file with the authorities in PEM by which a server of `https` is known
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(crate) cacert: Option<PathBuf>,
    /// SHA-256 of the certificate by which a server of `https` is known, which needs no authority then
    #[arg(long, value_name = "SHA-256", value_parser = fingerprint, help_heading = "TLS")]
    pub(crate) fingerprint: Option<[u8; 32]>,
    /// Writes the results as JSON; - is standard output
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the results as a page with plots
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) html: Option<PathBuf>,
    /// Says nothing while it runs
    #[arg(long, short, help_heading = "Results")]
    pub(crate) quiet: bool,
    /// Prints completions of a shell, and asks nobody
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub(crate) completions: Option<Shell>,
    /// Prints the manual page, and asks nobody
    #[arg(long, exclusive = true)]
    pub(crate) man: bool,
}

/// A paragraph is one line: it is the terminal's width that breaks it.
const NOTES: &str = "\
Exit status: 0 if no request failed, 1 if some did, 2 if there was no run, since something is not allowed or the \
server was not reached.

Load goes to this machine only, unless --allow says otherwise: a load generator that is pointed at others by mistake, \
or by somebody else's scenario, is an attack.

Examples:
  aqueduct-load http://127.0.0.1:8080/ --rate 1000 --duration 10s --connections 64
  aqueduct-load http://127.0.0.1:8080/ --threads 2 --html report.html
  aqueduct-load https://10.9.0.2/ --allow 10.9.0.0/24 --cacert ca.pem --ramp 100:5000 --poisson
  aqueduct-load --scenario shop.toml --json - --quiet";

impl Options {
    /// Those of this process. Ends it where help or the version was asked for, or something is wrong.
    pub(crate) fn from_command_line() -> Result<Self, String> {
        Ok(Self::parse())
    }

    /// What is printed in place of a run, if that is what is asked for.
    pub(crate) fn printed(&self) -> Option<Vec<u8>> {
        let (mut command, mut text) = (Self::command(), Vec::new());
        if let Some(shell) = self.completions {
            clap_complete::generate(shell, &mut command, "aqueduct-load", &mut text);
        } else if self.man {
            clap_mangen::Man::new(command).render(&mut text).expect("memory takes it");
        }
        Some(text).filter(|text| !text.is_empty())
    }

    /// The scenario: a file's, changed by what else is said.
    ///
    /// # Errors
    /// What is missing or not allowed.
    pub(crate) fn scenario(&self) -> Result<Scenario, String> {
        let mut scenario = match (&self.scenario, &self.url) {
            (None, None) => return Err("what is asked? Say a URL or --scenario FILE".into()),
            (None, Some(url)) => {
                let (place, path) = Place::parse(url)?;
                Scenario::new(place, &path)
            }
            (Some(file), url) => {
                let name = file.display().to_string();
                let bytes = scenario_bytes(file).map_err(|error| format!("{name}: {error}"))?;
                let mut scenario =
                    Scenario::of_bytes(&name, &bytes).map_err(|error| error.to_string())?;
                // Of the image alone: this program goes by TCP, and its results are not to say otherwise.
                scenario.guest = GuestUse::default();
                if let Some(url) = url {
                    // Its paths are the scenario's own.
                    scenario.place = Place::parse(url)?.0;
                }
                scenario
            }
        };
        self.change(&mut scenario);
        scenario.check()?;
        Ok(scenario)
    }

    fn change(&self, scenario: &mut Scenario) {
        let rate = self.rate.map(Rate::Constant);
        if let Some(rate) = rate.or_else(|| self.ramp.clone()).or_else(|| self.steps.clone()) {
            let spacing = if self.poisson { Spacing::Poisson } else { Spacing::Even };
            scenario.shape = Shape::Open(Schedule { rate, spacing });
        }
        if let Some(think) = self.think {
            scenario.shape = Shape::Closed { think };
        }
        set(&mut scenario.duration, &self.duration);
        set(&mut scenario.timeout, &self.timeout);
        set(&mut scenario.seed, &self.seed);
        set(&mut scenario.connections, &self.connections);
        let connection = &mut scenario.connection;
        set(&mut connection.pipelining, &self.pipelining);
        set(&mut connection.requests_max, &self.requests_max);
        set(&mut connection.half_open, &self.half_open);
        set(&mut connection.abandoned_percent, &self.abandoned_percent);
        set(&mut connection.read_bytes_per_second, &self.read_bytes_per_second);
        set(&mut connection.write_bytes_per_second, &self.write_bytes_per_second);
        connection.cookies |= self.cookies;
        for request in &mut scenario.requests {
            set(&mut request.method, &self.method);
            set(&mut request.body, &self.body);
            request.headers.extend(self.header.iter().cloned());
            request.expect_status = self.expect_status.or(request.expect_status);
            request.expect_body = self.expect_body.clone().or(request.expect_body.take());
        }
    }
}

fn set<T: Clone>(value: &mut T, said: &Option<T>) {
    if let Some(said) = said {
        *value = said.clone();
    }
}

/// No more of it than tells that it is too long: it may be a device without an end.
fn scenario_bytes(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(Scenario::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Of a run, or of an answer.
fn length(text: &str) -> Result<Duration, String> {
    let allowed = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
    let wrong = || format!("`{text}` is out of range; allowed: 1ms to 24h");
    time(text).and_then(|time| allowed.contains(&time).then_some(time).ok_or_else(wrong))
}

/// As `10s`, `1.5s`, `500ms`, `2m` or `1h`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; allowed: as 10s, 500ms, 2m or 1h");
    let digits = text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

fn constant(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no rate; allowed: a number above 0, as 1000");
    rate(text).filter(|rate| *rate > 0.0).ok_or_else(wrong)
}

fn ramp(text: &str) -> Result<Rate, String> {
    let wrong = || format!("`{text}` is no ramp; allowed: two rates, as 100:1000");
    let (from, to) = text.split_once(':').ok_or_else(wrong)?;
    let rate = |text: &str| rate(text).ok_or_else(wrong);
    Ok(Rate::Ramp(rate(from)?, rate(to)?))
}

fn steps(text: &str) -> Result<Rate, String> {
    let steps: Option<Vec<_>> = text.split(',').map(rate).collect();
    let wrong = || format!("`{text}` is no list of rates; allowed: as 100,200,400");
    steps.map(Rate::Steps).ok_or_else(wrong)
}

fn rate(text: &str) -> Option<f64> {
    text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0)
}

fn header(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("`{text}` is no field; allowed: as \"Accept: text/html\"");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let (name, value) = (name.trim(), value.trim());
    load::check_field(name, value)?;
    Ok((name.to_owned(), value.to_owned()))
}

fn fingerprint(text: &str) -> Result<[u8; 32], String> {
    let digits: Vec<_> = text.chars().filter(|letter| *letter != ':').collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let wrong = "a SHA-256 is 64 hexadecimal digits".to_owned();
    bytes.filter(|_| digits.len() == 64).and_then(|bytes| bytes.try_into().ok()).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use load::RequestKind;

    #[test]
    fn the_page_of_the_command_line_is_current() {
        let page = reference::command_line(Options::command());
        reference::keep_current("aqueduct-load.md", &page).unwrap();
    }

    #[test]
    fn what_is_only_told_needs_no_url() {
        for (words, part) in [(&["--completions", "bash"][..], "--scenario"), (&["--man"], ".SH")] {
            let words = ["aqueduct-load"].iter().chain(words);
            let text = Options::try_parse_from(words).unwrap().printed().unwrap();
            assert!(String::from_utf8(text).unwrap().contains(part));
        }
        assert_eq!(Options::default().printed(), None);
    }

    fn scenario(words: &[&str]) -> Result<Scenario, String> {
        let words = ["aqueduct-load"].iter().chain(words);
        Options::try_parse_from(words).map_err(|error| error.to_string())?.scenario()
    }

    #[test]
    fn the_command_line_makes_a_scenario() {
        let words = "http://127.0.0.1:8080/a --rate 1000 --poisson --duration 1.5s -c 10 \
                     --timeout 200ms --seed 3 --pipelining 2 --cookies -X POST --body hello \
                     --expect-status 201";
        let mut words: Vec<_> = words.split_whitespace().collect();
        words.extend(["-H", "Accept: text/html"]);
        let (place, path) = Place::parse("http://127.0.0.1:8080/a").unwrap();
        let mut expected = Scenario {
            shape: Shape::Open(Schedule {
                rate: Rate::Constant(1000.0),
                spacing: Spacing::Poisson,
            }),
            duration: Duration::from_millis(1500),
            timeout: Duration::from_millis(200),
            connections: 10,
            seed: 3,
            ..Scenario::new(place, &path)
        };
        expected.connection.pipelining = 2;
        expected.connection.cookies = true;
        expected.requests = [RequestKind {
            name: "/a".into(),
            path: "/a".into(),
            method: "POST".into(),
            body: "hello".into(),
            expect_status: Some(201),
            headers: [("Accept".into(), "text/html".into())].into(),
            ..RequestKind::default()
        }]
        .into();
        assert_eq!(scenario(&words), Ok(expected));
    }

    #[test]
    fn what_a_scenario_says_for_the_image_alone_changes_nothing_here() {
        let name = std::env::temp_dir().join(format!("aqueduct-load-guest-{}", std::process::id()));
        let text = "target = 'http://127.0.0.1:8080/x'";
        std::fs::write(
            &name,
            format!("{text}\n[guest]\nvia = 'service://http@shop'\npower_off = true"),
        )
        .unwrap();
        let read = scenario(&["--scenario", name.to_str().unwrap()]);
        std::fs::remove_file(&name).unwrap();
        assert_eq!(read, Ok(Scenario::parse("", text).unwrap()));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_allowed() {
        let url = "http://127.0.0.1/";
        for (words, part) in [
            (&[][..], "Say a URL or --scenario FILE"),
            (&["127.0.0.1"], "allowed: http://HOST:PORT/PATH"),
            (&[url, "--rate", "0"], "'0' for '--rate <RATE>'"),
            (&[url, "--steps", "0"], "0 requests in all"),
            (&[url, "-d", "0s"], "'0s' for '--duration <TIME>': `0s` is out of range"),
            (&[url, "--timeout", "25h"], "'25h' for '--timeout <TIME>'"),
            (&[url, "-c", "1000001"], "'1000001' for '--connections <COUNT>'"),
            (&[url, "--half-open", "1000001"], "'1000001' for '--half-open <COUNT>'"),
            (&[url, "--pipelining", "0"], "'0' for '--pipelining <DEPTH>'"),
            (&[url, "--abandoned-percent", "101"], "'101' for '--abandoned-percent <PERCENT>'"),
            (&[url, "--expect-status", "100"], "'100' for '--expect-status <STATUS>'"),
            (&[url, "-H", "Content-Length: 77"], "`Content-Length`, which the generator"),
            (&[url, "-H", "Bad Name: x"], "`Bad Name`"),
            (&[url, "-H", "A: b\r\nC: d"], "a value of one line"),
            (&["capnp://127.0.0.1:7000"], "--scenario FILE"),
            (&["--scenario", "/dev/zero"], "found 1048577 bytes; allowed: 1048576"),
            (&[url, "--rate", "1", "--think", "1s"], "cannot be used with"),
            (&[url, "--rate", "1", "--ramp", "1:2"], "cannot be used with"),
            (&[url, "--ramp", "1"], "two rates, as 100:1000"),
            (&[url, "--steps", "1,x"], "as 100,200,400"),
            (&[url, "--poisson"], "required"),
            (&[url, "--duration", "10"], "as 10s, 500ms"),
            (&[url, "--duration=-1s"], "as 10s, 500ms"),
            (&[url, "--connections", "0"], "'0' for '--connections <COUNT>'"),
            (&[url, "--threads", "0"], "0 is not in 1..=256"),
            (&[url, "-H", "Accept"], "Accept: text/html"),
            (&[url, "--fingerprint", "abc"], "64 hexadecimal digits"),
            (&[url, "--allow", "10.0.0.0/33"], "ADDRESS/PREFIX"),
            (&["--scenario", "/none.toml"], "/none.toml"),
        ] {
            let error = scenario(words).unwrap_err();
            assert!(error.contains(part), "{words:?}: {error}");
        }
    }
}
