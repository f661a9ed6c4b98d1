//! Unix sockets: the ways to an admin port that only this machine reaches, a process's own (docs/unix.md), or that of a guest's
//! vsock device (docs/vsock.md).

use std::fmt;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

/// Connects there, whatever the URL's host is.
#[derive(Debug)]
pub(crate) struct LocalConnector {
    pub(crate) socket: PathBuf,
    /// The port of the guest whose device's socket it is; none of a process.
    pub(crate) vsock_port: Option<u32>,
}

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The device's answer to a wish for a connection.
const ANSWER_BYTES_MAX: usize = 64;

impl<In: Transport> Connector<In> for LocalConnector {
    type Out = LocalTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<In>,
    ) -> Result<Option<LocalTransport>, Error> {
        let stream = self.open()?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(LocalTransport { stream, buffers }))
    }
}

impl LocalConnector {
    fn open(&self) -> io::Result<UnixStream> {
        let Self { socket, vsock_port } = self;
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", socket.display()))
        };
        let mut stream = UnixStream::connect_addr(&address(socket)?).map_err(named)?;
        let Some(port) = vsock_port else { return Ok(stream) };
        stream.set_read_timeout(Some(CONNECT_LIMIT))?;
        stream.write_all(format!("CONNECT {port}\n").as_bytes())?;
        let refused = || io::Error::other(format!("nobody listens on vsock port {port}"));
        // A byte at a time: what follows the line is the connection's.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\n") {
            let mut byte = [0];
            if answer.len() == ANSWER_BYTES_MAX || stream.read(&mut byte)? == 0 {
                return Err(refused());
            }
            answer.push(byte[0]);
        }
        if answer.starts_with(b"OK ") { Ok(stream) } else { Err(refused()) }
    }
}

/// A path, or a name of the abstract namespace, as the appliance writes it: `@NAME` (unix(7)).
fn address(socket: &Path) -> io::Result<SocketAddr> {
    match socket.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    }
}

/// A connection.
pub(crate) struct LocalTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Transport for LocalTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|time| *time))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| failed(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(timeout.not_zero().map(|time| *time))?;
        let input = self.buffers.input_append_buf();
        let count = self.stream.read(input).map_err(|error| failed(error, timeout.reason))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// Each request has a connection of its own.
    fn is_open(&mut self) -> bool {
        false
    }
}

/// What a time-out of the socket says, in the words of the client.
fn failed(error: io::Error, reason: Timeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(reason),
        _ => error.into(),
    }
}

impl fmt::Debug for LocalTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalTransport")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Admin;
    use crate::options::Options;
    use clap::Parser;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// A device whose guest has one port, and answers one request there.
    fn device(name: &str, answer: &'static str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("aqueductctl-{}-{name}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            assert_eq!(lines.next().unwrap().unwrap(), "CONNECT 7");
            stream.write_all(answer.as_bytes()).unwrap();
            if answer.starts_with("OK") {
                respond(&mut lines, stream);
            }
        });
        path
    }

    /// Answers one request for a table.
    fn respond(lines: &mut impl Iterator<Item = io::Result<String>>, mut stream: UnixStream) {
        let head: Vec<_> =
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        assert_eq!(head[0], "GET /api/v1/tasks HTTP/1.1");
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n[{\"id\":\"one\"}]";
        let _ = stream.write_all(page.as_bytes());
    }

    fn rows(path: &Path) -> Result<usize, String> {
        rows_by(&["--vsock", path.to_str().unwrap(), "--vsock-port", "7"], path)
    }

    fn rows_by(words: &[&str], path: &Path) -> Result<usize, String> {
        let options = Options::parse_from([&["aqueductctl"], words, &["ps"]].concat());
        let admin = Admin::new(&options).map_err(|failure| failure.to_string())?;
        let rows = admin.rows("tasks").map_err(|failure| failure.to_string());
        let _ = std::fs::remove_file(path);
        rows.map(|rows| rows.len())
    }

    #[test]
    fn a_table_comes_by_the_device() {
        assert_eq!(rows(&device("rows", "OK 1073741824\n")), Ok(1));
    }

    #[test]
    fn a_table_comes_by_the_socket_of_a_process() {
        let path = std::env::temp_dir().join(format!("aqueductctl-{}-own", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            respond(&mut BufReader::new(stream.try_clone().unwrap()).lines(), stream);
        });
        assert_eq!(rows_by(&["--unix", path.to_str().unwrap()], &path), Ok(1));
    }

    #[test]
    fn a_table_comes_by_an_abstract_name() {
        let name = format!("aqueductctl-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            respond(&mut BufReader::new(stream.try_clone().unwrap()).lines(), stream);
        });
        assert_eq!(rows_by(&["--unix", &format!("@{name}")], Path::new("")), Ok(1));
    }

    #[test]
    fn what_is_refused_is_said() {
        for (name, answer) in [
            ("closed", ""),
            ("other", "NO\n"),
            (
                "long",
                "OK no end at all: this is a line of more than sixty-four bytes, without its end",
            ),
        ] {
            let said = rows(&device(name, answer)).unwrap_err();
            assert!(said.contains("nobody listens on vsock port 7"), "{name}: {said}");
        }
        let said = rows(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(said.contains("/nowhere/at/all: "), "{said}");
    }
}
