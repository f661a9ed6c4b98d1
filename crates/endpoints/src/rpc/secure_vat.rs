//! Secure vat: connections over TLS between vats that are named by their keys, one for each other vat.

use super::driver::Driver;
use super::{Peer, RestoreError, Rpc, target_of};
use crate::drive::drive;
use crate::supervise::accept_each;
use crate::tls::{TlsConfig, TlsConnector, TlsFlow, TlsListener};
use ::rpc::{ConnId, Exception, Fingerprint, SturdyRef};
use ::tls::{ClientContext, ContextError, SecretKey, ServerContext};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use capnp::capability::FromClientHook;
use capnp::private::capability::ClientHook;
use core::cell::RefCell;
use core::ops::ControlFlow;
use flow::ledger::ServiceLedger;
use flow::sync::Watch;
use flow::{ConnectError, Connector, Flow, FlowError, Listener};

#[cfg(test)]
mod tests;

/// A vat with a key, by whose fingerprint others know it. Clones are the same vat.
///
/// Both ends of its connections show their keys, by TLS 1.3, before a byte of RPC; there are no authorities, names or
/// times to check. To another vat there is one connection, whoever made it, and it serves both ways.
///
/// ```no_run
/// # use endpoints::rpc::{Rpc, SecureVat};
/// # use endpoints::tls::TlsConfig;
/// # use flow::{Connector, Listener, task::Spawner};
/// # use tls::SecretKey;
/// # async fn example(
/// #     rpc: Rpc, key: SecretKey, listener: impl Listener + 'static, connector: impl Connector, spawner: Spawner,
/// #     service: capnp::capability::Client, reference: &str,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// // Whoever has shown a key is offered the service.
/// let offered = move |peer: &endpoints::rpc::Peer| {
///     peer.fingerprint.is_some().then(|| service.hook.add_ref())
/// };
/// let vat = SecureVat::new(&rpc, key, TlsConfig::default(), offered)?;
/// let serving = vat.serve(listener);
/// spawner.spawn("secure rpc listener", async { drop(serving.await) });
/// // As `capnp://sha-256:FINGERPRINT@10.0.0.2:7001/SERVICE`.
/// let store: capnp::capability::Client = vat.restore(&connector, &reference.parse()?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SecureVat {
    inner: Rc<Inner>,
}

struct Inner {
    rpc: Rpc,
    key: SecretKey,
    server: ServerContext,
    config: TlsConfig,
    offered: Box<Offered>,
    /// The latest connection with each vat.
    connections: RefCell<BTreeMap<Fingerprint, ConnId>>,
    /// Connections that are being made.
    attempts: RefCell<BTreeMap<Fingerprint, Rc<Attempt>>>,
}

type Offered = dyn Fn(&Peer) -> Option<Box<dyn ClientHook>>;

/// How an attempt to connect ended, once it has; none if it was given up.
type Attempt = Watch<Option<Result<(), RestoreError>>>;

