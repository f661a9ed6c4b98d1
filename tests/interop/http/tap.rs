//! The Linux process over a TAP: our own stack against the kernel's.

use super::crowds::wrk;
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    programs,
};
use lab::{
    harness::{GUEST_ADDRESS, Harness, Server, curl, equal, noise, same_bytes},
    link, load,
    namespace::Namespace,
    peers,
};
use std::{
    fs::File,
    time::{Duration, Instant},
};

const BIG_BYTES: usize = 64 << 20;
const CONFIG: &str = "\
[http]
body_bytes_max = 67_108_864
idle_timeout_seconds = 600
";

/// 64 MiB each way and over both versions of IP, byte for byte; then with a kernel that sends
/// every segment in a frame of its own.
pub(super) fn transfers(harness: &mut Harness) -> Result {
    let big = noise(BIG_BYTES);
    let bundle = harness.bundle(CONFIG, &[("site/big", &big)])?;
    let child = harness.trial_process_on_tap(&bundle)?;
    let result = both_ways(harness, &big).and_then(|()| {
        let tap = harness.tap()?.name().to_owned();
        link::ip(&["link", "set", &tap, "gso_max_segs", "1"])?;
        both_ways(harness, &big)
    });
    Server::Process(Box::new(child)).judge(result)
}

fn both_ways(harness: &Harness, big: &[u8]) -> Result {
    let (source, out) = (harness.scratch.path("source"), harness.scratch.path("out"));
    std::fs::write(&source, big).or_say(|| "cannot write the upload".into())?;
    let (from, to) = (source.display().to_string(), out.display().to_string());
    for host in [GUEST_ADDRESS.ip().to_string(), format!("[{}]", link::GUEST_IPV6)] {
        let code = ["-o", &to, "-w", "%{http_code}"];
        let status = curl(&[&code[..], &[&format!("http://{host}/big")]].concat())?;
        equal("the status of a download", &status.as_str(), &"200")?;
        same_bytes("a download", &out, big)?;
        let echo = format!("http://{host}/_test/echo");
        let status = curl(&[&code[..], &["-T", &from, &echo]].concat())?;
        equal("the status of an upload", &status.as_str(), &"200")?;
        same_bytes("an upload that comes back", &out, big)?;
    }
    Ok(())
}

/// wrk on connections kept and on new ones, then a thousand connections at once.
pub(super) fn crowds(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(CONFIG, &[])?;
    let child = harness.process_on_tap(&bundle)?;
    let result = wrk(&["-c64"]).and_then(|()| wrk(&["-c16", "-H", "Connection: close"]));
    let result = result.and_then(|()| {
        let mut streams = load::open(GUEST_ADDRESS, 1_000)?;
        load::ask_each(&mut streams, GUEST_ADDRESS, "/")?;
        load::ask_each(&mut streams, GUEST_ADDRESS, "/")
    });
    Server::Process(Box::new(child)).judge(result)
}

/// A TAP that stays keeps the length of its frames' header from one program to the next: the usual one, QEMU's, and the
/// longest that Linux has.
pub(super) fn left_by_another_program(harness: &mut Harness) -> Result {
    let page = noise(100_000);
    let bundle = harness.bundle(CONFIG, &[("site/page", &page)])?;
    let (tap, out) = (harness.tap()?.name().to_owned(), harness.scratch.path("out"));
    for header_bytes in [10, 12, 24] {
        programs::output(programs::command(&peers::PYTHON)?.args([
            "-c",
            SET_HEADER_BYTES,
            &tap,
            &header_bytes.to_string(),
        ]))?;
        let child = harness.process_on_tap(&bundle)?;
        let url = format!("http://{GUEST_ADDRESS}/page");
        let result = curl(&["-o", &out.display().to_string(), &url]).and_then(|_| {
            same_bytes(&format!("a page behind headers of {header_bytes} bytes"), &out, &page)
        });
        let mut server = Server::Process(Box::new(child));
        server.judge(result)?;
        server.stop(STOP_LIMIT)?;
    }
    Ok(())
}

/// `TUNSETIFF` with `IFF_TAP | IFF_NO_PI | IFF_VNET_HDR`, then `TUNSETVNETHDRSZ`.
const SET_HEADER_BYTES: &str = "\
import fcntl, struct, sys
tap = open('/dev/net/tun', 'r+b', buffering=0)
fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH22x', sys.argv[1].encode(), 0x5002))
fcntl.ioctl(tap, 0x400454d8, struct.pack('i', int(sys.argv[2])))
";
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// A TAP that was not there is made, and the process says so; when somebody deletes it, the process ends with a failure.
pub(super) fn deleted(harness: &mut Harness) -> Result {
    const NAME: &str = "made0";
    let bundle = harness.bundle("", &[])?;
    let log = harness.scratch.path("log");
    let network = Namespace::new()?;
    let mut command = network.command(harness.process_path())?;
    command.args(["--tap", NAME, "--ip", "10.9.0.2/24", "--bundle"]).arg(&bundle);
    let output = File::create(&log).or_say(|| "cannot write the log".into())?;
    let mut process = Child::start(&command, |command| {
        command.stderr(output);
    })?;
    let said = |text: &str| std::fs::read_to_string(&log).is_ok_and(|log| log.contains(text));
    let deadline = Instant::now() + STOP_LIMIT;
    while !said("http on port") {
        if process.ended().is_some() || Instant::now() > deadline {
            fail!("the process does not start");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    network.run(|| link::ip(&["link", "delete", NAME]))??;
    let code = process.wait(STOP_LIMIT).and_then(|status| status.code());
    // docs/operating.md: its TAP is gone.
    equal("the exit code", &code, &Some(3))?;
    for text in ["made0 was not there and was made", "made0 is down", "made0 is gone"] {
        equal(text, &said(text), &true)?;
    }
    Ok(())
}

pub(super) fn stops_gracefully(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let child = harness.process_on_tap(&bundle)?;
    Server::Process(Box::new(child)).stop(STOP_LIMIT)
}
