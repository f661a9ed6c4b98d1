//! HTTP on the port of `[http]`.

use crate::Platform;
use crate::context::Context;
use crate::service::{Offer, Opened, Service, listen};
use crate::settings::http::HttpSettings;
#[cfg(feature = "https")]
use crate::{handlers::to_https::ToHttps, settings::tls::TlsSettings};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::pin::Pin;
use core::time::Duration;
use endpoints::http::{Server, ServerConfig};
use web::Handler;
use web::session::SessionHost;

/// Serves `handler`.
pub fn open<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Opened {
    let HttpSettings { port, hosts, limits, access_log, site: _ } =
        HttpSettings::new(&context.config.http);
    let wall_clock_start = Some(context.wall_clock_start());
    let ledger = Some(context.service_ledger("http"));
    let config = ServerConfig { limits, hosts, is_secure: false, wall_clock_start, ledger };
    let handler = redirecting(context, handler);
    let server = Server::with_handler(config, &context.spawner, &context.timers, handler);
    server.log_access(access_log);
    let listener = listen(context, "http", port)?;
    let carrier = carrier(context);
    let (serving, restoring) = (server.clone(), carrier.clone());
    context.spawner.spawn("http listener", async move {
        if let Some(carrier) = restoring {
            carrier.restore().await;
        }
        serving.serve(listener).await;
    });
    Ok(Some(Rc::new(Http { server, port, sessions: context.sessions.clone(), carrier })))
}

/// Sends requests on to HTTPS, if the configuration says so and there is HTTPS.
#[cfg(feature = "https")]
fn redirecting<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Rc<dyn Handler> {
    let TlsSettings { port, redirect, .. } = TlsSettings::new(&context.config.tls);
    match port {
        Some(https_port) if redirect => Rc::new(ToHttps { https_port }),
        _ => handler,
    }
}

#[cfg(not(feature = "https"))]
fn redirecting<P: Platform>(_: &Context<P>, handler: Rc<dyn Handler>) -> Rc<dyn Handler> {
    handler
}

/// Takes sessions along from one run to the next.
pub(crate) trait Carry {
    /// Takes up what was saved.
    fn restore(&self) -> Pin<Box<dyn Future<Output = ()> + '_>>;

    /// Begins to put away what sessions save, once all have ended or half of the time is over.
    fn keep(&self, limit: Duration);

    /// Whether something is being put away.
    fn is_busy(&self) -> bool;
}

#[cfg(feature = "http-client")]
fn carrier<P: Platform>(context: &Context<P>) -> Option<Rc<dyn Carry>> {
    Some(Rc::new(crate::carry::Carrier::new(context)?))
}

#[cfg(not(feature = "http-client"))]
fn carrier<P: Platform>(context: &Context<P>) -> Option<Rc<dyn Carry>> {
    if !context.config.sessions.carry_over.is_empty() {
        log::warn!("[sessions] carry_over is without effect: it is not in this build");
    }
    None
}

struct Http {
    server: Server,
    port: u16,
    sessions: SessionHost,
    carrier: Option<Rc<dyn Carry>>,
}

impl Service for Http {
    fn offers(&self) -> Vec<Offer> {
        [Offer { name: "http", protocol: "http", port: self.port }].into()
    }

    fn connections(&self) -> usize {
        // What is put away is waited for, too.
        let putting_away = self.carrier.as_ref().is_some_and(|carrier| carrier.is_busy());
        self.server.connections() + usize::from(putting_away)
    }

    fn drain(&self, linger: Duration) {
        self.server.drain();
        self.sessions.drain();
        if let Some(carrier) = &self.carrier {
            carrier.keep(linger);
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        [
            ("http_requests", self.server.requests()),
            ("http_connections", self.server.connections() as u64),
            ("http_sessions", self.sessions.len() as u64),
        ]
        .into()
    }
}
