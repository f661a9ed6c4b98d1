//! Every key of `appliance.toml` has an effect, and only its own.
//!
//! The table below has a row for each key of the schema: a value that is not the default, and what can
//! be seen of it then. Keys of HTTP, of tasks and of the stop are seen from outside, on the appliance
//! as it runs over flows in memory; the others in what the crates that read them are given, whose own
//! tests show what that does. Rows are compared with each other, so that two keys which are mixed up
//! are found as well.

#[path = "keys/memory.rs"]
mod memory;

use aqueduct::settings::admin::AdminSettings;
use aqueduct::settings::affinity::AffinitySettings;
use aqueduct::settings::balance::BalanceSettings;
use aqueduct::settings::database::DatabaseSettings;
use aqueduct::settings::fastcgi::FastcgiSettings;
use aqueduct::settings::gopher::GopherSettings;
use aqueduct::settings::http::{CompressionSettings, HttpSettings};
use aqueduct::settings::memory::MemorySettings;
use aqueduct::settings::names::NamesSettings;
use aqueduct::settings::network::{SocketSettings, stack_config};
use aqueduct::settings::proxy::ProxySettings;
use aqueduct::settings::relay::RelaySettings;
use aqueduct::settings::rpc::RpcSettings;
use aqueduct::settings::sessions::CarryOver;
use aqueduct::settings::shared_memory::SharedMemorySettings;
use aqueduct::settings::site::FolderSettings;
use aqueduct::settings::storage::StorageSettings;
use aqueduct::settings::tls::TlsSettings;
use aqueduct::settings::unix::UnixSettings;
use aqueduct::settings::vsock::VsockSettings;
use aqueduct::settings::zmq::ZmqSettings;
use config::{Bundle, Config, Database, GroupKey, SiteRule};
use core::time::Duration;
use memory::World;

/// A key, and what is seen of it.
struct Row {
    section: &'static str,
    name: &'static str,
    /// Not the default, as the file has it.
    value: &'static str,
    /// What `seen` gives for that value.
    expected: &'static str,
    seen: fn(&Config) -> String,
}

macro_rules! row {
    ($section:literal, $name:literal, $value:literal, $expected:literal, $seen:expr) => {
        Row {
            section: $section,
            name: $name,
            value: $value,
            expected: $expected,
            seen: |config| format!("{:?}", ($seen)(config)),
        }
    };
}

fn limits(config: &Config) -> net::Limits {
    stack_config(config, 1 << 30).limits
}

fn rpc(config: &Config) -> endpoints::rpc::Limits {
    RpcSettings::new(&config.rpc).limits
}

fn vat(config: &Config) -> RpcSettings {
    RpcSettings::new(&config.rpc)
}

fn vsock(config: &Config) -> vsock::Limits {
    VsockSettings::new(&config.vsock, 1 << 30).limits
}

fn shared_memory(config: &Config) -> SharedMemorySettings {
    SharedMemorySettings::new(&config.shared_memory, 1 << 30)
}

fn names(config: &Config) -> NamesSettings {
    NamesSettings::new(&config.names, Vec::new())
}

fn ways(config: &Config) -> flow::registry::WayPolicy {
    names(config).ways
}

fn zmq(config: &Config) -> endpoints::pipe::ServiceLimits {
    ZmqSettings::new(&config.zmq).limits
}

fn fastcgi(config: &Config) -> endpoints::fastcgi::Limits {
    FastcgiSettings::new(&config.fastcgi).limits
}

fn gopher(config: &Config) -> endpoints::gopher::Limits {
    GopherSettings::new(&config.gopher).limits
}

fn tls(config: &Config) -> TlsSettings {
    TlsSettings::new(&config.tls)
}

fn sessions(config: &Config) -> web::session::Limits {
    aqueduct::settings::sessions::limits(&config.sessions, 1 << 30)
}

fn affinity(config: &Config) -> Option<AffinitySettings> {
    AffinitySettings::new(&config.affinity)
}

fn storage(config: &Config) -> StorageSettings {
    StorageSettings::new(&config.storage, 1 << 30)
}

/// As if there were a site on a disk.
fn site_folder(config: &Config) -> Option<String> {
    let section = config::Storage { site_disk: 1, ..config.storage.clone() };
    StorageSettings::new(&section, 1 << 30).site.map(|(_, folder)| folder)
}

/// As if it belonged to a group.
fn grouped(config: &Config) -> Option<AffinitySettings> {
    let key = config.affinity.key.or(Some(GroupKey([0; 16])));
    AffinitySettings::new(&config::Affinity { key, ..config.affinity.clone() })
}

fn balance(config: &Config) -> BalanceSettings {
    BalanceSettings::new(&config.balance)
}

fn balanced_client(config: &Config) -> endpoints::http::client::ClientConfig {
    balance(config).client(Duration::from_secs(1))
}

/// As if it were on.
fn compression(config: &Config) -> CompressionSettings {
    let section = config::Http { compress: true, ..config.http.clone() };
    HttpSettings::new(&section).compression.unwrap()
}

/// As if there were one.
fn database(config: &Config) -> DatabaseSettings {
    let default = Database::default();
    DatabaseSettings::new(config.databases.last().unwrap_or(&default))
}

/// As if there were a route.
fn proxied(config: &Config) -> ProxySettings {
    let routes = vec!["/ a:1".parse().unwrap()];
    let section = config::Proxy { routes, ..config.proxy.clone() };
    ProxySettings::all(&section).unwrap().remove(0)
}

