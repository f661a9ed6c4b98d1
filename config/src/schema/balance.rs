//! `[balance]`: how requests are spread over the places of a service.

use core::{fmt, str::FromStr, time::Duration};

/// `[balance]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// How a place is chosen. Default by the fewest outstanding requests, which needs to know nothing of the places.
    pub policy: BalancePolicy,
    /// By consistent hash, what part of its fair share a place may have, in per cent. Default 125.
    pub load_percent_max: u32,
    /// How long a place that is new or returns takes to get its whole share. Default 10 s.
    pub slow_start: Duration,
    /// Failures in a row after which a place is left out. Default 5.
    pub failures_max: u32,
    /// Part of the last ten seconds' requests that may fail, in per cent, if there were at least 20. Default 50.
    pub failure_percent_max: u32,
    /// How long a place is left out the first time. Default 5 s.
    pub ejection: Duration,
    /// The longest time. Default 300 s.
    pub ejection_max: Duration,
    /// How many of the places may be left out, in per cent. Default 70: two of three, one of two.
    pub ejected_percent_max: u32,
    /// If fewer than this part of the places is well, in per cent, all are used. Default 30.
    pub panic_percent: u32,
    /// Tries of one request. Default 3.
    pub tries_max: usize,
    /// Further tries, in per cent of the requests. Default 20.
    pub retry_percent_max: u32,
    /// Further tries per second that are allowed on top. Default 3.
    pub retries_per_second_min: u32,
    /// The percentile of the latencies after which a request is tried at a second place, too; zero is never. Default zero:
    /// some services do not like to be asked twice.
    pub hedge_percentile: u32,
    /// Between two probes of a place. Default 10 s.
    pub probe_interval: Duration,
    /// How long the answer to a probe may take. Default 2 s.
    pub probe_timeout: Duration,
    /// Bad answers in a row after which a place is ill. Default 2.
    pub probe_failures_max: u32,
    /// Good answers in a row after which it is well again. Default 2.
    pub probe_successes_min: u32,
    /// How long a connection may take to come to be. Default 2 s: another place may be there.
    pub connect_timeout: Duration,
    /// Idle connections that are kept to one place. Default 16.
    pub idle_connections_max: usize,
    /// The age at which a connection gets no further request. Default 1 h.
    pub connection_age_max: Duration,
}

impl Default for Balance {
    fn default() -> Self {
        Self {
            policy: BalancePolicy::LeastOutstanding,
            load_percent_max: 125,
            slow_start: Duration::from_secs(10),
            failures_max: 5,
            failure_percent_max: 50,
            ejection: Duration::from_secs(5),
            ejection_max: Duration::from_secs(300),
            ejected_percent_max: 70,
            panic_percent: 30,
            tries_max: 3,
            retry_percent_max: 20,
            retries_per_second_min: 3,
            hedge_percentile: 0,
            probe_interval: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(2),
            probe_failures_max: 2,
            probe_successes_min: 2,
            connect_timeout: Duration::from_secs(2),
            idle_connections_max: 16,
            connection_age_max: Duration::from_secs(3600),
        }
    }
}

/// How a place is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalancePolicy {
    /// The fewest outstanding requests, weighed by latency.
    LeastOutstanding,
    /// One after the other.
    RoundRobin,
    /// By chance, by weight.
    Weighted,
    /// The place that a key belongs to.
    ConsistentHash,
}

const NAMES: [(&str, BalancePolicy); 4] = [
    ("least_outstanding", BalancePolicy::LeastOutstanding),
    ("round_robin", BalancePolicy::RoundRobin),
    ("weighted", BalancePolicy::Weighted),
    ("consistent_hash", BalancePolicy::ConsistentHash),
];

impl FromStr for BalancePolicy {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        NAMES.iter().find(|(name, _)| *name == text).map(|(_, policy)| *policy).ok_or(())
    }
}

/// As the configuration has it.
impl fmt::Display for BalancePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, policy)| policy == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}
