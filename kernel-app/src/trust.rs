//! Trust: connections by TLS to servers that the bundle's authorities vouch for.

use crate::Platform;
use crate::context::Context;
#[cfg(feature = "https")]
use crate::service::StartError;
use crate::settings::tls::TlsSettings;
#[cfg(feature = "https")]
use alloc::string::ToString;
use core::time::Duration;
use endpoints::tls::{TlsConfig, TlsConnector};
use flow::{Dispatcher, Scheme};
use tls::{ClientContext, ClientOptions, Clock, Trust, TrustError};

/// A connector that reaches targets of the scheme `tls`, too, over what it opens, if the configuration names authorities.
pub(crate) fn with_tls<P: Platform>(context: &Context<P>, connector: Dispatcher) -> Dispatcher {
    let settings = TlsSettings::new(&context.config.tls);
    let Some(path) = &settings.authorities else { return connector };
    let trust = match trust(context, path) {
        Ok(trust) => trust,
        Err(error) => {
            log::error!("no server is trusted: {path} of the bundle: {error}");
            return connector;
        }
    };
    let (clock, wall_clock_start) = clock(context);
    let config = TlsConfig {
        handshake_timeout: settings.handshake_timeout,
        handshakes_max: settings.handshakes_max,
        wall_clock_start,
        ledger: None,
    };
    match ClientContext::new(ClientOptions::new(trust, clock)) {
        Ok(client) => {
            let tls = TlsConnector::new(connector.clone(), client, config, &context.timers);
            connector.with(Scheme::Tls, tls)
        }
        Err(error) => {
            log::error!("no server is trusted: {error}");
            connector
        }
    }
}

/// Says what is wrong with the authorities that the configuration names, if something is.
#[cfg(feature = "https")]
pub(crate) fn check<P: Platform>(
    context: &Context<P>,
    settings: &TlsSettings,
) -> Result<(), StartError> {
    let Some(path) = &settings.authorities else { return Ok(()) };
    let checked = trust(context, path).map(drop);
    checked.map_err(|error| StartError::Bundle {
        service: "tls://",
        path: path.clone(),
        reason: error.to_string(),
    })
}

pub(crate) fn trust<P: Platform>(context: &Context<P>, path: &str) -> Result<Trust, TrustError> {
    let pem = context.bundle.get(path).map_or(&[][..], |file| file.bytes);
    Trust::nobody().and_authorities(pem)
}

/// The time of day, and what it was when the timers began; none if this machine has no clock.
pub(crate) fn clock<P: Platform>(context: &Context<P>) -> (Clock, Option<Duration>) {
    let start = context.date_start();
    let clock = start.map_or_else(Clock::unset, |_| Clock::new(context.platform.wall_clock()));
    (clock, start)
}
