//! Inspector: the list of all that can be seen.

use crate::table::TableOf;
use crate::{Family, Label, Metric, Rows, Sample, Table};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

/// All metrics and tables of a system. Clones are the same one.
#[derive(Clone, Default)]
pub struct Inspector(Rc<Lists>);

#[derive(Default)]
struct Lists {
    /// Those with the same descriptions are neighbours.
    metrics: RefCell<Vec<Rc<dyn Metrics>>>,
    tables: RefCell<Vec<Rc<dyn Rows>>>,
}

/// Whoever looks at metrics.
pub trait MetricVisitor {
    /// A family; its samples follow.
    fn family(&mut self, family: &Family);

    /// A sample of it.
    fn sample(&mut self, family: &Family, sample: &Sample<'_>);
}

impl Inspector {
    /// Adds the metrics of parts of one type. `parts` calls its closure with every part that there is, and a label that tells
    /// it from others; it is asked anew for each family.
    pub fn add_metrics<T: 'static>(
        &self,
        metrics: &'static [Metric<T>],
        parts: impl Fn(&mut dyn FnMut(Option<Label<'_>>, &T)) + 'static,
    ) {
        let added = Rc::new(MetricsOf { metrics, parts });
        let mut list = self.0.metrics.borrow_mut();
        let behind = list.iter().rposition(|known| known.identity() == added.identity());
        let place = behind.map_or(list.len(), |neighbour| neighbour + 1);
        list.insert(place, added);
    }

    /// Adds a table; `rows` calls its closure with every row.
    pub fn add_table<R: 'static>(
        &self,
        table: &'static Table<R>,
        rows: impl Fn(&mut dyn FnMut(&R)) + 'static,
    ) {
        self.0.tables.borrow_mut().push(Rc::new(TableOf { table, rows }));
    }

    /// Shows every family with all its samples, one family after the other.
    pub fn visit_metrics(&self, visitor: &mut dyn MetricVisitor) {
        // What is asked may add parts.
        let all = self.0.metrics.borrow().clone();
        for same in all.chunk_by(|one, other| one.identity() == other.identity()) {
            for index in 0..same[0].len() {
                let family = same[0].family(index);
                visitor.family(&family);
                for metrics in same {
                    metrics.visit(index, &mut |sample| visitor.sample(&family, sample));
                }
            }
        }
    }

    /// All tables.
    pub fn tables(&self) -> Vec<Rc<dyn Rows>> {
        self.0.tables.borrow().clone()
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<Rc<dyn Rows>> {
        self.0.tables.borrow().iter().find(|table| table.name() == name).cloned()
    }
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (metrics, tables) = (self.0.metrics.borrow().len(), self.0.tables.borrow().len());
        write!(f, "Inspector({metrics} sets of metrics, {tables} tables)")
    }
}

/// Metrics of parts of one type, whichever it is.
trait Metrics {
    /// The same for all that have the same descriptions.
    fn identity(&self) -> usize;

    fn len(&self) -> usize;

    fn family(&self, index: usize) -> Family;

    fn visit(&self, index: usize, visit: &mut dyn FnMut(&Sample<'_>));
}

struct MetricsOf<T: 'static, F> {
    metrics: &'static [Metric<T>],
    parts: F,
}

impl<T, F: Fn(&mut dyn FnMut(Option<Label<'_>>, &T))> Metrics for MetricsOf<T, F> {
    fn identity(&self) -> usize {
        self.metrics.as_ptr().addr()
    }

    fn len(&self) -> usize {
        self.metrics.len()
    }

    fn family(&self, index: usize) -> Family {
        self.metrics[index].family
    }

    fn visit(&self, index: usize, visit: &mut dyn FnMut(&Sample<'_>)) {
        (self.parts)(&mut |label, part| self.metrics[index].visit(label, part, visit));
    }
}
