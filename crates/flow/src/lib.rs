//! Byte streams, tasks, timers, memory accounts and a service registry: what protocol code sees of the world.
//!
//! A [`Flow`] is the same thing over kernel sockets, over our own TCP and inside one image; a
//! [`Listener`] yields flows that others opened and a [`Connector`] opens them. [`task`] runs
//! named tasks on one core and keeps a panic inside the task that raised it; [`time`] wakes them;
//! [`ledger`] weighs what peers make us hold.
//! Nothing here knows a driver, an operating system or a protocol.
//!
//! ```
//! use flow::{FlowExt, memory};
//!
//! # flow::task::block_on(async {
//! let (mut here, mut there) = memory::pair(1024);
//! here.write_all(b"water").await?;
//! let length = there.read_with(|bytes| (bytes.len(), bytes.len())).await?;
//! assert_eq!(length, 5);
//! # Ok::<(), flow::FlowError>(())
//! # }).unwrap();
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod dispatcher;
mod error;
mod flow;
pub mod ledger;
mod listener;
pub mod memory;
pub mod registry;
mod splice;
pub mod sync;
mod target;
pub mod task;
pub mod testing;
pub mod time;
mod unix_path;
mod unread;
mod vchan_place;

pub use address::{Address, BadVsockAddress, VsockAddress};
pub use dispatcher::{Dispatcher, Listeners};
pub use error::{ConnectError, FlowError};
pub use flow::{Flow, FlowExt, Taken};
pub use listener::{Connector, Listener};
pub use splice::splice;
pub use target::{ParseTargetError, Scheme, Target};
pub use unix_path::{BadUnixPath, UNIX_PATH_BYTES_MAX, UnixPath};
pub use unread::Unread;
pub use vchan_place::{BadVchanPlace, VchanPlace};
