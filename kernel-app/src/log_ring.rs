//! The log: one line per record to the platform's console, and the latest kept for those who ask.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use log::{LevelFilter, Log, Metadata, Record};
use spinning_top::Spinlock;

/// Lines that are kept, whatever their length.
const LINES_MAX: usize = 256;
/// Longest line, in bytes; a longer one is cut, since a peer may have chosen part of it.
const LINE_BYTES_MAX: usize = 1024;

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
        let now = (outlet.now)();
        let mut line = format!(
            "[{:5}.{:06}] {:5} {}: {}",
            now.as_secs(),
            now.subsec_micros(),
            record.level(),
            record.target(),
            record.args()
        );
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
    fn long_lines_are_cut_at_a_character() {
        let mut line = "é".repeat(LINE_BYTES_MAX);
        sanitise(&mut line);
        assert!(line.len() <= LINE_BYTES_MAX + 4 && line.ends_with("…\n"));
    }
}
