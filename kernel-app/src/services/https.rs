//! HTTPS on the port of `[tls]`: what HTTP serves, by TLS.

use super::web_service::{Told, let_in, opened};
use crate::Platform;
use crate::context::Context;
use crate::service::{Opened, StartError, listen};
use crate::settings::tls::TlsSettings;
use crate::tls_server::{self, trust};
use alloc::format;
use alloc::rc::Rc;
use core::time::Duration;
use endpoints::http::Connection;
use tls::ClientCertificates;
use web::{Answer, Handler, Request};

/// What it is called in the log, in the registry and among the features.
const NAME: &str = "https";

/// Serves `handler`, if the configuration has a port for it.
pub fn open<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Opened {
    let settings = TlsSettings::new(&context.config.tls);
    crate::trust::check(context, &settings)?;
    let Some(port) = settings.port else {
        tls_server::tell_unused(context);
        return Ok(None);
    };
    let ledger = context.service_ledger(NAME);
    let handler = telling(settings.hsts, handler);
    let tell = super::http::tell(true, context.date_start());
    let told = Told::<Connection>::new(context, ledger.clone(), handler, tell);
    let listener = listen(context, NAME, port)?;
    let clients = clients(context, &settings)?;
    let listener = tls_server::over(context, NAME, listener, clients, Some(ledger))?;
    let_in(context, "https listener", told.server.clone(), listener);
    opened(context, NAME, told, Some(port))
}

fn clients<P: Platform>(
    context: &Context<P>,
    settings: &TlsSettings,
) -> Result<ClientCertificates, StartError> {
    let TlsSettings { clients, client_fingerprints, client_authorities, .. } = settings;
    let trust = || trust(context, NAME, client_fingerprints, client_authorities.as_deref());
    Ok(match clients {
        config::ClientCertificates::Off => ClientCertificates::Off,
        config::ClientCertificates::Optional => ClientCertificates::Optional(trust()?),
        config::ClientCertificates::Required => ClientCertificates::Required(trust()?),
    })
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
