//! Keys: the table of `appliance.toml`, that is every key, what it may hold and where it goes. The file's reader, the
//! command line and every error message work from this one table.

mod field;
mod lookup;
mod rule;

pub use lookup::keys;
pub(crate) use lookup::{find, find_named, sections};
pub(crate) use rule::{Key, Number, Rule, Value};

use crate::{
    CongestionControl,
    schema::{WayKind, is_service},
    texts::{is_host_text, is_http_address, is_label, is_path, is_place, is_socket_path_or_none},
};
use field::{
    client_certificates, file_mode, host, is_path_or_none, is_unix_path_or_none, parsed, push,
    push_address, push_gateway, push_host, push_path, push_way, put, put_capability, put_group_key,
    put_owner_lost, put_token,
};
use rule::{
    CERTIFICATES_MAX, FINGERPRINTS_MAX, HOSTS_MAX, ROUTES_MAX, SERVICES_MAX, buffer, count, key,
    list, seconds, text, vsock_port,
};

/// What lists of fingerprints hold.
const FINGERPRINTS: &str = "SHA-256 of certificates, 64 hexadecimal digits each, as `openssl x509 -fingerprint -sha256` has them";

/// What paths of sockets are (unix(7)).
const SOCKET_PATH: &str = "a path of at most 107 bytes without spaces, control characters, quotes and backslashes, as \"/run/http.shm\", or \"\"";

/// What names a Unix-domain socket of `[unix]`.
const UNIX_PATH: &str =
    "an absolute path or \"@NAME\", of at most 107 letters, digits and /-._~+,=:@, or \"\"";
const UNIX_FILE: &str = "an absolute path, of at most 107 letters, digits and /-._~+,=:@, or \"\"";

/// Most name servers: two or three are enough, and each is registered with.
const NAME_SERVERS_MAX: usize = 8;

/// Most addresses of a kind: smoltcp's interface holds a handful.
pub(crate) const ADDRESSES_MAX: usize = 4;

