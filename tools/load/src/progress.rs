//! What is said while a run goes on, on a terminal or to a file.

use load::{Progress, Scenario};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// One line a second on standard error; on a terminal always the same one.
pub(crate) struct ProgressLine {
    is_terminal: bool,
    line: load::ProgressLine,
}

impl ProgressLine {
    pub(crate) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { is_terminal, line: load::ProgressLine::default() }
    }

    /// Says how far it is, so long after the begin.
    pub(crate) fn show(&mut self, scenario: &Scenario, now: Progress, elapsed: Duration) {
        let line = self.line.line(scenario, now, elapsed);
        let (before, after) = if self.is_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        // Nobody may be listening any more.
        let _ = write!(std::io::stderr(), "{before}{line}{after}");
    }

    /// Leaves the terminal's line to others.
    pub(crate) fn end(&self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
