//! Admin service: counters, tasks, connections and the log, for an operator, over RPC.

use crate::appliance_capnp::admin;
use crate::context::Context;
use crate::{Platform, log_ring};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use capnp::Error;
use core::time::Duration;
use net::{ConnectionInfo, Counter};

/// Connections in one answer: each takes some 30 words of the message.
const CONNECTIONS_MAX: usize = 20_000;

/// What the appliance is doing.
pub(super) struct Admin<P: Platform> {
    context: Context<P>,
}

impl<P: Platform> Admin<P> {
    pub(super) fn new(context: &Context<P>) -> Self {
        Self { context: context.clone() }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let spawner = &self.context.spawner;
        let mut counters = self.context.services.counters();
        counters.push(("tasks", spawner.tasks().len() as u64));
        counters.push(("task_panics", spawner.panics()));
        let probes = self.context.platform.probes();
        if !probes.is_empty() {
            counters.extend(
                Counter::ALL.iter().map(|&count| {
                    (count.name(), probes.iter().map(|probe| probe.count(count)).sum())
                }),
            );
        }
        counters
    }
}

impl<P: Platform> admin::Server for Admin<P> {
    async fn status(
        self: Rc<Self>,
        _: admin::StatusParams,
        mut results: admin::StatusResults,
    ) -> Result<(), Error> {
        let mut status = results.get();
        status.set_version(env!("CARGO_PKG_VERSION"));
        status.set_uptime_nanoseconds(nanoseconds(self.context.timers.now()));
        status.set_time_nanoseconds(nanoseconds(self.context.platform.wall_clock()));
        Ok(())
    }

    async fn connections(
        self: Rc<Self>,
        params: admin::ConnectionsParams,
        mut results: admin::ConnectionsResults,
    ) -> Result<(), Error> {
        let count_max = params.get()?.get_count_max() as usize;
        let probes = self.context.platform.probes();
        let all: Vec<_> = probes.iter().flat_map(|probe| probe.connections()).collect();
        let shown = &all[..all.len().min(count_max).min(CONNECTIONS_MAX)];
        results.get().set_total(all.len() as u32);
        let mut list = results.get().init_connections(shown.len() as u32);
        for (index, connection) in (0..).zip(shown) {
            describe(connection, list.reborrow().get(index));
        }
        Ok(())
    }

    async fn counters(
        self: Rc<Self>,
        _: admin::CountersParams,
        mut results: admin::CountersResults,
    ) -> Result<(), Error> {
        let counters = Self::counters(&self);
        let mut list = results.get().init_counters(counters.len() as u32);
        for (index, (name, value)) in (0..).zip(counters) {
            let mut counter = list.reborrow().get(index);
            counter.set_name(name);
            counter.set_value(value);
        }
        Ok(())
    }

    async fn log_tail(
        self: Rc<Self>,
        params: admin::LogTailParams,
        mut results: admin::LogTailResults,
    ) -> Result<(), Error> {
        let lines = log_ring::tail(params.get()?.get_lines_max() as usize);
        let mut list = results.get().init_lines(lines.len() as u32);
        for (index, line) in (0..).zip(&lines) {
            list.set(index, &**line);
        }
        Ok(())
    }

    async fn references(
        self: Rc<Self>,
        _: admin::ReferencesParams,
        mut results: admin::ReferencesResults,
    ) -> Result<(), Error> {
        let vat = self.context.vat().map_err(|error| Error::failed(error.to_string()))?;
        let references = vat.references();
        let known: Vec<_> =
            references.iter().filter_map(|(name, it)| Some((name, it.as_ref().ok()?))).collect();
        let mut list = results.get().init_references(known.len() as u32);
        for (index, (name, reference)) in (0..).zip(known) {
            let mut entry = list.reborrow().get(index);
            entry.set_service(name);
            entry.set_reference(&*reference.to_string());
        }
        Ok(())
    }
}

fn describe(connection: &ConnectionInfo, mut to: admin::connection::Builder<'_>) {
    to.set_local(&*connection.local.to_string());
    to.set_peer(&*connection.peer.to_string());
    to.set_state(&*format!("{}", connection.state));
    to.set_age_nanoseconds(nanoseconds(connection.age));
    to.set_silent_nanoseconds(nanoseconds(connection.silent_for));
    to.set_bytes_in(connection.bytes_in);
    to.set_bytes_out(connection.bytes_out);
    to.set_retransmits(connection.retransmits);
    to.set_round_trip_nanoseconds(nanoseconds(connection.round_trip.unwrap_or_default()));
}

/// Enough for 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
