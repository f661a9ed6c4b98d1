//! Log ring: one line per record to the platform's console, and the latest kept for those who ask.

#[cfg(feature = "syslog")]
pub(crate) mod collector;
#[cfg_attr(not(feature = "syslog"), expect(dead_code, reason = "nothing takes lines out of it"))]
mod queue;

use crate::log_limit::LogLimit;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use config::LogFormat;
use core::fmt::{self, Write};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use inspect::{Column, Metric, Table};
use log::{Level, LevelFilter, Log, Metadata, Record, RecordBuilder};
use queue::LogQueue;
use spinning_top::Spinlock;

/// Lines that are kept, whatever their length.
const LINES_MAX: usize = 256;
/// Longest line, in bytes; a longer one is cut, since a peer may have chosen part of it.
const LINE_BYTES_MAX: usize = 1024;
/// Room that most lines fit into, in bytes.
const LINE_BYTES: usize = 120;

/// Modules with a level of their own.
const MODULES_MAX: usize = 32;
/// Bytes of a module's name.
const MODULE_BYTES_MAX: usize = 64;

static LOG: LogRing = LogRing {
    outlet: Spinlock::new(None),
    lines: Spinlock::new(Lines { kept: VecDeque::new(), counts: [0; 5] }),
    levels: Spinlock::new(Levels { all: LevelFilter::Info, modules: Vec::new() }),
    limit: Spinlock::new(LogLimit::new()),
    queue: Spinlock::new(LogQueue::new()),
    is_json: AtomicBool::new(false),
};

/// Where lines go, and what time it is there.
#[derive(Clone, Copy)]
pub struct Outlet {
    /// Writes one line, its end included.
    pub write: fn(&str),
    /// Time since the start.
    pub now: fn() -> Duration,
}

/// Sends the `log` crate's records to `outlet` from now on.
pub fn install(outlet: Outlet, level: LevelFilter) {
    *LOG.outlet.lock() = Some(outlet);
    // Fails only when it is installed already: then the outlet is replaced, and that is all.
    let _ = log::set_logger(&LOG);
    set_level(level);
}

/// How lines are written from now on.
pub fn set_format(format: LogFormat) {
    LOG.is_json.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// Where lines come from that are about sending lines.
const SENDER: &str = "aqueduct::syslog";

/// What is logged by all modules without a level of their own.
pub fn set_level(level: LevelFilter) {
    let mut levels = LOG.levels.lock();
    levels.all = level;
    log::set_max_level(levels.max());
}

/// What is logged by a module and those inside of it, or by whatever has that target; `None`: as all others.
///
/// # Errors
/// When there are too many modules with levels of their own, or the name is too long.
pub fn set_module_level(module: &str, level: Option<LevelFilter>) -> Result<(), TooMany> {
    let mut levels = LOG.levels.lock();
    levels.set(module, level)?;
    log::set_max_level(levels.max());
    Ok(())
}

/// The level of all, and the levels of modules that have their own.
pub fn levels() -> (LevelFilter, Vec<(String, LevelFilter)>) {
    let levels = LOG.levels.lock();
    (levels.all, levels.modules.clone())
}

/// There are as many levels of modules as there may be, or the module's name is longer than names may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "at most {MODULES_MAX} modules have levels of their own, with names of {MODULE_BYTES_MAX} bytes"
        )
    }
}

impl core::error::Error for TooMany {}

/// The latest lines, oldest first, at most `lines_max` of them.
pub fn tail(lines_max: usize) -> Vec<String> {
    let lines = &LOG.lines.lock().kept;
    let skipped = lines.len().saturating_sub(lines_max);
    lines.iter().skip(skipped).map(|line| line.text.clone()).collect()
}

/// A line that is kept.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// From 0 at the start, without gaps.
    pub number: u64,
    /// Since the start.
    pub time: Duration,
    /// Its level.
    pub level: Level,
    text: String,
    /// Where in the text the module is, and where the message begins.
    module: Range<usize>,
    message: usize,
}

