//! `cargo xtask image`: the bootable ELF.

use command::{
    failure::{Result, fail},
    programs::Install,
};
use image_builder::{
    hermit,
    image::{self, Options},
};
use lexopt::ValueExt;
use std::process::ExitCode;

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut install = Install::Yes;
    let (mut trial, mut load, mut on_hermit, mut services) = (false, false, false, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("no-install") => install = Install::OnlyTell,
            lexopt::Arg::Long("trial") => trial = true,
            lexopt::Arg::Long("load") => load = true,
            lexopt::Arg::Long("hermit") => on_hermit = true,
            lexopt::Arg::Long("services") => services = Some(arguments.value()?.string()?),
            lexopt::Arg::Long("http-only") => services = Some("http".into()),
            other => return Err(other.unexpected().into()),
        }
    }
    if load && (trial || on_hermit || services.is_some()) {
        fail!("--load is an image of its own, and goes with --no-install alone");
    }
    let image = if load {
        image::build(&Options::load(), install)?
    } else if on_hermit {
        let options = if trial { hermit::Options::trial() } else { hermit::Options::default() };
        let options = services.map_or(Ok(options.clone()), |list| options.with_services(&list))?;
        hermit::build(&options, install)?
    } else {
        let options = if trial { Options::trial() } else { Options::default() };
        let options = services.map_or(Ok(options.clone()), |list| options.with_services(&list))?;
        image::build(&options, install)?
    };
    let [bytes, unpacked] = [&image.shipped, &image.unpacked]
        .map(|file| std::fs::metadata(file).map_or(0, |file| file.len()));
    eprintln!(
        "xtask: {bytes} bytes ({unpacked} unpacked); with symbols: {}",
        image.symbols.display()
    );
    // Scripts rely on this being the last line of standard output.
    println!("{}", image.shipped.display());
    Ok(ExitCode::SUCCESS)
}
