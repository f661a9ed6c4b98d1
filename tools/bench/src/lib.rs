//! Measurements: the appliance and Debian's kernel with nginx, side by side, under the same flags, in one run; and the
//! same for bulk TCP without a VM, for TCP on bad paths, for RPC, for ZeroMQ and under Xen.
#![forbid(unsafe_code)]

mod cost;
pub mod counter;
mod database;
mod disk;
mod generators;
mod hermit;
mod load;
mod loss;
mod measurements;
mod native;
mod rpc;
mod services;
mod sessions;
mod shared;
mod system_under_test;
mod tls;
mod xen;

pub use database::database;
pub use generators::load;
pub use hermit::hermit;
pub use load::{HOLD_VERB, hold};
pub use loss::{Control, LOSS_VERB, LossOptions, Subject, loss, loss_ratios, loss_worker};
pub use native::{NATIVE_VERB, native, native_worker};
pub use rpc::rpc;
pub use services::pipe;
pub use sessions::sessions;
pub use shared::{GuestOptions, Host, SHARED_VERB, guests, guests_worker, shared};
pub use tls::tls;
pub use xen::{XenOptions, xen};

use command::{
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Install},
};
use counter::Plugin;
use image_builder::{bundle, image};
use lab::{
    harness::noise,
    link, namespace,
    peers::{self, linux_guest},
    qemu::Machine,
};
use measurements::{Field, Line, Reach, Row};
use std::{ffi::OsString, net::Ipv4Addr, path::PathBuf, process::ExitCode, time::Duration};
use system_under_test::SystemUnderTest;

/// The hidden verb by which the measurements run in a network namespace of their own.
pub const WORKER_VERB: &str = "bench-worker";
/// All rows take about a quarter of this.
const LIMIT: Duration = Duration::from_secs(2 * 3600);
const PAGE: &[u8] = b"hello, world\n";
const BULK_BYTES: usize = 64 << 20;
/// Where a guest is called, by everybody.
pub(crate) const RPC_PORT: u16 = 7000;
const CONFIG: &str = "\
[http]
access_log = false
idle_timeout_seconds = 3600
[tcp]
connections_max = 60_000
listen_backlog = 4_096
keep_alive_seconds = 0
[rpc]
port = 7_000
strangers = [\"calculator\"]
";

/// Which rows are measured, and how.
pub struct Options {
    /// Of both systems.
    pub machine: Machine,
    /// The services of our image, as `http,rpc`; all where it says nothing.
    pub services: Option<String>,
    /// Without the peer.
    pub ours_only: bool,
    /// Of each load.
    pub seconds: u64,
    /// How often each row is measured; the median counts.
    pub rounds: usize,
    /// Their names; none for all.
    pub rows: Vec<String>,
    /// Whether missing programs may be installed.
    pub install: Install,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            machine: Machine::Q35,
            services: None,
            ours_only: false,
            seconds: 5,
            rounds: 3,
            rows: Vec::new(),
            install: Install::Yes,
        }
    }
}

impl Options {
    fn check(&self) -> Result {
        if self.machine == Machine::Microvm && !self.ours_only {
            fail!(
                "Debian's kernel does not start on microvm: add --ours-only, or leave out --machine"
            );
        }
        self.rows().map(drop)
    }

    fn image(&self) -> Result<image::Options> {
        let all = image::Options::default();
        self.services.as_ref().map_or(Ok(all.clone()), |list| all.with_services(list))
    }

    fn has_fastcgi(&self) -> bool {
        let is_named = |list: &String| list.split(',').any(|name| name == "fastcgi");
        self.services.as_ref().is_none_or(is_named)
    }

    fn rows(&self) -> Result<Vec<&'static Row>> {
        if self.rows.is_empty() {
            return Ok(measurements::ROWS.iter().collect());
        }
        self.rows.iter().map(|name| measurements::named(name)).collect()
    }
}

/// Builds and downloads, then measures in a namespace of its own: there this program is called again with the same words
/// behind [`WORKER_VERB`].
///
/// # Errors
///
/// Options do not go together, something is missing, does not build or does not end.
pub fn side_by_side(options: &Options, words: &[OsString]) -> Result<ExitCode> {
    options.check()?;
    programs::need(
        &[&programs::QEMU, &programs::IP, &programs::WRK, &programs::CC, &programs::LIBC_HEADERS],
        options.install,
    )?;
    if options.rows()?.iter().any(|row| row.name == measurements::SIZE) {
        image::build(&image::Options::http_only(), options.install)?;
        image::build(&image::Options::default(), options.install)?;
    }
    image::build(&options.image()?, options.install)?;
    if !options.ours_only {
        linux_guest::make(PAGE, options.install)?;
    }
    if options.rows()?.iter().any(|row| row.name == measurements::DISK) {
        programs::need(&[&programs::MKFS_EROFS], options.install)?;
    }
    if options.rows()?.iter().any(|row| row.name == measurements::RPC_GUEST) {
        peers::build_rpc()?;
    }
    let verb = OsString::from(WORKER_VERB);
    namespace::again([&verb].into_iter().chain(words), LIMIT)
}

