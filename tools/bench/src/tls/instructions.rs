//! What HTTPS costs in instructions: of processes those outside of the kernel, of guests all that the machine executes.

use super::{nginx, ours};
use crate::{
    cost::{self, Subject, Verdict},
    counter::{Counter, Plugin},
};
use command::{
    failure::{Failure, Result, fail},
    files, paths,
    programs::{self, Install},
};
use image_builder::{bundle, image};
use lab::{
    accel::Accel,
    guest::{Echo, Guest},
    link, peers,
    qemu::{Machine, Netdev, Spec},
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Debian's kernel takes six seconds without the plugin.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
const MEMORY_MIB: u32 = 256;
/// Of the file that guests serve.
const BIG_MIB: u32 = 8;

/// What is counted: what it is called, how often it is done, and how.
const LOADS: [(&str, u32, Load); 4] = [
    ("a handshake and a request", 40, |command, url, count| {
        // Else curl resumes what it began.
        command.args(["--no-sessionid", "-H", "Connection: close"]).arg(each(url, "", count));
    }),
    ("a resumed one and a request", 40, |command, url, count| {
        command.args(["-H", "Connection: close"]).arg(each(url, "", count));
    }),
    ("a request on one connection", 200, |command, url, count| {
        command.arg(each(url, "", count));
    }),
    ("a MiB of a file", BIG_MIB, |command, url, count| {
        command.args(["--range", &format!("0-{}", (u64::from(count) << 20) - 1)]);
        command.arg(format!("{url}/big"));
    }),
];

/// Adds the words by which curl does something so many times.
type Load = fn(&mut Command, &str, u32);

fn each(url: &str, path: &str, count: u32) -> String {
    format!("{url}/{path}?[1-{count}]")
}

fn curl(address: SocketAddr, load: Load, count: u32) -> Result<Command> {
    let mut command = programs::command(&programs::CURL)?;
    command.args(["--silent", "--fail", "--insecure", "--max-time", "300", "-o", "/dev/null"]);
    load(&mut command, &format!("https://{address}"), count);
    Ok(command)
}

/// Of both as processes, whose site has a file `big`.
pub(super) fn processes(program: &Path, folder: &Path) -> Result {
    println!("\ninstructions of the process: ours, nginx, ours as part of nginx'");
    for (what, count, load) in LOADS {
        // A range cannot be three times as long as the file; it is long enough alone.
        let count = if count == BIG_MIB { count / 4 } else { count };
        let instructions = |name: &str, server: &dyn Fn(SocketAddr) -> Result<Command>| {
            let client = |address, count| {
                curl(address, load, count).unwrap_or_else(|_| Command::new("curl"))
            };
            Subject { name, server, client: &client }.instructions(count)
        };
        let own = instructions("ours", &|address| ours(program, folder, address))?;
        let theirs = instructions("nginx", &|address| nginx(folder, address))?;
        cost::print(what, &[own, theirs], &Verdict::OfPeers(&[]));
    }
    Ok(())
}

/// Of both as guests: our image, and Linux with nginx.
pub(super) fn guests(folder: &Path, install: Install) -> Result {
    programs::need(&[&programs::QEMU, &programs::CC], install)?;
    let plugin = Plugin::build()?;
    let words = format!("bulk={BIG_MIB}");
    let identity = ["cert.pem", "key.pem"].map(|name| folder.join("tls").join(name));
    let [certificate, key] = &identity;
    let theirs = peers::linux_guest::make_with_tls(
        b"hello, world\n",
        &files::read(certificate)?,
        &files::read(key)?,
        install,
    )?;
    let own = image::build(&image::Options::default(), install)?.shipped;
    let guests = [
        ("ours", own, bundle_of(folder)?, "ip=10.0.2.15/24".to_owned()),
        ("nginx", theirs.kernel, theirs.initrd, format!("console=ttyS0 {words} ip=10.0.2.15/24")),
    ];
    let mut costs = [const { Vec::new() }; 2];
    for (costs, (name, kernel, initrd, words)) in costs.iter_mut().zip(guests) {
        let counter = plugin.counter(name)?;
        let address = link::free_address()?;
        let mut guest = start(kernel, initrd, &words, address, &counter)?;
        wait(&mut guest, name, address)?;
        for (_, count, load) in LOADS {
            // The first time fills caches, and makes what is made once.
            programs::output(&mut curl(address, load, count)?)?;
            let before = counter.now()?;
            programs::output(&mut curl(address, load, count)?)?;
            costs.push((counter.now()? - before) as f64 / f64::from(count));
        }
    }
    println!("\ninstructions of the guest, its kernel's among them: ours, Linux with nginx");
    let [own, theirs] = costs;
    for ((what, ..), (own, theirs)) in LOADS.iter().zip(own.into_iter().zip(theirs)) {
        cost::print(what, &[own, theirs], &Verdict::OfPeers(&[]));
    }
    Ok(())
}

/// What our guest serves: the same keys, and a shorter file.
fn bundle_of(folder: &Path) -> Result<PathBuf> {
    let read = |name: &str| files::read(&folder.join("tls").join(name));
    let big = vec![b'x'; (BIG_MIB as usize) << 20];
    let archive = bundle::of(&[
        (config::CONFIG_FILE, b"[network]\nslaac = false\n[tls]\nport = 443\n[zmq]\nport = 0\n"),
        ("site/big", &big),
        ("site/index.html", b"hello, world\n"),
        ("tls/cert.pem", &read("cert.pem")?),
        ("tls/key.pem", &read("key.pem")?),
    ])?;
    let file = paths::made("bench-tls")?.join("guest.cpio");
    files::write(&file, archive)?;
    Ok(file)
}

fn start(
    kernel: PathBuf,
    initrd: PathBuf,
    words: &str,
    address: SocketAddr,
    counter: &Counter,
) -> Result<Guest> {
    let spec = Spec {
        machine: Machine::Microvm,
        accel: Accel::Tcg,
        memory_mib: MEMORY_MIB,
        kernel,
        initrd: Some(initrd),
        append: words.to_owned(),
        netdev: Netdev::User { forwards: vec![(address.port(), 443)] },
        without: &[],
        entropy: true,
        more: counter.options.iter().map(Into::into).collect(),
    };
    Guest::start(&spec, &Echo::No)
}

fn wait(guest: &mut Guest, name: &str, address: SocketAddr) -> Result {
    let deadline = Instant::now() + BOOT_LIMIT;
    let once: Load = |command, url, _| {
        command.args(["--connect-timeout", "2"]).arg(url);
    };
    while programs::output(&mut curl(address, once, 1)?).is_err() {
        if let Some(status) = guest.ended() {
            fail!("{name} ended ({status}); its last lines:\n{}", guest.tail());
        }
        if Instant::now() > deadline {
            return Err(Failure(format!(
                "{name} does not serve; its last lines:\n{}",
                guest.tail()
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
