//! Two guests of one host that reach each other by memory which `aqueductctl shm-server` gives them, through QEMU's own device:
//! one passes requests on, asks a service by ZeroMQ and calls an object; the other, on another kind of machine, is killed and started again.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    programs::{self, CURL},
};
use lab::{
    accel::Accel,
    guest::{Echo, Guest},
    harness::{
        BOOT_LIMIT, Case, GUEST_ADDRESS, Harness, Server, Setup, curl, equal, noise, same_bytes,
    },
    process,
    qemu::{Machine, Netdev, Spec},
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) const CASES: &[Case] =
    &[Case::new("ivshmem/guests_talk_and_one_is_killed", &[&CURL], 240, guests)];

const MEMORY_MIB: u32 = 256;
/// Longer than the client below takes until the other guest is dead.
const BIG_BYTES: usize = 24 << 20;
/// As long as the route takes one, and longer than a ring.
const ECHO_BYTES: usize = 1 << 20;
const SMALL: &str = "a page";
const BEHIND: &str =
    "[shared_memory]\nhttp_path = \"http\"\nzmq_path = \"transform\"\nrpc_path = \"rpc\"\n";
const NAMES: &str = "transform here zmtp shm:transform\n";
const STARTED: &str = "http by shared memory at http";
const START_LIMIT: Duration = Duration::from_secs(20);
/// A peer is gone after 5 s without an answer; all else is the machine's slowness.
const NOTICE_LIMIT: Duration = Duration::from_secs(60);

fn guests(harness: &mut Harness) -> Result {
    let socket = harness.scratch.path("shm");
    let _server = serve(&socket)?;
    let files: [(&str, &[u8]); 2] =
        [("site/big", &noise(BIG_BYTES)), ("site/small", SMALL.as_bytes())];
    let bundle = harness.bundle(BEHIND, &files)?;
    let behind = behind(harness, &socket, &bundle)?;
    let setup = Setup {
        machine: Machine::Q35,
        memory_mib: MEMORY_MIB,
        bundle: Some(harness.bundle("", &[("names", NAMES.as_bytes())])?),
        more: device(&socket),
        ..Setup::trial()
    };
    let front = harness.boot(&setup)?;
    let result = (|| {
        carried(harness)?;
        cut_off(behind)?;
        let _again = self::behind(harness, &socket, &bundle)?;
        equal("a page of its successor", &curl(&["--fail", &url("/small")])?.as_str(), &SMALL)
    })();
    Server::Guest(Box::new(front)).judge(result)
}

/// The server, once it is there.
pub(super) fn serve(socket: &Path) -> Result<Child> {
    let mut command = Command::new(process::build_ctl()?);
    command.arg("shm-server").arg(socket).args(["--megabytes", "8"]);
    let mut server = Child::start(&command, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    })?;
    let deadline = Instant::now() + START_LIMIT;
    while !socket.exists() {
        if let Some(status) = server.ended() {
            fail!("the server of shared memory ended ({status})");
        }
        if Instant::now() > deadline {
            fail!("the server of shared memory is not there after {START_LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(server)
}

/// The second guest, which others reach by shared memory alone.
fn behind(harness: &Harness, socket: &Path, bundle: &Path) -> Result<Guest> {
    let kernel: PathBuf = harness.trial().kernel.clone();
    let machine = Machine::MicrovmPcie;
    let spec = Spec {
        machine,
        accel: Accel::best(&kernel, machine)?,
        memory_mib: MEMORY_MIB,
        kernel,
        initrd: Some(bundle.to_owned()),
        append: "ip=10.0.2.15/24".into(),
        netdev: Netdev::User { forwards: Vec::new() },
        without: &[],
        entropy: true,
        more: device(socket),
    };
    let mut guest = Guest::start(&spec, &Echo::No)?;
    guest.wait_for(STARTED, BOOT_LIMIT)?;
    Ok(guest)
}

/// QEMU's options.
pub(super) fn device(socket: &Path) -> Vec<OsString> {
    let chardev = format!("socket,id=shm,path={}", socket.display());
    let options = ["-chardev", &chardev, "-device", "ivshmem-doorbell,chardev=shm,vectors=1"];
    options.map(OsString::from).into()
}

/// Where the first guest passes requests on to the second.
fn url(path: &str) -> String {
    format!("http://{GUEST_ADDRESS}/_test/relay/shm:http{path}")
}

fn carried(harness: &Harness) -> Result {
    let [body, out] = ["body", "out"].map(|name| harness.scratch.path(name));
    let to = out.display().to_string();
    curl(&["--fail", "-o", &to, &url("/big")])?;
    same_bytes("a download", &out, &noise(BIG_BYTES))?;
    let sent = noise(ECHO_BYTES);
    std::fs::write(&body, &sent).or_say(|| "cannot write a file".into())?;
    let data = format!("@{}", body.display());
    for _ in 0..3 {
        let echo = url("/_test/echo");
        curl(&["--fail", "-o", &to, "--data-binary", &data, &echo])?;
        same_bytes("an upload's echo", &out, &sent)?;
    }
    // A call whose message is longer than a ring, and its answer.
    let call = format!("http://{GUEST_ADDRESS}/_test/call/shm:rpc");
    curl(&["--fail", "-o", &to, "--data-binary", &data, &call])?;
    same_bytes("a call's echo", &out, &sent)?;
    let asked = format!("http://{GUEST_ADDRESS}/_test/transform/transform");
    let answer = curl(&["--fail", "--data-binary", "water flows", &asked])?;
    equal("what ZeroMQ's service made of it", &answer.as_str(), &"WATER FLOWS")
}

/// Kills the second guest in the middle of an answer.
fn cut_off(behind: Guest) -> Result {
    // A client that takes its time.
    let mut command = programs::command(&CURL)?;
    command.args(["-s", "-o", "/dev/null", "--limit-rate", "1M", &url("/big")]);
    let mut client = Child::start(&command, |_| {})?;
    std::thread::sleep(Duration::from_secs(1));
    equal("whether the client has ended", &client.ended().is_some(), &false)?;
    drop(behind);
    let is_cut = client.wait(NOTICE_LIMIT).is_some_and(|status| !status.success());
    equal("whether the client was cut off", &is_cut, &true)?;
    let refused = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url("/small")])?;
    equal("without the guest", &refused.as_str(), &"502")
}
