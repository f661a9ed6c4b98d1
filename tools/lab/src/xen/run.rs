//! One guest under Xen: the appliance for `run --xen`, and any image for `cargo xtask xen ELF`, which
//! is for whoever works on its lowest parts.

use super::{Dom0, Domain, Host, Options, Uplink, put_disk, put_file};
use crate::guest::Echo;
use command::{
    failure::{OrSay, Result, fail},
    files,
    programs::{self, Install},
};
use std::{
    cell::Cell,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// Where the guest is on dom0's bridge.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 20);
/// How often dom0 is asked what the guest does.
const ASK_EVERY: Duration = Duration::from_millis(500);
const GUESTS_MIB: u32 = 128;

/// The appliance that is to run.
pub struct Request<'a> {
    /// The packed image.
    pub image: &'a Path,
    /// Configuration and content, if not on a disk.
    pub bundle: Option<&'a Path>,
    /// Disks. They lie in dom0's memory.
    pub disks: &'a [PathBuf],
    /// The memory of the guest.
    pub memory_mib: u32,
    /// (port on this machine, port in the guest).
    pub forwards: &'a [(u16, u16)],
    /// More words for the kernel command line.
    pub words: &'a str,
    /// Whether missing programs may be installed.
    pub install: Install,
    /// Asked now and then: whether nobody wants it any more.
    pub given_up: &'a dyn Fn() -> bool,
}

/// The appliance as a guest, with its host; both end with this value.
pub struct Running {
    host: Host,
    domain: Domain,
    /// Bytes of the console that were shown.
    shown: Cell<usize>,
    asked: Cell<Instant>,
}

impl Running {
    /// Boots Xen and dom0, and starts the guest there.
    pub fn start(request: &Request<'_>) -> Result<Self> {
        let dom0 = Dom0::get(request.install)?;
        let options = Options {
            guests_mib: request.memory_mib + 32,
            disks_mib: mib_of(request.disks)?,
            uplink: Uplink::Forwards(
                request.forwards.iter().map(|(here, there)| (*here, ADDRESS, *there)).collect(),
            ),
            echo: Echo::No,
            given_up: request.given_up,
        };
        eprintln!("xtask: starting Xen and its dom0; Ctrl-C stops them");
        let host = Host::start(&dom0, &options)?;
        put_file(&host, "image", request.image)?;
        let mut domain = Domain::appliance("aqueduct", &ADDRESS.to_string());
        match request.bundle {
            Some(bundle) => put_file(&host, "bundle", bundle)?,
            None => domain.ramdisk = None,
        }
        for (file, letter) in request.disks.iter().zip('a'..='h') {
            let device = put_disk(&host, &format!("disk-{letter}"), file)?;
            domain.disks.push(format!("{device},xvd{letter},r"));
        }
        domain.memory_mib = request.memory_mib;
        domain.words = format!("ip={ADDRESS}/24 gw=10.0.2.15 {}", request.words).trim().to_owned();
        domain.create(&host)?;
        Ok(Self { host, domain, shown: Cell::new(0), asked: Cell::new(Instant::now()) })
    }

    /// Shows what the guest has said since; the reason that it gave Xen, once it has ended.
    pub fn ended(&self) -> Option<u32> {
        if self.asked.get().elapsed() < ASK_EVERY {
            return None;
        }
        self.asked.set(Instant::now());
        let console = self.domain.console(&self.host).ok()?.replace('\r', "");
        print!("{}", console.get(self.shown.get()..).unwrap_or_default());
        self.shown.set(console.len());
        self.domain.end_reason(&self.host).ok()?
    }

    /// Asks it to stop, as `xl shutdown` does, and waits.
    pub fn stop(&self, limit: Duration, is_enough: impl Fn() -> bool) -> Result<ExitCode> {
        self.host.must(&format!("xl shutdown {}", self.domain.name))?;
        let deadline = Instant::now() + limit;
        while !is_enough() && Instant::now() < deadline {
            match self.ended() {
                Some(0) => return Ok(ExitCode::SUCCESS),
                Some(reason) => fail!("the guest stopped with Xen's reason {reason}"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        fail!("the guest did not stop by itself and was ended");
    }
}

/// What disks take of dom0's memory.
fn mib_of(disks: &[PathBuf]) -> Result<u32> {
    const MIB_MAX: u64 = 2048;
    // dom0 has so many loop devices, and the guest uses no more.
    const COUNT_MAX: usize = 8;
    if disks.len() > COUNT_MAX {
        fail!("with --xen, {COUNT_MAX} disks are allowed");
    }
    let mut bytes = 0;
    for file in disks {
        let about = std::fs::metadata(file);
        bytes += about.or_say(|| format!("cannot read {}", file.display()))?.len();
    }
    match bytes.div_ceil(1 << 20) {
        mib @ ..=MIB_MAX => Ok(mib as u32),
        mib => {
            fail!("with --xen, disks lie in dom0's memory: {MIB_MAX} MiB are allowed, not {mib}")
        }
    }
}

/// Any image as the only guest of a fresh host.
pub struct Trial {
    /// The image.
    pub elf: PathBuf,
    /// Its ramdisk.
    pub ramdisk: Option<PathBuf>,
    /// Its command line.
    pub words: Vec<String>,
    /// What is run in dom0, instead of starting the guest and waiting for its end.
    pub script: Option<PathBuf>,
    /// Whether Xen's serial line is shown.
    pub echo: Echo,
    /// Whether missing programs may be installed.
    pub install: Install,
}

/// Runs it until it stops, and prints its console.
///
/// # Errors
///
/// No Xen to be had, a file that cannot be read, a dom0 that does not answer.
pub fn try_out(trial: &Trial) -> Result {
    let Trial { elf, ramdisk, words, script, echo, install } = trial;
    let (echo, install) = (echo.clone(), *install);
    programs::need(&[&programs::QEMU], install)?;
    let dom0 = Dom0::get(install)?;
    let host = Host::start(&dom0, &Options { guests_mib: GUESTS_MIB, echo, ..Options::default() })?;
    host.put("/guests/guest.elf", &files::read(elf)?)?;
    let mut config = format!(
        "type = \"pvh\"\nname = \"guest\"\nkernel = \"/guests/guest.elf\"\nmemory = 32\nvcpus = 1\n\
         tsc_mode = \"native\"\ncmdline = \"{}\"\nvif = [ 'bridge=xenbr0' ]\n\
         on_poweroff = \"destroy\"\non_reboot = \"destroy\"\non_crash = \"destroy\"\n",
        words.join(" ")
    );
    if let Some(ramdisk) = ramdisk {
        host.put("/guests/guest.cpio", &files::read(ramdisk)?)?;
        config.push_str("ramdisk = \"/guests/guest.cpio\"\n");
    }
    host.put("/guests/guest.cfg", config.as_bytes())?;
    let script = match script {
        Some(script) => String::from_utf8_lossy(&files::read(script)?).into_owned(),
        None => "xl create -q /guests/guest.cfg; n=0; while xl list guest >/dev/null 2>&1 && [ $n -lt 60 ]; do sleep 0.2; n=$((n+1)); done".into(),
    };
    host.put("/guests/run", script.as_bytes())?;
    let done = host.run_with(". /guests/run", &[], Duration::from_secs(600))?;
    print!("{}", done.output);
    print!(
        "{}",
        host.run(
            "cat /var/log/xen/console/guest-guest.log; grep -h reason /var/log/xen/xl-guest.log"
        )?
        .output
    );
    Ok(())
}
