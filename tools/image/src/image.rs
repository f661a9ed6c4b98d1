//! The bootable ELF: compiled by cargo, with the names of its functions, packed.

use crate::{
    elf::{Executable, Segment},
    features,
    pack::{self, Packed},
    symbols::{self, Symbols},
};
use command::{
    cargo,
    failure::{Failure, OrSay, Result, fail},
    files, paths,
    programs::{self, Install},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What an image is made of, and what it is called.
#[derive(Clone, Debug)]
pub struct Options {
    /// The root of the workspace that the package belongs to.
    pub workspace: PathBuf,
    /// The package whose binary is linked for the bare machine.
    pub package: String,
    /// Its features; `None` for its default ones.
    pub features: Option<Vec<String>>,
    /// The name of the files that are made, without folder and extension.
    pub output: String,
    /// An application for another kernel, where the image is only its loader.
    pub application: Option<PathBuf>,
    /// How it is compiled.
    pub profile: Profile,
}

/// How images and processes are compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Optimised as a whole, and packed: what ships.
    #[default]
    Release,
    /// Soon there, and with arguments and locals for a debugger: what is worked on.
    Dev,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Release, Self::Dev];

    /// What it is called on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }

    /// The profile of cargo's by which images are compiled.
    fn of_images(self) -> &'static str {
        match self {
            Self::Release => "image",
            Self::Dev => "image-dev",
        }
    }
}

impl FromStr for Profile {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == text);
        found.ok_or_else(|| Failure(format!("`{text}` is no profile; allowed: release, dev")))
    }
}

/// An image in its three forms.
pub struct Image {
    /// As it is booted: packed, unless it is one to be worked on.
    pub shipped: PathBuf,
    /// As it is once it runs, and bootable too: nothing writes over a debugger's breakpoints.
    pub unpacked: PathBuf,
    /// With symbols for a debugger.
    pub symbols: PathBuf,
}

/// Builds and packs an image, installing what that needs.
///
/// # Errors
///
/// A program is missing, or the package does not build.
pub fn build(options: &Options, install: Install) -> Result<Image> {
    programs::need(&[&programs::CC, &programs::LIBC_HEADERS, &symbols::NM], install)?;
    let mut build = options.cargo("build", options.profile.of_images());
    if let Some(features) = &options.features {
        build.args(["--no-default-features", "--features", &features.join(",")]);
    }
    match options.profile {
        Profile::Release => {
            eprintln!("xtask: building the image; the first time this takes some minutes");
        }
        Profile::Dev => eprintln!("xtask: building the image to be worked on"),
    }
    cargo::build(&mut build, "the image")?;
    let image = options.image()?;
    finish(&image, options.profile)?;
    Ok(image)
}

impl Default for Options {
    /// The appliance with all services.
    fn default() -> Self {
        Self {
            workspace: paths::root().to_owned(),
            package: "aqueduct-bare".into(),
            features: None,
            output: "aqueduct".into(),
            application: None,
            profile: Profile::default(),
        }
    }
}

impl Options {
    /// The appliance with HTTP, without the code of RPC and ZeroMQ: about a quarter of the size.
    pub fn http_only() -> Self {
        Self::default().only(&["http".into()])
    }

    /// The trial appliance with all services: what has routes for tests beside the shipped one's.
    pub fn trial() -> Self {
        Self { package: "trial-bare".into(), output: "aqueduct-trial".into(), ..Self::default() }
    }

    /// The load generator.
    pub fn load() -> Self {
        Self { package: "load-bare".into(), output: "aqueduct-load".into(), ..Self::default() }
    }

    /// These services only: `list` has their names, with a comma between two. Each is a
    /// feature of the package.
    ///
    /// # Errors
    ///
    /// The list is empty, or names what is no service.
    pub fn with_services(&self, list: &str) -> Result<Self> {
        Ok(match features::chosen(&self.workspace, &self.package, list)? {
            Some(services) => self.only(&services),
            None => self.clone(),
        })
    }

    fn only(&self, services: &[String]) -> Self {
        let output = format!("{}-{}", self.output, services.join("-"));
        Self { features: Some(services.to_vec()), output, ..self.clone() }
    }

