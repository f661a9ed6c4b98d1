//! `cargo xtask image`: the bootable ELF.

use clap::ArgGroup;
use command::{failure::Result, files, paths, programs::Install};
use image_builder::{
    bundle, hermit,
    image::{self, Options},
    media::{self, Form, Media},
    oci::{self, Content},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Builds the bootable ELF, packed; the last line printed is its path
#[derive(clap::Args)]
#[command(after_help = NOTES, group = ArgGroup::new("media").args(["disk_image", "iso", "oci"]).multiple(true))]
pub(crate) struct Words {
    /// With these services only, of http, https, fastcgi, gopher, rpc, vats, relay, rpc-websocket, zmq, admin, http-client, disk,
    /// syslog, vsock, shared-memory, database and compression [default: all]
    #[arg(long, value_name = "LIST")]
    services: Option<String>,
    /// The same as --services http: about half of the size
    #[arg(long, conflicts_with = "services")]
    http_only: bool,
    /// With routes for tests; never where others can reach it
    #[arg(long)]
    trial: bool,
    /// The load generator, instead: docs/load.md
    #[arg(long, conflicts_with_all = ["services", "http_only", "trial", "hermit", "media"])]
    load: bool,
    /// On the Hermit kernel, with its loader: docs/hermit.md
    #[arg(long, conflicts_with_all = ["disk_image", "iso", "oci"])]
    hermit: bool,
    /// Writes a raw disk, too, which BIOS and UEFI boot: docs/deploy/disk-image.md
    #[arg(long, value_name = "FILE", help_heading = FOR_ENGINES)]
    disk_image: Option<PathBuf>,
    /// Writes a CD's image, too, which BIOS and UEFI boot
    #[arg(long, value_name = "FILE", help_heading = FOR_ENGINES)]
    iso: Option<PathBuf>,
    /// Writes an image for container registries, too, as an archive that skopeo reads: docs/deploy/kubernetes.md
    #[arg(long, value_name = "FILE", help_heading = FOR_ENGINES)]
    oci: Option<PathBuf>,
    /// The tag in it
    #[arg(long, value_name = "TAG", requires = "oci", default_value = env!("CARGO_PKG_VERSION"), help_heading = FOR_ENGINES)]
    oci_tag: String,
    /// Content and configuration in these [default: config/]
    #[arg(
        long,
        value_name = "DIR",
        requires = "media",
        help_heading = FOR_ENGINES
    )]
    bundle: Option<PathBuf>,
    /// Words for the kernel command line on these, as "ip=10.0.0.2/24 gw=10.0.0.1"
    #[arg(
        long,
        value_name = "WORDS",
        requires = "media",
        default_value = "",
        hide_default_value = true,
        help_heading = FOR_ENGINES
    )]
    append: String,
}

const FOR_ENGINES: &str = "For engines and machines with firmware";
const NOTES: &str = "\
Examples:
  cargo xtask image
  cargo xtask image --services http,https,admin
  cargo xtask image --disk-image aqueduct.img --bundle my-site --append \"log=warn\"";

pub(crate) fn main(words: Words, install: Install) -> Result<ExitCode> {
    let Words { services, http_only, trial, load, hermit: on_hermit, .. } = words;
    let Words { disk_image, iso, oci, oci_tag, bundle, append, .. } = words;
    let engines = Engines { disk_image, iso, oci, oci_tag, append };
    // Rather now than after a build.
    let bundle = if engines.are_any() {
        bundle::pack(&bundle.unwrap_or_else(|| paths::root().join("config")))?
    } else {
        Vec::new()
    };
    let services = if http_only { Some("http".into()) } else { services };
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
    eprintln!(
        "xtask: {} bytes ({} unpacked); with symbols: {}",
        bytes_of(&image.shipped),
        bytes_of(&image.unpacked),
        image.symbols.display()
    );
    engines.write(&image.shipped, &bundle, install)?;
    // Scripts rely on this being the last line of standard output.
    println!("{}", image.shipped.display());
    Ok(ExitCode::SUCCESS)
}

/// What is written for others than loaders of PVH, who take the ELF.
struct Engines {
    disk_image: Option<PathBuf>,
    iso: Option<PathBuf>,
    oci: Option<PathBuf>,
    oci_tag: String,
    append: String,
}

impl Engines {
    fn are_any(&self) -> bool {
        self.disk_image.is_some() || self.iso.is_some() || self.oci.is_some()
    }

    fn write(&self, image: &Path, bundle: &[u8], install: Install) -> Result {
        let words = &self.append;
        for (form, file) in [(Form::Disk, &self.disk_image), (Form::Iso, &self.iso)] {
            if let Some(file) = file {
                media::write(&Media { image, bundle, words }, form, file, install)?;
                eprintln!("xtask: {} bytes in {}", bytes_of(file), file.display());
            }
        }
        if let Some(file) = &self.oci {
            let image = &files::read(image)?;
            oci::write(&Content { image, bundle, words, tag: &self.oci_tag }, file)?;
            eprintln!("xtask: {} bytes in {}", bytes_of(file), file.display());
        }
        Ok(())
    }
}

fn bytes_of(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |found| found.len())
}
