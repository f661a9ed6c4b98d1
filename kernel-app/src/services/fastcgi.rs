//! FastCGI on the port of `[fastcgi]`, for a web server in front.

use super::web_service::{Told, serve};
use crate::Platform;
use crate::context::Context;
use crate::service::Opened;
use crate::settings::fastcgi::FastcgiSettings;
use alloc::rc::Rc;
use endpoints::fastcgi::{Config, Connection, Shared};
use web::Handler;

/// Serves `handler`.
pub fn open<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Opened {
    let Some(port) = FastcgiSettings::new(&context.config.fastcgi).port else { return Ok(None) };
    let wall_clock_start = context.date_start();
    let tell = move |config: &config::Config| {
        let FastcgiSettings { limits, access_log, .. } = FastcgiSettings::new(&config.fastcgi);
        (Shared::new(Config { limits, wall_clock_start }), access_log)
    };
    serve::<_, Connection>(
        context,
        Told::new(context, context.service_ledger("fastcgi"), handler, tell),
        port,
    )
}