impl LogLine {
    /// The module, or the target that it chose.
    pub fn module(&self) -> &str {
        self.text.get(self.module.clone()).unwrap_or_default()
    }

    /// What it says.
    pub fn message(&self) -> &str {
        self.text.get(self.message..).unwrap_or_default()
    }
}

/// Lines that are kept.
pub static TABLE: Table<LogLine> = Table {
    name: "log",
    help: "The latest lines of the log.",
    columns: &[
        Column::number("number", "Counts lines from the start.", |line| line.number.into()),
        Column::number("time_us", "Since the start.", |line| (line.time.as_micros() as u64).into()),
        Column::text("level", "error, warn, info, debug or trace.", |line| {
            LEVELS[line.level as usize - 1].into()
        }),
        Column::text("module", "Where it comes from.", |line| line.module().into()),
        Column::text("message", "What it says.", |line| line.message().into()),
    ],
};

/// The metrics of the log.
pub static METRICS: &[Metric<()>] = &[
    Metric::counter_by("log_lines", "level", "Lines that were logged.", |(), visit| {
        let counts = LOG.lines.lock().counts;
        for (level, count) in LEVELS.iter().zip(counts) {
            visit(level, count);
        }
    }),
    Metric::counter("log_lines_sent", "Lines that were sent to the collector.", |()| {
        LOG.queue.lock().counts().sent
    }),
    Metric::counter("log_lines_lost", "Lines for which the collector left no room.", |()| {
        LOG.queue.lock().counts().lost
    }),
];

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The lines that are kept from that number on, oldest first.
pub fn lines_from(number: u64) -> Vec<LogLine> {
    LOG.lines.lock().kept.iter().filter(|line| line.number >= number).cloned().collect()
}

/// The number of the next line.
pub fn next_number() -> u64 {
    LOG.lines.lock().counts.iter().sum()
}

struct LogRing {
    outlet: Spinlock<Option<Outlet>>,
    lines: Spinlock<Lines>,
    levels: Spinlock<Levels>,
    limit: Spinlock<LogLimit>,
    queue: Spinlock<LogQueue>,
    is_json: AtomicBool,
}

struct Lines {
    kept: VecDeque<LogLine>,
    /// By level.
    counts: [u64; 5],
}

struct Levels {
    all: LevelFilter,
    modules: Vec<(String, LevelFilter)>,
}

impl Levels {
    /// The level of the longest module that `target` is, or is inside of.
    fn of(&self, target: &str) -> LevelFilter {
        let is_inside = |module: &str| {
            let rest = target.strip_prefix(module);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let own = self.modules.iter().filter(|(module, _)| is_inside(module));
        own.max_by_key(|(module, _)| module.len()).map_or(self.all, |(_, level)| *level)
    }

    fn max(&self) -> LevelFilter {
        self.modules.iter().map(|(_, level)| *level).fold(self.all, Ord::max)
    }

    fn set(&mut self, module: &str, level: Option<LevelFilter>) -> Result<(), TooMany> {
        self.modules.retain(|(known, _)| known != module);
        let Some(level) = level else { return Ok(()) };
        if self.modules.len() == MODULES_MAX || module.len() > MODULE_BYTES_MAX {
            return Err(TooMany);
        }
        self.modules.push((module.into(), level));
        Ok(())
    }
}

impl Log for LogRing {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.levels.lock().of(metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        let Some(outlet) = *self.outlet.lock() else { return };
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = (outlet.now)();
        let admitted = self.limit.lock().admit(record.target(), record.level(), now);
        let Some(left_out) = admitted else { return };
        if left_out > 0 {
            // Arguments do not outlive their statement.
            self.write(
                outlet,
                now,
                &like(record).args(format_args!("({left_out} lines were left out)")).build(),
            );
        }
        self.write(outlet, now, record);
    }

