//! Load generator: makes the requests of a [scenario](load::Scenario) over any connector. It knows no socket and no clock: the
//! program `aqueduct-load` runs it over the kernel's sockets, an image over its own stack and shared memory.
//!
//! ```
//! use flow::memory::MemoryNetwork;
//! use flow::task::Executor;
//! use flow::time::Timers;
//! use load::{Scenario, Share};
//! use load_generator::Shared;
//!
//! # let executor = Executor::new(|body| { body(); Ok(()) });
//! let (timers, network) = (Timers::new(), MemoryNetwork::new(1024, 10));
//! let scenario = Scenario::parse("a.toml", "target = 'http://127.0.0.1/'\nconnections = 2").unwrap();
//! let target = "127.0.0.1:80".parse().unwrap();
//! let shared = Shared::new(&scenario, Share::ALL, target, &timers).unwrap();
//! load_generator::start(&shared, &network, &executor.spawner());
//! executor.run(100);
//! // Nobody listens there.
//! assert!(shared.is_ready() && shared.counts().unopened == 2);
//! ```
//!
//! Who has a loop of its own calls [`Shared::advance`] in each turn, [`Shared::begin`] when all is ready, and looks at
//! [`Shared::has_ended`]; a task does all that by [`run`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod allowance;
mod calls;
mod capnp;
mod connection;
mod cookies;
mod counted;
mod half_open;
mod http;
mod run;
mod shared;
#[cfg(test)]
mod tests;
mod zeromq;

pub use run::run;
pub use shared::{Counts, Shared};

use self::capnp::Capnp;
use self::zeromq::ZeroMq;
use ::flow::Connector;
use ::flow::task::Spawner;
use alloc::rc::Rc;
use load::Protocol;

/// Starts all connections: they are opened, wait for [`Shared::begin`], and end when nothing is due any more.
pub fn start<C: Connector>(shared: &Rc<Shared>, connector: &C, spawner: &Spawner) {
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