fn newcomers_share(config: &Config) -> f32 {
    let limits = sessions(config);
    limits.newcomers_max as f32 / limits.sessions_max as f32
}

/// What part of all a service may have, and what part of that a peer.
fn memory_shares(config: &Config) -> (f32, f32) {
    let settings = MemorySettings::new(&config.memory, 1 << 30);
    let part = |of: usize, all: usize| (of as f32 / all as f32 * 100.0).round() / 100.0;
    let service = part(settings.service_bytes_max, settings.peers_bytes_max);
    (service, part(settings.peer_bytes_max, settings.service_bytes_max))
}

#[rustfmt::skip]
static ROWS: &[Row] = &[
    row!("network", "dhcp", "false", "false", |c: &Config| stack_config(c, 1 << 30).dhcp),
    row!("network", "slaac", "false", "false", |c: &Config| stack_config(c, 1 << 30).slaac),
    row!("network", "addresses", "[\"10.9.0.2/24\"]", "[(10.9.0.2, 24)]", |c: &Config| stack_config(c, 1 << 30).addresses),
    row!("network", "gateways", "[\"10.9.0.1\"]", "[10.9.0.1]", |c: &Config| stack_config(c, 1 << 30).gateways),
    row!("network", "dns", "[\"9.9.9.9\"]", "[9.9.9.9]", |c: &Config| stack_config(c, 1 << 30).name_servers),
    row!("network", "mtu_bytes", "1400", "1400", |c: &Config| limits(c).mtu_bytes),
    row!("network", "hostname", "\"alpha\"", "\"alpha\"", |c: &Config| stack_config(c, 1 << 30).hostname),
    row!("http", "port", "8080", "(false, true)", |c: &Config| {
        let world = World::new(c);
        (world.is_open(80), world.is_open(8080))
    }),
    row!("http", "hosts", "[\"a.example\"]", "\"421\"", |c: &Config| {
        World::new(c).status("GET /page HTTP/1.1\r\nHost: b.example\r\n\r\n")
    }),
    row!("http", "site_root", "\"other\"", "\"other page\"", |c: &Config| World::new(c).content("/page")),
    row!("http", "index", "\"start\"", "\"200\"", |c: &Config| {
        // A folder without its index would be listed.
        World::new(&Config { site: config::Site::default(), ..c.clone() }).get("/folder/")
    }),
    row!("http", "access_log", "true", "true", |c: &Config| World::new(c).logs_access()),
    row!("http", "access_log_format", "\"common\"", "Common", |c: &Config| HttpSettings::new(&c.http).access_log_format),
    row!("http", "request_line_bytes_max", "64", "\"414\"", |c: &Config| {
        World::new(c).get(&format!("/{}", "a".repeat(100)))
    }),
    row!("http", "header_bytes_max", "256", "\"431\"", |c: &Config| World::new(c).ask_with_fields(1, 300)),
    row!("http", "headers_max", "4", "\"431\"", |c: &Config| World::new(c).ask_with_fields(5, 1)),
    row!("http", "body_bytes_max", "10", "\"413\"", |c: &Config| World::new(c).post(11)),
    row!("http", "head_timeout_seconds", "3", "3s", |c: &Config| World::new(c).cut_after("GET / HTTP/1.1\r\n")),
    row!("http", "body_timeout_seconds", "4", "4s", |c: &Config| {
        World::new(c).cut_after("POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\n")
    }),
    row!("http", "write_timeout_seconds", "5", "5s", |c: &Config| World::new(c).dropped_after("/long")),
    row!("http", "idle_timeout_seconds", "6", "6s", |c: &Config| {
        World::new(c).cut_after("GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n")
    }),
    row!("http", "linger_timeout_seconds", "7", "7s", |c: &Config| HttpSettings::new(&c.http).limits.linger_timeout),
    row!("http", "bytes_per_second_min", "7", "7", |c: &Config| HttpSettings::new(&c.http).limits.bytes_per_second_min),
    // Clients are told apart by their addresses, which flows in memory have not.
    row!("http", "requests_per_minute_max", "7", "7", |c: &Config| HttpSettings::new(&c.http).requests_per_minute_max),
    row!("http", "connections_per_client_max", "7", "7", |c: &Config| HttpSettings::new(&c.http).connections_per_client_max),
    row!("http", "compress", "true", "true", |c: &Config| {
        let answer = World::new(c).answer("GET /long.html HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\n\r\n");
        answer.contains("Content-Encoding: gzip\r\n")
    }),
    row!("http", "compress_bytes_min", "7", "7", |c: &Config| compression(c).bytes_min),
    row!("http", "compress_streams_max", "7", "7", |c: &Config| compression(c).streams_max),
    row!("http", "compress_bytes_per_second_max", "77777", "77777", |c: &Config| compression(c).bytes_per_second_max),
    row!("http", "server_header", "\"a/7 (b)\"", "Some(\"a/7 (b)\")", |c: &Config| {
        let answer = World::new(c).answer("GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n");
        answer.lines().find_map(|line| line.strip_prefix("Server: ")).map(ToOwned::to_owned)
    }),
    row!("fastcgi", "port", "9000", "true", |c: &Config| World::new(c).is_open(9000)),
    row!("fastcgi", "access_log", "true", "true", |c: &Config| FastcgiSettings::new(&c.fastcgi).access_log),
    row!("fastcgi", "params_bytes_max", "2000", "2000", |c: &Config| fastcgi(c).params_bytes_max),
    row!("fastcgi", "params_max", "17", "17", |c: &Config| fastcgi(c).params_max),
    row!("fastcgi", "body_bytes_max", "7", "7", |c: &Config| fastcgi(c).body_bytes_max),
    row!("fastcgi", "head_timeout_seconds", "7", "7s", |c: &Config| fastcgi(c).head_timeout),
    row!("fastcgi", "body_timeout_seconds", "7", "7s", |c: &Config| fastcgi(c).body_timeout),
    row!("fastcgi", "write_timeout_seconds", "7", "7s", |c: &Config| fastcgi(c).write_timeout),
    row!("fastcgi", "idle_timeout_seconds", "7", "7s", |c: &Config| fastcgi(c).idle_timeout),
    row!("fastcgi", "linger_timeout_seconds", "7", "7s", |c: &Config| fastcgi(c).linger_timeout),
    row!("fastcgi", "bytes_per_second_min", "7", "7", |c: &Config| fastcgi(c).bytes_per_second_min),
    row!("gopher", "port", "70", "true", |c: &Config| World::new(c).is_open(70)),
    row!("gopher", "host", "\"a.example\"", "\"a.example\"", |c: &Config| GopherSettings::new(&c.gopher).host),
    row!("gopher", "access_log", "true", "true", |c: &Config| GopherSettings::new(&c.gopher).access_log),
    row!("gopher", "request_bytes_max", "77", "77", |c: &Config| gopher(c).request_bytes_max),
    row!("gopher", "request_timeout_seconds", "7", "7s", |c: &Config| gopher(c).request_timeout),
    row!("gopher", "write_timeout_seconds", "7", "7s", |c: &Config| gopher(c).write_timeout),
    row!("gopher", "linger_timeout_seconds", "7", "7s", |c: &Config| gopher(c).linger_timeout),
    row!("gopher", "bytes_per_second_min", "7", "7", |c: &Config| gopher(c).bytes_per_second_min),
    row!("tls", "port", "443", "true", |c: &Config| World::new(c).is_open(443)),
    row!("tls", "certificates", "[\"a\"]", "[\"a\"]", |c: &Config| c.tls.certificates.clone()),
    row!("tls", "keys", "[\"b\"]", "[\"b\"]", |c: &Config| c.tls.keys.clone()),
    row!("tls", "clients", "\"required\"", "Required", |c: &Config| tls(c).clients),
    row!("tls", "client_authorities", "\"a\"", "Some(\"a\")", |c: &Config| tls(c).client_authorities),
    row!("tls", "client_fingerprints", "[\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff\"]", "Some(255)", |c: &Config| {
        tls(c).client_fingerprints.first().map(|it| it[31])
    }),
    row!("tls", "ticket_key", "\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff\"", "Some(255)", |c: &Config| {
        tls(c).ticket_key.map(|it| it.0[31])
    }),
    // What it does takes a port of [tls], and is shown below.
    row!("tls", "redirect", "true", "true", |c: &Config| tls(c).redirect),
    row!("tls", "hsts_seconds", "7", "Some(7s)", |c: &Config| tls(c).hsts),
    row!("tls", "handshake_timeout_seconds", "7", "7s", |c: &Config| tls(c).handshake_timeout),
    row!("tls", "handshakes_max", "7", "7", |c: &Config| tls(c).handshakes_max),
    row!("tls", "authorities", "\"a\"", "Some(\"a\")", |c: &Config| tls(c).authorities),
    row!("site", "clean_urls", "\"redirect\"", "Redirect", |c: &Config| site(c).clean_urls),
    row!("site", "fallback", "\"a.html\"", "Some(\"a.html\")", |c: &Config| site(c).fallback),
    row!("site", "listing", "true", "true", |c: &Config| site(c).listing),
    row!("site", "errors", "\"a\"", "\"a\"", |c: &Config| site(c).errors),
    row!("site", "cache_control", "\"max-age=7\"", "Some(\"max-age=7\")", |c: &Config| site(c).cache_control),
    row!("site", "media_types", "[\"a b/c\"]", "[(\"a\", \"b/c\")]", |c: &Config| site(c).media_types),
    row!("site_host", "names", "[\"*.other\"]", "[\"*.other\"]", |c: &Config| site_host(c).names),
    row!("site_host", "root", "\"a\"", "\"a\"", |c: &Config| site_host(c).root),
    row!("site_host", "index", "\"a.html\"", "\"a.html\"", |c: &Config| site_host(c).options.index),
    row!("site_host", "clean_urls", "\"answer\"", "Answer", |c: &Config| site_host(c).options.clean_urls),
    row!("site_host", "fallback", "\"a.html\"", "Some(\"a.html\")", |c: &Config| site_host(c).options.fallback),
    row!("site_host", "listing", "true", "true", |c: &Config| site_host(c).options.listing),
    row!("site_host", "errors", "\"a\"", "\"a\"", |c: &Config| site_host(c).options.errors),
    row!("site_rule", "path", "\"/a/*\"", "[Pattern(\"/a/*\")]", |c: &Config| {
        let path = site_rule(c).path;
        let rules = rules_of(SiteRule { path, ..SiteRule::default() });
        rules.iter().map(|rule| rule.pattern.clone()).collect::<Vec<_>>()
    }),
    row!("site_rule", "hosts", "[\"a.example\"]", "0", |c: &Config| rules_of(SiteRule { path: "/".into(), ..site_rule(c) }).len()),
    row!("site_rule", "cache_control", "\"max-age=7\"", "[(\"Cache-Control\", \"max-age=7\")]", |c: &Config| {
        rules_of(SiteRule { path: "/".into(), hosts: Vec::new(), headers: Vec::new(), ..site_rule(c) })[0].set.clone()
    }),
    row!("site_rule", "headers", "[\"X-A: 7\"]", "[(\"X-A\", \"7\")]", |c: &Config| {
        let other = SiteRule { path: "/".into(), hosts: Vec::new(), cache_control: String::new(), ..site_rule(c) };
        rules_of(other)[0].set.clone()
    }),
    row!("site_rule", "remove_headers", "[\"ETag\"]", "[\"ETag\"]", |c: &Config| {
        rules_of(SiteRule { path: "/".into(), hosts: Vec::new(), ..site_rule(c) })[0].removed.clone()
    }),
    // What these do, the tests of handlers/access.rs show.
    row!("site_rule", "users", "[\"a:$5$a$0123456789012345678901234567890123456789012\"]", "Some([SiteUser(\"a\")])", |c: &Config| site_rule(c).users),
    row!("site_rule", "realm", "\"a\"", "\"a\"", |c: &Config| site_rule(c).realm),
    row!("site_rule", "allow", "[\"10.0.0.0/8\"]", "\"10.0.0.0/8\"", |c: &Config| site_rule(c).allow.map_or_else(String::new, |it| it[0].to_string())),
    row!("site_rule", "deny", "[\"10.0.0.0/8\"]", "\"10.0.0.0/8\"", |c: &Config| site_rule(c).deny.map_or_else(String::new, |it| it[0].to_string())),
    row!("tcp", "connections_max", "7", "7", |c: &Config| limits(c).connections_max),
    row!("tcp", "listen_backlog", "7", "7", |c: &Config| limits(c).listen_backlog),
    row!("tcp", "half_open_max", "77", "77", |c: &Config| limits(c).half_open_max),
    row!("tcp", "receive_buffer_max_bytes", "65536", "65536", |c: &Config| limits(c).receive_buffer_max_bytes),
    row!("tcp", "send_buffer_max_bytes", "65536", "65536", |c: &Config| limits(c).send_buffer_max_bytes),
    row!("tcp", "buffers_max_bytes", "2097152", "2097152", |c: &Config| limits(c).buffers_max_bytes),
    row!("tcp", "time_wait_seconds", "7", "7s", |c: &Config| limits(c).time_wait),
    row!("tcp", "time_wait_max", "7", "7", |c: &Config| limits(c).time_wait_max),
    row!("tcp", "user_timeout_seconds", "7", "7s", |c: &Config| limits(c).user_timeout),
    row!("tcp", "keep_alive_seconds", "0", "None", |c: &Config| limits(c).keep_alive),
    row!("tcp", "congestion_control", "\"off\"", "Off", |c: &Config| limits(c).congestion_control),
    row!("vsock", "http_port", "8080", "true", |c: &Config| World::new(c).is_open_to_host(8080)),
    row!("vsock", "rpc_port", "7000", "true", |c: &Config| World::new(c).is_open_to_host(7000)),
    row!("vsock", "admin_port", "9001", "true", |c: &Config| World::new(c).is_open_to_host(9001)),
    row!("vsock", "connections_max", "7", "7", |c: &Config| vsock(c).connections_max),
    row!("vsock", "buffer_bytes", "5000", "5000", |c: &Config| vsock(c).buffer_bytes),
    row!("shared_memory", "http_path", "\"/h\"", "true", |c: &Config| World::new(c).shares_memory_at("/h")),
    row!("shared_memory", "rpc_path", "\"/r\"", "true", |c: &Config| World::new(c).shares_memory_at("/r")),
    row!("shared_memory", "zmq_path", "\"/z\"", "true", |c: &Config| World::new(c).shares_memory_at("/z")),
    row!("shared_memory", "connections_max", "7", "7", |c: &Config| shared_memory(c).connections_max),
    row!("shared_memory", "ring_bytes", "8192", "8192", |c: &Config| shared_memory(c).ring_bytes),
    row!("shared_memory", "busy_poll_microseconds", "7", "7µs", |c: &Config| shared_memory(c).busy_poll),
    row!("shared_memory", "connect_timeout_seconds", "7", "7s", |c: &Config| shared_memory(c).connect_timeout),
    row!("unix", "http", "\"/run/http\"", "true", |c: &Config| World::new(c).is_open_at("/run/http")),
    row!("unix", "fastcgi", "\"/run/fastcgi\"", "true", |c: &Config| World::new(c).is_open_at("/run/fastcgi")),
    row!("unix", "rpc", "\"/run/rpc\"", "true", |c: &Config| World::new(c).is_open_at("/run/rpc")),
    row!("unix", "secure_rpc", "\"/run/secure_rpc\"", "true", |c: &Config| World::new(c).is_open_at("/run/secure_rpc")),
    row!("unix", "zmq", "\"/run/zmq\"", "true", |c: &Config| World::new(c).is_open_at("/run/zmq")),
    row!("unix", "admin", "\"/run/admin\"", "true", |c: &Config| World::new(c).is_open_at("/run/admin")),
    // What it does, the process's own tests show.
    row!("unix", "mode", "\"0660\"", "432", |c: &Config| UnixSettings::new(&c.unix).mode),
    row!("rpc", "port", "7001", "(false, true)", |c: &Config| {
        let world = World::new(c);
        (world.is_open(7000), world.is_open(7001))
    }),
    row!("rpc", "secure_port", "7002", "true", |c: &Config| World::new(c).is_open(7002)),
    row!("rpc", "websocket_path", "\"/r\"", "\"426\"", |c: &Config| World::new(c).get("/r")),
    row!("rpc", "websocket_origins", "[\"https://a.example\"]", "[\"https://a.example\"]", |c: &Config| vat(c).websocket_origins),
    row!("rpc", "key", "\"a/key.pem\"", "\"a/key.pem\"", |c: &Config| vat(c).key),
    row!("rpc", "host", "\"b.example\"", "Some(\"b.example\")", |c: &Config| vat(c).host),
    row!("rpc", "strangers", "[\"admin\"]", "[\"admin\"]", |c: &Config| vat(c).strangers),
    row!("rpc", "peers", "[\"sha-256:3Tj5y5Q2qpqN3Sbh0GRPxgORZw98_NtrU2nLI0-Tn6g admin\"]", "[[\"admin\"]]", |c: &Config| {
        vat(c).peers.into_iter().map(|peer| peer.services).collect::<Vec<_>>()
    }),
    row!("rpc", "epochs", "[\"admin 2\"]", "[RpcEpoch { service: \"admin\", epoch: 2 }]", |c: &Config| vat(c).epochs),
    row!("rpc", "log_references", "true", "true", |c: &Config| vat(c).log_references),
    row!("rpc", "message_words_max", "2048", "2048", |c: &Config| rpc(c).message_words_max),
    row!("rpc", "segments_max", "7", "7", |c: &Config| rpc(c).segments_max),
    row!("rpc", "traversal_words_max", "2048", "2048", |c: &Config| rpc(c).traversal_words_max),
    row!("rpc", "nesting_max", "9", "9", |c: &Config| rpc(c).nesting_max),
    row!("rpc", "message_caps_max", "7", "7", |c: &Config| rpc(c).message_caps_max),
    row!("rpc", "path_fields_max", "7", "7", |c: &Config| rpc(c).path_fields_max),
    row!("rpc", "parts_max", "7", "7", |c: &Config| rpc(c).parts_max),
    row!("rpc", "questions_max", "7", "7", |c: &Config| rpc(c).questions_max),
    row!("rpc", "answers_max", "7", "7", |c: &Config| rpc(c).answers_max),
    row!("rpc", "exports_max", "7", "7", |c: &Config| rpc(c).exports_max),
    row!("rpc", "imports_max", "7", "7", |c: &Config| rpc(c).imports_max),
    row!("rpc", "embargoes_max", "7", "7", |c: &Config| rpc(c).embargoes_max),
    row!("rpc", "call_bytes_max", "70_000", "70000", |c: &Config| rpc(c).call_bytes_max),
    row!("rpc", "unsent_bytes_high", "5000", "5000", |c: &Config| rpc(c).unsent_bytes_high),
    row!("rpc", "unsent_bytes_max", "2_000_000", "2000000", |c: &Config| rpc(c).unsent_bytes_max),
    row!("rpc", "reason_bytes_max", "77", "77", |c: &Config| rpc(c).reason_bytes_max),
    row!("rpc", "stall_timeout_seconds", "7", "7s", |c: &Config| rpc(c).stall_timeout),
    row!("rpc", "bytes_per_second_min", "7", "7", |c: &Config| rpc(c).bytes_per_second_min),
    row!("capabilities", "NAME", "\"capnp://insecure@a:1\"", "[(\"NAME\", \"capnp://insecure@a:1\")]", |c: &Config| {
        c.capabilities.references.clone()
    }),
    row!("conf", "from", "\"store\"", "\"store\"", |c: &Config| c.conf.from.clone()),
    row!("conf", "settings", "false", "false", |c: &Config| c.conf.settings),
    row!("conf", "site_bytes_max", "5000", "5000", |c: &Config| c.conf.site_bytes_max),
    row!("relay", "listen_ports", "[\"8081\"]", "true", |c: &Config| relay(c).allows_listening(8081)),
    row!("relay", "connect_targets", "[\"a:1\"]", "true", |c: &Config| relay(c).allows_connecting(&"a:1".parse().unwrap())),
    row!("relay", "connections_max", "7", "7", |c: &Config| relay(c).connections_max),
    row!("relay", "through", "\"gate\"", "Some(\"gate\")", |c: &Config| relay(c).through),
    row!("relay", "http_port", "81", "Some(81)", |c: &Config| relay(c).http_port),
    row!("zmq", "port", "5556", "(false, true)", |c: &Config| {
        let world = World::new(c);
        (world.is_open(5555), world.is_open(5556))
    }),
    row!("zmq", "websocket_path", "\"/z\"", "\"426\"", |c: &Config| World::new(c).get("/z")),
    row!("zmq", "websocket_origins", "[\"https://a.example\"]", "[\"https://a.example\"]", |c: &Config| {
        ZmqSettings::new(&c.zmq).websocket_origins
    }),
    row!("zmq", "message_bytes_max", "2000", "2000", |c: &Config| zmq(c).message_bytes_max),
    row!("zmq", "unfinished_bytes_max", "20_000_000", "20000000", |c: &Config| zmq(c).unfinished_bytes_max),
    row!("zmq", "parts_max", "7", "7", |c: &Config| zmq(c).parts_max),
    row!("zmq", "command_bytes_max", "700", "700", |c: &Config| zmq(c).command_bytes_max),
    row!("zmq", "nesting_max", "7", "7", |c: &Config| zmq(c).nesting_max),
    row!("zmq", "expansion_ratio_max", "7", "7", |c: &Config| zmq(c).expansion_ratio_max),
    row!("zmq", "expansion_free_bytes", "7", "7", |c: &Config| zmq(c).expansion_free_bytes),
    row!("zmq", "peers_max", "7", "7", |c: &Config| zmq(c).peers_max),
    row!("zmq", "requests_max", "7", "7", |c: &Config| zmq(c).requests_max),
    row!("zmq", "send_messages_max", "7", "7", |c: &Config| zmq(c).send_messages_max),
    row!("zmq", "send_bytes_max", "7000", "7000", |c: &Config| zmq(c).send_bytes_max),
    row!("zmq", "receive_messages_max", "7", "7", |c: &Config| zmq(c).receive_messages_max),
    row!("zmq", "receive_bytes_max", "7000", "7000", |c: &Config| zmq(c).receive_bytes_max),
    row!("zmq", "handshake_timeout_seconds", "7", "7s", |c: &Config| zmq(c).handshake_timeout),
    row!("zmq", "stall_timeout_seconds", "7", "7s", |c: &Config| zmq(c).stall_timeout),
    row!("zmq", "write_timeout_seconds", "7", "7s", |c: &Config| zmq(c).write_timeout),
    row!("zmq", "bytes_per_second_min", "7", "7", |c: &Config| zmq(c).bytes_per_second_min),
    row!("storage", "site_disk", "2", "Some(1)", |c: &Config| storage(c).site.map(|(disk, _)| disk)),
    row!("storage", "site_folder", "\"www/a\"", "Some(\"www/a\")", site_folder),
    row!("storage", "cache_bytes_max", "2_000_000", "2000000", |c: &Config| storage(c).cache.bytes_max),
    row!("storage", "read_timeout_seconds", "7", "7s", |c: &Config| storage(c).cache.wait_max),
    row!("memory", "peers_bytes_max", "10_000_000", "10000000", |c: &Config| World::new(c).ledger().limit_bytes()),
    row!("memory", "service_percent_max", "25", "0.25", |c: &Config| memory_shares(c).0),
    row!("memory", "peer_percent_max", "75", "0.75", |c: &Config| memory_shares(c).1),
    row!("tasks", "tasks_max", "64", "false", |c: &Config| World::new(c).serves_at_once(100)),
    row!("sessions", "sessions_max", "100", "100", |c: &Config| sessions(c).sessions_max),
    row!("sessions", "newcomers_percent_max", "50", "0.5", |c: &Config| newcomers_share(c)),
    row!("sessions", "queue_max", "7", "7", |c: &Config| sessions(c).queue_max),
    row!("sessions", "messages_max", "7", "7", |c: &Config| sessions(c).messages_max),
    row!("sessions", "saved_bytes_max", "77", "77", |c: &Config| sessions(c).saved_bytes_max),
    row!("sessions", "carry_over", "\"http://[fd00::1]/x\"", "Some(\"[fd00::1]:80 /x\")", |c: &Config| {
        CarryOver::new(&c.sessions).map(|it| format!("{} {}", it.target, it.path))
    }),
    row!("sessions", "recorded_max", "7", "7", |c: &Config| sessions(c).recorded_max),
    row!("sessions", "idle_timeout_seconds", "7", "7s", |c: &Config| sessions(c).idle_timeout),
    row!("sessions", "end_timeout_seconds", "7", "7s", |c: &Config| sessions(c).end_timeout),
    row!("affinity", "key", "\"000102030405060708090a0b0c0d0eff\"", "Some(255)", |c: &Config| affinity(c).map(|it| it.key[15])),
    row!("affinity", "owner_lost", "\"refuse\"", "Some(Refuse)", |c: &Config| grouped(c).map(|it| it.owner_lost)),
    row!("affinity", "connect_timeout_seconds", "7", "Some(7s)", |c: &Config| grouped(c).map(|it| it.connect_timeout)),
    row!("names", "serve", "true", "true", |c: &Config| names(c).serve),
    row!("names", "servers", "[\"unix:/run/a\"]", "[\"unix:/run/a\"]", |c: &Config| names(c).servers),
    row!("names", "address", "\"10.9.0.2\"", "Some(10.9.0.2)", |c: &Config| names(c).address),
    row!("names", "lease_seconds", "7", "7s", |c: &Config| names(c).lease),
    row!("names", "services_max", "7", "7", |c: &Config| names(c).limits.services_max),
    row!("names", "holder_services_max", "7", "7", |c: &Config| names(c).limits.holder_services_max),
    row!("names", "ways", "[\"tcp\", \"shm\"]", "[Tcp, SharedMemory]", |c: &Config| ways(c).schemes),
    row!("names", "local_timeout_seconds", "7", "7s", |c: &Config| ways(c).local_timeout),
    row!("names", "remote_timeout_seconds", "7", "7s", |c: &Config| ways(c).remote_timeout),
    row!("names", "retry_seconds", "7", "7s", |c: &Config| ways(c).retry_after),
    row!("proxy", "routes", "[\"/shop a.example:9\"]", "\"502\"", |c: &Config| World::new(c).get("/shop")),
    row!("proxy", "response_timeout_seconds", "7", "7s", |c: &Config| proxied(c).response_timeout),
    row!("proxy", "trust_forwarded", "true", "true", |c: &Config| proxied(c).trusts_clients),
    row!("balance", "policy", "\"weighted\"", "Weighted", |c: &Config| balance(c).places.policy),
    row!("balance", "load_percent_max", "107", "107", |c: &Config| balance(c).places.load_percent_max),
    row!("balance", "slow_start_seconds", "7", "7s", |c: &Config| balance(c).places.slow_start),
    row!("balance", "failures_max", "7", "7", |c: &Config| balance(c).places.ejection.failures_max),
    row!("balance", "failure_percent_max", "7", "7", |c: &Config| balance(c).places.ejection.failure_percent_max),
    row!("balance", "ejection_seconds", "7", "7s", |c: &Config| balance(c).places.ejection.time_first),
    row!("balance", "ejection_max_seconds", "7", "7s", |c: &Config| balance(c).places.ejection.time_max),
    row!("balance", "ejected_percent_max", "7", "7", |c: &Config| balance(c).places.ejection.places_percent_max),
    row!("balance", "panic_percent", "7", "7", |c: &Config| balance(c).places.ejection.panic_percent),
    row!("balance", "tries_max", "7", "7", |c: &Config| balance(c).places.retries.tries_max),
    row!("balance", "retry_percent_max", "7", "7", |c: &Config| balance(c).places.retries.percent_max),
    row!("balance", "retries_per_second_min", "7", "7", |c: &Config| balance(c).places.retries.per_second_min),
    row!("balance", "hedge_percentile", "97", "Some(97)", |c: &Config| balance(c).places.hedge_percentile),
    row!("balance", "probe_interval_seconds", "7", "7s", |c: &Config| balance(c).probes.interval),
    row!("balance", "probe_timeout_seconds", "7", "7s", |c: &Config| balance(c).probe_timeout),
    row!("balance", "probe_failures_max", "7", "7", |c: &Config| balance(c).probes.failures_max),
    row!("balance", "probe_successes_min", "7", "7", |c: &Config| balance(c).probes.successes_min),
    row!("balance", "connect_timeout_seconds", "7", "7s", |c: &Config| balanced_client(c).connect_timeout),
    row!("balance", "idle_connections_max", "7", "7", |c: &Config| balanced_client(c).idle_per_target_max),
    row!("balance", "connection_age_max_seconds", "7", "7s", |c: &Config| balanced_client(c).connection_age_max),
    row!("database", "name", "\"log\"", "\"log\"", |c: &Config| database(c).name),
    row!("database", "servers", "[\"a.example:7\"]", "[\"a.example:7\"]", |c: &Config| {
        database(c).servers.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
    }),
    row!("database", "user", "\"a\"", "\"a\"", |c: &Config| database(c).user),
    row!("database", "password", "\"a\"", "Some(\"a\")", |c: &Config| database(c).password),
    row!("database", "password_file", "\"a\"", "Some(\"a\")", |c: &Config| database(c).password_file),
    row!("database", "database", "\"a\"", "Some(\"a\")", |c: &Config| database(c).database),
    row!("database", "sslmode", "\"verify-ca\"", "VerifyCa", |c: &Config| database(c).ssl_mode),
    row!("database", "authorities", "\"a\"", "Some(\"a\")", |c: &Config| database(c).authorities),
    row!("database", "server_name", "\"a\"", "Some(\"a\")", |c: &Config| database(c).server_name),
    row!("database", "target_session_attrs", "\"standby\"", "Standby", |c: &Config| database(c).options.target),
    row!("database", "methods", "[\"none\", \"md5\"]", "Methods { md5: true, cleartext: false, none: true }", |c: &Config| database(c).methods),
    row!("database", "connections_max", "7", "7", |c: &Config| database(c).pool.connections_max),
    row!("database", "waiting_max", "7", "7", |c: &Config| database(c).pool.waiting_max),
    row!("database", "wait_timeout_seconds", "7", "7s", |c: &Config| database(c).pool.wait_timeout),
    row!("database", "connect_timeout_seconds", "7", "7s", |c: &Config| database(c).options.connect_timeout),
    row!("database", "query_timeout_seconds", "7", "7s", |c: &Config| database(c).options.query_timeout),
    row!("database", "idle_timeout_seconds", "7", "7s", |c: &Config| database(c).pool.idle_timeout),
    row!("database", "connection_age_max_seconds", "7", "7s", |c: &Config| database(c).pool.lifetime_max),
    row!("database", "check_after_seconds", "7", "7s", |c: &Config| database(c).pool.check_after),
    row!("database", "statements_max", "7", "7", |c: &Config| database(c).options.statements_max),
    row!("database", "result_bytes_max", "7777", "7777", |c: &Config| database(c).options.result_bytes_max),
    // Platforms set it; what that does, the process's own tests show.
    row!("admin", "port", "9001", "true", |c: &Config| World::new(c).is_open(9001)),
    row!("admin", "token", "\"0123456789abcdef\"", "Some(\"0123456789abcdef\")", |c: &Config| {
        AdminSettings::new(&c.admin).token.map(|token| token.secret().to_owned())
    }),
    // What it does takes a client with a certificate: tests/admin.rs.
    row!("admin", "tls", "true", "true", |c: &Config| AdminSettings::new(&c.admin).tls),
    row!("admin", "client_authorities", "\"a\"", "Some(\"a\")", |c: &Config| AdminSettings::new(&c.admin).client_authorities),
    row!("admin", "client_fingerprints", "[\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff\"]", "Some(255)", |c: &Config| {
        AdminSettings::new(&c.admin).client_fingerprints.first().map(|it| it[31])
    }),
    row!("admin", "hosts", "[\"a.example\"]", "[\"a.example\"]", |c: &Config| AdminSettings::new(&c.admin).hosts),
    row!("admin", "health_on_http", "true", "\"200\"", |c: &Config| World::new(c).get("/healthz")),
    row!("log", "level", "\"warn\"", "Warn", |c: &Config| c.log.level),
    row!("log", "format", "\"json\"", "Json", |c: &Config| c.log.format),
    // What it does takes a collector: tests/syslog.rs.
    row!("log", "syslog", "\"tcp://10.0.0.9:601\"", "\"tcp://10.0.0.9:601\"", |c: &Config| c.log.syslog.as_ref().map_or_else(String::new, ToString::to_string)),
    row!("shutdown", "drain_seconds", "7", "7s", |c: &Config| World::new(c).gives_up_after()),
];