    fn flush(&self) {}
}

impl LogRing {
    fn write(&self, outlet: Outlet, now: Duration, record: &Record<'_>) {
        let mut line = String::with_capacity(LINE_BYTES);
        let (module, message) = head(&mut line, now, record);
        // A string takes all there is.
        let _ = line.write_fmt(*record.args());
        sanitise(&mut line);
        if self.is_json.load(Ordering::Relaxed) {
            (outlet.write)(&json(&line, record.level(), now, module.clone(), message));
        } else {
            (outlet.write)(&line);
        }
        line.pop();
        self.keep(record.level(), now, line, module, message);
    }

    fn keep(
        &self,
        level: Level,
        time: Duration,
        text: String,
        module: Range<usize>,
        message: usize,
    ) {
        let mut lines = self.lines.lock();
        let number = lines.counts.iter().sum();
        lines.counts[level as usize - 1] += 1;
        if lines.kept.len() == LINES_MAX {
            lines.kept.pop_front();
        }
        let line = LogLine { number, time, level, text, module, message };
        let mut queue = self.queue.lock();
        if queue.wants(level, line.module()) {
            queue.push(line.clone());
        }
        drop(queue);
        lines.kept.push_back(line);
    }
}

/// One of the same origin.
fn like<'a>(record: &Record<'a>) -> RecordBuilder<'a> {
    let mut builder = Record::builder();
    builder.level(record.level()).target(record.target());
    builder
}

/// `[    1.000203] INFO  target: `, by hand: a quarter of the instructions of formatting it. Says where in it the target is,
/// and where it ends.
fn head(line: &mut String, now: Duration, record: &Record<'_>) -> (Range<usize>, usize) {
    line.push('[');
    number(line, now.as_secs(), 5, ' ');
    line.push('.');
    number(line, now.subsec_micros().into(), 6, '0');
    line.push_str("] ");
    line.push_str(match record.level() {
        Level::Error => "ERROR ",
        Level::Warn => "WARN  ",
        Level::Info => "INFO  ",
        Level::Debug => "DEBUG ",
        Level::Trace => "TRACE ",
    });
    let start = line.len();
    line.push_str(record.target());
    let end = line.len();
    line.push_str(": ");
    (start..end, line.len())
}

/// The same line as an object of JSON (RFC 8259).
fn json(line: &str, level: Level, now: Duration, module: Range<usize>, message: usize) -> String {
    let mut json = String::with_capacity(line.len() + 64);
    json.push_str("{\"time_us\":");
    number(&mut json, u64::try_from(now.as_micros()).unwrap_or(u64::MAX), 0, ' ');
    let level = LEVELS[level as usize - 1];
    let message = line.get(message..).unwrap_or_default().trim_end_matches('\n');
    let members =
        [("level", level), ("module", line.get(module).unwrap_or_default()), ("message", message)];
    for (name, text) in members {
        json.push_str(",\"");
        json.push_str(name);
        json.push_str("\":\"");
        for letter in text.chars() {
            // RFC 8259 section 7. Control characters have been replaced.
            if matches!(letter, '"' | '\\') {
                json.push('\\');
            }
            json.push(letter);
        }
        json.push('"');
    }
    json.push_str("}\n");
    json
}

/// Appends a decimal number, filled to a width.
fn number(line: &mut String, value: u64, width: usize, fill: char) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let (mut rest, mut count) = (value, 0);
    while rest > 0 || count == 0 {
        digits[count] = (rest % 10) as u8;
        rest /= 10;
        count += 1;
    }
    line.extend(core::iter::repeat_n(fill, width.saturating_sub(count)));
    line.extend(digits[..count].iter().rev().map(|&digit| char::from(b'0' + digit)));
}

