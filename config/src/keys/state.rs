//! Keys of what is kept: disks, memory and sessions.

use super::field::{put, put_group_key, put_owner_lost};
use super::rule::{Key, Number, Rule, count, key, seconds, text};
use crate::schema::is_service;
use crate::texts::{is_http_address, is_path};

pub(super) const STATE: &[Key] = &[
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
        "an address as \"http://10.9.0.1:8000/sessions\", a database as \"database:main\", or none",
        |c, text| {
            let is_database = text.strip_prefix("database:").is_some_and(is_service);
            let fits = text.is_empty() || is_http_address(text) || is_database;
            fits && put(&mut c.sessions.carry_over, text)
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
];
