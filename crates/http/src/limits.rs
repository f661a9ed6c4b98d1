//! Limits: every bound a connection puts on its peer.

use core::time::Duration;
use pace::Pace;

/// The bounds a connection puts on its peer, each with its unit and default.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request line or status line, without its CRLF. Default 8,000, the least that
    /// RFC 9112 section 3 recommends to support. Beyond it: 414.
    pub request_line_bytes_max: u16,
    /// Bytes of a whole head, start line and final empty line included; positions in a head take
    /// 16 bits. Default 16,384: browsers with many cookies stay under 8 KiB. Beyond it: 431.
    pub header_bytes_max: u16,
    /// Field lines of a head. Default 64; browsers send about 20. Beyond it: 431.
    pub headers_max: u16,
    /// Bytes of a body after decoding. Default 1 MiB: a handler that takes uploads, or a client that
    /// downloads, says how much. Beyond it: 413.
    pub body_bytes_max: u64,
    /// Bytes of chunk extensions in one body, in total. Default 1,024: nobody sends any, and
    /// endless ones would be free work (RFC 9112 section 7.1.1). Beyond it: 400.
    pub chunk_extension_bytes_max: u16,
    /// Bytes of a trailer section. Default 4,096. Beyond it: 431.
    pub trailer_bytes_max: u16,
    /// Field lines of a trailer section. Default 32. Beyond it: 431.
    pub trailer_fields_max: u16,
    /// Informational (1xx) responses a client skips before the final one. Default 16.
    pub interim_responses_max: u8,
    /// Bytes of an unwanted request body that are read and dropped to keep a connection.
    /// Default 256 KiB: a new connection costs less than more.
    pub discard_bytes_max: u32,
    /// Bytes of input that are read and dropped after the last response (lingering close, RFC 9112 section 9.6).
    /// Default 64 MiB: clients that send all of an upload before they look for an answer read the refusal.
    pub linger_bytes_max: u32,
    /// Whether a request body may be chunked. Default true. If not: 411.
    pub chunked_requests: bool,
    /// From the first byte of a head to its last; for a new connection, from its start. Default 10 s.
    pub head_timeout: Duration,
    /// Between two pieces of a body while the application waits for it. Default 30 s.
    pub body_timeout: Duration,
    /// Bytes per second at which a body must move on the whole: a request's while the application waits for
    /// it, a response's while there is some to send, and what is dropped after the last response. Each byte moves
    /// the deadline by its share of a second, at most to the timeout from now. Default 500, a tenth of the slowest
    /// modem's: a peer that sends or takes a byte now and then must not hold memory for ever. 0 allows that.
    pub bytes_per_second_min: u32,
    /// Between two requests. Default 75 s: longer than the 60 s for which common proxies keep a
    /// connection, so that the proxy closes first.
    pub idle_timeout: Duration,
    /// A client's wait for the first byte of a response, from its request's last. Default 30 s.
    pub response_timeout: Duration,
    /// A client's wait for `100 Continue` before it sends its content anyway. Default 1 s
    /// (RFC 9110 section 10.1.1: not for ever).
    pub continue_timeout: Duration,
    /// Between two pieces the peer takes of what is ready to be sent. Default 60 s, as is usual.
    pub write_timeout: Duration,
    /// After the last response: silence of a peer that has not closed, after which its connection is.
    /// Default 5 s: long enough that the response arrives before a reset (RFC 9112 section 9.6).
    pub linger_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_line_bytes_max: 8_000,
            header_bytes_max: 16_384,
            headers_max: 64,
            body_bytes_max: 1 << 20,
            chunk_extension_bytes_max: 1_024,
            trailer_bytes_max: 4_096,
            trailer_fields_max: 32,
            interim_responses_max: 16,
            discard_bytes_max: 256 << 10,
            linger_bytes_max: 64 << 20,
            chunked_requests: true,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            bytes_per_second_min: 500,
            response_timeout: Duration::from_secs(30),
            continue_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            linger_timeout: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// The deadline of a body of which `count` bytes moved `now`, before `deadline`, under a timeout between pieces.
    pub(crate) fn moved_deadline(
        &self,
        timeout: Duration,
        deadline: Option<Duration>,
        count: usize,
        now: Duration,
    ) -> Duration {
        let bytes_per_second_min = self.bytes_per_second_min;
        Pace { timeout, bytes_per_second_min }.deadline(deadline, now, count)
    }
}
