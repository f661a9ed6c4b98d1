//! Cap'n Proto RPC over any flow.
//!
//! An [`Rpc`] is one vat: its objects, and any number of connections. Offering an object on a
//! listener is one line; so is connecting, which yields a typed client at once:
//!
//! ```no_run
//! # use capnp::capability::Client;
//! # use flow::{Connector, ConnectError, Listener, Target, task::Spawner, time::Timers};
//! # async fn example(
//! #     listener: impl Listener + 'static, connector: impl Connector, target: Target, service: Client, spawner: Spawner, timers: Timers,
//! # ) -> Result<(), ConnectError> {
//! use endpoints::rpc::{Limits, Rpc};
//!
//! let rpc = Rpc::new(Limits::default(), &spawner, &timers);
//! let offering = rpc.offer(listener, service);
//! spawner.spawn("rpc listener", async { drop(offering.await) });
//! let other: Client = rpc.connect(&connector, &target).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Interfaces are what the standard `capnpc` plugin for Rust generates; a method is an `async fn`.

mod balanced;
mod driver;
pub mod network;
mod peer;
#[cfg(feature = "tls")]
mod secure_vat;
pub mod websocket;

use crate::drive::drive;
use crate::rpc::driver::Driver;
use crate::supervise::accept_each;
use alloc::rc::Rc;
use alloc::string::ToString;
use capnp::capability::FromClientHook;
use core::cell::Cell;
use core::fmt;
use core::net::IpAddr;
use core::ops::{ControlFlow, Deref};
use core::time::Duration;
use flow::ledger::ServiceLedger;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{ConnectError, Connector, Flow, FlowError, Listener, Target};
use inspect::Metric;

pub use ::rpc::persistent_capnp::persistent;
pub use ::rpc::{
    Encoding, Exception, Fingerprint, Grants, Kind, Limits, ParseSturdyRefError, Resolver,
    Restorer, SERVICE_BYTES_MAX, ServiceTable, SturdyRef, System, TableSizes, VatPlace,
};
pub use balanced::{BalancedCallError, BalancedService, Repeatable};
pub use peer::Peer;
#[cfg(feature = "tls")]
pub use secure_vat::SecureVat;

/// A vat and what its connections run on. Clones are the same vat; everything of [`System`] can be
/// done with it.
#[derive(Clone)]
pub struct Rpc {
    system: System,
    spawner: Spawner,
    timers: Timers,
    /// Of the connections made through this handle.
    encoding: Encoding,
    /// Weighs what peers make the vat hold.
    ledger: Option<ServiceLedger>,
    shared: Rc<Shared>,
}

/// Why a sturdy reference does not lead to its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// There is no connection; it may help to try again.
    Connect(ConnectError),
    /// The vat must prove that it has a key, which takes a secure channel: a `SecureVat` makes one.
    NeedsSecureChannel,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::NeedsSecureChannel => f.write_str("the reference needs a secure channel"),
        }
    }
}

impl core::error::Error for RestoreError {}

/// What a vat's connections share.
struct Shared {
    connections: Cell<usize>,
    /// Those that there ever were.
    made: Cell<u64>,
    draining: Cell<bool>,
    /// How long a peer may leave the last bytes of a connection untaken.
    finish_timeout: Duration,
    /// The longest message in the standard framing, in bytes.
    message_bytes_max: usize,
}

/// The metrics of a vat.
pub static METRICS: &[Metric<Rpc>] = &[
    Metric::counter("rpc_connections_made", "Connections of RPC, whoever made them.", |vat| {
        vat.shared.made.get()
    }),
    Metric::gauge("rpc_references", "Capabilities that the vat has.", |vat| vat.live().0 as u64),
    Metric::gauge("rpc_calls_open", "Calls that are not over.", |vat| vat.live().1 as u64),
    Metric::gauge_by(
        "rpc_table_entries",
        "table",
        "Entries of the tables of all connections: questions are our calls that are not returned.",
        |vat, visit| {
            let TableSizes { questions, answers, exports, imports, embargoes } =
                vat.all_table_sizes();
            let all = [
                ("questions", questions),
                ("answers", answers),
                ("exports", exports),
                ("imports", imports),
                ("embargoes", embargoes),
            ];
            for (table, entries) in all {
                visit(&table, entries as u64);
            }
        },
    ),
];

impl Deref for Rpc {
    type Target = System;

    fn deref(&self) -> &System {
        &self.system
    }
}

