//! Two processes of one host that reach each other by shared memory: one has a route that passes requests on, and others that
//! ask a service by ZeroMQ and call an object. And Xen's libxenvchan in the place of either, whose layout and protocol the rings have.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    programs::{CC, CURL},
};
use lab::{
    harness::{Case, Harness, PROCESS_ADDRESS, Server, curl, equal, noise, same_bytes},
    http_client::{Download, End},
    peers,
};
use rustix::process::Signal;
use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("shared_memory/bodies_are_carried_both_ways", &[&CURL], 180, bodies)
        .with_long_form(900),
    Case::new(
        "shared_memory/a_killed_process_is_noticed_and_its_successor_found",
        &[&CURL],
        120,
        killed,
    )
    .with_long_form(900),
    Case::new("shared_memory/libxenvchan_calls_us", &[&CC], 180, libxenvchan_calls_us),
    Case::new("shared_memory/we_call_libxenvchan", &[&CC, &CURL], 300, we_call_libxenvchan),
];

/// Of the second process, which others reach by shared memory alone as far as this goes.
const BEHIND: SocketAddr = SocketAddr::new(PROCESS_ADDRESS.ip(), 8081);
const BIG_BYTES: usize = 256 << 20;
/// As long as the route takes one, and longer than a ring.
const ECHO_BYTES: usize = 1 << 20;
/// Echoes; in the long form as many bytes as there are downloaded.
const ECHOES: usize = 20;
const LONG_ECHOES: usize = BIG_BYTES / ECHO_BYTES;
/// How often the other process is killed.
const KILLS: usize = 1;
const LONG_KILLS: usize = 20;
const SMALL: &str = "a page";
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that serves by memory at two paths, and one that knows a name for one of them.
struct Pair {
    front: Child,
    behind: Child,
    /// The second one's.
    bundle: PathBuf,
    http: String,
    rpc: String,
}

impl Pair {
    fn start(harness: &mut Harness) -> Result<Self> {
        let [http, zmq, rpc] = ["http", "zmq", "rpc"].map(|name| harness.scratch.path(name));
        let config = format!(
            "[shared_memory]\nhttp_path = \"{}\"\nzmq_path = \"{}\"\nrpc_path = \"{}\"\n\
             ring_bytes = 262_144\n[zmq]\nport = 0\n",
            http.display(),
            zmq.display(),
            rpc.display(),
        );
        let files: [(&str, &[u8]); 2] =
            [("site/big", &noise(BIG_BYTES)), ("site/small", SMALL.as_bytes())];
        let bundle = harness.bundle(&config, &files)?;
        let behind = harness.trial_process_at(BEHIND, &bundle)?;
        let names = format!("transform here zmtp shm:{}\n", zmq.display());
        let front = harness.bundle("", &[("names", names.as_bytes())])?;
        let front = harness.trial_process(&front)?;
        Ok(Self { front, behind, bundle, http: target(&http), rpc: target(&rpc) })
    }

    /// Where the first process passes requests on to the second.
    fn url(&self, path: &str) -> String {
        format!("http://{PROCESS_ADDRESS}{}", self.path(path))
    }

    fn path(&self, path: &str) -> String {
        format!("/_test/relay/{}{path}", self.http)
    }

    fn judge(self, result: Result) -> Result {
        let result = Server::Process(Box::new(self.front)).judge(result);
        Server::Process(Box::new(self.behind)).judge(result)
    }
}

/// As one segment of a path.
fn target(path: &Path) -> String {
    format!("shm:{}", path.display().to_string().replace('/', "%2F"))
}

fn bodies(harness: &mut Harness) -> Result {
    let pair = Pair::start(harness)?;
    let result = carried(harness, &pair);
    pair.judge(result)
}

fn carried(harness: &Harness, pair: &Pair) -> Result {
    let [body, out] = ["body", "out"].map(|name| harness.scratch.path(name));
    let to = out.display().to_string();
    curl(&["--fail", "-o", &to, &pair.url("/big")])?;
    same_bytes("a download", &out, &noise(BIG_BYTES))?;
    let sent = noise(ECHO_BYTES);
    std::fs::write(&body, &sent).or_say(|| "cannot write a file".into())?;
    let data = format!("@{}", body.display());
    for _ in 0..harness.usual_or_long(ECHOES, LONG_ECHOES) {
        let echo = pair.url("/_test/echo");
        curl(&["--fail", "-o", &to, "--data-binary", &data, &echo])?;
        same_bytes("an upload's echo", &out, &sent)?;
    }
    let call = format!("http://{PROCESS_ADDRESS}/_test/call/{}", pair.rpc);
    curl(&["--fail", "-o", &to, "--data-binary", &data, &call])?;
    same_bytes("a call's echo", &out, &sent)?;
    equal("a page", &curl(&["--fail", &pair.url("/small")])?.as_str(), &SMALL)?;
    // By its name, of which the first process knows the path.
    let url = format!("http://{PROCESS_ADDRESS}/_test/transform/transform");
    let answer = curl(&["--fail", "--data-binary", "water flows", &url])?;
    equal("what ZeroMQ's service made of it", &answer.as_str(), &"WATER FLOWS")
}

