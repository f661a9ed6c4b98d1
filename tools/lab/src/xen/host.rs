//! A running Xen host: QEMU, its serial line, and dom0's shell.

use super::dom0::Dom0;
use crate::{
    guest::{Echo, Guest},
    link,
};
use command::{
    failure::{OrSay, Result, fail},
    paths::Scratch,
    programs,
};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

/// The processor as Xen needs it from QEMU 7.2: no SMAP (a PV dom0 dies at its first return to user
/// mode), no MWAIT (Xen would idle with it, and panics), no RDTSCP (its intercept is misreported),
/// no XSAVE (a guest's XSETBV is not intercepted, so that Xen never learns of AVX state).
const CPU: &str =
    "EPYC,-smap,-monitor,-rdtscp,-xsave,-xsavec,-xsaveopt,-xgetbv1,-avx,-avx2,-f16c,-fma";
const XEN_WORDS: &str =
    "console=com1 com1=115200,8n1 dom0_max_vcpus=1 loglvl=warning guest_loglvl=all bootscrub=off";
const DOM0_MIB: u32 = 384;
/// What Xen itself takes.
const XEN_MIB: u32 = 96;
const READY: &str = "DOM0: ready";
const PUT_LIMIT: Duration = Duration::from_secs(600);
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const READY_LIMIT: Duration = Duration::from_secs(180);
/// dom0's address and its shell's port, as its init has them.
const DOM0: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 2, 15), 99);

/// This machine on dom0's bridge, when it is there by a TAP.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// How a host is made.
pub struct Options<'a> {
    /// Memory for guests, in MiB.
    pub guests_mib: u32,
    /// More of it for dom0, for disks that are put there, in MiB.
    pub disks_mib: u32,
    /// How dom0's bridge is reached.
    pub uplink: Uplink,
    /// What happens to Xen's serial line.
    pub echo: Echo,
    /// Asked now and then while dom0 starts: whether nobody wants it any more.
    pub given_up: &'a dyn Fn() -> bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        let uplink = Uplink::Forwards(Vec::new());
        Self { guests_mib: 0, disks_mib: 0, uplink, echo: Echo::No, given_up: &|| false }
    }
}

/// How dom0's bridge is reached from this machine.
pub enum Uplink {
    /// By QEMU's user network, which needs no rights: ports of this machine that lead to guests (port
    /// here, address, port there).
    Forwards(Vec<(u16, Ipv4Addr, u16)>),
    /// By a TAP, which has the address [`OUTSIDE`]. Takes a thousand connections, where the user
    /// network hands on two or three in a second.
    Tap(String),
}

/// Ends with this value.
pub struct Host {
    qemu: Guest,
    shell: SocketAddr,
}

/// What a command in dom0 gave.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub output: String,
}

impl Host {
    /// Boots Xen and dom0, and waits until dom0 takes commands.
    pub fn start(dom0: &Dom0, options: &Options<'_>) -> Result<Self> {
        let scratch = Scratch::new()?;
        let (netdev, shell) = options.uplink.netdev()?;
        let mut command = command(dom0, options)?;
        command.arg("-netdev").arg(netdev).args(["-device", "e1000,netdev=net,romfile="]);
        let qemu = Guest::start_command(&command, scratch, &options.echo)?;
        let mut host = Self { qemu, shell };
        host.wait_ready(options.given_up)?;
        Ok(host)
    }

    /// Runs a line of shell in dom0.
    pub fn run(&self, line: &str) -> Result<Answer> {
        self.run_with(line, &[], Duration::from_secs(120))
    }

    /// Runs a line of shell in dom0 that must succeed; its output.
    pub fn must(&self, line: &str) -> Result<String> {
        let answer = self.run(line)?;
        if answer.code == 0 {
            Ok(answer.output)
        } else {
            fail!("in dom0, `{line}` gave {}: {}", answer.code, answer.output.trim())
        }
    }

