//! Xen's libxenvchan as a peer: programs in C around the C library, one of them with memory of a process in place of Xen's.

use super::{is_newer, source};
use crate::debian::{self, Package};
use command::{
    failure::Result,
    paths,
    programs::{self, CC},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The library is linked into the programs, so that nothing of Xen has to be installed.
const PACKAGES: &[&str] = &["libxen-dev"];

/// What it needs of Xen, for a program that Xen is below.
const XEN_LIBRARIES: &[&str] = &["xenstore", "xengnttab", "xenevtchn", "xentoolcore", "xentoollog"];

/// The program.
///
/// # Errors
/// There is no folder for it.
pub fn vchan() -> Result<PathBuf> {
    Ok(paths::made("peers")?.join("vchan-peer"))
}

/// A program that runs in dom0, whatever libraries are there.
///
/// # Errors
/// It cannot be made.
pub fn vchan_in_dom0() -> Result<PathBuf> {
    let (program, made) =
        (source("tests/interop/vchan/dom0.c"), paths::made("peers")?.join("vchan-dom0"));
    compile(&program, &made, |compile, folder| {
        for library in XEN_LIBRARIES {
            compile.arg(folder.join(format!("lib{library}.a")));
        }
        compile.args(["-static", "-pthread"]);
    })?;
    Ok(made)
}

/// Builds the program.
pub(super) fn build() -> Result {
    compile(&source("tests/interop/vchan/peer.c"), &vchan()?, |_, _| {})
}

/// Downloads the library and compiles a program with it and what `add` adds, if it changed.
fn compile(program: &Path, made: &Path, add: impl FnOnce(&mut Command, &Path)) -> Result {
    let folder = paths::made("peers")?.join("libxen-dev");
    debian::unpack(&[Package::new(PACKAGES)], &folder)?;
    // What they do with a connection is the same.
    if is_newer(made, &[program, &source("tests/interop/vchan/talk.h")]) {
        return Ok(());
    }
    let libraries = folder.join("usr/lib/x86_64-linux-gnu");
    let mut compile = programs::command(&CC)?;
    compile.arg("-O2").arg("-I").arg(folder.join("usr/include")).arg(program);
    compile.arg(libraries.join("libxenvchan.a"));
    add(&mut compile, &libraries);
    compile.arg("-o").arg(made);
    programs::output(&mut compile).map(drop)
}
