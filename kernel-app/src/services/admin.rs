//! Admin service: what operators look at, on the port of `[admin]`, that of `[vsock]` and the socket of `[unix]`, as JSON, metrics and event streams. It is closed by
//! default, and asks for a token; [`guard`] has the rules.

pub(crate) mod health;

mod api;
mod capture;
mod content;
mod events;
mod follow;
mod guard;
mod looking;
mod page;
mod profile;
#[cfg(feature = "shared-memory")]
mod ring_trace;
mod trace;
mod wire;

use super::web_service::add_traffic;
use crate::Platform;
use crate::context::Context;
use crate::local_port;
use crate::service::{Offer, Opened, Service, StartError};
use crate::settings::admin::AdminSettings;
use crate::settings::http::HttpSettings;
#[cfg(feature = "https")]
use crate::tls_server;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::http::{Limits, Server, ServerConfig};
use flow::Listener;
use guard::{Access, Guard};
use inspect::Inspector;
use web::Routes;
use web::layers::{BodyLimit, RateLimit};

/// What it is called in the configuration, in the log and among the features.
const NAME: &str = "admin";

/// Connections at once: a page has a handful, and a scraper one. For one more the one goes that has been idle longest.
const CONNECTIONS_MAX: usize = 32;
/// Requests of one client at once, and as many over each period: looking must not become the machine's main work.
const REQUESTS: u32 = 1200;
const PERIOD: Duration = Duration::from_secs(60);
/// Clients that are told apart for that.
const CLIENTS_MAX: usize = 256;
/// The few connections are for those who use them: for a head, and between two requests of the page.
const HEAD_TIMEOUT: Duration = Duration::from_secs(3);
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's content, but for a bundle: a value of a session is the longest.
const BODY_BYTES_MAX: u64 = 64 << 10;

/// Serves operators, if the configuration has a port for them.
pub fn open<P: Platform>(context: &Context<P>) -> Opened {
    let settings = AdminSettings::new(&context.config.admin);
    let local = local_port::listen(context, NAME)?;
    if settings.port.is_none() && local.is_none() {
        return Ok(None);
    }
    let access = access(context, &settings)?;
    if let Some(clock) = context.platform.clock() {
        context.spawner.measure(clock);
    }
    let hosts = settings.hosts.clone();
    let guard = Guard::new(access, hosts, &context.config.network.hostname, |bytes| {
        context.platform.fill_random(bytes);
    });
    let limit = RateLimit::new(&context.timers, REQUESTS, PERIOD).with_clients_max(CLIENTS_MAX);
    let routes = api::routes(context, &guard).layer(BodyLimit::new(BODY_BYTES_MAX));
    let routes: Routes = content::routes(context).merge(routes).layer(guard).layer(limit);
    let server = server(context, routes, settings.tls);
    server.limit_connections(CONNECTIONS_MAX);
    // A profile or a replay is for who waits for it.
    server.end_with_clients(true);
    if let Some(port) = settings.port {
        listen(context, port, &server, &settings)?;
    }
    if let Some(listener) = local {
        attend(context, "admin local listener", &server, listener);
    }
    Ok(Some(Rc::new(Admin { server, port: settings.port, is_by_tls: settings.tls })))
}

/// What requests have to show.
fn access<P: Platform>(
    context: &Context<P>,
    settings: &AdminSettings,
) -> Result<Access, StartError> {
    if settings.knows_clients() {
        // The listener accepts those certificates only that open.
        return Ok(Access::Closed(settings.token.clone()));
    }
    match &settings.token {
        Some(token) => Ok(Access::Closed(Some(token.clone()))),
        None if context.platform.are_operators_local() => Ok(Access::Open),
        None => {
            let (section, key, reason) = (NAME, "token".into(), WANTS_TOKEN.into());
            Err(StartError::Setting { section, key, reason })
        }
    }
}

const WANTS_TOKEN: &str = "it says what requests have to show, as `openssl rand -hex 16` gives it; without one, and without clients that \
     are known by certificates, only a process serves, on the loopback of its machine";

fn server<P: Platform>(context: &Context<P>, routes: Routes, is_secure: bool) -> Server {
    let HttpSettings { limits, .. } = HttpSettings::new(&context.config.http);
    let config = ServerConfig {
        limits: Limits {
            body_bytes_max: BODY_BYTES_MAX.max(content::bytes_max(context) as u64),
            head_timeout: HEAD_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            ..limits
        },
        hosts: Vec::new(),
        is_secure,
        wall_clock_start: context.date_start(),
        server: None,
        ledger: Some(context.service_ledger(NAME)),
    };
    Server::with_handler(config, &context.spawner, &context.timers, Rc::new(routes))
}

/// Listens on the port, by TLS if that is wanted.
fn listen<P: Platform>(
    context: &Context<P>,
    port: u16,
    server: &Server,
    settings: &AdminSettings,
) -> Result<(), StartError> {
    const TASK: &str = "admin listener";
    let backlog = context.config.tcp.listen_backlog;
    let listener = context.platform.listen_for_operators(port, backlog);
    let listener = listener.map_err(|reason| StartError::Port { service: NAME, port, reason })?;
    if settings.tls {
        attend(context, TASK, server, by_tls(context, listener, settings)?);
    } else {
        attend(context, TASK, server, listener);
    }
    log::info!("{NAME} on port {port}{}", if settings.tls { ", by TLS" } else { "" });
    Ok(())
}

/// Serves who comes.
fn attend<P: Platform>(
    context: &Context<P>,
    task: &'static str,
    server: &Server,
    listener: impl Listener + 'static,
) {
    context.spawner.spawn(task, server.clone().serve(listener));
}

#[cfg(feature = "https")]
fn by_tls<P: Platform, L: Listener>(
    context: &Context<P>,
    listener: L,
    settings: &AdminSettings,
) -> Result<impl Listener + use<P, L>, StartError> {
    let AdminSettings { client_fingerprints, client_authorities, .. } = settings;
    let clients = if settings.knows_clients() {
        let authorities = client_authorities.as_deref();
        let trust = tls_server::trust(context, NAME, client_fingerprints, authorities)?;
        tls::ClientCertificates::Optional(trust)
    } else {
        tls::ClientCertificates::Off
    };
    let ledger = Some(context.service_ledger(NAME));
    tls_server::over(context, NAME, listener, clients, ledger)
}

/// What is asked for has to be there: the port would be open in the clear.
#[cfg(not(feature = "https"))]
fn by_tls<P: Platform, L: Listener>(
    _: &Context<P>,
    _: L,
    _: &AdminSettings,
) -> Result<L, StartError> {
    let reason = "TLS is not in this build, which lacks the service https".into();
    Err(StartError::Setting { section: NAME, key: "tls".into(), reason })
}

struct Admin {
    server: Server,
    /// Of TCP, if it listens there.
    port: Option<u16>,
    is_by_tls: bool,
}

impl Service for Admin {
    fn offers(&self) -> Vec<Offer> {
        let protocol = if self.is_by_tls { "https" } else { "http" };
        Vec::from([Offer { name: NAME, protocol, port: self.port }])
    }

    fn connections(&self) -> usize {
        self.server.connections()
    }

    fn drain(&self, _linger: Duration) {
        self.server.drain();
    }

    fn inspect(&self, name: &'static str, inspector: &Inspector) {
        add_traffic(name, self.server.traffic(), inspector);
    }
}
