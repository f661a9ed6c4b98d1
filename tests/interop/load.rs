//! `aqueduct-load` against our own process: results, a server that stops, and what it refuses.

use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    files,
};
use lab::{
    harness::{Case, Harness, PROCESS_ADDRESS, Server, contains, equal},
    process,
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

pub(crate) const CASES: &[Case] =
    &[Case::new("load/runs_and_refusals", &[], 120, runs_and_refusals)];

const STOP_LIMIT: Duration = Duration::from_secs(15);
const SCENARIO: &str = "\
target = 'http://127.0.0.1:8080/'
duration_seconds = 1
connections = 8
[arrivals]
ramp = [50, 150]
spacing = 'poisson'
[connection]
requests_max = 5
cookies = true
[[requests]]
name = 'session'
path = '/_test/session'
[[requests]]
name = 'missing'
path = '/no'
expect_status = 404
";

fn runs_and_refusals(harness: &mut Harness) -> Result {
    let program = Program(process::build_load()?);
    let bundle = harness.bundle("", &[("site/index.html", b"hello, world\n")])?;
    let mut server = Server::Process(Box::new(harness.trial_process(&bundle)?));
    let checks: [(&str, Check); 5] = [
        ("a schedule", |_, program| schedule(program)),
        ("a scenario", scenario),
        ("many connections", |_, program| many_connections(program)),
        ("failures", |_, program| failures(program)),
        ("refusals", refusals),
    ];
    for (what, check) in checks {
        let result =
            check(harness, &program).map_err(|failure| Failure(format!("{what}: {failure}")));
        server.judge(result)?;
    }
    let result = stopped_server(&server, &program);
    server.judge(result)?;
    server.stop(STOP_LIMIT)
}

type Check = fn(&Harness, &Program) -> Result;

struct Program(std::path::PathBuf);

impl Program {
    fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.0);
        command.args(words).stdin(Stdio::null()).output().or_say(|| "aqueduct-load".into())
    }

    /// The results of a run that ends with this status.
    fn results(&self, words: &[&str], status: i32) -> Result<Value> {
        let output = self.run(&[words, &["--json", "-", "--quiet"]].concat())?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(status) {
            fail!("{words:?} ended with {}: {said}", output.status);
        }
        serde_json::from_slice(&output.stdout).or_say(|| "results that are no JSON".into())
    }

    /// What it says of what it does not do.
    fn refusal(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words)?;
        equal("the exit status of a refusal", &output.status.code(), &Some(2))?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn url(path: &str) -> String {
    format!("http://{PROCESS_ADDRESS}{path}")
}

/// Each request of a schedule is made once, whatever the machine does.
fn schedule(program: &Program) -> Result {
    let words =
        ["--rate", "300", "--duration", "1s", "-c", "8", "--threads", "2", "--pipelining", "2"];
    let results = program.results(&[&words[..], &[&url("/")]].concat(), 0)?;
    equal("requests", &results["succeeded"], &300.into())?;
    equal("the loop", &results["loop"], &"open".into())?;
    let closed = program.results(&["--duration", "500ms", "-c", "4", &url("/")], 0)?;
    equal("the other loop", &closed["loop"], &"closed".into())?;
    equal("connections that stay", &closed["connections_opened"], &4.into())
}

fn scenario(harness: &Harness, program: &Program) -> Result {
    let (file, page) = (harness.scratch.path("a.toml"), harness.scratch.path("report.html"));
    files::write(&file, SCENARIO)?;
    let [file, to] = [&file, &page].map(|path| path.display().to_string());
    let results = program.results(&["--scenario", &file, "--html", &to], 0)?;
    let names = [0, 1].map(|index| results["requests"][index]["name"].as_str());
    equal("kinds of requests", &names, &[Some("session"), Some("missing")])?;
    let page = files::read_text(&page)?;
    contains("the page", &page, "<h2>Latency over time</h2>")?;
    contains("the page", &page, "at random (Poisson)")
}

fn many_connections(program: &Program) -> Result {
    let words = ["-c", "5000", "--rate", "1000", "--duration", "1s", "--timeout", "60s"];
    let results = program.results(&[&words[..], &[&url("/")]].concat(), 0)?;
    equal("requests", &results["succeeded"], &1000.into())?;
    // More, where the machine is so slow that the server closes those that do not ask for long.
    equal("all of them", &(results["connections_opened"].as_u64() >= Some(5000)), &true)
}

fn failures(program: &Program) -> Result {
    let short = ["--duration", "200ms", "--rate", "50", "--expect-body", "no such text"];
    let results = program.results(&[&short[..], &[&url("/")]].concat(), 1)?;
    equal("bodies", &results["failures"]["body"], &10.into())?;
    let short = ["--duration", "200ms", "--rate", "50", "--abandoned-percent", "100"];
    let results = program.results(&[&short[..], &[&url("/")]].concat(), 0)?;
    equal("abandoned", &results["abandoned"], &10.into())
}

fn refusals(harness: &Harness, program: &Program) -> Result {
    let elsewhere = program.refusal(&["http://192.0.2.1/", "--rate", "1"])?;
    contains("a refusal", &elsewhere, "192.0.2.1 is not this machine")?;
    contains("a refusal", &elsewhere, "--allow 192.0.2.1/32")?;
    let file = harness.scratch.path("bad.toml");
    files::write(&file, format!("{SCENARIO}weight = 'much'\n"))?;
    let faulty = program.refusal(&["--scenario", &file.display().to_string()])?;
    contains("a fault", &faulty, "bad.toml:17: found `'much'`; allowed: a whole number")?;
    let nobody = program.refusal(&["http://127.0.0.1:9/"])?;
    contains("nobody there", &nobody, "no connection to http://127.0.0.1:9: connection refused")
}

/// A server that stops for a second: a sixth of what was due in six seconds waited, as their latencies say. They may all have
/// been longer on a busy machine, but not shorter.
fn stopped_server(server: &Server, program: &Program) -> Result {
    let Server::Process(child) = server else { fail!("the server is a process") };
    let words =
        ["--rate", "100", "--duration", "6s", "--timeout", "60s", "-c", "16", "--json", "-"];
    let mut command = Command::new(&program.0);
    command.args(words).arg(url("/"));
    let mut run = Child::start(&command, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    })?;
    // It has begun.
    let mut progress = String::new();
    let stderr = run.streams().stderr.take().map(BufReader::new);
    let mut stderr = stderr.ok_or_else(|| Failure::new("no standard error"))?;
    stderr.read_line(&mut progress).or_say(|| "a progress line".into())?;
    contains("the progress line", &progress, "of 6 s: ")?;
    child.signal(Signal::STOP);
    thread::sleep(Duration::from_secs(1));
    child.signal(Signal::CONT);
    let mut results = String::new();
    if let Some(stdout) = &mut run.streams().stdout {
        stdout.read_to_string(&mut results).or_say(|| "results".into())?;
    }
    let results: Value = serde_json::from_str(&results).or_say(|| "no JSON".into())?;
    equal("requests", &results["succeeded"], &600.into())?;
    let p90 = results["latency"]["p90"].as_f64().unwrap_or(0.0);
    if p90 < 300.0 {
        fail!("a tenth of all did not wait for the server: {}", results["latency"]);
    }
    Ok(())
}
