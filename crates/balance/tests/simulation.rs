//! Simulation of replicas behind a balancer: work takes time that a seed says, and no clock is read. A failure prints its
//! seed.

use balance::{Balancer, Config, Event, Outcome, Place, PlaceId, Policy, Probes, Ticket};
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

/// Requests in one run.
const REQUESTS: u64 = 10_000;
/// Between two requests on the average: one replica that is well could take them all.
const PAUSE: Duration = Duration::from_millis(8);
/// What a replica that is well takes on the average.
const WORK: Duration = Duration::from_millis(10);
/// Requests that a replica works on at the same time; others wait for it.
const WORKERS: usize = 4;

/// How a replica behaves.
#[derive(Clone, Copy, PartialEq)]
enum Nature {
    Well,
    /// Ten times as slow.
    Slow,
    /// It refuses everything from the tenth second to the thirtieth.
    Dying,
}

#[derive(Default)]
struct Results {
    latencies: Vec<Duration>,
    failed: u64,
    tries: HashMap<usize, u64>,
    /// Requests that were tried a second time.
    again: u64,
}

impl Results {
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        sorted[sorted.len() * percent / 100]
    }
}

/// What happens, and when: the earliest first, and of those the one that was planned first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Planned(std::cmp::Reverse<(Duration, u64)>, Happening);

#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Happening {
    Arrival,
    /// A try of a request is over.
    Done {
        request: u64,
        try_number: usize,
        is_failure: bool,
    },
    /// The request was waited for long enough.
    Hedge {
        request: u64,
    },
    Timeout,
}

struct Request {
    arrived: Duration,
    tickets: Vec<Option<Ticket<usize>>>,
    tried: Vec<PlaceId>,
    is_over: bool,
}

struct World {
    now: Duration,
    random: Random,
    balancer: Balancer<usize>,
    replicas: Vec<(Nature, [Duration; WORKERS])>,
    planned: BinaryHeap<Planned>,
    plans: u64,
    requests: HashMap<u64, Request>,
    results: Results,
}

fn run(seed: u64, config: Config, natures: &[Nature]) -> Results {
    let mut balancer = Balancer::new(config);
    let places: Vec<_> = (0..natures.len()).map(|index| Place::new(index, 1)).collect();
    balancer.set_places(Duration::ZERO, &places);
    let mut world = World {
        now: Duration::ZERO,
        random: Random(seed),
        balancer,
        replicas: natures.iter().map(|nature| (*nature, [Duration::ZERO; WORKERS])).collect(),
        planned: BinaryHeap::new(),
        plans: 0,
        requests: HashMap::new(),
        results: Results::default(),
    };
    world.plan(Duration::ZERO, Happening::Arrival);
    world.plan(Duration::ZERO, Happening::Timeout);
    let mut arrivals = 0;
    while let Some(Planned(std::cmp::Reverse((at, _)), happening)) = world.planned.pop() {
        world.now = at;
        match happening {
            Happening::Arrival => {
                world.arrive(arrivals);
                arrivals += 1;
                let pause = world.random.around(PAUSE);
                if arrivals < REQUESTS {
                    world.plan(at + pause, Happening::Arrival);
                }
            }
            Happening::Done { request, try_number, is_failure } => {
                world.done(request, try_number, is_failure);
            }
            Happening::Hedge { request } => world.hedge(request),
            Happening::Timeout if arrivals < REQUESTS => world.look_after(),
            Happening::Timeout => {}
        }
    }
    assert!(world.balancer.places().all(|info| info.outstanding == 0), "seed {seed}");
    world.results
}

impl World {
    fn plan(&mut self, at: Duration, happening: Happening) {
        self.plans += 1;
        self.planned.push(Planned(std::cmp::Reverse((at, self.plans)), happening));
    }

    fn arrive(&mut self, number: u64) {
        let request = Request { arrived: self.now, tickets: vec![], tried: vec![], is_over: false };
        self.requests.insert(number, request);
        let ticket = self.balancer.choose(self.now, self.random.next(), Some(number)).unwrap();
        self.begin(number, ticket);
        if let Some(after) = self.balancer.hedge_after(self.now) {
            self.plan(self.now + after, Happening::Hedge { request: number });
        }
    }

    fn begin(&mut self, number: u64, ticket: Ticket<usize>) {
        let index = *ticket.target();
        *self.results.tries.entry(index).or_default() += 1;
        let (done, is_failure) = self.work(index);
        let request = self.requests.get_mut(&number).unwrap();
        request.tried.push(ticket.id());
        request.tickets.push(Some(ticket));
        let try_number = request.tickets.len() - 1;
        self.plan(done, Happening::Done { request: number, try_number, is_failure });
    }

    /// When a replica is done with a request that comes now, and whether it fails.
    fn work(&mut self, index: usize) -> (Duration, bool) {
        let nature = self.replicas[index].0;
        let is_dead = (10..30).contains(&self.now.as_secs());
        if nature == Nature::Dying && is_dead {
            return (self.now + Duration::from_millis(1), true);
        }
        let factor = if nature == Nature::Slow { 10 } else { 1 };
        let work = self.random.around(WORK) * factor;
        let workers = &mut self.replicas[index].1;
        let first = workers.iter_mut().min().unwrap();
        *first = (*first).max(self.now) + work;
        (*first, false)
    }

