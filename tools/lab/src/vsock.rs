//! A guest's socket device, beside QEMU: the device of rust-vmm's project, which has Unix sockets on its other side.

use crate::{peers, qemu::Machine};
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
};
use std::{
    ffi::OsString,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

/// The number of the only guest.
pub const GUEST_CID: u32 = 3;
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long the other side may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The device, for one guest. It ends with this value.
pub struct VsockDevice {
    device: Child,
    folder: PathBuf,
}

impl VsockDevice {
    /// Starts it, with its sockets in a folder, which is to be short.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        let folder = folder.to_owned();
        let mut command = std::process::Command::new(peers::vsock_device()?);
        command.arg(format!("--guest-cid={GUEST_CID}"));
        command.arg(format!("--socket={}", folder.join(QEMU_SOCKET).display()));
        command.arg(format!("--uds-path={}", folder.join(HOST_SOCKET).display()));
        let mut device = Child::start(&command, |command| {
            command.stdin(Stdio::null());
        })?;
        let deadline = Instant::now() + START_LIMIT;
        while ![QEMU_SOCKET, HOST_SOCKET].iter().all(|name| folder.join(name).exists()) {
            if let Some(status) = device.ended() {
                fail!("the socket device ended ({status}) before it was there");
            }
            if Instant::now() > deadline {
                fail!("the socket device is not there after {START_LIMIT:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Self { device, folder })
    }

    /// QEMU's options for it, on a guest with so much memory, which the device shares.
    pub fn options(&self, machine: Machine, memory_mib: u32) -> Vec<OsString> {
        let device = match machine {
            Machine::Microvm => "vhost-user-vsock-device",
            Machine::Q35 | Machine::MicrovmPcie => "vhost-user-vsock-pci",
        };
        let memory = format!("memory-backend-memfd,id=memory,size={memory_mib}M,share=on");
        let socket = self.folder.join(QEMU_SOCKET);
        [
            "-object".into(),
            memory.into(),
            "-machine".into(),
            "memory-backend=memory".into(),
            "-chardev".into(),
            format!("socket,id=vsock,path={}", socket.display()).into(),
            "-device".into(),
            format!("{device},chardev=vsock").into(),
        ]
        .into()
    }

    /// Ends it, as if it had crashed.
    pub fn kill(self) {
        drop(self.device);
    }

    /// A connection to a port of the guest.
    ///
    /// # Errors
    ///
    /// It is refused.
    pub fn connect(&self, port: u32) -> Result<UnixStream> {
        connect(&self.folder.join(HOST_SOCKET), port)
    }

    /// Serves `TCP`'s clients what a port of the guest serves.
    ///
    /// # Errors
    ///
    /// Nobody can listen at that address.
    pub fn forward(&self, from: SocketAddr, port: u32) -> Result {
        let listener = TcpListener::bind(from).or_say(|| format!("cannot listen on {from}"))?;
        let socket = self.folder.join(HOST_SOCKET);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(guest) = connect(&socket, port) {
                    join(client, guest);
                }
            }
        });
        Ok(())
    }

    /// Serves the guest, at a port of its host, what is served by TCP.
    ///
    /// # Errors
    ///
    /// Nobody can listen there.
    pub fn serve_guest(&self, port: u32, to: SocketAddr) -> Result {
        let path = self.folder.join(format!("{HOST_SOCKET}_{port}"));
        let listener =
            UnixListener::bind(&path).or_say(|| format!("cannot listen on {}", path.display()))?;
        std::thread::spawn(move || {
            for guest in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(to) {
                    join(server, guest);
                }
            }
        });
        Ok(())
    }
}

/// The ends of the device, for QEMU and for programs of the host.
const QEMU_SOCKET: &str = "vhost";
const HOST_SOCKET: &str = "vsock";

/// The device is asked for a port by a line, and answers by one.
fn connect(socket: &Path, port: u32) -> Result<UnixStream> {
    let mut stream =
        UnixStream::connect(socket).or_say(|| "the socket device is gone".to_owned())?;
    stream.set_read_timeout(Some(SILENCE_MAX)).or_say(|| "no time-out".to_owned())?;
    let refused = || format!("vsock port {port} is refused");
    stream.write_all(format!("CONNECT {port}\n").as_bytes()).or_say(refused)?;
    // What follows the line is the connection's.
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(1) if byte == *b"\n" => return Ok(stream),
            Ok(1) => {}
            _ => fail!("{}", refused()),
        }
    }
}

/// Passes bytes on in both directions, until both end.
fn join(tcp: TcpStream, vsock: UnixStream) {
    let _ = vsock.set_read_timeout(None);
    let (Ok(tcp_too), Ok(vsock_too)) = (tcp.try_clone(), vsock.try_clone()) else { return };
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut &tcp, &mut &vsock);
        let _ = vsock.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut &vsock_too, &mut &tcp_too);
        let _ = tcp_too.shutdown(Shutdown::Write);
    });
}
