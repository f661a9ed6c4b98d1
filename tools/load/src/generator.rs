//! Generator: the connections of one thread, over any connector, and what they share. It knows no socket and no clock.

mod allowance;
mod calls;
mod capnp;
mod connection;
mod cookies;
mod half_open;
mod http;
mod shared;
#[cfg(test)]
mod tests;
mod zeromq;

pub(crate) use shared::Shared;

use self::capnp::Capnp;
use self::zeromq::ZeroMq;
use ::flow::Connector;
use ::flow::task::Spawner;
use load::Protocol;
use std::rc::Rc;

/// Starts all connections: they are opened, wait for [`Shared::begin`], and end when nothing is due any more.
pub(crate) fn start<C: Connector>(shared: &Rc<Shared>, connector: &C, spawner: &Spawner) {
    match shared.scenario().place.protocol {
        Protocol::Http | Protocol::Https => {
            for _ in 0..shared.connections() {
                spawner.spawn("connection", connection::run(shared.clone(), connector.clone()));
            }
        }
        Protocol::Capnp => {
            let vat = Capnp::new(shared.service(), spawner, shared.timers());
            start_calls(shared, connector, spawner, &vat);
        }
        Protocol::Zmq => {
            let seed = shared.scenario().seed;
            let sockets = ZeroMq::new(shared.target(), seed, spawner, shared.timers());
            start_calls(shared, connector, spawner, &sockets);
        }
    }
    for _ in 0..shared.half_open() {
        spawner.spawn("half-open", half_open::run(shared.clone(), connector.clone()));
    }
}

fn start_calls<C: Connector, P: calls::Protocol>(
    shared: &Rc<Shared>,
    connector: &C,
    spawner: &Spawner,
    protocol: &P,
) {
    for _ in 0..shared.connections() {
        let (shared, connector) = (shared.clone(), connector.clone());
        spawner.spawn("connection", calls::run(shared, connector, protocol.clone()));
    }
}
