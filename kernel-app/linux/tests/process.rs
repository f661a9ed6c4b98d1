//! Settings of the process that only a process has: its log, its sockets, its exit.

mod appliance;

use appliance::{Appliance, Folder, LARGE_BYTES, PATIENCE, free_port, wait_for_port};
use rustix::process::{Pid, Signal};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Ports that are tried.
const ATTEMPTS: usize = 5;
/// How long it is watched that something does not come.
const QUIET: Duration = Duration::from_millis(300);

impl Folder {
    /// What the process says that refuses to start with these options.
    fn refusal(&self, options: &[&str]) -> String {
        let mut child = self.command_after("").args(options).spawn().unwrap();
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

impl Appliance {
    fn start(config: &str) -> Self {
        Self::start_after("", config)
    }

    /// Started by a shell that did something before.
    fn start_after(before: &str, config: &str) -> Self {
        let folder = Folder::new(config);
        // A port that was free a moment ago may be somebody else's by the time the process listens.
        let started = (0..ATTEMPTS).find_map(|_| {
            let port = free_port();
            // The other services have one port for all of these processes, so they are off.
            let address = format!("127.0.0.1:{port}");
            let options = ["--http", &address, "--rpc-port", "0", "--zmq-port", "0"];
            Some((wait_for_port(folder.command_after(before).args(options), port)?, port))
        });
        let (child, port) = started.expect("the process does not start");
        Self { child, port, _folder: folder }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The rest of the log, once it is stopped.
    fn stop(self) -> Vec<String> {
        self.stop_by(Signal::TERM)
    }

    /// The rest of the log, once a signal has stopped it.
    fn stop_by(mut self, signal: Signal) -> Vec<String> {
        self.signal(signal);
        let lines = BufReader::new(self.child.stderr.take().unwrap()).lines();
        let lines = lines.map(Result::unwrap).collect();
        assert!(self.child.wait().unwrap().success());
        lines
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
fn the_log_is_lines_of_json_and_goes_to_a_collector_by_udp() {
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(PATIENCE)).unwrap();
    let place = format!("udp://{}", collector.local_addr().unwrap());
    let appliance = Appliance::start(&format!("[log]\nformat = \"json\"\nsyslog = \"{place}\"\n"));
    let port = format!("http on port {}", appliance.port);
    let mut message = [0; 2048];
    loop {
        // Fails when no more comes.
        let count = collector.recv(&mut message).unwrap();
        let text = String::from_utf8_lossy(&message[..count]);
        // RFC 5424 section 6: priority and version.
        assert!(text.starts_with("<30>1 ") || text.starts_with("<28>1 "), "{text}");
        if text.ends_with(&port) {
            break;
        }
    }
    for line in appliance.stop() {
        assert!(line.starts_with("{\"time_us\":") && line.ends_with("\"}"), "{line}");
    }
}

#[test]
fn sigusr1_writes_all_tasks_into_the_log_each_time() {
    let mut appliance = Appliance::start("");
    let mut lines = BufReader::new(appliance.child.stderr.take().unwrap()).lines();
    for _ in 0..2 {
        appliance.signal(Signal::USR1);
        let mut next = |part: &str| lines.find(|line| line.as_ref().unwrap().contains(part));
        assert!(next("tasks: ").is_some());
        assert!(next("1 x http listener, waiting at ").is_some());
    }
    assert!(ask(&mut appliance.connect()).unwrap().starts_with("HTTP/1.1 200"));
}

#[test]
fn the_last_lines_reach_the_collector_before_the_end() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp://{}", collector.local_addr().unwrap());
    let appliance = Appliance::start(&format!("[log]\nsyslog = \"{place}\"\n"));
    let (mut stream, _) = collector.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    appliance.stop();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains(" aqueduct - ") && text.contains("] stopping: "), "{text}");
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

/// Connections that ask, and those of them that are answered at once.
fn ask_all(appliance: &Appliance, count: usize) -> (Vec<TcpStream>, Vec<TcpStream>) {
    let asked = (0..count).map(|_| {
        let mut stream = appliance.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(QUIET)).unwrap();
        stream
    });
    let asked: Vec<TcpStream> = asked.collect();
    asked.into_iter().partition(|mut stream| stream.read(&mut [0; 1000]).is_ok())
}

#[test]
fn without_descriptors_connections_wait_until_one_is_free() {
    let (rpc, zmq) = (free_port(), free_port());
    let others = format!("[rpc]\nport = {rpc}\n[zmq]\nport = {zmq}\n");
    let folder = Folder::new(&others);
    let http = free_port();
    let address = format!("127.0.0.1:{http}");
    let mut command = folder.command_after("ulimit -n 40");
    let child = wait_for_port(command.args(["--http", &address]), http).expect("it starts");
    let appliance = Appliance { child, port: http, _folder: folder };
    let (served, waiting) = ask_all(&appliance, 60);
    assert!(served.len() > 10 && waiting.len() > 10, "{} served", served.len());
    // What no vat takes for a message ends its connection; a ZMTP peer begins with its greeting.
    let mut call = TcpStream::connect(("127.0.0.1", rpc)).unwrap();
    call.write_all(&[0xff; 64]).unwrap();
    let greeted = TcpStream::connect(("127.0.0.1", zmq)).unwrap();
    drop(served);
    // No further connection comes.
    for mut stream in waiting.into_iter().chain([call, greeted]) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        if let Err(error) = answer(&mut stream) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }
    let log = appliance.stop().join("\n");
    assert_eq!(log.matches("until there is a descriptor").count(), 1, "{log}");
}

#[test]
fn the_limit_of_descriptors_is_raised_as_far_as_it_may_be() {
    let appliance = Appliance::start_after("ulimit -S -n 40", "");
    let (served, waiting) = ask_all(&appliance, 60);
    assert_eq!((served.len(), waiting.len()), (60, 0));
}

#[test]
fn a_hangup_stops_it_as_gracefully_as_other_signals() {
    // Tests that nohup(1) started make processes that nohup(1) started.
    let hangup = (!ignores_hangups()).then_some(Signal::HUP);
    for signal in [Signal::TERM, Signal::INT].into_iter().chain(hangup) {
        let appliance = Appliance::start("");
        assert!(ask(&mut appliance.connect()).unwrap().starts_with("HTTP/1.1 200"));
        let log = appliance.stop_by(signal).join("\n");
        assert!(log.contains("stopping: "), "{log}");
    }
    // As nohup(1) starts it.
    let appliance = Appliance::start_after("trap '' HUP", "");
    appliance.signal(Signal::HUP);
    assert!(ask(&mut appliance.connect()).unwrap().starts_with("HTTP/1.1 200"));
}

/// Whether this process was told to, and so tells those that it starts.
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1
}

