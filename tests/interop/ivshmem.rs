//! Two guests of one host that reach each other by memory which `aqueductctl shm-server` gives them, through QEMU's own device:
//! one passes requests on, asks a service by ZeroMQ and calls an object; the other, on another kind of machine, is killed and started again.

use command::{
    failure::{OrSay, Result, fail},
    programs::CURL,
};
use lab::{
    accel::Accel,
    guest::{Echo, Guest},
    harness::{
        BOOT_LIMIT, Case, GUEST_ADDRESS, Harness, Server, Setup, curl, equal, noise, same_bytes,
    },
    http_client::{Download, End},
    process,
    qemu::{Machine, Netdev, Spec, shared_memory_device},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("ivshmem/guests_talk_and_one_is_killed", &[&CURL], 240, guests).with_long_form(2400),
    Case::new("ivshmem/a_guest_of_16_mib", &[&CURL], 120, small_guest),
];

const MEMORY_MIB: u32 = 256;
/// With the long form's content in it.
const LONG_MEMORY_MIB: u32 = 640;
/// The least that there may be; in all more bytes go through, by more connections than there may be at once.
const SMALL_MEMORY_MIB: u32 = 16;
const SMALL_ECHO_BYTES: usize = 300 << 10;
const SMALL_ECHOES: usize = 64;
const REGION_MIB: u32 = 8;
/// More than is on its way to a client that does not read.
const BIG_BYTES: usize = 24 << 20;
const LONG_BIG_BYTES: usize = 256 << 20;
/// Of the long form's download, on a busy machine.
const DOWNLOAD_SECONDS: &str = "600";
/// As long as the route takes one, and longer than a ring.
const ECHO_BYTES: usize = 1 << 20;
/// Echoes; in the long form as many bytes as there are downloaded.
const ECHOES: usize = 3;
const LONG_ECHOES: usize = LONG_BIG_BYTES / ECHO_BYTES;
/// How often the other guest is killed.
const KILLS: usize = 1;
const LONG_KILLS: usize = 5;
const SMALL: &str = "a page";
const BEHIND: &str =
    "[shared_memory]\nhttp_path = \"http\"\nzmq_path = \"transform\"\nrpc_path = \"rpc\"\n";
const NAMES: &str = "transform here zmtp shm:transform\n";
const STARTED: &str = "http by shared memory at http";
/// A peer is gone after 5 s without an answer; all else is the machine's slowness.
const NOTICE_LIMIT: Duration = Duration::from_secs(60);

fn guests(harness: &mut Harness) -> Result {
    let socket = harness.scratch.path("shm");
    let _server = process::serve_shared_memory(&socket, REGION_MIB)?;
    let big = noise(harness.usual_or_long(BIG_BYTES, LONG_BIG_BYTES));
    let files: [(&str, &[u8]); 2] = [("site/big", &big), ("site/small", SMALL.as_bytes())];
    let bundle = harness.bundle(BEHIND, &files)?;
    let memory_mib = harness.usual_or_long(MEMORY_MIB, LONG_MEMORY_MIB);
    let mut behind = behind(harness, &socket, &bundle, memory_mib)?;
    let front = front(harness, &socket)?;
    let result = (|| {
        carried(harness, &big)?;
        for _ in 0..harness.usual_or_long(KILLS, LONG_KILLS) {
            cut_off(behind)?;
            behind = self::behind(harness, &socket, &bundle, memory_mib)?;
            equal("a page of its successor", &curl(&["--fail", &url("/small")])?.as_str(), &SMALL)?;
        }
        Ok(())
    })();
    Server::Guest(Box::new(front)).judge(result)
}

/// The least memory that a machine may have: rings are small, and what is longer than they goes through, in all more than there is
/// memory. What is too much to be held there is refused at once.
fn small_guest(harness: &mut Harness) -> Result {
    let socket = harness.scratch.path("shm");
    let _server = process::serve_shared_memory(&socket, REGION_MIB)?;
    let bundle = harness.bundle(BEHIND, &[("site/small", SMALL.as_bytes())])?;
    let _behind = behind(harness, &socket, &bundle, SMALL_MEMORY_MIB)?;
    let front = front(harness, &socket)?;
    let result = (|| {
        equal("a page", &curl(&["--fail", &url("/small")])?.as_str(), &SMALL)?;
        echoed(harness, SMALL_ECHO_BYTES, SMALL_ECHOES)?;
        let long = harness.scratch.path("long");
        std::fs::write(&long, noise(ECHO_BYTES)).or_say(|| "cannot write a file".into())?;
        let data = format!("@{}", long.display());
        let asked = ["-o", "/dev/null", "-w", "%{http_code}", "--data-binary", &data];
        let refused = curl(&[&asked[..], &[&url("/_test/echo")]].concat())?;
        equal("a body that has no room there", &refused.as_str(), &"413")
    })();
    Server::Guest(Box::new(front)).judge(result)
}

