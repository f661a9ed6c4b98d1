//! Looking at the wire of a guest while it loses packets: a capture that tcptrace reads, and the graph that the guest draws of it.

use crate::interop::admin_port::{self, PORT as ADMIN_PORT, TOKEN};
use command::{
    failure::{OrSay, Result, fail},
    programs,
};
use lab::{
    harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains, curl, noise},
    lossy_wire::{self, Impairments},
    process,
};
use std::{
    collections::BTreeSet,
    fs::Permissions,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const FILE_BYTES: usize = 2 << 20;
const START_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn capture_and_graph(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(&admin_port::config(), &[("site/file", &noise(FILE_BYTES))])?;
    let impairments = Impairments { lost: 3, doubled: 0, reordered: 0, seed: 7 };
    let more = lossy_wire::start(&harness.scratch, impairments)?;
    let setup = Setup { bundle: Some(bundle), offloads: false, more, ..Setup::trial() };
    let guest = harness.boot(&setup)?;
    let result = looks(harness);
    Server::Guest(Box::new(guest)).judge(result)
}

fn looks(harness: &Harness) -> Result {
    refuses_strangers()?;
    let (capture, graph) = (harness.scratch.path("capture"), harness.scratch.path("graph.xpl"));
    // Both look at the same while a client takes its time.
    let capturing = in_background(&capture, "capture?filter=tcp%20port%2080&snap=128&seconds=14");
    let url = format!("http://{GUEST_ADDRESS}/file");
    let downloading =
        thread::spawn(move || curl(&["--limit-rate", "150k", "-o", "/dev/null", &url]));
    let id = connection()?;
    let graphing = in_background(&graph, &format!("connections/{id}/trace?format=xpl&seconds=6"));
    for work in [graphing, capturing, downloading] {
        work.join().expect("a client does not panic")?;
    }
    let text = std::fs::read_to_string(&graph).or_say(|| "no graph".into())?;
    for part in ["timeval unsigned\n", "(time sequence graph)\n", "white\n", "green\n", "red\n"] {
        contains("the graph", &text, part)?;
    }
    if !text.ends_with("go\n") {
        fail!("the graph has no end");
    }
    let ours = segments(&text, &["white", "red"]);
    let theirs = by_tcptrace(harness, &capture)?;
    match ours.difference(&theirs).next() {
        _ if ours.len() < 50 => fail!("the graph has {} segments only", ours.len()),
        Some((time, bytes)) => {
            fail!("tcptrace has no segment of {bytes} bytes at {time}, of {}", theirs.len())
        }
        None => Ok(()),
    }
}

fn refuses_strangers() -> Result {
    let url = format!("http://{}:{ADMIN_PORT}/api/v1/capture", GUEST_ADDRESS.ip());
    let code = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url])?;
    contains("the answer to a stranger", &code, "401")
}

fn in_background(to: &Path, path: &str) -> thread::JoinHandle<Result<String>> {
    let (to, path) = (to.display().to_string(), path.to_owned());
    thread::spawn(move || ask(&path, &["-o", &to]))
}

fn ask(path: &str, words: &[&str]) -> Result<String> {
    ask_at(&format!("{}:{ADMIN_PORT}", GUEST_ADDRESS.ip()), path, words)
}

fn ask_at(admin: &str, path: &str, words: &[&str]) -> Result<String> {
    let url = format!("http://{admin}/api/v1/{path}");
    curl(&[&["--fail", "-N", "-H", &admin_port::bearer()][..], words, &[&url]].concat())
}

/// The id of the one connection with HTTP's port.
fn connection() -> Result<String> {
    let deadline = Instant::now() + START_LIMIT;
    while Instant::now() < deadline {
        let rows = ask("connections", &[])?;
        let open = rows.split('{').find(|row| {
            row.contains(&format!("\"local\":\"{GUEST_ADDRESS}\"")) && row.contains("STABLISHED")
        });
        let id = open.and_then(|row| row.split("\"id\":\"").nth(1)?.split('"').next());
        if let Some(id) = id {
            return Ok(id.to_owned());
        }
        thread::sleep(Duration::from_millis(50));
    }
    fail!("no connection is open: {}", ask("connections", &[])?)
}