fn site(config: &Config) -> web::files::Options {
    FolderSettings::all(config, []).0.options
}

fn site_host(config: &Config) -> FolderSettings {
    let host = config.site_hosts.last().cloned().unwrap_or_default();
    let config = Config { site_hosts: vec![host], ..Config::default() };
    FolderSettings::all(&config, []).1.remove(0)
}

fn site_rule(config: &Config) -> SiteRule {
    config.site_rules.last().cloned().unwrap_or_default()
}

/// What becomes of a rule for the site's own folder.
fn rules_of(rule: SiteRule) -> std::rc::Rc<[web::files::rules::FieldRule]> {
    site(&Config { site_rules: vec![rule], ..Config::default() }).rules
}

fn relay(config: &Config) -> RelaySettings {
    RelaySettings::new(&config.relay)
}

/// There may be several of these.
fn heading(section: &str) -> String {
    if ["site_host", "site_rule", "database"].contains(&section) {
        format!("[[{section}]]")
    } else {
        format!("[{section}]")
    }
}

fn load(text: &str) -> Config {
    Config::parse("appliance.toml", text).unwrap()
}

#[test]
fn every_key_of_the_schema_has_a_row() {
    let rows: Vec<_> = ROWS.iter().map(|row| (row.section, row.name)).collect();
    assert_eq!(rows, config::keys().collect::<Vec<_>>());
}

