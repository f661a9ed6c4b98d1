//! Hermit's kernel, an archive that an application is linked with.

use command::{
    cargo,
    failure::{Failure, OrSay, Result, fail},
    files, paths,
    programs::{self, Program},
};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::Command,
};
use tinyjson::JsonValue;

pub(crate) const OBJCOPY: Program = Program { name: "objcopy", package: "binutils" };

/// The newest kernel in the crate registry: 0.12 and 0.13 are empty.
const VERSION: &str = "0.11.0";
const TARGET: &str = "x86_64-unknown-none";
const FEATURES: &str = "pci,acpi,tcp,dhcpv4,fsgsbase";
/// Counted up when the kernel has to be made anew for another reason than those that [`recipe`] has.
const RECIPE: u32 = 1;

/// A replacement of some text, each time that it stands there.
struct Mending {
    file: &'static str,
    from: &'static str,
    to: &'static str,
    /// How often it stands there.
    count: usize,
}

/// What compilers since 1.88 want: `naked` is an unsafe attribute.
const fn naked(file: &'static str, count: usize) -> Mending {
    Mending { file, from: "#[naked]", to: "#[unsafe(naked)]", count }
}

const SOCKET: &str = "src/fd/socket/tcp.rs";

const MENDINGS: [Mending; 7] = [
    naked("src/arch/x86_64/kernel/start.rs", 1),
    naked("src/arch/x86_64/kernel/switch.rs", 2),
    naked("src/arch/x86_64/kernel/scheduler.rs", 1),
    naked("src/syscalls/table.rs", 1),
    // Shutting down sends the end, so that no peer has to wait until a thread is free to close.
    Mending {
        file: SOCKET,
        from: "SHUT_RDWR /* Both */ => Ok(()),",
        to: "SHUT_RDWR => { self.with(|socket| socket.close()); Ok(()) }",
        count: 1,
    },
    // An end on both sides is read as one, so that closing is known not to block.
    Mending {
        file: SOCKET,
        from: "tcp::State::Closed => Poll::Ready(Ok(0)),",
        to: "tcp::State::Closed | tcp::State::TimeWait => Poll::Ready(Ok(0)),",
        count: 1,
    },
    // After the peer's end something can still be sent to it (RFC 9293, section 3.6).
    Mending {
        file: SOCKET,
        from: "tcp::State::Closed | tcp::State::Closing | tcp::State::CloseWait => {\n\t\t\t\t\t\t\tPoll::Ready(Ok(0))",
        to: "tcp::State::Closed | tcp::State::Closing => {\n\t\t\t\t\t\t\tPoll::Ready(Ok(0))",
        count: 1,
    },
];

/// The archive, made if it is not there.
///
/// # Errors
///
/// It cannot be fetched, is not as it was when this was written, or does not build.
pub(super) fn archive() -> Result<PathBuf> {
    let folder = paths::made("hermit")?;
    let (archive, stamp) = (folder.join("libhermit.a"), folder.join("libhermit.recipe"));
    let recipe = recipe()?;
    if archive.exists() && std::fs::read_to_string(&stamp).is_ok_and(|text| text == recipe) {
        return Ok(archive);
    }
    eprintln!("xtask: making Hermit's kernel {VERSION}, once; that takes some minutes");
    let source = folder.join(format!("hermit-kernel-{VERSION}"));
    fetch(&folder, &source)?;
    for mending in &MENDINGS {
        mending.apply(&source)?;
    }
    let built = build(&folder, &source)?;
    rename_symbols(&folder, &built, &archive)?;
    files::write(&stamp, recipe)?;
    Ok(archive)
}

/// All that the archive follows from.
fn recipe() -> Result<String> {
    let compiler = programs::output(Command::new("/usr/bin/rustc").arg("--version"))?;
    let mut recipe = format!("{RECIPE} {VERSION} {FEATURES} {compiler}");
    for Mending { file, from, to, count } in &MENDINGS {
        writeln!(recipe, "{file}: {count} of `{from}` are `{to}`").expect("a string has room");
    }
    Ok(recipe)
}

/// Has cargo fetch the kernel's source, by a package that depends on it, and copies it to where it can be mended.
fn fetch(folder: &Path, source: &Path) -> Result {
    let fetching = folder.join("fetching");
    files::make_folder(&fetching.join("src"))?;
    files::write(&fetching.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[workspace]\n[package]\nname = \"fetching\"\nedition = \"2024\"\n\
         [dependencies]\nhermit-kernel = {{ version = \"={VERSION}\", default-features = false }}\n"
    );
    files::write(&fetching.join("Cargo.toml"), manifest)?;
    let mut metadata = cargo::command();
    metadata.current_dir(&fetching).args(["metadata", "--format-version", "1"]);
    let metadata: JsonValue =
        programs::output(&mut metadata)?.parse().or_say(|| "cargo metadata".into())?;
    let Some(fetched) = folder_of(&metadata, "hermit-kernel") else {
        fail!("cargo has not fetched hermit-kernel {VERSION}");
    };
    let _ = std::fs::remove_dir_all(source);
    programs::output(Command::new("cp").arg("-r").arg(fetched).arg(source))?;
    // It names a compiler of its own.
    let _ = std::fs::remove_file(source.join("rust-toolchain.toml"));
    // It is no member of the workspace that it lies in.
    let manifest = source.join("Cargo.toml");
    files::write(&manifest, files::read_text(&manifest)? + "\n[workspace]\n")
}

