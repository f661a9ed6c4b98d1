//! Xen nested in QEMU's software emulation, with a small dom0 that `xl create`s guests: for
//! `run --xen`, the tests under Xen and `bench xen`.
//!
//! `packages` gets Debian's packages and unpacks what is needed, `dom0` makes an image of it, `host`
//! boots it and talks to it.

mod dom0;
mod domain;
mod host;
mod packages;
mod run;

pub use dom0::Dom0;
pub use domain::{Domain, put_disk, put_file};
pub use host::{Host, OUTSIDE, Options, Uplink};
pub use run::{Request, Running, Trial, try_out};
