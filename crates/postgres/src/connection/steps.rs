//! Steps that the server is still to answer, in their order.

use alloc::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Parse,
    DescribeParameters,
    DescribeColumns,
    Bind,
    Execute {
        columns: u16,
        copying: Copying,
    },
    Close,
    Sync,
    Query {
        /// Of the rows that come.
        columns: Option<u16>,
        copying: Copying,
    },
}

/// COPY, by the statement at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copying {
    No,
    /// The server waits for our data.
    In,
    /// Its data come.
    Out,
    /// All data went, or came.
    Done,
}

#[derive(Default)]
pub(super) struct Steps(VecDeque<Step>);

impl Steps {
    pub(super) fn push(&mut self, step: Step) {
        self.0.push_back(step);
    }

    /// The step that is answered next.
    pub(super) fn front(&mut self) -> Option<&mut Step> {
        self.0.front_mut()
    }

    pub(super) fn pop(&mut self) {
        self.0.pop_front();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// After an error: the server skips to the next Sync. A simple query ends with its own ReadyForQuery.
    pub(super) fn skip(&mut self) {
        while let Some(step) = self.0.front_mut() {
            match step {
                Step::Sync => return,
                Step::Query { columns, copying } => {
                    (*columns, *copying) = (None, Copying::No);
                    return;
                }
                _ => self.0.pop_front(),
            };
        }
    }

    /// Whether the server waits for data of the step at work.
    pub(super) fn is_copying_in(&self) -> bool {
        matches!(self.0.front(), Some(Step::Query { copying: Copying::In, .. }))
    }

    /// All data went; whether the server waited for any.
    pub(super) fn end_copy_in(&mut self) -> bool {
        match self.0.front_mut() {
            Some(Step::Query { copying: copying @ Copying::In, .. }) => {
                *copying = Copying::Done;
                true
            }
            _ => false,
        }
    }
}
