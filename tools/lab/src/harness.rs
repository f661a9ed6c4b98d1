//! What a boot or interop test works with: a wire, bundles, a running server, and sentences for what went wrong.

use crate::{
    accel::Accel,
    guest::{Echo, Guest},
    http_client,
    link::{self, Tap},
    qemu::{Machine, Netdev, Spec},
};
use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    paths::{self, Scratch},
    programs::{self, Program},
};
use image_builder::bundle;
use rustix::process::Signal;
use std::{
    cell::Cell,
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// One property of the running appliance.
pub struct Case {
    /// `KIND/PROPERTY`: what is selected and reported by.
    pub name: &'static str,
    /// Appliance of others; installed before if need be.
    pub needs: &'static [&'static Program],
    /// The whole case, boots included.
    pub deadline: Duration,
    /// The same of its long form, if it has one.
    pub long_deadline: Option<Duration>,
    /// Whether it builds what it tests itself, and has no use for an image or a process of ours.
    pub is_on_its_own: bool,
    /// Whether it runs only where long forms are asked for.
    pub is_long_only: bool,
    /// Tests it; a failure says what was found.
    pub run: fn(&mut Harness) -> Result,
}

impl Case {
    /// One that may take so many seconds.
    pub const fn new(
        name: &'static str,
        needs: &'static [&'static Program],
        seconds: u64,
        run: fn(&mut Harness) -> Result,
    ) -> Case {
        let deadline = Duration::from_secs(seconds);
        Case {
            name,
            needs,
            deadline,
            long_deadline: None,
            is_on_its_own: false,
            is_long_only: false,
            run,
        }
    }

    /// One that builds what it tests: where no other case runs, no image and no process of ours is built.
    pub const fn on_its_own(self) -> Case {
        Case { is_on_its_own: true, ..self }
    }

    /// One that runs only where long forms are asked for.
    pub const fn only_in_long_form(self) -> Case {
        Case { is_long_only: true, ..self }
    }

    /// With a long form, of more bytes and rounds, for whoever asks for it: see [`Harness::is_long`]. It may take so many seconds.
    pub const fn with_long_form(self, seconds: u64) -> Case {
        Case { long_deadline: Some(Duration::from_secs(seconds)), ..self }
    }

    /// How long it may take, in its long form where that is asked for and there is one.
    pub fn limit(&self, is_long: bool) -> Duration {
        self.long_deadline.filter(|_| is_long).unwrap_or(self.deadline)
    }
}

/// A namespace of the network to itself, made by the runner, with a TAP in it.
pub struct Harness {
    tap: Option<Tap>,
    shipped: Appliance,
    trial: Appliance,
    is_long: bool,
    /// For files; gone afterwards.
    pub scratch: Scratch,
    /// Made so far.
    bundles: Cell<u32>,
}

/// An appliance in both of its forms.
#[derive(Clone, Debug)]
pub struct Appliance {
    /// The bootable image.
    pub kernel: PathBuf,
    /// The Linux process.
    pub process: PathBuf,
}

/// How a test's guest differs from the usual one.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The machine type.
    pub machine: Machine,
    /// The memory.
    pub memory_mib: u32,
    /// The kernel command line; the static addresses of `link` unless a test says other words.
    pub words: String,
    /// Configuration and content, if any.
    pub bundle: Option<PathBuf>,
    /// The trial appliance, which has routes for tests, and not the one that ships.
    pub is_trial: bool,
    /// Another image than either.
    pub kernel: Option<PathBuf>,
    /// Devices of the usual machine that it has not, by QEMU's names.
    pub without: &'static [&'static str],
    /// Whether there is an entropy device.
    pub entropy: bool,
    /// Checksum and segmentation offload between the guest and our kernel.
    pub offloads: bool,
    /// More options for QEMU, in its own words.
    pub more: Vec<OsString>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            machine: Machine::Microvm,
            memory_mib: 256,
            words: link::guest_words(),
            bundle: None,
            is_trial: false,
            kernel: None,
            without: &[],
            entropy: true,
            offloads: true,
            more: Vec::new(),
        }
    }
}

impl Setup {
    /// The usual guest, of the trial appliance.
    pub fn trial() -> Self {
        Self { is_trial: true, ..Self::default() }
    }
}

/// A server under test.
pub enum Server {
    /// The image in QEMU.
    Guest(Box<Guest>),
    /// The Linux process.
    Process(Box<Child>),
}

/// A boot under software emulation on a busy machine.
pub const BOOT_LIMIT: Duration = Duration::from_secs(30);
const ASK_LIMIT: Duration = Duration::from_millis(500);
/// What answers for the site's root.
const INDEX: &str = "site/index.html";
/// Where the process listens in a test's namespace.
pub const PROCESS_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Where the guest does.
pub const GUEST_ADDRESS: SocketAddr = SocketAddr::new(link::GUEST_IPV4, 80);

