//! Xen's libxenvchan as a peer: a program in C around the C library, with memory of a process in place of Xen's.

use super::{is_newer, source};
use crate::debian::{self, Package};
use command::{
    failure::Result,
    paths,
    programs::{self, CC},
};
use std::path::PathBuf;

/// The library is linked into the program, so that nothing of Xen has to be installed.
const PACKAGES: &[&str] = &["libxen-dev"];

/// The program.
///
/// # Errors
/// There is no folder for it.
pub fn vchan() -> Result<PathBuf> {
    Ok(paths::made("peers")?.join("vchan-peer"))
}

/// Downloads the library and builds the program.
pub(super) fn build() -> Result {
    let folder = paths::made("peers")?.join("libxen-dev");
    debian::unpack(&[Package::new(PACKAGES)], &folder)?;
    let (program, made) = (source("tests/interop/vchan/peer.c"), vchan()?);
    if is_newer(&made, &[&program]) {
        return Ok(());
    }
    let mut compile = programs::command(&CC)?;
    compile.arg("-O2").arg("-I").arg(folder.join("usr/include")).arg(&program);
    compile.arg(folder.join("usr/lib/x86_64-linux-gnu/libxenvchan.a")).arg("-o").arg(&made);
    programs::output(&mut compile).map(drop)
}
