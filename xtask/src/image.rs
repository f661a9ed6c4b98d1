//! `cargo xtask image`: the bootable ELF.

use command::{failure::Result, programs::Install};
use image_builder::{hermit, image};
use lab::run::Application;
use std::process::ExitCode;

/// Builds the bootable ELF, packed; the last line printed is its path
#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Words {
    #[command(flatten)]
    common: verbs::image::ImageOptions,
    /// The same as --services http: about a quarter of the size
    #[arg(long, conflicts_with = "services")]
    http_only: bool,
    /// With routes for tests; never where others can reach it
    #[arg(long)]
    trial: bool,
    /// The load generator, instead: docs/load.md
    #[arg(long, conflicts_with_all = ["services", "http_only", "trial", "hermit", "media"])]
    load: bool,
    /// On the Hermit kernel, with its loader: docs/hermit.md
    #[arg(long, conflicts_with_all = ["disk_image", "iso", "oci", "profile"])]
    hermit: bool,
}

const NOTES: &str = "\
Examples:
  cargo xtask image
  cargo xtask image --services http,https,admin
  cargo xtask image --disk-image aqueduct.img --bundle my-site --append \"log=warn\"";

pub(crate) fn main(words: Words, install: Install) -> Result<ExitCode> {
    let Words { mut common, http_only, trial, load, hermit: on_hermit } = words;
    if http_only {
        common.services = Some("http".into());
    }
    let mut application = Application::default();
    if on_hermit {
        let options = if trial { hermit::Options::trial() } else { hermit::Options::default() };
        let options = match &common.services {
            Some(list) => options.with_services(list)?,
            None => options,
        };
        return common.build_by(&application, install, || hermit::build(&options, install));
    }
    if load {
        application.image = image::Options::load();
    } else if trial {
        application.image = image::Options::trial();
    }
    common.build(&application, install)
}
