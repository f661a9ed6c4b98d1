//! Disks that the toolstack gives this domain, as xenstore shows them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use xen_store::xenbus::{self, State};
use xen_store::{Error, Store};

/// Where they are.
const FOLDER: &str = "device/vbd";

/// One of them: a virtual block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vbd {
    /// What the guest is to take it for (Xen, docs/man/xen-vbd-interface.7.pandoc): 51712 is `xvda`, 51728 `xvdb`.
    pub number: u32,
    /// Its name in xenstore, mostly the same number.
    name: String,
}

impl Vbd {
    /// Tells the backend of a disk that could not be opened that nobody will use it, so that it may go.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn refuse(&self, store: &Store) -> Result<(), Error> {
        xenbus::set_state(store, &self.folder(), State::Closed).await
    }

    pub(crate) fn folder(&self) -> String {
        format!("{FOLDER}/{}", self.name)
    }
}

/// Those that are there now, in the order of their numbers.
///
/// # Errors
/// Those of the store.
pub async fn list(store: &Store) -> Result<Vec<Vbd>, Error> {
    let names = match store.directory(FOLDER).await {
        Err(Error::NotFound) => return Ok(Vec::new()),
        names => names?,
    };
    let paths: Vec<String> =
        names.iter().map(|name| format!("{FOLDER}/{name}/virtual-device")).collect();
    let numbers = store.read_each(&paths).await;
    let mut vbds = Vec::with_capacity(names.len());
    for (name, number) in names.into_iter().zip(numbers) {
        let number = match number {
            Ok(text) => core::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok()),
            Err(Error::NotFound) => None,
            Err(error) => return Err(error),
        };
        match number.or_else(|| name.parse().ok()) {
            Some(number) => vbds.push(Vbd { number, name }),
            None => log::warn!("{FOLDER}/{name}: no disk, having no number"),
        }
    }
    vbds.sort_by_key(|vbd| vbd.number);
    Ok(vbds)
}
