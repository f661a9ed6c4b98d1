//! Transform service over ZeroMQ, on the port of `[zmq]` and where `[shared_memory]` and `[unix]` say: see [`transform`].

use crate::Platform;
use crate::context::Context;
use crate::handlers::transform::transform;
use crate::local_port;
use crate::service::{Offer, Opened, Service, listen};
use crate::settings::zmq::ZmqSettings;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::pipe::{self, ServiceLimits, make_server_within};
use endpoints::zmq::{Bind, Host};
use inspect::Inspector;

/// Serves [`transform`] to whoever connects.
pub fn open<P: Platform>(context: &Context<P>) -> Opened {
    let ZmqSettings { port, limits } = ZmqSettings::new(&context.config.zmq);
    let listener = port.map(|port| listen(context, "zmq", port)).transpose()?;
    let local = local_port::listen(context, "zmq")?;
    if listener.is_none() && local.is_none() {
        return Ok(None);
    }
    let longest = context.service_ledger("zmq").message_bytes_max();
    let limits =
        ServiceLimits { message_bytes_max: limits.message_bytes_max.min(longest), ..limits };
    let server = make_server_within(&host(context), transform, listener.map(Bind), limits);
    server.attach(local.map(Bind));
    Ok(Some(Rc::new(Transform { server, port })))
}

/// What ZeroMQ sockets need of the appliance: tasks, time, entropy and memory.
pub fn host<P: Platform>(context: &Context<P>) -> Host {
    let platform = context.platform.clone();
    Host {
        spawner: context.spawner.clone(),
        timers: context.timers.clone(),
        entropy: Rc::new(move |bytes| platform.fill_random(bytes)),
        ledger: Some(context.service_ledger("zmq")),
    }
}

struct Transform {
    server: pipe::Service,
    /// Of TCP, if it listens there.
    port: Option<u16>,
}

impl Service for Transform {
    fn offers(&self) -> Vec<Offer> {
        Vec::from([Offer { name: "transform", protocol: "zmtp", port: self.port }])
    }

    fn connections(&self) -> usize {
        self.server.peers()
    }

    fn drain(&self, linger: Duration) {
        self.server.drain(linger);
    }

    fn inspect(&self, name: &'static str, inspector: &Inspector) {
        let server = self.server.clone();
        inspector.add_metrics(pipe::METRICS, move |visit| visit(Some(("service", &name)), &server));
    }
}
