//! The application: the table of its services and routes, its start and its stop.

use crate::context::Context;
use crate::handlers::access::AccessRules;
use crate::handlers::site::{self, Site};
use crate::live_settings::LiveSettings;
use crate::service::{ServiceEntry, Services, StartError, Table};
use crate::settings::http::HttpSettings;
use crate::standard::Standard;
use crate::{Platform, local_port, registry};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use config::{Bundle, Config, Shutdown, Tasks};
use core::cell::Cell;
use core::time::Duration;
use flow::time::Timers;
use web::Routes;
#[cfg(feature = "compression")]
use web::layers::Compression;
use web::layers::RateLimit;

const MINUTE: Duration = Duration::from_secs(60);

/// The appliance that this repository ships.
#[derive(Clone, Copy, Debug)]
pub struct Appliance;

impl Table for Appliance {
    fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>> {
        Standard::new(|_| Routes::new()).entries()
    }
}

/// Adds what all protocols that carry web requests serve to `routes`: last of all the site, which takes every path.
pub fn routes<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    let routes = with_zmq(with_rpc(with_health(routes, context), context), context);
    let site = Site::new(context);
    let error_pages = site.error_pages();
    // What other services answer is theirs to compress.
    let routes = with_proxies(compressed(routes.get("/*path", site), context), context);
    let routes = match AccessRules::new(context) {
        Some(rules) => routes.layer(rules),
        None => routes,
    };
    let routes = match HttpSettings::new(&context.config.http).requests_per_minute_max {
        0 => routes,
        requests => routes.layer(RateLimit::new(&context.timers, requests, MINUTE)),
    };
    routes.layer(error_pages)
}

/// Answers are compressed while they are sent, if the configuration says so.
#[cfg(feature = "compression")]
fn compressed<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    match HttpSettings::new(&context.config.http).compression {
        None => routes,
        Some(settings) => routes.layer(
            Compression::new()
                .with_bytes_min(settings.bytes_min)
                .with_streams_max(settings.streams_max)
                .with_bytes_per_second_max(&context.timers, settings.bytes_per_second_max)
                .sparing_personal_answers(),
        ),
    }
}

#[cfg(not(feature = "compression"))]
fn compressed<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    if context.config.http.compress {
        log::warn!("[http] compress is without effect: it is not in this build");
    }
    routes
}

#[cfg(feature = "rpc-websocket")]
fn with_rpc<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    crate::services::rpc_websocket::with_route(routes, context)
}

#[cfg(not(feature = "rpc-websocket"))]
fn with_rpc<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    if !context.config.rpc.websocket_path.is_empty() {
        log::warn!("[rpc] websocket_path is without effect: it is not in this build");
    }
    routes
}

#[cfg(feature = "zmq")]
fn with_zmq<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    crate::services::zmq::with_route(routes, context)
}

#[cfg(not(feature = "zmq"))]
fn with_zmq<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    if !context.config.zmq.websocket_path.is_empty() {
        log::warn!("[zmq] websocket_path is without effect: it is not in this build");
    }
    routes
}

#[cfg(feature = "admin")]
fn with_health<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    if crate::settings::admin::AdminSettings::new(&context.config.admin).health_on_http {
        crate::services::admin::health::add(routes, context)
    } else {
        routes
    }
}

#[cfg(not(feature = "admin"))]
fn with_health<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    if context.config.admin.health_on_http {
        log::warn!("[admin] health_on_http is without effect: it is not in this build");
    }
    routes
}

/// What services of others answer comes to no route of ours.
#[cfg(feature = "http-client")]
fn with_proxies<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    crate::balanced::with_proxies(routes, context)
}

#[cfg(not(feature = "http-client"))]
fn with_proxies<P: Platform>(routes: Routes, _: &Context<P>) -> Routes {
    routes
}

/// The running appliance.
pub struct App {
    services: Services,
    timers: Timers,
    settings: Rc<LiveSettings>,
    #[cfg(feature = "vats")]
    names: Option<Rc<crate::names::SharedNames>>,
    log_tasks: Box<dyn Fn()>,
    /// When what is still open is given up; set when the appliance is asked to stop.
    give_up_at: Cell<Option<Duration>>,
}

impl App {
    /// Opens every service of the table that the configuration has on.
    ///
    /// # Errors
    /// A service cannot be opened, or a setting is none that it can be opened with: with the line of the configuration.
    pub fn start<P: Platform>(
        context: &Context<P>,
        table: &impl Table,
    ) -> Result<Self, StartError> {
        Self::open(context, table).map_err(|error| error.at_line(&context.bundle))
    }

