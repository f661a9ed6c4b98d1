//! The appliance on the Hermit kernel: the kernel from the crate registry, the application linked with it, and the loader
//! that carries both. Nothing of the kernel's source is kept here: it is fetched, mended and built below the target folder,
//! once.

mod kernel;

use crate::{
    features,
    image::{self, Image},
};
use command::{
    cargo,
    failure::{Result, fail},
    paths,
    programs::{self, Install, Program},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Debian's compiler that is new enough for this kernel and has the standard library's source with it, for a target that
/// no toolchain has ready. The pinned one comes without source.
const COMPILER: [Program; 3] = [
    Program { name: "/usr/share/doc/rustc-web", package: "rustc-web" },
    Program { name: "/usr/share/doc/cargo-web", package: "cargo-web" },
    Program { name: "/usr/share/doc/rust-web-src", package: "rust-web-src" },
];
const TARGET: &str = "x86_64-unknown-hermit";
const LOADER: &str = "aqueduct-hermit-loader";

/// An application, and what its image is called.
#[derive(Clone, Debug)]
pub struct Options {
    /// The package whose binary is linked with the kernel.
    pub package: String,
    /// Its features; `None` for its default ones.
    pub features: Option<Vec<String>>,
    /// The name of the files that are made, without folder and extension.
    pub output: String,
}

impl Default for Options {
    /// The appliance with all services.
    fn default() -> Self {
        Self {
            package: "aqueduct-hermit".into(),
            features: None,
            output: "aqueduct-on-hermit".into(),
        }
    }
}

impl Options {
    /// The trial appliance with all services.
    pub fn trial() -> Self {
        Self {
            package: "trial-hermit".into(),
            output: "aqueduct-trial-on-hermit".into(),
            ..Self::default()
        }
    }

    /// Where the last build has put it.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn image(&self) -> Result<Image> {
        self.loader(None).image()
    }

    /// What is booted.
    fn loader(&self, application: Option<PathBuf>) -> image::Options {
        let (package, output) = (LOADER.into(), self.output.clone());
        image::Options { package, output, application, ..image::Options::default() }
    }

    /// These services only: `list` has their names, with a comma between two.
    ///
    /// # Errors
    ///
    /// The list is empty, or names what is no service.
    pub fn with_services(&self, list: &str) -> Result<Self> {
        let Some(chosen) = features::chosen(paths::root(), &self.package, list)? else {
            return Ok(self.clone());
        };
        let output = format!("{}-{}", self.output, chosen.join("-"));
        Ok(Self { features: Some(chosen), output, ..self.clone() })
    }
}

/// Builds kernel, application and loader, and packs them, installing what that needs.
///
/// # Errors
///
/// A program is missing, the kernel is not what it was when it was mended, or something does not build.
pub fn build(options: &Options, install: Install) -> Result<Image> {
    let needed: Vec<_> = COMPILER.iter().chain([&kernel::OBJCOPY, &programs::STRIP]).collect();
    programs::need(&needed, install)?;
    let kernel = kernel::archive()?;
    let application = build_application(options, &kernel)?;
    image::build(&options.loader(Some(application)), install)
}

fn build_application(options: &Options, kernel: &Path) -> Result<PathBuf> {
    let folder = paths::made("hermit")?.join("application");
    let mut build = command(&folder);
    build.args(["build", "--package", &options.package, "--profile", "image"]);
    build.args(["--target", TARGET, "-Zbuild-std=core,alloc"]);
    build.arg("-Zbuild-std-features=compiler-builtins-mem");
    if let Some(features) = &options.features {
        build.args(["--no-default-features", "--features", &features.join(",")]);
    }
    // The target's linker comes with the pinned toolchain only.
    let linker = linker()?;
    let flags = "-Cforce-unwind-tables=yes -Cpanic=unwind -Clinker=";
    build.env("RUSTFLAGS", format!("{flags}{}", linker.display()));
    build.env("AQUEDUCT_HERMIT_KERNEL", kernel);
    cargo::build(&mut build, "the application on the Hermit kernel")?;
    let linked = folder.join(TARGET).join("image").join(&options.package);
    let application = linked.with_extension("stripped");
    let mut strip = programs::command(&programs::STRIP)?;
    programs::output(strip.arg(&linked).arg("-o").arg(&application))?;
    Ok(application)
}

/// Debian's cargo with Debian's compiler, whatever else is on the machine; features of the nightly compiler are allowed,
/// since targets without a library need them.
fn command(target_folder: &Path) -> Command {
    let mut command = Command::new("/usr/bin/cargo");
    command.current_dir(paths::root());
    command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
    command.env("CARGO_TARGET_DIR", target_folder);
    // What the cargo that started us says of its own toolchain.
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTDOC"] {
        command.env_remove(name);
    }
    command
}

fn linker() -> Result<PathBuf> {
    let sysroot = programs::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let host = "lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld";
    let linker = Path::new(sysroot.trim()).join(host);
    if !linker.exists() {
        fail!("{} is not there: the pinned toolchain has it", linker.display());
    }
    Ok(linker)
}
