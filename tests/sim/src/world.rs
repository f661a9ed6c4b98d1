//! Two stacks, an executor and a clock.

use crate::pcap;
use crate::random::Random;
use crate::wire::{Link, Wire};
use flow::task::{Executor, Spawner};
use flow::time::Timers;
use net::{Config, Limits, Stack};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// Hardware addresses of the two stacks.
pub const MAC: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// The address of stack 0 or 1 with `port`.
pub fn address(end: usize, v6: bool, port: u16) -> SocketAddr {
    let host = end as u8 + 1;
    let ip: IpAddr = if v6 {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host.into()).into()
    } else {
        Ipv4Addr::new(10, 0, 0, host).into()
    };
    SocketAddr::new(ip, port)
}

/// How a world is made.
#[derive(Clone, Debug, Default)]
pub struct WorldConfig {
    /// The wire.
    pub link: Link,
    /// The limits of both stacks.
    pub limits: [Limits; 2],
    /// Decides everything that is random.
    pub seed: u64,
}

/// Two stacks joined by a wire.
pub struct World {
    /// Stack 0 and stack 1.
    pub stacks: [Stack; 2],
    /// The wire between them.
    pub wire: Wire,
    /// Runs all tasks.
    pub executor: Executor,
    /// Wakes them.
    pub timers: Timers,
    now: Duration,
}

impl World {
    /// Both stacks with static addresses ([`address`]).
    pub fn new(config: &WorldConfig) -> Self {
        let mut random = Random::new(config.seed ^ 0xa5a5);
        let (wire, [left, right]) = Wire::new(config.link, config.seed);
        let mut stack = |device, end: usize| {
            let config = Config {
                addresses: vec![
                    (address(end, false, 0).ip(), 24),
                    (address(end, true, 0).ip(), 64),
                ],
                dhcp: false,
                slaac: false,
                limits: config.limits[end].clone(),
                ..Config::default()
            };
            Stack::new(device, &config, MAC[end], random.seed(), Duration::ZERO)
        };
        let stacks = [stack(left, 0), stack(right, 1)];
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        Self { stacks, wire, executor, timers: Timers::new(), now: Duration::ZERO }
    }

    /// Makes tasks.
    pub fn spawner(&self) -> Spawner {
        self.executor.spawner()
    }

    /// The present.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Does everything that can be done now.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            self.wire.advance(self.now);
            self.timers.advance(self.now);
            let mut busy = false;
            for stack in &mut self.stacks {
                busy |= stack.ingress(self.now);
            }
            busy |= self.executor.run(10_000);
            for stack in &mut self.stacks {
                stack.egress(self.now);
            }
            busy |= !self.executor.is_idle() || self.wire.has_arrivals();
            busy |= self.wire.next_arrival().is_some_and(|at| at <= self.now);
            if !busy {
                return;
            }
        }
        panic!("the world does not come to rest at {:?}", self.now);
    }

    /// When something happens by itself.
    pub fn next_deadline(&self) -> Option<Duration> {
        let stacks = self.stacks.iter().filter_map(Stack::next_deadline).min();
        let others = [self.wire.next_arrival(), self.timers.next_deadline()];
        others.into_iter().chain([stacks]).flatten().min()
    }

    /// Lets time pass until `done` or until `limit` (by the simulated clock); true when done.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        loop {
            self.settle();
            if done() {
                return true;
            }
            let Some(next) = self.next_deadline() else { return false };
            if next > limit {
                self.now = self.now.max(limit);
                self.settle();
                return done();
            }
            self.now = self.now.max(next);
        }
    }

    /// Lets `period` pass.
    pub fn pass(&mut self, period: Duration) {
        let until = self.now + period;
        self.run_until(until, || false);
        self.now = until;
        self.settle();
    }
}

/// Runs `test` in a new world; when it fails, says the seed and leaves a pcap file.
pub fn check(name: &str, config: &WorldConfig, test: impl FnOnce(&mut World)) {
    let mut world = World::new(config);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| test(&mut world)));
    if let Err(panic) = outcome {
        let path = std::env::temp_dir().join(format!("{name}-{}.pcap", config.seed));
        let written = pcap::write(&path, &world.wire.log());
        eprintln!("{name} failed with seed {}: {config:?}", config.seed);
        eprintln!("wire in {}: {written:?}; clock at {:?}", path.display(), world.now);
        std::panic::resume_unwind(panic);
    }
}
