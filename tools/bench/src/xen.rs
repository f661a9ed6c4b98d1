//! `cargo xtask bench xen`: the appliance and Debian's kernel with nginx as PVH guests of one dom0,
//! in one nested run.

use command::{
    failure::{Failure, Result, fail},
    files,
    paths::Scratch,
    programs::{self, Install},
};
use image_builder::{bundle, image};
use lab::{
    peers::linux_guest,
    xen::{Dom0, Domain, Host, Options, put_file},
};
use std::{
    path::Path,
    process::{Command, ExitCode},
    time::Duration,
};

const PAGE: &[u8] = b"hello, world\n";
/// The most that a relay passes on.
const BULK_MIB: usize = 16;
const GUEST_MIB: u32 = 192;
const CONFIG: &str =
    "[http]\naccess_log = false\nbody_bytes_max = 100_000_000\n[tcp]\nkeep_alive_seconds = 0\n";
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
const LOAD_LIMIT: Duration = Duration::from_secs(120);

/// A system's guests: the one that is measured, and one behind it.
struct Pair {
    name: &'static str,
    front: &'static str,
    back: &'static str,
}

const OURS: Pair = Pair { name: "ours", front: "10.0.2.20", back: "10.0.2.22" };
const THEIRS: Pair = Pair { name: "theirs", front: "10.0.2.21", back: "10.0.2.23" };

/// How a row's figures compare when the appliance is as good as it should be.
#[derive(Clone, Copy)]
enum Reach {
    AtLeast(f64),
    AtMost(f64),
    /// For information.
    Any,
}

/// One line of the table: what wrk is told and what of its report counts.
struct Load {
    what: &'static str,
    options: &'static str,
    path: &'static str,
    is_bulk: bool,
    reach: f64,
}

const LOADS: &[Load] = &[
    Load {
        what: "requests/s, 1 connection",
        options: "-c1",
        path: "/",
        is_bulk: false,
        reach: 3.0,
    },
    Load {
        what: "requests/s, 64 connections",
        options: "-c64",
        path: "/",
        is_bulk: false,
        reach: 3.0,
    },
    Load {
        what: "requests/s, new connection each",
        options: "-c8 -H Connection:close",
        path: "/",
        is_bulk: false,
        reach: 3.0,
    },
    BULK,
    // A request carries 1 MiB.
    Load {
        what: "dom0 to guest, MiB/s",
        options: "-c1 -s /tmp/put.lua",
        path: "/_test/sink",
        is_bulk: false,
        reach: 1.0,
    },
];
const BULK: Load =
    Load { what: "guest to dom0, MiB/s", options: "-c1", path: "/big", is_bulk: true, reach: 1.0 };
const PUT: &str = "wrk.method = 'PUT'\nwrk.body = string.rep('x', 1048576)\n";

/// How both are measured.
pub struct XenOptions {
    /// Of each load.
    pub seconds: u64,
    /// How often each row is measured; the median counts.
    pub rounds: usize,
    /// Whether missing programs may be installed.
    pub install: Install,
}

impl Default for XenOptions {
    fn default() -> Self {
        Self { seconds: 5, rounds: 3, install: Install::Yes }
    }
}

/// Measures both as guests of one host.
///
/// # Errors
///
/// Something is missing, or a guest does not start or answer.
pub fn xen(options: &XenOptions) -> Result<ExitCode> {
    programs::need(&[&programs::QEMU, &programs::WRK], options.install)?;
    let host = prepare(options.install)?;
    println!(
        "nested Xen in software emulation, 1 CPU for all, {GUEST_MIB} MiB each; medians, interleaved"
    );
    println!("{:<42} {:>10} {:>12} {:>8}  reach", "", "ours", "Linux+nginx", "ratio");
    starts(&host, options.rounds)?;
    for pair in [OURS, THEIRS] {
        start(&host, &guest(&pair, pair.front, true), pair.front)?;
    }
    for load in LOADS {
        let values = interleaved(options.rounds, |pair| {
            wrk(&host, load, pair.front, load.path, options.seconds)
        })?;
        print(load.what, values, Reach::AtLeast(load.reach));
    }
    guest_to_guest(&host, options)?;
    Ok(ExitCode::SUCCESS)
}

