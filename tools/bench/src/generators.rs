//! `cargo xtask bench load`: load generators beside one another on one server, in turns: requests for each second of their own
//! processor time; and what each says of a server that stops for a second.

use super::measurements::median;
use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    files, paths,
    programs::{self, Install, Program},
};
use lab::{http_client, link, process};
use rustix::process::Signal;
use std::{
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const AB: Program = Program { name: "ab", package: "apache2-utils" };
const H2LOAD: Program = Program { name: "h2load", package: "nghttp2-client" };
const ROUNDS: usize = 5;
const CONNECTIONS: &str = "64";
const SECONDS: u64 = 4;
/// Of the run in which the server stops: from 2 s to 3 s of it.
const STALL_SECONDS: u64 = 5;
const STALL_BEGIN: Duration = Duration::from_secs(2);
const STALL: Duration = Duration::from_secs(1);
/// Requests per second of that run, where a generator can be told.
const STALL_RATE: u64 = 1000;
const START_LIMIT: Duration = Duration::from_secs(20);
const CLIENT_LIMIT: Duration = Duration::from_secs(60);

/// A generator.
struct Client {
    name: &'static str,
    /// How it makes requests, and what it does about those that it did not make.
    shape: &'static str,
    program: PathBuf,
    /// For so many seconds; at this rate, if it can be told.
    arguments: fn(&str, u64, Option<u64>) -> Vec<String>,
    /// From what it prints.
    requests: fn(&str) -> Option<f64>,
    /// The 99th percentile and the longest, milliseconds.
    tail: fn(&str) -> Option<(f64, f64)>,
}

/// Measures all of them.
///
/// # Errors
///
/// Something is missing, does not build or does not serve.
pub fn load(install: Install) -> Result<ExitCode> {
    programs::need(&[&programs::WRK, &AB, &H2LOAD], install)?;
    let (program, ours) = (process::build()?, process::build_load()?);
    let bundle = paths::made("bench-load-bundle")?;
    files::make_folder(&bundle.join("site"))?;
    files::write(&bundle.join("site/index.html"), "hello, world\n")?;
    files::write(&bundle.join("appliance.toml"), "[http]\naccess_log = false\n")?;
    let clients = clients(ours);
    let address = link::free_address()?;
    let server = serve(&program, &bundle, address)?;
    let url = format!("http://{address}/");

    let mut samples: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); clients.len()];
    for _ in 0..ROUNDS {
        for (client, (by_cpu, by_time)) in clients.iter().zip(&mut samples) {
            let run = client.run(&url, SECONDS, None, |_| Ok(()))?;
            by_cpu.push(run.requests / run.cpu_seconds);
            by_time.push(run.requests / SECONDS as f64);
        }
    }
    println!(
        "{CONNECTIONS} connections, one thread each; medians of {ROUNDS} rounds of {SECONDS} s, in turns"
    );
    println!("{:<16} {:>22} {:>8} {:>12}", "", "requests / s of CPU", "of wrk's", "requests / s");
    let wrk = median(&mut samples[1].0);
    for (client, (by_cpu, by_time)) in clients.iter().zip(&mut samples) {
        let (by_cpu, by_time) = (median(by_cpu), median(by_time));
        println!("{:<16} {by_cpu:>22.0} {:>8.2} {by_time:>12.0}", client.name, by_cpu / wrk);
    }
    println!("reach: ours at least wrk's requests / s of CPU");
    println!();
    tails(&clients, &server, &url)?;
    Ok(ExitCode::SUCCESS)
}

