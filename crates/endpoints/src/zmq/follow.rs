//! Follow: connections to all places of a service, as a registry knows them.

use super::attach::{Attach, Backoff, Connect, Share, reconnect};
use super::{Shared, ZmqSocket};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::time::Duration;
use flow::registry::{Query, Registry, Service};
use flow::task::TaskId;
use flow::{Connector, Target};
use log::warn;

/// Opens a flow to each place of a service, as they come and go: the socket's own pattern spreads messages over them, as
/// RFC 28 and RFC 30 of ZeroMQ have it for REQ, DEALER and PUSH. A place that drains is not connected to; a connection that it
/// has already stays until the place ends it or is gone, so that no message and no answer is lost. By its weight a place gets so
/// many messages one after the other, 100 at most.
pub struct Follow<C> {
    /// By which flows are opened.
    pub connector: C,
    /// Who knows the places.
    pub registry: Rc<dyn Registry>,
    /// Which service.
    pub query: Query,
    /// How long to wait between two tries at a place.
    pub backoff: Backoff,
}

/// Until a registry that gave no answer is asked again.
const REGISTRY_PAUSE: Duration = Duration::from_secs(5);

impl<C: Connector> Attach for Follow<C> {
    fn attach(self, socket: &ZmqSocket) {
        let shared = Rc::downgrade(&socket.0);
        let task = socket.0.host.spawner.spawn("zmq follow", follow(shared, self));
        socket.0.tasks.borrow_mut().push(task);
    }
}

async fn follow<C: Connector>(shared: Weak<Shared>, follow: Follow<C>) {
    let Some(timers) = shared.upgrade().map(|shared| shared.host.timers.clone()) else { return };
    let Follow { connector, registry, query, backoff } = follow;
    let mut known: Option<Vec<Service>> = None;
    let mut connected: Vec<Connected> = Vec::new();
    loop {
        let answer = match &known {
            None => registry.look_up(&query).await,
            Some(known) => registry.watch(&query, known).await,
        };
        let services = match answer {
            Ok(services) => services,
            Err(error) => {
                warn!("zmq: it is not known where {query} is: {error}");
                timers.sleep(REGISTRY_PAUSE).await;
                continue;
            }
        };
        let Some(socket) = shared.upgrade() else { return };
        leave(&socket, &mut connected, &services);
        for service in services.iter().filter(|service| !service.is_draining) {
            let (target, weight) = (place(service), service.weight);
            if let Some(own) = connected.iter().find(|own| own.target == target) {
                own.share.change(&socket, weight);
                continue;
            }
            let share = Share::new(weight);
            let connect = Connect { connector: connector.clone(), target: target.clone(), backoff };
            let connecting = reconnect(shared.clone(), connect, Some(share.clone()));
            let task = socket.host.spawner.spawn("zmq connect", connecting);
            socket.tasks.borrow_mut().push(task);
            connected.push(Connected { target, share, task });
        }
        known = Some(services);
    }
}

/// A place to which there is a connection, or is to be one.
struct Connected {
    target: Target,
    share: Rc<Share>,
    task: TaskId,
}

/// Ends the connections to places that are gone.
fn leave(socket: &Shared, connected: &mut Vec<Connected>, services: &[Service]) {
    connected.retain(|Connected { target, task, .. }| {
        let is_there = services.iter().any(|service| place(service) == *target);
        if !is_there {
            socket.host.spawner.cancel(*task);
            socket.tasks.borrow_mut().retain(|own| own != task);
        }
        is_there
    });
}

/// A service's place, by its host: it is found anew for each connection.
fn place(service: &Service) -> Target {
    Query { name: service.name.clone(), host: Some(service.host.clone()) }.target()
}
