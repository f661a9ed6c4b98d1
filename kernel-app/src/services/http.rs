//! HTTP on the port of `[http]`.

use crate::Platform;
use crate::app::web_config;
use crate::context::Context;
use crate::service::{Offer, Opened, Service, listen};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::http::Server;
use web::Routes;

/// Serves `routes`.
pub fn open<P: Platform>(context: &Context<P>, routes: Routes) -> Opened {
    let http = &context.config.http;
    let server = Server::new(web_config(context), &context.spawner, &context.timers, routes);
    server.log_access(http.access_log);
    let listener = listen(context, "http", http.port)?;
    context.spawner.spawn("http listener", server.clone().serve(listener));
    Ok(Some(Rc::new(Http { server, port: http.port })))
}

struct Http {
    server: Server,
    port: u16,
}

impl Service for Http {
    fn offers(&self) -> Vec<Offer> {
        [Offer { name: "http", protocol: "http", port: self.port }].into()
    }

    fn connections(&self) -> usize {
        self.server.connections()
    }

    fn drain(&self, _linger: Duration) {
        self.server.drain();
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        [
            ("http_requests", self.server.requests()),
            ("http_connections", self.server.connections() as u64),
        ]
        .into()
    }
}
