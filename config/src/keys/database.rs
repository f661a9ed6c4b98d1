//! Keys of `[[database]]`. A key is of the database whose section began last.

use super::field::{is_path_or_none, last, parsed, put};
use super::rule::{Key, Number, count, key, list, seconds, text};
use crate::Config;
use crate::schema::{Database, PasswordMethod, is_service};
use crate::texts::{is_host_text, is_unix_path};
use alloc::borrow::ToOwned;

/// Servers of one database: a connection may try all of them in turn.
const SERVERS_MAX: usize = 16;

pub(super) const DATABASE: &[Key] = &[
    text("database", "name", "a name of letters, digits, \"-\" and \"_\"", |c, text| {
        is_service(text) && put(&mut own(c).name, text)
    }),
    list(
        "database",
        "servers",
        "servers, as \"10.9.0.5:5432\", \"db.example:5432\", \"unix:/run/postgresql/.s.PGSQL.5432\" or \"service://postgres\"",
        SERVERS_MAX,
        |c| own(c).servers.clear(),
        push_server,
    ),
    text("database", "user", "the name of a role, of at most 63 bytes", |c, text| {
        is_identifier(text) && put(&mut own(c).user, text)
    }),
    text("database", "password", "a password of at most 1000 bytes, or none", |c, text| {
        is_password(text) && put(&mut own(c).password, text)
    }),
    text("database", "password_file", "a path inside the bundle, or none", |c, text| {
        is_path_or_none(text) && put(&mut own(c).password_file, text)
    }),
    text(
        "database",
        "database",
        "the name of a database, of at most 63 bytes, or none for that of the role",
        |c, text| is_identifier(text) && put(&mut own(c).database, text),
    ),
    text(
        "database",
        "sslmode",
        "\"disable\", \"prefer\", \"require\", \"verify-ca\" or \"verify-full\"",
        |c, text| parsed(text).map(|mode| own(c).ssl_mode = mode).is_some(),
    ),
    text("database", "authorities", "a path inside the bundle, or none", |c, text| {
        is_path_or_none(text) && put(&mut own(c).authorities, text)
    }),
    text("database", "server_name", "a host name or an address, or none", |c, text| {
        (text.is_empty() || is_host_text(text)) && put(&mut own(c).server_name, text)
    }),
    text(
        "database",
        "target_session_attrs",
        "\"any\", \"read-write\", \"read-only\", \"primary\" or \"standby\"",
        |c, text| parsed(text).map(|target| own(c).target = target).is_some(),
    ),
    list(
        "database",
        "methods",
        "\"md5\", \"password\" and \"none\", each once",
        PasswordMethod::ALL.len(),
        |c| own(c).methods.clear(),
        push_method,
    ),
    key(
        "database",
        "connections_max",
        count(1, 1024, |c| Number::Usize(&mut own(c).connections_max)),
    ),
    key("database", "waiting_max", count(0, 65_536, |c| Number::Usize(&mut own(c).waiting_max))),
    key("database", "wait_timeout_seconds", seconds(1, 3600, |c| &mut own(c).wait_timeout)),
    key("database", "connect_timeout_seconds", seconds(1, 300, |c| &mut own(c).connect_timeout)),
    key("database", "query_timeout_seconds", seconds(0, 86_400, |c| &mut own(c).query_timeout)),
    key("database", "idle_timeout_seconds", seconds(1, 86_400, |c| &mut own(c).idle_timeout)),
    key(
        "database",
        "connection_age_max_seconds",
        seconds(1, 604_800, |c| &mut own(c).connection_age_max),
    ),
    key("database", "check_after_seconds", seconds(0, 3600, |c| &mut own(c).check_after)),
    key(
        "database",
        "statements_max",
        count(0, 10_000, |c| Number::Usize(&mut own(c).statements_max)),
    ),
    key(
        "database",
        "result_bytes_max",
        count(1024, 1 << 30, |c| Number::Usize(&mut own(c).result_bytes_max)),
    ),
];

/// The database whose section began last.
fn own(config: &mut Config) -> &mut Database {
    last(&mut config.databases)
}

/// PostgreSQL's identifiers have at most 63 bytes; of them those are taken in which nothing has to be escaped.
fn is_identifier(text: &str) -> bool {
    let is_plain = |letter: char| !letter.is_control() && !['"', '\\'].contains(&letter);
    text.len() <= 63 && text.chars().all(is_plain)
}

/// The protocol ends a password with a zero byte, and nobody has others of these in one.
fn is_password(text: &str) -> bool {
    text.len() <= 1000 && !text.chars().any(char::is_control)
}

fn push_server(config: &mut Config, text: &str) -> bool {
    let servers = &mut own(config).servers;
    let fits = is_server(text) && !servers.iter().any(|other| other == text);
    if fits {
        servers.push(text.to_owned());
    }
    fits
}

fn is_server(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix:") {
        return is_unix_path(path);
    }
    if let Some(service) = text.strip_prefix("service://") {
        return is_service(service);
    }
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    text.rsplit_once(':').is_some_and(|(host, port)| is_host_text(host) && is_port(port))
}

fn push_method(config: &mut Config, text: &str) -> bool {
    let methods = &mut own(config).methods;
    let Some(method) = parsed(text).filter(|method| !methods.contains(method)) else {
        return false;
    };
    methods.push(method);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_with_a_port_a_socket_or_a_service() {
        for text in [
            "10.9.0.5:5432",
            "[fd00::5]:1",
            "db.example:65535",
            "unix:/run/postgresql/.s.PGSQL.5432",
            "service://postgres",
        ] {
            assert!(is_server(text), "{text}");
        }
        for text in [
            "",
            "db.example",
            "db.example:",
            "db.example:0",
            "db.example:65536",
            ":5432",
            "fd00::5:5432",
            "unix:run",
            "unix:",
            "service://",
            "service://a.b",
            "postgres://db.example:5432",
        ] {
            assert!(!is_server(text), "{text}");
        }
    }

    #[test]
    fn names_and_passwords_have_bounds() {
        assert!(is_identifier(&"a".repeat(63)) && !is_identifier(&"a".repeat(64)));
        assert!(!is_identifier("a\"b") && !is_identifier("a\\b") && !is_identifier("a\nb"));
        assert!(is_password(&"a".repeat(1000)) && !is_password(&"a".repeat(1001)));
        assert!(is_password("\"p\\ä") && !is_password("a\0"));
    }
}
