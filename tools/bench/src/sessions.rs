//! `cargo xtask bench sessions`: a counter for each visitor, by our process and by axum with tower-sessions, over loopback, in turns.

use super::measurements::median;
use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    files, paths,
    programs::{self, Install},
};
use lab::{link, peers, process};
use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const ROUNDS: usize = 5;
const START_LIMIT: Duration = Duration::from_secs(20);
const CONNECTIONS: &str = "-c32";
const SECONDS: &str = "-d4s";
/// Visitors that come back in turn: more than connections, so that hardly two requests of one are under way.
const VISITORS: usize = 256;

/// Whose requests are counted: wrk gives each request the next visitor's cookie, or none.
const SCRIPT: &str = "\
local cookies = {}
local next_one = 0
function init(args)
  for cookie in io.lines(args[1]) do cookies[#cookies + 1] = cookie end
end
function request()
  if #cookies == 0 then return wrk.format() end
  next_one = next_one % #cookies + 1
  return wrk.format(nil, nil, {Cookie = cookies[next_one]})
end
";

/// One of those that are compared.
struct Counter {
    name: &'static str,
    program: PathBuf,
    arguments: fn(&Path, SocketAddr) -> Vec<String>,
}

/// Measures both.
///
/// # Errors
///
/// Something is missing, does not build or does not serve.
pub fn sessions(install: Install) -> Result<ExitCode> {
    programs::need(&[&programs::WRK], install)?;
    let bundle = paths::made("bench-sessions-bundle")?;
    files::make_folder(&bundle.join("site"))?;
    files::write(&bundle.join("site/index.html"), "a page")?;
    // So many sessions that none goes, as none does there.
    let config = "[sessions]\nsessions_max = 16_000_000\nnewcomers_percent_max = 100\n[tasks]\ntasks_max = 1_048_576\n";
    files::write(&bundle.join("appliance.toml"), config)?;
    let counters = [
        Counter { name: "ours", program: process::build_trial()?, arguments: ours },
        Counter {
            name: "axum",
            program: peers::build_beside(
                "tests/interop/http/bench/axum-sessions",
                "axum-sessions",
            )?,
            arguments: |_, address| [address.to_string()].into(),
        },
    ];
    let mut hits = [const { Vec::new() }; 2];
    let mut firsts = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        for (index, counter) in counters.iter().enumerate() {
            let (hit, first) = counter.round(&bundle)?;
            hits[index].push(hit);
            firsts[index].push(first);
        }
    }
    println!("requests/s, {CONNECTIONS}; medians of {ROUNDS} rounds, in turns; reach: 3 times");
    for (what, samples) in [("visits of known visitors", &mut hits), ("first visits", &mut firsts)]
    {
        let [ours, axum] = samples.each_mut().map(|samples| median(samples));
        println!("{what:<26} {ours:>10.0} {axum:>10.0}  {:.2}x", ours / axum);
    }
    Ok(ExitCode::SUCCESS)
}

fn ours(bundle: &Path, address: SocketAddr) -> Vec<String> {
    let address = address.to_string();
    let bundle = bundle.display().to_string();
    let words = ["--bundle", &bundle, "--log", "warn", "--rpc-port", "0", "--zmq-port", "0"];
    words.iter().map(ToString::to_string).chain(["--http".into(), address]).collect()
}

impl Counter {
    /// Starts the server anew, and measures both.
    fn round(&self, bundle: &Path) -> Result<(f64, f64)> {
        let address = link::free_address()?;
        let mut command = Command::new(&self.program);
        command.args((self.arguments)(bundle, address));
        let mut server = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        })?;
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(address).is_err() {
            if server.ended().is_some() || Instant::now() > deadline {
                fail!("{} does not serve", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let cookies = (0..VISITORS).map(|_| cookie(address)).collect::<Result<Vec<_>>>()?;
        Ok((wrk(address, &cookies)?, wrk(address, &[])?))
    }
}

/// The cookie of a new session.
fn cookie(server: SocketAddr) -> Result<String> {
    let say = || "no first visit".to_owned();
    let mut stream = TcpStream::connect(server).or_say(say)?;
    let request = "GET /_test/session HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).or_say(say)?;
    for line in BufReader::new(stream).lines() {
        let line = line.or_say(say)?;
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("set-cookie")
        {
            return Ok(value.split(';').next().unwrap_or_default().to_owned());
        }
    }
    Err(Failure::new("a first visit sets no cookie"))
}

fn wrk(server: SocketAddr, cookies: &[String]) -> Result<f64> {
    let folder = paths::made("bench")?;
    let (script, list) = (folder.join("sessions.lua"), folder.join("cookies"));
    files::write(&script, SCRIPT)?;
    files::write(&list, cookies.join("\n"))?;
    let mut command = programs::command(&programs::WRK)?;
    command.args(["-t1", CONNECTIONS, SECONDS, "-s"]).arg(script);
    command.arg(format!("http://{server}/_test/session")).arg("--").arg(list);
    let report = programs::output(&mut command)?;
    if report.contains("Non-2xx") {
        fail!("not all visits were answered 200:\n{report}");
    }
    let rate = report.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok())
        .ok_or_else(|| Failure(format!("no rate in:\n{report}")))
}
