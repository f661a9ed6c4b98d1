//! `[sessions]`: how many web sessions there are, and how long.

use alloc::format;
use alloc::string::String;
use config::Sessions;
use flow::Target;
use web::session::Limits;

/// Memory of the machine for which there may be one session on a route, in bytes.
const BYTES_PER_SESSION: usize = 32 << 10;

/// The bounds of each route, on a machine with so much memory.
pub fn limits(section: &Sessions, machine_bytes: usize) -> Limits {
    let Sessions {
        sessions_max,
        newcomers_percent_max,
        queue_max,
        messages_max,
        saved_bytes_max,
        recorded_max,
        carry_over: _,
        idle_timeout,
        end_timeout,
    } = *section;
    let by_memory = (machine_bytes / BYTES_PER_SESSION).max(1);
    let sessions_max = if sessions_max == 0 { by_memory } else { sessions_max };
    let newcomers_max = (sessions_max * newcomers_percent_max / 100).max(1);
    Limits {
        sessions_max,
        newcomers_max,
        queue_max,
        messages_max,
        saved_bytes_max,
        recorded_max,
        idle_timeout,
        end_timeout,
    }
}

/// Where what sessions saved is between two runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarryOver {
    /// The HTTP server.
    pub target: Target,
    /// Its `Host` (RFC 9110 section 7.2).
    pub authority: String,
    /// The path there.
    pub path: String,
}

impl CarryOver {
    /// None if nothing is carried over.
    pub fn new(section: &Sessions) -> Option<Self> {
        let (scheme, rest) = section.carry_over.split_once("://")?;
        let (authority, path) = rest.split_once('/')?;
        let (scheme, port) = if scheme == "https" { ("tls", 443) } else { ("tcp", 80) };
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = if has_port { String::new() } else { format!(":{port}") };
        let target = format!("{scheme}://{authority}{port}");
        let (authority, path) = (authority.into(), format!("/{path}"));
        Some(Self { target: target.parse().ok()?, authority, path })
    }
}
