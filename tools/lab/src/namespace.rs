//! Network namespaces: a network of its own for a test or a measurement.

use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    programs::{self, Program},
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    ffi::OsStr,
    fs::File,
    os::fd::AsFd,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// Runs programs in the namespaces of others.
pub const NSENTER: Program = Program { name: "nsenter", package: "util-linux" };
/// Within which a namespace is made.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A network namespace beside the one that we are in; gone when dropped.
pub struct Namespace {
    holder: Child,
    door: Door,
}

/// The way into a namespace, for threads.
#[derive(Clone)]
pub struct Door(Arc<File>);

impl Namespace {
    /// Makes one, with its loopback interface up.
    ///
    /// # Errors
    ///
    /// This machine does not allow it.
    pub fn new() -> Result<Self> {
        let mut command = command();
        command.args(["sleep", "infinity"]);
        let holder = Child::start(&command, |command| {
            command.stdin(Stdio::null());
        })?;
        let path = format!("/proc/{}/ns/net", holder.id());
        let is_same = || {
            std::fs::read_link(&path).ok() == std::fs::read_link("/proc/thread-self/ns/net").ok()
        };
        let deadline = Instant::now() + START_LIMIT;
        while is_same() {
            if Instant::now() > deadline {
                fail!("no network namespace was made within {START_LIMIT:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let door = Door(Arc::new(File::open(&path).or_say(|| format!("cannot open {path}"))?));
        let namespace = Self { holder, door };
        namespace.run(|| crate::link::ip(&["link", "set", "lo", "up"]))??;
        Ok(namespace)
    }

    /// A process that is in it, by which `ip link set DEVICE netns PROCESS` moves interfaces there.
    pub fn process(&self) -> u32 {
        self.holder.id()
    }

    /// For threads that stay there.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Runs a function there, to its end: sockets that it opens stay there, programs that it starts see its network.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| self.door.enter().map(|()| work()));
            thread.join().unwrap_or_else(|_| fail!("a thread in a network namespace panicked"))
        })
    }

    /// A command that runs a program there. It may be started by any thread: the kernel ends a [`Child`] with the thread that
    /// started it, so that [`Self::run`] is not for those that are to stay.
    ///
    /// # Errors
    ///
    /// util-linux is missing.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let mut command = programs::command(&NSENTER)?;
        command.args(["--net", "--target", &self.holder.id().to_string(), "--"]).arg(program);
        Ok(command)
    }
}

impl Door {
    /// Moves the calling thread there for the rest of its life.
    ///
    /// # Errors
    ///
    /// The kernel does not allow it.
    pub fn enter(&self) -> Result {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .or_say(|| "cannot enter a network namespace".into())
    }
}

/// A command that runs its arguments in a new network namespace, with a user namespace where we are not root.
pub fn command() -> Command {
    let unshare = programs::find("unshare").unwrap_or_else(|| "unshare".into());
    let mut command = Command::new(unshare);
    let options: &[&str] =
        if programs::is_root() { &["--net"] } else { &["--user", "--map-root-user", "--net"] };
    command.args(options).arg("--");
    command
}

/// Runs this very program with other words in a new network namespace, to its end.
///
/// # Errors
///
/// It does not start, or does not end in time.
pub fn again(words: impl IntoIterator<Item: AsRef<OsStr>>, limit: Duration) -> Result<ExitCode> {
    let own = std::env::current_exe().or_say(|| "cannot find this program itself".into())?;
    let mut command = command();
    command.arg(own).args(words);
    let mut child = Child::start(&command, |command| {
        command.stdin(Stdio::null());
    })?;
    match child.wait(limit) {
        Some(status) if status.success() => Ok(ExitCode::SUCCESS),
        Some(_) => Ok(ExitCode::FAILURE),
        None => fail!("not done within {limit:?}"),
    }
}

/// Tries one out, with a TAP in it.
///
/// # Errors
///
/// This machine does not allow it.
pub fn check() -> Result {
    let tried =
        programs::output(command().args(["ip", "tuntap", "add", "dev", "tap0", "mode", "tap"]));
    tried
        .map(drop)
        .map_err(|failure| Failure(format!("no network namespace with a TAP here: {failure}")))
}
