//! One connection, as libxenvchan sets it up: offered at a path of xenstore by the server, joined by the client.

use crate::channel::Channel;
use crate::memory::{Granted, Memory, Place};
use crate::{VchanFlow, Vchans};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use machine::xen::DomainId;
use machine::xen::event::Port;
use machine::xen::shared_pages::{MapError, SharedPages};
use shared_ring::control::{CLIENT_LIVE, LIVE_AWAITED, ORDERS};
use shared_ring::{Geometry, Ring, SharedMemory};
use xen_store::{Error as StoreError, Store};

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// xenstore failed.
    Store(StoreError),
    /// There are as many as there may be.
    NoPlace,
    /// The domain is not among those who may come.
    NotAllowed,
    /// Memory, grants or event channels are short.
    OutOfMemory,
    /// What the server says is granted is not.
    Map(MapError),
    /// Nobody waits at the event channel that the server names.
    Channel,
    /// The control page says what cannot be.
    Geometry,
    /// The other side did not come in time.
    TimedOut,
    /// The domain was restored meanwhile.
    Gone,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "xenstore: {error}"),
            Self::NoPlace => f.write_str("there are as many connections as there may be"),
            Self::NotAllowed => f.write_str("it is not among those who may come"),
            Self::OutOfMemory => f.write_str("no memory, grants or event channels left"),
            Self::Map(error) => error.fmt(f),
            Self::Channel => f.write_str("its event channel is not there, or somebody else's"),
            Self::Geometry => f.write_str("its control page says what cannot be"),
            Self::TimedOut => f.write_str("the other side does not come"),
            Self::Gone => f.write_str("this domain was restored"),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The server's side, before the client has come.
pub(crate) struct Offer {
    ring: Ring<Memory>,
    channel: Rc<Channel>,
    /// Of the control page.
    reference: u32,
}

impl Vchans {
    /// Memory and an event channel for a client in `domain`.
    pub(crate) fn offer(&self, domain: DomainId, place: Place) -> Result<Offer, Error> {
        let geometry = Geometry::within(self.ring_bytes());
        let pages = SharedPages::grant(domain, 1 + geometry.pages());
        let pages = pages.map_err(|_| Error::OutOfMemory)?;
        let references: Vec<u32> = pages.references().collect();
        let (control, rings) = references.split_first().expect("a control page");
        for (page, reference) in rings.iter().enumerate() {
            pages.store_word(geometry.grant_offset(page), *reference);
        }
        let port = Port::allocate(domain).map_err(|_| Error::OutOfMemory)?;
        let channel = self.watched(Channel::new(port, false));
        let granted = Granted::new(&self.0.granted, 1 + geometry.pages());
        let memory = Memory::granted(pages, &channel, place, granted, Rc::downgrade(&self.0));
        let ring = Ring::serve(memory, geometry).map_err(|_| Error::Geometry)?;
        Ok(Offer { ring, channel, reference: *control })
    }

    /// The client's side of what a server in `domain` offers.
    pub(crate) fn join(
        &self,
        domain: DomainId,
        offered: Offered,
        place: Place,
    ) -> Result<VchanFlow, Error> {
        let mut pages = SharedPages::map(domain, offered.reference).map_err(Error::Map)?;
        // Read once: what the rings are made of is checked against how much was mapped.
        let orders = pages.load_word(ORDERS);
        let geometry = Geometry::new(orders as u16, (orders >> 16) as u16);
        let geometry = geometry.map_err(|_| Error::Geometry)?;
        let references: Vec<u32> = (0..geometry.pages())
            .map(|page| pages.load_word(geometry.grant_offset(page)))
            .collect();
        pages.map_more(&references).map_err(Error::Map)?;
        let port = Port::bind(domain, offered.port).map_err(|_| Error::Channel)?;
        let channel = self.watched(Channel::new(port, true));
        let memory = Memory::mapped(pages, place, Rc::downgrade(&self.0));
        let ring = Ring::join(memory).map_err(|_| Error::Geometry)?;
        Ok(self.open(ring, &channel))
    }

    fn watched(&self, channel: Rc<Channel>) -> Rc<Channel> {
        self.0.channels.borrow_mut().push(Rc::downgrade(&channel));
        channel
    }

