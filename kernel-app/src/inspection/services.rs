//! Services that run, and what they offer where.

use crate::Platform;
use crate::context::Context;
use crate::service::{Offer, Service};
use alloc::rc::Rc;
use inspect::{Column, Metric, Table};

struct ServiceRow {
    name: &'static str,
    offer: Option<Offer>,
    connections: usize,
    held_bytes: Option<usize>,
    is_draining: bool,
}

static TABLE: Table<ServiceRow> = Table {
    name: "services",
    help: "Services that run.",
    columns: &[
        Column::text("name", "Its name in the configuration and among the features.", |row| {
            row.name.into()
        }),
        Column::maybe_text("offers", "What others find it by.", |row| {
            row.offer.map(|offer| offer.name).into()
        }),
        Column::maybe_text("protocol", "What it speaks.", |row| {
            row.offer.map(|offer| offer.protocol).into()
        }),
        Column::maybe_number("port", "Where it listens.", |row| {
            row.offer.and_then(|offer| offer.port).into()
        }),
        Column::number("connections", "Connections that are open.", |row| row.connections.into()),
        Column::maybe_number("held_bytes", "What its peers make us hold.", |row| {
            row.held_bytes.into()
        }),
        Column::flag("is_draining", "It takes no more work.", |row| row.is_draining.into()),
    ],
};

static METRICS: &[Metric<Rc<dyn Service>>] =
    &[Metric::gauge("connections", "Connections of a service that are open.", |service| {
        service.connections() as u64
    })];

pub(super) fn add<P: Platform>(context: &Context<P>) {
    let services = context.services.clone();
    context.inspector.add_metrics(METRICS, move |visit| {
        for (name, service) in services.all() {
            visit(Some(("service", &name)), &service);
        }
    });
    let (services, ledger) = (context.services.clone(), context.ledger.clone());
    context.inspector.add_table(&TABLE, move |visit| {
        let (is_draining, ledgers) = (services.are_draining(), ledger.services());
        for (name, service) in services.all() {
            let own = ledgers.iter().find(|ledger| ledger.name() == name);
            let row = ServiceRow {
                name,
                offer: None,
                connections: service.connections(),
                held_bytes: own.map(|ledger| ledger.held_bytes()),
                is_draining,
            };
            match &*service.offers() {
                [] => visit(&row),
                offers => {
                    offers
                        .iter()
                        .for_each(|offer| visit(&ServiceRow { offer: Some(*offer), ..row }));
                }
            }
        }
    });
}