    /// Writes a file in dom0.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result {
        let line = format!("head -c {} > {path}", bytes.len());
        match self.run_with(&line, bytes, PUT_LIMIT)? {
            Answer { code: 0, .. } => Ok(()),
            answer => fail!("cannot write {path} in dom0: {}", answer.output),
        }
    }

    /// Runs a line of shell that reads `input`.
    pub fn run_with(&self, line: &str, input: &[u8], limit: Duration) -> Result<Answer> {
        run(self.shell, line, input, limit)
    }

    fn wait_ready(&mut self, given_up: &dyn Fn() -> bool) -> Result {
        let Self { qemu, shell } = self;
        qemu.wait_until("sign of dom0", READY_LIMIT, |qemu| {
            given_up() || qemu.serial().contains(READY)
        })?;
        // The marker comes a moment before the shell's server.
        qemu.wait_until("shell in dom0", READY_LIMIT, |_| {
            given_up() || run(*shell, "true", &[], PROBE_LIMIT).is_ok()
        })?;
        if given_up() { fail!("ended before dom0 was ready") } else { Ok(()) }
    }
}

/// One connection to dom0's shell.
fn run(shell: SocketAddr, line: &str, input: &[u8], limit: Duration) -> Result<Answer> {
    let what = || format!("no answer of dom0 to `{line}`");
    let mut stream = TcpStream::connect_timeout(&shell, limit).or_say(what)?;
    stream.set_read_timeout(Some(limit)).or_say(what)?;
    stream.write_all(format!("{line}\n").as_bytes()).or_say(what)?;
    stream.write_all(input).or_say(what)?;
    let mut output = Vec::new();
    stream.read_to_end(&mut output).or_say(what)?;
    let _ = stream.shutdown(Shutdown::Both);
    let output = String::from_utf8_lossy(&output).into_owned();
    match output.rsplit_once("exit=") {
        Some((output, code)) => {
            // A process in the background may say something later.
            let code = code.lines().next().unwrap_or_default().trim().parse().or_say(what)?;
            Ok(Answer { code, output: output.to_owned() })
        }
        None => fail!("dom0 did not finish `{line}`; it said: {output}"),
    }
}

fn command(dom0: &Dom0, options: &Options<'_>) -> Result<Command> {
    let mut command = programs::command(&programs::QEMU)?;
    let dom0_mib = DOM0_MIB + options.disks_mib;
    let memory = dom0_mib + XEN_MIB + options.guests_mib;
    command.args(["-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", CPU, "-smp", "1"]);
    command.args(["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"]);
    command.arg("-m").arg(format!("{memory}M"));
    command.arg("-kernel").arg(&dom0.xen);
    command.arg("-append").arg(format!("{XEN_WORDS} dom0_mem={dom0_mib}M,max:{dom0_mib}M"));
    command.arg("-initrd").arg(format!(
        "{} console=hvc0 loglevel=4,{}",
        dom0.kernel.display(),
        dom0.files.display()
    ));
    Ok(command)
}

impl Uplink {
    /// QEMU's word for it, and where dom0's shell is then.
    fn netdev(&self) -> Result<(String, SocketAddr)> {
        let forwards = match self {
            Self::Tap(name) => {
                let netdev = format!("tap,id=net,ifname={name},script=no,downscript=no");
                return Ok((netdev, SocketAddr::from(DOM0)));
            }
            Self::Forwards(forwards) => forwards,
        };
        let here = link::free_address()?;
        let shell = (here.port(), DOM0.0, DOM0.1);
        // Restricted: addresses that are not up yet must not be answered by this machine's network.
        let mut netdev = "user,id=net,restrict=on".to_owned();
        for (here, address, there) in forwards.iter().chain([&shell]) {
            netdev.push_str(&format!(",hostfwd=tcp:127.0.0.1:{here}-{address}:{there}"));
        }
        Ok((netdev, here))
    }
}
