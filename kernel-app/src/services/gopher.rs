//! Gopher on the port of `[gopher]`.

use super::web_service::{Told, serve};
use crate::Platform;
use crate::context::Context;
use crate::handlers::folder_menus::FolderMenus;
use crate::service::Opened;
use crate::settings::gopher::GopherSettings;
use alloc::rc::Rc;
use endpoints::gopher::{Config, Connection, Shared};
use web::Handler;

/// Serves `handler`, and menus of the site's folders.
pub fn open<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Opened {
    let Some(port) = GopherSettings::new(&context.config.gopher).port else { return Ok(None) };
    let wall_clock_start = context.date_start();
    let tell = move |config: &config::Config| {
        let GopherSettings { host, limits, access_log, .. } = GopherSettings::new(&config.gopher);
        (Shared::new(Config { limits, host, port, wall_clock_start }), access_log, 0)
    };
    let menus = Rc::new(FolderMenus::new(context, handler));
    serve::<_, Connection>(
        context,
        Told::new(context, context.service_ledger("gopher"), menus, tell),
        port,
    )
}
