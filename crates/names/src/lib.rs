//! Names: who offers what, kept by servers for as long as their holders say, and merged by readers. Without I/O.
//!
//! There is no consensus. A holder registers its services with every server, and renews them before their *leases* end; a
//! reader takes what every server tells, and has a service as long as one of them does. So a holder that is gone is given out no
//! longer than its lease, and one that lives is known as long as it reaches a server that the reader reaches.
//!
//! - [`Directory`] is what one server keeps: services with leases, bounded; and what changed since a reader was told last.
//! - [`Copies`] is what one reader has of all servers.
//! - [`Renewals`] says when a holder has to renew what it has with one server.
//!
//! ```
//! use core::time::Duration;
//! use flow::registry::Service;
//! use names::{Copies, Directory, Holder, Limits};
//!
//! let (now, lease) = (Duration::ZERO, Duration::from_secs(10));
//! let (mut directory, mut copies) = (Directory::new(Limits::default()), Copies::new(1));
//! let (name, host) = ("web".parse().unwrap(), "alpha".parse().unwrap());
//! let service = Service::described(name, host, "http 10.0.0.2:80").unwrap();
//! directory.register(now, &Holder::new("a"), service.clone(), lease).unwrap();
//!
//! copies.connected(0);
//! copies.take(now, 0, directory.changes(now, None));
//! assert_eq!(copies.find(now, &"web".parse().unwrap()), [service]);
//! assert_eq!(copies.find(now + lease, &"web".parse().unwrap()), []);
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod copies;
mod directory;
mod renewals;

pub use copies::{Copies, Taken};
pub use directory::{Changes, Contested, Cursor, Directory, Holder, Limits, Offered, Refused};
pub use renewals::Renewals;

use core::time::Duration;

/// The shortest lease that there is: what is shorter has to be renewed so often that a busy holder fails to.
pub const LEASE_MIN: Duration = Duration::from_secs(1);
/// The longest: so long a holder that is gone is given out.
pub const LEASE_MAX: Duration = Duration::from_secs(300);
