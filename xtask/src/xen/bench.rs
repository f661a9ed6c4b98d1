//! `cargo xtask bench xen`: the appliance and Debian's kernel with nginx as PVH guests of one dom0,
//! in one nested run.

use super::{Dom0, Domain, Host, Options, put_file};
use crate::{
    failure::{Failure, OrSay, Result, fail},
    guest::Echo,
    image, peer,
    places::Scratch,
    tools::{self, Install},
};
use config::cpio::Writer;
use std::{
    fmt::Write as _,
    path::Path,
    process::{Command, ExitCode},
    time::Duration,
};

const PAGE: &[u8] = b"hello, world\n";
const BULK_MIB: usize = 32;
const GUEST_MIB: u32 = 192;
const OURS: &str = "10.0.2.20";
const THEIRS: &str = "10.0.2.21";
const BULK: &str = "/big";
const CONFIG: &str = "[http]\naccess_log = false\n[tcp]\nkeep_alive_seconds = 0\n";
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
const LOAD_LIMIT: Duration = Duration::from_secs(120);

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
    Load { what: "bulk to dom0, MiB/s", options: "-c1", path: BULK, is_bulk: true, reach: 1.0 },
];

struct Words {
    seconds: u64,
    rounds: usize,
    install: Install,
}

pub(crate) fn main(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    use lexopt::prelude::*;
    let mut words = Words { seconds: 5, rounds: 3, install: Install::Yes };
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("seconds") => words.seconds = arguments.value()?.parse()?,
            Long("rounds") => words.rounds = arguments.value()?.parse()?,
            Long("no-install") => words.install = Install::OnlyTell,
            other => return Err(other.unexpected().into()),
        }
    }
    tools::need(&[&tools::QEMU, &tools::WRK], words.install)?;
    let host = prepare(words.install)?;
    let (ours, theirs) = guests();
    println!(
        "nested Xen in software emulation, 1 CPU for all, {GUEST_MIB} MiB each; medians, interleaved"
    );
    println!("{:<42} {:>10} {:>12} {:>8}  reach", "", "ours", "Linux+nginx", "ratio");
    starts(&host, &ours, &theirs, words.rounds)?;
    for load in LOADS {
        let values = interleaved(words.rounds, |address| wrk(&host, load, address, words.seconds))?;
        print(load.what, values, load.reach);
    }
    Ok(ExitCode::SUCCESS)
}

/// A host with both guests' files and wrk in its dom0.
fn prepare(install: Install) -> Result<Host> {
    let image = image::build(install)?;
    let peer = peer::make(PAGE, install)?;
    let options = Options { guests_mib: 2 * GUEST_MIB + 64, forwards: Vec::new(), echo: Echo::No };
    let host = Host::start(&Dom0::get(install)?, &options)?;
    let scratch = Scratch::new()?;
    let bundle = scratch.path("bundle");
    let mut writer = Writer::new();
    let big = vec![0; BULK_MIB << 20];
    for (path, bytes) in
        [("appliance.toml", CONFIG.as_bytes()), ("site/index.html", PAGE), ("site/big", &big)]
    {
        writer.file(path, bytes, 0).or_say(|| path.to_owned())?;
    }
    std::fs::write(&bundle, writer.finish()).or_say(|| "cannot write a bundle".into())?;
    put_file(&host, "image", &image.stripped)?;
    put_file(&host, "bundle", &bundle)?;
    put_file(&host, "linux", &peer.kernel)?;
    put_file(&host, "initrd", &peer.initrd)?;
    put_wrk(&host, &scratch)?;
    Ok(host)
}

/// wrk and the libraries it needs on this machine.
fn put_wrk(host: &Host, scratch: &Scratch) -> Result {
    let archive = scratch.path("wrk.tar");
    let shell = "wrk=$(command -v wrk); files=$(ldd $wrk | grep -o '/[^ ]*'); \
        tar -chf \"$0\" --transform 's,.*/,,' $wrk $files";
    tools::output(Command::new("sh").args(["-c", shell]).arg(&archive))?;
    put(host, "/tmp/wrk.tar", &archive)?;
    host.must("mkdir -p /wrk; tar -x -C /wrk -f /tmp/wrk.tar; rm /tmp/wrk.tar").map(drop)
}

fn put(host: &Host, path: &str, file: &Path) -> Result {
    let bytes = std::fs::read(file).or_say(|| format!("cannot read {}", file.display()))?;
    host.put(path, &bytes)
}

fn guests() -> (Domain, Domain) {
    let ours = Domain { memory_mib: GUEST_MIB, ..Domain::appliance("ours", OURS) };
    let theirs = Domain {
        name: "theirs".into(),
        kernel: "linux".into(),
        ramdisk: Some("initrd".into()),
        words: format!("console=hvc0 quiet ip={THEIRS}/24 bulk={BULK_MIB}"),
        ..ours.clone()
    };
    (ours, theirs)
}

/// From `xl create` to the first answer; both guests run afterwards.
fn starts(host: &Host, ours: &Domain, theirs: &Domain, rounds: usize) -> Result {
    let mut values = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for (values, (guest, address)) in values.iter_mut().zip([(ours, OURS), (theirs, THEIRS)]) {
            if round > 0 {
                host.must(&format!("xl destroy {}; sleep 1", guest.name))?;
            }
            let path = guest.put(host)?;
            let line = format!(
                "a=$(cut -d' ' -f1 /proc/uptime); xl create -q {path} >/dev/null 2>&1; \
                 until wget -q -O /dev/null http://{address}/ 2>/dev/null; do sleep 0.02; done; \
                 b=$(cut -d' ' -f1 /proc/uptime); echo $a $b"
            );
            let output = host.run_with(&line, &[], ANSWER_LIMIT)?.output;
            let stamps: Vec<f64> =
                output.split_whitespace().filter_map(|stamp| stamp.parse().ok()).collect();
            match stamps[..] {
                [start, end] => values.push((end - start) * 1e3),
                _ => fail!("dom0 gave no times: {output}"),
            }
        }
    }
    let [mut ours, mut theirs] = values;
    print("`xl create` to the first answer, ms", [median(&mut ours), median(&mut theirs)], 0.1);
    Ok(())
}

fn interleaved(rounds: usize, mut measure: impl FnMut(&str) -> Result<f64>) -> Result<[f64; 2]> {
    let mut values = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (values, address) in values.iter_mut().zip([OURS, THEIRS]) {
            values.push(measure(address)?);
        }
    }
    Ok(values.map(|mut values| median(&mut values)))
}

fn wrk(host: &Host, load: &Load, address: &str, seconds: u64) -> Result<f64> {
    let mut line = String::new();
    let _ = write!(
        line,
        "/wrk/ld-linux-x86-64.so.2 --library-path /wrk /wrk/wrk -t1 {} -d{seconds}s http://{address}:80{}",
        load.options, load.path
    );
    let report = host.run_with(&line, &[], LOAD_LIMIT)?.output;
    let field = if load.is_bulk { "Transfer/sec:" } else { "Requests/sec:" };
    let value = report.lines().find_map(|row| row.trim().strip_prefix(field));
    let value = value.and_then(|text| number(text.trim()));
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

fn print(what: &str, [ours, theirs]: [f64; 2], reach: f64) {
    let ratio = ours / theirs;
    let holds = if reach < 1.0 { ratio <= reach } else { ratio >= reach };
    let word = if reach < 1.0 { "at most" } else { "at least" };
    let verdict = if holds { "" } else { "  NOT REACHED" };
    println!("{what:<42} {ours:>10.1} {theirs:>12.1} {ratio:>8.2}  {word} {reach}{verdict}");
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
