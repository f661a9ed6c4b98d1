//! Counters service: metrics, told to an object of the caller's for as long as it likes.

use super::admin::nanoseconds;
use crate::Platform;
use crate::appliance_capnp::{admin, counters};
use crate::context::Context;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use capnp::Error;
use capnp::struct_list;
use core::time::Duration;
use flow::time::Timers;
use inspect::{Family, Inspector, Kind, MetricVisitor, Reading, Sample};

/// Shortest interval: all metrics are read for each watcher.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Tells metrics.
pub(super) struct Counters {
    inspector: Inspector,
    timers: Timers,
}

impl Counters {
    pub(super) fn new<P: Platform>(context: &Context<P>) -> Self {
        Self { inspector: context.inspector.clone(), timers: context.timers.clone() }
    }
}

impl counters::Server for Counters {
    async fn follow(
        self: Rc<Self>,
        params: counters::FollowParams,
        _: counters::FollowResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let watcher = params.get_watcher()?;
        let interval = Duration::from_millis(params.get_interval_milliseconds().into());
        loop {
            let readings = Readings::take(&self.inspector);
            let mut update = watcher.update_request();
            readings.write(update.get().init_counters(readings.len()));
            drop(readings);
            // Waits while the watcher is behind, and fails once it failed.
            update.send().await?;
            self.timers.sleep(interval.max(INTERVAL_MIN)).await;
        }
    }
}

/// The metrics that are numbers: a message has to know how many before it is written.
#[derive(Default)]
pub(super) struct Readings(Vec<Counter>);

struct Counter {
    family: Family,
    labels: String,
    value: u64,
}

impl Readings {
    /// As they are now.
    pub(super) fn take(inspector: &Inspector) -> Self {
        let mut readings = Self::default();
        inspector.visit_metrics(&mut readings);
        readings
    }

    pub(super) fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// Into a list of that length.
    pub(super) fn write(&self, mut list: struct_list::Builder<'_, admin::counter::Owned>) {
        for (index, Counter { family, labels, value }) in (0..).zip(&self.0) {
            let mut counter = list.reborrow().get(index);
            counter.set_name(family.name);
            counter.set_value(*value);
            counter.set_labels(&**labels);
            counter.set_unit(family.unit.name());
            counter.set_is_counter(family.kind == Kind::Counter);
            counter.set_help(family.help);
        }
    }
}

impl MetricVisitor for Readings {
    fn family(&mut self, _: &Family) {}

    fn sample(&mut self, family: &Family, sample: &Sample<'_>) {
        let value = match sample.reading {
            Reading::Number(number) => number,
            Reading::Time(time) => nanoseconds(time),
            Reading::Histogram(_) => return,
        };
        let labels = sample.labels.iter().flatten();
        let labels: Vec<_> = labels.map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        self.0.push(Counter { family: *family, labels: labels.join(","), value });
    }
}
