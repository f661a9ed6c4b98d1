//! Input: the server's messages, each checked for its length and its place.

use super::steps::{Copying, Step};
use super::{Completion, Connection, Event, Notification, Phase, Start, TransactionStatus};
use crate::cancel::SECRET_BYTES_MAX;
use crate::message::{Message, kind};
use crate::rows::{COLUMN_BYTES, parse_columns};
use crate::{CancelKey, Error, Format, Limits, Oid, ServerError};
use alloc::boxed::Box;
use alloc::vec::Vec;
use zeroize::Zeroizing;

/// The type and the length, which counts itself and not the type.
const HEADER_BYTES: usize = 5;

impl Connection {
    /// Takes a message off the front of the input, or the part of it that is there; how many bytes.
    pub(super) fn take(&mut self, input: &[u8]) -> Result<usize, Error> {
        if !self.partial.is_empty() {
            return self.complete(input);
        }
        match message_bytes(input, &self.limits)?.and_then(|bytes| input.get(..bytes)) {
            Some(message) => {
                self.handle_message(message)?;
                Ok(message.len())
            }
            None => {
                self.partial.extend_from_slice(input);
                Ok(input.len())
            }
        }
    }

    /// Adds to a message that came in parts.
    fn complete(&mut self, input: &[u8]) -> Result<usize, Error> {
        let wanted = message_bytes(&self.partial, &self.limits)?.unwrap_or(HEADER_BYTES);
        let missing = wanted - self.partial.len();
        let part = input.get(..missing).unwrap_or(input);
        self.partial.extend_from_slice(part);
        if message_bytes(&self.partial, &self.limits)? == Some(self.partial.len()) {
            let message = core::mem::take(&mut self.partial);
            self.handle_message(&message)?;
        }
        Ok(part.len())
    }

    fn handle_message(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (Some(kind), Some(body)) = (bytes.first(), bytes.get(HEADER_BYTES..)) else {
            return Ok(());
        };
        let message = Message { kind: *kind, body };
        match message.kind {
            // A row is what comes most.
            kind::DATA_ROW => self.handle_row(message),
            kind::ERROR_RESPONSE => self.handle_error(ServerError::parse(message)?),
            kind::NOTICE_RESPONSE => {
                let notice = ServerError::parse(message)?;
                let bytes = notice.held_bytes();
                self.events.push(Event::Notice(Box::new(notice)), bytes);
                Ok(())
            }
            kind::PARAMETER_STATUS => self.handle_parameter(message),
            _ if matches!(self.phase, Phase::Starting(_)) => self.handle_start(message),
            kind::NOTIFICATION_RESPONSE => self.handle_notification(message),
            kind::COPY_DATA => self.handle_copy_data(message),
            _ => self.handle_answer(message),
        }
    }

    fn handle_parameter(&mut self, message: Message<'_>) -> Result<(), Error> {
        let mut reader = message.reader();
        let name = reader.lossy_text()?.into_owned();
        let value = reader.lossy_text()?.into_owned();
        reader.end()?;
        self.events.push(Event::Parameter { name, value }, message.body.len());
        Ok(())
    }

    fn handle_notification(&mut self, message: Message<'_>) -> Result<(), Error> {
        let mut reader = message.reader();
        let process = reader.u32()?;
        let channel = reader.text()?.into();
        let payload = reader.text()?.into();
        reader.end()?;
        let notification = Notification { channel, payload, process };
        self.events.push(Event::Notification(notification), message.body.len());
        Ok(())
    }

    /// An error ends the connection where there is no way on: at the start, if it is fatal, and if nothing was asked.
    fn handle_error(&mut self, error: ServerError) -> Result<(), Error> {
        let error = Box::new(error);
        let is_open = matches!(self.phase, Phase::Open) && !self.steps.is_empty();
        if !is_open || error.severity.is_fatal() {
            return Err(Error::Server(error));
        }
        self.steps.skip();
        let bytes = error.held_bytes();
        self.events.push(Event::Error(error), bytes);
        Ok(())
    }

    /// A message before the first ReadyForQuery.
    fn handle_start(&mut self, message: Message<'_>) -> Result<(), Error> {
        let Self { phase: Phase::Starting(start), limits, output, .. } = self else {
            return Ok(());
        };
        let Start { settings, nonce, authentication, minor_version, .. } = &mut **start;
        let is_authenticated = matches!(authentication, super::Authentication::Done);
        match message.kind {
            // While a proof is computed, the server has nothing to say.
            kind::AUTHENTICATION if !is_authenticated && !authentication.is_computing() => {
                authentication.handle(message, settings, nonce, limits, output)
            }
            kind::NEGOTIATE_PROTOCOL_VERSION if !is_authenticated => {
                *minor_version = parse_version(message, *minor_version)?;
                Ok(())
            }
            kind::BACKEND_KEY_DATA if is_authenticated => {
                self.cancel_key = Some(parse_key(message, *minor_version)?);
                Ok(())
            }
            kind::READY_FOR_QUERY if is_authenticated => {
                self.status = parse_status(message)?;
                self.phase = Phase::Open;
                self.events.push(Event::Started, 0);
                Ok(())
            }
            _ => Err(Error::Unexpected(message.kind)),
        }
    }

