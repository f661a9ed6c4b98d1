//! Bind and connect, with reconnection.

use super::driver::carry;
use super::{Shared, ZmqSocket};
use crate::supervise::accept_each;
use ::zmq::PeerId;
use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use core::cell::Cell;
use core::ops::ControlFlow;
use core::time::Duration;
use flow::task::Spawner;
use flow::time::Timers;
use flow::{Connector, FlowError, Listener, Target};
use log::{debug, warn};

/// A way for a socket to get peers.
pub trait Attach {
    /// Starts the task that brings them.
    fn attach(self, socket: &ZmqSocket);
}

/// Takes every peer that opens a flow to this listener.
#[derive(Debug)]
pub struct Bind<L>(pub L);

/// Opens a flow to a target, again and again when it is lost.
#[derive(Debug)]
pub struct Connect<C> {
    /// By which.
    pub connector: C,
    /// To which.
    pub target: Target,
    /// How long to wait between two tries.
    pub backoff: Backoff,
}

/// The waits between tries: each twice the one before, with up to a quarter of it added or taken
/// at random, so that a thousand peers of a server that restarts do not come at once.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first wait. Default 100 ms, as libzmq's.
    pub first: Duration,
    /// The longest wait. Default 5 s.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(5) }
    }
}

impl<C> Connect<C> {
    /// To this target, with the default waits.
    pub fn new(connector: C, target: Target) -> Self {
        Self { connector, target, backoff: Backoff::default() }
    }
}

/// None is no way.
impl<A: Attach> Attach for Option<A> {
    fn attach(self, socket: &ZmqSocket) {
        if let Some(how) = self {
            how.attach(socket);
        }
    }
}

impl<L: Listener + 'static> Attach for Bind<L> {
    fn attach(self, socket: &ZmqSocket) {
        // The task must not keep alive the socket that nobody else holds.
        let shared = Rc::downgrade(&socket.0);
        let task = socket.0.host.spawner.spawn("zmq bind", accept(shared, self.0));
        socket.0.tasks.borrow_mut().push(task);
    }
}

impl<C: Connector> Attach for Connect<C> {
    fn attach(self, socket: &ZmqSocket) {
        let shared = Rc::downgrade(&socket.0);
        let task = socket.0.host.spawner.spawn("zmq connect", reconnect(shared, self, None));
        socket.0.tasks.borrow_mut().push(task);
    }
}

async fn accept<L: Listener>(shared: Weak<Shared>, mut listener: L) {
    let Some((spawner, timers)) = place(&shared) else {
        return;
    };
    let error = accept_each(&spawner, &timers, "zmq", &mut listener, |flow| {
        let Some(shared) = shared.upgrade() else { return ControlFlow::Break(()) };
        spawner.spawn("zmq peer", async move {
            carry(shared, Box::new(flow), None).await;
        });
        ControlFlow::Continue(())
    });
    let error = error.await;
    if error != FlowError::Closed {
        warn!("zmq: listening ended: {error}");
    }
}

/// A peer's share of the messages that go round: it has connections one after the other.
pub(super) struct Share {
    weight: Cell<u16>,
    peer: Cell<Option<PeerId>>,
}

impl Share {
    pub(super) fn new(weight: u16) -> Rc<Self> {
        Rc::new(Self { weight: Cell::new(weight), peer: Cell::new(None) })
    }

    /// It has a connection.
    pub(super) fn begin(&self, shared: &Shared, peer: PeerId) {
        self.peer.set(Some(peer));
        shared.with(|socket| socket.set_weight(peer, self.weight.get()));
    }

    /// It is another from now on.
    pub(super) fn change(&self, shared: &Shared, weight: u16) {
        if self.weight.replace(weight) != weight
            && let Some(peer) = self.peer.get()
        {
            shared.with(|socket| socket.set_weight(peer, weight));
        }
    }
}

pub(super) async fn reconnect<C: Connector>(
    shared: Weak<Shared>,
    connect: Connect<C>,
    share: Option<Rc<Share>>,
) {
    let Some((spawner, timers)) = place(&shared) else {
        return;
    };
    let Connect { connector, target, backoff } = connect;
    let mut wait = backoff.first;
    loop {
        // A panic costs the connection, not all later ones.
        match spawner.catching(connect_once(&shared, &connector, &target, share.as_deref())).await {
            Ok(true) => wait = backoff.first,
            Ok(false) => {}
            Err(failure) => warn!("zmq: {target}: {failure}"),
        }
        let pause = match shared.upgrade() {
            Some(shared) if !shared.has_drained() => jitter(&shared, wait),
            _ => return,
        };
        timers.sleep(pause).await;
        wait = wait.saturating_mul(2).min(backoff.longest);
    }
}

/// One connection, to its end; whether its handshake was done.
async fn connect_once<C: Connector>(
    shared: &Weak<Shared>,
    connector: &C,
    target: &Target,
    share: Option<&Share>,
) -> bool {
    let flow = match connector.connect(target).await {
        Ok(flow) => flow,
        Err(error) => {
            debug!("zmq: {target}: {error}");
            return false;
        }
    };
    match shared.upgrade() {
        Some(shared) => carry(shared, Box::new(flow), share).await,
        None => false,
    }
}

/// What a task needs that must not keep the socket alive.
fn place(shared: &Weak<Shared>) -> Option<(Spawner, Timers)> {
    let host = &shared.upgrade()?.host;
    Some((host.spawner.clone(), host.timers.clone()))
}

/// Three to five quarters of `wait`.
fn jitter(shared: &Shared, wait: Duration) -> Duration {
    let mut random = [0; 1];
    (shared.host.entropy)(&mut random);
    wait / 4 * 3 + wait / 2 * u32::from(random[0]) / 255
}
