//! `[http]`: the web server, and the site that it serves.

use alloc::string::String;
use alloc::vec::Vec;
use config::Http;
use endpoints::http::Limits;

/// What `[http]` comes to.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The TCP port.
    pub port: u16,
    /// The hosts that are answered; none answers all.
    pub hosts: Vec<String>,
    /// Bounds on clients.
    pub limits: Limits,
    /// A line in the log for each answer.
    pub access_log: bool,
    /// What is served where no other route is.
    pub site: SiteSettings,
}

/// The site in the bundle.
#[derive(Clone, Debug)]
pub struct SiteSettings {
    /// Its folder.
    pub root: String,
    /// The file that answers for a folder.
    pub index: String,
}

impl HttpSettings {
    /// From the section.
    pub fn new(section: &Http) -> Self {
        let Http {
            port,
            hosts,
            site_root: root,
            index,
            access_log,
            request_line_bytes_max,
            header_bytes_max,
            headers_max,
            body_bytes_max,
            head_timeout,
            body_timeout,
            write_timeout,
            idle_timeout,
            linger_timeout,
            bytes_per_second_min,
        } = section.clone();
        let limits = Limits {
            request_line_bytes_max,
            header_bytes_max,
            headers_max,
            body_bytes_max,
            head_timeout,
            body_timeout,
            write_timeout,
            idle_timeout,
            linger_timeout,
            bytes_per_second_min,
            ..Limits::default()
        };
        Self { port, hosts, limits, access_log, site: SiteSettings { root, index } }
    }
}