    fn handle_row(&mut self, message: Message<'_>) -> Result<(), Error> {
        let columns = match self.steps.front() {
            Some(Step::Execute { columns, copying: Copying::No }) => *columns,
            Some(Step::Query { columns: Some(columns), copying: Copying::No }) => *columns,
            _ => return Err(Error::Unexpected(message.kind)),
        };
        self.events.push_row(message, columns)
    }

    fn handle_copy_data(&mut self, message: Message<'_>) -> Result<(), Error> {
        match self.steps.front() {
            Some(
                Step::Execute { copying: Copying::Out, .. }
                | Step::Query { copying: Copying::Out, .. },
            ) => {
                self.events.push_copy_data(message.body);
                Ok(())
            }
            _ => Err(Error::Unexpected(message.kind)),
        }
    }

    /// A message that answers the step at work.
    fn handle_answer(&mut self, message: Message<'_>) -> Result<(), Error> {
        let Some(step) = self.steps.front() else { return Err(Error::Unexpected(message.kind)) };
        match (step, message.kind) {
            (Step::Parse, kind::PARSE_COMPLETE) => {
                message.empty()?;
                self.events.push(Event::Parsed, 0);
                self.steps.pop();
            }
            (Step::Bind, kind::BIND_COMPLETE) | (Step::Close, kind::CLOSE_COMPLETE) => {
                message.empty()?;
                self.steps.pop();
            }
            (Step::DescribeParameters, kind::PARAMETER_DESCRIPTION) => {
                let parameters = parse_parameters(message)?;
                self.events.push(Event::Parameters(parameters), message.body.len());
                self.steps.pop();
            }
            (Step::DescribeColumns, kind::ROW_DESCRIPTION | kind::NO_DATA) => {
                let count = self.handle_columns(message, true)?;
                self.steps.pop();
                if let Some(Step::Execute { columns, .. }) = self.steps.front() {
                    *columns = count;
                }
            }
            (Step::Sync | Step::Query { copying: Copying::No, .. }, kind::READY_FOR_QUERY) => {
                self.status = parse_status(message)?;
                self.events.push(Event::Ready(self.status), 0);
                self.steps.pop();
            }
            (Step::Query { copying: Copying::No, .. }, kind::ROW_DESCRIPTION) => {
                let count = self.handle_columns(message, false)?;
                self.set_columns(Some(count));
            }
            (Step::Execute { .. } | Step::Query { .. }, _) => return self.handle_result(message),
            _ => return Err(Error::Unexpected(message.kind)),
        }
        Ok(())
    }

    /// How many columns the rows have that follow, in a simple query.
    fn set_columns(&mut self, count: Option<u16>) {
        if let Some(Step::Query { columns, copying }) = self.steps.front() {
            (*columns, *copying) = (count, Copying::No);
        }
    }

    /// Columns with their texts; how many. Values of prepared statements are asked for in binary.
    fn handle_columns(&mut self, message: Message<'_>, is_prepared: bool) -> Result<u16, Error> {
        let columns = if message.kind == kind::NO_DATA {
            message.empty()?;
            [].into()
        } else {
            parse_columns(message, is_prepared)?
        };
        // Its count was 16 bits long.
        let count = u16::try_from(columns.len()).map_err(|_| Error::ColumnCount)?;
        let bytes = message.body.len() + columns.len() * COLUMN_BYTES;
        self.events.push(Event::Columns(columns), bytes);
        Ok(count)
    }

