//! Dump of all tasks, for a log: a line for those of one name that wait at one place, since there may be thousands.

use super::tasks::{self, TaskRow};
use crate::Platform;
use crate::context::Context;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt::Write;
use core::time::Duration;
use flow::task::{Place, TaskState};

/// Lines at most: fewer than the log takes of one origin at once.
const LINES_MAX: usize = 40;
/// Tasks of a line that are named.
const NAMED_MAX: usize = 3;

/// The lines, the first of which says how many tasks there are; then those that run or could, then where most wait.
pub(crate) fn lines<P: Platform>(context: &Context<P>) -> Vec<String> {
    let mut dump = Dump::default();
    tasks::visit_all(context, &mut |row| dump.add(row));
    dump.lines()
}

#[derive(Default)]
struct Dump {
    tasks: usize,
    groups: BTreeMap<(&'static str, &'static str, Place), Group>,
}

/// Tasks of one name, in one state, at one place.
struct Group {
    waits: bool,
    tasks: usize,
    oldest: Duration,
    /// The first of them, with whom or what they are for.
    named: String,
}

impl Dump {
    fn add(&mut self, row: &TaskRow) {
        let TaskRow { info, subject, .. } = row;
        self.tasks += 1;
        let key = (info.name, info.state.name(), info.waits_at);
        let group = self.groups.entry(key).or_insert_with(|| Group {
            waits: info.state == TaskState::Waiting,
            tasks: 0,
            oldest: Duration::ZERO,
            named: String::new(),
        });
        group.tasks += 1;
        group.oldest = group.oldest.max(info.age);
        if group.tasks > NAMED_MAX {
            return;
        }
        let comma = if group.tasks == 1 { "" } else { ", " };
        // A string takes all there is.
        let _ = write!(group.named, "{comma}{}", info.id);
        if let Some(subject) = subject {
            let _ = write!(group.named, " for {subject}");
        }
    }

    fn lines(self) -> Vec<String> {
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_by_key(|(_, group)| (group.waits, Reverse(group.tasks)));
        let mut lines = Vec::from([format!("tasks: {}, at {} places", self.tasks, groups.len())]);
        let left_out = groups.len().saturating_sub(LINES_MAX);
        for ((name, state, place), group) in groups.into_iter().take(LINES_MAX) {
            let Group { tasks, oldest, named, .. } = group;
            let more = if tasks > NAMED_MAX { ", ..." } else { "" };
            let oldest_seconds = oldest.as_secs();
            lines.push(format!(
                "  {tasks} x {name}, {state} at {place}: {named}{more}; the oldest {oldest_seconds} s"
            ));
        }
        if left_out > 0 {
            lines.push(format!("  and {left_out} further places"));
        }
        lines
    }
}
