//! Linux as the reference: the packet scripts that say `# Linux: the same.` are played to a socket of the kernel, over a
//! TUN in a network namespace, and its answers must be those that the script expects of the engine.
//!
//! What is compared is what leaves and in which order: flags but for PSH, numbers, acknowledgements and SACK, the states
//! and what can be read; not windows, since their sizes are each stack's own, nor times beyond "after", nor what only the
//! engine has names for. Scripts in which Linux rightly does something else say so, and why, in a line `# Linux: ...`.
//!
//! Where no network namespace can be made, nothing is compared, and the test says so. `LINUX=all` tries every script and
//! prints what Linux does.

use lab::link::ip;
use lab::namespace::Namespace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::net::sockopt::set_socket_linger;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tcp::options::SackBlocks;
use tcp::{Flags, Options, Segment, SeqNumber};
use tcp_script::line::{Line, Outcome, option, parse};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

const SAME: &str = "# Linux: the same.";
const LINUX: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 2);
const PEER_INITIAL: u32 = 0x2000_0000;
/// Scripts that take longer are not for a socket with a clock of its own.
const PAUSE_MAX: f64 = 2_500.0;
/// Within which an answer must come: the shortest time-outs are 200 ms.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Nothing is expected, and nothing came for so long.
const QUIET: Duration = Duration::from_millis(20);
/// A busy machine may lose a race with a timer of the kernel's.
const ATTEMPTS: usize = 3;

#[test]
fn linux_answers_the_same() {
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(failure) => return eprintln!("skipped: no network namespace here: {failure}"),
    };
    let outcome = namespace.run(|| -> Outcome<(usize, String)> {
        let tun = match open_tun() {
            Ok(tun) => tun,
            Err(failure) => {
                eprintln!("skipped: no TUN here: {failure}");
                return Ok((usize::MAX, String::new()));
            }
        };
        Ok(compare(&tun))
    });
    let (compared, failures) = outcome.expect("a namespace").expect("a TUN");
    assert!(failures.is_empty(), "\n{failures}");
    assert!(compared >= 50, "{compared} scripts");
}

fn compare(tun: &SyncDevice) -> (usize, String) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");
    let (only, all) = (std::env::var("SCRIPT").unwrap_or_default(), std::env::var("LINUX").is_ok());
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("scripts")
        .map(|entry| entry.expect("a file").path())
        .collect();
    paths.sort();
    let (mut compared, mut failures) = (0, String::new());
    let mut port = 20_000;
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("text");
        if !name.contains(&only) || !(all || text.lines().any(|line| line.trim() == SAME)) {
            continue;
        }
        compared += 1;
        let mut outcome = Ok(());
        for _ in 0..if all { 1 } else { ATTEMPTS } {
            port += 1;
            outcome = Play::run(tun, port, &text);
            if outcome.is_ok() {
                break;
            }
        }
        match outcome {
            Ok(()) if all => println!("same {name}"),
            Ok(()) => {}
            Err(problem) if all => println!("differs {name}: {problem}"),
            Err(problem) => failures.push_str(&format!("{name}: {problem}\n")),
        }
    }
    (if all || !only.is_empty() { usize::MAX } else { compared }, failures)
}

/// The scripts' settings: segments of 1,000 bytes, Reno, no timestamps, no window scale.
fn open_tun() -> Outcome<SyncDevice> {
    let say = |error: &dyn std::fmt::Display| error.to_string();
    let tun = DeviceBuilder::new().name("p").layer(Layer::L3).build_sync();
    let tun = tun.map_err(|error| say(&error))?;
    tun.set_nonblocking(true).map_err(|error| say(&error))?;
    for line in [
        "link set dev p mtu 1040 up",
        "addr add 10.9.9.1/24 dev p",
        "route change 10.9.9.0/24 dev p src 10.9.9.1 congctl reno",
    ] {
        ip(&line.split_whitespace().collect::<Vec<_>>()).map_err(|failure| say(&failure))?;
    }
    for (key, value) in [
        ("tcp_timestamps", "0"),
        ("tcp_window_scaling", "0"),
        ("tcp_ecn", "0"),
        ("tcp_no_metrics_save", "1"),
        ("tcp_invalid_ratelimit", "0"),
    ] {
        set(key, value)?;
    }
    Ok(tun)
}

fn set(key: &str, value: &str) -> Outcome {
    let file = format!("/proc/sys/net/ipv4/{key}");
    std::fs::write(&file, value).map_err(|error| format!("{file}: {error}"))
}

/// A script being played.
struct Play<'a> {
    tun: &'a SyncDevice,
    port: u16,
    listener: TcpListener,
    stream: Option<TcpStream>,
    /// Linux's initial sequence number, once it has said it.
    initial: Option<u32>,
    sack: bool,
}

