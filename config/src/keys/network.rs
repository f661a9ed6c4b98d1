//! Keys of the network: cards, TCP, and what else carries bytes.

use super::field::{file_mode, host, is_unix_path_or_none, push_address, push_gateway, put};
use super::rule::{Key, Number, Rule, buffer, count, key, list, seconds, text, vsock_port};
use crate::CongestionControl;
use crate::texts::{is_label, is_socket_path_or_none};

/// What paths of sockets are (unix(7)).
const SOCKET_PATH: &str = "a path of at most 107 bytes without spaces, control characters, quotes and backslashes, as \"/run/http.shm\", or \"\"";

/// What names a Unix-domain socket of `[unix]`.
const UNIX_PATH: &str =
    "an absolute path or \"@NAME\", of at most 107 letters, digits and /-._~+,=:@, or \"\"";

const UNIX_FILE: &str = "an absolute path, of at most 107 letters, digits and /-._~+,=:@, or \"\"";

/// Most addresses of a kind: smoltcp's interface holds a handful.
pub(crate) const ADDRESSES_MAX: usize = 4;

pub(super) const CARDS: &[Key] = &[
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
];

pub(super) const TRANSPORTS: &[Key] = &[
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
        "busy_poll_microseconds",
        count(0, 10_000, |c| Number::U32(&mut c.shared_memory.busy_poll_microseconds)),
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
];
