//! One run for a person: the appliance in QEMU, under Xen or as a Linux process, until Ctrl-C.

mod services;

pub(crate) use services::free_at;

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
    files,
    interrupt::Attended,
    paths,
    programs::{self, Install},
};
use config::{Bundle, Config};
use image_builder::{
    bundle, hermit,
    image::{self, Profile},
};
use rustix::process::Signal;
use services::Service;
use std::{
    ffi::OsString,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Stdio},
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
/// Where HTTP is on this machine, unless somebody else is there.
pub const PORT: u16 = 8080;
/// Where a debugger is waited for, likewise.
const GDB_PORT: u16 = 1234;
/// As much of a disk is looked through for a bundle's configuration.
const DISK_BUNDLE_BYTES_MAX: u64 = 64 << 20;

/// The appliance in its forms, and what it serves unless a run says otherwise.
#[derive(Clone, Debug)]
pub struct Application {
    /// As an image.
    pub image: image::Options,
    /// As a Linux process.
    pub process: process::Options,
    /// The folder with content and configuration.
    pub bundle: PathBuf,
}

impl Default for Application {
    /// The one that Aqueduct ships.
    fn default() -> Self {
        Self {
            image: image::Options::default(),
            process: process::Options::default(),
            bundle: paths::root().join("config"),
        }
    }
}

impl Application {
    /// The same, compiled so.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        (self.image.profile, self.process.profile) = (profile, profile);
        self
    }
}

/// What is run, and on what.
pub struct Options {
    /// What it is.
    pub application: Application,
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
    /// HTTP's on this machine.
    pub port: u16,
    /// Whether it may be the next that is free.
    pub is_port_free_to_choose: bool,
    /// A folder with content and configuration, other than the application's.
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
    if options.linux && !options.tap && !options.append.is_empty() {
        fail!(
            "--append goes with --linux only where --tap does: a process takes these words for its own network"
        );
    }
    let tap = if options.tap { Some(Tap::for_run(options.install)?) } else { None };
    if tap.is_none() && !options.is_port_free_to_choose {
        // Rather now than after a build.
        free_at((Ipv4Addr::LOCALHOST, options.port).into())?;
    }
    let is_on_disk = options.bundle.is_none() && !options.disks.is_empty();
    let bundle = if is_on_disk {
        None
    } else {
        Some(bundle::file(options.bundle.as_ref().unwrap_or(&options.application.bundle))?)
    };
    let run = Run { options, bundle: bundle.as_deref(), tap: tap.as_ref() };
    let result = run.configuration().and_then(|config| {
        if options.linux {
            run.process(&config)
        } else if options.xen {
            run.under_xen(&config)
        } else {
            run.guest(&config)
        }
    });
    if let Some(bundle) = &bundle {
        let _ = std::fs::remove_file(bundle);
    }
    result
}

struct Run<'a> {
    options: &'a Options,
    /// None if it is on a disk.
    bundle: Option<&'a Path>,
    tap: Option<&'a Tap>,
}

