//! `cargo xtask wasm`: the example page, with its module of WebAssembly.

use command::{failure::Result, programs::Install};
use image_builder::page;
use std::process::ExitCode;

/// Builds the example page of Cap'n Proto in a browser: docs/browser.md
///
/// The last line printed is the folder of a bundle that has it.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask run --bundle \"$(cargo xtask wasm | tail -n 1)\"")]
pub(crate) struct Words {}

pub(crate) fn main(words: &Words, install: Install) -> Result<ExitCode> {
    let Words {} = words;
    let page = page::build(install)?;
    eprintln!(
        "xtask: {} bytes compressed; the module alone {} as it is",
        page.compressed_bytes, page.module_bytes
    );
    // As with images, scripts may rely on it.
    println!("{}", page.folder.display());
    Ok(ExitCode::SUCCESS)
}
