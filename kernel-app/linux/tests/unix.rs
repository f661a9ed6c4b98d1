//! Services at Unix-domain sockets, as other programs of the machine find them.

mod appliance;

use appliance::{Appliance, Folder, LARGE_BYTES, PATIENCE, free_port, wait_for_port};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal};
use std::fs;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Output;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

/// A folder for sockets; it goes with its owner.
struct Sockets(PathBuf);

impl Sockets {
    fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("aqueduct-unix-{}-{nth}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process with this configuration, and HTTP at a port of its own, too.
fn start(config: &str) -> Appliance {
    let folder = Folder::new(config);
    let started = (0..5).find_map(|_| {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let options = ["--http", &address, "--zmq-port", "0"];
        Some((wait_for_port(folder.command_after("").args(options), port)?, port))
    });
    let (child, port) = started.expect("the process does not start");
    // Who answers has opened all services.
    get_by(TcpStream::connect(("127.0.0.1", port)).unwrap(), "/");
    Appliance { child, port, _folder: folder }
}

/// What a process says that refuses to start.
fn refusal(config: &str, options: &[&str]) -> String {
    let folder = Folder::new(config);
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = folder.command_after("");
    command.args(["--http", &address, "--zmq-port", "0"]).args(options);
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

fn get(path: &str, page: &str) -> Vec<u8> {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    get_by(stream, page)
}

fn get_by(mut stream: impl Read + Write, page: &str) -> Vec<u8> {
    let request = format!("GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    answer.split_off(end + 4)
}

fn stop(mut appliance: Appliance) -> String {
    rustix::process::kill_process(Pid::from_child(&appliance.child), Signal::TERM).unwrap();
    let mut said = String::new();
    appliance.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(appliance.child.wait().unwrap().success(), "{said}");
    said
}

#[test]
fn pages_come_by_sockets_whose_files_have_their_permissions_and_go_at_the_end() {
    let sockets = Sockets::new();
    let (http, admin) = (sockets.path("http"), sockets.path("admin"));
    let name = format!("@aqueduct-process-{}", std::process::id());
    let config = format!(
        "[http]\naccess_log = true\n[unix]\nhttp = \"{http}\"\nadmin = \"{admin}\"\nrpc = \"{name}\"\nmode = \"0660\"\n"
    );
    let appliance = start(&config);
    for path in [&http, &admin] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o660);
    }
    assert_eq!(get(&http, "/"), b"hello");
    assert_eq!(get(&http, "/large").len(), LARGE_BYTES);
    // The port of TCP serves the same.
    let by_tcp = TcpStream::connect(("127.0.0.1", appliance.port)).unwrap();
    assert_eq!(get_by(by_tcp, "/"), b"hello");
    let services = String::from_utf8(get(&admin, "/api/v1/services")).unwrap();
    assert!(services.contains("\"admin\""), "{services}");
    let said = stop(appliance);
    let own = rustix::process::geteuid().as_raw();
    assert!(said.contains(&format!("unix:user={own}")), "{said}");
    assert!(said.contains(&format!("rpc on {name}")), "{said}");
    for path in [&http, &admin] {
        assert!(!fs::exists(path).unwrap(), "{path}");
    }
}

#[test]
fn a_socket_that_was_left_is_taken_over_and_one_in_use_is_refused() {
    let sockets = Sockets::new();
    let http = sockets.path("http");
    let config = format!("[unix]\nhttp = \"{http}\"\n");
    let mut first = start(&config);
    let said = refusal(&config, &[]);
    assert!(said.contains("`http` in [unix]: another program listens there"), "{said}");
    assert_eq!(get(&http, "/"), b"hello");
    // It has no time to tidy up.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(fs::exists(&http).unwrap());
    let second = start(&config);
    assert_eq!(get(&http, "/"), b"hello");
    let said = stop(second);
    assert!(said.contains("is the socket of a process that is gone: it is replaced"), "{said}");
}

#[test]
fn a_network_of_our_own_has_no_sockets_of_the_kernels() {
    let sockets = Sockets::new();
    let config = format!("[unix]\nzmq = \"{}\"\n", sockets.path("zmq"));
    let folder = Folder::new(&config);
    let mut command = folder.command_after("");
    // Where there is no right to make a TAP, that is said first.
    command.args(["--tap", "aquetest0", "--ip", "10.99.0.2/24"]);
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{said}");
    let expected = "`zmq` in [unix]: only a process has Unix-domain sockets";
    assert!(said.contains(expected) || said.contains("aquetest0"), "{said}");
}

/// The web server stays up meanwhile, and so does whoever is in the middle of an answer.
#[test]
fn a_stop_lets_an_answer_arrive() {
    let sockets = Sockets::new();
    let http = sockets.path("http");
    let appliance = start(&format!("[unix]\nhttp = \"{http}\"\n"));
    let mut stream = UnixStream::connect(&http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut first = [0; 1000];
    stream.read_exact(&mut first).unwrap();
    rustix::process::kill_process(Pid::from_child(&appliance.child), Signal::TERM).unwrap();
    let begun = Instant::now();
    while UnixStream::connect(&http).is_ok() && begun.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() + first.len() > LARGE_BYTES);
    assert!(UnixStream::connect(&http).is_err());
}

/// A read ends where a descriptor was passed (unix(7)): what comes behind it is there already, and nothing tells of it anew.
#[test]
fn a_request_with_descriptors_in_it_is_answered_as_any() {
    let sockets = Sockets::new();
    let path = sockets.path("http");
    let _appliance = start(&format!("[unix]\nhttp = \"{path}\"\n"));
    let null = fs::File::open("/dev/null").unwrap();
    let parts = ["GET / HT", "TP/1.1\r\nHost: a", "\r\nConnection: close\r\n", "\r\n"];
    for _ in 0..20 {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for part in parts {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let descriptors = [null.as_fd()];
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
            let bytes = [IoSlice::new(part.as_bytes())];
            sendmsg(&stream, &bytes, &mut ancillary, SendFlags::empty()).unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}
