//! Limits: every bound a connection puts on its client.

use core::time::Duration;
use pace::Pace;

/// The bounds a connection puts on its client, each with its unit and default.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request: selector, what is searched for and line end. Default 1,024: RFC 1436 section 2 wants selectors
    /// of at most 255, and links to the web are longer.
    pub request_bytes_max: u16,
    /// From the connection's start to the end of the request. Default 10 s.
    pub request_timeout: Duration,
    /// Between two pieces the client takes of what is ready to be sent. Default 60 s.
    pub write_timeout: Duration,
    /// After a refusal: silence of a client that has not closed, after which its connection is. Default 5 s.
    pub linger_timeout: Duration,
    /// Bytes of input that are read and dropped after a refusal. Default 1 MiB.
    pub linger_bytes_max: u32,
    /// Bytes per second at which an answer must move on the whole. Default 500. 0 is no least rate.
    pub bytes_per_second_min: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes_max: 1024,
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            linger_timeout: Duration::from_secs(5),
            linger_bytes_max: 1 << 20,
            bytes_per_second_min: 500,
        }
    }
}

impl Limits {
    /// What answers are measured by.
    pub(crate) fn write_pace(&self) -> Pace {
        let Self { write_timeout: timeout, bytes_per_second_min, .. } = *self;
        Pace { timeout, bytes_per_second_min }
    }
}
