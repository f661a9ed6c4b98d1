//! What a balancer is told.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// What a balancer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How a place is chosen. Default [`Policy::LeastOutstanding`].
    pub policy: Policy,
    /// When a place that fails is left out.
    pub ejection: Ejection,
    /// When places are asked whether they are well. Default `None`: requests alone tell.
    pub probes: Option<Probes>,
    /// How long a place that is new or returns takes to get its whole share, beginning with a tenth. Default 10 s; zero
    /// gives it all at once.
    pub slow_start: Duration,
    /// How often failed and slow requests are tried again.
    pub retries: Retries,
    /// The percentile of the latencies, from 50 to 99, after which a request that may be repeated is tried at a second
    /// place, too. Default `None`: never.
    pub hedge_percentile: Option<u8>,
    /// By [`Policy::ConsistentHash`], the part of its fair share of outstanding requests that a place may have, in per
    /// cent; beyond that a key's next place takes over (consistent hashing with bounded loads, Mirrokni, Thorup and
    /// Zadimoghaddam 2018). Default 125; at least 100.
    pub load_percent_max: u32,
}

/// How a place is chosen. All policies go by the places' weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The place with the fewest outstanding requests, each weighed by the place's latency: where the next one is expected to
    /// be done first. Chance decides among equals.
    #[default]
    LeastOutstanding,
    /// One place after the other, those of more weight more often, evenly mixed (smooth weighted round robin).
    RoundRobin,
    /// By chance.
    Weighted,
    /// The place that the request's key belongs to (rendezvous hashing, Thaler and Ravishankar 1998). A request without a
    /// key goes by [`Policy::LeastOutstanding`].
    ConsistentHash,
}

/// When a place that fails is left out, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row. Default 5.
    pub failures_max: u32,
    /// Failures among the requests of the last ten seconds, in per cent, if there were at least `requests_min`. Default 50.
    pub failure_percent_max: u32,
    /// Default 20.
    pub requests_min: u32,
    /// How long a place is left out the first time; twice as long each next time. Default 5 s.
    pub time_first: Duration,
    /// The longest time. Default 300 s.
    pub time_max: Duration,
    /// How many of the places may be left out for their failures, in per cent. Default 70: two of three, one of two, and
    /// never a lone one.
    pub places_percent_max: u32,
    /// If fewer places than this part, in per cent, are well, all are used: those that are well would be the next to fail.
    /// Default 30.
    pub panic_percent: u32,
}

/// When places are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probes {
    /// From an answer to the next question, give or take a tenth, so that not all are asked at once. Default 10 s.
    pub interval: Duration,
    /// Bad answers in a row after which a place is ill. Default 2.
    pub failures_max: u32,
    /// Good answers in a row after which it is well again. Default 2.
    pub successes_min: u32,
}

/// How often requests are tried again, as failed ones or as slow ones (hedging).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Tries of one request, the first included. Default 3.
    pub tries_max: usize,
    /// Further tries in the last ten seconds, in per cent of the requests then. Default 20: a service that fails as a whole
    /// gets a fifth more work, not three times as much.
    pub percent_max: u32,
    /// What is allowed on top of that, per second, for a service with few requests. Default 3.
    pub per_second_min: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            ejection: Ejection::default(),
            probes: None,
            slow_start: Duration::from_secs(10),
            retries: Retries::default(),
            hedge_percentile: None,
            load_percent_max: 125,
        }
    }
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures_max: 5,
            failure_percent_max: 50,
            requests_min: 20,
            time_first: Duration::from_secs(5),
            time_max: Duration::from_secs(300),
            places_percent_max: 70,
            panic_percent: 30,
        }
    }
}

impl Default for Probes {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), failures_max: 2, successes_min: 2 }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self { tries_max: 3, percent_max: 20, per_second_min: 3 }
    }
}

/// The text is no [`Policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPolicy;

/// The policies as texts.
const NAMES: [(&str, Policy); 4] = [
    ("least_outstanding", Policy::LeastOutstanding),
    ("round_robin", Policy::RoundRobin),
    ("weighted", Policy::Weighted),
    ("consistent_hash", Policy::ConsistentHash),
];

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, policy)| *policy).ok_or(UnknownPolicy)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = NAMES.iter().find(|(_, policy)| policy == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected least_outstanding, round_robin, weighted or consistent_hash")
    }
}

impl core::error::Error for UnknownPolicy {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn policies_parse_and_print() {
        for (name, policy) in NAMES {
            assert_eq!(name.parse(), Ok(policy));
            assert_eq!(policy.to_string(), name);
            assert!(UnknownPolicy.to_string().contains(name));
        }
        assert_eq!("Weighted".parse::<Policy>(), Err(UnknownPolicy));
    }
}
