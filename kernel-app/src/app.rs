//! THE table: which port speaks which protocol to which handler.

#[cfg(not(feature = "rpc"))]
use crate::handlers::absent::Rpc;
#[cfg(not(feature = "zmq"))]
use crate::handlers::absent::Service;
use crate::handlers::debug;
use crate::handlers::site::Site;
use crate::platform::ListenError;
use crate::{Platform, registry};
use alloc::rc::Rc;
use alloc::string::String;
use config::{Bundle, Config};
use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use endpoints::http::{Limits, Routes, Server, ServerConfig};
#[cfg(feature = "zmq")]
use endpoints::pipe::Service;
#[cfg(feature = "rpc")]
use endpoints::rpc::Rpc;
use flow::registry::{Registry, ResolvingConnector};
use flow::task::Spawner;
use flow::time::Timers;

/// What handlers may use.
pub struct Context<P: Platform> {
    /// The platform, for connections to others and the time of day.
    pub platform: P,
    /// The configuration as it was read at the start.
    pub config: Rc<Config>,
    /// The files of the boot bundle.
    pub bundle: Rc<Bundle<'static>>,
    /// Who offers what, and where.
    pub registry: Rc<dyn Registry>,
    /// Makes tasks.
    pub spawner: Spawner,
    /// Time and deadlines.
    pub timers: Timers,
}

impl<P: Platform> Clone for Context<P> {
    fn clone(&self) -> Self {
        Self {
            platform: self.platform.clone(),
            config: self.config.clone(),
            bundle: self.bundle.clone(),
            registry: self.registry.clone(),
            spawner: self.spawner.clone(),
            timers: self.timers.clone(),
        }
    }
}

impl<P: Platform> Context<P> {
    /// Opens connections to others, also by the names of their services.
    pub fn connector(&self) -> ResolvingConnector<P::Connector> {
        ResolvingConnector::new(self.platform.connector(), self.registry.clone())
    }

    /// Time since 1970-01-01 00:00 UTC when the timers' time was zero.
    pub fn wall_clock_start(&self) -> Duration {
        self.platform.wall_clock().saturating_sub(self.timers.now())
    }
}

/// What HTTP serves.
fn routes<P: Platform>(context: &Context<P>) -> Routes {
    let mut routes = Routes::new();
    if context.config.debug.endpoints {
        routes = routes
            .any("/_test/echo", debug::echo)
            .any("/_test/sink", debug::sink)
            .any("/_test/panic", debug::panic);
        #[cfg(feature = "relay")]
        {
            let relay = crate::handlers::relay::Relay::new(context);
            routes = routes.any("/_test/relay/:server/*path", relay);
        }
        #[cfg(feature = "zmq")]
        {
            let here = context.clone();
            let transform =
                move |request| crate::handlers::zmq::transform_elsewhere(here.clone(), request);
            let here = context.clone();
            let trial = move |request| crate::handlers::zmq::try_out(here.clone(), request);
            routes = routes.post("/_test/transform/:service", transform).get("/_test/zmq", trial);
        }
        routes = context.platform.test_routes(routes, &context.spawner);
    }
    routes.get("/*path", Site::new(context))
}

/// The running appliance.
pub struct App {
    web: Server,
    rpc: Option<Rpc>,
    transform: Option<Service>,
    timers: Timers,
    drain: Duration,
    /// When what is still open is given up; set when the appliance is asked to stop.
    give_up_at: Cell<Option<Duration>>,
}

impl App {
    /// Opens every port of the table.
    pub fn start<P: Platform>(context: &Context<P>) -> Result<Self, StartError> {
        let web =
            Server::new(web_config(context), &context.spawner, &context.timers, routes(context));
        let http = &context.config.http;
        web.log_access(http.access_log);
        let listener = listen(context, "http", http.port)?;
        context.spawner.spawn("http listener", web.clone().serve(listener));
        let rpc = open_rpc(context, &web)?;
        let transform = open_zmq(context)?;
        registry::register(context);
        Ok(Self {
            web,
            rpc,
            transform,
            timers: context.timers.clone(),
            drain: context.config.shutdown.drain,
            give_up_at: Cell::new(None),
        })
    }

