//! `cargo xtask bench shared --guests qemu|xen`: the same between two guests of one host, which are the trial appliance: it puts
//! the loads on flows to the other one, on request.

mod qemu;
mod xen;

use super::{Row, measure};
use crate::rpc::value;
use command::{
    failure::{Failure, Result, fail},
    programs::{self, Install},
};
use image_builder::{bundle, image};
use lab::{harness::curl, namespace, process, xen::Dom0};
use std::{
    ffi::OsString,
    net::SocketAddr,
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};

/// The hidden verb by which guests of QEMU are measured in a network namespace of their own.
pub const SHARED_VERB: &str = "bench-shared-worker";
const LIMIT: Duration = Duration::from_secs(3600);
const MEMORY_MIB: u32 = 256;
/// What the loads are put on, at a port of TCP and at a place for shared memory; and where calls of RPC go.
const PORT: u16 = 7900;
const PLACE: &str = "loads";
const RPC_PLACE: &str = "rpc";
/// Guests have more to win: TCP goes by two more drivers, and by what is between them.
const BULK: Row = Row { reach: "at least 5", ..super::BULK };
/// Until a guest answers.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);

/// What the guests are guests of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// QEMU, a process for each.
    Qemu,
    /// One Xen, which runs in QEMU.
    Xen,
}

impl FromStr for Host {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "qemu" => Ok(Self::Qemu),
            "xen" => Ok(Self::Xen),
            other => fail!("`{other}` has no guests that are measured; say qemu or xen"),
        }
    }
}

/// How guests are measured.
pub struct GuestOptions {
    /// What they are guests of.
    pub host: Host,
    /// How often each row is measured; the median counts.
    pub rounds: usize,
    /// What `[shared_memory] ring_bytes` says; the default where it says nothing.
    pub ring_bytes: Option<usize>,
    /// Whether missing programs may be installed.
    pub install: Install,
}

impl Default for GuestOptions {
    fn default() -> Self {
        Self { host: Host::Qemu, rounds: 5, ring_bytes: None, install: Install::Yes }
    }
}

/// Builds, then measures; guests of QEMU in a namespace of their own, where this program is called again with the same words
/// behind [`SHARED_VERB`].
///
/// # Errors
/// Something is missing, does not build, or does not do its work.
pub fn guests(options: &GuestOptions, words: &[OsString]) -> Result<ExitCode> {
    let needs = [&programs::QEMU, &programs::IP, &programs::CURL, &programs::CC];
    programs::need(&[&needs[..], &[&programs::LIBC_HEADERS]].concat(), options.install)?;
    let image = image::build(&image::Options::trial(), options.install)?;
    match options.host {
        Host::Xen => xen::measure(options, &Dom0::get(options.install)?, &image.shipped),
        Host::Qemu => {
            process::build_ctl()?;
            let verb = OsString::from(SHARED_VERB);
            namespace::again([&verb].into_iter().chain(words), LIMIT)
        }
    }
}

/// Measures guests of QEMU; runs in the namespace that [`guests`] made.
///
/// # Errors
/// A guest does not start, or does not do its work.
pub fn guests_worker(options: &GuestOptions) -> Result<ExitCode> {
    qemu::measure(options, &image::Options::trial().image()?.shipped)
}

/// The configuration of the guest that puts loads on the other one, and of the other one; `more` lines are in `[shared_memory]`.
fn configs(options: &GuestOptions, more: &str) -> [String; 2] {
    let rings = options.ring_bytes.map(|bytes| format!("ring_bytes = {bytes}\n"));
    let usual = format!(
        "[http]\naccess_log = false\n[tcp]\nkeep_alive_seconds = 0\n[shared_memory]\n{}{more}",
        rings.unwrap_or_default()
    );
    // In a region of guests all would come to whoever listens at a name.
    let behind = format!("{usual}rpc_path = \"{RPC_PLACE}\"\n[rpc]\nport = {}\n", crate::RPC_PORT);
    [usual, behind]
}

/// The bundles of both.
fn bundles(options: &GuestOptions, more: &str) -> Result<[Vec<u8>; 2]> {
    let [asked, behind] = configs(options, more);
    let bundle = |config: &str| {
        bundle::of(&[(config::CONFIG_FILE, config.as_bytes()), ("site/index.html", crate::PAGE)])
    };
    Ok([bundle(&asked)?, bundle(&behind)?])
}

/// A guest that puts loads on the other one.
struct Asked {
    /// Where it is asked by HTTP.
    address: SocketAddr,
    /// The other one by shared memory and by TCP: where it attends, and where its objects are.
    attends: [String; 2],
    objects: [String; 2],
}

impl Asked {
    /// What it says of a load of so many units by one of the ways.
    fn put(&self, row: &Row, count: &str, way: usize) -> Result<f64> {
        let targets = if row.verb == super::LONE_CALL.verb { &self.objects } else { &self.attends };
        let target = targets[way].replace('/', "%2F");
        let path = format!("/_test/loads/put/{}/{count}/{target}", row.verb);
        let said = curl(&[&format!("http://{}{path}", self.address)])?;
        value(&said, row.name)
    }

    /// Measures each row by both ways in turns, of so many units each.
    fn measure_all(&self, rounds: usize, rows: &[(Row, &str)]) -> Result {
        super::print_head(super::WAYS);
        for (row, count) in rows {
            measure(row, rounds, |way| self.put(row, count, way))?;
        }
        Ok(())
    }
}

/// Has a guest attend, once it answers.
fn attend(address: SocketAddr) -> Result {
    let url = format!("http://{address}/_test/loads/serve/{PORT}/{PLACE}");
    answered(&url, "attending")
}

/// Waits until a guest says that.
fn answered(url: &str, what: &str) -> Result {
    let start = Instant::now();
    loop {
        match curl(&["--max-time", "2", url]) {
            Ok(said) if said.contains(what) => return Ok(()),
            outcome if start.elapsed() > BOOT_LIMIT => {
                let said = outcome.unwrap_or_else(|failure| failure.to_string());
                fail!("{url} gives no `{what}`: {said}")
            }
            _ => std::thread::sleep(PAUSE),
        }
    }
}
