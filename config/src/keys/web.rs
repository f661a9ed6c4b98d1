//! Keys of what serves the web.

use super::field::{client_certificates, is_path_or_none, parsed, push_host, push_path, put};
use super::rule::{
    CERTIFICATES_MAX, FINGERPRINTS_MAX, HOSTS_MAX, Key, Number, Rule, count, key, list, seconds,
    text,
};
use crate::texts::{is_host_text, is_path};

/// What lists of fingerprints hold.
const FINGERPRINTS: &str = "SHA-256 of certificates, 64 hexadecimal digits each, as `openssl x509 -fingerprint -sha256` has them";

const SERVER_HEADER: &str =
    "\"version\", a text of at most 128 visible ASCII characters and single spaces, or none";

/// RFC 9110 section 10.2.4: products and comments; nobody reads them as more than a text.
fn is_server_header(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
    text.is_empty() || text.len() <= 128 && text.split(' ').all(is_word)
}

pub(super) const WEB: &[Key] = &[
    key("http", "port", Rule::Port(|c| &mut c.http.port)),
    list(
        "http",
        "hosts",
        "names or addresses without a port, as \"aqueduct.example\" or \"[fd00::2]\"",
        HOSTS_MAX,
        |c| c.http.hosts.clear(),
        |c, text| push_host(&mut c.http.hosts, text),
    ),
    text("http", "site_root", "a folder of the bundle, as \"site\"", |c, text| {
        is_path(text) && put(&mut c.http.site_root, text)
    }),
    text("http", "index", "a file name, as \"index.html\"", |c, text| {
        is_path(text) && !text.contains('/') && put(&mut c.http.index, text)
    }),
    key("http", "access_log", Rule::Flag(|c| &mut c.http.access_log)),
    text("http", "access_log_format", "\"common\", \"combined\" or \"extended\"", |c, text| {
        parsed(text).map(|it| c.http.access_log_format = it).is_some()
    }),
    key(
        "http",
        "request_line_bytes_max",
        count(64, 65_535, |c| Number::U16(&mut c.http.request_line_bytes_max)),
    ),
    key(
        "http",
        "header_bytes_max",
        count(256, 65_535, |c| Number::U16(&mut c.http.header_bytes_max)),
    ),
    key("http", "headers_max", count(4, 256, |c| Number::U16(&mut c.http.headers_max))),
    key("http", "body_bytes_max", count(0, 1 << 40, |c| Number::U64(&mut c.http.body_bytes_max))),
    key("http", "head_timeout_seconds", seconds(1, 3600, |c| &mut c.http.head_timeout)),
    key("http", "body_timeout_seconds", seconds(1, 3600, |c| &mut c.http.body_timeout)),
    key("http", "write_timeout_seconds", seconds(1, 3600, |c| &mut c.http.write_timeout)),
    key("http", "idle_timeout_seconds", seconds(1, 86_400, |c| &mut c.http.idle_timeout)),
    key("http", "linger_timeout_seconds", seconds(1, 3600, |c| &mut c.http.linger_timeout)),
    key(
        "http",
        "bytes_per_second_min",
        count(0, 1 << 20, |c| Number::U32(&mut c.http.bytes_per_second_min)),
    ),
    key(
        "http",
        "requests_per_minute_max",
        count(0, 1 << 30, |c| Number::U32(&mut c.http.requests_per_minute_max)),
    ),
    key(
        "http",
        "connections_per_client_max",
        count(0, 1 << 20, |c| Number::Usize(&mut c.http.connections_per_client_max)),
    ),
    key("http", "compress", Rule::Flag(|c| &mut c.http.compress)),
    key(
        "http",
        "compress_bytes_min",
        count(0, 1 << 40, |c| Number::U64(&mut c.http.compress_bytes_min)),
    ),
    key(
        "http",
        "compress_streams_max",
        count(1, 1024, |c| Number::Usize(&mut c.http.compress_streams_max)),
    ),
    key(
        "http",
        "compress_bytes_per_second_max",
        count(1 << 16, 1 << 30, |c| Number::U32(&mut c.http.compress_bytes_per_second_max)),
    ),
    text("http", "server_header", SERVER_HEADER, |c, text| {
        is_server_header(text) && put(&mut c.http.server_header, text)
    }),
    key("fastcgi", "port", Rule::PortOrOff(|c| &mut c.fastcgi.port)),
    key("fastcgi", "access_log", Rule::Flag(|c| &mut c.fastcgi.access_log)),
    key(
        "fastcgi",
        "params_bytes_max",
        count(1024, 65_535, |c| Number::U16(&mut c.fastcgi.params_bytes_max)),
    ),
    key("fastcgi", "params_max", count(16, 1024, |c| Number::U16(&mut c.fastcgi.params_max))),
    key(
        "fastcgi",
        "body_bytes_max",
        count(0, 1 << 40, |c| Number::U64(&mut c.fastcgi.body_bytes_max)),
    ),
    key("fastcgi", "head_timeout_seconds", seconds(1, 3600, |c| &mut c.fastcgi.head_timeout)),
    key("fastcgi", "body_timeout_seconds", seconds(1, 3600, |c| &mut c.fastcgi.body_timeout)),
    key("fastcgi", "write_timeout_seconds", seconds(1, 3600, |c| &mut c.fastcgi.write_timeout)),
    key("fastcgi", "idle_timeout_seconds", seconds(1, 86_400, |c| &mut c.fastcgi.idle_timeout)),
    key("fastcgi", "linger_timeout_seconds", seconds(1, 3600, |c| &mut c.fastcgi.linger_timeout)),
    key(
        "fastcgi",
        "bytes_per_second_min",
        count(0, 1 << 20, |c| Number::U32(&mut c.fastcgi.bytes_per_second_min)),
    ),
    key("gopher", "port", Rule::PortOrOff(|c| &mut c.gopher.port)),
    text("gopher", "host", "a name or an address, as \"aqueduct.example\", or \"\"", |c, text| {
        (text.is_empty() || is_host_text(text)) && put(&mut c.gopher.host, text)
    }),
    key("gopher", "access_log", Rule::Flag(|c| &mut c.gopher.access_log)),
    key(
        "gopher",
        "request_bytes_max",
        count(64, 65_535, |c| Number::U16(&mut c.gopher.request_bytes_max)),
    ),
    key("gopher", "request_timeout_seconds", seconds(1, 3600, |c| &mut c.gopher.request_timeout)),
    key("gopher", "write_timeout_seconds", seconds(1, 3600, |c| &mut c.gopher.write_timeout)),
    key("gopher", "linger_timeout_seconds", seconds(1, 3600, |c| &mut c.gopher.linger_timeout)),
    key(
        "gopher",
        "bytes_per_second_min",
        count(0, 1 << 20, |c| Number::U32(&mut c.gopher.bytes_per_second_min)),
    ),
    key("tls", "port", Rule::PortOrOff(|c| &mut c.tls.port)),
    list(
        "tls",
        "certificates",
        "files of the bundle, as \"tls/cert.pem\"",
        CERTIFICATES_MAX,
        |c| c.tls.certificates.clear(),
        |c, text| push_path(&mut c.tls.certificates, text),
    ),
    list(
        "tls",
        "keys",
        "files of the bundle, as \"tls/key.pem\", one for each of the certificates",
        CERTIFICATES_MAX,
        |c| c.tls.keys.clear(),
        |c, text| push_path(&mut c.tls.keys, text),
    ),
    text("tls", "clients", "\"off\", \"optional\" or \"required\"", |c, text| {
        client_certificates(text).map(|it| c.tls.clients = it).is_some()
    }),
    text(
        "tls",
        "client_authorities",
        "a file of the bundle, as \"tls/clients.pem\", or none",
        |c, text| is_path_or_none(text) && put(&mut c.tls.client_authorities, text),
    ),
    list(
        "tls",
        "client_fingerprints",
        FINGERPRINTS,
        FINGERPRINTS_MAX,
        |c| c.tls.client_fingerprints.clear(),
        |c, text| text.parse().map(|it| c.tls.client_fingerprints.push(it)).is_ok(),
    ),
    text("tls", "ticket_key", "64 hexadecimal digits, or none", |c, text| {
        let key = text.parse();
        c.tls.ticket_key = key.ok();
        key.is_ok() || text.is_empty()
    }),
    key("tls", "redirect", Rule::Flag(|c| &mut c.tls.redirect)),
    key("tls", "hsts_seconds", seconds(0, 1 << 26, |c| &mut c.tls.hsts)),
    key("tls", "handshake_timeout_seconds", seconds(1, 3600, |c| &mut c.tls.handshake_timeout)),
    key("tls", "handshakes_max", count(1, 65_536, |c| Number::Usize(&mut c.tls.handshakes_max))),
    text(
        "tls",
        "authorities",
        "a file of the bundle, as \"tls/authorities.pem\", or none",
        |c, text| is_path_or_none(text) && put(&mut c.tls.authorities, text),
    ),
];
