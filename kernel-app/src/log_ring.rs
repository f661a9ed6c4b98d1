//! Log ring: one line per record to the platform's console, and the latest kept for those who ask.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;
use log::{Level, LevelFilter, Log, Metadata, Record};
use spinning_top::Spinlock;

/// Lines that are kept, whatever their length.
const LINES_MAX: usize = 256;
/// Longest line, in bytes; a longer one is cut, since a peer may have chosen part of it.
const LINE_BYTES_MAX: usize = 1024;
/// Room that most lines fit into, in bytes.
const LINE_BYTES: usize = 120;

static LOG: LogRing =
    LogRing { outlet: Spinlock::new(None), lines: Spinlock::new(VecDeque::new()) };

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
    log::set_max_level(level);
}

/// The latest lines, oldest first, at most `lines_max` of them.
pub fn tail(lines_max: usize) -> Vec<String> {
    let lines = LOG.lines.lock();
    lines.iter().skip(lines.len().saturating_sub(lines_max)).cloned().collect()
}

struct LogRing {
    outlet: Spinlock<Option<Outlet>>,
    lines: Spinlock<VecDeque<String>>,
}

impl Log for LogRing {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let Some(outlet) = *self.outlet.lock() else { return };
        let mut line = String::with_capacity(LINE_BYTES);
        head(&mut line, (outlet.now)(), record);
        // A string takes all there is.
        let _ = line.write_fmt(*record.args());
        sanitise(&mut line);
        (outlet.write)(&line);
        line.pop();
        let mut lines = self.lines.lock();
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn flush(&self) {}
}

/// `[    1.000203] INFO  target: `, by hand: a quarter of the instructions of formatting it.
fn head(line: &mut String, now: Duration, record: &Record<'_>) {
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
    line.push_str(record.target());
    line.push_str(": ");
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
    use std::string::ToString;

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
            head(&mut line, now, &Record::builder().level(level).target("net").build());
            line
        };
        let later = Duration::from_secs(123_456) + Duration::from_micros(78);
        assert_eq!(begin(Duration::ZERO, Level::Info), "[    0.000000] INFO  net: ");
        assert_eq!(begin(later, Level::Error), "[123456.000078] ERROR net: ");
    }

    #[test]
    fn long_lines_are_cut_at_a_character() {
        let mut line = "é".repeat(LINE_BYTES_MAX);
        sanitise(&mut line);
        assert!(line.len() <= LINE_BYTES_MAX + 4 && line.ends_with("…\n"));
    }
}