/// Measures the rows; runs in the namespace that [`side_by_side`] made.
///
/// # Errors
///
/// A system does not start.
pub fn side_by_side_worker(options: &Options) -> Result<ExitCode> {
    options.check()?;
    prepare_namespace()?;
    let field = Field {
        ours: ours(options)?,
        has_fastcgi: options.has_fastcgi(),
        peer: if options.ours_only { None } else { Some(theirs(options)?) },
        plugin: Plugin::build()?,
        seconds: options.seconds,
        rounds: options.rounds,
    };
    println!(
        "{}, software emulation, 1 virtual CPU, {} MiB; medians, interleaved",
        options.machine.name(),
        measurements::MEMORY_MIB
    );
    println!("{:<50} {:>12} {:>12} {:>8}  reach", "", "ours", "Linux+nginx", "ratio");
    let mut failed = false;
    for row in options.rows()? {
        match (row.measure)(&field) {
            Ok(lines) => lines.iter().for_each(print),
            Err(failure) => {
                failed = true;
                println!("{:<50} {failure}", row.name);
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Many ports for one client, and none of them kept back for long.
fn prepare_namespace() -> Result {
    link::ip(&["link", "set", "lo", "up"])?;
    for (file, text) in [("ip_local_port_range", "1024 65000"), ("tcp_tw_reuse", "1")] {
        let file = format!("/proc/sys/net/ipv4/{file}");
        std::fs::write(&file, text).or_say(|| format!("cannot write {file}"))?;
    }
    Ok(())
}

fn ours(options: &Options) -> Result<SystemUnderTest> {
    let address = Ipv4Addr::new(10, 9, 0, 2);
    let big = noise(BULK_BYTES);
    Ok(SystemUnderTest {
        name: "ours",
        machine: options.machine,
        kernel: options.image()?.image()?.shipped,
        small: bundle_file("small", &[])?,
        bulk: bundle_file("bulk", &[("site/big", &big)])?,
        disk: disk::bundle()?,
        words: "log=warn",
        bulk_words: if options.has_fastcgi() { "fastcgi_port=9000" } else { "" },
        disk_words: "",
        address,
        tap: SystemUnderTest::wire("tap0", Ipv4Addr::new(10, 9, 0, 1), address)?,
    })
}

fn bundle_file(name: &str, more: &[(&str, &[u8])]) -> Result<PathBuf> {
    let page: [(&str, &[u8]); 2] =
        [(config::CONFIG_FILE, CONFIG.as_bytes()), ("site/index.html", PAGE)];
    let file = paths::made("bench")?.join(format!("{name}.cpio"));
    files::write(&file, bundle::of(&[&page, more].concat())?)?;
    Ok(file)
}

fn theirs(options: &Options) -> Result<SystemUnderTest> {
    let peer = linux_guest::make(PAGE, Install::OnlyTell)?;
    let address = Ipv4Addr::new(10, 9, 1, 2);
    Ok(SystemUnderTest {
        name: "Linux+nginx",
        machine: options.machine,
        kernel: peer.kernel,
        small: peer.initrd.clone(),
        bulk: peer.initrd.clone(),
        disk: peer.initrd,
        words: "console=ttyS0 quiet panic=-1",
        bulk_words: "bulk=64",
        disk_words: "disk=erofs",
        address,
        tap: SystemUnderTest::wire("tap1", Ipv4Addr::new(10, 9, 1, 1), address)?,
    })
}

fn print(line: &Line) {
    let peer = line.peer.map_or_else(String::new, figure);
    let ratio = line.peer.map_or_else(String::new, |peer| format!("{:.3}", line.ours / peer));
    let reach = match line.reach {
        Reach::AtMost(limit) => format!("at most {}", figure(limit)),
        Reach::AtLeast(limit) => format!("at least {}", figure(limit)),
        Reach::TimesPeer(times) => format!("{times} times"),
        Reach::Any => String::new(),
    };
    let verdict = match line.reach.is_met(line) {
        Some(true) => "",
        Some(false) => "  (missed)",
        None => "  (no peer)",
    };
    println!("{:<50} {:>12} {peer:>12} {ratio:>8}  {reach}{verdict}", line.what, figure(line.ours));
}

/// Three significant digits, thousands apart.
fn figure(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.3}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_easy_to_read() {
        assert_eq!(figure(0.05), "0.050");
        assert_eq!(figure(700_000.0), "700,000");
        assert_eq!(figure(12_345_678.9), "12,345,679");
        assert_eq!(figure(999.0), "999");
    }
}