impl<'a> Play<'a> {
    fn run(tun: &'a SyncDevice, port: u16, text: &str) -> Outcome {
        set("tcp_sack", "1")?;
        let listener = TcpListener::bind((LINUX, 0)).map_err(|error| error.to_string())?;
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        let mut play = Self { tun, port, listener, stream: None, initial: None, sack: true };
        while play.packet(Duration::ZERO).is_some() {}
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or("").trim();
            if !line.is_empty() {
                play.line(line)
                    .map_err(|problem| format!("line {}: {line}: {problem}", index + 1))?;
            }
        }
        play.nothing()
    }

    fn line(&mut self, line: &str) -> Outcome {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if let Some(millis) = words[0].strip_prefix('+') {
            let millis: f64 = millis.parse().map_err(|_| "a time".to_string())?;
            if millis > PAUSE_MAX {
                return Err("takes too long".into());
            }
            let pause = Duration::from_secs_f64(millis / 1e3);
            words.remove(0);
            // What is expected then may come a little earlier or later.
            match words.split_first() {
                Some((&">", rest)) => return self.expect(rest, pause + PATIENCE),
                _ => std::thread::sleep(pause),
            }
        }
        let Some((verb, rest)) = words.split_first() else { return Ok(()) };
        match *verb {
            "connect" => Err("an active open".into()),
            "listen" | "event" | "no-event" | "cwnd" | "unacked" | "count" => Ok(()),
            "set" => self.set(rest),
            "established" => self.establish(rest),
            "<" => self.send(rest),
            ">" => self.expect(rest, PATIENCE),
            "none" => self.nothing(),
            "state" => self.state(rest),
            _ => self.call(verb, rest),
        }
    }

    fn set(&mut self, words: &[&str]) -> Outcome {
        if words != ["sack", "off"] {
            return Err("a setting of the engine".into());
        }
        self.sack = false;
        set("tcp_sack", "0")
    }

    fn establish(&mut self, words: &[&str]) -> Outcome {
        if words.contains(&"active") {
            return Err("an active open".into());
        }
        let window = option(words, "win")?.unwrap_or(60_000).min(65_535);
        let options = if self.sack { "<mss 1000,sackOK>" } else { "<mss 1000>" };
        let line = format!("S 0:0(0) win {window} {options}");
        self.send(&line.split_whitespace().collect::<Vec<_>>())?;
        let (syn_ack, _) = self.packet(PATIENCE).ok_or("no SYN-ACK")?;
        if syn_ack.flags != Flags::SYN | Flags::ACK {
            return Err(format!("no SYN-ACK: {syn_ack:?}"));
        }
        let line = format!(". 1:1(0) ack 1 win {window}");
        self.send(&line.split_whitespace().collect::<Vec<_>>())?;
        self.stream().map(drop)
    }

    /// The connection that the peer has opened.
    fn stream(&mut self) -> Outcome<&mut TcpStream> {
        let deadline = Instant::now() + PATIENCE;
        while self.stream.is_none() {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(|error| error.to_string())?;
                    stream.set_nodelay(true).map_err(|error| error.to_string())?;
                    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
                    self.stream = Some(stream);
                }
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        self.stream.as_mut().ok_or_else(|| "nothing is open".into())
    }

    fn call(&mut self, verb: &str, words: &[&str]) -> Outcome {
        let count: usize = words.first().map(|word| parse(word)).transpose()?.unwrap_or(0);
        let stream = self.stream()?;
        let done = match verb {
            "write" | "share" => stream.write_all(&vec![7; count]),
            "read" => stream.read_exact(&mut vec![0; count]),
            "close" => stream.shutdown(Shutdown::Write),
            "abort" => {
                let done = set_socket_linger(&*stream, Some(Duration::ZERO));
                self.stream = None;
                done.map_err(Into::into)
            }
            "stop" => {
                self.stream = None;
                Ok(())
            }
            "queue" => {
                let found = ioctl_fionread(&*stream).map_err(|error| error.to_string())?;
                let found = usize::try_from(found).unwrap_or(usize::MAX);
                return if found == count { Ok(()) } else { Err(format!("found {found}")) };
            }
            _ => return Err("nothing that a socket has".into()),
        };
        done.map_err(|error| error.to_string())
    }

    /// By `ss`, which calls them by other names.
    fn state(&self, words: &[&str]) -> Outcome {
        let wanted = match words.first().copied().unwrap_or_default() {
            "ESTABLISHED" => "ESTAB",
            "SYN-RECEIVED" => "SYN-RECV",
            "CLOSED" => "",
            other => other,
        };
        let address = format!("{PEER}:{}", self.port);
        let output = std::process::Command::new("ss").args(["-t", "-a", "-n", "-H"]).output();
        let text = String::from_utf8_lossy(&output.map_err(|error| error.to_string())?.stdout)
            .into_owned();
        let line = text.lines().find(|line| line.contains(&address)).unwrap_or_default();
        let found = line.split_whitespace().next().unwrap_or_default();
        if found == wanted { Ok(()) } else { Err(format!("found `{found}`")) }
    }

    fn server_port(&self) -> u16 {
        self.listener.local_addr().map_or(0, |address| address.port())
    }

    fn send(&mut self, words: &[&str]) -> Outcome {
        let line = Line::parse(words)?;
        let initial = self.initial.unwrap_or(0);
        let seq = SeqNumber(PEER_INITIAL.wrapping_add(line.seq));
        let ack = SeqNumber(line.ack.map_or(0, |ack| initial.wrapping_add(ack)));
        let mut segment = Segment::new(seq, ack, line.flags);
        segment.window = line.window.unwrap_or(60_000);
        segment.urgent = line.urgent;
        segment.options = line.options.unwrap_or(Options::NONE);
        let mut sack = SackBlocks::NONE;
        for (start, end) in line.sack {
            let number = |number: u32| SeqNumber(initial.wrapping_add(number));
            sack.push(number(start), number(end));
        }
        segment.options.sack = sack;
        let packet = packet((self.port, self.server_port()), &segment, line.len as usize);
        self.tun.send(&packet).map(drop).map_err(|error| error.to_string())
    }

    fn expect(&mut self, words: &[&str], patience: Duration) -> Outcome {
        let line = Line::parse(words)?;
        let (segment, len) = self.packet(patience).ok_or("nothing was sent")?;
        let initial = self.initial.unwrap_or(0);
        let relative = |number: SeqNumber, base: u32| number.0.wrapping_sub(base);
        let is_reset_of_nothing = segment.flags.has(Flags::RST) && segment.seq.0 == 0;
        let seq = relative(segment.seq, if is_reset_of_nothing { 0 } else { initial });
        let ack = relative(segment.ack, PEER_INITIAL);
        let sack: Vec<_> = (segment.options.sack.as_slice().iter())
            .map(|block| (relative(block.start, PEER_INITIAL), relative(block.end, PEER_INITIAL)))
            .collect();
        let matches = segment.flags.without(Flags::PSH) == line.flags.without(Flags::PSH)
            && (seq, len) == (line.seq, line.len)
            && (line.ack.is_none_or(|wanted| wanted == ack) || segment.flags == Flags::RST)
            && sack == line.sack;
        if matches {
            return Ok(());
        }
        Err(format!("Linux: {:?} {seq}:{}({len}) ack {ack} {sack:?}", segment.flags, seq + len))
    }

    fn nothing(&mut self) -> Outcome {
        match self.packet(QUIET) {
            None => Ok(()),
            Some((segment, len)) => Err(format!("Linux: {segment:?} +{len}")),
        }
    }

    /// The next segment of this connection that Linux sends.
    fn packet(&mut self, patience: Duration) -> Option<(Segment, u32)> {
        let deadline = Instant::now() + patience;
        let mut buffer = [0; 2048];
        loop {
            if let Ok(bytes) = self.tun.recv(&mut buffer) {
                let ports = (self.server_port(), self.port);
                let Some((segment, len)) = read(&buffer[..bytes], ports) else { continue };
                if segment.flags.has(Flags::SYN) {
                    self.initial = Some(segment.seq.0);
                }
                return Some((segment, len));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let left = Timespec::try_from(left).ok()?;
            let _ = poll(&mut [PollFd::new(self.tun, PollFlags::IN)], Some(&left));
        }
    }
}

