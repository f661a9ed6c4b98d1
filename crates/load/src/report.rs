//! Report: the results of a run, as values; they serialize to JSON and print as text and HTML.

mod html;
mod svg;
mod text;

use crate::recorder::{ErrorRecord, Kind};
use crate::{Failure, Histogram, Progress, Rate, Recorder, Scenario, Shape, Spacing};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use serde::Serialize;

/// What the generator knows of its own run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Threads of the generator.
    pub threads: u32,
    /// Processor time of the generator, where it is known.
    pub cpu: Option<Duration>,
    /// The longest that the generator did not look at its connections: no latency is more exact than that.
    pub longest_turn: Duration,
    /// Version of the generator.
    pub version: String,
}

/// The results of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the generator.
    pub version: String,
    /// The server, as a URL.
    pub target: String,
    /// `open` (latencies count from when requests were due) or `closed` (from when they were made).
    #[serde(rename = "loop")]
    pub shape: &'static str,
    /// The arrivals or the think time, in words.
    pub arrivals: String,
    /// Of the run, as asked for.
    pub duration_seconds: f64,
    /// Until the last answer.
    pub elapsed_seconds: f64,
    /// Connections that asked.
    pub connections: u32,
    /// Connections beside these that begin a request and never end it, as asked for.
    pub half_open: u32,
    /// Threads of the generator.
    pub threads: u32,
    /// Of the random numbers.
    pub seed: u64,
    /// The mean rate that was asked for, requests per second; none of a closed loop.
    pub asked_per_second: Option<f64>,
    /// Answers as expected per second, until the last answer or the end of the run, whichever is later.
    pub achieved_per_second: f64,
    /// Requests that were made.
    pub started: u64,
    /// Answers as expected.
    pub succeeded: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were given up as the scenario asked.
    pub abandoned: u64,
    /// Requests that were due, and for which no connection was free until the end. They are among the timeouts.
    pub unstarted: u64,
    /// Failures by their reason.
    pub failures: BTreeMap<&'static str, u64>,
    /// What was said of failures, by kind.
    pub errors: Vec<ErrorReport>,
    /// Connections that were opened.
    pub connections_opened: u64,
    /// Bytes of answers, as received.
    pub bytes_received: u64,
    /// Bytes of requests, as sent.
    pub bytes_sent: u64,
    /// From when requests were due (open loop) or made (closed loop) to the last byte of the answer.
    pub latency: Latency,
    /// From when requests were made.
    pub service_time: Latency,
    /// The latency's percentiles, each with its milliseconds.
    pub percentiles: Vec<(f64, f64)>,
    /// Kinds of requests.
    pub requests: Vec<KindReport>,
    /// Seconds of the run.
    pub seconds: Vec<Second>,
    /// Processor time of the generator, where it is known.
    pub generator_cpu_seconds: Option<f64>,
    /// The longest that the generator did not look at its connections: no latency is more exact than that.
    pub generator_longest_turn_milliseconds: f64,
}

/// Lengths of time, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// The shortest.
    pub min: f64,
    /// The 50th percentile.
    pub p50: f64,
    /// The 75th percentile.
    pub p75: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p99_9: f64,
    /// The 99.99th percentile.
    pub p99_99: f64,
    /// The longest.
    pub max: f64,
}

/// Failures of which something was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// What they are counted as.
    pub failure: &'static str,
    /// Whose kind it is: of an exception of RPC `failed`, `overloaded`, `disconnected` or `unimplemented`; else what failed.
    pub kind: &'static str,
    /// How many.
    pub count: u64,
    /// What was said of the first, 300 characters at most. It may be the server's own text.
    pub text: String,
}

/// One kind of requests.
#[derive(Clone, Debug, Serialize)]
pub struct KindReport {
    /// Its name.
    pub name: String,
    /// Answers as expected.
    pub succeeded: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Those that were answered, as expected or not, or waited for in vain.
    pub latency: Latency,
}

/// One second of the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Second {
    /// From 0.
    pub second: usize,
    /// Requests that were due in it.
    pub due: u64,
    /// Answers as expected that came in it.
    pub succeeded: u64,
    /// Requests that failed in it.
    pub failed: u64,
    /// Median latency of those that ended in it, milliseconds; none if it has no latency.
    pub p50: Option<f64>,
    /// 99th percentile, milliseconds.
    pub p99: Option<f64>,
    /// The longest, milliseconds.
    pub max: Option<f64>,
}