/// The graph that tcptrace draws of the file.
fn by_tcptrace(harness: &Harness, capture: &Path) -> Result<BTreeSet<(String, u64)>> {
    let folder = harness.scratch.path("tcptrace");
    std::fs::create_dir_all(&folder).or_say(|| "no folder".into())?;
    let mut command = programs::command(&programs::TCPTRACE)?;
    command.current_dir(&folder).args(["-n", "-S"]).arg(capture);
    programs::output(&mut command)?;
    let mut all = BTreeSet::new();
    for file in std::fs::read_dir(&folder).or_say(|| "no graphs of tcptrace".into())? {
        let path = file.or_say(|| "no graph".into())?.path();
        // It has colors of its own for what came out of order, or again.
        all.extend(segments(&std::fs::read_to_string(path).unwrap_or_default(), COLORS));
    }
    Ok(all)
}

/// Those of xplot, which stand alone on a line, as texts do.
const COLORS: &[&str] =
    &["white", "red", "green", "yellow", "orange", "purple", "magenta", "pink", "blue"];

/// The times and lengths of lines straight upwards in these colors.
fn segments(graph: &str, colors: &[&str]) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    let mut is_wanted = false;
    for line in graph.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [color] if COLORS.contains(&color) => is_wanted = colors.contains(&color),
            ["line", at, from, to_at, to, ref own @ ..] if at == to_at => {
                let is_wanted = own.first().map_or(is_wanted, |own| colors.contains(own));
                if let (Ok(from), Ok(to), true) = (from.parse(), to.parse::<u64>(), is_wanted) {
                    found.insert((at.to_owned(), to.abs_diff(from)));
                }
            }
            _ => {}
        }
    }
    found
}

/// tshark captures from a guest as from an interface.
pub(super) fn by_tshark(harness: &mut Harness) -> Result {
    let program = process::build_ctl()?;
    let bundle = harness.bundle(&admin_port::config(), &[("site/file", b"a file")])?;
    let guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::trial() })?;
    let result = captures(harness, &program);
    Server::Guest(Box::new(guest)).judge(result)
}

fn captures(harness: &Harness, program: &Path) -> Result {
    let folder = harness.scratch.path("extcap");
    let script = folder.join("aqueduct");
    let text = format!("#!/bin/sh\nexec {} extcap \"$@\"\n", program.display());
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&script, text))
        .and_then(|()| std::fs::set_permissions(&script, Permissions::from_mode(0o755)))
        // Another user runs it.
        .and_then(|()| {
            std::fs::set_permissions(harness.scratch.path(""), Permissions::from_mode(0o711))
        })
        .or_say(|| "no extcap program".into())?;
    let tshark = |words: &[&str]| {
        // For root tshark looks into the system's folder only.
        let mut command = programs::command(&programs::SETPRIV)?;
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
        command.arg(programs::command(&programs::TSHARK)?.get_program());
        command.env("HOME", "/nonexistent").env("WIRESHARK_EXTCAP_DIR", &folder);
        command.env("AQUEDUCT_TOKEN", TOKEN);
        command.env("AQUEDUCT_ADMIN", format!("http://{}:{ADMIN_PORT}", GUEST_ADDRESS.ip()));
        programs::output(command.args(words))
    };
    contains("tshark's interfaces", &tshark(&["-D"])?, "aqueduct")?;
    let is_over = Arc::new(AtomicBool::new(false));
    // A few at a time: what it is to see is a few packets, and each takes this machine's time.
    let asking = asking(GUEST_ADDRESS, &is_over, Duration::from_millis(100));
    let fields = ["-T", "fields", "-e", "ip.proto", "-e", "tcp.srcport", "-e", "tcp.dstport"];
    let seen =
        tshark(&[&["-i", "aqueduct", "-f", "tcp port 80", "-c", "20"][..], &fields].concat());
    is_over.store(true, Ordering::Relaxed);
    asking.join().expect("a client does not panic")?;
    let seen = seen?;
    let is_wanted = |line: &&str| {
        let ports: Vec<_> = line.split_ascii_whitespace().collect();
        ports.len() == 3 && ports[0] == "6" && ports[1..].contains(&"80")
    };
    match seen.lines().filter(is_wanted).count() {
        20 => Ok(()),
        count => fail!("tshark saw {count} segments of 20:\n{seen}"),
    }
}