#[test]
fn every_key_has_its_effect_and_no_other() {
    let plain = load("");
    let before: Vec<String> = ROWS.iter().map(|row| (row.seen)(&plain)).collect();
    for (at, row) in ROWS.iter().enumerate() {
        let key = format!("[{}] {}", row.section, row.name);
        let changed = load(&format!("{}\n{} = {}\n", heading(row.section), row.name, row.value));
        for (other, seen) in ROWS.iter().enumerate() {
            let after = (seen.seen)(&changed);
            if at == other {
                assert_eq!(after, row.expected, "{key}");
                assert_ne!(after, before[at], "{key}: the value is the default");
            } else {
                assert_eq!(after, before[other], "{key} changes [{}] {}", seen.section, seen.name);
            }
        }
    }
}

#[test]
fn what_a_kernels_sockets_keep_of_tcp_is_what_was_said() {
    let config = load("[tcp]\nconnections_max = 7\nlisten_backlog = 8\nkeep_alive_seconds = 10\n");
    let expected = SocketSettings {
        connections_max: 7,
        listen_backlog: 8,
        keep_alive: Some(Duration::from_secs(10)),
    };
    assert_eq!(SocketSettings::new(&config.tcp), expected);
    let never = load("[tcp]\nkeep_alive_seconds = 0\n");
    assert_eq!(SocketSettings::new(&never.tcp).keep_alive, None);
}

