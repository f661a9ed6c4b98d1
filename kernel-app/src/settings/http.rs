//! `[http]`: the web server, and the site that it serves.

use alloc::format;
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
    /// How answers are compressed while they are sent, if they are.
    pub compression: Option<CompressionSettings>,
    /// The value of `Server`, if it is sent.
    pub server_header: Option<String>,
    /// What is served where no other route is.
    pub site: SiteSettings,
}

/// Bounds on what is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionSettings {
    /// Shorter answers go as they are.
    pub bytes_min: u64,
    /// Answers at once.
    pub streams_max: usize,
    /// Bytes that go in, in a second, of all answers together.
    pub bytes_per_second_max: u32,
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
            compress,
            compress_bytes_min: bytes_min,
            compress_streams_max: streams_max,
            compress_bytes_per_second_max: bytes_per_second_max,
            server_header,
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
            compression: compress.then_some(CompressionSettings {
                bytes_min,
                streams_max,
                bytes_per_second_max,
            }),
            server_header: match &*server_header {
                "" => None,
                "version" => Some(format!("aqueduct/{}", env!("CARGO_PKG_VERSION"))),
                _ => Some(server_header),
            },
            site: SiteSettings { root, index },
        }
    }
}