impl Harness {
    /// The harness of one case, for this image and this process, in its long form or the usual one.
    ///
    /// # Errors
    ///
    /// We are in no namespace of our own.
    pub fn new(shipped: Appliance, trial: Appliance, is_long: bool) -> Result<Self> {
        link::ip(&["link", "set", "lo", "up"])?;
        let (scratch, bundles) = (Scratch::new()?, Cell::new(0));
        Ok(Self { tap: None, shipped, trial, is_long, scratch, bundles })
    }

    /// Whether the long forms of cases are wanted (`cargo xtask test --long`), of those that have one.
    pub fn is_long(&self) -> bool {
        self.is_long
    }

    /// How much or how many a case tries: what is enough each day, or what its long form has.
    pub fn usual_or_long<T>(&self, usual: T, long: T) -> T {
        if self.is_long { long } else { usual }
    }

    /// The image that ships.
    pub fn kernel(&self) -> &Path {
        &self.shipped.kernel
    }

    /// The trial appliance, which has routes for tests.
    pub fn trial(&self) -> &Appliance {
        &self.trial
    }

    /// The wire's end on our side.
    pub fn tap(&mut self) -> Result<&Tap> {
        if self.tap.is_none() {
            self.tap = Some(Tap::new("tap0")?);
        }
        self.tap.as_ref().ok_or_else(|| Failure::new("no TAP"))
    }

    /// A bundle of a configuration, a page that answers for the root unless one is given, and more files.
    pub fn bundle(&self, config: &str, files: &[(&str, &[u8])]) -> Result<PathBuf> {
        let mut all = vec![(config::CONFIG_FILE, config.as_bytes())];
        if !files.iter().any(|(path, _)| *path == INDEX) {
            all.push((INDEX, &b"<!doctype html><title>aqueduct</title><p>hello"[..]));
        }
        all.extend(files);
        self.pack(&all)
    }

    /// The sample site that ships with the appliance.
    pub fn sample(&self) -> Result<PathBuf> {
        let out = self.scratch.path("sample.cpio");
        std::fs::write(&out, bundle::pack(&paths::root().join("config"))?)
            .or_say(|| "cannot write a bundle".into())?;
        Ok(out)
    }

    /// A bundle of exactly these files, configuration unchecked: tests of bad ones need that.
    pub fn pack(&self, files: &[(&str, &[u8])]) -> Result<PathBuf> {
        self.bundles.set(self.bundles.get() + 1);
        let out = self.scratch.path(&format!("{}.cpio", self.bundles.get()));
        std::fs::write(&out, bundle::of(files)?).or_say(|| "cannot write a bundle".into())?;
        Ok(out)
    }

    /// Starts a guest and returns at once.
    pub fn start(&mut self, setup: &Setup) -> Result<Guest> {
        let netdev = Netdev::Tap { name: self.tap()?.name().to_owned(), offloads: setup.offloads };
        let appliance = if setup.is_trial { &self.trial } else { &self.shipped };
        let spec = Spec {
            machine: setup.machine,
            accel: Accel::best(&appliance.kernel, setup.machine)?,
            memory_mib: setup.memory_mib,
            kernel: setup.kernel.clone().unwrap_or_else(|| appliance.kernel.clone()),
            initrd: setup.bundle.clone(),
            append: setup.words.clone(),
            netdev,
            without: setup.without,
            entropy: setup.entropy,
            more: setup.more.clone(),
        };
        Guest::start(&spec, &Echo::No)
    }

    /// Starts a guest and waits until it answers.
    pub fn boot(&mut self, setup: &Setup) -> Result<Guest> {
        let mut guest = self.start(setup)?;
        guest.wait_until("an HTTP answer", BOOT_LIMIT, |_| {
            http_client::get(GUEST_ADDRESS, "/", ASK_LIMIT).is_some()
        })?;
        Ok(guest)
    }

    /// Starts the Linux process on the kernel's sockets and waits until it answers.
    ///
    /// # Errors
    ///
    /// It does not answer in time.
    pub fn process(&self, bundle: &Path) -> Result<Child> {
        on_sockets(&self.shipped, PROCESS_ADDRESS, bundle)
    }

    /// Starts that of the trial appliance.
    ///
    /// # Errors
    ///
    /// It does not answer in time.
    pub fn trial_process(&self, bundle: &Path) -> Result<Child> {
        self.trial_process_at(PROCESS_ADDRESS, bundle)
    }

    /// Starts that of the trial appliance at another of this machine's addresses.
    ///
    /// # Errors
    ///
    /// It does not answer in time.
    pub fn trial_process_at(&self, address: SocketAddr, bundle: &Path) -> Result<Child> {
        on_sockets(&self.trial, address, bundle)
    }

