//! `[http]`: the web server, and the site that it serves.

use alloc::string::String;
use alloc::vec::Vec;
use config::{AccessLogFormat, Http};
use endpoints::http::Limits;
use web::access_log::Format;

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
    /// What the line has.
    pub access_log_format: Format,
    /// Requests of one client in a minute; zero is no limit.
    pub requests_per_minute_max: u32,
    /// Connections of one client at once; zero is no limit.
    pub connections_per_client_max: usize,
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
            access_log_format,
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
            requests_per_minute_max,
            connections_per_client_max,
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
        let access_log_format = match access_log_format {
            AccessLogFormat::Common => Format::Common,
            AccessLogFormat::Combined => Format::Combined,
            AccessLogFormat::Extended => Format::Extended,
        };
        Self {
            port,
            hosts,
            limits,
            access_log,
            access_log_format,
            requests_per_minute_max,
            connections_per_client_max,
            site: SiteSettings { root, index },
        }
    }
}