pub(crate) static KEYS: &[Key] = &[
    key("network", "dhcp", Rule::Flag(|c| &mut c.network.dhcp)),
    key("network", "slaac", Rule::Flag(|c| &mut c.network.slaac)),
    list(
        "network",
        "addresses",
        "addresses with a prefix length, each once, as \"10.9.0.2/24\" or \"fd00::2/64\"",
        ADDRESSES_MAX,
        |c| c.network.addresses.clear(),
        |c, text| push_address(&mut c.network.addresses, text),
    ),
    list(
        "network",
        "gateways",
        "addresses of routers, one per family, as \"10.9.0.1\"",
        2,
        |c| c.network.gateways.clear(),
        |c, text| push_gateway(&mut c.network.gateways, text),
    ),
    list(
        "network",
        "dns",
        "addresses of name servers, as \"9.9.9.9\"",
        3,
        |c| c.network.dns.clear(),
        |c, text| host(text).map(|address| c.network.dns.push(address)).is_some(),
    ),
    key("network", "mtu_bytes", count(576, 9000, |c| Number::Usize(&mut c.network.mtu_bytes))),
    text("network", "hostname", "1 to 63 letters, digits and inner hyphens", |c, text| {
        is_label(text) && put(&mut c.network.hostname, text)
    }),
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
    key(
        "tcp",
        "connections_max",
        count(1, 1_000_000, |c| Number::Usize(&mut c.tcp.connections_max)),
    ),
    key("tcp", "listen_backlog", count(1, 65_536, |c| Number::Usize(&mut c.tcp.listen_backlog))),
    key("tcp", "half_open_max", count(16, 1 << 20, |c| Number::Usize(&mut c.tcp.half_open_max))),
    key(
        "tcp",
        "receive_buffer_max_bytes",
        buffer(|c| Number::Usize(&mut c.tcp.receive_buffer_max_bytes)),
    ),
    key(
        "tcp",
        "send_buffer_max_bytes",
        buffer(|c| Number::Usize(&mut c.tcp.send_buffer_max_bytes)),
    ),
    key(
        "tcp",
        "buffers_max_bytes",
        count(0, 1 << 40, |c| Number::Usize(&mut c.tcp.buffers_max_bytes)),
    ),
    key("tcp", "time_wait_seconds", seconds(1, 240, |c| &mut c.tcp.time_wait)),
    key("tcp", "time_wait_max", count(0, 1 << 20, |c| Number::Usize(&mut c.tcp.time_wait_max))),
    key("tcp", "user_timeout_seconds", seconds(1, 3600, |c| &mut c.tcp.user_timeout)),
    key("tcp", "keep_alive_seconds", seconds(0, 86_400, |c| &mut c.tcp.keep_alive)),
    text("tcp", "congestion_control", "\"cubic\", \"reno\", \"bbr\" or \"off\"", |c, text| {
        CongestionControl::named(text).map(|cc| c.tcp.congestion_control = cc).is_some()
    }),
    key("vsock", "http_port", vsock_port(|c| Number::U32(&mut c.vsock.http_port))),
    key("vsock", "rpc_port", vsock_port(|c| Number::U32(&mut c.vsock.rpc_port))),
    key("vsock", "admin_port", vsock_port(|c| Number::U32(&mut c.vsock.admin_port))),
    key(
        "vsock",
        "connections_max",
        count(1, 4096, |c| Number::Usize(&mut c.vsock.connections_max)),
    ),
    key("vsock", "buffer_bytes", count(4096, 16 << 20, |c| Number::U32(&mut c.vsock.buffer_bytes))),
    text("shared_memory", "http_path", SOCKET_PATH, |c, text| {
        is_socket_path_or_none(text) && put(&mut c.shared_memory.http_path, text)
    }),
    text("shared_memory", "rpc_path", SOCKET_PATH, |c, text| {
        is_socket_path_or_none(text) && put(&mut c.shared_memory.rpc_path, text)
    }),
    text("shared_memory", "zmq_path", SOCKET_PATH, |c, text| {
        is_socket_path_or_none(text) && put(&mut c.shared_memory.zmq_path, text)
    }),
    key(
        "shared_memory",
        "connections_max",
        count(1, 4096, |c| Number::Usize(&mut c.shared_memory.connections_max)),
    ),
    key(
        "shared_memory",
        "ring_bytes",
        count(4096, 1 << 20, |c| Number::Usize(&mut c.shared_memory.ring_bytes)),
    ),
    key(
        "shared_memory",
        "connect_timeout_seconds",
        seconds(1, 300, |c| &mut c.shared_memory.connect_timeout),
    ),
    text("unix", "http", UNIX_PATH, |c, text| {
        is_unix_path_or_none(text) && put(&mut c.unix.http, text)
    }),
    text("unix", "fastcgi", UNIX_PATH, |c, text| {
        is_unix_path_or_none(text) && put(&mut c.unix.fastcgi, text)
    }),
    text("unix", "rpc", UNIX_PATH, |c, text| {
        is_unix_path_or_none(text) && put(&mut c.unix.rpc, text)
    }),
    // References name it.
    text("unix", "secure_rpc", UNIX_FILE, |c, text| {
        is_unix_path_or_none(text) && !text.starts_with('@') && put(&mut c.unix.secure_rpc, text)
    }),
    text("unix", "zmq", UNIX_PATH, |c, text| {
        is_unix_path_or_none(text) && put(&mut c.unix.zmq, text)
    }),
    text("unix", "admin", UNIX_PATH, |c, text| {
        is_unix_path_or_none(text) && put(&mut c.unix.admin, text)
    }),
    text("unix", "mode", "three octal digits after a zero, as \"0660\"", |c, text| {
        file_mode(text).map(|mode| c.unix.mode = mode).is_some()
    }),
    key("rpc", "port", Rule::PortOrOff(|c| &mut c.rpc.port)),
    key("rpc", "secure_port", Rule::PortOrOff(|c| &mut c.rpc.secure_port)),
    text("rpc", "key", "a file of the bundle, as \"rpc/key.pem\"", |c, text| {
        is_path(text) && put(&mut c.rpc.key, text)
    }),
    text("rpc", "host", "a name or an address, as \"aqueduct.example\", or \"\"", |c, text| {
        (text.is_empty() || is_host_text(text)) && put(&mut c.rpc.host, text)
    }),
    list(
        "rpc",
        "strangers",
        "names of services, or \"*\" for all",
        SERVICES_MAX,
        |c| c.rpc.strangers.clear(),
        |c, text| (text == "*" || is_service(text)) && push(&mut c.rpc.strangers, text),
    ),
    list(
        "rpc",
        "peers",
        "vats and what each may have, as \"sha-256:FINGERPRINT admin calculator\", or \"*\" for all",
        FINGERPRINTS_MAX,
        |c| c.rpc.peers.clear(),
        |c, text| text.parse().map(|it| c.rpc.peers.push(it)).is_ok(),
    ),
    list(
        "rpc",
        "epochs",
        "services and numbers, as \"admin 2\"",
        SERVICES_MAX,
        |c| c.rpc.epochs.clear(),
        |c, text| text.parse().map(|it| c.rpc.epochs.push(it)).is_ok(),
    ),
    key("rpc", "log_references", Rule::Flag(|c| &mut c.rpc.log_references)),
    key(
        "rpc",
        "message_words_max",
        count(1024, 64 << 20, |c| Number::U32(&mut c.rpc.message_words_max)),
    ),
    key("rpc", "segments_max", count(1, 4096, |c| Number::U32(&mut c.rpc.segments_max))),
    key(
        "rpc",
        "traversal_words_max",
        count(1024, 1 << 32, |c| Number::Usize(&mut c.rpc.traversal_words_max)),
    ),
    key("rpc", "nesting_max", count(8, 128, |c| Number::U32(&mut c.rpc.nesting_max))),
    key("rpc", "message_caps_max", count(1, 1 << 20, |c| Number::U32(&mut c.rpc.message_caps_max))),
    key("rpc", "path_fields_max", count(1, 1024, |c| Number::U32(&mut c.rpc.path_fields_max))),
    key("rpc", "parts_max", count(1, 65_536, |c| Number::Usize(&mut c.rpc.parts_max))),
    key("rpc", "questions_max", count(1, 1 << 20, |c| Number::Usize(&mut c.rpc.questions_max))),
    key("rpc", "answers_max", count(1, 1 << 20, |c| Number::Usize(&mut c.rpc.answers_max))),
    key("rpc", "exports_max", count(1, 1 << 20, |c| Number::Usize(&mut c.rpc.exports_max))),
    key("rpc", "imports_max", count(1, 1 << 20, |c| Number::Usize(&mut c.rpc.imports_max))),
    key("rpc", "embargoes_max", count(1, 1 << 20, |c| Number::Usize(&mut c.rpc.embargoes_max))),
    key(
        "rpc",
        "call_bytes_max",
        count(65_536, 1 << 32, |c| Number::Usize(&mut c.rpc.call_bytes_max)),
    ),
    key(
        "rpc",
        "unsent_bytes_high",
        count(4096, 1 << 32, |c| Number::Usize(&mut c.rpc.unsent_bytes_high)),
    ),
    key(
        "rpc",
        "unsent_bytes_max",
        count(65_536, 1 << 32, |c| Number::Usize(&mut c.rpc.unsent_bytes_max)),
    ),
    key(
        "rpc",
        "reason_bytes_max",
        count(64, 65_536, |c| Number::Usize(&mut c.rpc.reason_bytes_max)),
    ),
    key("rpc", "stall_timeout_seconds", seconds(1, 3600, |c| &mut c.rpc.stall_timeout)),
    key(
        "rpc",
        "bytes_per_second_min",
        count(0, 1 << 20, |c| Number::U32(&mut c.rpc.bytes_per_second_min)),
    ),
    key(
        "capabilities",
        "NAME",
        Rule::Named {
            allowed: "under a name of letters, digits, `-` and `_`, given once, a reference as \"capnp://sha-256:FINGERPRINT@HOST:PORT/TOKEN\"",
            items_max: SERVICES_MAX,
            put: put_capability,
        },
    ),
    text("conf", "from", "a name of [capabilities], or \"\"", |c, text| {
        (text.is_empty() || is_service(text)) && put(&mut c.conf.from, text)
    }),
    key("conf", "settings", Rule::Flag(|c| &mut c.conf.settings)),
    key(
        "conf",
        "site_bytes_max",
        count(4096, 1 << 40, |c| Number::Usize(&mut c.conf.site_bytes_max)),
    ),
    list(
        "relay",
        "listen_ports",
        "ports of this machine, as \"8081\" or \"8000-8099\"",
        SERVICES_MAX,
        |c| c.relay.listen_ports.clear(),
        |c, text| text.parse().map(|it| c.relay.listen_ports.push(it)).is_ok(),
    ),
    list(
        "relay",
        "connect_targets",
        "places as HOST:PORT, where HOST is a name, an address, a network as 10.0.0.0/8 or [fd00::/8], or *, and PORT a number or *",
        SERVICES_MAX,
        |c| c.relay.connect_targets.clear(),
        |c, text| text.parse().map(|it| c.relay.connect_targets.push(it)).is_ok(),
    ),
    key(
        "relay",
        "connections_max",
        count(1, 65_536, |c| Number::Usize(&mut c.relay.connections_max)),
    ),
    text("relay", "through", "a name of [capabilities], or \"\"", |c, text| {
        (text.is_empty() || is_service(text)) && put(&mut c.relay.through, text)
    }),
    key("relay", "http_port", Rule::PortOrOff(|c| &mut c.relay.http_port)),
    key("zmq", "port", Rule::PortOrOff(|c| &mut c.zmq.port)),
    key(
        "zmq",
        "message_bytes_max",
        count(1024, 1 << 30, |c| Number::Usize(&mut c.zmq.message_bytes_max)),
    ),
    key(
        "zmq",
        "unfinished_bytes_max",
        count(1024, 1 << 32, |c| Number::Usize(&mut c.zmq.unfinished_bytes_max)),
    ),
    key("zmq", "parts_max", count(4, 65_536, |c| Number::Usize(&mut c.zmq.parts_max))),
    key(
        "zmq",
        "command_bytes_max",
        count(512, 1 << 20, |c| Number::U64(&mut c.zmq.command_bytes_max)),
    ),
    key("zmq", "nesting_max", count(1, 128, |c| Number::Usize(&mut c.zmq.nesting_max))),
    key(
        "zmq",
        "expansion_ratio_max",
        count(1, 1032, |c| Number::U64(&mut c.zmq.expansion_ratio_max)),
    ),
    key(
        "zmq",
        "expansion_free_bytes",
        count(0, 1 << 30, |c| Number::U64(&mut c.zmq.expansion_free_bytes)),
    ),
    key("zmq", "peers_max", count(1, 1_000_000, |c| Number::Usize(&mut c.zmq.peers_max))),
    key("zmq", "requests_max", count(1, 65_536, |c| Number::Usize(&mut c.zmq.requests_max))),
    key(
        "zmq",
        "send_messages_max",
        count(1, 1 << 20, |c| Number::Usize(&mut c.zmq.send_messages_max)),
    ),
    key(
        "zmq",
        "send_bytes_max",
        count(1024, 1 << 30, |c| Number::Usize(&mut c.zmq.send_bytes_max)),
    ),
    key(
        "zmq",
        "receive_messages_max",
        count(1, 1 << 20, |c| Number::Usize(&mut c.zmq.receive_messages_max)),
    ),
    key(
        "zmq",
        "receive_bytes_max",
        count(1024, 1 << 30, |c| Number::Usize(&mut c.zmq.receive_bytes_max)),
    ),
    key("zmq", "handshake_timeout_seconds", seconds(1, 3600, |c| &mut c.zmq.handshake_timeout)),
    key("zmq", "stall_timeout_seconds", seconds(1, 3600, |c| &mut c.zmq.stall_timeout)),
    key("zmq", "write_timeout_seconds", seconds(1, 3600, |c| &mut c.zmq.write_timeout)),
    key(
        "zmq",
        "bytes_per_second_min",
        count(0, 1 << 20, |c| Number::U32(&mut c.zmq.bytes_per_second_min)),
    ),
    key("storage", "site_disk", count(0, 64, |c| Number::U32(&mut c.storage.site_disk))),
    text(
        "storage",
        "site_folder",
        "a path inside the disk, as \"www/site\", or none for all of it",
        |c, text| (text.is_empty() || is_path(text)) && put(&mut c.storage.site_folder, text),
    ),
    key(
        "storage",
        "cache_bytes_max",
        count(0, 1 << 40, |c| Number::Usize(&mut c.storage.cache_bytes_max)),
    ),
    key("storage", "read_timeout_seconds", seconds(1, 3600, |c| &mut c.storage.read_timeout)),
    key(
        "memory",
        "peers_bytes_max",
        count(0, 1 << 40, |c| Number::Usize(&mut c.memory.peers_bytes_max)),
    ),
    key(
        "memory",
        "service_percent_max",
        count(1, 100, |c| Number::Usize(&mut c.memory.service_percent_max)),
    ),
    key(
        "memory",
        "peer_percent_max",
        count(1, 100, |c| Number::Usize(&mut c.memory.peer_percent_max)),
    ),
    key("tasks", "tasks_max", count(64, 1 << 20, |c| Number::Usize(&mut c.tasks.tasks_max))),
    key(
        "sessions",
        "sessions_max",
        count(0, 1 << 24, |c| Number::Usize(&mut c.sessions.sessions_max)),
    ),
    key(
        "sessions",
        "newcomers_percent_max",
        count(1, 100, |c| Number::Usize(&mut c.sessions.newcomers_percent_max)),
    ),
    key("sessions", "queue_max", count(1, 1024, |c| Number::Usize(&mut c.sessions.queue_max))),
    key(
        "sessions",
        "messages_max",
        count(1, 65_536, |c| Number::U32(&mut c.sessions.messages_max)),
    ),
    key(
        "sessions",
        "saved_bytes_max",
        count(16, 1 << 20, |c| Number::Usize(&mut c.sessions.saved_bytes_max)),
    ),
    text(
        "sessions",
        "carry_over",
        "an address as \"http://10.9.0.1:8000/sessions\", or none",
        |c, text| {
            (text.is_empty() || is_http_address(text)) && put(&mut c.sessions.carry_over, text)
        },
    ),
    key("sessions", "recorded_max", count(0, 256, |c| Number::Usize(&mut c.sessions.recorded_max))),
    key("sessions", "idle_timeout_seconds", seconds(1, 1 << 25, |c| &mut c.sessions.idle_timeout)),
    key("sessions", "end_timeout_seconds", seconds(0, 86_400, |c| &mut c.sessions.end_timeout)),
    key(
        "affinity",
        "key",
        Rule::Text { allowed: "32 hexadecimal digits, or none", set: put_group_key },
    ),
    key(
        "affinity",
        "owner_lost",
        Rule::Text { allowed: "\"begin\" or \"refuse\"", set: put_owner_lost },
    ),
    key("affinity", "connect_timeout_seconds", seconds(1, 60, |c| &mut c.affinity.connect_timeout)),
    key("names", "serve", Rule::Flag(|c| &mut c.names.serve)),
    list(
        "names",
        "servers",
        "references, targets and names of [capabilities], as \"capnp://sha-256:FINGERPRINT@10.9.0.3:7001\", \"unix:/run/names.sock\" or \"capability:keeper\"",
        NAME_SERVERS_MAX,
        |c| c.names.servers.clear(),
        |c, text| is_place(text) && push(&mut c.names.servers, text),
    ),
    text(
        "names",
        "address",
        "an address that others reach, as \"10.9.0.2\", or \"\"",
        |c, text| {
            c.names.address = host(text);
            c.names.address.is_some() || text.is_empty()
        },
    ),
    key("names", "lease_seconds", seconds(3, 300, |c| &mut c.names.lease)),
    key("names", "services_max", count(1, 4096, |c| Number::Usize(&mut c.names.services_max))),
    key(
        "names",
        "holder_services_max",
        count(1, 4096, |c| Number::Usize(&mut c.names.holder_services_max)),
    ),
    list(
        "names",
        "ways",
        "\"memory\", \"shm\", \"unix\", \"vsock\", \"tcp\" and \"tls\", each once",
        WayKind::ALL.len(),
        |c| c.names.ways.clear(),
        |c, text| push_way(&mut c.names.ways, text),
    ),
    key("names", "local_timeout_seconds", seconds(1, 60, |c| &mut c.names.local_timeout)),
    key("names", "remote_timeout_seconds", seconds(1, 300, |c| &mut c.names.remote_timeout)),
    key("names", "retry_seconds", seconds(0, 3600, |c| &mut c.names.retry)),
    list(
        "proxy",
        "routes",
        "routes, as \"/api service://api strip=true\" or \"shop.example/cart 10.9.0.2:80 10.9.0.3:80*2 policy=round_robin health=/healthz\": a host, a path or both; where to; then policy=, key= (client, path, header:NAME, cookie:NAME), strip=, health=, timeout=",
        ROUTES_MAX,
        |c| c.proxy.routes.clear(),
        |c, text| parsed(text).map(|route| c.proxy.routes.push(route)).is_some(),
    ),
    key("proxy", "response_timeout_seconds", seconds(1, 3600, |c| &mut c.proxy.response_timeout)),
    key("proxy", "trust_forwarded", Rule::Flag(|c| &mut c.proxy.trust_forwarded)),
    text(
        "balance",
        "policy",
        "\"least_outstanding\", \"round_robin\", \"weighted\" or \"consistent_hash\"",
        |c, text| parsed(text).map(|policy| c.balance.policy = policy).is_some(),
    ),
    key(
        "balance",
        "load_percent_max",
        count(100, 1000, |c| Number::U32(&mut c.balance.load_percent_max)),
    ),
    key("balance", "slow_start_seconds", seconds(0, 3600, |c| &mut c.balance.slow_start)),
    key("balance", "failures_max", count(1, 1000, |c| Number::U32(&mut c.balance.failures_max))),
    key(
        "balance",
        "failure_percent_max",
        count(1, 100, |c| Number::U32(&mut c.balance.failure_percent_max)),
    ),
    key("balance", "ejection_seconds", seconds(1, 3600, |c| &mut c.balance.ejection)),
    key("balance", "ejection_max_seconds", seconds(1, 86_400, |c| &mut c.balance.ejection_max)),
    key(
        "balance",
        "ejected_percent_max",
        count(0, 100, |c| Number::U32(&mut c.balance.ejected_percent_max)),
    ),
    key("balance", "panic_percent", count(0, 100, |c| Number::U32(&mut c.balance.panic_percent))),
    key("balance", "tries_max", count(1, 10, |c| Number::Usize(&mut c.balance.tries_max))),
    key(
        "balance",
        "retry_percent_max",
        count(0, 100, |c| Number::U32(&mut c.balance.retry_percent_max)),
    ),
    key(
        "balance",
        "retries_per_second_min",
        count(0, 1000, |c| Number::U32(&mut c.balance.retries_per_second_min)),
    ),
    key(
        "balance",
        "hedge_percentile",
        count(0, 99, |c| Number::U32(&mut c.balance.hedge_percentile)),
    ),
    key("balance", "probe_interval_seconds", seconds(1, 3600, |c| &mut c.balance.probe_interval)),
    key("balance", "probe_timeout_seconds", seconds(1, 60, |c| &mut c.balance.probe_timeout)),
    key(
        "balance",
        "probe_failures_max",
        count(1, 100, |c| Number::U32(&mut c.balance.probe_failures_max)),
    ),
    key(
        "balance",
        "probe_successes_min",
        count(1, 100, |c| Number::U32(&mut c.balance.probe_successes_min)),
    ),
    key("balance", "connect_timeout_seconds", seconds(1, 60, |c| &mut c.balance.connect_timeout)),
    key(
        "balance",
        "idle_connections_max",
        count(0, 1024, |c| Number::Usize(&mut c.balance.idle_connections_max)),
    ),
    key(
        "balance",
        "connection_age_max_seconds",
        seconds(1, 86_400, |c| &mut c.balance.connection_age_max),
    ),
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
