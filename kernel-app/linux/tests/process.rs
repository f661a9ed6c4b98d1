//! Settings of the process that only a process has: its log, its sockets, its exit.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for what should come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Ports that are tried.
const ATTEMPTS: usize = 5;
/// How long it is watched that something does not come.
const QUIET: Duration = Duration::from_millis(300);

/// A folder with a site and a configuration; it goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(config: &str) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let name =
            format!("aqueduct-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("site")).unwrap();
        fs::write(path.join("site/index.html"), "hello").unwrap();
        fs::write(path.join("appliance.toml"), config).unwrap();
        Self(path)
    }

    /// The process, which says what it logs.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aqueduct"));
        command.arg("--bundle").arg(&self.0).stderr(Stdio::piped());
        command
    }

    /// What the process says that refuses to start with these options.
    fn refusal(&self, options: &[&str]) -> String {
        let mut child = self.command().args(options).spawn().unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        said
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that serves.
struct Appliance {
    child: Child,
    port: u16,
    _folder: Folder,
}

impl Appliance {
    fn start(config: &str) -> Self {
        let folder = Folder::new(config);
        // A port that was free a moment ago may be somebody else's by the time the process listens.
        let started = (0..ATTEMPTS).find_map(|_| Self::try_start(&folder));
        let (child, port) = started.expect("the process does not start");
        Self { child, port, _folder: folder }
    }

    /// Starts it on a port that is free now; `None` if it has ended instead of listening.
    fn try_start(folder: &Folder) -> Option<(Child, u16)> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        // The other services have one port for all of these processes, so they are off.
        let address = format!("127.0.0.1:{port}");
        let options = ["--http", &address, "--rpc-port", "0", "--zmq-port", "0"];
        let mut child = folder.command().args(options).spawn().unwrap();
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("nothing listens");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Some((child, port))
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The rest of the log, once it is stopped.
    fn stop(mut self) -> Vec<String> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let lines = BufReader::new(self.child.stderr.take().unwrap()).lines();
        let lines = lines.map(Result::unwrap).collect();
        assert!(self.child.wait().unwrap().success());
        lines
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")?;
    answer(stream)
}

fn answer(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = [0; 1000];
    let count = stream.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

#[test]
fn connections_max_is_kept() {
    let appliance = Appliance::start("[tcp]\nconnections_max = 2\n");
    let mut first = appliance.connect();
    let mut second = appliance.connect();
    assert!(ask(&mut first).unwrap().starts_with("HTTP/1.1 200"));
    assert!(ask(&mut second).unwrap().starts_with("HTTP/1.1 200"));
    let mut third = appliance.connect();
    third.set_read_timeout(Some(QUIET)).unwrap();
    let waits = ask(&mut third).unwrap_err();
    assert!(matches!(waits.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{waits}");
    drop(first);
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(answer(&mut third).unwrap().starts_with("HTTP/1.1 200"));
}

#[test]
fn the_log_has_the_level_and_the_lines_that_were_asked_for() {
    let log = |config: &str| {
        let appliance = Appliance::start(config);
        assert!(ask(&mut appliance.connect()).unwrap().starts_with("HTTP/1.1 200"));
        appliance.stop().join("\n")
    };
    let plain = log("");
    assert!(plain.contains("http on port") && !plain.contains("GET /"), "{plain}");
    let access = log("[http]\naccess_log = true\n");
    assert!(access.contains("\"GET / HTTP/1.1\" 200"), "{access}");
    assert_eq!(log("[log]\nlevel = \"warn\"\n"), "");
}

#[test]
fn hosts_are_kept() {
    let appliance = Appliance::start("[http]\nhosts = [\"b.example\"]\n");
    assert!(ask(&mut appliance.connect()).unwrap().starts_with("HTTP/1.1 421"));
}

#[test]
fn what_is_not_allowed_stops_the_start_with_its_line() {
    for (config, sentence) in [
        (
            "[http]\nheader_bytes_max = 262_144\n",
            "appliance.toml:2:20: found `262_144`; allowed: a whole number from 256 to 65535",
        ),
        (
            "[tcp]\ncongestion_control = \"cubic\"\n",
            "appliance.toml:2:22: found `\"cubic\"`; allowed: \"reno\" or \"off\"",
        ),
        (
            "[tasks]\ntasks_max = 63\n",
            "appliance.toml:2:13: found `63`; allowed: a whole number from 64 to 1048576",
        ),
        (
            "[zmq]\nport = 80\n",
            "appliance.toml:2:1: found `port = 80`; allowed: a port for each service",
        ),
        (
            "[http]\nsite_root = \"web\"\n",
            "appliance.toml:2:1: found `site_root = \"web\"`; allowed: a folder of the bundle",
        ),
        (
            "[network]\nmtu = 1500\n",
            "appliance.toml:2:1: found `mtu`; allowed: in [network] the keys dhcp, slaac,",
        ),
    ] {
        let said = Folder::new(config).refusal(&[]);
        assert!(said.contains(sentence), "{said}");
    }
}

#[test]
fn two_services_on_one_port_are_refused_also_when_an_option_says_so() {
    let said = Folder::new("").refusal(&["--rpc-port", "80"]);
    assert!(said.contains("found `rpc_port=80`; allowed: a port for each service"), "{said}");
}
