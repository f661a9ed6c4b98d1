//! Gopher over any flow: the same handlers as over HTTP, for clients of RFC 1436.
//!
//! What a handler sees of a selector, and what becomes of its response, is said by the core, `gopher`. There are no
//! cookies: a session is found by its path, its query or its peer.
//!
//! ```
//! # use endpoints::gopher::{Config, Server, Shared};
//! # use flow::{FlowExt, memory::MemoryNetwork, task::Executor, time::Timers};
//! # use std::rc::Rc;
//! # use web::{Request, Response, menu::{ItemType, Menu}};
//! async fn front(_: Request) -> Response {
//!     Menu::new().info("Welcome").item(ItemType::Text, "A text", "/a.txt").into()
//! }
//!
//! # let executor = Executor::new(|body| Ok(body()));
//! # let (spawner, timers) = (executor.spawner(), Timers::new());
//! # let network = MemoryNetwork::new(4096, 8);
//! # let target = "web:70".parse().unwrap();
//! # let listener = network.listen(&target).unwrap();
//! let core = Shared::new(Config { host: "a.example".into(), port: 70, ..Config::default() });
//! let server = Server::sharing(core, None, &spawner, &timers, Rc::new(front));
//! spawner.spawn("gopher listener", server.serve(listener));
//! # let client = spawner.spawn_joinable("client", async move {
//! #     use flow::Connector;
//! #     let mut flow = network.connect(&target).await.unwrap();
//! #     flow.write_all(b"\r\n").await.unwrap();
//! #     flow.read_with(|bytes| (bytes.len(), bytes.to_vec())).await.unwrap()
//! # });
//! # executor.run(100);
//! # let answer = flow::task::block_on(client).unwrap();
//! # assert_eq!(answer, b"iWelcome\t\ta.example\t70\r\n0A text\t/a.txt\ta.example\t70\r\n.\r\n");
//! ```

#[cfg(test)]
mod tests;

pub use ::gopher::{Config, Connection, Error, Limits, Shared};

/// A Gopher server. Clones are the same server, which may serve several listeners.
pub type Server = crate::server::Server<Connection>;