#[test]
fn it_listens_on_both_families_and_says_so() {
    let port = free_port();
    let folder = Folder::new(&format!("[http]\nport = {port}\n"));
    let mut command = folder.command_after("");
    let child = wait_for_port(command.args(["--rpc-port", "0", "--zmq-port", "0"]), port);
    let appliance = Appliance { child: child.expect("it starts"), port, _folder: folder };
    assert!(ask(&mut appliance.connect()).unwrap().starts_with("HTTP/1.1 200"));
    // A machine may have no IPv6.
    if TcpListener::bind("[::1]:0").is_ok() {
        let mut stream = TcpStream::connect(("::1", port)).unwrap();
        assert!(ask(&mut stream).unwrap().starts_with("HTTP/1.1 200"));
        let log = appliance.stop().join("\n");
        assert!(log.contains("listening on all addresses, [::], IPv6 and IPv4"), "{log}");
    }
}

/// What a client gets that sends all of an upload before it looks for an answer, as most do.
fn refusal_of_upload(appliance: &Appliance, head: &str, piece: &[u8], end: &[u8]) -> String {
    let mut stream = appliance.connect();
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..8 {
        stream.write_all(piece).unwrap_or_else(|error| panic!("{head}: {error}"));
    }
    stream.write_all(end).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap_or_else(|error| panic!("{head}: {error}"));
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_refused_upload_gets_its_status_always() {
    const TRIES: usize = 30;
    let narrow = Appliance::start("[http]\nhosts = [\"a.example\"]\n");
    let wide = Appliance::start("[http]\nbody_bytes_max = 100_000_000\n");
    for mib in [2, 8] {
        let length = mib << 20;
        let piece = vec![b'x'; length / 8];
        let known = format!("Content-Length: {length}\r\n\r\n");
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        let chunked = "Transfer-Encoding: chunked\r\n\r\n";
        for (appliance, method, host, status) in [
            (&narrow, "POST", "a.example", "405"),
            (&narrow, "PUT", "b.example", "421"),
            (&wide, "POST", "a.example", "405"),
        ] {
            let head = format!("{method} / HTTP/1.1\r\nHost: {host}\r\n");
            for _ in 0..TRIES {
                // The length is refused before the method and the host are looked at.
                let status = if std::ptr::eq(appliance, &narrow) { "413" } else { status };
                let said = refusal_of_upload(appliance, &(head.clone() + &known), &piece, b"");
                assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {said}");
                assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
            }
            for _ in 0..TRIES {
                let said =
                    refusal_of_upload(appliance, &(head.clone() + chunked), &chunk, b"0\r\n\r\n");
                assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {said}");
                assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
            }
        }
    }
}

#[test]
fn a_client_that_pauses_is_cut_off_and_the_log_says_how_much_it_got() {
    let mut appliance = Appliance::start("[http]\nwrite_timeout_seconds = 1\naccess_log = true\n");
    let mut stream = appliance.connect();
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let log = BufReader::new(appliance.child.stderr.take().unwrap());
    let line = log.lines().map(Result::unwrap).find(|line| line.contains("GET /large")).unwrap();
    let (_, rest) = line.split_once("HTTP/1.1\" 200 ").unwrap();
    let sent: usize = rest.split(' ').next().unwrap().parse().unwrap();
    assert!(sent < LARGE_BYTES, "{line}");
    assert!(line.ends_with("\"peer made no progress in time\""), "{line}");
    let mut received = 0;
    let mut buffer = vec![0; 100_000];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        received += count;
    }
    assert!(received < LARGE_BYTES);
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

/// Has the process write a line for each of so many requests.
fn fill_log(appliance: &Appliance, lines: usize) {
    let mut stream = appliance.connect();
    for _ in 0..lines {
        assert!(ask(&mut stream).unwrap().starts_with("HTTP/1.1 200"));
    }
}

/// More than pipe, queue and writer hold.
const TOO_MANY_LINES: usize = 12_000;

#[test]
fn nobody_waits_for_a_log_that_nobody_reads_and_lost_lines_are_counted() {
    let mut appliance = Appliance::start("[http]\naccess_log = true\n");
    fill_log(&appliance, TOO_MANY_LINES);
    let log = BufReader::new(appliance.child.stderr.take().unwrap());
    let (mut written, mut lost) = (0, None);
    for line in log.lines().map(Result::unwrap) {
        written += usize::from(line.contains("\"GET / HTTP/1.1\" 200"));
        if let Some(rest) = line.strip_prefix("[log: ") {
            lost = rest.strip_suffix(" lines lost]").map(|count| count.parse::<usize>().unwrap());
            break;
        }
    }
    assert_eq!(written + lost.expect("a note"), TOO_MANY_LINES);
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_the_process_from_its_end() {
    let mut appliance = Appliance::start("[http]\naccess_log = true\n");
    fill_log(&appliance, TOO_MANY_LINES);
    appliance.signal(Signal::TERM);
    let start = Instant::now();
    while appliance.child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < PATIENCE, "it waits for a reader");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(appliance.child.wait().unwrap().success());
}

#[test]
fn a_log_at_its_size_limit_is_no_end_of_the_process() {
    // sh(1) counts blocks of 512 bytes.
    let mut before = String::from("ulimit -f 8; exec 2>");
    let log = std::env::temp_dir().join(format!("aqueduct-log-{}", std::process::id()));
    before.push_str(log.to_str().unwrap());
    let appliance = Appliance::start_after(&before, "[http]\naccess_log = true\n");
    fill_log(&appliance, 1000);
    appliance.stop();
    let bytes = std::fs::metadata(&log).unwrap().len();
    std::fs::remove_file(&log).unwrap();
    assert_eq!(bytes, 4096);
}

#[test]
fn an_index_that_no_folder_has_is_warned_about() {
    let log = |config: &str| Appliance::start(config).stop().join("\n");
    let wrong = log("[http]\nindex = \"home.html\"\n");
    assert!(wrong.contains("no file under site/ is named home.html"), "{wrong}");
    let right = log("");
    assert!(!right.contains("index"), "{right}");
}

#[test]
fn a_port_that_is_taken_is_refused_with_the_key_that_chooses_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let options = ["--http", &format!("127.0.0.1:{}", free_port()), "--zmq-port", "0"];
    let said = Folder::new("").refusal(&[&options[..], &["--rpc-port", &port]].concat());
    let remedy = "another program listens there; another one is chosen by `port` in [rpc]";
    assert!(said.contains(remedy), "{said}");
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
            "[tcp]\ncongestion_control = \"vegas\"\n",
            "appliance.toml:2:22: found `\"vegas\"`; allowed: \"cubic\", \"reno\", \"bbr\" or \"off\"",
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