/// The first guest, which passes requests on.
fn front(harness: &mut Harness, socket: &Path) -> Result<Guest> {
    let setup = Setup {
        machine: Machine::Q35,
        memory_mib: MEMORY_MIB,
        bundle: Some(harness.bundle("", &[("names", NAMES.as_bytes())])?),
        more: shared_memory_device(socket),
        ..Setup::trial()
    };
    harness.boot(&setup)
}

/// The second guest, which others reach by shared memory alone.
fn behind(harness: &Harness, socket: &Path, bundle: &Path, memory_mib: u32) -> Result<Guest> {
    let kernel: PathBuf = harness.trial().kernel.clone();
    let machine = Machine::MicrovmPcie;
    let spec = Spec {
        machine,
        accel: Accel::best(&kernel, machine)?,
        memory_mib,
        kernel,
        initrd: Some(bundle.to_owned()),
        append: "ip=10.0.2.15/24".into(),
        netdev: Netdev::User { forwards: Vec::new() },
        without: &[],
        entropy: true,
        more: shared_memory_device(socket),
    };
    let mut guest = Guest::start(&spec, &Echo::No)?;
    guest.wait_for(STARTED, BOOT_LIMIT)?;
    Ok(guest)
}

/// Where the first guest passes requests on to the second.
fn url(path: &str) -> String {
    format!("http://{GUEST_ADDRESS}{}", relayed(path))
}

fn relayed(path: &str) -> String {
    format!("/_test/relay/shm:http{path}")
}

fn carried(harness: &Harness, big: &[u8]) -> Result {
    let [body, out] = ["body", "out"].map(|name| harness.scratch.path(name));
    let to = out.display().to_string();
    curl(&["--fail", "--max-time", DOWNLOAD_SECONDS, "-o", &to, &url("/big")])?;
    same_bytes("a download", &out, big)?;
    echoed(harness, ECHO_BYTES, harness.usual_or_long(ECHOES, LONG_ECHOES))?;
    let sent = noise(ECHO_BYTES);
    std::fs::write(&body, &sent).or_say(|| "cannot write a file".into())?;
    let data = format!("@{}", body.display());
    // A call whose message is longer than a ring, and its answer.
    let call = format!("http://{GUEST_ADDRESS}/_test/call/shm:rpc");
    curl(&["--fail", "-o", &to, "--data-binary", &data, &call])?;
    same_bytes("a call's echo", &out, &sent)?;
    let asked = format!("http://{GUEST_ADDRESS}/_test/transform/transform");
    let answer = curl(&["--fail", "--data-binary", "water flows", &asked])?;
    equal("what ZeroMQ's service made of it", &answer.as_str(), &"WATER FLOWS")
}

/// Bodies that go to the second guest and come back.
fn echoed(harness: &Harness, bytes: usize, count: usize) -> Result {
    let [body, out] = ["echoed", "echo"].map(|name| harness.scratch.path(name));
    let (to, data) = (out.display().to_string(), format!("@{}", body.display()));
    let sent = noise(bytes);
    std::fs::write(&body, &sent).or_say(|| "cannot write a file".into())?;
    for _ in 0..count {
        curl(&["--fail", "-o", &to, "--data-binary", &data, &url("/_test/echo")])?;
        same_bytes("an upload's echo", &out, &sent)?;
    }
    Ok(())
}

/// Kills the second guest in the middle of an answer.
fn cut_off(behind: Guest) -> Result {
    let path = relayed("/big");
    let Some(download) = Download::start(GUEST_ADDRESS, &path, NOTICE_LIMIT) else {
        fail!("{path} is not answered");
    };
    drop(behind);
    equal("the client's download", &download.rest(NOTICE_LIMIT), &End::Cut)?;
    let refused = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url("/small")])?;
    equal("without the guest", &refused.as_str(), &"502")
}
