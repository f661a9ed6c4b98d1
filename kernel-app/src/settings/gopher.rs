//! `[gopher]`: the same pages for Gopher's clients.

use alloc::string::String;
use config::Gopher;
use endpoints::gopher::Limits;

/// What `[gopher]` comes to.
#[derive(Clone, Debug)]
pub struct GopherSettings {
    /// The TCP port; none is off.
    pub port: Option<u16>,
    /// The host that menus name; empty is the address at which the client came.
    pub host: String,
    /// Bounds on clients.
    pub limits: Limits,
    /// A line in the log for each answer.
    pub access_log: bool,
}

impl GopherSettings {
    /// From the section.
    pub fn new(section: &Gopher) -> Self {
        let Gopher {
            port,
            host,
            access_log,
            request_bytes_max,
            request_timeout,
            write_timeout,
            linger_timeout,
            bytes_per_second_min,
        } = section.clone();
        let limits = Limits {
            request_bytes_max,
            request_timeout,
            write_timeout,
            linger_timeout,
            bytes_per_second_min,
            ..Limits::default()
        };
        Self { port, host, limits, access_log }
    }
}
