//! Metrics: named numbers, described beside how they are read.

use crate::Histogram;
use core::fmt::Display;
use core::time::Duration;

/// One metric of a part of type `T`: its description, and how it is read.
pub struct Metric<T: 'static> {
    pub(crate) family: Family,
    read: Read<T>,
}

/// What a metric is, whichever part it is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// In snake case, without unit and without a suffix for its kind.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
    /// One sentence for operators.
    pub help: &'static str,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from zero at the start.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A [`Histogram`].
    Histogram,
}

/// The base units of OpenMetrics that are in use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, each of which counts one.
    None,
    /// Octets.
    Bytes,
    /// Lengths of time.
    Seconds,
}

/// A label's name and value: what tells parts of one type from each other, or parts of one sum.
pub type Label<'a> = (&'static str, &'a dyn Display);

/// One reading of a metric, with its labels.
pub struct Sample<'a> {
    /// Which part it is of, and which share of that part's sum, if either is said.
    pub labels: [Option<Label<'a>>; 2],
    /// What was read.
    pub reading: Reading<'a>,
}

/// What was read.
#[derive(Clone, Copy)]
pub enum Reading<'a> {
    /// Of a metric in things or bytes.
    Number(u64),
    /// Of a metric in seconds.
    Time(Duration),
    /// Of a histogram.
    Histogram(&'a Histogram),
}

enum Read<T: 'static> {
    Number(fn(&T) -> u64),
    Time(fn(&T) -> Duration),
    Each(&'static str, ReadEach<T>),
    Histogram(fn(&T) -> &Histogram),
}

/// Calls the closure with each value of the label, and the number that belongs to it.
pub type ReadEach<T> = fn(&T, &mut dyn FnMut(&dyn Display, u64));

impl<T> Metric<T> {
    /// What only grows.
    pub const fn counter(name: &'static str, help: &'static str, read: fn(&T) -> u64) -> Metric<T> {
        Self::new(name, help, Kind::Counter, Read::Number(read))
    }

    /// What goes up and down.
    pub const fn gauge(name: &'static str, help: &'static str, read: fn(&T) -> u64) -> Metric<T> {
        Self::new(name, help, Kind::Gauge, Read::Number(read))
    }

    /// What only grows, in octets.
    pub const fn byte_counter(
        name: &'static str,
        help: &'static str,
        read: fn(&T) -> u64,
    ) -> Metric<T> {
        Self::new(name, help, Kind::Counter, Read::Number(read)).with_unit(Unit::Bytes)
    }

    /// What goes up and down, in octets.
    pub const fn byte_gauge(
        name: &'static str,
        help: &'static str,
        read: fn(&T) -> u64,
    ) -> Metric<T> {
        Self::new(name, help, Kind::Gauge, Read::Number(read)).with_unit(Unit::Bytes)
    }

    /// What only grows, in shares by `label`.
    pub const fn counter_by(
        name: &'static str,
        label: &'static str,
        help: &'static str,
        read: ReadEach<T>,
    ) -> Metric<T> {
        Self::new(name, help, Kind::Counter, Read::Each(label, read))
    }

    /// What goes up and down, in shares by `label`.
    pub const fn gauge_by(
        name: &'static str,
        label: &'static str,
        help: &'static str,
        read: ReadEach<T>,
    ) -> Metric<T> {
        Self::new(name, help, Kind::Gauge, Read::Each(label, read))
    }

    /// A sum of lengths of time.
    pub const fn time_counter(
        name: &'static str,
        help: &'static str,
        read: fn(&T) -> Duration,
    ) -> Metric<T> {
        Self::new(name, help, Kind::Counter, Read::Time(read)).with_unit(Unit::Seconds)
    }

    /// A length of time, or a point in time since 1970.
    pub const fn time_gauge(
        name: &'static str,
        help: &'static str,
        read: fn(&T) -> Duration,
    ) -> Metric<T> {
        Self::new(name, help, Kind::Gauge, Read::Time(read)).with_unit(Unit::Seconds)
    }

    /// How often which lengths of time were seen.
    pub const fn histogram(
        name: &'static str,
        help: &'static str,
        read: fn(&T) -> &Histogram,
    ) -> Metric<T> {
        Self::new(name, help, Kind::Histogram, Read::Histogram(read)).with_unit(Unit::Seconds)
    }

    const fn with_unit(mut self, unit: Unit) -> Metric<T> {
        self.family.unit = unit;
        self
    }

    const fn new(name: &'static str, help: &'static str, kind: Kind, read: Read<T>) -> Metric<T> {
        Metric { family: Family { name, kind, unit: Unit::None, help }, read }
    }

    /// Shows every reading of `part`, which is told from others by `label`.
    pub(crate) fn visit(
        &self,
        label: Option<Label<'_>>,
        part: &T,
        visit: &mut dyn FnMut(&Sample<'_>),
    ) {
        let reading = match &self.read {
            Read::Number(read) => Reading::Number(read(part)),
            Read::Time(read) => Reading::Time(read(part)),
            Read::Histogram(read) => Reading::Histogram(read(part)),
            Read::Each(name, read) => {
                return read(part, &mut |value, number| {
                    let labels = [label, Some((*name, value))];
                    visit(&Sample { labels, reading: Reading::Number(number) });
                });
            }
        };
        visit(&Sample { labels: [label, None], reading });
    }
}

impl Unit {
    /// What OpenMetrics calls it; nothing for things.
    pub fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Bytes => "bytes",
            Unit::Seconds => "seconds",
        }
    }
}

impl Kind {
    /// What OpenMetrics calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}
