//! A running guest: QEMU, its serial line, its control socket.

use crate::{qemu::Spec, qmp::Qmp};
use command::{
    child::Child,
    failure::{Result, fail},
    paths::Scratch,
};
use rustix::process::Signal;
use std::{
    io::{Read, Write},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How much of the serial line a failure shows.
const TAIL_LINES: usize = 40;
/// How much of the serial line is kept; a chatty guest does not fill our memory.
const SERIAL_BYTES_MAX: usize = 4 << 20;
/// Longer lines are printed in parts, where they have names before them.
const LINE_BYTES_MAX: usize = 4096;
const POLL: Duration = Duration::from_millis(2);

/// Ends with this value, gracefully or not.
pub struct Guest {
    child: Child,
    serial: Arc<Mutex<Vec<u8>>>,
    scratch: Scratch,
    started: Instant,
}

/// What happens to the serial line besides being kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Echo {
    /// It is printed, too.
    ToTerminal,
    /// It is printed line by line, each with these words before it.
    Named(String),
    /// Nothing.
    No,
}

impl Guest {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// QEMU is missing or does not start.
    pub fn start(spec: &Spec, echo: &Echo) -> Result<Self> {
        let scratch = Scratch::new()?;
        let command = spec.command(&scratch.path("qmp"))?;
        Self::start_command(&command, scratch, echo)
    }

    /// Starts a QEMU whose control socket, if it has one, is `qmp` in the scratch folder.
    pub fn start_command(command: &Command, scratch: Scratch, echo: &Echo) -> Result<Self> {
        let started = Instant::now();
        let mut child = Child::start(command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        })?;
        let serial = Arc::new(Mutex::new(Vec::new()));
        let streams = child.streams();
        if let Some(stdout) = streams.stdout.take() {
            keep(stdout, serial.clone(), echo);
        }
        if let Some(stderr) = streams.stderr.take() {
            keep(stderr, serial.clone(), echo);
        }
        Ok(Self { child, serial, scratch, started })
    }

    /// QEMU's process id.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The serial line so far, and QEMU's own messages.
    pub fn serial(&self) -> String {
        let serial = self.serial.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&serial).replace('\r', "")
    }

    /// Neither the guest nor QEMU has said anything.
    pub fn has_printed_nothing(&self) -> bool {
        self.serial.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The end of the serial line, for a failure.
    pub fn tail(&self) -> String {
        let serial = self.serial();
        let lines: Vec<_> = serial.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        if tail.is_empty() { "(the serial line is empty)".into() } else { tail.join("\n") }
    }

    /// Signals QEMU.
    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.ended()
    }

    /// Waits until a fact holds, or fails with the end of the serial line.
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Result {
        let deadline = Instant::now() + limit;
        loop {
            if holds(self) {
                return Ok(());
            }
            if let Some(status) = self.ended() {
                // The reader may be a moment behind the exit.
                std::thread::sleep(Duration::from_millis(50));
                if holds(self) {
                    return Ok(());
                }
                fail!("the guest ended ({status}) before {what}; its last lines:\n{}", self.tail());
            }
            if Instant::now() > deadline {
                fail!("no {what} within {limit:?}; the guest's last lines:\n{}", self.tail());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Waits for a marker on the serial line.
    pub fn wait_for(&mut self, marker: &str, limit: Duration) -> Result {
        self.wait_until(&format!("`{marker}` on the serial line"), limit, |guest| {
            guest.serial().contains(marker)
        })
    }

    /// Waits for the guest to end by itself: QEMU's exit code.
    pub fn wait_end(&mut self, limit: Duration) -> Result<i32> {
        match self.child.wait(limit) {
            Some(status) => Ok(status.code().unwrap_or(-1)),
            None => {
                fail!("the guest did not end within {limit:?}; its last lines:\n{}", self.tail())
            }
        }
    }

    /// Its control socket.
    ///
    /// # Errors
    ///
    /// QEMU does not answer there.
    pub fn qmp(&self) -> Result<Qmp> {
        Qmp::connect(&self.scratch.path("qmp"))
    }
}

/// Does with the output of a process, whose streams are pipes, what is done with a serial line.
pub(crate) fn echo_only(child: &mut Child, echo: &Echo) {
    let streams = child.streams();
    if let Some(stdout) = streams.stdout.take() {
        keep(stdout, Arc::default(), echo);
    }
    if let Some(stderr) = streams.stderr.take() {
        keep(stderr, Arc::default(), echo);
    }
}

fn keep(mut stream: impl Read + Send + 'static, serial: Arc<Mutex<Vec<u8>>>, echo: &Echo) {
    let mut printer = Printer { echo: echo.clone(), line: Vec::new() };
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            let bytes = &buffer[..length];
            printer.print(bytes);
            let mut serial = serial.lock().unwrap_or_else(PoisonError::into_inner);
            serial.extend_from_slice(bytes);
            let surplus = serial.len().saturating_sub(SERIAL_BYTES_MAX);
            serial.drain(..surplus);
        }
    });
}

struct Printer {
    echo: Echo,
    /// Of lines that have names: the one that is not whole yet.
    line: Vec<u8>,
}

impl Printer {
    fn print(&mut self, bytes: &[u8]) {
        match &self.echo {
            Echo::No => {}
            Echo::ToTerminal => write(bytes),
            Echo::Named(name) => {
                for byte in bytes {
                    self.line.push(*byte);
                    if *byte == b'\n' || self.line.len() == LINE_BYTES_MAX {
                        let mut line = [name.as_bytes(), self.line.trim_ascii_end()].concat();
                        line.push(b'\n');
                        write(&line);
                        self.line.clear();
                    }
                }
            }
        }
    }
}

fn write(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}
