//! What others may see of disks.

use crate::{BlockDevice, DiskCounters, Geometry};
use inspect::{Column, Metric, Table};

/// A row of [`DISKS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRow {
    id: usize,
    driver: &'static str,
    geometry: Geometry,
    counters: DiskCounters,
}

impl DiskRow {
    /// That of a disk, by its place among all.
    pub fn of(id: usize, disk: &dyn BlockDevice) -> Self {
        Self { id, driver: disk.driver(), geometry: disk.geometry(), counters: disk.counters() }
    }
}

/// Disks.
pub static DISKS: Table<DiskRow> = Table {
    name: "disks",
    help: "Disks. Those of a process are files, of which nothing is counted.",
    columns: &[
        Column::number("id", "The place among the disks, 1 for the first.", |row| {
            (row.id as u64).into()
        }),
        Column::text("driver", "What drives it.", |row| row.driver.into()),
        Column::number("capacity_bytes", "How long it is.", |row| {
            row.geometry.capacity_bytes.into()
        }),
        Column::flag("is_read_only", "It takes no writes.", |row| row.geometry.is_read_only.into()),
        Column::number("requests", "Requests that were made.", |row| row.counters.requests.into()),
        Column::number("failed", "Requests that failed.", |row| row.counters.failed.into()),
        Column::number("read_bytes", "Bytes that were read.", |row| row.counters.read_bytes.into()),
        Column::number("written_bytes", "Bytes that were written.", |row| {
            row.counters.written_bytes.into()
        }),
        Column::number("in_flight", "Requests that the disk has.", |row| {
            (row.counters.in_flight as u64).into()
        }),
        Column::number("depth_max", "The most that it had at a time.", |row| {
            (row.counters.depth_max as u64).into()
        }),
    ],
};

/// The metrics of a disk.
pub static DISK_METRICS: &[Metric<DiskCounters>] = &[
    Metric::counter("disk_requests", "Requests to a disk.", |it| it.requests),
    Metric::counter("disk_requests_failed", "Requests to a disk that failed.", |it| it.failed),
    Metric::byte_counter("disk_read", "What was read of a disk.", |it| it.read_bytes),
    Metric::byte_counter("disk_written", "What was written to a disk.", |it| it.written_bytes),
    Metric::gauge("disk_requests_in_flight", "Requests that a disk has.", |it| it.in_flight as u64),
];
