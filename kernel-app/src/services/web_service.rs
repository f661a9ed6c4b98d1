//! Server of web requests as a service, whatever protocol they come by.

use crate::Platform;
use crate::context::Context;
use crate::service::{Offer, Opened, Service, listen};
use crate::settings::http::HttpSettings;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use config::Config;
use core::time::Duration;
#[cfg(feature = "inspection")]
use endpoints::server;
use endpoints::server::{Server, Traffic};
use flow::Listener;
use flow::ledger::ServiceLedger;
use inspect::Inspector;
use web::Handler;
use web::access_log::Format;
use web::server::ServerCore;
use web::session::SessionHost;

/// A server as the settings have it, and what it becomes when they change.
pub(super) struct Told<C: ServerCore> {
    pub(super) server: Server<C>,
    tell: Tell<C>,
}

/// What the connections of a server share by the settings, whether answers are logged, and the connections of one client (0: as
/// many as there are).
type Tell<C> = Box<dyn Fn(&Config) -> (<C as ServerCore>::Shared, bool, usize)>;

impl<C: ServerCore> Told<C> {
    /// A server that answers with `handler`, and that `tell` tells what the settings say.
    pub(super) fn new<P: Platform>(
        context: &Context<P>,
        ledger: ServiceLedger,
        handler: Rc<dyn Handler>,
        tell: impl Fn(&Config) -> (C::Shared, bool, usize) + 'static,
    ) -> Self {
        let (core, access_log, clients_max) = tell(&context.config);
        let (spawner, timers) = (&context.spawner, &context.timers);
        let server = Server::sharing(core, Some(ledger), spawner, timers, handler);
        server.log_access(log_format(&context.config, access_log));
        server.limit_clients(clients_max);
        Self { server, tell: Box::new(tell) }
    }
}

/// The format of lines, if there are to be any.
fn log_format(config: &Config, is_logged: bool) -> Option<Format> {
    is_logged.then_some(HttpSettings::new(&config.http).access_log_format)
}

/// Serves on `port`.
pub(super) fn serve<P: Platform, C: ServerCore>(
    context: &Context<P>,
    told: Told<C>,
    port: u16,
) -> Opened {
    let listener = listen(context, C::NAME, port)?;
    let_in(context, "web listener", told.server.clone(), listener);
    opened(context, C::NAME, told, Some(port))
}

/// A server that is called `name`, as a service.
pub(super) fn opened<P: Platform, C: ServerCore>(
    context: &Context<P>,
    name: &'static str,
    told: Told<C>,
    port: Option<u16>,
) -> Opened {
    let sessions = context.sessions.clone();
    Ok(Some(Rc::new(Web { name, told, port, sessions })))
}

/// Serves who comes, once visitors are let in.
pub(super) fn let_in<P: Platform, C: ServerCore>(
    context: &Context<P>,
    task: &'static str,
    server: Server<C>,
    listener: impl Listener + 'static,
) {
    let sessions = context.sessions.clone();
    context.spawner.spawn(task, async move {
        sessions.admitted().await;
        server.serve(listener).await;
    });
}

/// Lets others see what a server counts, as that of the service of this name.
#[cfg(feature = "inspection")]
pub(super) fn add_traffic(name: &'static str, traffic: Rc<Traffic>, inspector: &Inspector) {
    inspector.add_metrics(server::METRICS, move |visit| visit(Some(("service", &name)), &traffic));
}

/// Nobody looks.
#[cfg(not(feature = "inspection"))]
pub(super) fn add_traffic(_: &'static str, _: Rc<Traffic>, _: &Inspector) {}

struct Web<C: ServerCore> {
    name: &'static str,
    told: Told<C>,
    /// Of TCP, if it listens there.
    port: Option<u16>,
    sessions: SessionHost,
}

impl<C: ServerCore> Service for Web<C> {
    fn offers(&self) -> Vec<Offer> {
        Vec::from([Offer { name: self.name, protocol: self.name, port: self.port }])
    }

    fn connections(&self) -> usize {
        self.told.server.connections()
    }

    fn reconfigure(&self, config: &Config) {
        let Told { server, tell } = &self.told;
        let (core, access_log, clients_max) = tell(config);
        server.share(core);
        server.log_access(log_format(config, access_log));
        server.limit_clients(clients_max);
    }

    fn drain(&self, _linger: Duration) {
        self.told.server.drain();
        self.sessions.drain();
    }

    fn inspect(&self, name: &'static str, inspector: &Inspector) {
        add_traffic(name, self.told.server.traffic(), inspector);
    }
}
