//! A child process that ends with us, whatever happens.

use crate::{
    failure::{OrSay, Result},
    programs,
};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    os::unix::process::CommandExt,
    process::{Child as StdChild, Command, ExitStatus},
    time::{Duration, Instant},
};

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
        let inner = wrapped.spawn().or_say(|| format!("cannot start {name}"))?;
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
            self.status = self.inner.try_wait().ok().flatten();
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
        let group = i32::try_from(self.inner.id()).ok().and_then(Pid::from_raw);
        if let (None, Some(group)) = (self.status, group) {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if self.status.is_none() {
            let _ = self.inner.wait();
        }
    }
}
