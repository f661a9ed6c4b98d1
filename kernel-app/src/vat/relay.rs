//! Relay: the network of this appliance for other vats, which listen at its ports and connect from it as far as `[relay]`
//! lets them.
//!
//! It is the service `network`, which nobody gets by a token: only vats whose keys `peers` of `[rpc]` lists with that name.

use crate::Platform;
use crate::context::Context;
use crate::handlers::rpc::Object;
use crate::settings::relay::RelaySettings;
use crate::vat::NETWORK as NAME;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::{self, Poll, ready};
use endpoints::network_capnp::network;
use endpoints::rpc::network::{FlowLimit, ListenFailure, Network};
use endpoints::rpc::{Fingerprint, Rpc};
use flow::sync::WakerSlot;
use flow::{Address, ConnectError, Connector, FlowError, Listener, Target};

/// Makes the service for a vat that may have it.
pub(super) type ForVat = Box<dyn Fn(Fingerprint) -> Object>;

/// The service, if the configuration lets others do something.
pub(super) fn service<P: Platform>(context: &Context<P>, rpc: &Rpc) -> Option<ForVat> {
    let settings = RelaySettings::new(&context.config.relay);
    if !settings.is_for_others() {
        return None;
    }
    let limit = FlowLimit::new(settings.connections_max, context.service_ledger(NAME));
    let shared = Rc::new(Shared {
        platform: context.platform.clone(),
        backlog: context.config.tcp.listen_backlog,
        settings,
        listeners: RefCell::default(),
    });
    let rpc = rpc.clone();
    // One for each vat however often it asks; there are as many as `peers` lists.
    let shares = RefCell::<BTreeMap<Fingerprint, FlowLimit>>::default();
    Some(Box::new(move |vat| {
        let share = shares.borrow_mut().entry(vat).or_insert_with(|| limit.share()).clone();
        let network = Relayed { shared: shared.clone(), vat };
        let client: network::Client = rpc.export_network(network, &share);
        Object::new(NAME, "this network, to listen on and to connect by", client)
    }))
}

/// The network as one vat has it.
struct Relayed<P: Platform> {
    shared: Rc<Shared<P>>,
    vat: Fingerprint,
}

struct Shared<P: Platform> {
    platform: P,
    backlog: usize,
    settings: RelaySettings,
    /// Who listens where.
    listeners: RefCell<Vec<Rc<Place<P::Listener>>>>,
}

impl<P: Platform> Network for Relayed<P> {
    type Listener = RelayedListener<P>;
    type Connector = RelayedConnector<P>;

    fn listen(&self, port: u16) -> Result<RelayedListener<P>, ListenFailure> {
        let Shared { platform, backlog, settings, listeners } = &*self.shared;
        if !settings.allows_listening(port) {
            log::warn!("{NAME}: {} may not listen on port {port}", self.vat);
            return Err(ListenFailure::NotAllowed);
        }
        let mut listeners = listeners.borrow_mut();
        // A vat that comes again after it was cut off does not wait until that is noticed here.
        listeners.retain(|place| place.port != port || place.vat != self.vat || !place.end());
        let listener = platform.listen(port, *backlog).map_err(|error| {
            log::warn!("{NAME}: {} does not get port {port}: {error}", self.vat);
            ListenFailure::InUse
        })?;
        log::info!("{NAME}: {} listens on port {port}", self.vat);
        let local = listener.local();
        let (listener, ended) = (RefCell::new(Some(listener)), RefCell::default());
        let place = Rc::new(Place { vat: self.vat, port, listener, ended });
        listeners.push(place.clone());
        Ok(RelayedListener { shared: self.shared.clone(), place, local })
    }

    fn connector(&self) -> RelayedConnector<P> {
        RelayedConnector { shared: self.shared.clone(), vat: self.vat }
    }
}

/// A listener, until somebody takes its port away.
struct Place<L> {
    vat: Fingerprint,
    port: u16,
    listener: RefCell<Option<L>>,
    ended: RefCell<WakerSlot>,
}

impl<L> Place<L> {
    /// Whether it had not ended before.
    fn end(&self) -> bool {
        self.ended.borrow_mut().wake();
        self.listener.take().is_some()
    }
}

/// What others accept from.
struct RelayedListener<P: Platform> {
    shared: Rc<Shared<P>>,
    place: Rc<Place<P::Listener>>,
    local: Address,
}

impl<P: Platform> Listener for RelayedListener<P> {
    type Flow = <P::Listener as Listener>::Flow;

    fn poll_accept(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Self::Flow, FlowError>> {
        self.place.ended.borrow_mut().register(cx);
        match &mut *self.place.listener.borrow_mut() {
            Some(listener) => Poll::Ready(ready!(listener.poll_accept(cx))),
            None => Poll::Ready(Err(FlowError::Closed)),
        }
    }

    fn local(&self) -> Address {
        self.local
    }
}

impl<P: Platform> Drop for RelayedListener<P> {
    fn drop(&mut self) {
        self.shared.listeners.borrow_mut().retain(|place| !Rc::ptr_eq(place, &self.place));
    }
}

/// What others connect by.
struct RelayedConnector<P: Platform> {
    shared: Rc<Shared<P>>,
    vat: Fingerprint,
}

impl<P: Platform> Clone for RelayedConnector<P> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), vat: self.vat }
    }
}

impl<P: Platform> Connector for RelayedConnector<P> {
    type Flow = <P::Connector as Connector>::Flow;

    async fn connect(&self, target: &Target) -> Result<Self::Flow, ConnectError> {
        if !self.shared.settings.allows_connecting(target) {
            log::warn!("{NAME}: {} may not connect to {target}", self.vat);
            return Err(ConnectError::NotAllowed);
        }
        self.shared.platform.connector().connect(target).await
    }
}
