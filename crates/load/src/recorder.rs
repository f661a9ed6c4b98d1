//! Recorder: what became of requests, as it happens. Those of several threads merge into one.

use crate::histogram::Compact;
use crate::{Histogram, Job, Outcome, Scenario};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection came to be.
    Connect,
    /// No whole answer came in time; or the request was due and no connection was free for it until the end.
    Timeout,
    /// The connection ended before the whole answer.
    Reset,
    /// The answer broke the protocol.
    Protocol,
    /// An answer with another status than expected, or an exception.
    Status,
    /// An answer without what its content must contain.
    Body,
}

impl Failure {
    /// All of them, in the order of results.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Timeout, Self::Reset, Self::Protocol, Self::Status, Self::Body];

    /// As in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Body => "body",
        }
    }

    /// Whether how long it took says how long the server took: an answer came, or was waited for in vain.
    fn has_latency(self) -> bool {
        matches!(self, Self::Timeout | Self::Status | Self::Body)
    }
}

/// Characters of an error's text that are kept.
const TEXT_CHARS_MAX: usize = 300;

/// Errors of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorRecord {
    pub(crate) failure: Failure,
    pub(crate) kind: &'static str,
    pub(crate) count: u64,
    /// Of the first.
    pub(crate) text: String,
}

/// What became of requests.
#[derive(Clone, Debug)]
pub struct Recorder {
    begin: Duration,
    /// When the last request ended, whatever became of it.
    ended: Duration,
    kinds: Vec<Kind>,
    /// From the sending.
    service: Histogram,
    /// Of the second that is under way.
    current: Histogram,
    current_second: usize,
    seconds: Vec<SecondRecord>,
    totals: Progress,
    failures: [u64; Failure::ALL.len()],
    /// One of each kind; kinds are few, since they are the program's own words.
    errors: Vec<ErrorRecord>,
}

/// What is counted of a kind of requests.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) name: String,
    /// Of answers, whether as expected or not, and of what was waited for in vain.
    pub(crate) latencies: Histogram,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
}

/// What is kept of a second.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecondRecord {
    /// Requests that were due in it, as far as they were made.
    pub(crate) due: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// Of those that ended in it; of each recorder that was merged.
    latencies: Vec<Compact>,
}

/// Counts so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests that were made.
    pub started: u64,
    /// Those that were answered as expected.
    pub succeeded: u64,
    /// Those that failed, for whatever reason.
    pub failed: u64,
    /// Those that were given up as the scenario asked.
    pub abandoned: u64,
    /// Those that were due and were never made; they are among the failed, too.
    pub unstarted: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Bytes of answers, as received.
    pub bytes_received: u64,
    /// Bytes of requests, as sent.
    pub bytes_sent: u64,
}

impl Progress {
    /// Requests that are under way.
    pub fn open(&self) -> u64 {
        let ended = self.succeeded + self.failed - self.unstarted + self.abandoned;
        self.started.saturating_sub(ended)
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Self) {
        let Self { started, succeeded, failed, abandoned, unstarted, .. } = other;
        self.started += started;
        self.succeeded += succeeded;
        self.failed += failed;
        self.abandoned += abandoned;
        self.unstarted += unstarted;
        self.connections += other.connections;
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
    }
}

