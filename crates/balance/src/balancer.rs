//! Balancer: the places of one service, and the requests that they have.

use crate::budget::Budget;
use crate::choice::{self, Candidate};
use crate::config::{Config, Policy};
use crate::health::Health;
use crate::latency::Latency;
use crate::place::{Member, Place, PlaceId, PlaceInfo, State};
use crate::quantile::Quantile;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt::{self, Display, Write};
use core::hash::Hasher;
use core::time::Duration;
use siphasher::sip::SipHasher13;

/// Which of several places gets the next request. `T` is what a place is reached by.
#[derive(Clone, Debug)]
pub struct Balancer<T> {
    config: Config,
    members: Vec<Member<T>>,
    next_id: u64,
    budget: Budget,
    latencies: Quantile,
    events: VecDeque<Event<T>>,
}

/// A request's right to go to a place, to be given back by [`Balancer::finish`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the place is taken for busy until it is given back"]
pub struct Ticket<T> {
    id: PlaceId,
    target: T,
    started: Duration,
    answered: Option<Duration>,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The place answered.
    Success,
    /// The place could not be reached, or failed to answer. What is the request's own fault is none of the place's.
    Failure,
    /// Nobody waits for the answer any more. It says nothing of the place's health.
    Cancelled,
}

/// What came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// The place is to be asked whether it is well, and the answer told by [`Balancer::handle_probe`].
    Probe(PlaceId, T),
    /// A place is left out for so long.
    Ejected(T, Duration),
    /// It is used again.
    Returned(T),
    /// By its probes a place is ill, or well again.
    Probed {
        /// The place.
        target: T,
        /// Whether it is well.
        is_well: bool,
    },
}

/// Why a request can go nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// There is no place.
    None,
    /// All places drain.
    Draining,
}

/// Why a request is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAgain {
    /// It was tried as often as is allowed.
    Tries,
    /// There is no other place.
    NoOther,
    /// Too many of the last requests were tried again.
    Budget,
}

impl Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "nobody offers the service",
            Self::Draining => "whoever offers the service takes no new requests",
        })
    }
}

impl core::error::Error for NoPlace {}

impl<T> Ticket<T> {
    /// Which place it is for.
    pub fn id(&self) -> PlaceId {
        self.id
    }

    /// What that place is reached by.
    pub fn target(&self) -> &T {
        &self.target
    }

    /// The place has begun to answer: what follows, and how quickly it is taken, is none of its latency.
    pub fn note_answer(&mut self, now: Duration) {
        self.answered.get_or_insert(now);
    }
}

/// Most places of a service; those beyond are not used.
const PLACES_MAX: usize = 1000;

