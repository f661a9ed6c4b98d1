//! `cargo xtask bench native`: the Linux process on our own stack over a TAP and on the kernel's over veth, in one run.
//!
//! The client is this process, on the kernel's sockets, in a namespace of its own; the processes differ in nothing but
//! the stack. CPU time is the server's and the client's together: each stack does part of its work in the other's calls.

use super::{load, measurements::median};
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files, paths,
    programs::{self, Install, Program},
};
use image_builder::bundle;
use lab::{
    harness::noise,
    http_client,
    link::{self, Tap},
    namespace, process,
};
use std::{
    ffi::OsStr,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

/// The hidden verb by which the measurements run in a network namespace of their own.
pub const NATIVE_VERB: &str = "bench-native-worker";
const NSENTER: Program = Program { name: "nsenter", package: "util-linux" };
const LIMIT: Duration = Duration::from_secs(600);
const START_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const BULK_BYTES: usize = 64 << 20;
/// Bulk files in one measurement.
const REPEATS: usize = 4;
const ROUNDS: usize = 11;
const CONFIG: &str = "\
[http]
access_log = false
body_bytes_max = 1_073_741_824
";
const OURS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2)), 80);
const KERNELS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 2, 2)), 80);

/// Builds, then measures in a namespace of its own.
///
/// # Errors
///
/// Something is missing, does not build or does not end.
pub fn native(install: Install) -> Result<ExitCode> {
    programs::need(&[&programs::IP, &NSENTER], install)?;
    let process = process::build_trial()?;
    namespace::again([OsStr::new(NATIVE_VERB), process.as_os_str()], LIMIT)
}

/// Measures; runs in the namespace that [`native`] made.
///
/// # Errors
///
/// A process does not start or answer.
pub fn native_worker(process: &Path) -> Result<ExitCode> {
    let bundle = bundle_file()?;
    let tap = Tap::bare("tap0", Ipv4Addr::new(10, 9, 0, 1).into())?;
    let ours = on_tap(process, &bundle, &tap)?;
    let kernels = on_veth(process, &bundle)?;
    let servers = [(&ours, OURS), (&kernels, KERNELS)];
    println!("bulk TCP without a VM, MTU 1500; medians of {ROUNDS}, interleaved");
    println!("{:<28} {:>10} {:>10} {:>8}  reach", "", "our stack", "kernel's", "ratio");
    for (what, transfer) in [("sending", download as Transfer), ("receiving", upload)] {
        let mut samples = [const { Vec::new() }; 2];
        for _ in 0..ROUNDS {
            for (samples, (server, address)) in samples.iter_mut().zip(servers) {
                samples.push(measure(server, address, transfer)?);
            }
        }
        let column = |value: fn(&Sample) -> f64| {
            samples.each_ref().map(|all| median(&mut all.iter().map(value).collect::<Vec<_>>()))
        };
        print(&format!("{what}, MiB/s"), column(|sample| sample.mib_per_second), "at least 1");
        print(&format!("{what}, CPU s/GiB"), column(|sample| sample.cpu_per_gib), "at most 1");
        print(&format!("{what}, the server's part"), column(|sample| sample.server_per_gib), "");
    }
    Ok(ExitCode::SUCCESS)
}

fn print(what: &str, [ours, kernels]: [f64; 2], reach: &str) {
    println!("{what:<28} {ours:>10.3} {kernels:>10.3} {:>8.3}  {reach}", ours / kernels);
}

fn bundle_file() -> Result<PathBuf> {
    let files: [(&str, &[u8]); 3] = [
        (config::CONFIG_FILE, CONFIG.as_bytes()),
        ("site/index.html", b"hello, world\n"),
        ("site/big", &noise(BULK_BYTES)),
    ];
    let file = paths::made("bench")?.join("native.cpio");
    files::write(&file, bundle::of(&files)?)?;
    Ok(file)
}

fn on_tap(process: &Path, bundle: &Path, tap: &Tap) -> Result<Child> {
    let mut command = Command::new(process);
    command.arg("--bundle").arg(bundle).args(["--log", "warn", "--tap", tap.name()]);
    command.arg("--ip").arg(format!("{}/24", OURS.ip()));
    let server = start(&command)?;
    answers(OURS)?;
    Ok(server)
}