    /// What comes of executing a statement, beside rows and COPY data.
    fn handle_result(&mut self, message: Message<'_>) -> Result<(), Error> {
        let count = self.steps.len();
        let Some(step) = self.steps.front() else { return Err(Error::Unexpected(message.kind)) };
        let is_query = matches!(step, Step::Query { .. });
        let (Step::Execute { copying, .. } | Step::Query { copying, .. }) = step else {
            return Err(Error::Unexpected(message.kind));
        };
        match (message.kind, *copying) {
            (kind::COMMAND_COMPLETE, Copying::No | Copying::Done) => {
                self.end_statement(parse_tag(message)?, is_query);
            }
            (kind::EMPTY_QUERY_RESPONSE, Copying::No) => {
                message.empty()?;
                self.end_statement(Completion::default(), is_query);
            }
            (kind::COPY_OUT_RESPONSE, Copying::No) => {
                *copying = Copying::Out;
                let format = parse_copy(message)?;
                self.events.push(Event::CopyOut(format), 0);
            }
            (kind::COPY_DONE, Copying::Out) => {
                message.empty()?;
                *copying = Copying::Done;
            }
            (kind::COPY_IN_RESPONSE, Copying::No) if is_query && count == 1 => {
                *copying = Copying::In;
                let format = parse_copy(message)?;
                self.events.push(Event::CopyIn(format), 0);
            }
            // Of a prepared statement: the Sync behind it was skipped as COPY data is awaited, so another is due.
            (kind::COPY_IN_RESPONSE, Copying::No) if !is_query && count == 2 => {
                *copying = Copying::Done;
                let _ = self.output.copy_fail("COPY FROM STDIN is not for a prepared statement");
                self.output.sync();
            }
            (kind::COPY_IN_RESPONSE, Copying::No) => return Err(Error::CopyInPipeline),
            _ => return Err(Error::Unexpected(message.kind)),
        }
        Ok(())
    }

    fn end_statement(&mut self, completion: Completion, is_query: bool) {
        self.events.push(Event::Complete(completion), 0);
        if is_query {
            // There may be more of them.
            self.set_columns(None);
        } else {
            self.steps.pop();
        }
    }
}

/// The length of the message at the front with its header, once that is there; within its limit.
fn message_bytes(input: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
    let Some([kind, l0, l1, l2, l3]) = input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes([*l0, *l1, *l2, *l3]);
    let bytes_max = match *kind {
        kind::DATA_ROW | kind::COPY_DATA | kind::ROW_DESCRIPTION | kind::PARAMETER_DESCRIPTION => {
            limits.row_bytes_max
        }
        _ => limits.message_bytes_max,
    };
    match usize::try_from(length) {
        Ok(bytes) if (4..=bytes_max).contains(&bytes) => Ok(Some(bytes + 1)),
        _ => Err(Error::Length(*kind, length)),
    }
}

fn parse_parameters(message: Message<'_>) -> Result<Vec<Oid>, Error> {
    let mut reader = message.reader();
    let count = usize::from(reader.u16()?);
    if reader.remaining_bytes() != count * 4 {
        return Err(reader.malformed());
    }
    (0..count).map(|_| reader.u32().map(Oid)).collect()
}

fn parse_status(message: Message<'_>) -> Result<TransactionStatus, Error> {
    let mut reader = message.reader();
    let status = TransactionStatus::from_code(reader.u8()?).ok_or(reader.malformed())?;
    reader.end()?;
    Ok(status)
}

/// The last word of a command tag is the number of rows, of commands that have one.
fn parse_tag(message: Message<'_>) -> Result<Completion, Error> {
    let mut reader = message.reader();
    let tag = reader.text()?;
    reader.end()?;
    let rows = tag.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
    Ok(Completion { rows, is_rollback: tag == "ROLLBACK" })
}

fn parse_copy(message: Message<'_>) -> Result<Format, Error> {
    let mut reader = message.reader();
    let format = Format::from_code(reader.u8()?.into()).ok_or(reader.malformed())?;
    for _ in 0..reader.u16()? {
        reader.u16()?;
    }
    reader.end()?;
    Ok(format)
}

/// The minor version that the server has, which is at most the one asked for. Servers before 18 put the major one in front.
fn parse_version(message: Message<'_>, asked: u16) -> Result<u16, Error> {
    let mut reader = message.reader();
    let version = reader.u32()?;
    // Options that it does not know: none of ours.
    for _ in 0..reader.i32()? {
        reader.text()?;
    }
    reader.end()?;
    let [major @ .., _, _] = version.to_be_bytes();
    let minor = version as u16;
    if !matches!(major, [0, 0 | 3]) || minor > asked {
        return Err(Error::Version);
    }
    Ok(minor)
}

fn parse_key(message: Message<'_>, minor_version: u16) -> Result<CancelKey, Error> {
    let mut reader = message.reader();
    let process = reader.u32()?;
    let secret = reader.rest();
    let is_sound = match minor_version {
        0 | 1 => secret.len() == 4,
        _ => (4..=SECRET_BYTES_MAX).contains(&secret.len()),
    };
    if !is_sound {
        return Err(reader.malformed());
    }
    Ok(CancelKey { process, secret: Zeroizing::new(secret.to_vec()) })
}