    /// Starts the Linux process on the TAP, with its own stack and at the guest's addresses, and waits
    /// until it answers.
    ///
    /// # Errors
    ///
    /// There is no TAP, or it does not answer in time.
    pub fn process_on_tap(&mut self, bundle: &Path) -> Result<Child> {
        let name = self.tap()?.name().to_owned();
        on_tap(&self.shipped, &name, bundle)
    }

    /// The process that is shipped, to be started in another way.
    pub fn process_path(&self) -> &Path {
        &self.shipped.process
    }

    /// Starts that of the trial appliance on the TAP.
    ///
    /// # Errors
    ///
    /// There is no TAP, or it does not answer in time.
    pub fn trial_process_on_tap(&mut self, bundle: &Path) -> Result<Child> {
        let name = self.tap()?.name().to_owned();
        on_tap(&self.trial, &name, bundle)
    }
}

fn on_sockets(appliance: &Appliance, address: SocketAddr, bundle: &Path) -> Result<Child> {
    let mut command = Command::new(&appliance.process);
    answering(command.arg("--http").arg(address.to_string()), bundle, address)
}

fn on_tap(appliance: &Appliance, tap: &str, bundle: &Path) -> Result<Child> {
    let mut command = Command::new(&appliance.process);
    command.args(["--tap", tap]).args(link::guest_words().split_whitespace());
    answering(&mut command, bundle, GUEST_ADDRESS)
}

fn answering(command: &mut Command, bundle: &Path, address: SocketAddr) -> Result<Child> {
    let mut child = Child::start(command.arg("--bundle").arg(bundle), |command| {
        command.stdin(Stdio::null());
    })?;
    let deadline = Instant::now() + BOOT_LIMIT;
    while http_client::get(address, "/", ASK_LIMIT).is_none() {
        if let Some(status) = child.ended() {
            fail!("the process ended ({status}) before it answered");
        }
        if Instant::now() > deadline {
            fail!("the process gave no HTTP answer within {BOOT_LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(child)
}

impl Server {
    /// Adds what the server said last to a failure, and checks that it is still there after a success.
    pub fn judge(&mut self, result: Result) -> Result {
        match (result, self) {
            (Err(failure), Self::Guest(guest)) => {
                fail!("{failure}\nthe guest's last lines:\n{}", guest.tail())
            }
            (Ok(()), Self::Guest(guest)) => match guest.ended() {
                Some(status) => {
                    fail!("the guest ended ({status}); its last lines:\n{}", guest.tail())
                }
                None => Ok(()),
            },
            (Ok(()), Self::Process(child)) => match child.ended() {
                Some(status) => fail!("the process ended ({status})"),
                None => Ok(()),
            },
            (result, Self::Process(_)) => result,
        }
    }

    /// Asks for a graceful stop and expects exit code 0.
    pub fn stop(&mut self, limit: Duration) -> Result {
        match self {
            Self::Guest(guest) => {
                guest.qmp()?.power_button()?;
                match guest.wait_end(limit)? {
                    0 => Ok(()),
                    code => fail!(
                        "the guest stopped with exit code {code}; its last lines:\n{}",
                        guest.tail()
                    ),
                }
            }
            Self::Process(child) => {
                child.signal(Signal::TERM);
                match child.wait(limit) {
                    Some(status) if status.success() => Ok(()),
                    Some(status) => fail!("the process stopped with {status}"),
                    None => fail!("the process did not stop within {limit:?}"),
                }
            }
        }
    }
}

/// curl's output: the body, or with `-i` and the like what they add.
pub fn curl(arguments: &[&str]) -> Result<String> {
    programs::output(
        programs::command(&programs::CURL)?
            .args(["--silent", "--show-error", "--max-time", "60"])
            .args(arguments),
    )
}

/// Bytes that differ everywhere and are the same each time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64: good enough to show a misplaced byte.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A failure unless two things are equal.
pub fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result {
    if found == expected { Ok(()) } else { fail!("{what}: found {found:?}, expected {expected:?}") }
}

/// A failure unless a text contains another.
pub fn contains(what: &str, text: &str, part: &str) -> Result {
    if text.contains(part) { Ok(()) } else { fail!("{what}: no `{part}` in:\n{text}") }
}

/// A failure unless a file has exactly these bytes.
pub fn same_bytes(what: &str, file: &Path, expected: &[u8]) -> Result {
    let found = std::fs::read(file).or_say(|| format!("{what}: cannot read {}", file.display()))?;
    if found == expected {
        return Ok(());
    }
    let at = found
        .iter()
        .zip(expected)
        .position(|(a, b)| a != b)
        .unwrap_or(found.len().min(expected.len()));
    fail!(
        "{what}: {} bytes, expected {}; the first difference is at byte {at}",
        found.len(),
        expected.len()
    )
}
