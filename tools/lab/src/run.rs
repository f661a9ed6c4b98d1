//! One run for a person: the appliance in QEMU, under Xen or as a Linux process, until Ctrl-C.

use crate::{
    accel::Accel,
    disk::{self, Disk},
    guest::{Echo, Guest},
    hermit as hermit_guest, http_client,
    link::{self, Tap},
    process,
    qemu::{Machine, Netdev, Spec},
    xen,
};
use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    paths,
    programs::{self, Install},
};
use config::Config;
use image_builder::{bundle, hermit, image};
use rustix::process::Signal;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How often the new server is asked whether it answers.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long one question may take.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// After this long without an answer we say so, once, and go on waiting.
const PATIENCE: Duration = Duration::from_secs(20);
/// After this long without an answer a guest is given up that has printed nothing either.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The least memory with which a guest says anything.
pub const MEMORY_MIB_MIN: u32 = 3;
const MEMORY_MIB: u32 = 256;
/// What a stop may take on top of the configured drain.
pub(crate) const STOP_SLACK: Duration = Duration::from_secs(5);
const GDB_PORT: u16 = 1234;

/// What is run, and on what.
#[derive(PartialEq, Eq)]
pub struct Options {
    /// As a Linux process.
    pub linux: bool,
    /// As a guest of Xen, which is a guest of QEMU.
    pub xen: bool,
    /// On the Hermit kernel, in QEMU.
    pub hermit: bool,
    /// Attached to a TAP instead of user networking; needs root.
    pub tap: bool,
    /// Wait for a debugger.
    pub gdb: bool,
    /// `log=trace`, and what the guest does wrong to a file.
    pub trace: bool,
    /// The guest's machine type, other than microvm.
    pub machine: Option<Machine>,
    /// How its instructions run; the best way that works, unless said.
    pub accel: Option<Accel>,
    /// The guest's memory, other than 256 MiB.
    pub memory_mib: Option<u32>,
    /// On this machine.
    pub port: u16,
    /// A folder with content and configuration, other than `config/`.
    pub bundle: Option<PathBuf>,
    /// Disks; without a folder, the first is the bundle.
    pub disks: Vec<PathBuf>,
    /// Where every packet is written.
    pub pcap: Option<PathBuf>,
    /// Words for the kernel command line.
    pub append: String,
    /// Whether missing programs may be installed.
    pub install: Install,
}

/// Builds it, starts it, says when it answers, and stops it at Ctrl-C.
///
/// # Errors
///
/// It does not build or start, options do not go together, or it ended with a failure.
pub fn run(options: &Options) -> Result<ExitCode> {
    let is_on_disk = options.bundle.is_none() && !options.disks.is_empty();
    let folder = options.bundle.clone().unwrap_or_else(|| paths::root().join("config"));
    // What a disk says is the appliance's to read: we look for it where it is by default.
    let config = if is_on_disk { Config::default() } else { bundle::configuration(&folder)? };
    if (options.linux || options.xen) && (options.gdb || options.trace || options.pcap.is_some()) {
        fail!(
            "--gdb, --trace and --pcap are for the guest; leave out --linux and --xen, or use gdb and tcpdump on the process"
        );
    }
    if options.xen && (options.linux || options.tap) {
        fail!("--xen goes with neither --linux nor --tap");
    }
    if options.hermit
        && (options.linux || options.xen || options.tap || options.gdb || options.machine.is_some())
    {
        fail!(
            "--hermit goes with none of --linux, --xen, --tap, --gdb and --machine: that kernel wants q35, and addresses by DHCP"
        );
    }
    if options.linux
        && (options.machine.is_some() || options.memory_mib.is_some() || options.accel.is_some())
    {
        eprintln!(
            "xtask: --machine, --mem and --accel are for the guest; the process goes without"
        );
    }
    let stop = Stop::on_signals(config.shutdown.drain + STOP_SLACK)?;
    let tap = if options.tap { Some(Tap::for_run(options.install)?) } else { None };
    let server = match tap {
        Some(_) => SocketAddr::from((link::GUEST_IPV4, config.http.port)),
        None => {
            free(options.port)?;
            SocketAddr::from((Ipv4Addr::LOCALHOST, options.port))
        }
    };
    let bundle = if is_on_disk { None } else { Some(bundle::file(options.bundle.as_deref())?) };
    let run = Run {
        options,
        bundle: bundle.as_deref(),
        tap: tap.as_ref(),
        server,
        guest_port: config.http.port,
        stop: &stop,
    };
    let result = if options.linux {
        run.process()
    } else if options.xen {
        run.under_xen()
    } else {
        run.guest()
    };
    if let Some(bundle) = &bundle {
        let _ = std::fs::remove_file(bundle);
    }
    result
}

impl Default for Options {
    fn default() -> Self {
        Self {
            linux: false,
            xen: false,
            hermit: false,
            tap: false,
            gdb: false,
            trace: false,
            machine: None,
            accel: None,
            memory_mib: None,
            port: 8080,
            bundle: None,
            disks: Vec::new(),
            pcap: None,
            append: String::new(),
            install: Install::Yes,
        }
    }
}

