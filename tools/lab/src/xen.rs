//! Xen nested in QEMU's software emulation, with a small dom0 that `xl create`s guests: for
//! `run --xen`, the tests under Xen and `bench xen`.
//!
//! `packages` gets Debian's packages and unpacks what is needed, `dom0` makes an image of it, `host`
//! boots it and talks to it.

pub(crate) mod bench;
mod dom0;
mod domain;
mod host;
mod packages;
mod run;

pub(crate) use dom0::Dom0;
pub(crate) use domain::{Domain, put_file};
pub(crate) use host::{Host, OUTSIDE, Options, Uplink};
pub(crate) use run::{Request, Running};

use crate::failure::Result;
use std::process::ExitCode;

/// `cargo xtask xen ELF [WORDS]`: one guest on a fresh host, until it stops; its console is printed.
pub(crate) fn main(arguments: lexopt::Parser) -> Result<ExitCode> {
    run::main(arguments)
}