    fn open<P: Platform>(context: &Context<P>, table: &impl Table) -> Result<Self, StartError> {
        let Tasks { tasks_max } = context.config.tasks;
        context.spawner.limit_tasks(tasks_max);
        let entries = table.entries();
        let carried: Vec<_> = entries.iter().map(|entry| entry.name).collect();
        for (service, port) in absent(&context.config, &carried) {
            log::info!("nothing listens on port {port}: {service} is not in this build");
        }
        local_port::tell_absent(&context.config, &carried);
        if let Some(warning) = without_bundle(&context.bundle) {
            log::warn!("{warning}");
        }
        check_capabilities(context)?;
        send_log(context)?;
        site::check(context)?;
        open_proxies(context)?;
        open_rpc_websockets(context)?;
        open_databases(context)?;
        for entry in entries {
            if let Some(service) = (entry.open)(context)? {
                service.inspect(entry.name, &context.inspector);
                context.services.add(entry.name, service);
            }
        }
        follow(context);
        start_names(context)?;
        carry_over(context);
        #[cfg(feature = "inspection")]
        crate::inspection::add_all(context);
        registry::register(context);
        Ok(Self {
            services: context.services.clone(),
            timers: context.timers.clone(),
            settings: context.live_settings.clone(),
            #[cfg(feature = "vats")]
            names: context.names.clone(),
            log_tasks: task_log(context),
            give_up_at: Cell::new(None),
        })
    }

    /// Takes no more work and ends what is idle.
    pub fn stop(&self) {
        log::info!("stopping: {} connections open", self.services.connections());
        let Shutdown { drain } = self.settings.get().shutdown;
        self.give_up_at.set(Some(self.timers.now() + drain));
        #[cfg(feature = "vats")]
        if let Some(names) = &self.names {
            names.drain();
        }
        self.services.drain(drain);
    }

    /// Writes all tasks into the log, with where each waits.
    pub fn log_tasks(&self) {
        (self.log_tasks)();
    }