/// Two files make one identity, in their order.
#[test]
fn certificates_and_keys_go_together() {
    let config = load("[tls]\ncertificates = [\"a\", \"b\"]\nkeys = [\"c\", \"d\"]\n");
    let pairs = [("a", "c"), ("b", "d")].map(|(one, other)| (one.to_string(), other.to_string()));
    assert_eq!(tls(&config).identities, pairs);
}

#[test]
fn http_sends_on_to_https_where_there_is_https() {
    let world = World::new(&load("[tls]\nport = 443\nredirect = true\n"));
    assert_eq!(world.get("/page"), "308");
    let world = World::new(&load("[tls]\nredirect = true\n"));
    assert_eq!(world.get("/page"), "200");
}

/// A crate has the defaults of the file, whoever uses it without one.
#[test]
fn defaults_are_the_same_in_the_file_and_in_the_crates() {
    fn same(crate_default: impl core::fmt::Debug, of_file: impl core::fmt::Debug) {
        assert_eq!(format!("{crate_default:#?}"), format!("{of_file:#?}"));
    }
    let file = load(config::DEFAULT_TOML);
    same(net::Config::default(), stack_config(&file, 1 << 30));
    same(endpoints::http::Limits::default(), HttpSettings::new(&file.http).limits);
    same(endpoints::fastcgi::Limits::default(), fastcgi(&file));
    same(endpoints::gopher::Limits::default(), gopher(&file));
    same(endpoints::rpc::Limits::default(), rpc(&file));
    same(endpoints::pipe::ServiceLimits::default(), zmq(&file));
    same(endpoints::places::Config::default(), balance(&file).places);
    same(endpoints::places::Probes::default(), balance(&file).probes);
    same(endpoints::postgres::Options::default(), database(&file).options);
    same(endpoints::postgres::PoolConfig::default(), database(&file).pool);
    let bundle = Bundle::default();
    same(Config::default(), Config::load(&bundle, "").unwrap());
}
