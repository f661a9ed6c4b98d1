//! One conversation with a server: start, steps, and what comes of them.

mod events;
mod input;
mod steps;
#[cfg(test)]
mod tests;

pub use events::{Completion, Event, Notification, TransactionStatus};

use crate::authentication::Authentication;
use crate::frontend::Output;
use crate::message::kind;
use crate::{CancelKey, Error, Limits, Oid, SendError, Settings, ToSql};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use events::Events;
use steps::{Copying, Step, Steps};

/// The client's side of one connection.
pub struct Connection {
    limits: Limits,
    phase: Phase,
    /// A message of which a part has come.
    partial: Vec<u8>,
    /// What the server is still to answer.
    steps: Steps,
    events: Events,
    output: Output,
    cancel_key: Option<CancelKey>,
    status: TransactionStatus,
    read_deadline: Option<Duration>,
    write_deadline: Option<Duration>,
}

enum Phase {
    Starting(Box<Start>),
    Open,
    /// This side ends it, once all output has gone.
    Ending,
    /// It is over.
    Ended,
}

/// What is known until the server is ready.
struct Start {
    settings: Settings,
    nonce: [u8; 18],
    authentication: Authentication,
    /// The protocol's minor version that was asked for, or that the server has.
    minor_version: u16,
    deadline: Option<Duration>,
}

impl Connection {
    /// A connection on a flow that was just opened, or behind its TLS handshake. `nonce` is random.
    pub fn new(settings: Settings, limits: Limits, nonce: [u8; 18]) -> Self {
        let mut output = Output::default();
        let mut events = Events::default();
        let started = output.start_up(&settings);
        let minor_version = settings.minor_version;
        let authentication = Authentication::Begun;
        let start = Start { settings, nonce, authentication, minor_version, deadline: None };
        let mut phase = Phase::Starting(Box::new(start));
        if started.is_err() {
            // A zero byte in a name: no server has one.
            events.push(Event::Failed(Error::Method("a name with a zero byte")), 0);
            phase = Phase::Ended;
        }
        Self {
            limits,
            phase,
            partial: Vec::new(),
            steps: Steps::default(),
            events,
            output,
            cancel_key: None,
            status: TransactionStatus::Idle,
            read_deadline: None,
            write_deadline: None,
        }
    }

    /// Whether the server waits for COPY data.
    pub fn is_copying_in(&self) -> bool {
        self.steps.is_copying_in()
    }

    /// Whether a row, or a piece of COPY data, has come in part.
    pub fn is_in_row(&self) -> bool {
        matches!(self.partial.first(), Some(&(kind::DATA_ROW | kind::COPY_DATA)))
    }

    /// Whether steps are taken.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether it is over, and its flow of no more use.
    pub fn is_ended(&self) -> bool {
        match self.phase {
            Phase::Ending => self.output.is_empty(),
            Phase::Ended => true,
            Phase::Starting(_) | Phase::Open => false,
        }
    }

    /// Whether the server has answered all steps.
    pub fn is_idle(&self) -> bool {
        self.is_open() && self.steps.is_empty()
    }

