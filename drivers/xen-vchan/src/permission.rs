//! Permission: which domains may come by a name.

use crate::meeting::DOMAINS;
use alloc::format;
use alloc::string::String;
use core::cell::Cell;
use machine::xen::DomainId;
use xen_store::{Error as StoreError, Store};

/// Who may come by a name: all, unless this domain's folder has a list of those who may: numbers, names that dom0 has given and
/// lets others read, or `*`.
///
/// Nobody but this domain and dom0 can write there, and nobody but dom0 a domain's name. It is read for each connection, so that
/// a change holds from the next one on. With the domain's folder it is gone when the domain is restored; once there was a list,
/// none lets nobody come.
#[derive(Default)]
pub(crate) struct Permission {
    was_listed: Cell<bool>,
}

impl Permission {
    /// Whether `client` may come by `name`.
    pub(crate) async fn includes(
        &self,
        store: &Store,
        client: DomainId,
        name: &str,
    ) -> Result<bool, StoreError> {
        let Some(listed) = self.read(store, name).await? else {
            return Ok(!self.was_listed.get());
        };
        let mut words = listed.split_ascii_whitespace();
        if words.clone().any(|word| word == "*" || word.parse() == Ok(client)) {
            return Ok(true);
        }
        match store.read_text(&format!("{DOMAINS}/{client}/name")).await {
            // A word that could be a number is one.
            Ok(given) => Ok(words.any(|word| word == given && word.parse::<DomainId>().is_err())),
            Err(StoreError::NotFound | StoreError::NotPermitted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The list, if there is one.
    pub(crate) async fn read(
        &self,
        store: &Store,
        name: &str,
    ) -> Result<Option<String>, StoreError> {
        match store.read_text(&format!("data/vchan-from/{name}")).await {
            Err(StoreError::NotFound) => Ok(None),
            listed => {
                self.was_listed.set(true);
                listed.map(Some)
            }
        }
    }
}
