//! Unix-domain sockets: the file of one that listens, and the address of one that others listen at.

use super::Stream;
use aqueduct::platform::ListenError;
use flow::UnixPath;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

/// A socket that listens; its file, if it has one, is removed when this is dropped.
pub(super) struct UnixSocket {
    pub(super) socket: Socket,
    pub(super) file: Option<SocketFile>,
}

impl UnixSocket {
    /// Binds a path that only who has these permissions (chmod(2)) may connect to, without listening yet. The socket of a process that is gone is
    /// replaced, that of one which listens is not.
    pub(super) fn bind(path: &UnixPath, mode: u32) -> Result<Self, ListenError> {
        let failed = |what: &str, error: io::Error| {
            ListenError::Other(format!("{what} {path}: {error}").into())
        };
        let socket = new_socket().map_err(|error| failed("making a socket for", error))?;
        let address = address(path).map_err(|error| failed("the name", error))?;
        if path.abstract_name().is_some() {
            return match socket.bind(&address) {
                Ok(()) => Ok(Self { socket, file: None }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ListenError::InUse),
                Err(error) => Err(failed("binding", error)),
            };
        }
        remove_stale(path, &address)?;
        match socket.bind(&address) {
            Ok(()) => {}
            // Another process came first.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(ListenError::InUse);
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(failed("this process may not make", error));
            }
            Err(error) => return Err(failed("binding", error)),
        }
        let file = SocketFile::new(path).map_err(|error| failed("looking at", error))?;
        // Nobody can connect before the socket listens.
        fs::set_permissions(path.as_str(), Permissions::from_mode(mode))
            .map_err(|error| failed("setting the permissions of", error))?;
        Ok(Self { socket, file: Some(file) })
    }
}

/// The file of a socket of ours.
pub(super) struct SocketFile {
    path: PathBuf,
    /// By its device and number, it is still the same.
    id: (u64, u64),
}

impl SocketFile {
    fn new(path: &UnixPath) -> io::Result<Self> {
        let path = PathBuf::from(path.as_str());
        let id = id(&fs::symlink_metadata(&path)?);
        Ok(Self { path, id })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have put another in its place.
        if fs::symlink_metadata(&self.path).is_ok_and(|now| id(&now) == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn id(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Connects, without waiting: there is room in the other's backlog, or there is not.
pub(super) fn connect(path: &UnixPath) -> io::Result<Stream> {
    let socket = new_socket()?;
    socket.connect(&address(path)?)?;
    Ok(Stream::Unix(mio::net::UnixStream::from_std(socket.into())))
}

/// Removes the socket of a process that is gone.
fn remove_stale(path: &UnixPath, address: &SockAddr) -> Result<(), ListenError> {
    let refused = |reason: &str| Err(ListenError::Other(format!("{path} {reason}").into()));
    match fs::symlink_metadata(path.as_str()) {
        Err(_) => return Ok(()),
        Ok(file) if file.file_type().is_socket() => {}
        Ok(_) => return refused("is there already, and is no socket"),
    }
    match new_socket().and_then(|probe| probe.connect(address)) {
        // Nobody has it open (unix(7)).
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            log::info!("{path} is the socket of a process that is gone: it is replaced");
            fs::remove_file(path.as_str()).or_else(|error| {
                refused(&format!("is the socket of a process that is gone, and stays: {error}"))
            })
        }
        // Also one of another type, and one whose backlog is full.
        _ => Err(ListenError::InUse),
    }
}

fn new_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A name in the abstract namespace begins with a zero (unix(7)).
fn address(path: &UnixPath) -> io::Result<SockAddr> {
    match path.abstract_name() {
        Some(name) => SockAddr::unix(format!("\0{name}")),
        None => SockAddr::unix(path.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::sync::atomic::{AtomicU16, Ordering};

    /// A folder for sockets; it goes with its owner.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NEXT: AtomicU16 = AtomicU16::new(0);
            let nth = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("sockets-{}-{nth}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn path(&self) -> UnixPath {
            self.0.join("socket").to_str().unwrap().parse().unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn listen(path: &UnixPath, mode: u32) -> Result<UnixSocket, ListenError> {
        let bound = UnixSocket::bind(path, mode)?;
        bound.socket.listen(8).unwrap();
        Ok(bound)
    }

    #[test]
    fn the_file_has_its_permissions_and_goes_with_the_listener() {
        let folder = Folder::new();
        let path = folder.path();
        for mode in [0o600, 0o660, 0o666, 0o777] {
            let listener = listen(&path, mode).unwrap();
            let file = fs::metadata(path.as_str()).unwrap();
            assert_eq!(file.permissions().mode() & 0o7777, mode);
            UnixStream::connect(path.as_str()).unwrap();
            drop(listener);
            assert!(!fs::exists(path.as_str()).unwrap());
        }
    }

    #[test]
    fn the_socket_of_a_process_that_is_gone_is_replaced() {
        let folder = Folder::new();
        let path = folder.path();
        // The file stays when its socket is closed.
        drop(UnixListener::bind(path.as_str()).unwrap());
        assert!(UnixStream::connect(path.as_str()).is_err());
        let _listener = listen(&path, 0o600).unwrap();
        UnixStream::connect(path.as_str()).unwrap();
    }

    #[test]
    fn what_another_has_is_left_alone() {
        let folder = Folder::new();
        let path = folder.path();
        let first = UnixListener::bind(path.as_str()).unwrap();
        assert_eq!(listen(&path, 0o600).err(), Some(ListenError::InUse));
        UnixStream::connect(path.as_str()).unwrap();
        drop(first);
        fs::remove_file(path.as_str()).unwrap();
        // Of another type.
        let other = UnixDatagram::bind(path.as_str()).unwrap();
        assert_eq!(listen(&path, 0o600).err(), Some(ListenError::InUse));
        drop(other);
        fs::remove_file(path.as_str()).unwrap();
        fs::write(path.as_str(), "precious").unwrap();
        let said = listen(&path, 0o600).err().unwrap().to_string();
        assert!(said.ends_with("/socket is there already, and is no socket"), "{said}");
        assert_eq!(fs::read(path.as_str()).unwrap(), b"precious");
    }

    #[test]
    fn the_file_of_who_came_after_is_left_alone() {
        let folder = Folder::new();
        let path = folder.path();
        let listener = listen(&path, 0o600).unwrap();
        fs::remove_file(path.as_str()).unwrap();
        let _other = UnixListener::bind(path.as_str()).unwrap();
        drop(listener);
        UnixStream::connect(path.as_str()).unwrap();
    }

    #[test]
    fn a_folder_that_is_missing_is_said() {
        let folder = Folder::new();
        let path: UnixPath = format!("{}/missing/socket", folder.0.display()).parse().unwrap();
        let said = listen(&path, 0o600).err().unwrap().to_string();
        assert!(said.starts_with("binding /") && said.contains("No such file"), "{said}");
        assert_eq!(connect(&path).err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_name_of_the_abstract_namespace_is_no_file() {
        let path: UnixPath = format!("@aqueduct-test-{}", std::process::id()).parse().unwrap();
        let listener = listen(&path, 0o600).unwrap();
        connect(&path).unwrap();
        assert_eq!(listen(&path, 0o600).err(), Some(ListenError::InUse));
        drop(listener);
        assert_eq!(connect(&path).err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    }
}
