//! Keys of RPC and ZeroMQ.

use super::field::{push, put, put_capability};
use super::rule::{
    FINGERPRINTS_MAX, Key, Number, Rule, SERVICES_MAX, count, key, list, seconds, text,
};
use crate::schema::is_service;
use crate::texts::{is_host_text, is_origin, is_path, is_web_path};

/// Each is compared with that of a request, one after the other.
const ORIGINS_MAX: usize = 100;

pub(super) const MESSAGES: &[Key] = &[
    key("rpc", "port", Rule::PortOrOff(|c| &mut c.rpc.port)),
    key("rpc", "secure_port", Rule::PortOrOff(|c| &mut c.rpc.secure_port)),
    text(
        "rpc",
        "websocket_path",
        "a path such as \"/rpc\", without `:` and `*`, or \"\"",
        |c, text| (text.is_empty() || is_web_path(text)) && put(&mut c.rpc.websocket_path, text),
    ),
    list(
        "rpc",
        "websocket_origins",
        "origins of pages, as \"https://app.example\"",
        ORIGINS_MAX,
        |c| c.rpc.websocket_origins.clear(),
        |c, text| is_origin(text) && push(&mut c.rpc.websocket_origins, text),
    ),
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
    text(
        "zmq",
        "websocket_path",
        "a path such as \"/zmq\", without `:` and `*`, or \"\"",
        |c, text| (text.is_empty() || is_web_path(text)) && put(&mut c.zmq.websocket_path, text),
    ),
    list(
        "zmq",
        "websocket_origins",
        "origins of pages, as \"https://app.example\"",
        ORIGINS_MAX,
        |c| c.zmq.websocket_origins.clear(),
        |c, text| is_origin(text) && push(&mut c.zmq.websocket_origins, text),
    ),
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
];
