//! TLS over any flow: a [`TlsFlow`] is a flow, a [`TlsListener`] a listener and a [`TlsConnector`] a connector, so that
//! what is served or reached over them need not know.
//!
//! ```
//! # use endpoints::http::{Server, ServerConfig};
//! # use endpoints::http::client::{Client, ClientConfig};
//! # use endpoints::tls::{TlsConfig, TlsConnector, TlsListener};
//! # use flow::{memory::MemoryNetwork, task::Executor, time::Timers};
//! # use tls::{ClientContext, ClientOptions, Clock, Identity, ServerContext, ServerOptions, Trust};
//! # use web::{Request, Response};
//! # let executor = Executor::new(|body| Ok(body()));
//! # let (spawner, timers) = (executor.spawner(), Timers::new());
//! # let network = MemoryNetwork::new(4096, 8);
//! # let since_1970 = core::time::Duration::from_secs(1_800_000_000);
//! # async fn hello(_: Request) -> Response { Response::ok("text/plain", "hello") }
//! let identity = Identity::self_made(&["web.example"])?;
//! let trust = Trust::fingerprints([identity.fingerprint()]);
//! let context = ServerContext::new(ServerOptions::new(vec![identity], Clock::new(since_1970)))?;
//! let listener = network.listen(&"web.example:443".parse()?).unwrap();
//! let listener = TlsListener::new("https", listener, context, TlsConfig::default(), &spawner, &timers);
//! let server = Server::new(ServerConfig::default(), &spawner, &timers, hello);
//! spawner.spawn("https listener", server.serve(listener));
//!
//! let context = ClientContext::new(ClientOptions::new(trust, Clock::new(since_1970)))?;
//! let connector = TlsConnector::new(network, context, TlsConfig::default(), &timers);
//! let client = Client::new(ClientConfig::default(), connector, &spawner, &timers);
//! let asking = spawner.spawn_joinable("client", async move {
//!     let mut answer = client.get(&"tls://web.example:443".parse().unwrap(), "/").await.unwrap();
//!     answer.collect(100).await.unwrap()
//! });
//! # executor.run(1000);
//! # assert_eq!(flow::task::block_on(asking).unwrap(), b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connector;
mod flow;
mod handshake;
mod listener;
#[cfg(test)]
mod tests;
mod traffic;

pub use self::connector::TlsConnector;
pub use self::flow::TlsFlow;
pub use self::listener::TlsListener;
pub use self::traffic::{METRICS, TlsTraffic};

use ::flow::ledger::ServiceLedger;
use core::time::Duration;

/// What listeners and connectors are told beside their contexts.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// From a connection to the end of its handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// Handshakes at once; the oldest gives way to the next. Default 256: each holds some 10 KiB.
    pub handshakes_max: usize,
    /// Time since 1970-01-01 00:00 UTC when the timers' time was zero; none leaves the contexts' clocks as they are.
    pub wall_clock_start: Option<Duration>,
    /// Weighs what handshakes and records hold; `None` does not.
    pub ledger: Option<ServiceLedger>,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 256,
            wall_clock_start: None,
            ledger: None,
        }
    }
}
