//! Transaction: a guard that rolls back when it is dropped.

use super::{Client, ClientError};
use ::flow::task::waiting;
use core::fmt;
use core::ops::Deref;

/// A transaction, which is what its client does meanwhile. Dropped without [`commit`](Self::commit), it is rolled back.
pub struct Transaction<'a> {
    client: &'a Client,
    is_open: bool,
}

impl<'a> Transaction<'a> {
    pub(super) async fn begin(client: &'a Client) -> Result<Self, ClientError> {
        // Dropped before its answer, it may have begun: so it is a guard from here on.
        let mut transaction = Self { client, is_open: true };
        let begun = client.batch("BEGIN").await;
        transaction.is_open = begun.is_ok();
        begun.map(|()| transaction)
    }

    /// Commits it.
    ///
    /// # Errors
    /// [`ClientError::RolledBack`] if a statement of it had failed; else see [`ClientError`].
    #[track_caller]
    pub fn commit(self) -> impl Future<Output = Result<(), ClientError>> {
        waiting(async move {
            // All of it, so that it is dropped with the future.
            let mut transaction = self;
            let mut answer = transaction.client.shared().ask(|core| core.query("COMMIT")).await?;
            // From here on it is the server's.
            let completion = answer.finish().await;
            transaction.is_open = false;
            if completion?.is_rollback { Err(ClientError::RolledBack) } else { Ok(()) }
        })
    }

    /// Rolls it back, and waits until that is done.
    ///
    /// # Errors
    /// See [`ClientError`].
    #[track_caller]
    pub fn roll_back(self) -> impl Future<Output = Result<(), ClientError>> {
        waiting(async move {
            let mut transaction = self;
            let rolled_back = transaction.client.batch("ROLLBACK").await;
            transaction.is_open = false;
            rolled_back
        })
    }
}

impl Deref for Transaction<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.client.shared().roll_back();
        }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transaction({:?})", self.client)
    }
}
