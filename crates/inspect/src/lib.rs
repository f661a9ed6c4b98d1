//! Inspection: what each part of a system lets others see, said once and shown in several ways.
//!
//! A part describes its [`Metric`]s (counters, gauges, histograms) and its [`Table`]s (rows of typed columns), each beside
//! the function that reads it, and adds them to an [`Inspector`]. Whoever shows them visits: families come one after
//! the other with the samples of all parts, as OpenMetrics wants them, and rows one by one, so that nothing is collected in
//! memory. [`openmetrics`] and [`json`] are such views.
//!
//! ```
//! use inspect::{Column, Inspector, Metric, Table, openmetrics};
//! use std::{cell::Cell, rc::Rc};
//!
//! #[derive(Default)]
//! struct Cache { hits: Cell<u64>, held: Cell<usize> }
//!
//! static METRICS: &[Metric<Cache>] = &[
//!     Metric::counter("cache_hits", "Pages that were there.", |cache| cache.hits.get()),
//!     Metric::byte_gauge("cache_held", "Pages in memory.", |cache| cache.held.get() as u64),
//! ];
//!
//! let cache = Rc::new(Cache::default());
//! let inspector = Inspector::default();
//! let shown = cache.clone();
//! inspector.add_metrics(METRICS, move |visit| visit(Some(("disk", &1)), &shown));
//!
//! cache.hits.set(7);
//! let mut text = String::new();
//! openmetrics::write(&inspector, openmetrics::Format::OpenMetrics, &mut text).unwrap();
//! assert!(text.contains("aqueduct_cache_hits_total{disk=\"1\"} 7\n"));
//! assert!(text.contains("# UNIT aqueduct_cache_held_bytes bytes\n"));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod counters;
mod histogram;
mod inspector;
pub mod json;
mod metric;
pub mod openmetrics;
mod table;

pub use counters::{Counters, Counts};
pub use histogram::Histogram;
pub use inspector::{Inspector, MetricVisitor};
pub use metric::{Family, Kind, Label, Metric, ReadEach, Reading, Sample, Unit};
pub use table::{Column, ColumnInfo, Row, RowOf, Rows, Table, Type, Value};
