//! HTTP on the port of `[http]`, and for programs of this machine where `[vsock]`, `[shared_memory]` and `[unix]` say.

use super::web_service::{Told, let_in, opened};
use crate::Platform;
use crate::context::Context;
use crate::local_port;
use crate::service::{Opened, listen};
use crate::settings::http::HttpSettings;
#[cfg(feature = "https")]
use crate::{handlers::to_https::ToHttps, settings::tls::TlsSettings};
use alloc::rc::Rc;
use core::time::Duration;
use endpoints::http::{Config, Connection, Shared};
use web::Handler;

/// Serves `handler`.
pub fn open<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Opened {
    let handler = redirecting(context, handler);
    let tell = tell(false, context.date_start());
    let told = Told::<Connection>::new(context, context.service_ledger("http"), handler, tell);
    let port = context.config.http.port;
    let listener = listen(context, "http", port)?;
    let_in(context, "http listener", told.server.clone(), listener);
    if let Some(listener) = local_port::listen(context, "http")? {
        let_in(context, "http local listener", told.server.clone(), listener);
    }
    serve_through(context, &told);
    opened(context, "http", told, Some(port))
}

/// Serves by another appliance's network, too, if the configuration says so.
#[cfg(feature = "relay")]
fn serve_through<P: Platform>(context: &Context<P>, told: &Told<Connection>) {
    crate::vat::serve_through(context, &told.server);
}

#[cfg(not(feature = "relay"))]
fn serve_through<P: Platform>(context: &Context<P>, _: &Told<Connection>) {
    let settings = crate::settings::relay::RelaySettings::new(&context.config.relay);
    if settings.through.is_some() || settings.is_for_others() {
        log::warn!("[relay] is without effect: it is not in this build");
    }
}

/// What a server of HTTP is told by the settings, over encrypted connections or others.
pub(super) fn tell(
    is_secure: bool,
    wall_clock_start: Option<Duration>,
) -> impl Fn(&config::Config) -> (Shared, bool, usize) {
    move |config| {
        let HttpSettings {
            hosts,
            limits,
            access_log,
            connections_per_client_max,
            server_header: server,
            ..
        } = HttpSettings::new(&config.http);
        let core = Shared::new(Config { limits, hosts, is_secure, wall_clock_start, server });
        (core, access_log, connections_per_client_max)
    }
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
