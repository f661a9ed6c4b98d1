//! Client: one connection, and what can be asked over it.

use super::answer::Answer;
use super::copy::{CopyIn, CopyOut};
use super::notifications::{Inbox, Notifications};
use super::rows::RowStream;
use super::shared::Shared;
use super::statement::Name;
use super::{ClientError, Statement, TargetSession, Transaction};
use ::flow::task::{wait_fn, waiting};
use ::postgres::{Event, Row, SqlState, ToSql};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// One connection. With the last handle, this and its [`Notifications`], it ends in order.
pub struct Client {
    handle: Rc<Handle>,
}

/// Whoever needs the connection holds one.
pub(super) struct Handle(pub(super) Rc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.terminate();
    }
}

impl Client {
    /// Waits until the server is ready for requests.
    pub(super) async fn started(shared: Rc<Shared>) -> Result<Self, ClientError> {
        let client = Self { handle: Rc::new(Handle(shared)) };
        client.shared().start().finish().await?;
        Ok(client)
    }

    /// The rows of a statement.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn query(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
    ) -> impl Future<Output = Result<Vec<Row>, ClientError>> {
        waiting(async move {
            let mut stream = self.stream(sql, values).await?;
            let (mut rows, mut left) = (Vec::new(), self.shared().options.result_bytes_max);
            while let Some(batch) = self.noted(sql, stream.next_batch().await)? {
                left = left.checked_sub(batch.held_bytes()).ok_or(ClientError::TooLong)?;
                rows.extend(batch.into_rows(stream.columns().clone()));
            }
            Ok(rows)
        })
    }

    /// The row of a statement that has exactly one.
    ///
    /// # Errors
    /// There is none, or more than one; else see [`ClientError`].
    #[track_caller]
    pub fn query_one(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
    ) -> impl Future<Output = Result<Row, ClientError>> {
        waiting(async move {
            let row = self.query_optional(sql, values).await?;
            row.ok_or(ClientError::RowCount(0))
        })
    }

    /// The row of a statement that has one at most.
    ///
    /// # Errors
    /// There is more than one; else see [`ClientError`].
    #[track_caller]
    pub fn query_optional(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
    ) -> impl Future<Output = Result<Option<Row>, ClientError>> {
        waiting(async move {
            let mut stream = self.stream(sql, values).await?;
            let Some(row) = self.noted(sql, stream.next().await)? else { return Ok(None) };
            match self.noted(sql, stream.next().await)? {
                None => Ok(Some(row)),
                Some(_) => Err(ClientError::RowCount(2)),
            }
        })
    }

    /// The rows of a statement as they are asked for.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn query_stream(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
    ) -> impl Future<Output = Result<RowStream, ClientError>> {
        waiting(self.stream(sql, values))
    }

    /// Executes a statement; how many rows it changed.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn execute(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
    ) -> impl Future<Output = Result<u64, ClientError>> {
        waiting(async move { self.change(sql, &[values]).await })
    }

    /// The rows of a statement for each of many sets of values, in their order. They are one group: one message after it has the server
    /// answer, and either all come to be or none, in a transaction of their own if there is no other.
    ///
    /// # Errors
    /// See [`ClientError`]. Which set the server refused is not told.
    #[track_caller]
    pub fn query_many(
        &self,
        sql: &str,
        sets: &[&[&dyn ToSql]],
    ) -> impl Future<Output = Result<Vec<Vec<Row>>, ClientError>> {
        waiting(async move {
            if sets.is_empty() {
                return Ok(Vec::new());
            }
            let statement = self.prepare(sql).await?;
            let asked = self.ask(&statement, sets).await;
            let mut answer = self.noted(sql, asked)?;
            let mut columns = statement.columns().clone();
            let (mut results, mut rows) = (Vec::with_capacity(sets.len()), Vec::new());
            let mut left = self.shared().options.result_bytes_max;
            loop {
                match self.noted(sql, answer.next().await)? {
                    Event::Columns(described) => columns = described,
                    Event::Rows(batch) => {
                        left = left.checked_sub(batch.held_bytes()).ok_or(ClientError::TooLong)?;
                        rows.extend(batch.into_rows(columns.clone()));
                    }
                    Event::Complete(_) => results.push(core::mem::take(&mut rows)),
                    Event::Ready(_) => return Ok(results),
                    _ => {}
                }
            }
        })
    }

    /// Executes a statement for each of many sets of values, as [`query_many`](Self::query_many); how many rows all of them changed.
    ///
    /// # Errors
    /// See [`ClientError`]. Which set the server refused is not told.
    #[track_caller]
    pub fn execute_many(
        &self,
        sql: &str,
        sets: &[&[&dyn ToSql]],
    ) -> impl Future<Output = Result<u64, ClientError>> {
        waiting(async move {
            if sets.is_empty() {
                return Ok(0);
            }
            self.change(sql, sets).await
        })
    }

    /// Executes statements without parameters, divided by semicolons, in one transaction unless they say otherwise. Rows are dropped.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn batch(&self, sql: &str) -> impl Future<Output = Result<(), ClientError>> {
        waiting(async move {
            let mut answer = self.shared().ask(|core| core.query(sql)).await?;
            answer.finish().await.map(drop)
        })
    }

    /// Has a statement prepared, or finds it among those that are.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn prepare(&self, sql: &str) -> impl Future<Output = Result<Statement, ClientError>> {
        waiting(async move {
            let shared = self.shared();
            let kept = shared.statements.borrow_mut().get(sql);
            if let Some(statement) = kept {
                return Ok(statement);
            }
            let name = shared.statements.borrow_mut().new_name(sql);
            let statement = self.parse(name, sql).await?;
            let old = shared.statements.borrow_mut().put(sql, statement.clone());
            drop(old);
            Ok(statement)
        })
    }

    /// The rows of a statement that was prepared on this connection.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::Closed`] if it was prepared on another.
    #[track_caller]
    pub fn query_prepared(
        &self,
        statement: &Statement,
        values: &[&dyn ToSql],
    ) -> impl Future<Output = Result<RowStream, ClientError>> {
        waiting(async move {
            if !statement.is_of(self.shared()) {
                return Err(ClientError::Closed);
            }
            self.stream_of(statement.clone(), values).await
        })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn transaction(&mut self) -> impl Future<Output = Result<Transaction<'_>, ClientError>> {
        waiting(Transaction::begin(self))
    }

    /// Begins `COPY ... FROM STDIN`, which has the connection for itself until it ends.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn copy_in(&self, sql: &str) -> impl Future<Output = Result<CopyIn, ClientError>> {
        waiting(async move {
            let answer = self.shared().ask_alone(|core| core.query(sql)).await?;
            CopyIn::begin(answer, self.handle.clone()).await
        })
    }

    /// Begins `COPY ... TO STDOUT`.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn copy_out(&self, sql: &str) -> impl Future<Output = Result<CopyOut, ClientError>> {
        waiting(async move {
            let answer = self.shared().ask(|core| core.query(sql)).await?;
            CopyOut::begin(answer, self.handle.clone()).await
        })
    }

    /// Listens to a channel of `NOTIFY`. The connection lives as long as this or the client does.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn listen(
        &self,
        channel: &str,
    ) -> impl Future<Output = Result<Notifications, ClientError>> {
        waiting(async move {
            let shared = self.shared();
            let inbox = Rc::new(Inbox::new(shared.options.notifications_max));
            let entry = (channel.into(), Rc::downgrade(&inbox));
            shared.state.borrow_mut().channels.push(entry);
            self.batch(&format!("LISTEN {}", quoted(channel))).await?;
            Ok(Notifications::new(inbox, self.handle.clone()))
        })
    }

    /// Whether the connection is over.
    pub fn is_ended(&self) -> bool {
        self.shared().is_ended()
    }

    /// Waits until the connection is over.
    #[track_caller]
    pub fn ended(&self) -> impl Future<Output = ()> {
        wait_fn(|cx| self.shared().poll_ended(cx))
    }

    pub(super) fn is_target(&self, target: TargetSession) -> bool {
        self.shared().state.borrow().is_target(target)
    }

    pub(super) fn shared(&self) -> &Rc<Shared> {
        &self.handle.0
    }

    async fn stream(&self, sql: &str, values: &[&dyn ToSql]) -> Result<RowStream, ClientError> {
        let statement = self.prepare(sql).await?;
        let stream = self.stream_of(statement, values).await;
        self.noted(sql, stream)
    }

    /// Executes a statement for each set of values; how many rows all of them changed.
    async fn change(&self, sql: &str, sets: &[&[&dyn ToSql]]) -> Result<u64, ClientError> {
        let statement = self.prepare(sql).await?;
        let asked = self.ask(&statement, sets).await;
        let mut answer = self.noted(sql, asked)?;
        let mut changed = 0;
        loop {
            match self.noted(sql, answer.next().await)? {
                Event::Complete(completion) => changed += completion.rows,
                Event::Ready(_) => return Ok(changed),
                _ => {}
            }
        }
    }

    async fn stream_of(
        &self,
        statement: Statement,
        values: &[&dyn ToSql],
    ) -> Result<RowStream, ClientError> {
        let mut answer = self.ask(&statement, &[values]).await?;
        let mut columns = statement.columns().clone();
        if let Name::Text(_) = statement.name() {
            // What it was described as may be long ago.
            columns = loop {
                if let Event::Columns(columns) = answer.next().await? {
                    break columns;
                }
            };
        }
        Ok(RowStream::new(answer, columns, statement, self.handle.clone()))
    }

    async fn ask(
        &self,
        statement: &Statement,
        sets: &[&[&dyn ToSql]],
    ) -> Result<Answer, ClientError> {
        // A statement has at most 1,664 columns.
        let columns = u16::try_from(statement.columns().len()).unwrap_or(u16::MAX);
        let types = statement.parameters();
        let sending = self.shared().ask(|core| {
            match statement.name() {
                Name::Kept(name) => core.execute_many(name, types, sets, columns)?,
                Name::Text(sql) => core.execute_unnamed(sql, types, sets)?,
            }
            core.sync()
        });
        sending.await
    }

    async fn parse(&self, name: Name, sql: &str) -> Result<Statement, ClientError> {
        let sending = self.shared().ask(|core| {
            let name = if let Name::Kept(name) = &name { name } else { "" };
            core.parse(name, sql, &[])?;
            core.describe(name)?;
            core.sync()
        });
        let mut answer = sending.await?;
        let (mut parameters, mut columns) = (Vec::new(), Rc::from([]));
        loop {
            match answer.next().await? {
                Event::Parameters(types) => parameters = types,
                Event::Columns(described) => columns = described,
                Event::Ready(_) => break,
                _ => {}
            }
        }
        Ok(Statement::new(name, parameters, columns, self.shared()))
    }

    /// Forgets a statement whose tables have changed, or that the server has lost, so that it is prepared anew the next time. One
    /// without a name is described anew after any error, since the types of its parameters may be others now.
    fn noted<T>(&self, sql: &str, outcome: Result<T, ClientError>) -> Result<T, ClientError> {
        let state = outcome.as_ref().err().and_then(ClientError::state);
        let has_names = self.shared().options.statements_max > 0;
        if has_names && state == Some(SqlState::InvalidSqlStatementName) {
            log::warn!(
                "postgres: {:?} lost a prepared statement; behind a pooler of transactions, statements_max = 0 is right",
                self.shared().server
            );
        }
        let is_stale = matches!(
            state,
            Some(SqlState::FeatureNotSupported | SqlState::InvalidSqlStatementName)
        );
        if is_stale || outcome.is_err() && self.shared().options.statements_max == 0 {
            let old = self.shared().statements.borrow_mut().remove(sql);
            drop(old);
        }
        outcome
    }
}

/// A name as SQL quotes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?}, {:?})", self.shared().server, self.shared().state.borrow().core)
    }
}
