//! Server of web requests, whatever protocol carries them: a listener, and a task for each connection.
//!
//! A protocol is a [`ServerCore`]; its module here says what its server is told. Adding one takes no more.

mod access_log;
mod clients;
mod crowd;
mod driver;
mod exchange;
mod traffic;

pub use traffic::{METRICS, Traffic};

use crate::drive::drive;
use crate::supervise::accept_each;
use access_log::Logged;
use alloc::boxed::Box;
use alloc::rc::Rc;
use clients::Clients;
use core::cell::{Cell, RefCell};
use core::ops::ControlFlow;
use core::task::{Context, Poll};
use core::time::Duration;
use crowd::Crowd;
use driver::Driver;
use exchange::SpareWork;
use flow::ledger::ServiceLedger;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{Address, Flow, FlowError, Listener};
use web::access_log::Format;
use web::server::ServerCore;
use web::{Handler, RequestHead};

/// A server of the protocol `C`. Clones are the same server, which may serve several listeners.
pub struct Server<C: ServerCore>(Rc<Shared<C>>);

impl<C: ServerCore> Clone for Server<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: ServerCore> Server<C> {
    /// A server whose connections share `core`, which answers with `handler`; several servers may have the same one.
    /// `ledger` weighs what clients make it hold; `None` does not.
    pub fn sharing(
        core: C::Shared,
        ledger: Option<ServiceLedger>,
        spawner: &Spawner,
        timers: &Timers,
        handler: Rc<dyn Handler>,
    ) -> Self {
        Self(Rc::new(Shared {
            core: RefCell::new(Rc::new(core)),
            handler,
            spawner: spawner.clone(),
            timers: timers.clone(),
            traffic: Rc::default(),
            draining: Cell::new(false),
            access_log: Cell::new(None),
            clients: Rc::default(),
            crowd: Rc::default(),
            ends_with_clients: Cell::new(false),
            ledger,
            spare_work: SpareWork::default(),
        }))
    }

    /// Whether each answer gets a line in the log, under the target `access`, with the bytes of content that were sent, and of
    /// which format. Off at first.
    pub fn log_access(&self, format: Option<Format>) {
        self.0.access_log.set(format);
    }

    /// How many connections each client may have, by its address; further ones are reset. Zero is no limit, as at first. Those
    /// that are open stay, and those that began without a limit do not count.
    pub fn limit_clients(&self, connections_max: usize) {
        self.0.clients.limit(connections_max);
    }

    /// How many connections there may be of all clients. When one more comes, the one that has been idle longest ends; if a
    /// request is open on each of them, the one that comes is reset. Zero is no limit, as at first. It is for a handful of
    /// connections, and those that began without a limit do not count.
    pub fn limit_connections(&self, connections_max: usize) {
        self.0.crowd.limit(connections_max);
    }

    /// Whether the work for a request ends when its client ends its side of the connection, as programs do that are interrupted.
    /// Off at first: the end of that side alone does not say that nobody waits for the answer (RFC 9112 section 9.6), and it is a
    /// reset or a failed write that ends the work. Turn it on where an answer takes long and costs much.
    pub fn end_with_clients(&self, ends: bool) {
        self.0.ends_with_clients.set(ends);
    }

    /// Has connections that begin from now on share `core`; those that are open keep what they have.
    pub fn share(&self, core: C::Shared) {
        self.0.core.replace(Rc::new(core));
    }

    /// Accepts connections until the listener fails or the server drains, each in a task of its own.
    pub async fn serve<L: Listener>(self, listener: L) {
        let Shared { spawner, timers, .. } = &*self.0;
        let local = listener.local();
        let mut listener = UntilDrained { listener, shared: &self.0 };
        let error = accept_each(spawner, timers, C::NAME, &mut listener, |mut flow| {
            if self.0.draining.get() {
                return ControlFlow::Break(());
            }
            let Ok(place) = Clients::enter(&self.0.clients, flow.peer()) else {
                log::debug!(
                    "{}: {} is turned away: it has enough connections",
                    C::NAME,
                    flow.peer()
                );
                flow.abort();
                return ControlFlow::Continue(());
            };
            let Ok(seat) = Crowd::enter(&self.0.crowd) else {
                log::debug!("{}: {} is turned away: all are at work", C::NAME, flow.peer());
                flow.abort();
                return ControlFlow::Continue(());
            };
            let driver = Driver::new(&flow, self.0.clone(), place, seat);
            let account = self.0.ledger.as_ref().map(ServiceLedger::account);
            spawner.spawn(C::NAME, drive(flow, driver, timers).weighed(account));
            ControlFlow::Continue(())
        });
        let error = error.await;
        if !self.0.draining.get() {
            log::error!("{}: listening on {local} ended: {error}", C::NAME);
        }
    }

    /// Answers what is being asked and takes no more; idle connections close.
    pub fn drain(&self) {
        self.0.draining.set(true);
        self.0.spawner.wake_all();
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.0.traffic.connections()
    }

    /// Requests since the start.
    pub fn requests(&self) -> u64 {
        self.0.traffic.requests()
    }

    /// What it counts.
    pub fn traffic(&self) -> Rc<Traffic> {
        self.0.traffic.clone()
    }
}

/// A listener that ends when the server drains: whoever comes then is refused by the transport, and the place is free for a
/// successor.
struct UntilDrained<'a, L, C: ServerCore> {
    listener: L,
    shared: &'a Shared<C>,
}

impl<L: Listener, C: ServerCore> Listener for UntilDrained<'_, L, C> {
    type Flow = L::Flow;

    /// Draining wakes all tasks, this one's too.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<L::Flow, FlowError>> {
        if self.shared.draining.get() {
            return Poll::Ready(Err(FlowError::Closed));
        }
        self.listener.poll_accept(cx)
    }

    fn local(&self) -> Address {
        self.listener.local()
    }
}

/// What all connections of a server share.
struct Shared<C: ServerCore> {
    /// What connections share that begin now.
    core: RefCell<Rc<C::Shared>>,
    handler: Rc<dyn Handler>,
    spawner: Spawner,
    timers: Timers,
    traffic: Rc<Traffic>,
    draining: Cell<bool>,
    access_log: Cell<Option<Format>>,
    clients: Rc<Clients>,
    crowd: Rc<Crowd>,
    ends_with_clients: Cell<bool>,
    ledger: Option<ServiceLedger>,
    spare_work: SpareWork,
}

impl<C: ServerCore> Shared<C> {
    /// The time within the turn that began at `now`, while somebody measures.
    #[inline]
    fn precise(&self, now: Duration) -> Duration {
        self.spawner.clock().map_or(now, |clock| clock())
    }

    /// Counts a request, and begins its line of the access log, if there is one.
    #[inline]
    fn begin_request(&self, peer: Address, request: &RequestHead) -> Option<Box<Logged>> {
        self.traffic.asked();
        self.begin_log(peer, Some(request), self.timers.now())
    }

    /// Begins a line of the access log, if there is one, of what began to come at `begun`.
    #[inline]
    fn begin_log(
        &self,
        peer: Address,
        request: Option<&RequestHead>,
        begun: Duration,
    ) -> Option<Box<Logged>> {
        self.access_log.get().map(|format| {
            let date = C::date(&self.core.borrow(), self.timers.now());
            Box::new(Logged::new(access_log::begin(format, peer, date.as_ref(), request), begun))
        })
    }
}
