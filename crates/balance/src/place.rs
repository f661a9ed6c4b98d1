//! Place: where one replica of a service is, and what is known of it.

use crate::health::Health;
use crate::latency::Latency;
use core::fmt;
use core::time::Duration;

/// Where one replica of a service is. Two places with an equal target are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<T> {
    /// What a connector is asked to reach. Consistent hashing goes by its text, which has to be the same in all programs
    /// that are to agree.
    pub target: T,
    /// Its share of the requests, in proportion to the weights of the others: from 1 to [`Place::<T>::WEIGHT_MAX`].
    pub weight: u32,
    /// It gets no new requests.
    pub is_draining: bool,
    /// While a place of a lower number is used, it gets none.
    pub priority: u16,
}

impl<T> Place<T> {
    /// The largest weight.
    pub const WEIGHT_MAX: u32 = 1000;

    /// A place with a weight. What is out of range becomes the nearest that is in it.
    pub fn new(target: T, weight: u32) -> Self {
        Self { target, weight: weight.clamp(1, Self::WEIGHT_MAX), is_draining: false, priority: 0 }
    }

    /// The same place, for when those of a lower number are not used.
    #[must_use]
    pub fn with_priority(self, priority: u16) -> Self {
        Self { priority, ..self }
    }

    /// The same place, which gets no new requests.
    #[must_use]
    pub fn draining(self) -> Self {
        Self { is_draining: true, ..self }
    }
}

/// A place of one balancer. No two ever have the same, not even one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(pub(crate) u64);

/// Whether a place is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It gets requests.
    Used,
    /// It failed, and is left out for a time.
    Ejected,
    /// Its probes say that it is ill.
    Ill,
    /// Whoever runs it asked for no new requests.
    Draining,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Used => "used",
            Self::Ejected => "ejected",
            Self::Ill => "ill",
            Self::Draining => "draining",
        })
    }
}

/// What is known of a place.
#[derive(Clone, Debug)]
pub struct PlaceInfo<'a, T> {
    /// Which place it is.
    pub id: PlaceId,
    /// As it was given.
    pub place: &'a Place<T>,
    /// Whether it is used. If too few places are, all but those that drain are used nevertheless.
    pub state: State,
    /// Requests that it has and has not answered.
    pub outstanding: u32,
    /// The smoothed time to an answer; none before the first.
    pub latency: Option<Duration>,
    /// When an ejected place is used again.
    pub ejected_until: Option<Duration>,
    /// Requests that it was given.
    pub requests: u64,
    /// Those of them that failed.
    pub failures: u64,
}

/// A place in a balancer.
#[derive(Clone, Debug)]
pub(crate) struct Member<T> {
    pub(crate) id: PlaceId,
    pub(crate) place: Place<T>,
    /// Of the target's text.
    pub(crate) hash: u64,
    pub(crate) health: Health,
    pub(crate) latency: Latency,
    pub(crate) outstanding: u32,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    /// How much it is owed, by round robin.
    pub(crate) owed: i64,
}

impl<T> Member<T> {
    /// Whether it is used.
    pub(crate) fn state(&self) -> State {
        if self.place.is_draining {
            State::Draining
        } else if self.health.ejected_until().is_some() {
            State::Ejected
        } else if self.health.is_ill() {
            State::Ill
        } else {
            State::Used
        }
    }

    /// What is known of it.
    pub(crate) fn info(&self) -> PlaceInfo<'_, T> {
        PlaceInfo {
            id: self.id,
            place: &self.place,
            state: self.state(),
            outstanding: self.outstanding,
            latency: self.latency.smoothed(),
            ejected_until: self.health.ejected_until(),
            requests: self.requests,
            failures: self.failures,
        }
    }
}
