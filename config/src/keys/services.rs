//! Keys of how services are found, and of what is passed on to them.

use super::field::{host, parsed, push, push_way};
use super::rule::{Key, Number, ROUTES_MAX, Rule, count, key, list, seconds, text};
use crate::schema::WayKind;
use crate::texts::is_place;
use alloc::string::ToString;

/// Most name servers: two or three are enough, and each is registered with.
const NAME_SERVERS_MAX: usize = 8;

pub(super) const SERVICES: &[Key] = &[
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
    list_of_routes(
        "routes, as \"/api service://api strip=true\" or \"shop.example/cart 10.9.0.2:80 10.9.0.3:80*2 policy=round_robin health=/healthz\": a host, a path or both; where to; then policy=, key= (client, path, header:NAME, cookie:NAME), strip=, health=, timeout=",
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
];

/// What is wrong with a route is told word by word.
const fn list_of_routes(allowed: &'static str) -> Key {
    let rule = Rule::List {
        allowed,
        items_max: ROUTES_MAX,
        clear: |c| c.proxy.routes.clear(),
        push: |c, text| match c.proxy.route(text) {
            Ok(route) => {
                c.proxy.routes.push(route);
                true
            }
            Err(_) => false,
        },
        refusal: |c, text| c.proxy.route(text).err().map(|bad| bad.to_string()),
    };
    key("proxy", "routes", rule)
}
