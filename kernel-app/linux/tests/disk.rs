//! The process with files as disks: a bundle on one, larger than what is kept of it, and what happens when it is cut.

use config::cpio::Writer;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
/// What is kept of the disk.
const CACHE_BYTES: usize = 1 << 20;
const LARGE_BYTES: usize = 6 * CACHE_BYTES;
/// Ports that are tried.
const ATTEMPTS: usize = 5;

/// A process that serves, and its disk.
struct Appliance {
    child: Child,
    port: u16,
    disk: PathBuf,
}

impl Appliance {
    fn start(name: &str) -> Self {
        let disk =
            std::env::temp_dir().join(format!("aqueduct-{}-{name}.cpio", std::process::id()));
        fs::write(&disk, bundle()).unwrap();
        let (child, port) = (0..ATTEMPTS).find_map(|_| start(&disk)).expect("it starts");
        Self { child, port, disk }
    }

    /// The head of the answer to a request, and what came of its content.
    fn get(&self, path: &str, fields: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
            .unwrap();
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let content = answer.split_off(end);
        (String::from_utf8(answer).unwrap(), content)
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.disk);
    }
}

/// A process on a port that was free a moment ago; none if it is somebody else's by now.
fn start(disk: &PathBuf) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = Command::new(env!("CARGO_BIN_EXE_aqueduct"))
        .arg("--disk")
        .arg(disk)
        .args(["--http", &format!("127.0.0.1:{port}"), "--rpc-port", "0", "--zmq-port", "0"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(start.elapsed() < PATIENCE, "nothing listens");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some((child, port))
}

fn large() -> Vec<u8> {
    (0..LARGE_BYTES).map(|at| (at / 100) as u8).collect()
}

fn bundle() -> Vec<u8> {
    let config =
        format!("[http]\nsite_root = \"www\"\n[storage]\ncache_bytes_max = {CACHE_BYTES}\n");
    let mut archive = Writer::new();
    let files = [
        ("appliance.toml", config.into_bytes()),
        ("www/index.html", b"<h1>from the disk</h1>".to_vec()),
        ("www/large", large()),
        ("www/last", vec![b'z'; 100]),
        ("other/secret", b"not the site's".to_vec()),
    ];
    for (path, bytes) in files {
        archive.file(path, &bytes, 1_700_000_000).unwrap();
    }
    archive.finish()
}

#[test]
fn a_site_larger_than_what_is_kept_of_it_is_served() {
    let appliance = Appliance::start("larger");
    assert_eq!(appliance.get("/", "").1, b"<h1>from the disk</h1>");
    for _ in 0..2 {
        let (head, content) = appliance.get("/large", "");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {LARGE_BYTES}\r\n")), "{head}");
        assert!(content == large());
    }
    let (head, content) = appliance.get("/large", "Range: bytes=2000000-2099999\r\n");
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert!(content == large()[2_000_000..2_100_000]);
    assert!(appliance.get("/secret", "").0.starts_with("HTTP/1.1 404 "));
    assert!(appliance.get("/../other/secret", "").0.starts_with("HTTP/1.1 4"));
}

/// Whoever asks for what is gone is told so, or cut; the others do not notice.
#[test]
fn a_disk_that_is_cut_fails_what_is_gone_and_no_more() {
    let appliance = Appliance::start("cut");
    let file = fs::OpenOptions::new().write(true).open(&appliance.disk).unwrap();
    file.set_len(LARGE_BYTES as u64 / 2).unwrap();
    assert!(appliance.get("/last", "").0.starts_with("HTTP/1.1 500 "));
    let (head, content) = appliance.get("/large", "");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "its head was true when it was sent: {head}");
    assert!(content.len() < LARGE_BYTES && large().starts_with(&content), "{}", content.len());
    let (head, content) = appliance.get("/large", "Range: bytes=0-99999\r\n");
    assert!(head.starts_with("HTTP/1.1 206 ") && content == large()[..100_000]);
    assert_eq!(appliance.get("/", "").1, b"<h1>from the disk</h1>");
}

#[test]
fn a_disk_without_a_bundle_is_refused() {
    let disk = std::env::temp_dir().join(format!("aqueduct-{}-empty.img", std::process::id()));
    fs::write(&disk, [0; 4096]).unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_aqueduct")).arg("--disk").arg(&disk).output();
    let _ = fs::remove_file(&disk);
    let refused = refused.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("disk 1 does not begin with a bundle"), "{said}");
}
