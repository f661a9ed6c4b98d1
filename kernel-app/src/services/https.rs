//! HTTPS on the port of `[tls]`: what HTTP serves, by TLS.

mod identities;

use super::web_service::{Told, let_in, opened};
use crate::Platform;
use crate::context::Context;
use crate::service::{Opened, StartError, listen};
use crate::settings::tls::TlsSettings;
use crate::trust::{self, clock};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::http::Connection;
use endpoints::tls::{TlsConfig, TlsListener};
use tls::{ClientCertificates, ServerContext, ServerOptions, TicketKey, Trust};
use web::{Answer, Handler, Request};

/// What it is called in the log, in the registry and among the features.
const NAME: &str = "https";

/// Serves `handler`, if the configuration has a port for it.
pub fn open<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Opened {
    let settings = TlsSettings::new(&context.config.tls);
    trust::check(context, &settings)?;
    let Some(port) = settings.port else {
        identities::tell_unused(context);
        return Ok(None);
    };
    let server_context = server_context(context, &settings)?;
    let ledger = context.service_ledger(NAME);
    let handler = telling(settings.hsts, handler);
    let tell = super::http::tell(true, context.date_start());
    let told = Told::<Connection>::new(context, ledger.clone(), handler, tell);
    let (_, wall_clock_start) = clock(context);
    let config = TlsConfig {
        handshake_timeout: settings.handshake_timeout,
        handshakes_max: settings.handshakes_max,
        wall_clock_start,
        ledger: Some(ledger),
    };
    let listener = listen(context, NAME, port)?;
    let (spawner, timers) = (&context.spawner, &context.timers);
    let listener = TlsListener::new(NAME, listener, server_context, config, spawner, timers);
    let_in(context, "https listener", told.server.clone(), listener);
    opened(context, NAME, told, port)
}

/// What all connections have in common, from the bundle's files.
fn server_context<P: Platform>(
    context: &Context<P>,
    settings: &TlsSettings,
) -> Result<ServerContext, StartError> {
    let (clock, _) = clock(context);
    if clock.seconds().is_none() {
        log::warn!(
            "{NAME}: this machine has no clock: no client's certificate is accepted but those known by fingerprint, sessions are not resumed, and nobody is told when certificates expire"
        );
    }
    let identities = identities::load(context, settings)?;
    identities::watch(context, &identities, &clock);
    let options = ServerOptions {
        protocols: Vec::from([b"http/1.1".to_vec()]),
        clients: clients(context, settings)?,
        ticket_key: settings.ticket_key.map(|config::Octets32(secret)| TicketKey::new(secret)),
        ..ServerOptions::new(identities, clock)
    };
    ServerContext::new(options).map_err(|error| unusable("tls/", &error))
}

fn clients<P: Platform>(
    context: &Context<P>,
    settings: &TlsSettings,
) -> Result<ClientCertificates, StartError> {
    let mut trust = Trust::fingerprints(settings.client_fingerprints.iter().copied());
    if let Some(path) = &settings.client_authorities {
        let pem = context.bundle.get(path).map_or(&[][..], |file| file.bytes);
        trust = trust.and_authorities(pem).map_err(|error| unusable(path, &error))?;
    }
    Ok(match settings.clients {
        config::ClientCertificates::Off => ClientCertificates::Off,
        config::ClientCertificates::Optional => ClientCertificates::Optional(trust),
        config::ClientCertificates::Required => ClientCertificates::Required(trust),
    })
}

fn unusable(path: &str, error: &dyn core::error::Error) -> StartError {
    StartError::Bundle { service: NAME, path: path.into(), reason: error.to_string() }
}

/// The handler, which tells browsers to come back by HTTPS only, if they are to be told.
fn telling(hsts: Option<Duration>, handler: Rc<dyn Handler>) -> Rc<dyn Handler> {
    let Some(hsts) = hsts else { return handler };
    let value = format!("max-age={}", hsts.as_secs()).into();
    Rc::new(Hsts { value, handler })
}

/// RFC 6797 section 6.1: a field of every answer.
struct Hsts {
    value: Rc<str>,
    handler: Rc<dyn Handler>,
}

impl Handler for Hsts {
    fn answer(&self, request: Request) -> Answer {
        let value = self.value.clone();
        self.handler.answer(request).map(move |mut reply| {
            reply.response = reply.response.with_header("Strict-Transport-Security", &*value);
            reply
        })
    }
}
