//! HTTP on the port of `[http]`.

use crate::Platform;
use crate::context::Context;
use crate::service::{Offer, Opened, Service, listen};
use crate::settings::http::HttpSettings;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::http::{Server, ServerConfig};
use web::Handler;
use web::session::SessionHost;

/// Serves `handler`.
pub fn open<P: Platform>(context: &Context<P>, handler: Rc<dyn Handler>) -> Opened {
    let HttpSettings { port, hosts, limits, access_log, site: _ } =
        HttpSettings::new(&context.config.http);
    let wall_clock_start = Some(context.wall_clock_start());
    let ledger = Some(context.service_ledger("http"));
    let config = ServerConfig { limits, hosts, wall_clock_start, ledger };
    let server = Server::with_handler(config, &context.spawner, &context.timers, handler);
    server.log_access(access_log);
    let listener = listen(context, "http", port)?;
    let (serving, sessions) = (server.clone(), context.sessions.clone());
    context.spawner.spawn("http listener", async move {
        sessions.admitted().await;
        serving.serve(listener).await;
    });
    Ok(Some(Rc::new(Http { server, port, sessions: context.sessions.clone() })))
}

struct Http {
    server: Server,
    port: u16,
    sessions: SessionHost,
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
        self.sessions.drain();
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        [
            ("http_requests", self.server.requests()),
            ("http_connections", self.server.connections() as u64),
            ("http_sessions", self.sessions.len() as u64),
        ]
        .into()
    }
}
