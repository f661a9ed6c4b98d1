//! Cap'n Proto RPC over any flow.
//!
//! An [`Rpc`] is one vat: its objects, and any number of connections. Offering an object on a
//! listener is one line; so is connecting, which yields a typed client at once:
//!
//! ```ignore
//! let rpc = Rpc::new(Limits::default(), &spawner, &timers);
//! spawner.spawn("rpc listener", rpc.offer(listener, rpc.client::<echo::Client, _>(Echo)));
//! let calculator: calculator::Client = rpc.connect(&connector, &target).await?;
//! ```
//!
//! Interfaces are what the standard `capnpc` plugin for Rust generates; a method is an `async fn`.

mod driver;
pub mod network;
mod peer;

use crate::rpc::driver::Driver;
use alloc::rc::Rc;
use capnp::capability::FromClientHook;
use core::cell::Cell;
use core::ops::Deref;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{ConnectError, Connector, Flow, FlowError, Listener, Target};

pub use ::rpc::{
    Encoding, Exception, Fingerprint, Kind, Limits, Resolver, Restorer, ServiceTable, SturdyRef,
    System,
};
pub use peer::Peer;

/// A vat and what its connections run on. Clones are the same vat; everything of [`System`] can be
/// done with it.
#[derive(Clone)]
pub struct Rpc {
    system: System,
    spawner: Spawner,
    timers: Timers,
    /// Of the connections made through this handle.
    encoding: Encoding,
    shared: Rc<Shared>,
}

/// What a vat's connections share.
#[derive(Default)]
struct Shared {
    connections: Cell<usize>,
    draining: Cell<bool>,
}

impl Deref for Rpc {
    type Target = System;

    fn deref(&self) -> &System {
        &self.system
    }
}

impl Rpc {
    /// A vat without connections, whose peers each get `limits`.
    pub fn new(limits: Limits, spawner: &Spawner, timers: &Timers) -> Self {
        Self {
            system: System::new(limits),
            spawner: spawner.clone(),
            timers: timers.clone(),
            encoding: Encoding::Plain,
            shared: Rc::default(),
        }
    }

    /// The same vat for connections, offered or made, whose streams are packed; their other ends
    /// must know.
    pub fn packed(&self) -> Self {
        Self { encoding: Encoding::Packed, ..self.clone() }
    }

    /// Connections that are open, whoever made them.
    pub fn connections(&self) -> usize {
        self.shared.connections.get()
    }

    /// Takes no more connections. Those that there are end as soon as the peer has no call under
    /// way, with `disconnected` as the reason.
    pub fn drain(&self) {
        self.shared.draining.set(true);
        self.spawner.wake_all();
    }

    /// Offers `service` to whoever connects to `listener`, until that ends or the vat drains.
    pub fn offer<L, C>(&self, listener: L, service: C) -> impl Future<Output = FlowError> + 'static
    where
        L: Listener + 'static,
        C: FromClientHook + Clone + 'static,
    {
        self.offer_each(listener, move |_: &Peer| Some(service.clone()))
    }

    /// Offers each peer what `service` gives for it, or nothing.
    pub fn offer_each<L, C>(
        &self,
        mut listener: L,
        service: impl Fn(&Peer) -> Option<C> + 'static,
    ) -> impl Future<Output = FlowError> + 'static
    where
        L: Listener + 'static,
        C: FromClientHook + 'static,
    {
        let rpc = self.clone();
        async move {
            loop {
                match listener.accept().await {
                    Ok(_) if rpc.shared.draining.get() => return FlowError::Closed,
                    Ok(flow) => {
                        let peer = Peer::unknown(flow.peer());
                        rpc.serve(flow, service(&peer));
                    }
                    Err(error) => return error,
                }
            }
        }
    }

    /// Offers `service` to the peer at a flow that is there already.
    pub fn serve_flow(&self, flow: impl Flow + 'static, service: impl FromClientHook) {
        self.serve(flow, Some(service));
    }

    fn serve(&self, flow: impl Flow + 'static, service: Option<impl FromClientHook>) {
        let offered = service.map(FromClientHook::into_client_hook);
        let conn = self.system.connect_as(offered, self.encoding);
        self.drive(Driver::accepted(self, conn, flow));
    }

    /// Connects and asks for the peer's service; calls can be made before it answers. The
    /// connection ends when nothing of the peer is held any more, and nothing is held by it.
    pub async fn connect<N, C>(&self, connector: &N, target: &Target) -> Result<C, ConnectError>
    where
        N: Connector,
        C: FromClientHook,
    {
        let flow = connector.connect(target).await?;
        Ok(self.connect_flow(flow))
    }

    /// As [`connect`](Self::connect), over a flow that is there already.
    pub fn connect_flow<C: FromClientHook>(&self, flow: impl Flow + 'static) -> C {
        let conn = self.system.connect_as(None, self.encoding);
        let service = self.system.bootstrap(conn);
        self.drive(Driver::connected(self, conn, flow));
        service
    }

    /// As [`connect_flow`](Self::connect_flow), for a service of this name.
    pub fn restore_flow<C: FromClientHook>(&self, flow: impl Flow + 'static, name: &[u8]) -> C {
        let conn = self.system.connect_as(None, self.encoding);
        let service = self.system.restore(conn, name);
        self.drive(Driver::connected(self, conn, flow));
        service
    }

    fn drive(&self, driver: Driver<impl Flow + 'static>) {
        self.spawner.spawn("rpc connection", driver);
    }
}
