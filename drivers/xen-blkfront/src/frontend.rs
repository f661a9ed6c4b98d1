//! Handshake, the frontend's side (public/io/xenbus.h and blkif.h, "State diagrams").

use crate::disks::Vbd;
use crate::features::{self, Offer, Properties};
use crate::{Error, Settings, XenBlkfront};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use flow::time::Timers;
use machine::xen::block::{BlockRing, Shape};
use machine::xen::event::Port;
use storage::Geometry;
use xen_store::xenbus::{self, Backend, State};
use xen_store::{Store, Watch};

/// How long a domain that was restored waits for its new backend.
const RECONNECTION_TIME_MAX: Duration = Duration::from_secs(60);

/// The task behind a disk: it connects to another backend when the domain was restored, and gives the disk up when its backend
/// goes otherwise.
pub struct Frontend {
    store: Store,
    vbd: Vbd,
    disk: XenBlkfront,
    shape: Shape,
    session: Session,
}

/// A backend, and how its changes are learned of.
struct Session {
    backend: Backend,
    changes: Watch,
}

/// Opens a disk: the device, and the task to run beside it. Waits until its backend has connected, for which the caller has to
/// have some patience and an end of it. If it comes to nothing, the backend is to be [told](Vbd::refuse).
///
/// # Errors
/// The disk cannot be used.
pub async fn open(
    store: &Store,
    vbd: &Vbd,
    settings: &Settings,
) -> Result<(XenBlkfront, Frontend), Error> {
    let folder = vbd.folder();
    let mut session = Session::meet(store, &folder).await?;
    let offer = Offer::read(store, &session.backend.folder).await?;
    let shape = offer.shape(settings);
    // A request names the disk by as much of its number as it has room for; the backend knows it by its ring.
    let ring = BlockRing::new(session.backend.domain, vbd.number as u16, &shape)?;
    let references: Vec<u32> = ring.references().collect();
    let port = session.offer(store, &folder, &references).await?;
    let Properties { geometry, flush } = session.connect(store, &folder, &shape).await?;
    log::info!("{folder}: {}", describe(&geometry));
    let disk = XenBlkfront::new(folder, geometry, flush, ring, port);
    let (store, vbd) = (store.clone(), vbd.clone());
    let frontend = Frontend { store, vbd, disk: disk.clone(), shape, session };
    Ok((disk, frontend))
}

impl Frontend {
    /// Runs until the disk is given up, or xenstore fails for good.
    pub async fn run(mut self, timers: &Timers) {
        let reason = loop {
            match self.follow(timers).await {
                // The daemon was restarted, or is another's: what it was told last is not known.
                Ok(()) | Err(Error::Store(xen_store::Error::Disconnected)) => {}
                Err(Error::Store(error)) if self.disk.is_connected() => {
                    let folder = self.vbd.folder();
                    log::error!("{folder}: its end would not be noticed: xenstore: {error}");
                    return;
                }
                Err(error) => break error,
            }
        };
        self.disk.give_up(reason);
        if let Err(error) = self.close().await {
            log::debug!("{}: {error}", self.vbd.folder());
        }
    }

    /// Waits for a change of the backend and does what it asks for; an error is a reason to give the disk up.
    async fn follow(&mut self, timers: &Timers) -> Result<(), Error> {
        if let Some(reason) = self.disk.fault() {
            return Err(reason);
        }
        if !self.disk.is_connected() {
            // The domain was restored. Both its own folder and its backend are others.
            self.disk.0.state.borrow_mut().forget_backend();
            let deadline = timers.now() + RECONNECTION_TIME_MAX;
            let connected = timers.before(deadline, self.reconnect()).await;
            return connected.unwrap_or(Err(Error::TimedOut));
        }
        match self.session.state(&self.store).await? {
            State::Closing | State::Closed | State::Unknown => Err(Error::Closed),
            _ => self.changed().await,
        }
    }

    async fn reconnect(&mut self) -> Result<(), Error> {
        let (store, folder) = (self.store.clone(), self.vbd.folder());
        self.session = Session::meet(&store, &folder).await?;
        let Session { backend, .. } = &self.session;
        if !Offer::read(&store, &backend.folder).await?.allows(&self.shape) {
            return Err(Error::Changed);
        }
        let references = self.disk.0.state.borrow_mut().reset(backend.domain)?;
        let port = self.session.offer(&store, &folder, &references).await?;
        let properties = self.session.connect(&store, &folder, &self.shape).await?;
        if !properties.keeps(&storage::BlockDevice::geometry(&self.disk)) {
            return Err(Error::Changed);
        }
        let mut state = self.disk.0.state.borrow_mut();
        (state.flush, state.port) = (properties.flush, Some(port));
        log::info!("{folder}: connected to anew");
        Ok(())
    }