impl SecureVat {
    /// The same vat as `rpc`, for peers with keys. Each gets what `offered` gives for it as its bootstrap, or nothing;
    /// also by connections that this vat makes.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn new(
        rpc: &Rpc,
        key: SecretKey,
        config: TlsConfig,
        offered: impl Fn(&Peer) -> Option<Box<dyn ClientHook>> + 'static,
    ) -> Result<Self, ContextError> {
        let server = ServerContext::by_key(&key)?;
        let inner = Inner {
            rpc: rpc.clone(),
            key,
            server,
            config,
            offered: Box::new(offered),
            connections: RefCell::default(),
            attempts: RefCell::default(),
        };
        Ok(Self { inner: Rc::new(inner) })
    }

    /// By what others know this vat.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.inner.key.fingerprint())
    }

    /// The vat, which counts these connections apart from others.
    pub fn rpc(&self) -> &Rpc {
        &self.inner.rpc
    }

    /// Connections that are open, whoever made them.
    pub fn connections(&self) -> usize {
        self.inner.rpc.connections()
    }

    /// Takes no more connections, and ends those that there are, as [`Rpc::drain`] does.
    pub fn drain(&self) {
        self.inner.rpc.drain();
    }

    /// Takes vats in that connect to `listener`, until that ends or the vat drains.
    pub fn serve<L: Listener + 'static>(
        &self,
        listener: L,
    ) -> impl Future<Output = FlowError> + 'static {
        let vat = self.clone();
        async move {
            let Inner { rpc, server, config, .. } = &*vat.inner;
            let (spawner, timers) = (&rpc.spawner, &rpc.timers);
            let (server, config) = (server.clone(), config.clone());
            let mut listener =
                TlsListener::new("secure rpc", listener, server, config, spawner, timers);
            accept_each(spawner, timers, "secure rpc", &mut listener, |flow| {
                if rpc.shared.draining.get() {
                    return ControlFlow::Break(());
                }
                vat.accept(flow);
                ControlFlow::Continue(())
            })
            .await
        }
    }

    /// The service that a reference leads to: by the connection with its vat, which is made if there is none, and without
    /// any if the vat is this one. That the vat does not know the token is found by the first call.
    ///
    /// # Errors
    /// There is no connection, or the vat there has another key; the log says more.
    pub async fn restore<N: Connector, C: FromClientHook>(
        &self,
        connector: &N,
        reference: &SturdyRef,
    ) -> Result<C, RestoreError> {
        let Some(fingerprint) = reference.fingerprint else {
            return self.inner.rpc.restore_at(connector, reference).await;
        };
        if fingerprint == self.fingerprint() {
            return Ok(self.restore_own(&reference.service));
        }
        let conn = self.connection(connector, reference, fingerprint).await?;
        Ok(self.inner.rpc.restore(conn, &reference.service))
    }

    fn accept<F: Flow>(&self, flow: TlsFlow<F>)
    where
        TlsFlow<F>: Flow + 'static,
    {
        // The context asks for keys, so that there is no flow without one.
        let Some(key) = flow.info().peer_key else { return };
        self.run(flow, Fingerprint(key), Driver::accepted);
    }

    /// What a reference to this very vat leads to.
    fn restore_own<C: FromClientHook>(&self, service: &[u8]) -> C {
        let rpc = &self.inner.rpc;
        if service.is_empty() {
            let own =
                Peer { address: flow::Address::Memory(0), fingerprint: Some(self.fingerprint()) };
            return match (self.inner.offered)(&own) {
                Some(hook) => C::new(hook),
                None => rpc.broken(Exception::failed("this vat has no service without a token")),
            };
        }
        let (client, resolver) = rpc.promise::<capnp::capability::Client>();
        match rpc.restore_here(service) {
            None => resolver.reject(Exception::unimplemented("this vat has no services by token")),
            Some(found) => rpc.detach(async move {
                match found.await {
                    Ok(hook) => resolver.resolve(&capnp::capability::Client::new(hook)),
                    Err(error) => resolver.reject(error.into()),
                }
            }),
        }
        C::new(client.hook)
    }

    /// The connection with a vat. Of those who want one at the same time, one makes it.
    async fn connection<N: Connector>(
        &self,
        connector: &N,
        reference: &SturdyRef,
        fingerprint: Fingerprint,
    ) -> Result<ConnId, RestoreError> {
        loop {
            if let Some(conn) = self.inner.open_connection(fingerprint) {
                return Ok(conn);
            }
            let attempt = self.inner.attempts.borrow().get(&fingerprint).cloned();
            let Some(attempt) = attempt else {
                return self.connect(connector, reference, fingerprint).await;
            };
            // One that was given up is made again, by who comes first.
            if let Some(Err(error)) = attempt.watch().changed().await {
                return Err(error);
            }
        }
    }

    async fn connect<N: Connector>(
        &self,
        connector: &N,
        reference: &SturdyRef,
        fingerprint: Fingerprint,
    ) -> Result<ConnId, RestoreError> {
        let mut attempting = Attempting::begin(&self.inner, fingerprint);
        let made = self.make_flow(connector, reference, fingerprint).await;
        attempting.outcome = Some(made.as_ref().map(drop).map_err(|error| *error));
        let flow = made?;
        Ok(self.run(flow, fingerprint, Driver::connected))
    }

    async fn make_flow<N: Connector>(
        &self,
        connector: &N,
        reference: &SturdyRef,
        fingerprint: Fingerprint,
    ) -> Result<TlsFlow<N::Flow>, RestoreError> {
        let Inner { rpc, key, config, .. } = &*self.inner;
        let context = ClientContext::by_key(key, fingerprint.0);
        let context = context.map_err(|_| RestoreError::Connect(ConnectError::Exhausted))?;
        let connector = TlsConnector::new(connector.clone(), context, config.clone(), &rpc.timers);
        connector.connect(&target_of(reference)?).await.map_err(RestoreError::Connect)
    }

    /// Runs a connection with the vat of this fingerprint.
    fn run(
        &self,
        flow: impl Flow + 'static,
        fingerprint: Fingerprint,
        driver: fn(&Rpc, ConnId, flow::Address) -> Driver,
    ) -> ConnId {
        let Inner { rpc, offered, connections, .. } = &*self.inner;
        let peer = Peer { address: flow.peer(), fingerprint: Some(fingerprint) };
        let conn = rpc.system.connect_as(offered(&peer), rpc.encoding);
        let driver = driver(rpc, conn, flow.peer());
        connections.borrow_mut().insert(fingerprint, conn);
        let open = Open { inner: self.inner.clone(), fingerprint, conn };
        let account = rpc.ledger.as_ref().map(ServiceLedger::account);
        let timers = rpc.timers.clone();
        rpc.spawner.spawn("secure rpc connection", async move {
            let _open = open;
            drive(flow, driver, &timers).weighed(account).await;
        });
        conn
    }
}

impl Inner {
    /// The connection with a vat, if it can be used.
    fn open_connection(&self, fingerprint: Fingerprint) -> Option<ConnId> {
        let conn = self.connections.borrow().get(&fingerprint).copied()?;
        (!self.rpc.is_closed(conn)).then_some(conn)
    }
}

/// A connection is known until this is dropped.
struct Open {
    inner: Rc<Inner>,
    fingerprint: Fingerprint,
    conn: ConnId,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut connections = self.inner.connections.borrow_mut();
        // Another one may have taken its place.
        if connections.get(&self.fingerprint) == Some(&self.conn) {
            connections.remove(&self.fingerprint);
        }
    }
}

/// An attempt, which ends with this: whoever waits for it goes on.
struct Attempting {
    inner: Rc<Inner>,
    fingerprint: Fingerprint,
    outcome: Option<Result<(), RestoreError>>,
}

impl Attempting {
    fn begin(inner: &Rc<Inner>, fingerprint: Fingerprint) -> Self {
        inner.attempts.borrow_mut().insert(fingerprint, Watch::new(None));
        Self { inner: inner.clone(), fingerprint, outcome: None }
    }
}

impl Drop for Attempting {
    fn drop(&mut self) {
        let attempt = self.inner.attempts.borrow_mut().remove(&self.fingerprint);
        if let Some(attempt) = attempt {
            attempt.set(self.outcome);
        }
    }
}
