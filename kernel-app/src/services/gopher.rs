//! Gopher on the port of `[gopher]`.

use super::web_service::serve;
use crate::Platform;
use crate::context::Context;
use crate::handlers::folder_menus::FolderMenus;
use crate::service::Opened;
use crate::settings::gopher::GopherSettings;
use alloc::rc::Rc;
use endpoints::gopher::{Config, Server, Shared};
use web::Handler;

/// Serves `handler`, and menus of the site's folders.
pub fn open<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Opened {
    let GopherSettings { port, host, limits, access_log } =
        GopherSettings::new(&context.config.gopher);
    let Some(port) = port else { return Ok(None) };
    let wall_clock_start = context.date_start();
    let core = Shared::new(Config { limits, host, port, wall_clock_start });
    let ledger = Some(context.service_ledger("gopher"));
    let menus = Rc::new(FolderMenus::new(context, handler));
    let server = Server::sharing(core, ledger, &context.spawner, &context.timers, menus);
    server.log_access(access_log);
    serve(context, server, port)
}
