//! Errors: why a request was refused.

use core::fmt;
use web::Status;
use web::server::Refusal;

/// Why a request was refused. The client is told by an item of type 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// More than `request_bytes_max` before the line's end.
    TooLong,
    /// Control bytes (RFC 1436 section 2: a selector has no TAB, CR or LF; and no NUL).
    Control,
    /// A part of the path is `..`.
    Parent,
    /// A link to the web that is none.
    Url,
    /// The connection ended inside the request.
    Truncated,
    /// The client made no progress in time.
    Timeout,
}

impl Refusal for Error {
    fn status(&self) -> Status {
        match self {
            Self::TooLong => Status::URI_TOO_LONG,
            Self::Control | Self::Parent | Self::Url | Self::Truncated => Status::BAD_REQUEST,
            Self::Timeout => Status::REQUEST_TIMEOUT,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "selector longer than allowed",
            Self::Control => "selector with control bytes",
            Self::Parent => "selector with ..",
            Self::Url => "link to nowhere",
            Self::Truncated => "connection ended inside the request",
            Self::Timeout => "client made no progress in time",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for Error {}
