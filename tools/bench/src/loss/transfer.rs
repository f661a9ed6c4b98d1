//! Transfers on the kernel's sockets, cut off after a time.

use command::{
    failure::{OrSay, Result, fail},
    programs::{self, Program},
};
use rustix::net::sockopt::set_socket_linger;
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

/// Looks into the kernel's connections.
const SS: Program = Program { name: "ss", package: "iproute2" };
/// SYNs are lost, too; the handshake is no part of what is measured.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// Between looks at the time.
const PIECE_BYTES: usize = 128 << 10;

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// From the server.
    Download,
    /// To the server.
    Upload,
}

/// What came of a transfer.
pub(super) struct Sample {
    /// That were there at the end, acknowledged if they went up.
    pub(super) bytes: u64,
    pub(super) time: Duration,
    /// Longest time in which the client could do nothing.
    pub(super) longest_silence: Duration,
}

/// Moves so many bytes, or what can be moved in the time.
pub(super) fn transfer(
    server: SocketAddr,
    kind: Kind,
    bytes: u64,
    limit: Duration,
) -> Result<Sample> {
    let say = || format!("a connection to {server}");
    let mut stream = TcpStream::connect_timeout(&server, CONNECT_LIMIT).or_say(say)?;
    // What is cut off is gone at once, and does not go on beside the next.
    set_socket_linger(&stream, Some(Duration::ZERO)).or_say(say)?;
    stream.set_nodelay(true).or_say(say)?;
    let mut clock = Clock::start(limit);
    let moved = match kind {
        Kind::Download => download(&mut stream, server, bytes, &mut clock)?,
        Kind::Upload => upload(&mut stream, server, bytes, &mut clock)?,
    };
    Ok(Sample { bytes: moved, time: clock.started.elapsed(), longest_silence: clock.longest })
}

/// The time of a transfer, and of its longest silence.
struct Clock {
    started: Instant,
    last: Instant,
    deadline: Instant,
    longest: Duration,
}

impl Clock {
    fn start(limit: Duration) -> Self {
        let now = Instant::now();
        Self { started: now, last: now, deadline: now + limit, longest: Duration::ZERO }
    }

    /// What is left; `None` at the end.
    fn left(&self) -> Option<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        (left > Duration::from_millis(1)).then_some(left)
    }

    /// Something moved.
    fn note(&mut self) {
        let now = Instant::now();
        self.longest = self.longest.max(now - self.last);
        self.last = now;
    }
}

fn download(
    stream: &mut TcpStream,
    server: SocketAddr,
    bytes: u64,
    clock: &mut Clock,
) -> Result<u64> {
    let say = || format!("a download from {server}");
    let head = format!("GET /big HTTP/1.1\r\nHost: {server}\r\n\r\n");
    stream.write_all(head.as_bytes()).or_say(say)?;
    let mut buffer = vec![0; PIECE_BYTES];
    let mut moved = 0;
    // The answer's head is some hundred bytes of them.
    while moved < bytes
        && let Some(left) = clock.left()
    {
        stream.set_read_timeout(Some(left)).or_say(say)?;
        match stream.read(&mut buffer) {
            Ok(0) => fail!("{server} closed after {moved} bytes"),
            Ok(count) => {
                moved += count as u64;
                clock.note();
            }
            Err(error) if is_timeout(&error) => clock.note(),
            Err(error) => fail!("{server} after {moved} bytes: {error}"),
        }
    }
    Ok(moved)
}

fn upload(
    stream: &mut TcpStream,
    server: SocketAddr,
    bytes: u64,
    clock: &mut Clock,
) -> Result<u64> {
    let say = || format!("an upload to {server}");
    let head =
        format!("PUT /_test/sink HTTP/1.1\r\nHost: {server}\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).or_say(say)?;
    let piece = vec![0x5a; PIECE_BYTES];
    let mut written = 0;
    while written < bytes {
        let Some(left) = clock.left() else { return acknowledged(stream) };
        stream.set_write_timeout(Some(left)).or_say(say)?;
        let rest = usize::try_from(bytes - written).unwrap_or(usize::MAX).min(PIECE_BYTES);
        match stream.write(&piece[..rest]) {
            Ok(count) => {
                written += count as u64;
                clock.note();
            }
            Err(error) if is_timeout(&error) => clock.note(),
            Err(error) => fail!("{server} after {written} bytes: {error}"),
        }
    }
    // The answer says that all of it is there.
    while let Some(left) = clock.left() {
        stream.set_read_timeout(Some(left)).or_say(say)?;
        match stream.read(&mut [0; 1024]) {
            Ok(0) => fail!("{server} closed without an answer"),
            Ok(_) => return Ok(bytes),
            Err(error) if is_timeout(&error) => (),
            Err(error) => fail!("{server} after all bytes: {error}"),
        }
    }
    acknowledged(stream)
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Bytes of a connection of ours that the other side has acknowledged.
fn acknowledged(stream: &TcpStream) -> Result<u64> {
    let say = || "a connection's address".to_owned();
    let port = stream.local_addr().or_say(say)?.port();
    let text = sockets(&format!("sport = :{port}"))?;
    match text.split_whitespace().find_map(|word| word.strip_prefix("bytes_acked:")) {
        Some(count) => count.parse().or_say(|| format!("ss says {text}")),
        None => Ok(0),
    }
}

/// What `ss` says of the connections that a filter names.
pub(super) fn sockets(filter: &str) -> Result<String> {
    programs::output(programs::command(&SS)?.args(["-t", "-i", "-n", "-H", filter]))
}

/// Takes uploads until the end of the process: reads as many bytes as the head says, then answers.
pub(super) fn sink(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        // One that breaks off is the next one's start.
        let _ = swallow(stream);
    }
}

fn swallow(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut head = Vec::new();
    let end = loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..count]);
        if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = String::from_utf8_lossy(&head[..end]);
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: ")?.trim().parse::<usize>().ok())
        .ok_or(ErrorKind::InvalidData)?;
    let mut left = length.saturating_sub(head.len() - end);
    while left > 0 {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => left = left.saturating_sub(count),
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}
