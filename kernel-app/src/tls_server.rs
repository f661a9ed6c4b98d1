//! TLS server: what HTTPS and the admin port have in common, which is the site's certificates, limits of handshakes, and how
//! clients are known by theirs.

mod identities;

use crate::Platform;
use crate::context::Context;
use crate::service::StartError;
use crate::settings::tls::TlsSettings;
use crate::trust::clock;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use endpoints::tls::{TlsConfig, TlsListener};
use flow::Listener;
use flow::ledger::ServiceLedger;
use tls::{ClientCertificates, Identity, ServerContext, ServerOptions, TicketKey, Trust};

pub(crate) use identities::tell_unused;

/// The certificates that this appliance shows, with their keys.
pub(crate) type Identities = Rc<[Identity]>;

/// The flows of `listener` by TLS, for the service of this name.
pub(crate) fn over<P: Platform, L: Listener>(
    context: &Context<P>,
    service: &'static str,
    listener: L,
    clients: ClientCertificates,
    ledger: Option<ServiceLedger>,
) -> Result<TlsListener<L>, StartError> {
    let settings = TlsSettings::new(&context.config.tls);
    let (_, wall_clock_start) = clock(context);
    let config = TlsConfig {
        handshake_timeout: settings.handshake_timeout,
        handshakes_max: settings.handshakes_max,
        wall_clock_start,
        ledger,
    };
    let server_context = server_context(context, service, &settings, clients)?;
    let (spawner, timers) = (&context.spawner, &context.timers);
    let listener = TlsListener::new(service, listener, server_context, config, spawner, timers);
    let traffic = listener.traffic();
    context.inspector.add_metrics(endpoints::tls::METRICS, move |visit| {
        visit(Some(("service", &service)), &traffic);
    });
    Ok(listener)
}

/// Whom a service knows by these fingerprints and by the authorities in this file of the bundle.
pub(crate) fn trust<P: Platform>(
    context: &Context<P>,
    service: &'static str,
    fingerprints: &[[u8; 32]],
    authorities: Option<&str>,
) -> Result<Trust, StartError> {
    let trust = Trust::fingerprints(fingerprints.iter().copied());
    let Some(path) = authorities else { return Ok(trust) };
    let pem = context.bundle.get(path).map_or(&[][..], |file| file.bytes);
    trust.and_authorities(pem).map_err(|error| unusable(service, path, &error))
}

/// What all connections of a service have in common, from the bundle's files.
fn server_context<P: Platform>(
    context: &Context<P>,
    service: &'static str,
    settings: &TlsSettings,
    clients: ClientCertificates,
) -> Result<ServerContext, StartError> {
    let (clock, _) = clock(context);
    if clock.seconds().is_none() {
        log::warn!(
            "{service}: this machine has no clock: no client's certificate is accepted but those known by fingerprint, sessions are not resumed, and nobody is told when certificates expire"
        );
    }
    let identities = context.identities(|| {
        let identities = identities::load(context, service, settings)?;
        identities::watch(context, &identities, &clock);
        identities::add_to_inspector(context, &identities);
        Ok(identities.into())
    })?;
    let options = ServerOptions {
        protocols: Vec::from([b"http/1.1".to_vec()]),
        clients,
        ticket_key: settings.ticket_key.map(|config::Octets32(secret)| TicketKey::new(secret)),
        ..ServerOptions::new(identities.to_vec(), clock)
    };
    ServerContext::new(options).map_err(|error| unusable(service, "tls/", &error))
}

fn unusable(service: &'static str, path: &str, error: &dyn core::error::Error) -> StartError {
    StartError::Bundle { service, path: path.into(), reason: error.to_string() }
}