/// The percentiles of the curve: each a part of a number.
const PERCENTILES: [(u64, u64); 17] = [
    (0, 1),
    (10, 100),
    (25, 100),
    (50, 100),
    (60, 100),
    (70, 100),
    (75, 100),
    (80, 100),
    (85, 100),
    (90, 100),
    (95, 100),
    (975, 1000),
    (99, 100),
    (995, 1000),
    (999, 1000),
    (9_995, 10_000),
    (9_999, 10_000),
];

impl Report {
    /// The results of what was recorded.
    pub fn new(scenario: &Scenario, mut recorder: Recorder, run: &Run) -> Self {
        let latencies = recorder.latencies();
        let Progress { started, succeeded, failed, abandoned, unstarted, .. } = recorder.progress();
        let seconds = recorder.elapsed().max(scenario.duration).as_secs_f64();
        let percentile = |(part, whole)| {
            (part as f64 * 100.0 / whole as f64, milliseconds(latencies.quantile(part, whole)))
        };
        let failures = |failure: Failure| (failure.name(), recorder.failures(failure));
        Self {
            version: run.version.clone(),
            target: match &scenario.guest.via {
                Some(via) => format!("{} by {via}", scenario.place),
                None => scenario.place.to_string(),
            },
            shape: scenario.shape.name(),
            arrivals: arrivals(&scenario.shape),
            duration_seconds: scenario.duration.as_secs_f64(),
            elapsed_seconds: recorder.elapsed().as_secs_f64(),
            connections: scenario.connections,
            half_open: scenario.connection.half_open,
            threads: run.threads,
            seed: scenario.seed,
            asked_per_second: match &scenario.shape {
                Shape::Open(schedule) => Some(schedule.rate.mean()),
                Shape::Closed { .. } => None,
            },
            achieved_per_second: succeeded as f64 / seconds,
            started,
            succeeded,
            failed,
            abandoned,
            unstarted,
            failures: Failure::ALL
                .map(failures)
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .collect(),
            errors: recorder.errors().iter().map(ErrorReport::of).collect(),
            connections_opened: recorder.progress().connections,
            bytes_received: recorder.progress().bytes_received,
            bytes_sent: recorder.progress().bytes_sent,
            percentiles: PERCENTILES.map(percentile).into(),
            latency: Latency::of(&latencies),
            service_time: Latency::of(recorder.service_times()),
            requests: recorder.kinds().iter().map(KindReport::of).collect(),
            seconds: recorder.seconds().enumerate().map(Second::of).collect(),
            generator_cpu_seconds: run.cpu.map(|time| time.as_secs_f64()),
            generator_longest_turn_milliseconds: milliseconds(run.longest_turn),
        }
    }

    /// As JSON, one object.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// As a table of text, at most 80 columns wide.
    pub fn to_text(&self) -> String {
        text::text(self)
    }

    /// As a page of HTML that needs nothing else.
    pub fn to_html(&self) -> String {
        html::page(self)
    }

    /// How many requests failed in each of these ways, as `3 timeout, 1 reset`; empty if none did.
    pub fn failures_text(&self) -> String {
        let texts: Vec<_> =
            self.failures.iter().map(|(name, count)| format!("{count} {name}")).collect();
        texts.join(", ")
    }
}

impl Latency {
    /// What a histogram says.
    pub fn of(histogram: &Histogram) -> Self {
        let at = |part, whole| milliseconds(histogram.quantile(part, whole));
        Self {
            count: histogram.count(),
            mean: milliseconds(histogram.mean()),
            min: milliseconds(histogram.min()),
            p50: at(50, 100),
            p75: at(75, 100),
            p90: at(90, 100),
            p95: at(95, 100),
            p99: at(99, 100),
            p99_9: at(999, 1000),
            p99_99: at(9_999, 10_000),
            max: milliseconds(histogram.max()),
        }
    }

