//! WebSockets against Python's `websockets`, on either side, and against Chromium's.

use super::{browser as browsers, curl};
use command::{
    child::Child,
    failure::{Result, fail},
    programs,
};
use lab::{
    harness::{Harness, PROCESS_ADDRESS, Server, contains, curl, equal},
    link, peers,
};
use std::{
    net::{SocketAddr, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

const START_LIMIT: Duration = Duration::from_secs(20);
/// Where Python serves: the guest reaches it over the wire, the process on this machine.
const PYTHON: SocketAddr = SocketAddr::new(link::HOST_IPV4, 9001);

pub(super) fn python_process(harness: &mut Harness) -> Result {
    // For its address, at which Python serves.
    harness.tap()?;
    let bundle = harness.bundle("", &[])?;
    curl::on_trial_process(harness, &bundle, python)
}

pub(super) fn python_guest(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    curl::on_trial_guest(harness, bundle, python)
}

fn python(_: &Harness, appliance: SocketAddr) -> Result {
    python_calls(appliance)?;
    we_call_python(appliance)
}

/// Python's client and our server.
pub(super) fn python_calls(appliance: SocketAddr) -> Result {
    let mut check = peer()?;
    let said = programs::output(check.arg("check").arg(appliance.to_string()))?;
    contains("the check's output", &said, "all checked")
}

/// Our client and Python's server.
fn we_call_python(appliance: SocketAddr) -> Result {
    let mut command = peer()?;
    command.arg("serve").arg(PYTHON.to_string());
    let mut child = Child::start(&command, |command| {
        command.stdin(Stdio::null());
    })?;
    let deadline = Instant::now() + START_LIMIT;
    while TcpStream::connect(PYTHON).is_err() {
        if let Some(status) = child.ended() {
            fail!("the server ended ({status}) before it served");
        }
        if Instant::now() > deadline {
            fail!("the server did not serve within {START_LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    for query in ["", "?plain", "?context"] {
        let url = format!("http://{appliance}/_test/websocket/{PYTHON}{query}");
        let said = curl(&["--fail", &url])?;
        equal("our client with Python", &said.as_str(), &"20 echoes, protocol echo\n")?;
    }
    Ok(())
}

fn peer() -> Result<std::process::Command> {
    let mut command = peers::python()?;
    command.arg(peers::source("tests/interop/websocket/peer.py"));
    Ok(command)
}

/// A page that has the appliance echo messages, and says on the console how that went.
const PAGE: &str = r#"<!doctype html><title>echo</title><script>
const say = (what) => console.log("page: " + what);
const socket = new WebSocket("ws://" + location.host + "/_test/websocket?context", ["echo"]);
socket.binaryType = "arraybuffer";
const texts = ["", "w\u00e9bsocket", "again and again ".repeat(20000)];
const sent = [...texts, ...texts, new Uint8Array(70000).fill(7)];
let echoed = 0;
socket.onopen = () => {
  say(`protocol ${socket.protocol}, extensions ${socket.extensions}`);
  sent.forEach((message) => socket.send(message));
};
socket.onmessage = ({ data }) => {
  const expected = sent[echoed++];
  const same = typeof data === "string" ? data === expected
    : data.byteLength === expected.length && new Uint8Array(data).every((byte) => byte === 7);
  if (!same) say("failed: another message than " + echoed);
  if (echoed === sent.length) socket.close(4000, "enough");
};
socket.onclose = ({ code, reason, wasClean }) => {
  say(`${echoed} echoes, ${code} ${wasClean ? "clean" : "not clean"} ${reason}.`);
};
</script>"#;

/// Chromium's own WebSocket, which offers permessage-deflate.
pub(super) fn browser(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[("site/index.html", PAGE.as_bytes())])?;
    let child = harness.trial_process(&bundle)?;
    let result = browse(harness);
    Server::Process(Box::new(child)).judge(result)
}

fn browse(harness: &Harness) -> Result {
    let said = browsers::console(harness, &format!("http://{PROCESS_ADDRESS}/"), " echoes, ")?;
    contains("the page", &said, "protocol echo, extensions permessage-deflate")?;
    contains("the page", &said, "page: 7 echoes, 4000 clean .")
}