    /// All work is done, and what came of it has arrived but for `undelivered` connections; or the
    /// time for that is over.
    pub fn has_stopped(&self, undelivered: usize) -> bool {
        let Some(give_up_at) = self.give_up_at.get() else { return false };
        let open = self.services.connections().max(undelivered);
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

/// What writes all tasks into the log.
#[cfg(feature = "inspection")]
fn task_log<P: Platform>(context: &Context<P>) -> Box<dyn Fn()> {
    let context = context.clone();
    Box::new(move || drop(crate::inspection::log_tasks(&context)))
}

#[cfg(not(feature = "inspection"))]
fn task_log<P: Platform>(_: &Context<P>) -> Box<dyn Fn()> {
    Box::new(|| log::warn!("tasks: what shows them is not in this build"))
}

/// Refuses references that lead nowhere before anybody asks for them.
fn check_capabilities<P: Platform>(context: &Context<P>) -> Result<(), StartError> {
    #[cfg(feature = "vats")]
    context.check_capabilities()?;
    #[cfg(not(feature = "vats"))]
    if !context.config.capabilities.references.is_empty() {
        log::warn!("[capabilities] is without effect: it is not in this build");
    }
    Ok(())
}

/// Sends the log to a collector, if the configuration names one.
fn send_log<P: Platform>(context: &Context<P>) -> Result<(), StartError> {
    #[cfg(feature = "syslog")]
    if let Some(syslog) = crate::syslog::open(context)? {
        context.services.add("syslog", syslog);
    }
    #[cfg(not(feature = "syslog"))]
    if context.config.log.syslog.is_some() {
        log::warn!("[log] syslog is without effect: it is not in this build");
    }
    Ok(())
}

/// Opens the routes to services of others, before the first request comes.
fn open_proxies<P: Platform>(context: &Context<P>) -> Result<(), StartError> {
    #[cfg(feature = "http-client")]
    crate::balanced::open(context)?;
    #[cfg(not(feature = "http-client"))]
    if !context.config.proxy.routes.is_empty() {
        log::warn!("[proxy] is without effect: it is not in this build");
    }
    Ok(())
}

/// Refuses settings of the vat that a route needs, before that is made.
fn open_rpc_websockets<P: Platform>(context: &Context<P>) -> Result<(), StartError> {
    #[cfg(feature = "rpc-websocket")]
    crate::services::rpc_websocket::open(context)?;
    let _ = context;
    Ok(())
}

/// A machine whose loader was told of no bundle starts, since nobody can know whether that was meant.
fn without_bundle(bundle: &Bundle<'_>) -> Option<&'static str> {
    let warning = "no bundle came, so the site is empty and all settings are the defaults: \
                   give it as the initrd (QEMU: -initrd FILE), the module or the first disk";
    (!bundle.is_given()).then_some(warning)
}

/// Makes a pool for each database, before the routes ask for them.
fn open_databases<P: Platform>(context: &Context<P>) -> Result<(), StartError> {
    #[cfg(feature = "database")]
    crate::databases::open(context)?;
    #[cfg(not(feature = "database"))]
    if !context.config.databases.is_empty() {
        log::warn!("[[database]] is without effect: it is not in this build");
    }
    Ok(())
}

/// Takes the site of another appliance over, if the configuration says whose.
fn follow<P: Platform>(context: &Context<P>) {
    #[cfg(feature = "vats")]
    crate::vat::follow(context);
    #[cfg(not(feature = "vats"))]
    if !context.config.conf.from.is_empty() {
        log::warn!("[conf] is without effect: it is not in this build");
    }
}

/// Reads names that others keep, and registers with them, if the configuration says so.
fn start_names<P: Platform>(context: &Context<P>) -> Result<(), StartError> {
    #[cfg(feature = "vats")]
    crate::names::start(context)?;
    #[cfg(not(feature = "vats"))]
    if context.config.names.serve || !context.config.names.servers.is_empty() {
        log::warn!("[names] serve and servers are without effect: they are not in this build");
    }
    Ok(())
}

/// Takes saved sessions along from one run to the next.
fn carry_over<P: Platform>(context: &Context<P>) {
    #[cfg(feature = "http-client")]
    if let Some(carrier) = crate::carry::open(context) {
        context.services.add("saved sessions", carrier);
    }
    #[cfg(not(feature = "http-client"))]
    if !context.config.sessions.carry_over.is_empty() {
        log::warn!("[sessions] carry_over is without effect: it is not in this build");
    }
}

/// Services that the configuration has on, by default or by name, and the table does not have: the log
/// tells them, and all else runs.
fn absent(config: &Config, carried: &[&str]) -> impl Iterator<Item = (&'static str, u16)> {
    config.ports().filter(|(service, _)| !carried.contains(service))
}

/// What a bad start says, for platforms to show before they stop.
pub fn explain(error: &dyn core::error::Error) -> String {
    alloc::format!("the appliance does not start: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::ListenError;

    #[test]
    fn a_machine_without_a_bundle_is_told_so_and_one_with_an_empty_bundle_is_not() {
        let told = without_bundle(&Bundle::parse(&[]).unwrap()).unwrap();
        assert!(told.contains("no bundle came") && told.contains("-initrd"), "{told}");
        let empty = config::cpio::Writer::new().finish();
        assert_eq!(without_bundle(&Bundle::parse(&empty).unwrap()), None);
    }

    #[test]
    fn what_is_on_and_not_in_the_table_is_reported() {
        let mut config = Config::default();
        config.rpc.port = Some(7000);
        assert_eq!(absent(&config, &["http", "rpc", "zmq"]).next(), None);
        let absent_services: Vec<_> = absent(&config, &["http"]).collect();
        assert_eq!(absent_services, [("rpc", 7000), ("zmq", 5555)]);
        config.zmq.port = None;
        assert!(absent(&config, &["http", "rpc"]).next().is_none());
    }

    /// `--services` takes features, and the log names ports of the configuration that have no entry.
    #[cfg(all(
        feature = "http",
        feature = "https",
        feature = "fastcgi",
        feature = "gopher",
        feature = "rpc",
        feature = "vats",
        feature = "zmq",
        feature = "admin"
    ))]
    #[test]
    fn entries_features_and_ports_have_the_same_names() {
        let entries = Appliance.entries::<NoPlatform>();
        let entries: Vec<_> = entries.iter().map(|entry| entry.name).collect();
        let (_, features) = include_str!("../Cargo.toml").split_once("[features]\n").unwrap();
        let features = features.lines().take_while(|line| !line.starts_with('['));
        let features = features.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
        // What is no service of its own.
        let beside = [
            "default",
            "inspection",
            "http-client",
            "disk",
            "syslog",
            "relay",
            "rpc-websocket",
            "vsock",
            "shared-memory",
            "database",
            "compression",
        ];
        let features: Vec<_> = features.filter(|name| !beside.contains(name)).collect();
        assert_eq!(entries, features);
        let mut config = Config::default();
        (config.fastcgi.port, config.gopher.port) = (Some(9000), Some(70));
        (config.tls.port, config.admin.port) = (Some(443), Some(9001));
        (config.rpc.port, config.rpc.secure_port) = (Some(7000), Some(7001));
        assert_eq!(entries, config.ports().map(|(name, _)| name).collect::<Vec<_>>());
    }

    /// Stands for a platform where none is asked anything.
    #[derive(Clone)]
    struct NoPlatform;

    impl Platform for NoPlatform {
        type Listener = net::TcpListener;
        type Connector = net::TcpConnector;

        fn listen(&self, _: u16, _: usize) -> Result<net::TcpListener, ListenError> {
            Err(ListenError::NotAllowed)
        }

        fn connector(&self) -> net::TcpConnector {
            unreachable!("no service is opened")
        }

        fn wall_clock(&self) -> Duration {
            Duration::ZERO
        }

        fn fill_random(&self, _: &mut [u8]) {}

        fn memory_bytes(&self) -> usize {
            0
        }
    }
}
