//! `cargo xtask wasm`: the example page, with its module of WebAssembly.

use command::{failure::Result, programs::Install};
use image_builder::page;
use std::process::ExitCode;

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut install = Install::Yes;
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("no-install") => install = Install::OnlyTell,
            other => return Err(other.unexpected().into()),
        }
    }
    let page = page::build(install)?;
    eprintln!(
        "xtask: {} bytes compressed; the module alone {} as it is",
        page.compressed_bytes, page.module_bytes
    );
    // As with images, scripts may rely on it.
    println!("{}", page.folder.display());
    Ok(ExitCode::SUCCESS)
}
