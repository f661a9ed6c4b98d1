//! Just enough of an HTTP client to ask whether a server answers, and for load; checks of HTTP itself are curl's.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longest head that we read.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// An answer's status code and body.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The length of the body.
    pub body_bytes: usize,
}

/// One GET on a connection of its own. `None` for anything but a whole answer.
pub fn get(server: SocketAddr, path: &str, limit: Duration) -> Option<Answer> {
    get_patiently(server, path, limit, limit)
}

/// One GET on a connection of its own, with a limit for the handshake and one for each step of the answer.
pub fn get_patiently(
    server: SocketAddr,
    path: &str,
    handshake_limit: Duration,
    answer_limit: Duration,
) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, handshake_limit).ok()?;
    stream.set_read_timeout(Some(answer_limit)).ok()?;
    stream.set_write_timeout(Some(answer_limit)).ok()?;
    ask(&mut stream, server, path, "close")
}

/// One GET on a connection that stays open.
pub fn get_again(stream: &mut TcpStream, server: SocketAddr, path: &str) -> Option<Answer> {
    ask(stream, server, path, "keep-alive")
}

fn ask(stream: &mut TcpStream, server: SocketAddr, path: &str, connection: &str) -> Option<Answer> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return None;
        }
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            length => bytes.extend_from_slice(&buffer[..length]),
        }
    };
    let head = std::str::from_utf8(&bytes[..head_end]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let expected = content_length(head);
    let mut body_bytes = bytes.len() - head_end;
    while expected.is_none_or(|expected| body_bytes < expected) {
        match stream.read(&mut buffer).ok()? {
            0 => break,
            length => body_bytes += length,
        }
    }
    (expected.is_none_or(|expected| body_bytes == expected))
        .then_some(Answer { status, body_bytes })
}

fn content_length(head: &str) -> Option<usize> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next()?.1.trim().parse().ok()
}
