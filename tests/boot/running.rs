//! `cargo xtask run` as an operator has it in a terminal: what Ctrl-C does, and what it does once more.

use command::{
    cargo,
    child::Child,
    failure::{OrSay, Result, fail},
    files,
};
use lab::{
    harness::{Harness, contains, equal, noise},
    http_client::Download,
    link,
};
use rustix::process::Signal;
use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

/// Longer than the drain below takes to be noticed, and shorter than the drain.
const LIMIT: Duration = Duration::from_secs(60);
const CONFIG: &[u8] = b"[shutdown]\ndrain_seconds = 300\n[zmq]\nport = 0\n";
/// More than is on its way to a client that does not read.
const BIG_BYTES: usize = 24 << 20;

pub(super) fn guest(harness: &mut Harness) -> Result {
    ends_by_signals(harness, &["--mem", "256"], "guest")
}

pub(super) fn process(harness: &mut Harness) -> Result {
    ends_by_signals(harness, &["--linux", "--profile", "release"], "process")
}

/// One signal is a stop in good order; a second one, while a download is under way, is the end at once, and a failure.
fn ends_by_signals(harness: &mut Harness, words: &[&str], what: &str) -> Result {
    let bundle = harness.scratch.path("bundle");
    for (name, content) in [
        ("appliance.toml", CONFIG),
        ("site/index.html", b"<p>here"),
        ("site/big", &noise(BIG_BYTES)),
    ] {
        let file = bundle.join(name);
        files::make_folder(file.parent().unwrap_or(&bundle))?;
        files::write(&file, content)?;
    }
    for signal in [Signal::INT, Signal::TERM] {
        let mut run = Run::start(harness, &bundle, words)?;
        run.child.signal(signal);
        equal("exit code after one signal", &run.end()?, &Some(0))?;
        contains("what is said", &run.said(), &format!("stopping the {what}"))?;
    }
    let mut run = Run::start(harness, &bundle, words)?;
    let Some(download) = Download::start(run.at, "/big", LIMIT) else {
        fail!("no download begins; {}", run.said());
    };
    run.child.signal(Signal::INT);
    run.wait_for(&format!("stopping the {what}; Ctrl-C again ends it at once"))?;
    // The download keeps it: it has not ended by itself.
    equal("whether it ended meanwhile", &run.child.ended().is_some(), &false)?;
    run.child.signal(Signal::INT);
    equal("exit code after a second signal", &run.end()?, &Some(1))?;
    drop(download);
    contains(
        "what is said",
        &run.said(),
        &format!("the {what} did not stop by itself and was ended"),
    )
}

struct Run {
    child: Child,
    at: SocketAddr,
    log: PathBuf,
}

impl Run {
    /// Starts it, and waits until it says that the appliance answers.
    fn start(harness: &Harness, bundle: &Path, words: &[&str]) -> Result<Self> {
        let (at, log) = (link::free_address()?, harness.scratch.path("log"));
        let mut command = cargo::command();
        command.args([
            "xtask",
            "run",
            "--no-install",
            "--port",
            &at.port().to_string(),
            "--bundle",
        ]);
        command.arg(bundle).args(words);
        let file = File::create(&log).or_say(|| "cannot write a log".into())?;
        let second = file.try_clone().or_say(|| "cannot write a log".into())?;
        let child = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(file).stderr(second);
        })?;
        let mut run = Self { child, at, log };
        run.wait_for("answers")?;
        Ok(run)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_for(&mut self, marker: &str) -> Result {
        let deadline = Instant::now() + LIMIT;
        while !self.said().contains(marker) {
            if let Some(status) = self.child.ended() {
                fail!("it ended ({status}) before `{marker}`; it said:\n{}", self.said());
            }
            if Instant::now() > deadline {
                fail!("no `{marker}` within {LIMIT:?}; it said:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Option<i32>> {
        match self.child.wait(LIMIT) {
            Some(status) => Ok(status.code()),
            None => fail!("it has not ended within {LIMIT:?}; it said:\n{}", self.said()),
        }
    }
}