    /// Waits for a change of the backend's state, until the disk is given up, or until the domain has been restored.
    async fn changed(&mut self) -> Result<(), Error> {
        let disk = self.disk.clone();
        let mut changed = pin!(self.session.changes.changed());
        poll_fn(|cx| {
            if disk.poll_given_up(cx).is_ready() {
                return Poll::Ready(Err(disk.fault().unwrap_or(Error::Closed)));
            }
            if !disk.is_connected() {
                return Poll::Ready(Ok(()));
            }
            changed.as_mut().poll(cx).map(|changed| Ok(changed.map(drop)?))
        })
        .await
    }

    /// Says that the connection has ended, and takes back what the backend had when it says so, too.
    async fn close(&mut self) -> Result<(), Error> {
        xenbus::set_state(&self.store, &self.vbd.folder(), State::Closed).await?;
        while !matches!(self.session.state(&self.store).await?, State::Closed | State::Unknown) {
            self.session.changes.changed().await?;
        }
        self.disk.0.state.borrow_mut().disconnect();
        Ok(())
    }
}

impl Session {
    /// Waits until a backend has said what it can do.
    async fn meet(store: &Store, folder: &str) -> Result<Self, Error> {
        let backend = Backend::find(store, folder).await?.ok_or(Error::Closed)?;
        if !features::has_medium(store, &backend.folder).await? {
            return Err(Error::NoMedium);
        }
        let changes = store.watch(&format!("{}/state", backend.folder)).await?;
        let mut session = Self { backend, changes };
        loop {
            match session.state(store).await? {
                // One that can do nothing besides may be further already.
                State::InitialisingWait | State::Initialised => return Ok(session),
                State::Connected => return Err(Error::InUse),
                State::Closing | State::Closed | State::Unknown => return Err(Error::Closed),
                _ => drop(session.changes.changed().await?),
            }
        }
    }

    async fn state(&self, store: &Store) -> Result<State, Error> {
        match store.read_number(&format!("{}/state", self.backend.folder)).await {
            Ok(number) => Ok(State::from_number(number)),
            // What has been removed may be hidden, too.
            Err(
                xen_store::Error::NotFound
                | xen_store::Error::NotPermitted
                | xen_store::Error::Malformed,
            ) => Ok(State::Unknown),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the backend which pages the ring is; the event channel that goes with it.
    async fn offer(&self, store: &Store, folder: &str, ring: &[u32]) -> Result<Port, Error> {
        let port = Port::allocate(self.backend.domain).map_err(|_| Error::OutOfMemory)?;
        let nodes = nodes(ring, &port);
        let nodes = nodes.into_iter().map(|(name, value)| (format!("{folder}/{name}"), value));
        store.write_each(&nodes.collect::<Vec<_>>()).await?;
        Ok(port)
    }

    /// Waits until the backend has taken the ring, and says what the disk is like.
    async fn connect(
        &mut self,
        store: &Store,
        folder: &str,
        shape: &Shape,
    ) -> Result<Properties, Error> {
        loop {
            match self.state(store).await? {
                State::Connected => break,
                State::Closing | State::Closed | State::Unknown => return Err(Error::Closed),
                _ => drop(self.changes.changed().await?),
            }
        }
        let properties = Properties::read(store, &self.backend.folder, shape).await?;
        xenbus::set_state(store, folder, State::Connected).await?;
        Ok(properties)
    }
}

/// What the backend is told, the state last.
fn nodes(ring: &[u32], port: &Port) -> Vec<(String, String)> {
    let mut nodes = Vec::new();
    let mut tell = |name: String, value: String| nodes.push((name, value));
    // Note 6 in blkif.h: a ring of one page has another name for it.
    if let [reference] = ring {
        tell("ring-ref".into(), reference.to_string());
    } else {
        for (page, reference) in ring.iter().enumerate() {
            tell(format!("ring-ref{page}"), reference.to_string());
        }
        tell("ring-page-order".into(), ring.len().ilog2().to_string());
        tell("num-ring-pages".into(), ring.len().to_string());
    }
    tell("event-channel".into(), port.number().to_string());
    tell("protocol".into(), "x86_64-abi".into());
    // Pages are taken back before anybody looks at them.
    tell("feature-persistent".into(), "0".into());
    tell("state".into(), (State::Initialised as u8).to_string());
    nodes
}

fn describe(geometry: &Geometry) -> String {
    let mode = if geometry.is_read_only { ", read-only" } else { "" };
    format!("disk of {} KiB{mode}", geometry.capacity_bytes >> 10)
}

impl fmt::Debug for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frontend").field("vbd", &self.vbd).finish_non_exhaustive()
    }
}