/// Makes it one line that a terminal shows as it is: text of peers may be in it.
fn sanitise(line: &mut String) {
    if line.len() > LINE_BYTES_MAX {
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
        line.push('…');
    }
    if line.chars().any(char::is_control) {
        let mut escaped = String::with_capacity(line.len() + 16);
        for letter in line.chars() {
            if letter.is_control() {
                escaped.extend(letter.escape_default());
            } else {
                escaped.push(letter);
            }
        }
        *line = escaped;
    }
    line.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::ToString};

    #[test]
    fn a_line_is_one_line_whatever_a_peer_sent() {
        let mut line = "GET /\r\n\u{1b}[2J é".to_string();
        sanitise(&mut line);
        assert_eq!(line, "GET /\\r\\n\\u{1b}[2J é\n");
    }

    #[test]
    fn lines_begin_with_time_level_and_origin() {
        let begin = |now, level| {
            let mut line = String::new();
            let record = Record::builder().level(level).target("net").build();
            let (module, message) = head(&mut line, now, &record);
            assert_eq!((&line[module], message), ("net", line.len()));
            line
        };
        let later = Duration::from_secs(123_456) + Duration::from_micros(78);
        assert_eq!(begin(Duration::ZERO, Level::Info), "[    0.000000] INFO  net: ");
        assert_eq!(begin(later, Level::Error), "[123456.000078] ERROR net: ");
    }

    #[test]
    fn a_module_s_level_is_that_of_the_longest_that_it_is_inside_of() {
        let mut levels = Levels { all: LevelFilter::Info, modules: Vec::new() };
        levels.set("net", Some(LevelFilter::Debug)).unwrap();
        levels.set("net::link", Some(LevelFilter::Off)).unwrap();
        let of = |target| levels.of(target);
        assert_eq!([of("http"), of("nets")], [LevelFilter::Info; 2]);
        assert_eq!([of("net"), of("net::stack")], [LevelFilter::Debug; 2]);
        assert_eq!([of("net::link"), of("net::link::dhcp")], [LevelFilter::Off; 2]);
        assert_eq!(levels.max(), LevelFilter::Debug);
        levels.set("net", None).unwrap();
        assert_eq!((levels.of("net"), levels.max()), (LevelFilter::Info, LevelFilter::Info));
    }

    #[test]
    fn levels_of_modules_are_bounded() {
        let mut levels = Levels { all: LevelFilter::Info, modules: Vec::new() };
        for number in 0..MODULES_MAX {
            levels.set(&number.to_string(), Some(LevelFilter::Warn)).unwrap();
        }
        assert_eq!(levels.set("more", Some(LevelFilter::Warn)), Err(TooMany));
        assert_eq!(levels.set("0", Some(LevelFilter::Debug)), Ok(()));
        levels.set("0", None).unwrap();
        let long = "m".repeat(MODULE_BYTES_MAX);
        assert_eq!(levels.set(&std::format!("{long}m"), Some(LevelFilter::Warn)), Err(TooMany));
        assert_eq!(levels.set(&long, Some(LevelFilter::Warn)), Ok(()));
    }

    #[test]
    fn rfc8259_7_a_line_in_json_has_what_stands_in_the_text() {
        let mut line = String::new();
        let record = Record::builder().level(Level::Warn).target("net").build();
        let now = Duration::from_micros(1_000_203);
        let (module, message) = head(&mut line, now, &record);
        line.push_str("a \"path\\\" é \n");
        sanitise(&mut line);
        assert_eq!(
            json(&line, Level::Warn, now, module, message),
            "{\"time_us\":1000203,\"level\":\"warn\",\"module\":\"net\",\"message\":\"a \\\"path\\\\\\\" é \\\\n\"}\n"
        );
    }

    #[test]
    fn lines_of_more_than_a_kibibyte_are_cut_at_a_character() {
        let cut = |text: &str| {
            let mut line = text.to_string();
            sanitise(&mut line);
            line
        };
        let whole = "é".repeat(512);
        assert_eq!(cut(&whole), format!("{whole}\n"));
        assert_eq!(cut(&format!("{whole}é")), format!("{whole}…\n"));
        let shorter = format!("a{}", "é".repeat(511));
        assert_eq!(cut(&format!("a{whole}")), format!("{shorter}…\n"));
    }
}
