//! Two runs of `cargo xtask run` side by side: each has ports of its own, and says which.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files, paths,
};
use lab::{
    harness::{BOOT_LIMIT, Case, Harness, contains, equal},
    http_client,
};
use rustix::process::Signal;
use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) const CASES: &[Case] =
    &[Case::new("interop/run_side_by_side", &[], 240, have_ports_of_their_own)];

const STOP_LIMIT: Duration = Duration::from_secs(40);

/// A run, and what it says.
struct Run {
    child: Child,
    log: PathBuf,
}

impl Run {
    fn start(harness: &Harness, name: &str, words: &[&str]) -> Result<Self> {
        let log = harness.scratch.path(name);
        let file = File::create(&log).or_say(|| "cannot write a log".into())?;
        // What started the tests, or would have.
        let mut xtask = Command::new(paths::target().join("debug/xtask"));
        // The programs that the tests have built, so that none is waited for.
        xtask
            .args(["run", "--no-install", "--profile", "release"])
            .args(words)
            .env_remove("AQUEDUCT_TOKEN");
        let child = Child::start(&xtask, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        })?;
        Ok(Self { child, log })
    }

    /// The port of this machine at which it answers.
    fn port(&mut self) -> Result<u16> {
        let deadline = Instant::now() + BOOT_LIMIT * 2;
        loop {
            let said = files::read_text(&self.log)?;
            let mut answers = said.lines().filter_map(|line| {
                line.strip_prefix("xtask: http://localhost:")?.strip_suffix(" answers")
            });
            if let Some(port) = answers.next_back() {
                return port.parse().or_say(|| format!("a port: {port}"));
            }
            if let Some(status) = self.child.ended() {
                fail!("the run ended ({status}):\n{said}");
            }
            if Instant::now() > deadline {
                fail!("no answer yet:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(mut self) -> Result {
        self.child.signal(Signal::TERM);
        let code = self.child.wait(STOP_LIMIT).and_then(|status| status.code());
        equal("the exit code of a run", &code, &Some(0))
    }
}

fn have_ports_of_their_own(harness: &mut Harness) -> Result {
    let folder = harness.scratch.path("folder");
    for (name, page) in [("one", "the one"), ("other", "the other one")] {
        files::make_folder(&folder.join(name).join("site"))?;
        files::write(&folder.join(name).join("site/index.html"), page)?;
    }
    let bundle = |name: &str| folder.join(name).display().to_string();
    let (one, other) = (bundle("one"), bundle("other"));
    let mut process = Run::start(harness, "process", &["--linux", "--bundle", &one])?;
    let first = process.port()?;
    let mut guest =
        Run::start(harness, "guest", &["--bundle", &other, "--accel", "tcg", "--mem", "64"])?;
    let second = guest.port()?;
    if first == second {
        fail!("both are at port {first}");
    }
    for (port, bytes) in [(first, "the one".len()), (second, "the other one".len())] {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let answer = http_client::get(at, "/", Duration::from_secs(10));
        let found = answer.map(|answer| (answer.status, answer.body_bytes));
        equal(&format!("the page at {port}"), &found, &Some((200, bytes)))?;
    }
    // A port that is asked for and no other is said to be taken.
    let taken = first.to_string();
    let mut third = Run::start(harness, "third", &["--linux", "--port", &taken])?;
    let code = third.child.wait(STOP_LIMIT).and_then(|status| status.code());
    equal("the exit code of a run at a port that is taken", &code, &Some(1))?;
    let said = files::read_text(&third.log)?;
    contains("what it says", &said, &format!("port {first} is not free"))?;
    guest.stop()?;
    process.stop()
}
