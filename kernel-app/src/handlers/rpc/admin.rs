//! Admin service: counters, tasks, connections and the log, for an operator, over RPC.

use super::counters::Readings;
use crate::appliance_capnp::admin;
use crate::context::Context;
use crate::{Platform, log_ring};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use capnp::Error;
use core::time::Duration;
use net::ConnectionInfo;

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
        // Those in TIME-WAIT and half open ones were never among these.
        let mut shown = Vec::new();
        let mut total = 0;
        self.context.platform.visit_connections(&mut |row| {
            let Some(info) = row.info else { return };
            total += 1;
            if shown.len() < count_max.min(CONNECTIONS_MAX) {
                shown.push(info);
            }
        });
        results.get().set_total(total);
        let mut list = results.get().init_connections(shown.len() as u32);
        for (index, connection) in (0..).zip(&shown) {
            describe(connection, list.reborrow().get(index));
        }
        Ok(())
    }

    async fn counters(
        self: Rc<Self>,
        _: admin::CountersParams,
        mut results: admin::CountersResults,
    ) -> Result<(), Error> {
        let readings = Readings::take(&self.context.inspector);
        readings.write(results.get().init_counters(readings.len()));
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
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
