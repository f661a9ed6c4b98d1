//! Errors: why a web server's message was refused.

use core::fmt;
use web::Status;
use web::server::Refusal;

/// Why a web server's message was refused. Its connection ends with it; if a request is open that has no response yet, it
/// is answered with [`Refusal::status`], and told the reason on `FCGI_STDERR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A record of another version than 1 (section 3.3).
    Version,
    /// A record whose length its type does not allow.
    Length,
    /// A record that no web server sends, or not now: a request without an id or with one that is open, content before
    /// the end of the variables.
    Record,
    /// A name or value that is longer than what is left of the variables (section 3.4).
    Pair,
    /// `REQUEST_METHOD` is missing or no token (RFC 3875 section 4.1.12).
    Method,
    /// `REQUEST_URI`, or `SCRIPT_NAME`, `PATH_INFO` and `QUERY_STRING` where there is none, are no request target.
    Target,
    /// A field of the client with control bytes.
    Field,
    /// `CONTENT_LENGTH` is no number, or said twice in two ways.
    ContentLength,
    /// More or longer variables than the limits allow.
    HeadTooLarge,
    /// More content than `body_bytes_max`.
    BodyTooLarge,
    /// The connection ended inside a request or record.
    Truncated,
    /// The peer made no progress in time.
    Timeout,
}

impl Refusal for Error {
    fn status(&self) -> Status {
        match self {
            Self::Version
            | Self::Length
            | Self::Record
            | Self::Pair
            | Self::Method
            | Self::Target
            | Self::Field
            | Self::ContentLength
            | Self::Truncated => Status::BAD_REQUEST,
            Self::HeadTooLarge => Status::FIELDS_TOO_LARGE,
            Self::BodyTooLarge => Status::CONTENT_TOO_LARGE,
            Self::Timeout => Status::REQUEST_TIMEOUT,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Version => "record of another version than 1",
            Self::Length => "record of a length that its type does not have",
            Self::Record => "record that nobody may send here",
            Self::Pair => "variable longer than its record says",
            Self::Method => "missing or malformed REQUEST_METHOD",
            Self::Target => "missing or malformed REQUEST_URI",
            Self::Field => "malformed field value",
            Self::ContentLength => "malformed CONTENT_LENGTH",
            Self::HeadTooLarge => "variables larger than allowed",
            Self::BodyTooLarge => "body larger than allowed",
            Self::Truncated => "connection ended inside a request",
            Self::Timeout => "peer made no progress in time",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for Error {}
