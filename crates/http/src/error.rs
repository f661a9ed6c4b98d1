//! Errors: why a peer's message was refused, and the status that says so.

use web::Status;

/// Why a message of the peer was refused.
///
/// A server answers with [`Error::status`] and closes; a client closes and reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request line or status line does not follow RFC 9112 sections 3 and 4.
    StartLine,
    /// The request target has no form that RFC 9112 section 3.2 allows for its method.
    Target,
    /// A field line does not follow RFC 9112 section 5: bare CR or LF, control bytes,
    /// obs-fold, no name, or whitespace before the colon.
    Field,
    /// `Host` is missing, repeated or malformed (RFC 9112 section 3.2).
    Host,
    /// `Content-Length` is malformed or repeated (RFC 9112 section 6.3).
    Length,
    /// `Transfer-Encoding` is malformed, repeats `chunked`, does not end with it, stands
    /// next to `Content-Length`, or came with HTTP/1.0 (RFC 9112 section 6.1).
    Coding,
    /// The chunked coding is broken (RFC 9112 section 7.1), or its extensions are too long.
    Chunk,
    /// A trailer section is malformed or holds a field that frames or routes (RFC 9110 section 6.5.1).
    Trailer,
    /// The connection ended inside a message.
    Truncated,
    /// The connection ended before the first byte of a response: an idempotent request may be
    /// sent again on another one (RFC 9112 section 9.3.1).
    NoResponse,
    /// More informational responses than `interim_responses_max`.
    TooManyInterim,
    /// The peer made no progress in time.
    Timeout,
    /// A body without a declared length, where the limits ask for one.
    LengthRequired,
    /// The body is larger than `body_bytes_max`.
    BodyTooLarge,
    /// The request line or status line is longer than `request_line_bytes_max`.
    TargetTooLong,
    /// An expectation other than `100-continue`.
    Expectation,
    /// The authority is none that this server answers for.
    Misdirected,
    /// The head or the trailer section has more bytes or fields than its limit.
    HeadTooLarge,
    /// A transfer coding other than `chunked`.
    UnsupportedCoding,
    /// An HTTP version other than 1.x.
    UnsupportedVersion,
}

impl Error {
    /// The status a server answers with.
    pub fn status(self) -> Status {
        match self {
            Error::StartLine
            | Error::Target
            | Error::Field
            | Error::Host
            | Error::Length
            | Error::Coding
            | Error::Chunk
            | Error::Trailer
            | Error::NoResponse
            | Error::TooManyInterim
            | Error::Truncated => Status::BAD_REQUEST,
            Error::Timeout => Status::REQUEST_TIMEOUT,
            Error::LengthRequired => Status::LENGTH_REQUIRED,
            Error::BodyTooLarge => Status::CONTENT_TOO_LARGE,
            Error::TargetTooLong => Status::URI_TOO_LONG,
            Error::Expectation => Status::EXPECTATION_FAILED,
            Error::Misdirected => Status::MISDIRECTED_REQUEST,
            Error::HeadTooLarge => Status::FIELDS_TOO_LARGE,
            Error::UnsupportedCoding => Status::NOT_IMPLEMENTED,
            Error::UnsupportedVersion => Status::VERSION_NOT_SUPPORTED,
        }
    }
}

impl Error {
    /// In words, for a log.
    pub fn reason(self) -> &'static str {
        match self {
            Error::StartLine => "malformed start line",
            Error::Target => "malformed request target",
            Error::Field => "malformed field line",
            Error::Host => "missing, repeated or malformed Host",
            Error::Length => "malformed or repeated Content-Length",
            Error::Coding => "ambiguous Transfer-Encoding",
            Error::Chunk => "malformed chunk",
            Error::Trailer => "malformed or forbidden trailer",
            Error::NoResponse => "connection ended before the response",
            Error::TooManyInterim => "endless informational responses",
            Error::Truncated => "connection ended inside a message",
            Error::Timeout => "peer made no progress in time",
            Error::LengthRequired => "length required",
            Error::BodyTooLarge => "body larger than allowed",
            Error::TargetTooLong => "start line longer than allowed",
            Error::Expectation => "unknown expectation",
            Error::Misdirected => "authority not served here",
            Error::HeadTooLarge => "head larger than allowed",
            Error::UnsupportedCoding => "transfer coding not implemented",
            Error::UnsupportedVersion => "HTTP version not supported",
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for Error {}