    /// Whether it is in a transaction, as the server said last.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.status
    }

    /// By what a query of this connection is cancelled, if the server said.
    pub fn cancel_key(&self) -> Option<&CancelKey> {
        self.cancel_key.as_ref()
    }

    /// Asks for one or more statements, without parameters, by the simple protocol: values come as text. It stands for itself, without
    /// a [`sync`](Self::sync): events end with [`Event::Ready`].
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn query(&mut self, sql: &str) -> Result<(), SendError> {
        self.check()?;
        self.output.query(sql)?;
        self.steps.push(Step::Query { columns: None, copying: Copying::No });
        Ok(())
    }

    /// Has a statement parsed under a name, or under none until the next; [`Event::Parsed`] comes of it. The server chooses
    /// the types of parameters beyond `types`.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn parse(&mut self, name: &str, sql: &str, types: &[Oid]) -> Result<(), SendError> {
        self.check()?;
        self.output.parse(name, sql, types)?;
        self.steps.push(Step::Parse);
        Ok(())
    }

    /// Asks for a statement's types: [`Event::Parameters`] and [`Event::Columns`] come of it.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn describe(&mut self, name: &str) -> Result<(), SendError> {
        self.check()?;
        self.output.describe_statement(name)?;
        self.steps.push(Step::DescribeParameters);
        self.steps.push(Step::DescribeColumns);
        Ok(())
    }

    /// Executes a statement, whose parameters have these types, as described, and whose rows so many columns:
    /// [`Event::Rows`] and [`Event::Complete`] come of it. Values go and come in binary.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn execute(
        &mut self,
        statement: &str,
        types: &[Oid],
        values: &[&dyn ToSql],
        columns: u16,
    ) -> Result<(), SendError> {
        self.execute_many(statement, types, &[values], columns)
    }

    /// As [`execute`](Self::execute), once for each set of values, all of which fit, or nothing is sent.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn execute_many(
        &mut self,
        statement: &str,
        types: &[Oid],
        sets: &[&[&dyn ToSql]],
        columns: u16,
    ) -> Result<(), SendError> {
        self.check()?;
        self.output.bind_execute(statement, types, sets)?;
        for _ in sets {
            self.steps.push(Step::Bind);
            self.steps.push(Step::Execute { columns, copying: Copying::No });
        }
        Ok(())
    }

    /// Has a statement parsed under no name and executed in one, with parameters of these types, once for each set of values:
    /// each time [`Event::Parsed`], [`Event::Columns`], [`Event::Rows`] and [`Event::Complete`] come of it. Nothing of it is left on the server for a
    /// later step, which a pooler between may send to another of its connections.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn execute_unnamed(
        &mut self,
        sql: &str,
        types: &[Oid],
        sets: &[&[&dyn ToSql]],
    ) -> Result<(), SendError> {
        self.check()?;
        self.output.parse_bind_execute(sql, types, sets)?;
        for _ in sets {
            self.steps.push(Step::Parse);
            self.steps.push(Step::Bind);
            self.steps.push(Step::DescribeColumns);
            // How many columns there are is known by then.
            self.steps.push(Step::Execute { columns: 0, copying: Copying::No });
        }
        Ok(())
    }

    /// Forgets a statement.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn close_statement(&mut self, name: &str) -> Result<(), SendError> {
        self.check()?;
        self.output.close_statement(name)?;
        self.steps.push(Step::Close);
        Ok(())
    }

    /// Ends a group of steps: what an error skips ends here, and a transaction that nobody began is committed.
    /// [`Event::Ready`] comes of it.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn sync(&mut self) -> Result<(), SendError> {
        self.check()?;
        self.output.sync();
        self.steps.push(Step::Sync);
        Ok(())
    }

    /// Sends COPY data, after [`Event::CopyIn`]. Where rows begin is not the protocol's.
    ///
    /// # Errors
    /// No COPY FROM STDIN waits for data.
    pub fn copy_data(&mut self, data: &[u8]) -> Result<(), SendError> {
        if !self.steps.is_copying_in() {
            return Err(SendError::OutOfTurn);
        }
        self.output.copy_data(data)
    }

    /// Ends COPY data.
    ///
    /// # Errors
    /// No COPY FROM STDIN waits for data.
    pub fn copy_done(&mut self) -> Result<(), SendError> {
        if !self.steps.end_copy_in() {
            return Err(SendError::OutOfTurn);
        }
        self.output.copy_done();
        Ok(())
    }

    /// Gives COPY data up: the server answers with an error, which quotes the reason.
    ///
    /// # Errors
    /// No COPY FROM STDIN waits for data.
    pub fn copy_fail(&mut self, reason: &str) -> Result<(), SendError> {
        if !self.steps.is_copying_in() {
            return Err(SendError::OutOfTurn);
        }
        self.output.copy_fail(reason)?;
        self.steps.end_copy_in();
        Ok(())
    }

    /// Ends the connection, behind what is to be sent.
    pub fn terminate(&mut self) {
        match self.phase {
            Phase::Open => {
                self.output.terminate();
                self.phase = Phase::Ending;
            }
            Phase::Starting(_) => self.phase = Phase::Ended,
            Phase::Ending | Phase::Ended => {}
        }
    }

    /// Whether input is taken: not while too much has come of it that nobody has polled.
    pub fn wants_input(&self) -> bool {
        let is_over = matches!(self.phase, Phase::Ending | Phase::Ended);
        !is_over && self.events.held_bytes() <= self.limits.events_bytes_max
    }

    /// Takes input; how many bytes. What it leaves is to be shown again, once events were polled.
    pub fn handle_input(&mut self, _now: Duration, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.wants_input() {
            let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) else { break };
            match self.take(rest) {
                Ok(count) => taken += count,
                Err(error) => self.fail(error),
            }
        }
        if taken > 0 {
            // What is still missing has all the time again.
            self.read_deadline = None;
        }
        if self.is_ended() { bytes.len() } else { taken }
    }

    /// The server ended its side.
    pub fn handle_end(&mut self) {
        match self.phase {
            Phase::Starting(_) | Phase::Open => self.fail(Error::Ended),
            Phase::Ending | Phase::Ended => self.phase = Phase::Ended,
        }
    }

    /// The next thing that came of input, or of time.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Whether [`compute`](Self::compute) is due: input waits for it.
    pub fn is_computing(&self) -> bool {
        let Phase::Starting(start) = &self.phase else { return false };
        start.authentication.is_computing()
    }

    /// Computes what the server asks of who knows the password, some 0.5 ms of it. Called again and again, with turns
    /// for others between, while [`is_computing`](Self::is_computing).
    pub fn compute(&mut self) {
        if let Phase::Starting(start) = &mut self.phase {
            start.authentication.compute(&mut self.output);
        }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something to write.
    pub fn wants_transmit(&self) -> bool {
        !self.output.is_empty() && !matches!(self.phase, Phase::Ended)
    }

    /// Bytes that wait to be sent. Whoever sends much waits until they are few.
    pub fn output_bytes(&self) -> usize {
        self.output.len()
    }

    /// Writes output into `space`; how many bytes.
    pub fn poll_transmit(&mut self, now: Duration, space: &mut [u8]) -> usize {
        let count = self.output.take(space);
        self.write_deadline =
            self.wants_transmit().then(|| now.saturating_add(self.limits.write_timeout));
        count
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_deadline(&mut self, now: Duration) -> Option<Duration> {
        let Limits { start_timeout, stall_timeout, write_timeout, .. } = self.limits;
        let start = match &mut self.phase {
            Phase::Starting(start) => {
                Some(*start.deadline.get_or_insert(now.saturating_add(start_timeout)))
            }
            Phase::Ended => return None,
            Phase::Open | Phase::Ending => None,
        };
        if self.wants_transmit() {
            self.write_deadline.get_or_insert(now.saturating_add(write_timeout));
        }
        if self.partial.is_empty() || !self.wants_input() {
            // What waits for events to be polled is not late.
            self.read_deadline = None;
        } else {
            self.read_deadline.get_or_insert(now.saturating_add(stall_timeout));
        }
        [start, self.read_deadline, self.write_deadline].into_iter().flatten().min()
    }

    /// Ends what made no progress in time; does nothing before [`next_deadline`](Self::next_deadline).
    pub fn handle_timeout(&mut self, now: Duration) {
        let due = |deadline: Option<Duration>| deadline.is_some_and(|deadline| deadline <= now);
        let is_start_due = matches!(&self.phase, Phase::Starting(start) if due(start.deadline));
        if is_start_due {
            self.fail(Error::StartTimeout);
        } else if due(self.write_deadline) && self.wants_transmit() {
            self.fail(Error::OutputStalled);
        } else if due(self.read_deadline) && self.wants_input() {
            self.fail(Error::Stalled);
        }
    }

    /// Bytes that it holds for the server: a message in parts, events, output.
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity() + self.events.held_bytes() + self.output.capacity_bytes()
    }

    /// Whether a step can be taken.
    fn check(&self) -> Result<(), SendError> {
        match self.phase {
            Phase::Open if self.steps.is_copying_in() => Err(SendError::OutOfTurn),
            Phase::Open => Ok(()),
            _ => Err(SendError::NotReady),
        }
    }

    fn fail(&mut self, error: Error) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        self.phase = Phase::Ended;
        self.partial = Vec::new();
        self.output.clear();
        self.steps = Steps::default();
        self.events.push(Event::Failed(error), 0);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Starting(_) => "starting",
            Phase::Open => "open",
            Phase::Ending => "ending",
            Phase::Ended => "ended",
        };
        write!(f, "Connection({phase}, {} steps to be answered)", self.steps.len())
    }
}
