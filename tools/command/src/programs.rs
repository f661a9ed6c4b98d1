//! The programs of others that a verb needs, and how they get onto the machine.

use crate::failure::{OrSay, Result, fail};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A program and the Debian package that has it.
pub struct Program {
    /// Its name, or the absolute path of a file that shows whether the package is there.
    pub name: &'static str,
    /// The Debian package.
    pub package: &'static str,
}

/// The emulator of machines.
pub const QEMU: Program = Program { name: "qemu-system-x86_64", package: "qemu-system-x86" };
/// Removes symbols.
pub const STRIP: Program = Program { name: "strip", package: "binutils" };
/// The C compiler, and the linker.
pub const CC: Program = Program { name: "gcc", package: "gcc" };
/// What a C compiler needs besides itself.
pub const LIBC_HEADERS: Program = Program { name: "/usr/include/stdio.h", package: "libc6-dev" };
/// Sets up interfaces.
pub const IP: Program = Program { name: "ip", package: "iproute2" };
/// Cap'n Proto's compiler.
pub const CAPNP: Program = Program { name: "capnp", package: "capnproto" };
/// A proxy that speaks TLS for programs that do not.
pub const STUNNEL: Program = Program { name: "stunnel", package: "stunnel4" };
/// Asks for an echo.
pub const PING: Program = Program { name: "ping", package: "iputils-ping" };
/// The HTTP client that is our reference.
pub const CURL: Program = Program { name: "curl", package: "curl" };
/// Keys, certificates, and TLS' reference on both sides.
pub const OPENSSL: Program = Program { name: "openssl", package: "openssl" };
/// Another client of TLS.
pub const GNUTLS: Program = Program { name: "gnutls-cli", package: "gnutls-bin" };
/// Load by HTTP.
pub const WRK: Program = Program { name: "wrk", package: "wrk" };
/// DHCP, router advertisements, DNS.
pub const DNSMASQ: Program = Program { name: "dnsmasq", package: "dnsmasq-base" };
/// A web server in front that speaks FastCGI.
pub const HAPROXY: Program = Program { name: "haproxy", package: "haproxy" };
/// FastCGI's client on the command line.
pub const CGI_FCGI: Program = Program { name: "cgi-fcgi", package: "libfcgi-bin" };
/// A client of Gopher.
pub const LYNX: Program = Program { name: "lynx", package: "lynx" };
/// A browser.
pub const CHROMIUM: Program = Program { name: "chromium", package: "chromium" };
/// JavaScript without a browser.
pub const NODE: Program = Program { name: "node", package: "nodejs" };
/// Draws the graphs of captures.
pub const TCPTRACE: Program = Program { name: "tcptrace", package: "tcptrace" };
/// Runs a program as another user.
pub const SETPRIV: Program = Program { name: "setpriv", package: "util-linux" };
/// Captures, and takes captures apart.
pub const TSHARK: Program = Program { name: "tshark", package: "tshark" };
/// Says whose authorities Chromium trusts.
pub const CERTUTIL: Program = Program { name: "certutil", package: "libnss3-tools" };
/// Unpacks Debian's packages.
pub const DPKG: Program = Program { name: "dpkg-deb", package: "dpkg" };
/// Decompresses.
pub const XZ: Program = Program { name: "xz", package: "xz-utils" };
/// A debugger.
pub const GDB: Program = Program { name: "gdb", package: "gdb" };
/// Makes read-only file systems.
pub const MKFS_EROFS: Program = Program { name: "mkfs.erofs", package: "erofs-utils" };
/// Makes initial file systems.
pub const CPIO: Program = Program { name: "cpio", package: "cpio" };

/// Whether missing programs may be installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Install {
    /// They may, and it is said before.
    Yes,
    /// No: what is missing is a failure.
    OnlyTell,
}

/// Makes sure that the programs are there: installs their packages when this is Debian and we are root or may use
/// sudo, and says so first.
pub fn need(programs: &[&Program], install: Install) -> Result {
    let mut packages: Vec<&str> = programs
        .iter()
        .filter(|program| find(program.name).is_none())
        .map(|program| program.package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let command = format!("apt-get install -y --no-install-recommends {list}");
    if install == Install::OnlyTell {
        fail!("missing: {list}; install with `{command}`, or leave out --no-install");
    }
    if find("apt-get").is_none() {
        fail!(
            "missing: {list} (names of Debian packages); install them with this system's package manager"
        );
    }
    let Some(prefix) = root_prefix() else {
        fail!("missing: {list}; run as root: {command}");
    };
    eprintln!("xtask: installing {list} ({command})");
    if apt(prefix, &["install", "-y", "--no-install-recommends"], &packages).is_err() {
        apt(prefix, &["update"], &[])?;
        apt(prefix, &["install", "-y", "--no-install-recommends"], &packages)?;
    }
    match programs.iter().find(|program| find(program.name).is_none()) {
        Some(program) => {
            fail!("{} was installed but {} is still not there", program.package, program.name)
        }
        None => Ok(()),
    }
}

/// The path of a program: in PATH, or where Debian puts what root runs.
pub fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A command for a program that may live outside of PATH.
pub fn command(program: &Program) -> Result<Command> {
    match find(program.name) {
        Some(path) => Ok(Command::new(path)),
        None => {
            fail!("{} is missing; it is in the Debian package {}", program.name, program.package)
        }
    }
}

/// Runs a command to its end; its output is part of the failure.
pub fn output(command: &mut Command) -> Result<String> {
    output_for(command, Stdio::null())
}

/// The same, of a program that reads this.
pub fn output_for(command: &mut Command, input: impl Into<Stdio>) -> Result<String> {
    let name = Path::new(command.get_program()).display().to_string();
    let output = command.stdin(input).output().or_say(|| format!("cannot start {name}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let arguments: Vec<_> =
            command.get_args().map(|argument| argument.to_string_lossy()).collect();
        let errors = String::from_utf8_lossy(&output.stderr);
        fail!(
            "`{name} {}` failed ({}): {}{}",
            arguments.join(" "),
            output.status,
            text.trim(),
            errors.trim()
        );
    }
    Ok(text)
}

/// Fetches the lists of Debian's packages.
pub fn update_lists() -> Result {
    let Some(prefix) = root_prefix() else {
        fail!("Debian's package lists are missing; run as root: apt-get update");
    };
    eprintln!("xtask: fetching Debian's package lists (apt-get update)");
    apt(prefix, &["update"], &[])
}

/// Whether we are root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn apt(prefix: &[&str], verb: &[&str], packages: &[&str]) -> Result {
    let words: Vec<&str> =
        prefix.iter().chain(&["apt-get", "-q"]).chain(verb).chain(packages).copied().collect();
    let (program, arguments) = words.split_first().expect("apt-get is in it");
    let status = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .or_say(|| format!("cannot start {program}"))?;
    if status.success() {
        Ok(())
    } else {
        fail!("`{}` failed; its messages are above", words.join(" "))
    }
}

/// What to put before a command that needs root; `None` where there is no way.
fn root_prefix() -> Option<&'static [&'static str]> {
    if is_root() {
        return Some(&[]);
    }
    let sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    sudo.is_ok_and(|status| status.success()).then_some(&["sudo", "-n"])
}
