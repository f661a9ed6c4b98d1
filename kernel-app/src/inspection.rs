//! Inspection: brings together what the parts of the appliance let others see. RPC's admin object, the metrics and the
//! JSON of [`services::admin`](crate::services::admin) are views of it.

mod config;
mod memory;
mod panics;
mod services;
mod sessions;
mod task_dump;
pub(crate) mod tasks;
mod timers;
mod version;
mod ways;

use crate::Platform;
use crate::context::Context;
use crate::log_ring;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use web::Routes;
use web::answers::{self, RouteAnswers};

/// Writes all tasks into the log, those together that wait at the same place; the lines that it wrote.
pub(crate) fn log_tasks<P: Platform>(context: &Context<P>) -> Vec<String> {
    let lines = task_dump::lines(context);
    for line in &lines {
        log::warn!("{line}");
    }
    lines
}

/// Adds what every appliance has. What a service counts, the service has added itself.
pub(crate) fn add_all<P: Platform>(context: &Context<P>) {
    add_metrics(context);
    add_network(context);
    version::add(context);
    tasks::add(context);
    timers::add(context);
    services::add(context);
    sessions::add(context);
    ways::add(context);
    memory::add(context);
    panics::add(context);
    config::add(context);
    context.inspector.add_table(&log_ring::TABLE, |visit| {
        log_ring::lines_from(0).iter().for_each(visit);
    });
}

fn add_metrics<P: Platform>(context: &Context<P>) {
    let inspector = &context.inspector;
    let spawner = context.spawner.clone();
    inspector.add_metrics(flow::task::METRICS, move |visit| visit(None, &spawner));
    let timers = context.timers.clone();
    inspector.add_metrics(flow::time::METRICS, move |visit| visit(None, &timers));
    let ledger = context.ledger.clone();
    inspector.add_metrics(flow::ledger::METRICS, move |visit| visit(None, &ledger));
    let ledger = context.ledger.clone();
    inspector.add_metrics(flow::ledger::SERVICE_METRICS, move |visit| {
        for service in ledger.services() {
            visit(Some(("service", &service.name())), &service);
        }
    });
    inspector.add_metrics(log_ring::METRICS, |visit| visit(None, &()));
    #[cfg(feature = "disk")]
    {
        let cache = context.disk_cache.clone();
        inspector.add_metrics(storage::CACHE_METRICS, move |visit| {
            if let Some(cache) = &*cache.borrow() {
                visit(None, cache);
            }
        });
    }
}

/// Adds what counts the answers of routes. They are made when the first service that carries web requests opens.
pub(crate) fn add_routes<P: Platform>(context: &Context<P>, routes: &Routes) {
    let all: Rc<[RouteAnswers]> = routes.answers().into();
    let counted = all.clone();
    context.inspector.add_metrics(answers::ROUTE_METRICS, move |visit| {
        for of in counted.iter() {
            visit(Some(("route", &of.route)), &of.answers);
        }
    });
    context.inspector.add_table(&answers::ROUTES, move |visit| all.iter().for_each(visit));
}

fn add_network<P: Platform>(context: &Context<P>) {
    let inspector = &context.inspector;
    let platform = context.platform.clone();
    inspector.add_metrics(net::COUNTER_METRICS, move |visit| {
        platform.visit_stacks(&mut |card, stack| visit(Some(("card", &card)), &stack.counts()));
    });
    for metrics in [net::GAUGE_METRICS, net::CARD_METRICS] {
        let platform = context.platform.clone();
        inspector.add_metrics(metrics, move |visit| {
            platform.visit_stacks(&mut |card, stack| visit(Some(("card", &card)), stack));
        });
    }
    #[cfg(feature = "vsock")]
    add_vsock(context);
    #[cfg(feature = "shared-memory")]
    add_shared_memory(context);
    let platform = context.platform.clone();
    inspector.add_table(&net::CARDS, move |visit| {
        platform.visit_stacks(&mut |card, stack| visit(&stack.card(card)));
    });
    let of = context.clone();
    inspector.add_table(&net::CONNECTIONS, move |visit| {
        let tasks = tasks::Index::new(&of.spawner);
        of.platform.visit_connections(&mut |mut row| {
            row.task = row.waker.and_then(|waker| tasks.find(waker));
            visit(&row);
        });
    });
    let of = context.clone();
    let ports: Rc<[_]> = context.config.ports().collect();
    inspector.add_table(&net::LISTENERS, move |visit| {
        let tasks = tasks::Index::new(&of.spawner);
        of.platform.visit_listeners(&mut |mut row| {
            row.task = row.waker.and_then(|waker| tasks.find(waker));
            let has_port = |(_, port): &&(&str, u16)| *port == row.local.port();
            row.service = ports.iter().find(has_port).map(|(service, _)| *service);
            visit(&row);
        });
    });
}

#[cfg(feature = "shared-memory")]
fn add_shared_memory<P: Platform>(context: &Context<P>) {
    let inspector = &context.inspector;
    let rings = context.platform.shared_memory();
    if let Some(rings) = &rings {
        let of = rings.clone();
        inspector.add_metrics(shared_ring::COUNTER_METRICS, move |visit| visit(None, &of.counts()));
        let of = rings.clone();
        inspector.add_metrics(shared_ring::GAUGE_METRICS, move |visit| visit(None, &of));
    }
    let spawner = context.spawner.clone();
    // Where no memory is shared it is empty, as tables of what there may be are.
    inspector.add_table(&shared_ring::FLOWS, move |visit| {
        let Some(rings) = &rings else { return };
        let tasks = tasks::Index::new(&spawner);
        rings.visit_flows(&mut |mut row| {
            row.task = row.waker.and_then(|waker| tasks.find(waker));
            visit(&row);
        });
    });
}

#[cfg(feature = "vsock")]
fn add_vsock<P: Platform>(context: &Context<P>) {
    let Some(network) = context.platform.vsock() else { return };
    let inspector = &context.inspector;
    let of = network.clone();
    inspector.add_metrics(vsock::COUNTER_METRICS, move |visit| visit(None, &of.counts()));
    let of = network.clone();
    inspector.add_metrics(vsock::GAUGE_METRICS, move |visit| visit(None, &of));
    let spawner = context.spawner.clone();
    inspector.add_table(&vsock::CONNECTIONS, move |visit| {
        let tasks = tasks::Index::new(&spawner);
        network.visit_connections(&mut |mut row| {
            row.task = row.waker.and_then(|waker| tasks.find(waker));
            visit(&row);
        });
    });
}

fn millis(time: core::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn micros(time: core::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
