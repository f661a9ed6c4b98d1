//! Memory by purpose, and who holds most.

use crate::Platform;
use crate::context::Context;
use crate::platform::MemoryUse;
use alloc::string::String;
use inspect::{Column, Metric, Table};

struct MemoryRow {
    purpose: String,
    held_bytes: usize,
    limit_bytes: Option<usize>,
}

static TABLE: Table<MemoryRow> = Table {
    name: "memory",
    help: "Memory by purpose. What peers make a service hold is a part of what all peers do.",
    columns: &[
        Column::text("purpose", "What it is for.", |row| row.purpose.as_str().into()),
        Column::number("held_bytes", "What is held.", |row| row.held_bytes.into()),
        Column::maybe_number("limit_bytes", "What may be held.", |row| row.limit_bytes.into()),
    ],
};

static METRICS: &[Metric<MemoryUse>] = &[
    Metric::byte_gauge("memory_used", "Memory that is in use.", |it| it.used_bytes as u64),
    Metric::byte_gauge("memory", "Memory that there is.", |it| it.total_bytes as u64),
];

pub(super) fn add<P: Platform>(context: &Context<P>) {
    let platform = context.platform.clone();
    context.inspector.add_metrics(METRICS, move |visit| {
        if let Some(memory) = platform.memory_use() {
            visit(None, &memory);
        }
    });
    let of = context.clone();
    context.inspector.add_table(&TABLE, move |visit| {
        let mut row = |purpose: String, held_bytes, limit_bytes| {
            visit(&MemoryRow { purpose, held_bytes, limit_bytes });
        };
        if let Some(memory) = of.platform.memory_use() {
            row("all".into(), memory.used_bytes, Some(memory.total_bytes));
        }
        row("peers".into(), of.ledger.held_bytes(), Some(of.ledger.limit_bytes()));
        for service in of.ledger.services() {
            let purpose = alloc::format!("peers of {}", service.name());
            row(purpose, service.held_bytes(), Some(service.limit_bytes()));
        }
        of.platform.visit_stacks(&mut |card, stack| {
            let gauges = stack.gauges();
            let purpose = alloc::format!("TCP buffers of card {card}");
            row(purpose, gauges.buffer_bytes, Some(gauges.buffer_bytes_max));
        });
        #[cfg(feature = "vsock")]
        if let Some(network) = of.platform.vsock() {
            let limit = Some(network.buffer_bytes_max());
            row("vsock buffers".into(), network.buffered_bytes(), limit);
        }
        #[cfg(feature = "disk")]
        if let Some(cache) = &*of.disk_cache.borrow() {
            row(
                "pages of disks".into(),
                cache.counters().held_bytes,
                Some(cache.limits().bytes_max),
            );
        }
    });
}
