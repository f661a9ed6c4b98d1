//! FastCGI over any flow: the same handlers as over HTTP, for a web server in front.
//!
//! The web server is trusted: a [`Request`](web::Request)'s peer is whom it names, so nobody else should reach the port.
//!
//! ```
//! # use endpoints::fastcgi::{Config, Server, Shared};
//! # use flow::{FlowExt, memory::MemoryNetwork, task::Executor, time::Timers};
//! # use std::rc::Rc;
//! # use web::{Request, Response};
//! async fn hello(_: Request) -> Response {
//!     Response::ok("text/plain", "hello")
//! }
//!
//! # let executor = Executor::new(|body| Ok(body()));
//! # let (spawner, timers) = (executor.spawner(), Timers::new());
//! # let network = MemoryNetwork::new(4096, 8);
//! # let target = "web:9000".parse().unwrap();
//! # let listener = network.listen(&target).unwrap();
//! let core = Shared::new(Config::default());
//! let server = Server::sharing(core, None, &spawner, &timers, Rc::new(hello));
//! spawner.spawn("fastcgi listener", server.serve(listener));
//! # let client = spawner.spawn_joinable("client", async move {
//! #     use flow::Connector;
//! #     let mut flow = network.connect(&target).await.unwrap();
//! #     let params = b"\x0e\x03REQUEST_METHODGET\x0b\x01REQUEST_URI/";
//! #     let mut input = b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0".to_vec();
//! #     input.extend_from_slice(&[1, 4, 0, 1, 0, params.len() as u8, 0, 0]);
//! #     input.extend_from_slice(params);
//! #     input.extend_from_slice(b"\x01\x04\0\x01\0\0\0\0\x01\x05\0\x01\0\0\0\0");
//! #     flow.write_all(&input).await.unwrap();
//! #     flow.read_with(|bytes| (bytes.len(), bytes.to_vec())).await.unwrap()
//! # });
//! # executor.run(100);
//! # let answer = flow::task::block_on(client).unwrap();
//! # assert!(answer[8..].starts_with(b"Status: 200 OK\r\n") && answer[..answer.len() - 24].ends_with(b"hello"));
//! ```

#[cfg(test)]
mod tests;

pub use ::fastcgi::{Config, Connection, Error, Limits, Shared};

/// A FastCGI responder. Clones are the same server, which may serve several listeners.
pub type Server = crate::server::Server<Connection>;