/// A host with both guests' files and wrk in its dom0.
fn prepare(install: Install) -> Result<Host> {
    // For its sink and its proxy: two rows need them.
    let image = image::build(&image::Options::trial(), install)?;
    let peer = linux_guest::make(PAGE, install)?;
    let options = Options { guests_mib: 4 * GUEST_MIB + 64, ..Options::default() };
    let host = Host::start(&Dom0::get(install)?, &options)?;
    let scratch = Scratch::new()?;
    put_file(&host, "image", &image.shipped)?;
    host.put("/guests/page", &bundle_with(&[])?)?;
    host.put("/guests/bundle", &bundle_with(&[("site/big", &vec![0; BULK_MIB << 20])])?)?;
    put_file(&host, "linux", &peer.kernel)?;
    put_file(&host, "initrd", &peer.initrd)?;
    put_wrk(&host, &scratch)?;
    host.put("/tmp/put.lua", PUT.as_bytes())?;
    Ok(host)
}

/// A bundle with the page and more files.
fn bundle_with(more: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let page: [(&str, &[u8]); 2] =
        [(config::CONFIG_FILE, CONFIG.as_bytes()), ("site/index.html", PAGE)];
    bundle::of(&[&page, more].concat())
}

/// wrk and the libraries it needs on this machine.
fn put_wrk(host: &Host, scratch: &Scratch) -> Result {
    let archive = scratch.path("wrk.tar");
    let shell = "wrk=$(command -v wrk); files=$(ldd $wrk | grep -o '/[^ ]*'); \
        tar -chf \"$0\" --transform 's,.*/,,' $wrk $files";
    programs::output(Command::new("sh").args(["-c", shell]).arg(&archive))?;
    put(host, "/tmp/wrk.tar", &archive)?;
    host.must("mkdir -p /wrk; tar -x -C /wrk -f /tmp/wrk.tar; rm /tmp/wrk.tar").map(drop)
}

fn put(host: &Host, path: &str, file: &Path) -> Result {
    let bytes = files::read(file)?;
    host.put(path, &bytes)
}

/// A guest with the page, and the big file if there is to be bulk.
fn guest(pair: &Pair, address: &str, bulk: bool) -> Domain {
    let name = format!("{}-{}", pair.name, address.rsplit('.').next().unwrap_or_default());
    let ours = Domain { memory_mib: GUEST_MIB, ..Domain::appliance(&name, address) };
    if pair.name == OURS.name {
        let ramdisk = if bulk { "bundle" } else { "page" };
        return Domain { ramdisk: Some(ramdisk.into()), ..ours };
    }
    let mut words = format!("console=hvc0 quiet ip={address}/24");
    if bulk {
        words.push_str(&format!(" bulk={BULK_MIB}"));
    }
    Domain { kernel: "linux".into(), ramdisk: Some("initrd".into()), words, ..ours }
}

/// Starts a guest: how long `xl create` took, and until the first answer after it, in ms.
fn start(host: &Host, guest: &Domain, address: &str) -> Result<[f64; 2]> {
    let path = guest.put(host)?;
    let line = format!(
        "now() {{ cut -d' ' -f1 /proc/uptime; }}; a=$(now); xl create -q {path} >/dev/null 2>&1; b=$(now); \
         until wget -q -O /dev/null http://{address}/ 2>/dev/null; do sleep 0.02; done; echo $a $b $(now)"
    );
    let output = host.run_with(&line, &[], ANSWER_LIMIT)?.output;
    let stamps: Vec<f64> =
        output.split_whitespace().filter_map(|stamp| stamp.parse().ok()).collect();
    match stamps[..] {
        [start, created, end] => Ok([(created - start) * 1e3, (end - created) * 1e3]),
        _ => fail!("dom0 gave no times: {output}"),
    }
}