impl<T: Clone + Eq + Display> Balancer<T> {
    /// A balancer without places.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            members: Vec::new(),
            next_id: 0,
            budget: Budget::default(),
            latencies: Quantile::default(),
            events: VecDeque::new(),
        }
    }

    /// Says which places there are. What is known of those that were there already stays. At most 1,000 are used.
    pub fn set_places(&mut self, now: Duration, places: &[Place<T>]) {
        let mut before = core::mem::take(&mut self.members);
        for place in places.iter().take(PLACES_MAX) {
            if self.members.iter().any(|member| member.place.target == place.target) {
                continue;
            }
            let known = before.iter().position(|member| member.place.target == place.target);
            let mut member = match known {
                Some(index) => before.swap_remove(index),
                None => self.newcomer(now, place),
            };
            let (is_draining, priority) = (place.is_draining, place.priority);
            let place = Place::new(place.target.clone(), place.weight);
            member.place = Place { is_draining, priority, ..place };
            self.members.push(member);
        }
    }

    /// The place for a new request. `random` is any random word. `key` is a hash of what requests have in common that are to
    /// go to the same place, for [`Policy::ConsistentHash`].
    ///
    /// # Errors
    /// No place may get any.
    pub fn choose(
        &mut self,
        now: Duration,
        random: u64,
        key: Option<u64>,
    ) -> Result<Ticket<T>, NoPlace> {
        let Some(index) = self.pick(now, random, key, &[]) else {
            return Err(if self.members.is_empty() { NoPlace::None } else { NoPlace::Draining });
        };
        self.budget.first(now);
        Ok(self.begin(now, index))
    }

    /// Another place for a request that failed at those of `tried`, one for each try, or is slow there. Only the caller knows
    /// whether it may be repeated at all.
    ///
    /// # Errors
    /// It is to be left at the tries that it had.
    pub fn choose_again(
        &mut self,
        now: Duration,
        random: u64,
        key: Option<u64>,
        tried: &[PlaceId],
    ) -> Result<Ticket<T>, NotAgain> {
        self.check_tries(tried)?;
        let index = self.pick(now, random, key, tried).ok_or(NotAgain::NoOther)?;
        self.take_try(now)?;
        Ok(self.begin(now, index))
    }

    /// Takes a further try out of the budget for a request that was tried at those of `tried`, and goes to the last of them
    /// again: what failed was not the place. It keeps its ticket.
    ///
    /// # Errors
    /// It is to be left at the tries that it had.
    pub fn repeat(&mut self, now: Duration, tried: &[PlaceId]) -> Result<(), NotAgain> {
        self.check_tries(tried)?;
        self.take_try(now)
    }

    fn check_tries(&self, tried: &[PlaceId]) -> Result<(), NotAgain> {
        if tried.len() < self.config.retries.tries_max { Ok(()) } else { Err(NotAgain::Tries) }
    }

    fn take_try(&mut self, now: Duration) -> Result<(), NotAgain> {
        let has_room = self.budget.take(now, &self.config.retries);
        if has_room { Ok(()) } else { Err(NotAgain::Budget) }
    }

    /// How long a request that may be repeated is waited for before it is sent to a second place, too.
    pub fn hedge_after(&mut self, now: Duration) -> Option<Duration> {
        let percentile = self.config.hedge_percentile?;
        if self.members.len() < 2 {
            return None;
        }
        self.latencies.percentile(now, percentile)
    }

    /// Says what came of a request.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is given back once")]
    pub fn finish(&mut self, now: Duration, ticket: Ticket<T>, outcome: Outcome) {
        let Ticket { id, target: _, started, answered } = ticket;
        let taken = answered.unwrap_or(now).saturating_sub(started);
        if outcome == Outcome::Success {
            self.latencies.observe(now, taken);
        }
        // A place that is gone meanwhile.
        let Some(index) = self.index(id) else { return };
        let member = &mut self.members[index];
        member.outstanding -= 1;
        match outcome {
            Outcome::Cancelled => member.latency.observe_at_least(now, taken),
            Outcome::Success => {
                member.latency.observe(now, taken);
                member.health.success(now, started);
            }
            Outcome::Failure => {
                member.failures += 1;
                member.latency.observe_failure(now, taken);
                let rules = &self.config.ejection;
                if member.health.failure(now, started, rules) && self.has_room_to_eject() {
                    self.eject(now, index);
                }
            }
        }
    }

    /// Answers [`Event::Probe`]: a place is well, or it is not, or did not say so in time.
    pub fn handle_probe(&mut self, now: Duration, random: u64, id: PlaceId, is_well: bool) {
        let (Some(index), Some(probes)) = (self.index(id), &self.config.probes) else { return };
        let member = &mut self.members[index];
        if member.health.probed(now, random, is_well, probes) {
            let target = member.place.target.clone();
            self.events.push_back(Event::Probed { target, is_well });
        }
    }

    /// Takes ejected places back, and asks for probes.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.take_back(now);
        if self.config.probes.is_none() {
            return;
        }
        for member in &mut self.members {
            if member.health.take_probe(now) {
                self.events.push_back(Event::Probe(member.id, member.place.target.clone()));
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        let probes = self.config.probes.as_ref();
        self.members.iter().filter_map(|member| member.health.next_deadline(probes)).min()
    }

    /// What came about, in order. To be asked after each call that changes something.
    pub fn poll_event(&mut self) -> Option<Event<T>> {
        self.events.pop_front()
    }

    /// What is known of each place.
    pub fn places(&self) -> impl Iterator<Item = PlaceInfo<'_, T>> {
        self.members.iter().map(Member::info)
    }

    fn newcomer(&mut self, now: Duration, place: &Place<T>) -> Member<T> {
        self.next_id += 1;
        Member {
            id: PlaceId(self.next_id),
            place: place.clone(),
            hash: hash(&place.target),
            health: Health::new(now),
            latency: Latency::default(),
            outstanding: 0,
            requests: 0,
            failures: 0,
            owed: 0,
        }
    }

    fn index(&self, id: PlaceId) -> Option<usize> {
        self.members.iter().position(|member| member.id == id)
    }

    fn begin(&mut self, now: Duration, index: usize) -> Ticket<T> {
        let member = &mut self.members[index];
        member.outstanding += 1;
        member.requests += 1;
        Ticket { id: member.id, target: member.place.target.clone(), started: now, answered: None }
    }

    fn pick(
        &mut self,
        now: Duration,
        random: u64,
        key: Option<u64>,
        tried: &[PlaceId],
    ) -> Option<usize> {
        self.take_back(now);
        let are_all_used = self.is_panic();
        let is_eligible = |member: &Member<T>| {
            let is_used =
                are_all_used && !member.place.is_draining || member.state() == State::Used;
            is_used && !tried.contains(&member.id)
        };
        let first = self.members.iter().filter(|member| is_eligible(member));
        let first = first.map(|member| member.place.priority).min()?;
        let is_eligible =
            |member: &Member<T>| member.place.priority == first && is_eligible(member);
        if self.config.policy == Policy::RoundRobin {
            return round_robin(&mut self.members, is_eligible, |member| {
                weight(member, now, self.config.slow_start)
            });
        }
        let least = self.members.iter().filter_map(|member| member.latency.smoothed()).min();
        let least = least.unwrap_or_default();
        let candidates = self.members.iter().enumerate().filter(|(_, member)| is_eligible(member));
        let candidates = candidates.map(|(index, member)| Candidate {
            index,
            weight: weight(member, now, self.config.slow_start),
            outstanding: member.outstanding,
            expected: member.latency.expected(now, member.outstanding == 0, least),
            hash: member.hash,
            steady_weight: member.place.weight.into(),
        });
        match (self.config.policy, key) {
            (Policy::Weighted, _) => choice::weighted(candidates, random),
            (Policy::ConsistentHash, Some(key)) => {
                choice::consistent_hash(&candidates, key, self.config.load_percent_max)
            }
            _ => choice::least_outstanding(&candidates, random),
        }
    }

    /// Whether so few places are well that all are used.
    fn is_panic(&self) -> bool {
        let (mut present, mut used) = (0, 0);
        for member in &self.members {
            present += usize::from(!member.place.is_draining);
            used += usize::from(member.state() == State::Used);
        }
        used * 100 < present * self.config.ejection.panic_percent as usize || used == 0
    }

    /// Whether one more place may be left out for its failures.
    fn has_room_to_eject(&self) -> bool {
        let present = self.members.iter().filter(|member| !member.place.is_draining);
        let out = present.clone().filter(|member| member.state() != State::Used).count();
        (out + 1) * 100 <= present.count() * self.config.ejection.places_percent_max as usize
    }

    fn eject(&mut self, now: Duration, index: usize) {
        let member = &mut self.members[index];
        let time = member.health.eject(now, &self.config.ejection);
        self.events.push_back(Event::Ejected(member.place.target.clone(), time));
    }

    fn take_back(&mut self, now: Duration) {
        for member in &mut self.members {
            if member.health.take_back(now) {
                self.events.push_back(Event::Returned(member.place.target.clone()));
            }
        }
    }
}

