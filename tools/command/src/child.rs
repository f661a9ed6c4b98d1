//! A child process that ends with us, whatever happens.

use crate::{
    failure::{OrSay, Result},
    programs,
};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    collections::BTreeSet,
    os::unix::process::CommandExt,
    process::{Child as StdChild, Command, ExitStatus},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The process groups of all children that live.
static LIVE: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn live() -> MutexGuard<'static, BTreeSet<u32>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills all children, with what they started.
pub(crate) fn kill_all() {
    live().iter().for_each(|id| signal_group(*id, Signal::KILL));
}

fn signal_group(id: u32, signal: Signal) {
    if let Some(group) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}

/// A process group of its own (Ctrl-C in the terminal is for us, not for it), killed when dropped, and killed by the
/// kernel when we die without dropping.
pub struct Child {
    inner: StdChild,
    status: Option<ExitStatus>,
}

impl Child {
    /// Starts a command. `standard` sets its streams.
    pub fn start(command: &Command, standard: impl FnOnce(&mut Command)) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut wrapped = match programs::find("setpriv") {
            Some(setpriv) => {
                let mut wrapped = Command::new(setpriv);
                wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
                wrapped
            }
            None => Command::new(command.get_program()),
        };
        wrapped.args(command.get_args()).process_group(0);
        if let Some(folder) = command.get_current_dir() {
            wrapped.current_dir(folder);
        }
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(key, value),
                None => wrapped.env_remove(key),
            };
        }
        standard(&mut wrapped);
        // One that has started is in the list, whoever kills them all meanwhile.
        let mut live = live();
        let inner = wrapped.spawn().or_say(|| format!("cannot start {name}"))?;
        live.insert(inner.id());
        Ok(Self { inner, status: None })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Its standard streams, as far as they are pipes.
    pub fn streams(&mut self) -> &mut StdChild {
        &mut self.inner
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            let mut live = live();
            self.status = self.inner.try_wait().ok().flatten();
            if self.status.is_some() {
                // The number may be another process's soon.
                live.remove(&self.inner.id());
            }
        }
        self.status
    }

    /// Waits for its end, up to a limit.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.status
    }

    /// Signals it and all that it started; nothing once it has ended.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            signal_group(self.inner.id(), signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if self.status.is_none() {
            let _ = self.inner.wait();
            live().remove(&self.inner.id());
        }
    }
}
