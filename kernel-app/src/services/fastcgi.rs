//! FastCGI on the port of `[fastcgi]`, for a web server in front.

use super::web_service::serve;
use crate::Platform;
use crate::context::Context;
use crate::service::Opened;
use crate::settings::fastcgi::FastcgiSettings;
use alloc::rc::Rc;
use endpoints::fastcgi::{Config, Server, Shared};
use web::Handler;

/// Serves `handler`.
pub fn open<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Opened {
    let FastcgiSettings { port, limits, access_log } =
        FastcgiSettings::new(&context.config.fastcgi);
    let Some(port) = port else { return Ok(None) };
    let core = Shared::new(Config { limits, wall_clock_start: context.date_start() });
    let ledger = Some(context.service_ledger("fastcgi"));
    let server = Server::sharing(core, ledger, &context.spawner, &context.timers, handler);
    server.log_access(access_log);
    serve(context, server, port)
}
