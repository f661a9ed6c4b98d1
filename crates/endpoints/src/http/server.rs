//! HTTP server.

use crate::server;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use flow::ledger::ServiceLedger;
use flow::task::Spawner;
use flow::time::Timers;
use http::server::{Config, Connection, Shared};
use web::Handler;

/// What a server is told beside its handler.
#[derive(Clone, Debug, Default)]
pub struct ServerConfig {
    /// Bounds on clients.
    pub limits: http::Limits,
    /// The hosts that it answers for; none answers for all. See [`http::server::Config`].
    pub hosts: Vec<String>,
    /// Its listeners' flows are encrypted: requests say so.
    pub is_secure: bool,
    /// Time since 1970-01-01 00:00 UTC when the timers' time was zero; `None` without a clock:
    /// responses then have no date.
    pub wall_clock_start: Option<Duration>,
    /// The value of `Server`, if it is sent.
    pub server: Option<String>,
    /// Weighs what clients make it hold; `None` does not.
    pub ledger: Option<ServiceLedger>,
}

/// An HTTP server. Clones are the same server, which may serve several listeners.
pub type Server = server::Server<Connection>;

impl Server {
    /// A server that answers with `handler`.
    pub fn new(
        config: ServerConfig,
        spawner: &Spawner,
        timers: &Timers,
        handler: impl Handler,
    ) -> Self {
        Self::with_handler(config, spawner, timers, Rc::new(handler))
    }

    /// A server that answers with a handler which others have, too.
    pub fn with_handler(
        config: ServerConfig,
        spawner: &Spawner,
        timers: &Timers,
        handler: Rc<dyn Handler>,
    ) -> Self {
        let ServerConfig { limits, hosts, is_secure, wall_clock_start, server, ledger } = config;
        let core = Shared::new(Config { limits, hosts, is_secure, wall_clock_start, server });
        Self::sharing(core, ledger, spawner, timers, handler)
    }
}
