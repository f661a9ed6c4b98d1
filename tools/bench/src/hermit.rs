//! `cargo xtask bench hermit`: the same application on the bare machine and on the Hermit kernel, in turns: under the same
//! flags, with user networking, which slows both.

use super::measurements::median;
use command::{
    failure::{Failure, Result, fail},
    files, paths,
    programs::{self, Install},
};
use image_builder::{bundle, hermit, image};
use lab::{
    guest::{Echo, Guest},
    http_client, link,
};
use std::{net::SocketAddr, path::Path, process::ExitCode, time::Duration};

/// What there is on both.
const SERVICES: &str = "http,fastcgi,gopher,rpc,zmq,http-client";
const ROUNDS: usize = 3;
const MEMORY_MIB: u32 = 256;
const CONNECTIONS: &str = "-c8";
const SECONDS: &str = "-d4s";
const START_LIMIT: Duration = Duration::from_secs(30);
/// A question from before the guest was up is answered late or never: how exact the time to the first page is.
const ASK_LIMIT: Duration = Duration::from_millis(100);

/// What one start shows.
struct Sample {
    /// From the start of QEMU to the first page.
    start_seconds: f64,
    requests_per_second: f64,
}

/// Measures both.
///
/// # Errors
///
/// Something is missing, does not build or does not serve.
pub fn hermit(install: Install) -> Result<ExitCode> {
    programs::need(&[&programs::QEMU, &programs::WRK], install)?;
    let bare = image::build(&image::Options::default().with_services(SERVICES)?, install)?.shipped;
    let on_hermit = hermit::build(&hermit::Options::default(), install)?.shipped;
    let site = paths::made("bench")?.join("hermit.cpio");
    let config = "[http]\naccess_log = false\n";
    files::write(
        &site,
        bundle::of(&[
            (config::CONFIG_FILE, config.as_bytes()),
            ("site/index.html", b"hello, world\n"),
        ])?,
    )?;
    let mut starts = [const { Vec::new() }; 2];
    let mut rates = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        for (index, kernel) in [&bare, &on_hermit].into_iter().enumerate() {
            let sample = measure(kernel, &site)?;
            starts[index].push(sample.start_seconds);
            rates[index].push(sample.requests_per_second);
        }
    }
    println!("bare and on Hermit; medians of {ROUNDS} rounds, in turns; q35, {MEMORY_MIB} MiB");
    print("image, KiB", [&bare, &on_hermit].map(|file| kibibytes(file)));
    print("first page, ms", starts.each_mut().map(|samples| 1000.0 * median(samples)));
    let what = format!("requests/s, {CONNECTIONS}");
    print(&what, rates.each_mut().map(|samples| median(samples)));
    Ok(ExitCode::SUCCESS)
}

fn print(what: &str, [bare, on_hermit]: [f64; 2]) {
    println!("{what:<20} {bare:>10.0} {on_hermit:>10.0}  {:.2}x", on_hermit / bare);
}

fn kibibytes(file: &Path) -> f64 {
    std::fs::metadata(file).map_or(f64::NAN, |file| file.len() as f64 / 1024.0)
}

/// One start, and a load after it.
fn measure(kernel: &Path, site: &Path) -> Result<Sample> {
    let address = link::free_address()?;
    let forwards = [(address.port(), 80)];
    let spec = lab::hermit::guest(kernel.to_owned(), site.to_owned(), MEMORY_MIB, &forwards);
    let mut guest = Guest::start(&spec, &Echo::No)?;
    guest.wait_until("an HTTP answer", START_LIMIT, |_| {
        http_client::get(address, "/", ASK_LIMIT).is_some_and(|answer| answer.status == 200)
    })?;
    let start_seconds = guest.started().elapsed().as_secs_f64();
    Ok(Sample { start_seconds, requests_per_second: load(address)? })
}

fn load(server: SocketAddr) -> Result<f64> {
    let mut command = programs::command(&programs::WRK)?;
    command.args(["-t1", CONNECTIONS, SECONDS]).arg(format!("http://{server}/"));
    let report = programs::output(&mut command)?;
    if report.contains("Non-2xx") {
        fail!("not all requests were answered 200:\n{report}");
    }
    let rate = report.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok())
        .ok_or_else(|| Failure(format!("no rate in:\n{report}")))
}
