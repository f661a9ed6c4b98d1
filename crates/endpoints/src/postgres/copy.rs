//! COPY: data into a table, and out of it, in the form that the statement says.

use super::ClientError;
use super::answer::Answer;
use super::client::Handle;
use ::flow::task::{wait_fn, waiting};
use ::postgres::{Event, Format};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;

/// Data on their way into a table. Dropped before [`finish`](Self::finish), nothing of it is kept.
pub struct CopyIn {
    answer: Answer,
    format: Format,
    is_open: bool,
    _connection: Rc<Handle>,
}

impl CopyIn {
    pub(super) async fn begin(
        mut answer: Answer,
        connection: Rc<Handle>,
    ) -> Result<Self, ClientError> {
        match answer.next().await? {
            Event::CopyIn(format) => {
                Ok(Self { answer, format, is_open: true, _connection: connection })
            }
            _ => {
                answer.finish().await?;
                Err(ClientError::NoCopy)
            }
        }
    }

    /// The form that the statement asks for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Sends data, once those before are mostly gone. Rows may be divided anywhere. Cancel-safe.
    ///
    /// # Errors
    /// The server has refused what came before: [`finish`](Self::finish) says why. Else see [`ClientError`].
    #[track_caller]
    pub fn send(&mut self, data: &[u8]) -> impl Future<Output = Result<(), ClientError>> {
        waiting(async move {
            wait_fn(|cx| self.answer.shared().poll_output_room(cx)).await;
            Ok(self.answer.with(|core| core.copy_data(data))?)
        })
    }

    /// Ends the data, and waits until the server has them; how many rows they were.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn finish(self) -> impl Future<Output = Result<u64, ClientError>> {
        waiting(async move {
            // All of it, so that it is dropped with the future.
            let mut copy = self;
            // If the server has refused them, its reason is next.
            let _ = copy.answer.with(::postgres::Connection::copy_done);
            copy.is_open = false;
            copy.answer.finish().await.map(|completion| completion.rows)
        })
    }
}

impl Drop for CopyIn {
    fn drop(&mut self) {
        if self.is_open {
            let _ = self.answer.with(|core| core.copy_fail("given up"));
            self.answer.end_follows();
        }
    }
}

/// Data on their way out of a table, as they are asked for. Dropped before the end, it cancels the statement.
pub struct CopyOut {
    answer: Answer,
    format: Format,
    is_done: bool,
    _connection: Rc<Handle>,
}

impl CopyOut {
    pub(super) async fn begin(
        mut answer: Answer,
        connection: Rc<Handle>,
    ) -> Result<Self, ClientError> {
        match answer.next().await? {
            Event::CopyOut(format) => {
                Ok(Self { answer, format, is_done: false, _connection: connection })
            }
            Event::CopyIn(_) => {
                let _ = answer.with(|core| core.copy_fail("data are awaited, not sent"));
                let _ = answer.finish().await;
                Err(ClientError::NoCopy)
            }
            _ => {
                answer.finish().await?;
                Err(ClientError::NoCopy)
            }
        }
    }

    /// The form that the statement asks for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The next data, never none; `None` at the end. Rows may be divided anywhere. Cancel-safe.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[expect(clippy::should_implement_trait, reason = "it waits, and is no iterator's")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, ClientError>> {
        waiting(async move {
            while !self.is_done {
                match self.answer.next().await {
                    Ok(Event::CopyData(data)) => return Ok(Some(data)),
                    Ok(Event::Ready(_)) => self.is_done = true,
                    Ok(_) => {}
                    Err(error) => {
                        self.is_done = true;
                        return Err(error);
                    }
                }
            }
            Ok(None)
        })
    }
}

impl fmt::Debug for CopyIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopyIn({:?})", self.format)
    }
}

impl fmt::Debug for CopyOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopyOut({:?})", self.format)
    }
}
