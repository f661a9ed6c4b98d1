//! `cargo xtask image`: the bootable ELF.

use crate::values;
use clap::ArgGroup;
use command::{failure::Result, files, programs::Install};
use image_builder::{
    bundle,
    image::{self, Image, Options, Profile},
    media::{self, Form, Media},
    oci::{self, Content},
};
use lab::run::Application;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What is asked of an image of any appliance.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("media").args(["disk_image", "iso", "oci"]).multiple(true))]
pub struct ImageOptions {
    /// With these services only, of http, https, fastcgi, gopher, rpc, vats, relay, rpc-websocket, zmq, admin, http-client, disk,
    /// syslog, vsock, shared-memory, database and compression [default: all]
    #[arg(long, value_name = "LIST")]
    pub services: Option<String>,
    /// As it ships, or sooner and for debuggers
    #[arg(long, default_value = Profile::Release.name(), value_parser = values::profile())]
    pub profile: Profile,
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

impl ImageOptions {
    /// Builds the image of an application, and what else they ask for; the last line of standard output is the image's path.
    ///
    /// # Errors
    ///
    /// It does not build, a boot would refuse the bundle, or a file cannot be written.
    pub fn build(self, application: &Application, install: Install) -> Result<ExitCode> {
        let options = Options { profile: self.profile, ..application.image.clone() };
        let options = match &self.services {
            Some(list) => options.with_services(list)?,
            None => options,
        };
        self.build_by(application, install, || image::build(&options, install))
    }

    /// The same of an image that `build` makes.
    ///
    /// # Errors
    ///
    /// Those of `build`, a bundle that a boot would refuse, or a file that cannot be written.
    pub fn build_by(
        self,
        application: &Application,
        install: Install,
        build: impl FnOnce() -> Result<Image>,
    ) -> Result<ExitCode> {
        let Self { disk_image, iso, oci, oci_tag, bundle, append, .. } = self;
        let engines = Engines { disk_image, iso, oci, oci_tag, append };
        // Rather now than after a build.
        let bundle = if engines.are_any() {
            bundle::pack(bundle.as_ref().unwrap_or(&application.bundle))?
        } else {
            Vec::new()
        };
        let image = build()?;
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
