//! What operators see of places.

use super::Places;
use alloc::string::String;
use balance::{PlaceInfo, State};
use core::time::Duration;
use flow::Target;
use inspect::{Column, Metric, Table, Value};

/// A row of [`PLACES`].
pub struct PlaceRow {
    service: String,
    target: Target,
    state: State,
    weight: u32,
    outstanding: u32,
    latency: Option<Duration>,
    ejected_for: Option<Duration>,
    requests: u64,
    failures: u64,
}

impl PlaceRow {
    /// Requests that the place was given.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Those of them that failed.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Requests that it has not answered in full.
    pub fn outstanding(&self) -> u32 {
        self.outstanding
    }
}

/// Places of the services that requests are sent to.
pub static PLACES: Table<PlaceRow> = Table {
    name: "places",
    help: "Places of the services that requests are sent to.",
    columns: &[
        Column::text("service", "The route or service that it belongs to.", |row| {
            row.service.as_str().into()
        }),
        Column::text("target", "What it is reached by.", |row| Value::Shown(&row.target)),
        Column::text(
            "state",
            "used, ejected for its failures, ill by its probes, or draining.",
            |row| Value::Shown(&row.state),
        ),
        Column::number("weight", "Its share beside the others of the service.", |row| {
            row.weight.into()
        }),
        Column::number("outstanding", "Requests that it has not answered in full.", |row| {
            row.outstanding.into()
        }),
        Column::maybe_number("latency_us", "The smoothed time to the head of its answer.", |row| {
            row.latency.map(micros).into()
        }),
        Column::maybe_number("ejected_for_ms", "Until it is used again.", |row| {
            row.ejected_for.map(millis).into()
        }),
        Column::number("requests", "Requests that it was given.", |row| row.requests.into()),
        Column::number("failures", "Those of them that failed.", |row| row.failures.into()),
    ],
};

/// What is counted for each service.
pub static PLACE_METRICS: &[Metric<Places>] = &[
    Metric::counter("balanced_requests", "Requests to places of a service.", |places| {
        places.0.totals.requests.get()
    }),
    Metric::counter("balanced_failures", "Tries at a place of a service that failed.", |places| {
        places.0.totals.failures.get()
    }),
    Metric::counter(
        "balanced_retries",
        "Further tries, of failed and of slow requests.",
        |places| places.0.totals.further_tries.get(),
    ),
    Metric::counter(
        "balanced_retries_refused",
        "Further tries that the share of retries had no room for.",
        |places| places.0.totals.refused_tries.get(),
    ),
    Metric::counter(
        "place_ejections",
        "Times that a place was left out for its failures.",
        |places| places.0.totals.ejections.get(),
    ),
];

impl Places {
    /// Shows each place as it is now.
    pub fn visit(&self, visit: &mut dyn FnMut(&PlaceRow)) {
        let now = self.0.timers.now();
        for info in self.0.balancer.borrow().places() {
            visit(&self.row(&info, now));
        }
    }

    fn row(&self, info: &PlaceInfo<'_, Target>, now: Duration) -> PlaceRow {
        PlaceRow {
            service: self.0.name.clone(),
            target: info.place.target.clone(),
            state: info.state,
            weight: info.place.weight,
            outstanding: info.outstanding,
            latency: info.latency,
            ejected_for: info.ejected_until.map(|until| until.saturating_sub(now)),
            requests: info.requests,
            failures: info.failures,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
