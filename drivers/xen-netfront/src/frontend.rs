//! Handshake, the frontend's side (public/io/xenbus.h and netif.h).

use crate::features::{CARRIER, Features};
use crate::interfaces::{self, Interface, Mac};
use crate::mailbox::Mailbox;
use crate::pair::{Channels, Pair};
use crate::{Counters, Error, Settings, XenNetfront};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use net::device::Discard;
use xen_store::xenbus::{self, Backend, State};
use xen_store::{Store, Watch};

/// The task behind an interface: it connects to the backend, and to the next when that is gone.
///
/// What makes it the same interface is its address: one that is taken away and comes back under
/// another number goes on where it was.
#[derive(Debug)]
pub struct Frontend {
    store: Store,
    mac: Mac,
    /// Where the interface was last.
    folder: String,
    settings: Settings,
    mailbox: Mailbox,
    phase: Phase,
    /// What the stack was told that the interface can do, by its first backend.
    promised: Option<Features>,
    /// What is kept for the next connection.
    spare: Option<Pair>,
    /// The backend that was met when the interface was opened.
    session: Option<Session>,
    /// How often the domain had been restored when this was last looked at.
    restorations: u32,
}

/// How far it is with the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is agreed.
    Idle,
    /// The rings are offered.
    Offered,
    /// Frames flow.
    Up,
    /// The connection has ended.
    Closed,
}

/// Opens an interface: the device for the stack, and the task to run beside it. Waits until the
/// backend has said what it can do; the link comes up when the task runs.
pub async fn open(
    store: &Store,
    interface: &Interface,
    settings: &Settings,
) -> Result<(XenNetfront, Frontend), Error> {
    let mailbox = Mailbox::default();
    let mut frontend = Frontend {
        store: store.clone(),
        mac: interface.mac,
        folder: interface.folder(),
        settings: *settings,
        mailbox: mailbox.clone(),
        phase: Phase::Idle,
        promised: None,
        spare: None,
        session: None,
        restorations: machine::xen::restorations(),
    };
    let session = frontend.meet().await?;
    let features = session.features;
    frontend.promised = Some(features);
    if session.state == State::InitialisingWait {
        // What is written now is seen while the rest of the machine starts.
        frontend.offer(&session).await?;
    }
    frontend.session = Some(session);
    let (before, lost, stopped) = (Counters::default(), Discard::default(), None);
    let mac = interface.mac;
    let device = XenNetfront { pair: None, mailbox, mac, features, before, lost, stopped };
    Ok((device, frontend))
}

/// What is known of a backend, and how more is learned.
#[derive(Debug)]
struct Session {
    backend: Backend,
    features: Features,
    state: State,
    /// Changes of the backend's state.
    changes: Watch,
    /// Changes of its link.
    carrier_changes: Watch,
}

impl Frontend {
    /// Runs as long as the machine; returns only when xenstore fails for good.
    pub async fn run(mut self) -> Error {
        loop {
            match self.serve().await {
                // The daemon was restarted: what it was told last is not known.
                Ok(()) | Err(Error::Store(xen_store::Error::Disconnected)) => {}
                Err(error) => {
                    log::error!("{}: {error}", self.folder);
                    return error;
                }
            }
        }
    }

    /// Waits until there is a backend that has said what it can do.
    async fn meet(&mut self) -> Result<Session, Error> {
        let store = self.store.clone();
        let mut interfaces = store.watch(interfaces::FOLDER).await?;
        loop {
            if let Some(backend) = self.find().await? {
                let path = format!("{}/state", backend.folder);
                let carrier = format!("{}/{CARRIER}", backend.folder);
                let watches = both(store.watch(&path), store.watch(&carrier));
                let ((state_watch, carrier_watch), read) = both(watches, self.read(&backend)).await;
                let (mut changes, carrier_changes) = (state_watch?, carrier_watch?);
                let (mut state, mut features) = read?;
                while matches!(state, State::Initialising | State::Closing | State::Closed) {
                    changes.changed().await?;
                    (state, features) = self.read(&backend).await?;
                }
                if state != State::Unknown {
                    return Ok(Session { backend, features, state, changes, carrier_changes });
                }
                either(&mut interfaces, &mut changes).await?;
            } else {
                interfaces.changed().await?;
            }
        }
    }

