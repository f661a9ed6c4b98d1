//! HTTP on the port of `[http]`, and for the host of a virtual machine on that of `[vsock]`.

use super::web_service::{add_traffic, let_in};
use crate::Platform;
use crate::context::Context;
use crate::service::{Offer, Opened, Service, listen};
use crate::settings::http::HttpSettings;
use crate::vsock_port;
#[cfg(feature = "https")]
use crate::{handlers::to_https::ToHttps, settings::tls::TlsSettings};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::http::{Server, ServerConfig};
use inspect::Inspector;
use web::Handler;
use web::session::SessionHost;

/// Serves `handler`.
pub fn open<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Opened {
    let HttpSettings { port, hosts, limits, access_log, site: _ } =
        HttpSettings::new(&context.config.http);
    let wall_clock_start = context.date_start();
    let ledger = Some(context.service_ledger("http"));
    let config = ServerConfig { limits, hosts, is_secure: false, wall_clock_start, ledger };
    let handler = redirecting(context, handler);
    let server = Server::with_handler(config, &context.spawner, &context.timers, handler);
    server.log_access(access_log);
    let listener = listen(context, "http", port)?;
    let_in(context, "http listener", server.clone(), listener);
    if let Some(listener) = vsock_port::listen(context, "http")? {
        let_in(context, "http vsock listener", server.clone(), listener);
    }
    Ok(Some(Rc::new(Http { server, port, sessions: context.sessions.clone() })))
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

struct Http {
    server: Server,
    port: u16,
    sessions: SessionHost,
}

impl Service for Http {
    fn offers(&self) -> Vec<Offer> {
        [Offer { name: "http", protocol: "http", port: self.port }].into()
    }

    fn connections(&self) -> usize {
        self.server.connections()
    }

    fn drain(&self, _linger: Duration) {
        self.server.drain();
        self.sessions.drain();
    }

    fn inspect(&self, name: &'static str, inspector: &Inspector) {
        add_traffic(name, self.server.traffic(), inspector);
    }
}