struct Run<'a> {
    options: &'a Options,
    /// None if it is on a disk.
    bundle: Option<&'a Path>,
    tap: Option<&'a Tap>,
    server: SocketAddr,
    /// The port that the application listens on by its configuration.
    guest_port: u16,
    stop: &'a Stop,
}

impl Run<'_> {
    fn guest(&self) -> Result<ExitCode> {
        let options = self.options;
        programs::need(&[&programs::QEMU], options.install)?;
        let (image, usual_machine) = if options.hermit {
            (hermit::build(&hermit::Options::default(), options.install)?, Machine::Q35)
        } else {
            (image::build(&image::Options::default(), options.install)?, Machine::Microvm)
        };
        let machine = options.machine.unwrap_or(usual_machine);
        let memory_mib = options.memory_mib.unwrap_or(MEMORY_MIB);
        let accel = match options.accel {
            Some(accel) => accel,
            // Whether a KVM is sound is the appliance's own image to say.
            None if options.hermit => Accel::Tcg,
            None => Accel::best(&image.shipped, machine)?,
        };
        let spec = Spec {
            machine,
            accel,
            memory_mib,
            // What unpacks itself writes over breakpoints that are already set.
            kernel: if options.gdb { image.unpacked.clone() } else { image.shipped.clone() },
            initrd: self.bundle.map(Path::to_owned),
            append: self.words(),
            netdev: match self.tap {
                Some(tap) => Netdev::Tap { name: tap.name().to_owned(), offloads: true },
                None => Netdev::User { forwards: vec![(options.port, self.guest_port)] },
            },
            without: &[],
            entropy: true,
            more: self.more(machine)?,
        };
        eprintln!(
            "xtask: starting {} with {memory_mib} MiB ({}); Ctrl-C stops it",
            machine.name(),
            accel.name()
        );
        if options.gdb {
            eprintln!(
                "xtask: the guest waits: gdb {} -ex 'target remote :{GDB_PORT}'",
                image.symbols.display()
            );
        }
        let mut guest = Guest::start(&spec, &Echo::ToTerminal)?;
        // One that waits for a debugger is silent for as long as that likes.
        let silence_max = (!options.gdb).then_some(SILENCE_MAX);
        if let Some(status) = self.attend(|| unless_silent(&mut guest, silence_max))?.transpose()? {
            let code = status.code().unwrap_or(1);
            if code != 0 {
                fail!("the guest ended with exit code {code}; its last lines are above");
            }
            return Ok(ExitCode::SUCCESS);
        }
        self.stop_guest(guest)
    }

    /// The image as a guest of Xen, which is a guest of QEMU.
    fn under_xen(&self) -> Result<ExitCode> {
        let options = self.options;
        programs::need(&[&programs::QEMU], options.install)?;
        let image = image::build(&image::Options::default(), options.install)?;
        let guest = xen::Running::start(&xen::Request {
            image: &image.shipped,
            bundle: self.bundle,
            disks: &options.disks,
            memory_mib: options.memory_mib.unwrap_or(MEMORY_MIB),
            port: options.port,
            guest_port: self.guest_port,
            words: &options.append,
            install: options.install,
            given_up: &|| self.stop.asked() > 0,
        })?;
        eprintln!("xtask: the guest runs; Ctrl-C stops it");
        if let Some(reason) = self.attend(|| guest.ended())? {
            fail!("the guest ended by itself (Xen's reason {reason})");
        }
        eprintln!("\nxtask: stopping the guest; Ctrl-C again ends it at once");
        guest.stop(self.stop.limit, || self.stop.asked() > 1)
    }

    /// Presses the power button and waits; a second Ctrl-C or the deadline ends it at once.
    fn stop_guest(&self, mut guest: Guest) -> Result<ExitCode> {
        eprintln!("\nxtask: stopping the guest; Ctrl-C again ends it at once");
        let mut qmp = guest.qmp()?;
        qmp.power_button()?;
        let stopped = self.stopped("guest", || guest.ended());
        if stopped.is_err() {
            let _ = qmp.quit();
        }
        stopped
    }

    fn process(&self) -> Result<ExitCode> {
        let binary = process::build()?;
        let mut command = Command::new(&binary);
        if let Some(bundle) = self.bundle {
            command.arg("--bundle").arg(bundle);
        }
        for disk in &self.options.disks {
            command.arg("--disk").arg(disk);
        }
        match self.tap {
            Some(tap) => command.arg("--tap").arg(tap.name()).args(self.words().split_whitespace()),
            None => command
                .arg("--http")
                .arg(self.server.to_string())
                .args(self.options.append.split_whitespace()),
        };
        let mut child = Child::start(&command, |command| {
            command.stdin(Stdio::null());
        })?;
        if let Some(status) = self.attend(|| child.ended())? {
            return if status.success() {
                Ok(ExitCode::SUCCESS)
            } else {
                fail!("the process ended ({status})")
            };
        }
        eprintln!("\nxtask: stopping the process; Ctrl-C again ends it at once");
        child.signal(Signal::TERM);
        self.stopped("process", || child.ended())
    }

    /// Waits for the end that was asked for; a second Ctrl-C or the deadline is a failure.
    fn stopped(
        &self,
        what: &str,
        mut ended: impl FnMut() -> Option<ExitStatus>,
    ) -> Result<ExitCode> {
        let deadline = Instant::now() + self.stop.limit;
        while self.stop.asked() < 2 && Instant::now() < deadline {
            match ended() {
                Some(status) if status.success() => return Ok(ExitCode::SUCCESS),
                Some(status) => fail!("the {what} stopped with a failure ({status})"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        fail!("the {what} did not stop by itself and was ended");
    }

    /// Says when the server answers; returns at its end (with its status) or at Ctrl-C (without).
    fn attend<T>(&self, mut ended: impl FnMut() -> Option<T>) -> Result<Option<T>> {
        let started = Instant::now();
        let (mut answers, mut warned) = (false, self.options.gdb);
        while self.stop.asked() == 0 {
            if let Some(status) = ended() {
                return Ok(Some(status));
            }
            if !answers && http_client::get(self.server, "/", ASK_LIMIT).is_some() {
                answers = true;
                eprintln!("xtask: http://{} answers", self.address());
            }
            if !answers && !warned && started.elapsed() > PATIENCE {
                warned = true;
                eprintln!("xtask: no answer yet after {} s; still waiting", PATIENCE.as_secs());
            }
            std::thread::sleep(ASK_EVERY);
        }
        Ok(None)
    }

    fn address(&self) -> String {
        match (self.tap, self.server.port()) {
            (None, port) => format!("localhost:{port}"),
            (Some(_), 80) => self.server.ip().to_string(),
            (Some(_), _) => self.server.to_string(),
        }
    }

    /// The kernel command line: ours first, so that the operator's words win.
    fn words(&self) -> String {
        let mut words = Vec::new();
        if self.tap.is_some() {
            words.push(link::guest_words());
        }
        if self.options.trace {
            words.push("log=trace".into());
        }
        words.push(self.options.append.clone());
        words.join(" ").trim().to_owned()
    }

    fn more(&self, machine: Machine) -> Result<Vec<OsString>> {
        let disks: Vec<_> = self.options.disks.iter().map(|file| Disk::new(file)).collect();
        let mut more = disk::options(machine, &disks);
        if self.options.hermit {
            more.append(&mut hermit_guest::options());
        }
        if self.options.gdb {
            free(GDB_PORT)?;
            more.extend(["-S".into(), "-gdb".into(), format!("tcp:127.0.0.1:{GDB_PORT}").into()]);
        }
        if let Some(file) = &self.options.pcap {
            std::fs::File::create(file).or_say(|| format!("cannot write {}", file.display()))?;
            more.extend([
                "-object".into(),
                format!("filter-dump,id=dump,netdev=net,file={}", file.display()).into(),
            ]);
        }
        if self.options.trace {
            let log = paths::made("")?.join("trace.log");
            more.extend([
                "-d".into(),
                "guest_errors,unimp,cpu_reset,int".into(),
                "-D".into(),
                log.into(),
            ]);
        }
        Ok(more)
    }
}

/// The guest's status once it has ended; a failure if it printed nothing for too long.
fn unless_silent(guest: &mut Guest, silence_max: Option<Duration>) -> Option<Result<ExitStatus>> {
    let is_late = silence_max.is_some_and(|limit| guest.started().elapsed() > limit);
    if is_late && guest.has_printed_nothing() {
        let seconds = SILENCE_MAX.as_secs();
        return Some(Err(Failure(format!(
            "the guest has printed nothing for {seconds} s, so it did not start; --mem gives it more memory"
        ))));
    }
    guest.ended().map(Ok)
}

fn free(port: u16) -> Result {
    free_at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// A failure that says what to do, if somebody listens at an address of this machine.
pub(crate) fn free_at(address: SocketAddr) -> Result {
    let port = address.port();
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure(format!(
            "port {port} is not free ({error}); stop what listens there (`ss -ltnp` shows it) or say another port"
        ))),
    }
}

/// Ctrl-C and SIGTERM, counted.
pub(crate) struct Stop {
    asked: Arc<AtomicUsize>,
    /// How long a stop may take.
    pub(crate) limit: Duration,
}

impl Stop {
    pub(crate) fn on_signals(limit: Duration) -> Result<Self> {
        let asked = Arc::new(AtomicUsize::new(0));
        let mut signals =
            Signals::new([SIGINT, SIGTERM]).or_say(|| "cannot watch for Ctrl-C".into())?;
        let counter = asked.clone();
        std::thread::spawn(move || {
            for _ in signals.forever() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self { asked, limit })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}