impl Recorder {
    /// Nothing yet of a run that begins then.
    pub(crate) fn new(scenario: &Scenario, begin: Duration) -> Self {
        let kind = |name: &String| Kind {
            name: name.clone(),
            latencies: Histogram::default(),
            succeeded: 0,
            failed: 0,
        };
        Self {
            begin,
            ended: begin,
            kinds: scenario.requests.iter().map(|request| kind(&request.name)).collect(),
            service: Histogram::default(),
            current: Histogram::default(),
            current_second: 0,
            seconds: Vec::new(),
            totals: Progress::default(),
            failures: [0; Failure::ALL.len()],
            errors: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self, due: Duration) {
        self.totals.started += 1;
        let second = self.second_of(due);
        self.second(second).due += 1;
    }

    pub(crate) fn finish(&mut self, now: Duration, job: &Job, outcome: Outcome) {
        self.ended = self.ended.max(now);
        let second = self.second_of(now);
        if second != self.current_second {
            self.close_second();
            self.current_second = second;
        }
        match outcome {
            Outcome::Abandoned => self.totals.abandoned += 1,
            Outcome::Success => {
                self.totals.succeeded += 1;
                self.second(second).succeeded += 1;
                if let Some(kind) = self.kinds.get_mut(job.kind()) {
                    kind.succeeded += 1;
                }
                self.record(now, job);
            }
            Outcome::Failure(failure) => {
                self.fail(second, job.kind(), failure);
                if failure.has_latency() {
                    self.record(now, job);
                }
            }
        }
    }

    /// A request that was due, and was not made by the end.
    pub(crate) fn never_started(&mut self, now: Duration, due: Duration, kind: usize) {
        self.ended = self.ended.max(now);
        self.totals.unstarted += 1;
        let second = self.second_of(due);
        self.second(second).due += 1;
        let second = self.second_of(now);
        self.fail(second, kind, Failure::Timeout);
        self.record_latency(kind, now.saturating_sub(due));
    }

    /// What was said of a request that failed, such as an exception's text: of each kind the first is kept, up to 300 characters.
    pub fn note_error(&mut self, failure: Failure, kind: &'static str, text: &str) {
        self.add_error(failure, kind, 1, text);
    }

    fn add_error(&mut self, failure: Failure, kind: &'static str, count: u64, text: &str) {
        let known = self.errors.iter_mut().find(|it| (it.failure, it.kind) == (failure, kind));
        if let Some(error) = known {
            error.count += count;
            return;
        }
        let end = text.char_indices().nth(TEXT_CHARS_MAX).map(|(end, _)| end);
        let text = match end.and_then(|end| text.get(..end)) {
            Some(part) => part.to_owned() + "...",
            None => text.to_owned(),
        };
        self.errors.push(ErrorRecord { failure, kind, count, text });
    }

    /// A connection was opened.
    pub fn count_connection(&mut self) {
        self.totals.connections += 1;
    }

    /// So many bytes more were received and sent.
    pub fn count_bytes(&mut self, received: usize, sent: usize) {
        self.totals.bytes_received += received as u64;
        self.totals.bytes_sent += sent as u64;
    }

    /// Adds all that another recorded of the same scenario.
    pub fn merge(&mut self, mut other: Self) {
        self.ended = self.ended.max(other.ended);
        self.close_second();
        other.close_second();
        for (kind, more) in self.kinds.iter_mut().zip(other.kinds) {
            kind.latencies.merge(&more.latencies);
            kind.succeeded += more.succeeded;
            kind.failed += more.failed;
        }
        self.service.merge(&other.service);
        for (index, more) in other.seconds.into_iter().enumerate() {
            let second = self.second(index);
            second.due += more.due;
            second.succeeded += more.succeeded;
            second.failed += more.failed;
            second.latencies.extend(more.latencies);
        }
        self.totals.add(&other.totals);
        for (count, more) in self.failures.iter_mut().zip(other.failures) {
            *count += more;
        }
        for ErrorRecord { failure, kind, count, text } in other.errors {
            self.add_error(failure, kind, count, &text);
        }
    }

    /// From the begin to the end of the last request.
    pub fn elapsed(&self) -> Duration {
        self.ended.saturating_sub(self.begin)
    }

    /// Counts so far.
    pub fn progress(&self) -> Progress {
        self.totals
    }

    /// How many failed for this reason.
    pub fn failures(&self, failure: Failure) -> u64 {
        self.failures[failure as usize]
    }

    /// All latencies, from when requests were due.
    pub fn latencies(&self) -> Histogram {
        let mut all = Histogram::default();
        self.kinds.iter().for_each(|kind| all.merge(&kind.latencies));
        all
    }

    /// The same from when requests were made: in an open loop without the time for which they had to wait for a connection.
    pub fn service_times(&self) -> &Histogram {
        &self.service
    }

    pub(crate) fn errors(&self) -> &[ErrorRecord] {
        &self.errors
    }

    pub(crate) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Each second of the run, with its latencies.
    pub(crate) fn seconds(&mut self) -> impl Iterator<Item = (&SecondRecord, Histogram)> {
        self.close_second();
        self.seconds.iter().map(|second| {
            let mut latencies = Histogram::default();
            second.latencies.iter().for_each(|part| part.add_to(&mut latencies));
            (second, latencies)
        })
    }

    fn fail(&mut self, second: usize, kind: usize, failure: Failure) {
        self.totals.failed += 1;
        self.failures[failure as usize] += 1;
        self.second(second).failed += 1;
        if let Some(kind) = self.kinds.get_mut(kind) {
            kind.failed += 1;
        }
    }

    fn record(&mut self, now: Duration, job: &Job) {
        self.record_latency(job.kind(), now.saturating_sub(job.due()));
        self.service.record(now.saturating_sub(job.made()));
    }

    fn record_latency(&mut self, kind: usize, latency: Duration) {
        if let Some(kind) = self.kinds.get_mut(kind) {
            kind.latencies.record(latency);
        }
        self.current.record(latency);
    }

    fn second_of(&self, time: Duration) -> usize {
        time.saturating_sub(self.begin).as_secs() as usize
    }

    fn second(&mut self, index: usize) -> &mut SecondRecord {
        if index >= self.seconds.len() {
            self.seconds.resize_with(index + 1, SecondRecord::default);
        }
        &mut self.seconds[index]
    }

    /// Keeps the latencies of the second that was under way.
    fn close_second(&mut self) {
        if self.current.count() > 0 {
            let compact = self.current.compact();
            self.current.clear();
            self.second(self.current_second).latencies.push(compact);
        }
    }
}