    /// Its rows, as results have them.
    pub(crate) fn rows(&self) -> [(&'static str, String); 10] {
        let rows = [
            ("mean", self.mean),
            ("min", self.min),
            ("50 %", self.p50),
            ("75 %", self.p75),
            ("90 %", self.p90),
            ("95 %", self.p95),
            ("99 %", self.p99),
            ("99.9 %", self.p99_9),
            ("99.99 %", self.p99_99),
            ("max", self.max),
        ];
        rows.map(|(name, value)| (name, self.shown(value)))
    }

    /// One of its values as results have it: nothing where nothing was measured, which is no latency of zero.
    pub(crate) fn shown(&self, value: f64) -> String {
        shown(Some(value).filter(|_| self.count > 0))
    }
}

impl ErrorReport {
    fn of(error: &ErrorRecord) -> Self {
        let ErrorRecord { failure, kind, count, text } = error;
        Self { failure: failure.name(), kind, count: *count, text: text.clone() }
    }

    /// Its text on one line, without what a terminal would act on.
    fn line(&self) -> String {
        let escape = |letter: char| match letter {
            letter if letter.is_control() => letter.escape_default().to_string(),
            letter => letter.to_string(),
        };
        self.text.chars().map(escape).collect()
    }
}

impl KindReport {
    fn of(kind: &Kind) -> Self {
        let latency = Latency::of(&kind.latencies);
        let Kind { name, succeeded, failed, .. } = kind;
        Self { name: name.clone(), succeeded: *succeeded, failed: *failed, latency }
    }
}

impl Second {
    fn of(
        (second, (record, latencies)): (usize, (&crate::recorder::SecondRecord, Histogram)),
    ) -> Self {
        let measured = |time| Some(milliseconds(time)).filter(|_| latencies.count() > 0);
        Self {
            second,
            due: record.due,
            succeeded: record.succeeded,
            failed: record.failed,
            p50: measured(latencies.quantile(50, 100)),
            p99: measured(latencies.quantile(99, 100)),
            max: measured(latencies.max()),
        }
    }
}

/// As `constant 1000 per second, evenly spaced`.
fn arrivals(shape: &Shape) -> String {
    let schedule = match shape {
        Shape::Closed { think } if think.is_zero() => return "as soon as answered".to_owned(),
        Shape::Closed { think } => return format!("{} s after the answer", think.as_secs_f64()),
        Shape::Open(schedule) => schedule,
    };
    let rate = match &schedule.rate {
        Rate::Constant(rate) => format!("{rate} per second"),
        Rate::Ramp(from, to) => format!("from {from} to {to} per second"),
        Rate::Steps(steps) => {
            let steps: Vec<_> = steps.iter().map(f64::to_string).collect();
            format!("in steps of {} per second", steps.join(", "))
        }
    };
    match schedule.spacing {
        Spacing::Even => format!("{rate}, evenly spaced"),
        Spacing::Poisson => format!("{rate}, at random (Poisson)"),
    }
}

fn milliseconds(time: Duration) -> f64 {
    // Nanoseconds, or JSON has digits that mean nothing.
    time.as_nanos() as f64 / 1e6
}

/// `1.2 s of processor time, `, where that is known.
fn processor_time(report: &Report) -> String {
    let seconds = report.generator_cpu_seconds;
    seconds.map_or_else(String::new, |it| format!("{} s of processor time, ", digits(it)))
}

/// A time, if there is one.
fn shown(milliseconds: Option<f64>) -> String {
    milliseconds.map_or_else(String::new, time_text)
}

/// Three significant digits and a unit: `1.23 ms`, `45.6 us`.
fn time_text(milliseconds: f64) -> String {
    match milliseconds {
        ms if ms >= 999.5 => format!("{} s", digits(ms / 1000.0)),
        ms if ms >= 0.9995 || ms == 0.0 => format!("{} ms", digits(ms)),
        ms => format!("{} µs", digits(ms * 1000.0)),
    }
}

/// Three significant digits; all of those before the point, in groups.
fn digits(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        number if number < 9.995 => format!("{number:.2}"),
        number if number < 99.95 => format!("{number:.1}"),
        number => grouped(number as u64 + u64::from(number % 1.0 >= 0.5)),
    }
}

/// With commas: `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
