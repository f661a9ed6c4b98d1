//! The one error of a command-line tool: a sentence for the person who typed the command.

use std::fmt;

/// What went wrong and what to do about it, in one sentence.
#[derive(Debug)]
pub struct Failure(pub String);

/// What a fallible function of a tool gives.
pub type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// One that says this.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self(format!("{error}; see `cargo xtask help`"))
    }
}

/// Turns an error into a sentence: `act().or_say(|| "cannot write FILE")`.
pub trait OrSay<T> {
    /// The value, or a failure that says `what` and the error.
    fn or_say(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> OrSay<T> for std::result::Result<T, E> {
    fn or_say(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure(format!("{}: {error}", what())))
    }
}

/// Returns a failure made like `format!`.
#[macro_export]
macro_rules! fail {
    ($($text:tt)*) => { return Err($crate::failure::Failure::new(format!($($text)*))) };
}
pub use crate::fail;
