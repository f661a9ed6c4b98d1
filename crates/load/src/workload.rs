//! Workload: who asks next, and what. One for each thread of a generator; its connections share it.

use crate::{Arrivals, Failure, Recorder, Scenario, Shape, Share};
use alloc::vec::Vec;
use core::iter::Peekable;
use core::time::Duration;
use fastrand::Rng;

/// Hands out requests and records what became of them.
#[derive(Debug)]
pub struct Workload {
    arrivals: Option<Peekable<Arrivals>>,
    think: Duration,
    begin: Duration,
    end: Duration,
    /// Sums of the weights of all kinds up to each.
    weights: Vec<u64>,
    abandoned_percent: u8,
    random: Rng,
    recorder: Recorder,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This request is due.
    Job(Job),
    /// Nothing before this time.
    At(Duration),
    /// Nothing any more.
    Done,
}

/// A request that is to be made, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    due: Duration,
    made: Duration,
    kind: u32,
    abandon: bool,
}

impl Job {
    /// When it was due: latency counts from then.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// When it was made.
    pub fn made(&self) -> Duration {
        self.made
    }

    /// Which of the scenario's requests it is.
    pub fn kind(&self) -> usize {
        self.kind as usize
    }

    /// Whether it is to be given up as soon as it is sent.
    pub fn is_to_be_abandoned(&self) -> bool {
        self.abandon
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was as expected.
    Success,
    /// It was not, or did not come.
    Failure(Failure),
    /// It was given up as the scenario asked.
    Abandoned,
}

impl Workload {
    /// A thread's share of the scenario, of a run that begins then.
    pub fn new(scenario: &Scenario, share: Share, begin: Duration) -> Self {
        let mut sum = 0;
        let add = |weight: u32| {
            sum += u64::from(weight);
            sum
        };
        let (arrivals, think) = match &scenario.shape {
            Shape::Open(schedule) => {
                let arrivals = Arrivals::new(schedule, scenario.duration, scenario.seed, share);
                (Some(arrivals.peekable()), Duration::ZERO)
            }
            Shape::Closed { think } => (None, *think),
        };
        Self {
            arrivals,
            think,
            begin,
            end: begin + scenario.duration,
            weights: scenario.requests.iter().map(|request| request.weight).map(add).collect(),
            abandoned_percent: scenario.connection.abandoned_percent,
            random: Rng::with_seed(scenario.seed ^ u64::from(share.index + 1) << 32),
            recorder: Recorder::new(scenario, begin),
        }
    }

    /// The request that is due now, if there is one. Of an open loop, each is due once, and late ones are not left out; of a
    /// closed loop, one is always due, and it is the connection that thinks before it asks.
    pub fn next(&mut self, now: Duration) -> Next {
        let due = match &mut self.arrivals {
            Some(arrivals) => match arrivals.peek() {
                Some(&offset) if self.begin + offset <= now => {
                    arrivals.next();
                    self.begin + offset
                }
                Some(&offset) => return Next::At(self.begin + offset),
                None => return Next::Done,
            },
            None if now < self.begin => return Next::At(self.begin),
            None if now < self.end => now,
            None => return Next::Done,
        };
        self.recorder.start(due);
        let (kind, abandon) = (self.choose() as u32, self.choose_abandoned());
        Next::Job(Job { due, made: now, kind, abandon })
    }

    /// When the next request of an open loop is due; none if none is left, or it is a closed loop.
    pub fn next_due(&mut self) -> Option<Duration> {
        let begin = self.begin;
        self.arrivals.as_mut()?.peek().map(|offset| begin + *offset)
    }

    /// How long a connection waits from its answer to its next request.
    pub fn think(&self) -> Duration {
        self.think
    }

    /// When the run begins.
    pub fn begin(&self) -> Duration {
        self.begin
    }

    /// When the run ends: nothing is due from then on.
    pub fn end(&self) -> Duration {
        self.end
    }

    /// Records what became of a request.
    pub fn finish(&mut self, now: Duration, job: Job, outcome: Outcome) {
        self.recorder.finish(now, &job, outcome);
    }

    /// Ends the run before its time: nothing is due any more, and what was to come is not counted.
    pub fn stop(&mut self, now: Duration) {
        self.end = self.end.min(now);
        if let Some(arrivals) = &mut self.arrivals {
            *arrivals = Arrivals::none().peekable();
        }
    }

    /// Gives up: what was due and not made has failed for want of a connection.
    pub fn give_up(&mut self, now: Duration) {
        let (Some(arrivals), begin) = (&mut self.arrivals, self.begin) else { return };
        for offset in core::mem::replace(arrivals, Arrivals::none().peekable()) {
            let kind = self.choose();
            self.recorder.never_started(now, begin + offset, kind);
        }
    }

    /// What was recorded so far.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// To count what belongs to no request alone.
    pub fn recorder_mut(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    /// What was recorded.
    pub fn into_recorder(self) -> Recorder {
        self.recorder
    }

    fn choose(&mut self) -> usize {
        let total = self.weights.last().copied().unwrap_or(0);
        if self.weights.len() <= 1 || total == 0 {
            return 0;
        }
        let drawn = self.random.u64(0..total);
        self.weights.partition_point(|sum| *sum <= drawn)
    }

    fn choose_abandoned(&mut self) -> bool {
        self.abandoned_percent > 0 && self.random.u8(0..100) < self.abandoned_percent
    }
}

#[cfg(test)]
mod tests;
