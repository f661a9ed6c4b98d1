//! HTTP server: a listener, and a task for each connection.

use super::access_log::{self, Logged};
use super::driver::Driver;
use crate::drive::drive;
use crate::supervise::accept_each;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::ControlFlow;
use core::time::Duration;
use flow::ledger::ServiceLedger;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{Address, Flow, Listener};
use http::server;
use web::{Handler, RequestHead};

/// What a server is told beside its handler.
#[derive(Clone, Debug, Default)]
pub struct ServerConfig {
    /// Bounds on clients.
    pub limits: http::Limits,
    /// The hosts that it answers for; none answers for all. See [`http::server::Config`].
    pub hosts: Vec<String>,
    /// Time since 1970-01-01 00:00 UTC when the timers' time was zero; `None` without a clock:
    /// responses then have no date.
    pub wall_clock_start: Option<Duration>,
    /// Weighs what clients make it hold; `None` does not.
    pub ledger: Option<ServiceLedger>,
}

/// An HTTP server. Clones are the same server, which may serve several listeners.
#[derive(Clone)]
pub struct Server(Rc<Shared>);

impl Server {
    /// A server that answers with `handler`.
    pub fn new(
        config: ServerConfig,
        spawner: &Spawner,
        timers: &Timers,
        handler: impl Handler,
    ) -> Self {
        let core = server::Config {
            limits: config.limits,
            hosts: config.hosts,
            wall_clock_start: config.wall_clock_start,
        };
        Self(Rc::new(Shared {
            core: Rc::new(server::Shared::new(core)),
            handler: Box::new(handler),
            spawner: spawner.clone(),
            timers: timers.clone(),
            connections: Cell::new(0),
            requests: Cell::new(0),
            draining: Cell::new(false),
            access_log: Cell::new(false),
            ledger: config.ledger,
        }))
    }

    /// Whether each answer gets a line in the log, under the target `access`: in the combined format, with the bytes
    /// of content that were sent, and behind it the seconds that it took and why it was refused or cut off. Off at first.
    pub fn log_access(&self, on: bool) {
        self.0.access_log.set(on);
    }

    /// Accepts connections until the listener fails or the server drains, each in a task of its own.
    pub async fn serve<L: Listener>(self, mut listener: L) {
        let Shared { spawner, timers, .. } = &*self.0;
        let error = accept_each(spawner, timers, "http", &mut listener, |flow| {
            if self.0.draining.get() {
                return ControlFlow::Break(());
            }
            let driver = Driver::new(flow.peer(), self.0.clone());
            let account = self.0.ledger.as_ref().map(ServiceLedger::account);
            spawner.spawn("http", drive(flow, driver, timers).weighed(account));
            ControlFlow::Continue(())
        });
        let error = error.await;
        if !self.0.draining.get() {
            log::error!("http: listening on {} ended: {error}", listener.local());
        }
    }

    /// Answers what is being asked and takes no more; idle connections close.
    pub fn drain(&self) {
        self.0.draining.set(true);
        self.0.spawner.wake_all();
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.0.connections.get()
    }

    /// Requests since the start.
    pub fn requests(&self) -> u64 {
        self.0.requests.get()
    }
}

/// What all connections of a server share.
pub(super) struct Shared {
    pub(super) core: Rc<server::Shared>,
    pub(super) handler: Box<dyn Handler>,
    pub(super) spawner: Spawner,
    pub(super) timers: Timers,
    pub(super) connections: Cell<usize>,
    requests: Cell<u64>,
    pub(super) draining: Cell<bool>,
    access_log: Cell<bool>,
    ledger: Option<ServiceLedger>,
}

impl Shared {
    /// Counts a request, and begins its line of the access log, if there is one.
    #[inline]
    pub(super) fn begin_request(
        &self,
        peer: Address,
        request: &RequestHead,
    ) -> Option<Box<Logged>> {
        self.requests.set(self.requests.get() + 1);
        self.begin_log(peer, Some(request))
    }

    /// Begins a line of the access log, if there is one.
    #[inline]
    pub(super) fn begin_log(
        &self,
        peer: Address,
        request: Option<&RequestHead>,
    ) -> Option<Box<Logged>> {
        self.access_log.get().then(|| {
            let now = self.timers.now();
            let date = self.core.date(now);
            Box::new(Logged::new(access_log::begin(peer, date.as_ref(), request), now))
        })
    }
}

#[cfg(test)]
mod tests;