fn tails(clients: &[Client], server: &Child, url: &str) -> Result {
    println!(
        "a server that stops for 1 s of {STALL_SECONDS} s; a model of {STALL_RATE} requests/s has 950 ms and 1,000 ms"
    );
    println!("{:<16} {:>12} {:>12}  loop", "", "99 %, ms", "longest, ms");
    for client in clients {
        let run = client.run(url, STALL_SECONDS, Some(STALL_RATE), |begun| {
            std::thread::sleep(STALL_BEGIN.saturating_sub(begun.elapsed()));
            server.signal(Signal::STOP);
            std::thread::sleep(STALL);
            server.signal(Signal::CONT);
            Ok(())
        })?;
        let (p99, max) = (client.tail)(&run.report).unwrap_or((f64::NAN, f64::NAN));
        let said = |it: f64| if it.is_nan() { "not said".into() } else { format!("{it:.1}") };
        println!("{:<16} {:>12} {:>12}  {}", client.name, said(p99), said(max), client.shape);
    }
    Ok(())
}

/// Starts the appliance, which answers then.
pub(crate) fn serve(program: &Path, bundle: &Path, address: SocketAddr) -> Result<Child> {
    let mut command = Command::new(program);
    command.arg("--bundle").arg(bundle).args(["--http", &address.to_string()]);
    command.args(["--log", "warn", "--rpc-port", "0", "--zmq-port", "0"]);
    let mut server = Child::start(&command, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    })?;
    let deadline = Instant::now() + START_LIMIT;
    while http_client::get(address, "/", Duration::from_millis(500)).is_none() {
        if server.ended().is_some() || Instant::now() > deadline {
            fail!("the appliance does not serve");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(server)
}

fn clients(ours: PathBuf) -> Vec<Client> {
    let mut clients = vec![aqueduct_load(ours), wrk(), h2load(), ab()];
    // From the crate registry, where somebody has built it.
    clients.extend(programs::find("oha").map(oha));
    clients
}

fn debian(program: &Program) -> PathBuf {
    programs::find(program.name).unwrap_or_default()
}

fn aqueduct_load(program: PathBuf) -> Client {
    Client {
        name: "aqueduct-load",
        shape: "open",
        program,
        arguments: |url, seconds, rate| {
            let rate = rate.map(|rate| ["--rate".into(), rate.to_string()]);
            let words =
                ["-c", CONNECTIONS, "--duration", &format!("{seconds}s"), "--json", "-", "-q", url];
            words.map(String::from).into_iter().chain(rate.into_iter().flatten()).collect()
        },
        requests: |report| number_after(report, "\"succeeded\": "),
        tail: |report| {
            let latency = report.split_once("\"latency\": {")?.1;
            Some((number_after(latency, "\"p99\": ")?, number_after(latency, "\"max\": ")?))
        },
    }
}

fn wrk() -> Client {
    Client {
        name: "wrk",
        shape: "closed, guessed at afterwards",
        program: debian(&programs::WRK),
        arguments: |url, seconds, _| {
            let words = ["-t1", "--latency", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), url];
            words.map(String::from).into()
        },
        requests: |report| number_before(report, " requests in"),
        tail: |report| {
            let p99 = milliseconds(report.split_once("99% ")?.1)?;
            let max = report.lines().find(|line| line.trim_start().starts_with("Latency "))?;
            Some((p99, milliseconds(max.split_whitespace().nth(3)?)?))
        },
    }
}

fn h2load() -> Client {
    Client {
        name: "h2load --h1",
        shape: "closed",
        program: debian(&H2LOAD),
        arguments: |url, seconds, _| {
            let words = ["--h1", "-t1", "-c", CONNECTIONS, "-D", &seconds.to_string(), url];
            words.map(String::from).into()
        },
        requests: |report| number_before(report, " succeeded,"),
        tail: |report| {
            let line = report.lines().find(|line| line.starts_with("time for request:"))?;
            // It has no percentiles.
            Some((f64::NAN, milliseconds(line.split_whitespace().nth(4)?)?))
        },
    }
}

fn ab() -> Client {
    Client {
        name: "ab",
        shape: "closed",
        program: debian(&AB),
        arguments: |url, seconds, _| {
            let seconds = seconds.to_string();
            let words = ["-q", "-k", "-c", CONNECTIONS, "-t", &seconds, "-n", "100000000", url];
            words.map(String::from).into()
        },
        requests: |report| number_after(report, "Complete requests:"),
        tail: |report| Some((number_after(report, "  99%")?, number_after(report, " 100%")?)),
    }
}