impl Run<'_> {
    /// What the appliance will read, of a disk only if it begins with a bundle that is not large.
    fn configuration(&self) -> Result<Config> {
        let file = self.bundle.or_else(|| self.options.disks.first().map(PathBuf::as_path));
        let is_small = |file: &&Path| {
            std::fs::metadata(file).is_ok_and(|found| found.len() <= DISK_BUNDLE_BYTES_MAX)
        };
        let archive = file.filter(is_small).map_or(Ok(Vec::new()), files::read)?;
        // The appliance says what is wrong with a disk.
        let bundle = Bundle::parse(&archive).unwrap_or_default();
        Config::load(&bundle, &self.words()).map_err(|error| Failure(error.to_string()))
    }

    /// Where its services are. Ports are looked for when all else is done: others may start runs, too.
    fn services(&self, config: &Config) -> Result<Vec<Service>> {
        let services = match self.tap {
            Some(_) => services::at(link::GUEST_IPV4, config),
            None => services::on_loopback(
                config,
                self.options.port,
                self.options.is_port_free_to_choose,
                services::check,
            )?,
        };
        for service in &services {
            let there = match (self.options.linux, service.port == service.at.port()) {
                (false, false) => format!(", which is port {} of the guest", service.port),
                (true, false) => format!(" in place of port {}", service.port),
                (_, true) => String::new(),
            };
            eprintln!("xtask: {service}{there}");
        }
        Ok(services)
    }

    fn stop(config: &Config) -> Result<Stop> {
        Stop::on_signals(config.shutdown.drain + STOP_SLACK)
    }

    fn guest(&self, config: &Config) -> Result<ExitCode> {
        let options = self.options;
        programs::need(&[&programs::QEMU], options.install)?;
        let (image, usual_machine) = if options.hermit {
            (hermit::build(&hermit::Options::default(), options.install)?, Machine::Q35)
        } else {
            (image::build(&options.application.image, options.install)?, Machine::Microvm)
        };
        let machine = options.machine.unwrap_or(usual_machine);
        let memory_mib = options.memory_mib.unwrap_or(MEMORY_MIB);
        let accel = match options.accel {
            Some(accel) => accel,
            // Whether a KVM is sound is the appliance's own image to say.
            None if options.hermit => Accel::Tcg,
            None => Accel::best(&image.shipped, machine)?,
        };
        let services = self.services(config)?;
        let forwards = services.iter().map(|service| (service.at.port(), service.port)).collect();
        let gdb_port = if options.gdb { Some(gdb_port()?) } else { None };
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
                None => Netdev::User { forwards },
            },
            without: &[],
            entropy: true,
            more: self.more(machine, gdb_port)?,
        };
        eprintln!(
            "xtask: starting {} with {memory_mib} MiB ({}); Ctrl-C stops it",
            machine.name(),
            accel.name()
        );
        if let Some(port) = gdb_port {
            eprintln!(
                "xtask: the guest waits: gdb {} -ex 'target remote :{port}'",
                image.symbols.display()
            );
        }
        let stop = Self::stop(config)?;
        let mut guest = Guest::start(&spec, &Echo::ToTerminal)?;
        // One that waits for a debugger is silent for as long as that likes.
        let silence_max = (!options.gdb).then_some(SILENCE_MAX);
        if let Some(status) =
            self.attend(&services, &stop, || unless_silent(&mut guest, silence_max))?.transpose()?
        {
            let code = status.code().unwrap_or(1);
            if code != 0 {
                fail!("the guest ended with exit code {code}; its last lines are above");
            }
            return Ok(ExitCode::SUCCESS);
        }
        stop_guest(guest, &stop)
    }

    /// The image as a guest of Xen, which is a guest of QEMU.
    fn under_xen(&self, config: &Config) -> Result<ExitCode> {
        let options = self.options;
        programs::need(&[&programs::QEMU], options.install)?;
        let image = image::build(&options.application.image, options.install)?;
        let (services, stop) = (self.services(config)?, Self::stop(config)?);
        let forwards: Vec<_> =
            services.iter().map(|service| (service.at.port(), service.port)).collect();
        let guest = xen::Running::start(&xen::Request {
            image: &image.shipped,
            bundle: self.bundle,
            disks: &options.disks,
            memory_mib: options.memory_mib.unwrap_or(MEMORY_MIB),
            forwards: &forwards,
            words: &options.append,
            install: options.install,
            given_up: &|| stop.asked() > 0,
        })?;
        eprintln!("xtask: the guest runs; Ctrl-C stops it");
        if let Some(reason) = self.attend(&services, &stop, || guest.ended())? {
            fail!("the guest ended by itself (Xen's reason {reason})");
        }
        eprintln!("\nxtask: stopping the guest; Ctrl-C again ends it at once");
        guest.stop(stop.limit, || stop.asked() > 1)
    }

    fn process(&self, config: &Config) -> Result<ExitCode> {
        let binary = self.options.application.process.build()?;
        let services = self.services(config)?;
        let mut command = Command::new(&binary);
        if let Some(bundle) = self.bundle {
            command.arg("--bundle").arg(bundle);
        }
        for disk in &self.options.disks {
            command.arg("--disk").arg(disk);
        }
        match self.tap {
            Some(tap) => command.arg("--tap").arg(tap.name()).args(self.words().split_whitespace()),
            None => command.args(options_of(&services)),
        };
        let stop = Self::stop(config)?;
        let mut child = Child::start(&command, |command| {
            command.stdin(Stdio::null());
        })?;
        if let Some(status) = self.attend(&services, &stop, || child.ended())? {
            return if status.success() {
                Ok(ExitCode::SUCCESS)
            } else {
                fail!("the process ended ({status})")
            };
        }
        eprintln!("\nxtask: stopping the process; Ctrl-C again ends it at once");
        child.signal(Signal::TERM);
        stop.stopped("process", || child.ended())
    }

    /// Says when HTTP answers; returns at its end (with its status) or at Ctrl-C (without).
    fn attend<T>(
        &self,
        services: &[Service],
        stop: &Stop,
        mut ended: impl FnMut() -> Option<T>,
    ) -> Result<Option<T>> {
        let started = Instant::now();
        let mut asked = services.iter().find(|service| service.name == "http");
        let mut warned = self.options.gdb;
        while stop.asked() == 0 {
            if let Some(status) = ended() {
                return Ok(Some(status));
            }
            if let Some(http) =
                asked.take_if(|http| http_client::get(http.at, "/", ASK_LIMIT).is_some())
            {
                eprintln!("xtask: {http} answers");
            }
            if asked.is_some() && !warned && started.elapsed() > PATIENCE {
                warned = true;
                eprintln!("xtask: no answer yet after {} s; still waiting", PATIENCE.as_secs());
            }
            std::thread::sleep(ASK_EVERY);
        }
        Ok(None)
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

    fn more(&self, machine: Machine, gdb_port: Option<u16>) -> Result<Vec<OsString>> {
        let disks: Vec<_> = self.options.disks.iter().map(|file| Disk::new(file)).collect();
        let mut more = disk::options(machine, &disks);
        if self.options.hermit {
            more.append(&mut hermit_guest::options());
        }
        if let Some(port) = gdb_port {
            more.extend(["-S".into(), "-gdb".into(), format!("tcp:127.0.0.1:{port}").into()]);
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

/// Presses the power button and waits; a second Ctrl-C or the deadline ends it at once.
fn stop_guest(mut guest: Guest, stop: &Stop) -> Result<ExitCode> {
    eprintln!("\nxtask: stopping the guest; Ctrl-C again ends it at once");
    let mut qmp = guest.qmp()?;
    qmp.power_button()?;
    let stopped = stop.stopped("guest", || guest.ended());
    if stopped.is_err() {
        let _ = qmp.quit();
    }
    stopped
}

/// Options of the process by which its services are there.
fn options_of(services: &[Service]) -> Vec<String> {
    let words = services.iter().map(|service| match service.name {
        "http" => ["--http".into(), service.at.to_string()],
        "admin" => ["--admin".into(), service.at.to_string()],
        "vats" => ["--rpc-secure-port".into(), service.at.port().to_string()],
        name => [format!("--{name}-port"), service.at.port().to_string()],
    });
    words.flatten().collect()
}

fn gdb_port() -> Result<u16> {
    let mut ports = GDB_PORT..GDB_PORT + 100;
    let port = ports.find(|port| services::check(*port).is_ok());
    port.ok_or_else(|| Failure(format!("no port near {GDB_PORT} is free for a debugger")))
}

/// Ctrl-C and SIGTERM, counted.
pub(crate) struct Stop {
    signals: Attended,
    /// How long a stop may take.
    pub(crate) limit: Duration,
}

impl Stop {
    pub(crate) fn on_signals(limit: Duration) -> Result<Self> {
        Ok(Self { signals: Attended::new()?, limit })
    }

    pub(crate) fn asked(&self) -> usize {
        self.signals.count()
    }

    /// Waits for the end that was asked for; a second Ctrl-C or the deadline is a failure.
    fn stopped(
        &self,
        what: &str,
        mut ended: impl FnMut() -> Option<ExitStatus>,
    ) -> Result<ExitCode> {
        let deadline = Instant::now() + self.limit;
        while self.asked() < 2 && Instant::now() < deadline {
            match ended() {
                Some(status) if status.success() => return Ok(ExitCode::SUCCESS),
                Some(status) => fail!("the {what} stopped with a failure ({status})"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        fail!("the {what} did not stop by itself and was ended");
    }
}
