//! What does not go together in a scenario, whoever said it.

use super::{CONNECTIONS_MAX, Protocol, REQUESTS_MAX, Scenario, Shape};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Requests of one run at most: as many as a generator makes in an hour, and more.
const REQUESTS_OF_RUN_MAX: f64 = 1e10;

pub(super) fn faults(scenario: &Scenario) -> Vec<String> {
    let mut faults = Vec::new();
    let Scenario { place, shape, duration, timeout, connections, connection, requests, .. } =
        scenario;
    let seconds = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
    if !seconds.contains(duration) || !seconds.contains(timeout) {
        faults.push("duration and timeout are 0.001 to 86,400 seconds".into());
    }
    if !(1..=CONNECTIONS_MAX).contains(connections) || connection.half_open > CONNECTIONS_MAX {
        faults.push(format!(
            "connections are 1 to {CONNECTIONS_MAX}, half-open ones as many at most"
        ));
    }
    if requests.is_empty() || requests.len() > REQUESTS_MAX {
        faults.push(format!("{} kinds of requests; allowed: 1 to {REQUESTS_MAX}", requests.len()));
    }
    if !requests.is_empty() && requests.iter().all(|request| request.weight == 0) {
        faults.push("all requests have weight 0; allowed: at least one with more".into());
    }
    if let Shape::Open(schedule) = shape {
        let count = schedule.rate.mean() * duration.as_secs_f64();
        if !(count > 0.0 && count <= REQUESTS_OF_RUN_MAX) {
            faults.push(format!("{count} requests in all; allowed: some, at most 10,000,000,000"));
        }
    }
    if connection.pipelining == 0 || connection.abandoned_percent > 100 {
        faults.push("pipelining is at least 1, and abandoned_percent at most 100".into());
    }
    if connection.pipelining > 1 && connection.abandoned_percent > 0 {
        faults.push(
            "pipelining and abandoned requests do not go together: \
                    a reset gives up all that is under way"
                .into(),
        );
    }
    let is_plain = connection.pipelining == 1
        && !connection.cookies
        && connection.abandoned_percent == 0
        && connection.read_bytes_per_second == 0
        && connection.write_bytes_per_second == 0
        && connection.half_open == 0;
    if !place.protocol.is_http() && !is_plain {
        faults.push("in [connection], only requests_max is for protocols other than HTTP".into());
    }
    if place.protocol == Protocol::Capnp && requests.iter().any(|it| it.call.is_none()) {
        faults.push("a request of Cap'n Proto is an interface and call, which a scenario says (--scenario FILE): \
                    in [[requests]], as interface = \"0xb6a0be44b4d7d3d5\" and call = 0"
            .into());
    }
    faults
}
