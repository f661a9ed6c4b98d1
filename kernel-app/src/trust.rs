//! Trust: connections by TLS to servers that the bundle's authorities vouch for.

use crate::Platform;
use crate::context::Context;
use crate::settings::tls::TlsSettings;
use core::time::Duration;
use endpoints::tls::{TlsConfig, TlsConnector};
use flow::{Dispatcher, Scheme};
use tls::{ClientContext, ClientOptions, Clock, Trust};

/// A connector that reaches targets of the scheme `tls`, too, if the configuration names authorities.
pub(crate) fn with_tls<P: Platform>(context: &Context<P>, connector: Dispatcher) -> Dispatcher {
    let settings = TlsSettings::new(&context.config.tls);
    let Some(path) = settings.authorities else { return connector };
    let pem = context.bundle.get(&path).map_or(&[][..], |file| file.bytes);
    let trust = match Trust::nobody().and_authorities(pem) {
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
            let tcp = context.platform.connector();
            connector.with(Scheme::Tls, TlsConnector::new(tcp, client, config, &context.timers))
        }
        Err(error) => {
            log::error!("no server is trusted: {error}");
            connector
        }
    }
}

/// The time of day, and what it was when the timers began; none if this machine has no clock.
pub(crate) fn clock<P: Platform>(context: &Context<P>) -> (Clock, Option<Duration>) {
    let clock = Clock::new(context.platform.wall_clock());
    let start = clock.seconds().map(|_| context.wall_clock_start());
    (if start.is_some() { clock } else { Clock::unset() }, start)
}