/// A client that asks for the same file until it is told to end, with a pause now and then.
fn asking(
    server: SocketAddr,
    is_over: &Arc<AtomicBool>,
    pause: Duration,
) -> thread::JoinHandle<Result> {
    let is_over = is_over.clone();
    thread::spawn(move || {
        let count = if pause.is_zero() { 50 } else { 5 };
        let url = format!("http://{server}/file?[1-{count}]");
        while !is_over.load(Ordering::Relaxed) {
            curl(&["-o", "/dev/null", &url])?;
            thread::sleep(pause);
        }
        Ok(())
    })
}

/// What the CPU of a guest is at, and what its loop does, while it serves files.
pub(super) fn profile_guest(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(&admin_port::config(), &[("site/file", &noise(FILE_BYTES))])?;
    let guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::trial() })?;
    let result = profiles(&format!("{}:{ADMIN_PORT}", GUEST_ADDRESS.ip()), GUEST_ADDRESS, "net::");
    Server::Guest(Box::new(guest)).judge(result)
}

/// The same of the process.
pub(super) fn profile_process(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(&admin_port::config(), &[("site/file", &noise(FILE_BYTES))])?;
    let process = harness.process(&bundle)?;
    let result = profiles(&format!("127.0.0.1:{ADMIN_PORT}"), PROCESS_ADDRESS, "flow::task");
    Server::Process(Box::new(process)).judge(result)
}

/// Stacks, folded, of which one of four functions at least has this one.
fn profile_has(admin: &str, function: &str) -> Result {
    let folded = ask_at(admin, "profile?seconds=2&hertz=500", &[])?;
    let mut samples = 0;
    for line in folded.lines() {
        let count = line.rsplit_once(' ').and_then(|(_, count)| count.parse::<u64>().ok());
        let Some(count) = count else { fail!("no folded stack: {line}") };
        samples += count;
    }
    let is_deep = |line: &str| line.split(';').count() >= 4;
    if samples < 5 || !folded.lines().any(|line| is_deep(line) && line.contains(function)) {
        fail!("{samples} samples, and none in {function}:\n{folded}");
    }
    Ok(())
}

fn profiles(admin: &str, server: SocketAddr, function: &str) -> Result {
    let is_over = Arc::new(AtomicBool::new(false));
    let downloading = asking(server, &is_over, Duration::ZERO);
    // After a pause of the machine under it a guest's timer makes up for all of it at one instruction: then once more.
    let mut result = profile_has(admin, function);
    for _ in 0..2 {
        result = result.or_else(|_| profile_has(admin, function));
    }
    result?;
    let trace = ask_at(admin, "trace?seconds=1", &[])?;
    for part in ["\"name\":\"ingress\"", "\"name\":\"http\"", "\"cat\":\"task\"", "\"dropped\":"] {
        contains("the trace", &trace, part)?;
    }
    // A second time, as the first has ended all that it began.
    contains("another profile", &ask_at(admin, "profile?seconds=1", &[])?, " ")?;
    is_over.store(true, Ordering::Relaxed);
    downloading.join().expect("a client does not panic")?;
    contains("health", &ask_at(admin, "../../healthz", &[])?, "live")
}
