//! FastCGI on the port of `[fastcgi]` and at the socket of `[unix]`, for a web server in front.

use super::web_service::{Told, let_in, opened};
use crate::Platform;
use crate::context::Context;
use crate::local_port;
use crate::service::{Opened, listen};
use crate::settings::fastcgi::FastcgiSettings;
use alloc::rc::Rc;
use endpoints::fastcgi::{Config, Connection, Shared};
use web::Handler;

/// What it is called in the configuration, in the log and among the features.
const NAME: &str = "fastcgi";

/// Serves `handler`.
pub fn open<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Opened {
    let port = FastcgiSettings::new(&context.config.fastcgi).port;
    let listener = port.map(|port| listen(context, NAME, port)).transpose()?;
    let local = local_port::listen(context, NAME)?;
    if listener.is_none() && local.is_none() {
        return Ok(None);
    }
    let wall_clock_start = context.date_start();
    let tell = move |config: &config::Config| {
        let FastcgiSettings { limits, access_log, .. } = FastcgiSettings::new(&config.fastcgi);
        // All connections are the web server's.
        (Shared::new(Config { limits, wall_clock_start }), access_log, 0)
    };
    let told = Told::<Connection>::new(context, context.service_ledger(NAME), handler, tell);
    if let Some(listener) = listener {
        let_in(context, "fastcgi listener", told.server.clone(), listener);
    }
    if let Some(listener) = local {
        let_in(context, "fastcgi local listener", told.server.clone(), listener);
    }
    opened(context, NAME, told, port)
}