    /// Takes no more work and ends what is idle.
    pub fn stop(&self) {
        log::info!("stopping: {} connections open", self.connections());
        self.give_up_at.set(Some(self.timers.now() + self.drain));
        self.web.drain();
        if let Some(rpc) = &self.rpc {
            rpc.drain();
        }
        if let Some(transform) = &self.transform {
            transform.drain(self.drain);
        }
    }

    fn connections(&self) -> usize {
        let rpc = self.rpc.as_ref().map_or(0, Rpc::connections);
        self.web.connections() + rpc + self.transform.as_ref().map_or(0, Service::peers)
    }

    /// All work is done, and what came of it has arrived but for `undelivered` connections; or the
    /// time for that is over.
    pub fn has_stopped(&self, undelivered: usize) -> bool {
        let Some(give_up_at) = self.give_up_at.get() else { return false };
        let open = self.connections().max(undelivered);
        if open > 0 && self.timers.now() < give_up_at {
            return false;
        }
        log::info!("stopped; {open} connections cut");
        true
    }

    /// When the appliance must be asked again whether it has stopped.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.give_up_at.get()
    }
}

#[cfg(feature = "rpc")]
fn open_rpc<P: Platform>(context: &Context<P>, web: &Server) -> Result<Option<Rpc>, StartError> {
    let Some(port) = context.config.rpc.port else { return Ok(None) };
    let (rpc, directory) = crate::handlers::rpc::open(context, web);
    let offering = rpc.offer(listen(context, "rpc", port)?, directory);
    context.spawner.spawn("rpc listener", async {
        let end = offering.await;
        log::debug!("rpc: listening ended: {end}");
    });
    Ok(Some(rpc))
}

#[cfg(not(feature = "rpc"))]
fn open_rpc<P: Platform>(_: &Context<P>, _: &Server) -> Result<Option<Rpc>, StartError> {
    Ok(None)
}

#[cfg(feature = "zmq")]
fn open_zmq<P: Platform>(context: &Context<P>) -> Result<Option<Service>, StartError> {
    let Some(port) = context.config.zmq.port else { return Ok(None) };
    Ok(Some(crate::handlers::zmq::open(context, listen(context, "zmq", port)?)))
}

#[cfg(not(feature = "zmq"))]
fn open_zmq<P: Platform>(_: &Context<P>) -> Result<Option<Service>, StartError> {
    Ok(None)
}

/// A port of the table cannot be opened.
#[derive(Debug)]
pub struct StartError {
    service: &'static str,
    port: u16,
    reason: ListenError,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot serve {} on port {}: {}", self.service, self.port, self.reason)
    }
}

impl core::error::Error for StartError {}

fn listen<P: Platform>(
    context: &Context<P>,
    service: &'static str,
    port: u16,
) -> Result<P::Listener, StartError> {
    let listener = context.platform.listen(port, context.config.tcp.listen_backlog);
    let listener = listener.map_err(|reason| StartError { service, port, reason })?;
    log::info!("{service} on port {port}");
    Ok(listener)
}

fn web_config<P: Platform>(context: &Context<P>) -> ServerConfig {
    let http = &context.config.http;
    let limits = Limits {
        start_line_bytes_max: http.request_line_bytes_max.try_into().unwrap_or(u16::MAX),
        head_bytes_max: http.header_bytes_max.try_into().unwrap_or(u16::MAX),
        fields_max: http.headers_max.try_into().unwrap_or(u16::MAX),
        body_bytes_max: http.body_bytes_max as u64,
        head_time: http.head_timeout,
        body_progress_time: http.body_timeout,
        idle_time: http.idle_timeout,
        ..Limits::default()
    };
    ServerConfig {
        limits,
        hosts: http.hosts.clone(),
        wall_clock_start: Some(context.wall_clock_start()),
    }
}

/// What a bad start says, for platforms to show before they stop.
pub fn explain(error: &dyn core::error::Error) -> String {
    alloc::format!("the appliance does not start: {error}")
}
