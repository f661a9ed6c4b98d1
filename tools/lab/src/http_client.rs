//! Just enough of an HTTP client to ask whether a server answers, and for load; checks of HTTP itself are curl's.

use rustix::net::sockopt::set_socket_recv_buffer_size;
use std::{
    io::{self, ErrorKind, Read, Write},
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
    whole(&mut stream, server, path, "close")
}

/// The status and the content of one GET on a connection of its own. `None` for anything but a whole answer that says its length.
pub fn content(server: SocketAddr, path: &str, limit: Duration) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&server, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let content = bytes.split_off(head_end);
    (content_length(&head)? == content.len()).then_some((status, content))
}

/// One GET on a connection that stays open.
pub fn get_again(stream: &mut TcpStream, server: SocketAddr, path: &str) -> Option<Answer> {
    whole(stream, server, path, "keep-alive")
}

/// A download whose client has begun to read and then reads no more, so that its server is in the middle of an answer.
pub struct Download {
    stream: TcpStream,
    head: Head,
}

/// How a download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of the content came.
    Whole,
    /// The connection ended before.
    Cut,
    /// Nothing came any more, and the connection stayed.
    Silent,
}

impl Download {
    /// Asks, and reads the head and a first piece of the content. Little more comes before [`Self::rest`], since the kernel is
    /// given a short buffer: by itself it may take 32 MiB for a client that reads nothing.
    pub fn start(server: SocketAddr, path: &str, limit: Duration) -> Option<Self> {
        const BUFFER_BYTES: usize = 64 << 10;
        let mut stream = TcpStream::connect_timeout(&server, limit).ok()?;
        set_socket_recv_buffer_size(&stream, BUFFER_BYTES).ok()?;
        stream.set_read_timeout(Some(limit)).ok()?;
        let mut head = ask(&mut stream, server, path, "close")?;
        if head.status != 200 {
            return None;
        }
        if head.body_bytes == 0 {
            head.body_bytes = stream.read(&mut [0; 1]).ok().filter(|length| *length > 0)?;
        }
        Some(Self { stream, head })
    }

    /// Reads the rest. Each step may take so long.
    pub fn rest(mut self, limit: Duration) -> End {
        let _ = self.stream.set_read_timeout(Some(limit));
        match self.head.content(&mut self.stream) {
            Ok(true) => End::Whole,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                End::Silent
            }
            Ok(false) | Err(_) => End::Cut,
        }
    }
}

/// An answer's head, and how much of its content has been read.
struct Head {
    status: u16,
    content_length: Option<usize>,
    body_bytes: usize,
}

impl Head {
    /// Reads the content to its end; whether it is whole.
    fn content(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let mut buffer = vec![0; 64 * 1024];
        while self.content_length.is_none_or(|expected| self.body_bytes < expected) {
            match stream.read(&mut buffer)? {
                0 => break,
                length => self.body_bytes += length,
            }
        }
        Ok(self.content_length.is_none_or(|expected| self.body_bytes == expected))
    }
}

fn whole(
    stream: &mut TcpStream,
    server: SocketAddr,
    path: &str,
    connection: &str,
) -> Option<Answer> {
    let mut head = ask(stream, server, path, connection)?;
    let is_whole = head.content(stream).ok()?;
    is_whole.then_some(Answer { status: head.status, body_bytes: head.body_bytes })
}

/// Asks, and reads the head of the answer.
fn ask(stream: &mut TcpStream, server: SocketAddr, path: &str, connection: &str) -> Option<Head> {
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
    let content_length = content_length(head);
    Some(Head { status, content_length, body_bytes: bytes.len() - head_end })
}

fn content_length(head: &str) -> Option<usize> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next()?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    const LIMIT: Duration = Duration::from_secs(10);

    /// A server that sends so much of what it says that it sends, and then does something else.
    fn download(
        sent: usize,
        limit: Duration,
        then: impl FnOnce(TcpStream) + Send + 'static,
    ) -> End {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&vec![1; sent]).unwrap();
            then(stream);
        });
        let end = Download::start(address, "/", LIMIT).unwrap().rest(limit);
        server.join().unwrap();
        end
    }

    #[test]
    fn a_download_is_whole_or_cut_or_silent() {
        assert_eq!(download(1_000_000, LIMIT, drop), End::Whole);
        assert_eq!(download(999_999, LIMIT, drop), End::Cut);
        assert_eq!(download(1, LIMIT, drop), End::Cut);
        // Until the other side goes.
        let wait = |mut stream: TcpStream| assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
        assert_eq!(download(1_000, LIMIT / 50, wait), End::Silent);
    }
}