/// The weight of a place at present.
fn weight<T>(member: &Member<T>, now: Duration, slow_start: Duration) -> u64 {
    u64::from(member.place.weight) * member.health.share(now, slow_start)
}

/// Smooth weighted round robin, as nginx has it: each is owed its weight, and the one that is owed most pays for all.
fn round_robin<T>(
    members: &mut [Member<T>],
    is_eligible: impl Fn(&Member<T>) -> bool,
    weight: impl Fn(&Member<T>) -> u64,
) -> Option<usize> {
    let (mut total, mut chosen) = (0, None);
    for (index, member) in members.iter_mut().enumerate() {
        if !is_eligible(member) {
            continue;
        }
        let weight = i64::try_from(weight(member)).unwrap_or(i64::MAX);
        total += weight;
        member.owed += weight;
        if chosen.is_none_or(|(_, most)| member.owed > most) {
            chosen = Some((index, member.owed));
        }
    }
    let (index, _) = chosen?;
    members[index].owed -= total;
    Some(index)
}

/// By which keys belong to a place: the same in all programs.
fn hash(target: &impl Display) -> u64 {
    struct Text(SipHasher13);
    impl Write for Text {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut text = Text(SipHasher13::new());
    // It cannot fail: the hasher takes everything.
    let _ = write!(text, "{target}");
    text.0.finish()
}

#[cfg(test)]
mod tests;