/// Where a package's source is, as `cargo metadata` tells.
fn folder_of(metadata: &JsonValue, name: &str) -> Option<PathBuf> {
    let string = |value: &JsonValue| value.get::<String>().cloned();
    let object = metadata.get::<std::collections::HashMap<String, JsonValue>>()?;
    let packages = object.get("packages")?.get::<Vec<JsonValue>>()?;
    packages.iter().find_map(|package| {
        let package = package.get::<std::collections::HashMap<String, JsonValue>>()?;
        let manifest = PathBuf::from(string(package.get("manifest_path")?)?);
        (string(package.get("name")?)? == name).then(|| manifest.parent().map(Path::to_owned))?
    })
}

impl Mending {
    fn apply(&self, source: &Path) -> Result {
        let Self { file, from, to, count } = *self;
        let path = source.join(file);
        let text = files::read_text(&path)?;
        let mended = mend(&text, from, to, count)
            .ok_or_else(|| Failure(format!("Hermit's {file} has not {count} times `{from}`")))?;
        files::write(&path, mended)
    }
}

/// The text with all of `count` places replaced; `None` if there are more or fewer.
fn mend(text: &str, from: &str, to: &str, count: usize) -> Option<String> {
    (text.matches(from).count() == count).then(|| text.replace(from, to))
}

fn build(folder: &Path, source: &Path) -> Result<PathBuf> {
    let target_folder = folder.join("kernel");
    let mut build = super::command(&target_folder);
    build.current_dir(source);
    build.args(["build", "--quiet", "--locked", "--release", "--lib", "--target", TARGET]);
    build.args(["-Zbuild-std=core,alloc", "-Zbuild-std-features=compiler-builtins-mem"]);
    build.args(["--no-default-features", "--features", FEATURES]);
    // What it logs is none of the appliance's lines, and waits for the serial line.
    build.env("HERMIT_LOG_LEVEL_FILTER", "warn").env("NO_COLOR", "1");
    // Warnings are its maintainers': what cargo prints is shown on failure only.
    programs::output(&mut build)?;
    Ok(target_folder.join(TARGET).join("release/libhermit.a"))
}

/// Renames all that the archive defines but what an application or a loader asks for by name: both sides have their own
/// standard library, allocator and panics.
fn rename_symbols(folder: &Path, built: &Path, archive: &Path) -> Result {
    let listing = programs::output(
        programs::command(&crate::symbols::NM)?
            .args(["--defined-only", "--extern-only", "--format=posix", "--quiet"])
            .arg(built),
    )?;
    let names = folder.join("names");
    files::write(&names, renamings(&listing))?;
    let new = archive.with_extension("new");
    let mut objcopy = programs::command(&OBJCOPY)?;
    objcopy.arg("--redefine-syms").arg(&names).arg(built).arg(&new);
    programs::output(&mut objcopy)?;
    std::fs::rename(&new, archive).or_say(|| format!("cannot make {}", archive.display()))
}

/// Old and new names, for `objcopy`, of a listing of `nm`'s.
fn renamings(listing: &str) -> String {
    let mut names: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, _)| name)
        .filter(|name| !is_interface(name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.iter().map(|name| format!("{name} hermit_{name}\n")).collect()
}

fn is_interface(name: &str) -> bool {
    name.starts_with("sys_") || matches!(name, "_start" | "__bss_start" | "runtime_entry")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mending_fits_or_fails() {
        assert_eq!(mend("a b a", "a", "c", 2).as_deref(), Some("c b c"));
        assert_eq!(mend("a b a", "a", "c", 1), None);
        assert_eq!(mend("b", "a", "c", 1), None);
    }

    #[test]
    fn what_others_ask_for_keeps_its_name() {
        let listing =
            "libhermit.a[x.o]:\nmemcpy T 0 8\nsys_read T 10 8\n_start T 0 38\nmemcpy T 0 8\n";
        assert_eq!(renamings(listing), "memcpy hermit_memcpy\n");
    }

    #[test]
    fn a_package_is_found_by_name() {
        let metadata = r#"{"packages": [
            {"name": "other", "manifest_path": "/a/Cargo.toml"},
            {"name": "hermit-kernel", "manifest_path": "/b/c/Cargo.toml"}
        ]}"#;
        let metadata = metadata.parse().unwrap();
        assert_eq!(folder_of(&metadata, "hermit-kernel"), Some("/b/c".into()));
        assert_eq!(folder_of(&metadata, "none"), None);
    }
}