/// An IPv4 packet of the peer's.
fn packet(ports: (u16, u16), segment: &Segment, len: usize) -> Vec<u8> {
    let mut space = [0; 40];
    let len_of_options = segment.options.emit(&mut space);
    let options = &space[..len_of_options];
    let mut tcp = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    tcp.extend(segment.seq.0.to_be_bytes());
    tcp.extend(segment.ack.0.to_be_bytes());
    tcp.extend([((20 + options.len()) << 2) as u8, segment.flags.0]);
    tcp.extend([segment.window.to_be_bytes(), [0; 2], segment.urgent.to_be_bytes()].concat());
    tcp.extend(options);
    tcp.resize(tcp.len() + len, 9);
    let mut pseudo = [PEER.octets(), LINUX.octets()].concat();
    pseudo.extend([0, 6]);
    pseudo.extend((tcp.len() as u16).to_be_bytes());
    let sum = checksum(&[&pseudo[..], &tcp].concat());
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut ip = vec![0x45, segment.ecn.bits()];
    ip.extend((20 + tcp.len() as u16).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    ip.extend([PEER.octets(), LINUX.octets()].concat());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    ip.extend(tcp);
    ip
}

/// The segment in an IPv4 packet between those ports, and the bytes of its data.
fn read(packet: &[u8], ports: (u16, u16)) -> Option<(Segment, u32)> {
    if packet.first()? >> 4 != 4 || *packet.get(9)? != 6 {
        return None;
    }
    let tcp = packet.get(20..)?;
    let half = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
    let word = |at: usize| Some(u32::from(half(at)?) << 16 | u32::from(half(at + 2)?));
    if (half(0)?, half(2)?) != ports {
        return None;
    }
    let header_len = usize::from(*tcp.get(12)? >> 4) * 4;
    let mut segment = Segment::new(SeqNumber(word(4)?), SeqNumber(word(8)?), Flags(*tcp.get(13)?));
    segment.window = half(14)?;
    segment.options = Options::parse(tcp.get(20..header_len)?);
    Some((segment, (tcp.len() - header_len) as u32))
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let pairs =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = pairs.sum();
    let sum = (sum >> 16) + (sum & 0xffff);
    !((sum >> 16) + (sum & 0xffff)) as u16
}
