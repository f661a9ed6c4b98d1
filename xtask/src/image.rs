//! `cargo xtask image`: the bootable ELF.

mod symbols;

use crate::{
    failure::{OrSay, Result, fail},
    places,
    tools::{self, Install},
};
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const PACKAGE: &str = "aqueduct-bare";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The image as it is booted, and the same with symbols for a debugger.
pub(crate) struct Image {
    pub(crate) stripped: PathBuf,
    pub(crate) symbols: PathBuf,
}

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut install = Install::Yes;
    let mut services = Services::All;
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("no-install") => install = Install::OnlyTell,
            lexopt::Arg::Long("http-only") => services = Services::HttpOnly,
            other => return Err(other.unexpected().into()),
        }
    }
    let image = build_with(services, install)?;
    let bytes = std::fs::metadata(&image.stripped).map_or(0, |file| file.len());
    eprintln!("xtask: {bytes} bytes; with symbols: {}", image.symbols.display());
    // Scripts rely on this being the last line of standard output.
    println!("{}", image.stripped.display());
    Ok(ExitCode::SUCCESS)
}

/// What the image serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Services {
    /// The whole table.
    All,
    /// HTTP, without the code of RPC and ZeroMQ: less than half of the size.
    HttpOnly,
}

/// Builds and strips the image.
pub(crate) fn build(install: Install) -> Result<Image> {
    build_with(Services::All, install)
}

fn build_with(services: Services, install: Install) -> Result<Image> {
    tools::need(&[&tools::CC, &tools::LIBC_HEADERS, &tools::STRIP], install)?;
    let mut cargo = cargo("build", "image");
    if services == Services::HttpOnly {
        cargo.arg("--no-default-features");
    }
    let status = cargo.stdout(std::io::stderr()).status().or_say(|| "cannot start cargo".into())?;
    if !status.success() {
        fail!("the image does not build; cargo's messages are above");
    }
    let symbols = places::target().join(TARGET).join("image").join(PACKAGE);
    let stripped = match services {
        Services::All => built()?,
        Services::HttpOnly => built()?.with_file_name("aqueduct-http.elf"),
    };
    finish(&symbols, &stripped)?;
    Ok(Image { stripped, symbols })
}

/// The stripped image of the last build.
pub(crate) fn built() -> Result<PathBuf> {
    Ok(places::made("image")?.join("aqueduct.elf"))
}

/// A cargo command for the image's package, with the settings that it needs:
/// the unwinder uses features that the pinned stable compiler has behind this switch, and the image has a fixed place
/// in memory. Linker arguments come from the package's build script.
pub(crate) fn cargo(verb: &str, profile: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(places::root()).args([
        verb,
        "--package",
        PACKAGE,
        "--profile",
        profile,
        "--target",
        TARGET,
    ]);
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-C relocation-model=static");
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

/// Strips the image, and leaves it the names of its functions for its own reports.
fn finish(from: &Path, to: &Path) -> Result {
    // Written beside and renamed: another xtask may be booting the old one.
    let new = to.with_extension("new");
    tools::output(tools::command(&tools::STRIP)?.arg("--strip-all").arg("-o").arg(&new).arg(from))?;
    let mut image = std::fs::read(&new).or_say(|| format!("cannot read {}", new.display()))?;
    symbols::append(&mut image, from)?;
    std::fs::write(&new, image).or_say(|| format!("cannot write {}", new.display()))?;
    std::fs::rename(&new, to).or_say(|| format!("cannot write {}", to.display()))
}
