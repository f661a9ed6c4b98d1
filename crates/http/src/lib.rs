//! Sans-I/O HTTP/1.1, server and client from one core.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod body;
pub mod client;
mod data;
mod error;
mod head;
mod limits;
mod method;
mod request;
mod response;
pub mod semantics;
mod send;
pub mod server;
mod status;
mod transport;

pub use body::Trailers;
pub use data::Data;
pub use error::Error;
pub use head::Fields;
pub use limits::Limits;
pub use method::{Method, Version};
pub use request::{BodyLength, Request};
pub use response::{Body, Response};
pub use send::OutOfTurn;
pub use status::Status;
pub use transport::Transport;