    /// The backend of the interface with our address, whatever its number is now.
    async fn find(&mut self) -> Result<Option<Backend>, xen_store::Error> {
        let all = interfaces::list(&self.store).await?;
        let Some(interface) = all.iter().find(|interface| interface.mac == self.mac) else {
            return Ok(None);
        };
        self.folder = interface.folder();
        Backend::find(&self.store, &self.folder).await
    }

    async fn read(&self, backend: &Backend) -> Result<(State, Features), Error> {
        Ok(Features::read(&self.store, &self.folder, &backend.folder, &self.settings).await?)
    }

    /// Works with one backend until it is gone.
    async fn serve(&mut self) -> Result<(), Error> {
        if self.is_restored() {
            self.restorations = machine::xen::restorations();
            self.session = None;
            self.take_down().await;
        }
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.meet().await?,
        };
        loop {
            log::debug!("{}: backend {:?}, we {:?}", self.folder, session.state, self.phase);
            match (session.state, self.phase) {
                (State::Unknown, _) => {
                    self.take_down().await;
                    return Ok(());
                }
                (State::InitialisingWait, Phase::Idle | Phase::Closed) if self.suits(&session) => {
                    self.offer(&session).await?;
                }
                (State::Connected, Phase::Offered) => self.bring_up(),
                // It still serves who was here before us.
                (State::Connected, Phase::Idle)
                | (State::Closing, Phase::Idle | Phase::Offered | Phase::Up)
                | (State::Closed, Phase::Offered | Phase::Up) => self.close().await?,
                (State::Closed, Phase::Closed) if session.backend.is_wanted(&self.store).await => {
                    self.phase = Phase::Idle;
                    self.set_state(State::Initialising).await?;
                }
                _ => {}
            }
            self.follow_carrier(session.features.has_carrier);
            let fault = self.changed_or_fault(&mut session).await?;
            if self.is_restored() {
                return Ok(());
            }
            if fault {
                log::warn!("{}: the backend broke the rules", self.folder);
                self.close().await?;
            }
            (session.state, session.features) = self.read(&session.backend).await?;
        }
    }

    /// Tells device and operator when the backend's link goes up or down.
    fn follow_carrier(&self, has_carrier: bool) {
        if self.phase == Phase::Up && has_carrier != self.mailbox.has_carrier() {
            let what = if has_carrier { "there is a carrier again" } else { "no carrier" };
            log::info!("{}: {what}", self.folder);
            self.mailbox.set_carrier(has_carrier);
        }
    }

    /// Whether the domain has been restored since this was last looked at: then its backend is another, and what was
    /// granted and agreed is no more.
    fn is_restored(&self) -> bool {
        self.restorations != machine::xen::restorations()
    }

    /// Whether a backend does all that the stack relies on.
    fn suits(&self, session: &Session) -> bool {
        let suits = self.promised.is_none_or(|promised| session.features.include(&promised));
        if !suits {
            log::error!("{}: this backend can do less than the one before", self.folder);
        }
        suits
    }

    /// Offers rings to a backend.
    async fn offer(&mut self, session: &Session) -> Result<(), Error> {
        let (backend, features) = (&session.backend, session.features);
        let channels = Channels::new(backend.domain, features.splits_events)?;
        let mut pair = match self.spare.take() {
            Some(mut pair) => {
                pair.reset(backend.domain, channels)?;
                pair
            }
            None => Pair::new(backend.domain, &self.settings, channels)?,
        };
        pair.mtu_bytes = features.mtu_bytes;
        pair.transmitter.offloads = features.checksums;
        pair.transmitter.pardon();
        pair.receiver.release();
        let nodes = self.nodes(&pair);
        self.store.write_each(&nodes).await?;
        self.spare = Some(pair);
        self.phase = Phase::Offered;
        Ok(())
    }

    /// What the backend is told, the state last.
    fn nodes(&self, pair: &Pair) -> Vec<(String, String)> {
        let channels = pair.channels();
        let long = self.settings.scatters();
        let mut nodes: Vec<(&str, String)> = alloc::vec![
            ("tx-ring-ref", pair.transmitter.ring.reference().to_string()),
            ("rx-ring-ref", pair.receiver.ring.reference().to_string()),
            // One queue for one CPU: see ARCHITECTURE.md.
            ("multi-queue-num-queues", "1".into()),
            ("request-rx-copy", "1".into()),
            ("feature-rx-notify", "1".into()),
            ("feature-sg", u8::from(long).to_string()),
            ("feature-gso-tcpv4", u8::from(long).to_string()),
            ("feature-gso-tcpv6", u8::from(long).to_string()),
            ("feature-ipv6-csum-offload", "1".into()),
        ];
        match &channels.receive {
            Some(receive) => {
                nodes.push(("event-channel-tx", channels.transmit.number().to_string()));
                nodes.push(("event-channel-rx", receive.number().to_string()));
            }
            None => nodes.push(("event-channel", channels.transmit.number().to_string())),
        }
        nodes.push(("state", (State::Connected as u8).to_string()));
        let folder = &self.folder;
        nodes.into_iter().map(|(name, value)| (format!("{folder}/{name}"), value)).collect()
    }

    fn bring_up(&mut self) {
        if let Some(pair) = self.spare.take() {
            log::info!("{}: link up", self.folder);
            self.mailbox.bring_up(pair);
            self.phase = Phase::Up;
        }
    }

    /// Ends the connection, and says so.
    async fn close(&mut self) -> Result<(), Error> {
        self.take_down().await;
        if self.is_restored() {
            // The state would be told to another backend.
            return Ok(());
        }
        self.phase = Phase::Closed;
        self.set_state(State::Closed).await
    }

    /// Takes rings and pages back from the backend.
    async fn take_down(&mut self) {
        if self.phase == Phase::Up {
            self.spare = self.mailbox.take_down().await;
            log::info!("{}: link down", self.folder);
        }
        if let Some(pair) = &mut self.spare {
            pair.end();
        }
        self.phase = Phase::Idle;
    }

    async fn set_state(&self, state: State) -> Result<(), Error> {
        Ok(xenbus::set_state(&self.store, &self.folder, state).await?)
    }

    /// Waits for a change of the backend's state or link, or until the domain has been restored; true when the device found a
    /// fault instead.
    async fn changed_or_fault(&self, session: &mut Session) -> Result<bool, Error> {
        let mut changed = pin!(either(&mut session.changes, &mut session.carrier_changes));
        poll_fn(|cx| {
            if self.mailbox.poll_fault(cx.waker()).is_ready() {
                return Poll::Ready(Ok(true));
            }
            if self.is_restored() {
                return Poll::Ready(Ok(false));
            }
            changed.as_mut().poll(cx).map(|changed| Ok(changed.map(|()| false)?))
        })
        .await
    }
}

/// Waits for either of two watches.
async fn either(one: &mut Watch, other: &mut Watch) -> Result<(), xen_store::Error> {
    let (mut one, mut other) = (pin!(one.changed()), pin!(other.changed()));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(changed) => Poll::Ready(changed.map(drop)),
        Poll::Pending => other.as_mut().poll(cx).map(|changed| changed.map(drop)),
    })
    .await
}

/// Runs two futures side by side, to the end of both.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(cx)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = other.as_mut().poll(cx)
        {
            second = Some(value);
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (some, other) => {
                (first, second) = (some, other);
                Poll::Pending
            }
        }
    })
    .await
}