fn oha(program: PathBuf) -> Client {
    Client {
        name: "oha",
        shape: "by rate, without correction",
        program,
        arguments: |url, seconds, rate| {
            let rate = rate.map(|rate| ["-q".into(), rate.to_string()]);
            let seconds = format!("{seconds}s");
            // Its threads are two by default, and its unit is what fits.
            let words = ["--no-tui", "--worker-threads", "1", "--time-unit", "ms"];
            let words = words.into_iter().chain(["-c", CONNECTIONS, "-z", &*seconds, url]);
            rate.into_iter().flatten().chain(words.map(String::from)).collect()
        },
        requests: |report| number_after(report, "[200]"),
        tail: |report| {
            Some((number_after(report, "99.00% in ")?, number_after(report, "Slowest:")?))
        },
    }
}

struct Ran {
    report: String,
    requests: f64,
    cpu_seconds: f64,
}

impl Client {
    /// Runs it to its end, and does something meanwhile.
    fn run(
        &self,
        url: &str,
        seconds: u64,
        rate: Option<u64>,
        meanwhile: impl FnOnce(Instant) -> Result,
    ) -> Result<Ran> {
        let mut command = Command::new(&self.program);
        command.args((self.arguments)(url, seconds, rate));
        let before = children_cpu_seconds()?;
        let mut child = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        })?;
        meanwhile(Instant::now())?;
        let mut report = String::new();
        if let Some(stdout) = child.streams().stdout.as_mut() {
            stdout.read_to_string(&mut report).or_say(|| self.name.into())?;
        }
        if child.wait(CLIENT_LIMIT).is_none() {
            fail!("{} does not end", self.name);
        }
        let cpu_seconds = children_cpu_seconds()? - before;
        let requests = (self.requests)(&report).filter(|requests| *requests > 0.0);
        let requests =
            requests.ok_or_else(|| Failure(format!("{} got no answers:\n{report}", self.name)))?;
        Ok(Ran { report, requests, cpu_seconds })
    }
}

/// Processor time of all children that were waited for (proc(5), `cutime` and `cstime`).
fn children_cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").or_say(|| "/proc/self/stat".into())?;
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    match (ticks(13), ticks(14)) {
        (Some(user), Some(system)) => {
            Ok((user + system) / rustix::param::clock_ticks_per_second() as f64)
        }
        _ => fail!("/proc/self/stat has no times: {stat}"),
    }
}

pub(crate) fn number_after(text: &str, sign: &str) -> Option<f64> {
    let rest = text.split_once(sign)?.1.trim_start();
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}

fn number_before(text: &str, sign: &str) -> Option<f64> {
    text.split_once(sign)?.0.split_whitespace().last()?.parse().ok()
}

/// Of a time with its unit, as `1.23ms`.
fn milliseconds(text: &str) -> Option<f64> {
    let text = text.split_whitespace().next()?;
    let digits = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_generators_print_is_understood() {
        assert_eq!(
            number_after("Complete requests:      1234\n", "Complete requests:"),
            Some(1234.0)
        );
        assert_eq!(number_before("  90 requests in 1.00s", " requests in"), Some(90.0));
        assert_eq!(
            ["12.5us", "3ms", "1.5s", "1m"].map(milliseconds),
            [Some(0.0125), Some(3.0), Some(1500.0), None]
        );
        let wrk = &clients(PathBuf::new())[1];
        let report = "  Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.00ms  2.00ms   1.02s    99.00%\n     99%    2.50ms\n";
        assert_eq!((wrk.tail)(report), Some((2.5, 1020.0)));
        let ours = &clients(PathBuf::new())[0];
        let report =
            "{\"service\": {\"p99\": 1}, \"latency\": {\"p99\": 950.0,\n \"max\": 1000.5}}";
        assert_eq!((ours.tail)(report), Some((950.0, 1000.5)));
    }
}