/// From `xl create` to the first answer.
fn starts(host: &Host, rounds: usize) -> Result {
    let mut created = [Vec::new(), Vec::new()];
    let mut answered = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (nth, pair) in [OURS, THEIRS].iter().enumerate() {
            let guest = guest(pair, pair.front, false);
            let [create, answer] = start(host, &guest, pair.front)?;
            host.must(&format!("xl destroy {}; sleep 1", guest.name))?;
            created[nth].push(create);
            answered[nth].push(create + answer);
        }
    }
    let medians = |values: [Vec<f64>; 2]| values.map(|mut values| median(&mut values));
    let (created, answered) = (medians(created), medians(answered));
    print("`xl create` to the first answer, ms", answered, Reach::AtMost(0.1));
    print("  of which xl itself, ms", created, Reach::Any);
    let guests = [answered[0] - created[0], answered[1] - created[1]];
    print("  of which the guest, ms", guests, Reach::AtMost(0.1));
    Ok(())
}

/// A guest as a gateway: it fetches from another guest what dom0 asks it for.
fn guest_to_guest(host: &Host, options: &XenOptions) -> Result {
    for pair in [OURS, THEIRS] {
        start(host, &guest(&pair, pair.back, true), pair.back)?;
    }
    let bulk = Load { what: "guest to guest, MiB/s", ..BULK };
    let small = Load { what: "guest to guest, requests/s", options: "-c16", ..LOADS[0] };
    for load in [bulk, small] {
        let values = interleaved(options.rounds, |pair| {
            let path = format!("/_test/relay/{}:80{}", pair.back, load.path);
            wrk(host, &load, pair.front, &path, options.seconds)
        })?;
        print(load.what, values, Reach::AtLeast(1.0));
    }
    Ok(())
}

fn interleaved(rounds: usize, mut measure: impl FnMut(&Pair) -> Result<f64>) -> Result<[f64; 2]> {
    let mut values = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (values, pair) in values.iter_mut().zip([OURS, THEIRS]) {
            values.push(measure(&pair)?);
        }
    }
    Ok(values.map(|mut values| median(&mut values)))
}

fn wrk(host: &Host, load: &Load, address: &str, path: &str, seconds: u64) -> Result<f64> {
    let line = format!(
        "/wrk/ld-linux-x86-64.so.2 --library-path /wrk /wrk/wrk -t1 {} -d{seconds}s --timeout 30s http://{address}:80{path}",
        load.options
    );
    let report = host.run_with(&line, &[], LOAD_LIMIT)?.output;
    let field = if load.is_bulk { "Transfer/sec:" } else { "Requests/sec:" };
    let value = report.lines().find_map(|row| row.trim().strip_prefix(field));
    let value = value.and_then(|text| number(text.trim()));
    if report.contains("Non-2xx") {
        fail!("{path} of {address} was answered with errors:\n{report}");
    }
    value.ok_or_else(|| Failure::new(format!("wrk in dom0 gave no `{field}`:\n{report}")))
}

/// A number of wrk's, in requests or MiB.
fn number(text: &str) -> Option<f64> {
    let units = [("GB", 1024.0), ("MB", 1.0), ("KB", 1.0 / 1024.0), ("B", 1.0 / 1_048_576.0)];
    for (unit, factor) in units {
        if let Some(digits) = text.strip_suffix(unit) {
            return digits.parse::<f64>().ok().map(|value| value * factor);
        }
    }
    text.parse().ok()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(what: &str, [ours, theirs]: [f64; 2], reach: Reach) {
    let ratio = ours / theirs;
    let (holds, words) = match reach {
        Reach::AtLeast(least) => (ratio >= least, format!("at least {least}")),
        Reach::AtMost(most) => (ratio <= most, format!("at most {most}")),
        Reach::Any => (true, String::new()),
    };
    let verdict = if holds { "" } else { "  NOT REACHED" };
    println!("{what:<42} {ours:>10.1} {theirs:>12.1} {ratio:>8.2}  {words}{verdict}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_s_numbers_have_units() {
        assert_eq!(number("123.5"), Some(123.5));
        assert_eq!(number("2.00GB"), Some(2048.0));
        assert_eq!(number("512.00KB"), Some(0.5));
        assert_eq!(number("x"), None);
    }
}
