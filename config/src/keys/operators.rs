//! Keys for operators.

use super::field::{is_path_or_none, parsed, push_host, put, put_token};
use super::rule::{FINGERPRINTS_MAX, HOSTS_MAX, Key, Rule, key, list, seconds, text};

/// What lists of fingerprints hold.
const FINGERPRINTS: &str = "SHA-256 of certificates, 64 hexadecimal digits each, as `openssl x509 -fingerprint -sha256` has them";

pub(super) const OPERATORS: &[Key] = &[
    key("admin", "port", Rule::PortOrOff(|c| &mut c.admin.port)),
    text("admin", "token", "16 to 128 letters, digits and any of -._~+/=, or none", put_token),
    key("admin", "tls", Rule::Flag(|c| &mut c.admin.tls)),
    text(
        "admin",
        "client_authorities",
        "a file of the bundle, as \"tls/operators.pem\", or none",
        |c, text| is_path_or_none(text) && put(&mut c.admin.client_authorities, text),
    ),
    list(
        "admin",
        "client_fingerprints",
        FINGERPRINTS,
        FINGERPRINTS_MAX,
        |c| c.admin.client_fingerprints.clear(),
        |c, text| text.parse().map(|it| c.admin.client_fingerprints.push(it)).is_ok(),
    ),
    list(
        "admin",
        "hosts",
        "names without a port, as \"aqueduct.example\"",
        HOSTS_MAX,
        |c| c.admin.hosts.clear(),
        |c, text| push_host(&mut c.admin.hosts, text),
    ),
    key("admin", "health_on_http", Rule::Flag(|c| &mut c.admin.health_on_http)),
    text(
        "log",
        "level",
        "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        |c, text| parsed(text).map(|level| c.log.level = level).is_some(),
    ),
    text("log", "format", "\"text\" or \"json\"", |c, text| {
        parsed(text).map(|format| c.log.format = format).is_some()
    }),
    text(
        "log",
        "syslog",
        "udp://, tcp:// or tls:// with a host and a port, as \"tcp://10.0.0.9:601\", or none",
        |c, text| {
            c.log.syslog = parsed(text);
            c.log.syslog.is_some() || text.is_empty()
        },
    ),
    key("shutdown", "drain_seconds", seconds(0, 3600, |c| &mut c.shutdown.drain)),
];
