//! `[fastcgi]`: requests that a web server in front passes on.

use config::Fastcgi;
use endpoints::fastcgi::Limits;

/// What `[fastcgi]` comes to.
#[derive(Clone, Debug)]
pub struct FastcgiSettings {
    /// The TCP port; none is off.
    pub port: Option<u16>,
    /// Bounds on the web server.
    pub limits: Limits,
    /// A line in the log for each answer.
    pub access_log: bool,
}

impl FastcgiSettings {
    /// From the section.
    pub fn new(section: &Fastcgi) -> Self {
        let Fastcgi {
            port,
            access_log,
            params_bytes_max,
            params_max,
            body_bytes_max,
            head_timeout,
            body_timeout,
            write_timeout,
            idle_timeout,
            linger_timeout,
            bytes_per_second_min,
        } = *section;
        let limits = Limits {
            params_bytes_max,
            params_max,
            body_bytes_max,
            head_timeout,
            body_timeout,
            write_timeout,
            idle_timeout,
            linger_timeout,
            bytes_per_second_min,
            ..Limits::default()
        };
        Self { port, limits, access_log }
    }
}
