//! Watches: being told of changes.

use crate::client;
use crate::wire::Kind;
use crate::{Error, Store};
use alloc::string::String;
use core::future::poll_fn;

/// A watch on a node and all below it. Ends when dropped.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    id: u32,
    path: String,
}

impl Watch {
    pub(crate) async fn start(store: &Store, path: &str) -> Result<Self, Error> {
        let id = store.client.lock().add_watch(path)?;
        // From here on it is removed when this future is dropped.
        let watch =
            Self { store: Store { transaction: 0, ..store.clone() }, id, path: path.into() };
        let token = client::token(id);
        let parts: &[&[u8]] = &[path.as_bytes(), b"\0", token.as_bytes()];
        watch.store.request(Kind::Watch, parts).await?;
        Ok(watch)
    }

    /// The path of the next change. Several changes in a row may be told as one, and after a
    /// reconnection one is told for all that may have happened.
    pub async fn changed(&mut self) -> Result<String, Error> {
        poll_fn(|cx| self.store.client.lock().poll_event(cx, self.id)).await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.store.client.lock().remove_watch(self.id, &self.path);
    }
}
