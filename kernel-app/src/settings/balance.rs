//! `[balance]`: how requests are spread over the places of a service.

use config::{Balance, BalancePolicy};
use core::time::Duration;
use endpoints::http::Limits;
use endpoints::http::client::ClientConfig;
use endpoints::places::{self, Ejection, Policy, Probes, Retries};

/// What `[balance]` comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceSettings {
    /// Which place is chosen, and which is left out. Places are probed if there is something to ask them for.
    pub places: places::Config,
    /// How often they are asked then.
    pub probes: Probes,
    /// How long the answer to a probe may take.
    pub probe_timeout: Duration,
    /// How long a connection may take to come to be.
    pub connect_timeout: Duration,
    /// Idle connections that are kept to one place.
    pub idle_connections_max: usize,
    /// The age at which a connection gets no further request.
    pub connection_age_max: Duration,
}

impl BalanceSettings {
    /// From the section.
    pub fn new(section: &Balance) -> Self {
        let Balance {
            policy,
            load_percent_max,
            slow_start,
            failures_max,
            failure_percent_max,
            ejection,
            ejection_max,
            ejected_percent_max,
            panic_percent,
            tries_max,
            retry_percent_max,
            retries_per_second_min,
            hedge_percentile,
            probe_interval,
            probe_timeout,
            probe_failures_max,
            probe_successes_min,
            connect_timeout,
            idle_connections_max,
            connection_age_max,
        } = *section;
        let ejection = Ejection {
            failures_max,
            failure_percent_max,
            time_first: ejection,
            time_max: ejection_max,
            places_percent_max: ejected_percent_max,
            panic_percent,
            ..Ejection::default()
        };
        let places = places::Config {
            policy: self::policy(policy),
            ejection,
            probes: None,
            slow_start,
            retries: Retries {
                tries_max,
                percent_max: retry_percent_max,
                per_second_min: retries_per_second_min,
            },
            hedge_percentile: u8::try_from(hedge_percentile).ok().filter(|percent| *percent > 0),
            load_percent_max,
        };
        let probes = Probes {
            interval: probe_interval,
            failures_max: probe_failures_max,
            successes_min: probe_successes_min,
        };
        Self {
            places,
            probes,
            probe_timeout,
            connect_timeout,
            idle_connections_max,
            connection_age_max,
        }
    }

    /// For a client of a service with so many places, whose bodies pass as streams and may have any length.
    pub fn client(&self, response_timeout: Duration) -> ClientConfig {
        ClientConfig {
            limits: Limits { body_bytes_max: u64::MAX, response_timeout, ..Limits::default() },
            connect_timeout: self.connect_timeout,
            idle_connections_max: self.idle_connections_max.saturating_mul(PLACES_USUAL),
            idle_per_target_max: self.idle_connections_max,
            connection_age_max: self.connection_age_max,
            ..ClientConfig::default()
        }
    }
}

/// As many places of one service keep all the idle connections that they may; with more, the oldest are closed.
const PLACES_USUAL: usize = 16;

/// The balancer's policy of that name.
pub fn policy(policy: BalancePolicy) -> Policy {
    match policy {
        BalancePolicy::LeastOutstanding => Policy::LeastOutstanding,
        BalancePolicy::RoundRobin => Policy::RoundRobin,
        BalancePolicy::Weighted => Policy::Weighted,
        BalancePolicy::ConsistentHash => Policy::ConsistentHash,
    }
}