    fn done(&mut self, number: u64, try_number: usize, is_failure: bool) {
        let request = self.requests.get_mut(&number).unwrap();
        // One that was cancelled.
        let Some(ticket) = request.tickets[try_number].take() else { return };
        let outcome = if is_failure { Outcome::Failure } else { Outcome::Success };
        self.balancer.finish(self.now, ticket, outcome);
        if is_failure {
            return self.try_again(number);
        }
        request.is_over = true;
        self.results.latencies.push(self.now - request.arrived);
        for loser in request.tickets.iter_mut().filter_map(Option::take) {
            self.balancer.finish(self.now, loser, Outcome::Cancelled);
        }
    }

    fn try_again(&mut self, number: u64) {
        let request = self.requests.get_mut(&number).unwrap();
        if request.tickets.iter().any(Option::is_some) {
            return;
        }
        let (random, key) = (self.random.next(), Some(number));
        match self.balancer.choose_again(self.now, random, key, &request.tried) {
            Ok(ticket) => {
                self.results.again += 1;
                self.begin(number, ticket);
            }
            Err(_) => self.results.failed += 1,
        }
    }

    fn hedge(&mut self, number: u64) {
        let request = &self.requests[&number];
        if request.is_over || request.tried.len() > 1 {
            return;
        }
        let random = self.random.next();
        if let Ok(ticket) =
            self.balancer.choose_again(self.now, random, Some(number), &request.tried)
        {
            self.results.again += 1;
            self.begin(number, ticket);
        }
    }

    fn look_after(&mut self) {
        self.balancer.handle_timeout(self.now);
        while let Some(event) = self.balancer.poll_event() {
            if let Event::Probe(id, index) = event {
                let is_dead = (10..30).contains(&self.now.as_secs());
                let is_well = self.replicas[index].0 != Nature::Dying || !is_dead;
                let random = self.random.next();
                self.balancer.handle_probe(self.now, random, id, is_well);
            }
        }
        let next = self.balancer.next_deadline().unwrap_or(self.now + Duration::from_secs(1));
        self.plan(next.max(self.now + Duration::from_millis(1)), Happening::Timeout);
    }
}

/// A generator whose seed replays everything (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// From a tenth to almost twice the time, all of them as often.
    fn around(&mut self, time: Duration) -> Duration {
        time / 1000 * u32::try_from(100 + self.next() % 1800).unwrap()
    }
}

const SEEDS: std::ops::Range<u64> = 0..20;

fn config() -> Config {
    Config { probes: Some(Probes::default()), ..Config::default() }
}

#[test]
fn a_slow_and_a_dying_replica_cost_at_most_half_of_the_99th_percentile() {
    use Nature::{Dying, Slow, Well};
    for hedge_percentile in [None, Some(95)] {
        for seed in SEEDS {
            let config = Config { hedge_percentile, ..config() };
            let ideal = run(seed, config.clone(), &[Well, Well]);
            let real = run(seed, config, &[Well, Slow, Dying]);
            let (ideal_p99, real_p99) = (ideal.percentile(99), real.percentile(99));
            assert!(real_p99 * 2 <= ideal_p99 * 3, "seed {seed}: {real_p99:?} for {ideal_p99:?}");
            assert_eq!((ideal.failed, real.failed), (0, 0), "seed {seed}");
        }
    }
}

#[test]
fn further_tries_stay_within_the_budget_when_everything_fails() {
    for seed in SEEDS {
        let results = run(seed, Config::default(), &[Nature::Dying; 3]);
        let seconds = REQUESTS * u64::try_from(PAUSE.as_millis()).unwrap() / 1000;
        let most = REQUESTS / 5 + 3 * seconds;
        assert!(results.again <= most, "seed {seed}: {} of at most {most}", results.again);
        assert!(results.failed > 0, "seed {seed}");
    }
}

#[test]
fn equal_replicas_get_equal_shares_by_every_policy() {
    let policies =
        [Policy::LeastOutstanding, Policy::RoundRobin, Policy::Weighted, Policy::ConsistentHash];
    for policy in policies {
        for seed in SEEDS {
            let results = run(seed, Config { policy, ..config() }, &[Nature::Well; 4]);
            for count in results.tries.values() {
                let part = count * 1000 / REQUESTS;
                assert!((230..=270).contains(&part), "{policy}, seed {seed}: {part} of 1000");
            }
        }
    }
}

#[test]
fn a_dead_replica_gets_few_requests_and_its_share_again_when_it_is_back() {
    for seed in SEEDS {
        let results = run(seed, config(), &[Nature::Well, Nature::Well, Nature::Dying]);
        assert_eq!(results.failed, 0, "seed {seed}");
        // Of 80 seconds it is dead for 20, and on trial until 45: it would get 40 of 1000 if it never came back, and 330 if it never
        // was out.
        let part = results.tries[&2] * 1000 / REQUESTS;
        assert!((110..=230).contains(&part), "seed {seed}: {part} of 1000");
    }
}
