//! `cargo xtask bench`: the appliance and Debian's kernel with nginx, side by side, under the same flags, in one run.
#![forbid(unsafe_code)]

mod contestant;
mod counter;
mod load;
mod native;
mod rows;
mod rpc;
mod services;
mod xen;

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    paths,
    programs::{self, Install},
};
use config::cpio::Writer;
use contestant::Contestant;
use counter::Plugin;
use image_builder::image;
use lab::{harness::noise, link, namespace, peers::linux_guest, qemu::Machine};
pub use load::{HOLD_VERB, hold_main};
pub use native::{NATIVE_VERB, native_main};
use rows::{Field, Line, Reach, Row};
use std::{
    net::Ipv4Addr,
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Duration,
};

/// The hidden verb by which the measurements run in a network namespace of their own.
pub const WORKER_VERB: &str = "bench-worker";
/// All rows take about a quarter of this.
const LIMIT: Duration = Duration::from_secs(2 * 3600);
const PAGE: &[u8] = b"hello, world\n";
const BULK_BYTES: usize = 64 << 20;
const CONFIG: &str = "\
[http]
access_log = false
idle_timeout_seconds = 3600
[tcp]
connections_max = 60_000
listen_backlog = 4_096
keep_alive_seconds = 0
";

struct Options {
    machine: Machine,
    ours_only: bool,
    seconds: u64,
    rounds: usize,
    rows: Vec<String>,
    install: Install,
}

impl Options {
    fn parse(mut arguments: lexopt::Parser) -> Result<Self> {
        use lexopt::prelude::*;
        let mut options = Self {
            machine: Machine::Q35,
            ours_only: false,
            seconds: 5,
            rounds: 3,
            rows: Vec::new(),
            install: Install::Yes,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("machine") => options.machine = arguments.value()?.string()?.parse()?,
                Long("ours-only") => options.ours_only = true,
                Long("seconds") => options.seconds = arguments.value()?.parse()?,
                Long("rounds") => options.rounds = arguments.value()?.parse()?,
                Long("no-install") => options.install = Install::OnlyTell,
                Value(row) => options.rows.push(row.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        if options.machine == Machine::Microvm && !options.ours_only {
            fail!(
                "Debian's kernel does not start on microvm: add --ours-only, or leave out --machine"
            );
        }
        Ok(options)
    }

    fn rows(&self) -> Result<Vec<&'static Row>> {
        if self.rows.is_empty() {
            return Ok(rows::ROWS.iter().collect());
        }
        self.rows.iter().map(|name| rows::named(name)).collect()
    }
}

/// Builds and downloads, then measures in a namespace.
pub fn main(arguments: lexopt::Parser) -> Result<ExitCode> {
    let words: Vec<_> = std::env::args_os().skip(2).collect();
    if words.first().is_some_and(|word| word == "xen") {
        return xen::main(lexopt::Parser::from_args(words.into_iter().skip(1)));
    }
    if words.first().is_some_and(|word| word == "native") {
        return native::main(&words[1..]);
    }
    match words.first().and_then(|word| word.to_str()) {
        Some("rpc") => return rpc::rpc(&words[1..]),
        Some("pipe") => return services::pipe(&words[1..]),
        _ => {}
    }
    let options = Options::parse(arguments)?;
    options.rows()?;
    programs::need(
        &[&programs::QEMU, &programs::IP, &programs::WRK, &programs::CC, &programs::LIBC_HEADERS],
        options.install,
    )?;
    // The row of sizes is about both; the other rows take the second.
    image::build(&image::Options::http_only(), options.install)?;
    image::build(&image::Options::default(), options.install)?;
    if !options.ours_only {
        linux_guest::make(PAGE, options.install)?;
    }
    let own = std::env::current_exe().or_say(|| "cannot find xtask itself".into())?;
    let mut command = namespace::command();
    command.arg(own).arg(WORKER_VERB).args(words);
    let mut child = Child::start(&command, |command| {
        command.stdin(Stdio::null());
    })?;
    match child.wait(LIMIT) {
        Some(status) if status.success() => Ok(ExitCode::SUCCESS),
        Some(_) => Ok(ExitCode::FAILURE),
        None => fail!("the measurements did not end within {LIMIT:?}"),
    }
}

/// Measures the rows; runs in the namespace that [`main`] made.
///
/// # Errors
///
/// A contestant does not start.
pub fn worker_main(arguments: lexopt::Parser) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    prepare_namespace()?;
    let field = Field {
        ours: ours(&options)?,
        peer: if options.ours_only { None } else { Some(theirs(&options)?) },
        plugin: Plugin::build()?,
        seconds: options.seconds,
        rounds: options.rounds,
    };
    println!(
        "{}, software emulation, 1 virtual CPU, {} MiB; medians, interleaved",
        options.machine.name(),
        rows::MEMORY_MIB
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

fn ours(options: &Options) -> Result<Contestant> {
    let address = Ipv4Addr::new(10, 9, 0, 2);
    let big = noise(BULK_BYTES);
    Ok(Contestant {
        name: "ours",
        machine: options.machine,
        kernel: image::Options::default().image()?.shipped,
        small: bundle("small", &[])?,
        bulk: bundle("bulk", &[("site/big", &big)])?,
        words: "log=warn",
        bulk_words: "",
        address,
        tap: Contestant::wire("tap0", Ipv4Addr::new(10, 9, 0, 1), address)?,
    })
}

fn bundle(name: &str, more: &[(&str, &[u8])]) -> Result<PathBuf> {
    let mut writer = Writer::new();
    for (path, bytes) in
        [(config::CONFIG_FILE, CONFIG.as_bytes()), ("site/index.html", PAGE)].iter().chain(more)
    {
        writer.file(path, bytes, 1_700_000_000).or_say(|| (*path).to_owned())?;
    }
    let file = paths::made("bench")?.join(format!("{name}.cpio"));
    std::fs::write(&file, writer.finish()).or_say(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn theirs(options: &Options) -> Result<Contestant> {
    let peer = linux_guest::make(PAGE, Install::OnlyTell)?;
    let address = Ipv4Addr::new(10, 9, 1, 2);
    Ok(Contestant {
        name: "Linux+nginx",
        machine: options.machine,
        kernel: peer.kernel,
        small: peer.initrd.clone(),
        bulk: peer.initrd,
        words: "console=ttyS0 quiet panic=-1",
        bulk_words: "bulk=64",
        address,
        tap: Contestant::wire("tap1", Ipv4Addr::new(10, 9, 1, 1), address)?,
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
