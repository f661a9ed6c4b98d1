//! The format of lines of the access log.

use core::{fmt, str::FromStr};

/// What a line of the access log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// The Common Log Format: client, time, request line, status, bytes.
    Common,
    /// The combined one: the same, with `Referer` and `User-Agent`.
    Combined,
    /// The same, with the seconds that it took, why it was refused or cut off, and the request's id where it has one.
    Extended,
}

impl AccessLogFormat {
    const ALL: [Self; 3] = [Self::Common, Self::Combined, Self::Extended];

    fn word(self) -> &'static str {
        match self {
            Self::Common => "common",
            Self::Combined => "combined",
            Self::Extended => "extended",
        }
    }
}

impl FromStr for AccessLogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|it| it.word() == text).ok_or(())
    }
}

impl fmt::Display for AccessLogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
