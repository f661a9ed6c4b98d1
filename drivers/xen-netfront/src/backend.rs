//! Backend as xenstore shows it.

use alloc::format;
use alloc::string::String;
use machine::xen::DomainId;
use xen_store::{Error, Store};

/// States of either side (public/io/xenbus.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No state, or none that is known: the side is not there.
    Unknown = 0,
    Initialising = 1,
    InitialisingWait = 2,
    Initialised = 3,
    Connected = 4,
    Closing = 5,
    Closed = 6,
    Reconfiguring = 7,
    Reconfigured = 8,
}

impl State {
    pub(crate) fn from_number(number: u32) -> Self {
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

/// Which backend serves an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    /// Its folder.
    pub(crate) folder: String,
    /// Its domain.
    pub(crate) domain: DomainId,
}

impl Backend {
    /// The backend that an interface's folder names; `None` when the interface is not there.
    pub(crate) async fn find(store: &Store, frontend: &str) -> Result<Option<Self>, Error> {
        let paths = [format!("{frontend}/backend"), format!("{frontend}/backend-id")];
        let mut answers = store.read_each(&paths).await.into_iter();
        let (folder, domain) = (answers.next(), answers.next());
        let (Some(Ok(folder)), Some(Ok(domain))) = (folder, domain) else { return Ok(None) };
        let folder = String::from_utf8(folder).map_err(|_| Error::Malformed)?;
        let domain = core::str::from_utf8(&domain).ok().and_then(|text| text.trim().parse().ok());
        let domain = domain.ok_or(Error::Malformed)?;
        Ok((!folder.is_empty()).then_some(Self { folder, domain }))
    }

    /// The toolstack wants the interface to be there; if not, it is being taken away.
    pub(crate) async fn is_wanted(&self, store: &Store) -> bool {
        store.read_number(&format!("{}/online", self.folder)).await == Ok(1)
    }
}