fn killed(harness: &mut Harness) -> Result {
    let mut pair = Pair::start(harness)?;
    let mut result = Ok(());
    for _ in 0..harness.usual_or_long(KILLS, LONG_KILLS) {
        cut_off(&mut pair)?;
        // Its sockets are still there, and are replaced.
        pair.behind = harness.trial_process_at(BEHIND, &pair.bundle)?;
        let page = curl(&["--fail", &pair.url("/small")]);
        result = result.and_then(|()| equal("a page", &page?.as_str(), &SMALL));
    }
    pair.judge(result)
}

/// Kills the second process in the middle of an answer.
fn cut_off(pair: &mut Pair) -> Result {
    let path = pair.path("/big");
    let Some(download) = Download::start(PROCESS_ADDRESS, &path, PATIENCE) else {
        fail!("{path} is not answered");
    };
    pair.behind.signal(Signal::KILL);
    equal("whether the process is dead", &pair.behind.wait(PATIENCE).is_some(), &true)?;
    let refused = curl(&["-o", "/dev/null", "-w", "%{http_code}", &pair.url("/small")])?;
    equal("without the process", &refused.as_str(), &"502")?;
    equal("the client's download", &download.rest(PATIENCE), &End::Cut)
}

/// The C library's client has a page from us. It has no half-close: it asks for the connection to be closed.
fn libxenvchan_calls_us(harness: &mut Harness) -> Result {
    let pair = Pair::start(harness)?;
    let [request, answer] = ["request", "answer"].map(|name| harness.scratch.path(name));
    let result = (|| {
        let asked = "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        std::fs::write(&request, asked).or_say(|| "cannot write a file".into())?;
        let (from, to) = (File::open(&request), File::create(&answer));
        let (from, to) = from.and_then(|from| Ok((from, to?))).or_say(|| "no files".into())?;
        let mut command = Command::new(peers::vchan()?);
        command.arg("client").arg(harness.scratch.path("http"));
        let mut client = Child::start(&command, |command| {
            command.stdin(from).stdout(to);
        })?;
        let status = client.wait(6 * PATIENCE);
        equal("whether it ended well", &status.is_some_and(|status| status.success()), &true)?;
        let mut got = std::fs::read(&answer).or_say(|| "no answer".into())?;
        let head = got.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_default();
        let content = got.split_off(head + 4);
        equal("whether it is the page", &(content == noise(BIG_BYTES)), &true)
    })();
    pair.judge(result)
}

/// The C library's server, with rings of all kinds: within the control page on either side, and of pages of their own.
fn we_call_libxenvchan(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let front = harness.trial_process(&bundle)?;
    let [path, file, out] = ["server", "file", "out"].map(|name| harness.scratch.path(name));
    let content = noise(BIG_BYTES / 8);
    let result = (|| {
        std::fs::write(&file, &content).or_say(|| "cannot write a file".into())?;
        for [left, right] in [
            ["1000", "2000"],
            ["2000", "1000"],
            ["1", "4096"],
            ["4096", "4096"],
            ["1048576", "1048576"],
        ] {
            let mut command = Command::new(peers::vchan()?);
            command.arg("server").arg(&path).args([left, right]).arg(&file);
            let mut server = Child::start(&command, |_| {})?;
            wait_for(&path)?;
            let url = format!("http://{PROCESS_ADDRESS}/_test/relay/{}/page", target(&path));
            curl(&["--fail", "-o", &out.display().to_string(), &url])?;
            same_bytes(&format!("through rings of {left} and {right}"), &out, &content)?;
            let status = server.wait(PATIENCE);
            equal("whether it ended well", &status.is_some_and(|status| status.success()), &true)?;
        }
        Ok(())
    })();
    Server::Process(Box::new(front)).judge(result)
}

fn wait_for(path: &Path) -> Result {
    let start = Instant::now();
    while !path.exists() {
        if start.elapsed() > PATIENCE {
            fail!("nobody listens at {}", path.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
