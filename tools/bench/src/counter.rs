//! Counts guest instructions by a QEMU plugin: the one figure that a busy machine does not blur.

use command::{
    failure::{OrSay, Result, fail},
    paths::Scratch,
    programs,
};
use std::{fs::File, os::unix::fs::FileExt, path::PathBuf};

const SOURCE: &str = include_str!("count.c");

/// The compiled plugin.
pub struct Plugin {
    scratch: Scratch,
    object: PathBuf,
}

/// The count of one guest.
pub struct Counter {
    file: File,
    /// What QEMU is told.
    pub options: [String; 2],
}

impl Plugin {
    /// Compiles it.
    ///
    /// # Errors
    ///
    /// There is no C compiler, or QEMU does not say its version.
    pub fn build() -> Result<Self> {
        let scratch = Scratch::new()?;
        let (source, object) = (scratch.path("count.c"), scratch.path("count.so"));
        std::fs::write(&source, SOURCE).or_say(|| "cannot write the plugin".into())?;
        let interface = format!("-DINTERFACE={}", interface()?);
        programs::output(
            programs::command(&programs::CC)?
                .args(["-O2", "-Wall", "-shared", "-fPIC", &interface, "-o"])
                .arg(&object)
                .arg(&source),
        )?;
        Ok(Self { scratch, object })
    }

    /// A counter for a guest that is yet to be started, and that no other has the name of.
    ///
    /// # Errors
    ///
    /// Its file cannot be made.
    pub fn counter(&self, name: &str) -> Result<Counter> {
        let path = self.scratch.path(name);
        std::fs::write(&path, [0; 8]).or_say(|| "cannot write a count".into())?;
        let file = File::open(&path).or_say(|| "cannot read a count".into())?;
        let plugin = format!("{},count={}", self.object.display(), path.display());
        Ok(Counter { file, options: ["-plugin".into(), plugin] })
    }
}

impl Counter {
    /// Instructions so far. The plugin maps the file, so reading it reads the plugin's memory.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn now(&self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, 0).or_say(|| "cannot read a count".into())?;
        Ok(u64::from_ne_bytes(bytes))
    }
}

/// The version of the plugin interface: QEMU 9 refuses version 1, and older ones refuse what is newer.
fn interface() -> Result<u32> {
    let text = programs::output(programs::command(&programs::QEMU)?.arg("--version"))?;
    let version = text
        .split_whitespace()
        .find(|word| word.contains('.') && word.starts_with(|digit: char| digit.is_ascii_digit()));
    match version
        .and_then(|version| version.split('.').next())
        .and_then(|major| major.parse::<u32>().ok())
    {
        Some(major) if major < 9 => Ok(1),
        Some(_) => Ok(2),
        None => fail!("QEMU does not say its version: {text}"),
    }
}