    /// Where the last build has put it.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn image(&self) -> Result<Image> {
        let folder = paths::made_in(&self.workspace, "image")?;
        let profile = self.profile.of_images();
        let linked = paths::target_of(&self.workspace).join(TARGET).join(profile);
        let (shipped, unpacked) = match self.profile {
            Profile::Release => ("", "-unpacked"),
            // To pack it would take longer than to compile it.
            Profile::Dev => ("-dev", "-dev"),
        };
        Ok(Image {
            shipped: folder.join(format!("{}{shipped}.elf", self.output)),
            unpacked: folder.join(format!("{}{unpacked}.elf", self.output)),
            symbols: linked.join(&self.package),
        })
    }

    /// A command of cargo's for the package, with the settings that it needs: the unwinder uses features that the pinned
    /// stable compiler has behind this switch, and the image has a fixed place in memory. Linker arguments come from the
    /// package's build script.
    pub fn cargo(&self, verb: &str, profile: &str) -> Command {
        let mut command = cargo::command();
        command.current_dir(&self.workspace);
        command.args([verb, "--package", &self.package, "--profile", profile, "--target", TARGET]);
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-C relocation-model=static");
        command.env_remove("CARGO_ENCODED_RUSTFLAGS");
        if let Some(application) = &self.application {
            command.env("AQUEDUCT_HERMIT_APPLICATION", application);
        }
        command
    }
}

/// Makes what is booted of what was linked: with the names of its functions, for its own reports, and packed.
fn finish(image: &Image, profile: Profile) -> Result {
    let linked = image.symbols.as_path();
    let symbols = Symbols::read(linked)?;
    let file = files::read(linked)?;
    let Some(mut executable) = Executable::parse(&file) else {
        fail!("{} is no ELF file", linked.display());
    };
    let names = symbols.place("symbols")?;
    for segment in executable.segments.iter_mut().filter(|segment| segment.address == names) {
        segment.bytes = symbols.table();
        segment.memory_bytes = segment.bytes.len() as u64;
    }
    let record = symbols.place("packed")?;
    // That memory has room for all of it is checked before anything else runs.
    let ends = executable.segments.iter().map(|it| it.address + it.memory_bytes);
    let end = ends.max().unwrap_or_default();
    patch(&mut executable, record + UNPACKED_END_AT, end)?;
    write(&image.unpacked, &executable)?;
    if profile == Profile::Dev {
        return Ok(());
    }
    pack_from(&mut executable, symbols.place("text_start")?, record)?;
    write(&image.shipped, &executable)
}

/// Where `unpacked_end` is in the record at `packed`.
const UNPACKED_END_AT: u64 = 24;

/// Packs all that is loaded from `start` on; `record` is where `boot.s` looks for what it is to unpack.
fn pack_from(executable: &mut Executable, start: u64, record: u64) -> Result {
    /// What one turn of the loop over the sums takes in.
    const STEP: usize = 64;
    let mut bytes = Vec::new();
    let first = executable.segments.partition_point(|segment| segment.address < start);
    for segment in executable.segments.drain(first..) {
        bytes.resize((segment.address - start) as usize, 0);
        bytes.extend(segment.bytes);
    }
    let Packed { mut block, instructions, lead } = pack::pack(&bytes);
    if lz4_flex::block::decompress(&block, bytes.len()).ok().as_ref() != Some(&bytes) {
        fail!("what was packed does not unpack to the same: `image/pack.rs` is wrong");
    }
    let end = start + bytes.len() as u64;
    let block_start = (end + lead as u64 - block.len() as u64).next_multiple_of(STEP as u64);
    let block_end = block_start + block.len() as u64;
    block.resize(block.len().next_multiple_of(STEP), 0);
    let sums = sums(&block);
    let segment = Segment::read_only(block_start, block);
    // What is unpacked goes between the two: a boot loader must put nothing there.
    if let Some(data) = executable.segments.last_mut() {
        data.memory_bytes = block_start - data.address;
    }
    let words = [block_start, block_end, segment.end(), end].into_iter().chain(sums);
    executable.segments.push(segment);
    for (address, word) in (record..).step_by(8).zip(words) {
        patch(executable, address, word)?;
    }
    eprintln!("xtask: unpacks in {instructions} instructions");
    Ok(())
}

fn patch(executable: &mut Executable, address: u64, word: u64) -> Result {
    let placed = executable.patch(address, word);
    placed.ok_or_else(|| Failure::new("`packed` is not in the boot code"))
}

/// Of the words in two lanes, and of those sums on the way: what `packed_is_whole` computes.
fn sums(block: &[u8]) -> [u64; 4] {
    let mut sums = [0_u64; 4];
    for (index, word) in block.as_chunks::<8>().0.iter().enumerate() {
        let lane = index % 2;
        sums[lane] = sums[lane].wrapping_add(u64::from_le_bytes(*word));
        sums[2 + lane] = sums[2 + lane].wrapping_add(sums[lane]);
    }
    sums
}

/// Written beside and renamed: another xtask may be booting the old one.
fn write(file: &Path, executable: &Executable) -> Result {
    let new = file.with_extension("new");
    files::write(&new, executable.write())?;
    std::fs::rename(&new, file).or_say(|| format!("cannot write {}", file.display()))
}
