//! `[fastcgi]`: the web server's pages for a web server in front.

use core::time::Duration;

/// `[fastcgi]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fastcgi {
    /// TCP port; none is off. Default off: it is for a web server in front, whose word is taken for who asks.
    pub port: Option<u16>,
    /// A line in the log for each answer. Default false, as for HTTP.
    pub access_log: bool,
    /// Bytes of a request's variables, with their names; 431 above. Default 32 KiB: what HTTP allows of a head, and what
    /// a web server adds.
    pub params_bytes_max: u16,
    /// Variables of a request; 431 above. Default 128.
    pub params_max: u16,
    /// Longest request body, in bytes; 413 above. Default 1 MiB, as for HTTP.
    pub body_bytes_max: u64,
    /// A request's variables must be complete this long after its beginning; 408 after. Default 10 s.
    pub head_timeout: Duration,
    /// A request's body must make progress within this time; 408 after. Default 30 s.
    pub body_timeout: Duration,
    /// The web server must take some of what is sent to it within this time. Default 60 s.
    pub write_timeout: Duration,
    /// A connection may be silent for this long between requests. Default 75 s: longer than the 60 s for which nginx keeps
    /// its own.
    pub idle_timeout: Duration,
    /// What still comes after the last answer is read and dropped until the web server is silent for this long. Default 5 s.
    pub linger_timeout: Duration,
    /// Bytes per second at which a body must move on the whole; zero is no least rate. Default 500.
    pub bytes_per_second_min: u32,
}

impl Default for Fastcgi {
    fn default() -> Self {
        Self {
            port: None,
            access_log: false,
            params_bytes_max: 32_768,
            params_max: 128,
            body_bytes_max: 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            linger_timeout: Duration::from_secs(5),
            bytes_per_second_min: 500,
        }
    }
}
