//! The frontend's side of the handshake (public/io/xenbus.h and netif.h).

use crate::features::Features;
use crate::link::{Link, Ports};
use crate::mail::Mail;
use crate::peer::{Peer, State};
use crate::{Counters, Error, Settings, XenNetfront};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use machine::xen::store::{self, Store, Watch};

/// The task behind an interface: it connects to the backend, and to the next when that is gone.
#[derive(Debug)]
pub struct Frontend {
    store: Store,
    folder: String,
    settings: Settings,
    mail: Mail,
    phase: Phase,
    /// What is kept for the next connection.
    spare: Option<Link>,
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

/// The numbers of the network interfaces that the toolstack gave this domain.
pub async fn interfaces(store: &Store) -> Result<Vec<u32>, store::Error> {
    let names = match store.directory("device/vif").await {
        Err(store::Error::NotFound) => return Ok(Vec::new()),
        names => names?,
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Opens an interface by its number: the device for the stack, and the task to run beside it. Waits
/// until the backend has said what it can do; the link comes up when the task runs.
pub async fn open(
    store: &Store,
    number: u32,
    settings: &Settings,
) -> Result<(XenNetfront, Frontend), Error> {
    let folder = format!("device/vif/{number}");
    let mac = store.read_text(&format!("{folder}/mac")).await?;
    let mac = parse_mac(&mac).ok_or(Error::Address)?;
    let mail = Mail::default();
    let mut frontend = Frontend {
        store: store.clone(),
        folder,
        settings: *settings,
        mail: mail.clone(),
        phase: Phase::Idle,
        spare: None,
    };
    let features = frontend.first_features().await?;
    let device = XenNetfront {
        link: None,
        mail,
        mac,
        features,
        before: Counters::default(),
        lost: 0,
        stopped: None,
    };
    Ok((device, frontend))
}

impl Frontend {
    /// Runs as long as the machine; returns only when xenstore fails for good.
    pub async fn run(mut self) -> Error {
        loop {
            match self.serve().await {
                // The daemon was restarted: what it was told last is not known.
                Ok(()) | Err(Error::Store(store::Error::Disconnected)) => {}
                Err(error) => {
                    log::error!("{}: {error}", self.folder);
                    return error;
                }
            }
        }
    }

    /// Waits for a backend to say what it can do.
    async fn first_features(&mut self) -> Result<Features, Error> {
        let mut watch = self.store.watch(&self.folder).await?;
        loop {
            if let Some(peer) = Peer::find(&self.store, &self.folder).await? {
                let mut watch = self.store.watch(&format!("{}/state", peer.folder)).await?;
                loop {
                    match peer.state(&self.store).await? {
                        State::Unknown => break,
                        State::InitialisingWait | State::Connected => {
                            return self.features(&peer).await;
                        }
                        _ => watch.changed().await?,
                    };
                }
            }
            watch.changed().await?;
        }
    }

    async fn features(&self, peer: &Peer) -> Result<Features, Error> {
        Ok(Features::read(&self.store, &peer.folder, self.settings.transmit_runs).await?)
    }

    /// Works with one backend until it is gone.
    async fn serve(&mut self) -> Result<(), Error> {
        let mut interface = self.store.watch(&self.folder).await?;
        let Some(peer) = Peer::find(&self.store, &self.folder).await? else {
            self.take_down().await;
            // Its own event comes at once: what is waited for comes after it.
            interface.changed().await?;
            return Ok(interface.changed().await.map(drop)?);
        };
        let mut watch = self.store.watch(&format!("{}/state", peer.folder)).await?;
        loop {
            let state = peer.state(&self.store).await?;
            log::debug!("{}: backend {state:?}, we {:?}", self.folder, self.phase);
            match (state, self.phase) {
                (State::Unknown, _) => {
                    self.take_down().await;
                    self.phase = Phase::Idle;
                    return self.wait_for_another(&peer, &mut interface, &mut watch).await;
                }
                (State::InitialisingWait, Phase::Idle | Phase::Closed) => self.offer(&peer).await?,
                (State::Connected, Phase::Offered) => self.bring_up(),
                (State::Closing, _) | (State::Closed, Phase::Offered | Phase::Up) => {
                    self.close().await?;
                }
                (State::Closed, Phase::Closed) if peer.is_wanted(&self.store).await => {
                    self.set_state(State::Initialising).await?;
                    self.phase = Phase::Idle;
                }
                (State::Connected, Phase::Idle) => {
                    // It still serves who was here before us.
                    self.close().await?;
                }
                _ => {}
            }
            if self.changed_or_fault(&mut watch).await? {
                log::warn!("{}: the backend broke the rules", self.folder);
                self.close().await?;
            }
        }
    }

    /// After a backend has gone: until the interface's folder names another, or it is back.
    async fn wait_for_another(
        &mut self,
        peer: &Peer,
        interface: &mut Watch,
        watch: &mut Watch,
    ) -> Result<(), Error> {
        loop {
            let found = Peer::find(&self.store, &self.folder).await?;
            if found.is_some_and(|found| found != *peer)
                || peer.state(&self.store).await? != State::Unknown
            {
                return Ok(());
            }
            either(interface, watch).await?;
        }
    }

    /// Offers rings to a backend.
    async fn offer(&mut self, peer: &Peer) -> Result<(), Error> {
        let features = self.features(peer).await?;
        let ports = Ports::new(peer.domain, features.splits_events)?;
        let mut link = match self.spare.take() {
            Some(mut link) => {
                link.reset(peer.domain, ports)?;
                link
            }
            None => Link::new(peer.domain, &self.settings, ports)?,
        };
        link.transmitter.offloads = features.checksums;
        link.transmitter.pardon();
        link.receiver.release();
        let nodes = self.nodes(&link);
        self.store.write_each(&nodes).await?;
        self.spare = Some(link);
        self.phase = Phase::Offered;
        Ok(())
    }

    /// What the backend is told, the state last.
    fn nodes(&self, link: &Link) -> Vec<(String, String)> {
        let ports = link.ports();
        let long = self.settings.receive_pages >= 32;
        let mut nodes: Vec<(&str, String)> = alloc::vec![
            ("tx-ring-ref", link.transmitter.ring.reference().to_string()),
            ("rx-ring-ref", link.receiver.ring.reference().to_string()),
            ("request-rx-copy", "1".into()),
            ("feature-rx-notify", "1".into()),
            ("feature-sg", u8::from(long).to_string()),
            ("feature-gso-tcpv4", u8::from(long).to_string()),
            ("feature-gso-tcpv6", u8::from(long).to_string()),
            ("feature-ipv6-csum-offload", "1".into()),
        ];
        match &ports.receive {
            Some(receive) => {
                nodes.push(("event-channel-tx", ports.transmit.number().to_string()));
                nodes.push(("event-channel-rx", receive.number().to_string()));
            }
            None => nodes.push(("event-channel", ports.transmit.number().to_string())),
        }
        nodes.push(("state", (State::Connected as u8).to_string()));
        let folder = &self.folder;
        nodes.into_iter().map(|(name, value)| (format!("{folder}/{name}"), value)).collect()
    }

    fn bring_up(&mut self) {
        if let Some(link) = self.spare.take() {
            log::info!("{}: link up", self.folder);
            self.mail.bring_up(link);
            self.phase = Phase::Up;
        }
    }

    /// Ends the connection, and says so.
    async fn close(&mut self) -> Result<(), Error> {
        self.take_down().await;
        self.phase = Phase::Closed;
        self.set_state(State::Closed).await
    }

    /// Takes rings and pages back from the backend.
    async fn take_down(&mut self) {
        if self.phase == Phase::Up {
            self.spare = self.mail.take_down().await;
            log::info!("{}: link down", self.folder);
        }
        if let Some(link) = &mut self.spare {
            link.end();
        }
        self.phase = Phase::Idle;
    }

    async fn set_state(&self, state: State) -> Result<(), Error> {
        let value = (state as u8).to_string();
        Ok(self.store.write(&format!("{}/state", self.folder), value.as_bytes()).await?)
    }

    /// Waits for a change of the backend's state; true when the device found a fault instead.
    async fn changed_or_fault(&self, watch: &mut Watch) -> Result<bool, Error> {
        let mut changed = pin!(watch.changed());
        poll_fn(|cx| {
            if self.mail.poll_fault(cx.waker()).is_ready() {
                return Poll::Ready(Ok(true));
            }
            changed.as_mut().poll(cx).map(|changed| Ok(changed.map(|_| false)?))
        })
        .await
    }
}

/// Waits for either of two watches.
async fn either(one: &mut Watch, other: &mut Watch) -> Result<(), store::Error> {
    let (mut one, mut other) = (pin!(one.changed()), pin!(other.changed()));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(changed) => Poll::Ready(changed.map(drop)),
        Poll::Pending => other.as_mut().poll(cx).map(|changed| changed.map(drop)),
    })
    .await
}

/// Six bytes as `00:16:3e:01:02:03`.
fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}
