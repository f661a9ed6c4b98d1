//! Balanced service of RPC: one that several vats offer, with a connection to each and calls spread over them.

use super::Rpc;
use crate::places::{Lease, Location, NoPlace, Places};
use alloc::rc::Rc;
use alloc::vec::Vec;
use capnp::ErrorKind;
use capnp::capability::FromClientHook;
use core::cell::RefCell;
use core::fmt;
use core::time::Duration;
use flow::{ConnectError, Connector};

/// A service that several vats offer, each as what it offers everybody. There is one connection to each place, which is made
/// when a call first goes there. Clones share places and connections.
///
/// What calls depend on each other, as those on an object that one of them returned, is to be in one [`call`](Self::call):
/// other places know nothing of that object.
pub struct BalancedService<N, C> {
    rpc: Rpc,
    connector: N,
    places: Places,
    connect_timeout: Duration,
    /// The service at each place to which there is a connection.
    connected: Rc<RefCell<Vec<(Location, C)>>>,
}

/// Why a call has no result.
#[derive(Debug)]
pub enum BalancedCallError {
    /// No place may be asked.
    NoPlace(NoPlace),
    /// The last place that was tried cannot be reached.
    Connect(ConnectError),
    /// The call failed, at the last place that was tried.
    Call(capnp::Error),
}

/// Whether a call may be made again when it is not known whether it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeatable {
    /// It may be done twice.
    Yes,
    /// It may not.
    No,
}

impl<N: Clone, C> Clone for BalancedService<N, C> {
    fn clone(&self) -> Self {
        Self {
            rpc: self.rpc.clone(),
            connector: self.connector.clone(),
            places: self.places.clone(),
            connect_timeout: self.connect_timeout,
            connected: self.connected.clone(),
        }
    }
}

impl<N: Connector, C: FromClientHook + Clone> BalancedService<N, C> {
    /// The service that has these places, by connections of this vat.
    pub fn new(rpc: &Rpc, connector: N, places: Places, connect_timeout: Duration) -> Self {
        let (rpc, connected) = (rpc.clone(), Rc::default());
        Self { rpc, connector, places, connect_timeout, connected }
    }

    /// The places.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Makes a call, or several that belong together, at one of the places. `key` is as for [`Places::lease`].
    ///
    /// A place that cannot be reached, whose connection ends, or that is overloaded has failed; `call` is then made at another
    /// one, within the places' share of retries, if no connection had come to be or it is repeatable. Other exceptions are
    /// the call's own.
    ///
    /// # Errors
    /// See [`BalancedCallError`].
    pub async fn call<T>(
        &self,
        key: Option<u64>,
        repeatable: Repeatable,
        call: impl AsyncFn(C) -> Result<T, capnp::Error>,
    ) -> Result<T, BalancedCallError> {
        let mut lease = self.first_lease(key).await?;
        let mut tried = Vec::new();
        loop {
            tried.push(lease.id());
            let error = match self.call_at(lease, &call).await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            let next = error.may_go_on(repeatable).then(|| self.places.lease_again(key, &tried));
            match next.flatten() {
                Some(next) => lease = next,
                None => return Err(error),
            }
        }
    }

    /// A place, as soon as it is known which there are.
    async fn first_lease(&self, key: Option<u64>) -> Result<Lease, BalancedCallError> {
        let timers = &self.rpc.timers;
        match timers.before(timers.now() + self.connect_timeout, self.places.lease(key)).await {
            Ok(lease) => lease.map_err(BalancedCallError::NoPlace),
            Err(_) => Err(BalancedCallError::Connect(ConnectError::TimedOut)),
        }
    }

    async fn call_at<T>(
        &self,
        mut lease: Lease,
        call: &impl AsyncFn(C) -> Result<T, capnp::Error>,
    ) -> Result<T, BalancedCallError> {
        let outcome = match self.service(&lease).await {
            Ok(service) => call(service).await.map_err(BalancedCallError::Call),
            Err(error) => Err(BalancedCallError::Connect(error)),
        };
        match &outcome {
            Err(error) if error.is_the_places() => {
                log::info!("{}: {}: {error}", self.places.name(), lease.target());
                lease.failed();
            }
            Ok(_) | Err(_) => lease.answered(),
        }
        outcome
    }

    /// The service at a place, by the connection that there is or by a new one.
    async fn service(&self, lease: &Lease) -> Result<C, ConnectError> {
        if let Some(service) = self.connected(lease) {
            return Ok(service);
        }
        let timers = &self.rpc.timers;
        let connecting = self.rpc.connect(&self.connector, lease.target());
        let connected = timers.before(timers.now() + self.connect_timeout, connecting).await;
        let service: C = connected.unwrap_or(Err(ConnectError::TimedOut))?;
        // Somebody else may have been quicker: of two connections one is kept, and the other ends.
        if let Some(other) = self.connected(lease) {
            return Ok(other);
        }
        self.connected.borrow_mut().push((lease.location().clone(), service.clone()));
        Ok(service)
    }

    /// What is kept of a place; connections that have ended, or lead to where it was before, are not.
    fn connected(&self, lease: &Lease) -> Option<C> {
        let to = lease.location();
        let mut connected = self.connected.borrow_mut();
        connected.retain(|(own, service)| {
            let has_moved = own.target == to.target && own.moves < to.moves;
            !has_moved && self.rpc.broken_by(service.as_client_hook()).is_none()
        });
        connected.iter().find(|(own, _)| own == to).map(|(_, service)| service.clone())
    }
}

impl BalancedCallError {
    /// Whether the place is to blame.
    fn is_the_places(&self) -> bool {
        match self {
            Self::Call(error) => {
                matches!(error.kind, ErrorKind::Disconnected | ErrorKind::Overloaded)
            }
            Self::Connect(
                ConnectError::Exhausted | ConnectError::Unsupported | ConnectError::NotAllowed,
            )
            | Self::NoPlace(_) => false,
            Self::Connect(_) => true,
        }
    }

    /// Whether another place may do it without harm. Who is overloaded has not done it.
    fn may_go_on(&self, repeatable: Repeatable) -> bool {
        let is_undone = match self {
            Self::Call(error) => error.kind == ErrorKind::Overloaded,
            Self::Connect(_) | Self::NoPlace(_) => true,
        };
        self.is_the_places() && (is_undone || repeatable == Repeatable::Yes)
    }
}

impl fmt::Display for BalancedCallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlace(error) => error.fmt(f),
            Self::Connect(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BalancedCallError {}

impl<N, C> fmt::Debug for BalancedService<N, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BalancedService({:?})", self.places)
    }
}