/// The server has a namespace of its own, with one end of the pair in it.
fn on_veth(process: &Path, bundle: &Path) -> Result<Child> {
    let mut command = namespace::command();
    command.arg(process).arg("--bundle").arg(bundle).args(["--log", "warn"]);
    command.args(["--http", &SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80)).to_string()]);
    let server = start(&command)?;
    let id = server.id().to_string();
    let namespace = |id: &str| std::fs::read_link(format!("/proc/{id}/ns/net")).ok();
    let deadline = Instant::now() + START_LIMIT;
    while namespace(&id) == namespace("self") {
        if Instant::now() > deadline {
            fail!("the server has no namespace of its own");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    link::ip(&["link", "add", "veth0", "type", "veth", "peer", "name", "veth1", "netns", &id])?;
    link::ip(&["addr", "add", "10.9.2.1/24", "dev", "veth0"])?;
    link::ip(&["link", "set", "veth0", "up"])?;
    let inside = |arguments: &[&str]| {
        let mut command = programs::command(&NSENTER)?;
        command.args(["--net", "--target", &id, "--", "ip"]).args(arguments);
        programs::output(&mut command)
    };
    inside(&["addr", "add", &format!("{}/24", KERNELS.ip()), "dev", "veth1"])?;
    inside(&["link", "set", "veth1", "up"])?;
    answers(KERNELS)?;
    Ok(server)
}

fn start(command: &Command) -> Result<Child> {
    Child::start(command, |command| {
        command.stdin(Stdio::null());
    })
}

fn answers(address: SocketAddr) -> Result {
    let deadline = Instant::now() + START_LIMIT;
    while http_client::get(address, "/", Duration::from_millis(500)).is_none() {
        if Instant::now() > deadline {
            fail!("no answer at {address} within {START_LIMIT:?}");
        }
    }
    Ok(())
}

struct Sample {
    mib_per_second: f64,
    cpu_per_gib: f64,
    server_per_gib: f64,
}

type Transfer = fn(&mut TcpStream, SocketAddr) -> Result;

fn measure(server: &Child, address: SocketAddr, transfer: Transfer) -> Result<Sample> {
    let say = || format!("a connection to {address}");
    let mut stream = TcpStream::connect_timeout(&address, START_LIMIT).or_say(say)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT)).or_say(say)?;
    // Buffers have grown after the first.
    transfer(&mut stream, address)?;
    let used = || -> Result<[f64; 2]> {
        Ok([load::cpu_time(server.id())?, load::cpu_time(std::process::id())?]
            .map(|time| time.as_secs_f64()))
    };
    let (before, started) = (used()?, Instant::now());
    for _ in 0..REPEATS {
        transfer(&mut stream, address)?;
    }
    let (seconds, after) = (started.elapsed().as_secs_f64(), used()?);
    let mib = ((REPEATS * BULK_BYTES) >> 20) as f64;
    let [server, client] = [after[0] - before[0], after[1] - before[1]];
    Ok(Sample {
        mib_per_second: mib / seconds,
        cpu_per_gib: (server + client) / mib * 1024.0,
        server_per_gib: server / mib * 1024.0,
    })
}

fn download(stream: &mut TcpStream, address: SocketAddr) -> Result {
    match http_client::get_again(stream, address, "/big") {
        Some(answer) if answer.status == 200 && answer.body_bytes == BULK_BYTES => Ok(()),
        _ => fail!("{address} did not send the bulk file"),
    }
}

fn upload(stream: &mut TcpStream, address: SocketAddr) -> Result {
    let say = || format!("an upload to {address}");
    let head = format!(
        "PUT /_test/sink HTTP/1.1\r\nHost: {address}\r\nContent-Length: {BULK_BYTES}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).or_say(say)?;
    let piece = [0x5a; 256 << 10];
    for _ in 0..BULK_BYTES / piece.len() {
        stream.write_all(&piece).or_say(say)?;
    }
    let body = format!("\r\n\r\n{BULK_BYTES}\n");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(body.as_bytes()) {
        match stream.read(&mut buffer).or_say(say)? {
            0 => fail!("{address} answered {:?}", String::from_utf8_lossy(&answer)),
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
    Ok(())
}
