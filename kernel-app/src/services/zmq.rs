//! Transform service over ZeroMQ, on the port of `[zmq]`, at its `websocket_path`, and where `[shared_memory]` and `[unix]` say: see
//! [`transform`].

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
use endpoints::zmq::{Bind, Host, WebSockets};
use inspect::Inspector;
#[cfg(feature = "zmq")]
use web::Routes;

/// What carries WebSockets to it, in the log and in the ledger.
#[cfg(feature = "zmq")]
const WEBSOCKET: &str = "zmq-websocket";

/// Serves [`transform`] to whoever connects.
pub fn open<P: Platform>(context: &Context<P>) -> Opened {
    let ZmqSettings { port, limits, .. } = ZmqSettings::new(&context.config.zmq);
    let listener = port.map(|port| listen(context, "zmq", port)).transpose()?;
    let local = local_port::listen(context, "zmq")?;
    let websockets = websockets(context);
    if listener.is_none() && local.is_none() && websockets.is_none() {
        return Ok(None);
    }
    let longest = context.service_ledger("zmq").message_bytes_max();
    let limits =
        ServiceLimits { message_bytes_max: limits.message_bytes_max.min(longest), ..limits };
    let server = make_server_within(&host(context), transform, listener.map(Bind), limits);
    server.attach(local.map(Bind));
    server.attach(websockets.map(|doors| Bind(doors.listener())));
    Ok(Some(Rc::new(Transform { server, port })))
}

/// Adds the route by which WebSockets come in, if there is to be one.
#[cfg(feature = "zmq")]
pub(crate) fn with_route<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    let path = ZmqSettings::new(&context.config.zmq).websocket_path;
    let (Some(path), Some(doors)) = (path, websockets(context)) else { return routes };
    log::info!("{WEBSOCKET} at {path}");
    // Routes are there for the whole run.
    routes.get(path.leak(), move |request| {
        let reply = doors.accept(&request);
        async move { reply }
    })
}

/// Where they come in, if they do.
#[cfg(feature = "zmq")]
fn websockets<P: Platform>(context: &Context<P>) -> Option<WebSockets> {
    use endpoints::zmq::{Config, SocketType};
    let make = || {
        let ZmqSettings { websocket_path, websocket_origins, limits, .. } =
            ZmqSettings::new(&context.config.zmq);
        websocket_path?;
        let host = super::websocket::host_of(context, WEBSOCKET);
        let mut config = Config::new(SocketType::Router);
        config.limits.message_bytes_max = limits.message_bytes_max;
        Some(WebSockets::new(&host, &config, super::websocket::origins(websocket_origins)))
    };
    context.zmq_websockets.get_or_init(make).clone()
}

#[cfg(not(feature = "zmq"))]
fn websockets<P: Platform>(_: &Context<P>) -> Option<WebSockets> {
    None
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
