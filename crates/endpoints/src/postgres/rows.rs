//! Row stream: rows as they are asked for.

use super::answer::Answer;
use super::client::Handle;
use super::{ClientError, Statement};
use ::flow::task::waiting;
use ::postgres::{Columns, Event, IntoRows, Row, Rows};
use alloc::rc::Rc;
use core::fmt;

/// Rows of a statement, as they are asked for; the others wait on the server. Dropped before the end, it cancels the statement.
pub struct RowStream {
    answer: Answer,
    columns: Columns,
    statement: Statement,
    batch: Option<IntoRows>,
    /// How many rows the statement read or changed, once it is done.
    completed: Option<u64>,
    is_done: bool,
    _connection: Rc<Handle>,
}

impl RowStream {
    pub(super) fn new(
        answer: Answer,
        columns: Columns,
        statement: Statement,
        connection: Rc<Handle>,
    ) -> Self {
        let (batch, completed, is_done) = (None, None, false);
        Self { answer, columns, statement, batch, completed, is_done, _connection: connection }
    }

    /// The columns of the rows.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The next row; none at the end. Cancel-safe.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[expect(clippy::should_implement_trait, reason = "it waits, and is no iterator's")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Result<Option<Row>, ClientError>> {
        waiting(async move {
            loop {
                if let Some(row) = self.batch.as_mut().and_then(Iterator::next) {
                    return Ok(Some(row));
                }
                let Some(batch) = self.next_batch().await? else { return Ok(None) };
                self.batch = Some(batch.into_rows(self.columns().clone()));
            }
        })
    }

    /// How many rows the statement read or changed, once it is done.
    pub fn completed(&self) -> Option<u64> {
        self.completed
    }

    /// The next rows that came together; none at the end.
    pub(super) async fn next_batch(&mut self) -> Result<Option<Rows>, ClientError> {
        self.batch = None;
        while !self.is_done {
            match self.answer.next().await {
                Ok(Event::Rows(rows)) => return Ok(Some(rows)),
                Ok(Event::Complete(completion)) => self.completed = Some(completion.rows),
                Ok(Event::Ready(_)) => self.is_done = true,
                Ok(_) => {}
                Err(error) => {
                    self.is_done = true;
                    return Err(error);
                }
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for RowStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowStream({:?})", self.statement)
    }
}