impl Rpc {
    /// A vat without connections, whose peers each get `limits`. Handlers begin in the task of the
    /// connection that their call came by; those that wait go on in one of the vat's own. A panic of one
    /// fails its call.
    pub fn new(limits: Limits, spawner: &Spawner, timers: &Timers) -> Self {
        let catcher = spawner.clone();
        let system = System::catching(limits, move |body| {
            catcher.catch(body).map_err(|error| {
                log::error!("an RPC handler {error}");
                error.to_string()
            })
        });
        spawner.spawn("rpc handlers", system.run());
        Self {
            system,
            spawner: spawner.clone(),
            timers: timers.clone(),
            encoding: Encoding::Plain,
            ledger: None,
            shared: Rc::new(Shared {
                connections: Cell::new(0),
                made: Cell::new(0),
                draining: Cell::new(false),
                finish_timeout: limits.stall_timeout,
                message_bytes_max: framed_bytes(&limits),
            }),
        }
    }

    /// The same vat; what the peers of connections that are offered or made through this handle make it hold is
    /// weighed.
    pub fn weighed(&self, ledger: ServiceLedger) -> Self {
        Self { ledger: Some(ledger), ..self.clone() }
    }

    /// The same vat; connections that are offered or made through this handle are counted, and drained, apart from others.
    pub fn apart(&self) -> Self {
        let Shared { finish_timeout, message_bytes_max, .. } = *self.shared;
        let shared = Shared {
            connections: Cell::new(0),
            made: Cell::new(0),
            draining: Cell::new(false),
            finish_timeout,
            message_bytes_max,
        };
        Self { shared: Rc::new(shared), ..self.clone() }
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
            let (spawner, timers) = (&rpc.spawner, &rpc.timers);
            accept_each(spawner, timers, "rpc", &mut listener, |flow| {
                if rpc.shared.draining.get() {
                    return ControlFlow::Break(());
                }
                let peer = Peer::unknown(flow.peer());
                rpc.serve_flow(flow, &peer, &service);
                ControlFlow::Continue(())
            })
            .await
        }
    }

    /// Offers `peer` what `service` gives for it, over a flow that is there already. A secure
    /// channel comes in here, see [`Peer`].
    pub fn serve_flow<C: FromClientHook>(
        &self,
        flow: impl Flow + 'static,
        peer: &Peer,
        service: impl FnOnce(&Peer) -> Option<C>,
    ) {
        let offered = service(peer).map(FromClientHook::into_client_hook);
        let conn = self.system.connect_as(offered, self.encoding);
        let driver = Driver::accepted(self, conn, flow.peer());
        self.drive(flow, driver);
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
        let driver = Driver::connected(self, conn, flow.peer());
        self.drive(flow, driver);
        service
    }

    /// As [`connect_flow`](Self::connect_flow), for a service of this name; without a name, for the
    /// one that everybody gets.
    pub fn restore_flow<C: FromClientHook>(&self, flow: impl Flow + 'static, name: &[u8]) -> C {
        let conn = self.system.connect_as(None, self.encoding);
        let service = self.system.restore(conn, name);
        let driver = Driver::connected(self, conn, flow.peer());
        self.drive(flow, driver);
        service
    }

    /// Connects to where a sturdy reference leads, and asks for its service.
    pub async fn restore_at<N, C>(
        &self,
        connector: &N,
        reference: &SturdyRef,
    ) -> Result<C, RestoreError>
    where
        N: Connector,
        C: FromClientHook,
    {
        if reference.fingerprint.is_some() {
            return Err(RestoreError::NeedsSecureChannel);
        }
        let flow = connector.connect(&target_of(reference)?).await;
        Ok(self.restore_flow(flow.map_err(RestoreError::Connect)?, &reference.service))
    }

    fn drive(&self, flow: impl Flow + 'static, driver: Driver) {
        let account = self.ledger.as_ref().map(ServiceLedger::account);
        self.spawner.spawn("rpc connection", drive(flow, driver, &self.timers).weighed(account));
    }
}

/// The longest message with its table of segments.
fn framed_bytes(limits: &Limits) -> usize {
    let table_bytes = (limits.segments_max as usize).saturating_add(2).saturating_mul(4);
    (limits.message_words_max as usize).saturating_mul(8).saturating_add(table_bytes)
}

/// Where the vat of a reference listens.
fn target_of(reference: &SturdyRef) -> Result<Target, RestoreError> {
    match &reference.place {
        VatPlace::Tcp { host, port } => Ok(match host.parse::<IpAddr>() {
            Ok(address) => Target::Address((address, *port).into()),
            Err(_) => Target::Name(host.clone(), *port),
        }),
        // A reference that was not read from a text may hold what is no path.
        VatPlace::Unix { path } => match path.parse() {
            Ok(path) => Ok(Target::Unix(path)),
            Err(_) => Err(RestoreError::Connect(ConnectError::NotFound)),
        },
    }
}
