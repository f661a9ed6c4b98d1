//! `cargo xtask image`: the bootable ELF.

use clap::ArgGroup;
use command::{failure::Result, paths, programs::Install};
use image_builder::{
    bundle, hermit,
    image::{self, Options},
    media::{self, Form, Media},
};
use std::{path::PathBuf, process::ExitCode};

/// Builds the bootable ELF, packed; the last line printed is its path
#[derive(clap::Args)]
#[command(after_help = NOTES, group = ArgGroup::new("media").args(["disk_image", "iso"]).multiple(true))]
pub(crate) struct Words {
    /// With these services only, of http, https, fastcgi, gopher, rpc, vats, relay, rpc-websocket, zmq, admin, http-client, disk,
    /// syslog, vsock, shared-memory and database [default: all]
    #[arg(long, value_name = "LIST")]
    services: Option<String>,
    /// The same as --services http: about half of the size
    #[arg(long, conflicts_with = "services")]
    http_only: bool,
    /// With routes for tests; never where others can reach it
    #[arg(long)]
    trial: bool,
    /// On the Hermit kernel, with its loader: docs/hermit.md
    #[arg(long, conflicts_with_all = ["disk_image", "iso"])]
    hermit: bool,
    /// Writes a raw disk, too, which BIOS and UEFI boot: docs/deploy/disk-image.md
    #[arg(long, value_name = "FILE", help_heading = "For machines with firmware")]
    disk_image: Option<PathBuf>,
    /// Writes a CD's image, too, which BIOS and UEFI boot
    #[arg(long, value_name = "FILE", help_heading = "For machines with firmware")]
    iso: Option<PathBuf>,
    /// Content and configuration on these [default: config/]
    #[arg(
        long,
        value_name = "DIR",
        requires = "media",
        help_heading = "For machines with firmware"
    )]
    bundle: Option<PathBuf>,
    /// Words for the kernel command line on these, as "ip=10.0.0.2/24 gw=10.0.0.1"
    #[arg(
        long,
        value_name = "WORDS",
        requires = "media",
        default_value = "",
        hide_default_value = true,
        help_heading = "For machines with firmware"
    )]
    append: String,
}

const NOTES: &str = "\
Examples:
  cargo xtask image
  cargo xtask image --services http,https,admin
  cargo xtask image --disk-image aqueduct.img --bundle my-site --append \"log=warn\"";

pub(crate) fn main(words: Words, install: Install) -> Result<ExitCode> {
    let Words { services, http_only, trial, hermit: on_hermit, .. } = words;
    let Words { disk_image, iso, bundle, append, .. } = words;
    let forms = [(Form::Disk, disk_image), (Form::Iso, iso)];
    let forms =
        forms.into_iter().filter_map(|(form, file)| Some((form, file?))).collect::<Vec<_>>();
    // Rather now than after a build.
    let bundle = match forms.as_slice() {
        [] => Vec::new(),
        _ => bundle::pack(&bundle.unwrap_or_else(|| paths::root().join("config")))?,
    };
    let services = if http_only { Some("http".into()) } else { services };
    let image = if on_hermit {
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
    for (form, file) in &forms {
        let media = Media { image: &image.shipped, bundle: &bundle, words: &append };
        media::write(&media, *form, file, install)?;
        let bytes = std::fs::metadata(file).map_or(0, |file| file.len());
        eprintln!("xtask: {bytes} bytes in {}", file.display());
    }
    // Scripts rely on this being the last line of standard output.
    println!("{}", image.shipped.display());
    Ok(ExitCode::SUCCESS)
}
