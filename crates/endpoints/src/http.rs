//! HTTP/1.1 over any flow.
//!
//! A [`Server`] answers with one [`Handler`](web::Handler), usually [`Routes`](web::Routes); a handler is an
//! `async fn(Request) -> Response`. Its panic is a 500 and a line in the log, and ends its
//! connection only.
//!
//! ```
//! # use endpoints::http::{Server, ServerConfig};
//! # use flow::{FlowExt, memory::MemoryNetwork, task::Executor, time::Timers};
//! # use web::{Request, Response};
//! async fn hello(request: Request) -> Response {
//!     let name = request.query().unwrap_or(b"world").to_vec();
//!     Response::ok("text/plain", [b"hello ", &name[..]].concat())
//! }
//!
//! # let executor = Executor::new(|body| Ok(body()));
//! # let (spawner, timers) = (executor.spawner(), Timers::new());
//! # let network = MemoryNetwork::new(4096, 8);
//! # let target = "web:80".parse().unwrap();
//! # let listener = network.listen(&target).unwrap();
//! let server = Server::new(ServerConfig::default(), &spawner, &timers, hello);
//! spawner.spawn("http listener", server.serve(listener));
//! # let client = spawner.spawn_joinable("client", async move {
//! #     use flow::Connector;
//! #     let mut flow = network.connect(&target).await.unwrap();
//! #     flow.write_all(b"GET /?you HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
//! #     flow.read_with(|bytes| (bytes.len(), bytes.to_vec())).await.unwrap()
//! # });
//! # executor.run(100);
//! # let answer = flow::task::block_on(client).unwrap();
//! # assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"hello you"));
//! ```

pub mod client;
pub mod proxy;
mod server;

pub use ::http::server::{Config, Connection, Shared};
pub use ::http::{Error, Limits};
pub use server::{Server, ServerConfig};

#[cfg(test)]
mod tests;
