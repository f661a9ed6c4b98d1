//! Limits: every bound a connection puts on its peer.

use core::time::Duration;
use pace::Pace;

/// The bounds a connection puts on its peer, each with its unit and default.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's variables, names, values and their lengths. Default 32,768: what HTTP allows of a head, and
    /// what a web server adds; positions in a head take 16 bits. Beyond it: 431.
    pub params_bytes_max: u16,
    /// Variables of a request. Default 128: 64 fields of the client, and twice what a web server adds. Beyond it: 431.
    pub params_max: u16,
    /// Bytes of a request's content. Default 1 MiB. Beyond it: 413.
    pub body_bytes_max: u64,
    /// From a request's first record to the end of its variables, or to its first content if they do not say how much
    /// there is. Default 10 s.
    pub head_timeout: Duration,
    /// Between two pieces of content while the application waits for it. Default 30 s.
    pub body_timeout: Duration,
    /// Between two pieces the peer takes of what is ready to be sent. Default 60 s.
    pub write_timeout: Duration,
    /// Between two requests, and before the first. Default 75 s: longer than the 60 s for which nginx keeps a connection,
    /// so that it closes first.
    pub idle_timeout: Duration,
    /// After the last response: silence of a peer that has not closed, after which its connection is. Default 5 s.
    pub linger_timeout: Duration,
    /// Bytes of input that are read and dropped after the last response. Default 64 MiB.
    pub linger_bytes_max: u32,
    /// Bytes per second at which content must move on the whole, a request's as well as a response's. Default 500. 0 is
    /// no least rate.
    pub bytes_per_second_min: u32,
    /// What `FCGI_MAX_CONNS` and `FCGI_MAX_REQS` are answered with. Default 1,024: it is advice, and bounds nothing.
    pub connections_advised: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            params_bytes_max: 32_768,
            params_max: 128,
            body_bytes_max: 1 << 20,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            linger_timeout: Duration::from_secs(5),
            linger_bytes_max: 64 << 20,
            bytes_per_second_min: 500,
            connections_advised: 1024,
        }
    }
}

impl Limits {
    /// What output that waits is measured by.
    pub(crate) fn write_pace(&self) -> Pace {
        let Self { write_timeout: timeout, bytes_per_second_min, .. } = *self;
        Pace { timeout, bytes_per_second_min }
    }

    /// The deadline of bytes of which `count` moved `now`, before `deadline`, under a timeout between pieces.
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