    /// The flow, once the client has come.
    pub(crate) async fn arrival(&self, offer: Offer) -> Result<VchanFlow, Error> {
        let Offer { ring, channel, .. } = offer;
        // It may have come and gone: what it wrote is there.
        let has_come = || ring.memory().load_byte(CLIENT_LIVE) != LIVE_AWAITED;
        if poll_fn(|cx| channel.poll_until(cx, has_come)).await {
            Ok(self.open(ring, &channel))
        } else {
            Err(Error::Gone)
        }
    }
}

impl Offer {
    /// The channel, which ends with the connection.
    pub(crate) fn channel(&self) -> &Rc<Channel> {
        &self.channel
    }

    /// Lets `domain` find it at a path, of which the folder is made.
    pub(crate) async fn publish(
        &self,
        store: &Store,
        domain: DomainId,
        path: &str,
    ) -> Result<(), StoreError> {
        let nodes = [
            (format!("{path}/{RING_REF}"), self.reference.to_string()),
            (format!("{path}/{EVENT_CHANNEL}"), self.channel.number().to_string()),
        ];
        let own = store.read_number("domid").await?;
        show_to(store, own, domain, path).await?;
        store.write_each(&nodes).await?;
        // In a folder that was there they need not have its permissions.
        for (node, _) in &nodes {
            set_reader(store, own, domain, node).await?;
        }
        Ok(())
    }
}

/// What stands at a path where a connection may be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Not all of an offer, or nothing that is for this domain to read.
    Nothing,
    /// There is no connection.
    Refused,
    /// A connection.
    Offered(Offered),
}

/// By what a server can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    reference: u32,
    port: u32,
}

impl Found {
    /// What stands there now.
    pub(crate) async fn read(store: &Store, path: &str) -> Result<Self, StoreError> {
        let nodes = [RING_REF, EVENT_CHANNEL, REFUSED].map(|name| format!("{path}/{name}"));
        let mut values = Vec::with_capacity(nodes.len());
        for value in store.read_each(&nodes).await {
            values.push(match value {
                Ok(value) => Some(value),
                Err(StoreError::NotFound | StoreError::NotPermitted) => None,
                Err(error) => return Err(error),
            });
        }
        let number = |text: &[u8]| {
            let text = core::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
            text.ok_or(StoreError::Malformed)
        };
        match &values[..] {
            [_, _, Some(_)] => Ok(Self::Refused),
            [Some(reference), Some(port), None] => {
                let (reference, port) = (number(reference)?, number(port)?);
                Ok(Self::Offered(Offered { reference, port }))
            }
            _ => Ok(Self::Nothing),
        }
    }
}

/// Tells `domain` at a path that there is no connection.
pub(crate) async fn refuse(store: &Store, domain: DomainId, path: &str) -> Result<(), StoreError> {
    let own = store.read_number("domid").await?;
    show_to(store, own, domain, path).await?;
    store.write(&format!("{path}/{REFUSED}"), b"1").await
}

/// Takes back what was offered at a path: the next that comes there waits for another offer.
pub(crate) async fn withdraw(store: &Store, path: &str) -> Result<(), StoreError> {
    for name in [RING_REF, EVENT_CHANNEL] {
        store.remove(&format!("{path}/{name}")).await?;
    }
    Ok(())
}

/// Makes a folder of this domain's, which is `own`, that `domain` may read with all that is made in it.
pub(crate) async fn show_to(
    store: &Store,
    own: u32,
    domain: DomainId,
    folder: &str,
) -> Result<(), StoreError> {
    store.make(folder).await?;
    set_reader(store, own, domain, folder).await
}

async fn set_reader(
    store: &Store,
    own: u32,
    domain: DomainId,
    node: &str,
) -> Result<(), StoreError> {
    let access: [String; 2] = [format!("n{own}"), format!("r{domain}")];
    store.set_permissions(node, &access.each_ref().map(String::as_str)).await
}

const RING_REF: &str = "ring-ref";
const EVENT_CHANNEL: &str = "event-channel";
/// Ours, for those who asked.
const REFUSED: &str = "refused";
