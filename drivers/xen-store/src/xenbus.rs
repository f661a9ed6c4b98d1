//! Devices of a domain as xenstore shows them: frontend and backend tell each other their states (Xen, public/io/xenbus.h).

use crate::{Error, Store};
use alloc::format;
use alloc::string::{String, ToString};
use machine::xen::DomainId;

/// States of either side (public/io/xenbus.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No state, or none that is known: the side is not there.
    Unknown = 0,
    /// The toolstack has made it.
    Initialising = 1,
    /// A backend has said what it can do.
    InitialisingWait = 2,
    /// The side has said where its rings are.
    Initialised = 3,
    /// The side works.
    Connected = 4,
    /// The side is about to end.
    Closing = 5,
    /// The side has ended.
    Closed = 6,
    /// Something is being changed while it works.
    Reconfiguring = 7,
    /// That is done.
    Reconfigured = 8,
}

impl State {
    /// The state that a node names; one that is not known is none.
    pub fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Initialising,
            2 => Self::InitialisingWait,
            3 => Self::Initialised,
            4 => Self::Connected,
            5 => Self::Closing,
            6 => Self::Closed,
            7 => Self::Reconfiguring,
            8 => Self::Reconfigured,
            _ => Self::Unknown,
        }
    }
}

/// Says which state the frontend in a folder is in.
///
/// # Errors
/// Those of the store.
pub async fn set_state(store: &Store, frontend: &str, state: State) -> Result<(), Error> {
    let value = (state as u8).to_string();
    store.write(&format!("{frontend}/state"), value.as_bytes()).await
}

/// Which backend serves a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its folder.
    pub folder: String,
    /// Its domain.
    pub domain: DomainId,
}

impl Backend {
    /// The backend that a frontend's folder names; `None` when the device is not there.
    ///
    /// # Errors
    /// Those of the store, and a domain that is no number.
    pub async fn find(store: &Store, frontend: &str) -> Result<Option<Self>, Error> {
        let paths = [format!("{frontend}/backend"), format!("{frontend}/backend-id")];
        let mut answers = store.read_each(&paths).await.into_iter();
        let (folder, domain) = (answers.next(), answers.next());
        let (Some(Ok(folder)), Some(Ok(domain))) = (folder, domain) else { return Ok(None) };
        let folder = String::from_utf8(folder).map_err(|_| Error::Malformed)?;
        let domain = core::str::from_utf8(&domain).ok().and_then(|text| text.trim().parse().ok());
        let domain = domain.ok_or(Error::Malformed)?;
        Ok((!folder.is_empty()).then_some(Self { folder, domain }))
    }

    /// The toolstack wants the device to be there; if not, it is being taken away.
    pub async fn is_wanted(&self, store: &Store) -> bool {
        store.read_number(&format!("{}/online", self.folder)).await == Ok(1)
    }
}
