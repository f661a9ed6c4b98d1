//! The example page and its module of WebAssembly: compiled, and put together as a bundle's folder.

use command::{
    cargo,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Install, Program},
};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-unknown-unknown";
/// The protocol cores, which are to compile for it.
const CORES: &[&str] = &[
    "aqueduct-http",
    "aqueduct-rpc",
    "aqueduct-zmq",
    "aqueduct-pipe",
    "aqueduct-websocket",
    "aqueduct-web",
    "aqueduct-tcp",
    "aqueduct-gopher",
    "aqueduct-fastcgi",
];
/// Files of the page besides the module and the schema.
const SITE: &[&str] =
    &["index.html", "page.js", "aqueduct.js", "aqueduct.d.ts", "zeromq.js", "zeromq.d.ts"];
/// What a browser loads of it, compressed.
const COMPRESSED_BYTES_MAX: usize = 150_000;

/// Debian's compiler, with the sources of its library: where rustup's target is not to be had.
const DEBIANS: &[&Program] = &[
    &Program { name: "/usr/share/doc/rustc-web", package: "rustc-web" },
    &Program { name: "/usr/share/doc/cargo-web", package: "cargo-web" },
    &Program { name: "/usr/share/doc/rust-web-src", package: "rust-web-src" },
    &Program { name: "/usr/share/doc/libstd-rust-web-dev", package: "libstd-rust-web-dev" },
];

/// A page that is built.
pub struct Page {
    /// The folder, with a configuration and `site/`.
    pub folder: PathBuf,
    /// Bytes of the module, and of all that a browser loads, compressed.
    pub module_bytes: usize,
    /// See there.
    pub compressed_bytes: usize,
}

/// Compiles the module, and makes the folder of a bundle with the page.
///
/// # Errors
///
/// A compiler is missing, something does not compile, or the page is too long.
pub fn build(install: Install) -> Result<Page> {
    programs::need(&[&programs::CAPNP], install)?;
    let compiler = Compiler::find(install)?;
    let mut build = compiler.command("build")?;
    build.args(["--package", "aqueduct-wasm", "--profile", "wasm"]);
    cargo::build(&mut build, "the page's module")?;
    let folder = folder()?;
    let site = folder.join("site");
    files::make_folder(&site)?;
    let source = paths::root().join("wasm/page");
    copy(&source.join("appliance.toml"), &folder.join("appliance.toml"))?;
    for name in SITE {
        copy(&source.join(name), &site.join(name))?;
    }
    let module = site.join("aqueduct.wasm");
    copy(&compiler.target().join(TARGET).join("wasm/aqueduct_wasm.wasm"), &module)?;
    compile_schema(&site.join("appliance.schema"))?;
    let mut compressed_bytes = 0;
    for name in SITE.iter().filter(|name| !name.ends_with(".d.ts")) {
        compressed_bytes += compressed(&site.join(name))?;
    }
    for name in ["aqueduct.wasm", "appliance.schema"] {
        compressed_bytes += compressed(&site.join(name))?;
    }
    if compressed_bytes > COMPRESSED_BYTES_MAX {
        fail!("the page has {compressed_bytes} bytes compressed; {COMPRESSED_BYTES_MAX} at most");
    }
    let module_bytes = files::read(&module)?.len();
    Ok(Page { folder, module_bytes, compressed_bytes })
}

/// Compiles the module in which the protocol cores run their golden files; where it is.
///
/// # Errors
///
/// A compiler is missing, or it does not compile.
pub fn build_golden(install: Install) -> Result<PathBuf> {
    let compiler = Compiler::find(install)?;
    let mut build = compiler.command("build")?;
    build.args(["--package", "golden", "--lib"]);
    cargo::build(&mut build, "the module of the golden files")?;
    let module = paths::made("golden")?.join("golden.wasm");
    copy(&compiler.target().join(TARGET).join("debug/golden.wasm"), &module)?;
    Ok(module)
}

/// The folder of the page that was built last.
///
/// # Errors
///
/// It cannot be made.
pub fn folder() -> Result<PathBuf> {
    paths::made("page")
}

/// Whether the protocol cores compile for WebAssembly.
///
/// # Errors
///
/// A compiler is missing.
pub fn check_cores(install: Install) -> Result<bool> {
    let mut check = Compiler::find(install)?.command("check")?;
    check.args(CORES.iter().flat_map(|core| ["--package", core]));
    cargo::succeeds(&mut check)
}

/// What compiles for WebAssembly.
enum Compiler {
    /// The pinned one, with rustup's target.
    Pinned,
    /// Debian's, which makes the library, too.
    Debians,
}

impl Compiler {
    fn find(install: Install) -> Result<Self> {
        let library = sysroot()?.join("lib/rustlib").join(TARGET);
        if library.exists() {
            return Ok(Self::Pinned);
        }
        let has_debians = DEBIANS.iter().all(|program| programs::find(program.name).is_some());
        if install == Install::Yes && !has_debians && programs::find("rustup").is_some() {
            eprintln!("xtask: rustup target add {TARGET}");
            let mut rustup = Command::new("rustup");
            let _ =
                programs::output(rustup.current_dir(paths::root()).args(["target", "add", TARGET]));
            if library.exists() {
                return Ok(Self::Pinned);
            }
        }
        programs::need(DEBIANS, install)?;
        Ok(Self::Debians)
    }

    fn target(&self) -> PathBuf {
        match self {
            Self::Pinned => paths::target(),
            Self::Debians => paths::target().join("debian"),
        }
    }

    /// Cargo with this verb, for WebAssembly.
    fn command(&self, verb: &str) -> Result<Command> {
        let mut command = match self {
            Self::Pinned => cargo::command(),
            Self::Debians => {
                let mut command = Command::new("/usr/bin/cargo");
                // Debian's compiler has no linker for this; the pinned one's needs no library of it.
                let linker = sysroot()?.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
                command
                    .current_dir(paths::root())
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                    .env_remove("RUSTUP_TOOLCHAIN");
                command
            }
        };
        command.args([verb, "--quiet", "--target", TARGET, "--target-dir"]).arg(self.target());
        if let Self::Debians = self {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        Ok(command)
    }
}

/// Where the pinned compiler is.
fn sysroot() -> Result<PathBuf> {
    let mut command = Command::new("rustc");
    let text = programs::output(command.current_dir(paths::root()).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(text.trim()))
}

/// The interfaces of the appliance, as the page reads them.
fn compile_schema(to: &Path) -> Result {
    let mut compile = programs::command(&programs::CAPNP)?;
    compile.current_dir(paths::root().join("kernel-app/schema"));
    compile.args(["compile", "-o-", "appliance.capnp"]);
    let output = compile.output().or_say(|| "cannot start capnp".into())?;
    if !output.status.success() {
        fail!("capnp: {}", String::from_utf8_lossy(&output.stderr));
    }
    files::write(to, output.stdout)
}

fn compressed(file: &Path) -> Result<usize> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&files::read(file)?).or_say(|| "cannot compress".into())?;
    Ok(encoder.finish().or_say(|| "cannot compress".into())?.len())
}

fn copy(from: &Path, to: &Path) -> Result {
    files::write(to, files::read(from)?)
}
