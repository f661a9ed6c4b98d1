//! Unix-domain sockets: the file of one that listens, and the address of one that others listen at.

use super::Stream;
use aqueduct::platform::ListenError;
use flow::UnixPath;
use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A socket that listens; its file, if it has one, is removed when this is dropped.
pub(super) struct UnixSocket {
    pub(super) socket: Socket,
    pub(super) file: Option<SocketFile>,
}

impl UnixSocket {
    /// Listens at a path that only who has these permissions (chmod(2)) may connect to, or at a name, with a backlog that is to be
    /// set. The socket of a process that is gone is replaced, that of one which listens is not.
    pub(super) fn bind(path: &UnixPath, mode: u32) -> Result<Self, ListenError> {
        let failed = |what: &str, error: io::Error| {
            ListenError::Other(format!("{what} {path}: {error}").into())
        };
        let bound = if path.abstract_name().is_some() {
            let bind = |socket: Socket| socket.bind(&address(path)?).map(|()| (socket, None));
            new_socket().and_then(bind)
        } else {
            let file = Path::new(path.as_str());
            remove_stale(file)?;
            listen_at(file, mode).map(|(socket, file)| (socket, Some(file)))
        };
        match bound {
            Ok((socket, file)) => Ok(Self { socket, file }),
            // Another process came first.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ListenError::InUse),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(failed("this process may not make", error))
            }
            Err(error) => Err(failed("binding", error)),
        }
    }
}

/// Makes the file of a socket, which has these permissions from the first moment on, and listens there at once, so that nobody
/// takes it for one that was left. The backlog is to be set.
pub(crate) fn listen_at(path: &Path, mode: u32) -> io::Result<(Socket, SocketFile)> {
    let (socket, address) = (new_socket()?, SockAddr::unix(path)?);
    with_permissions(&socket, mode, || socket.bind(&address))?;
    socket.listen(1)?;
    Ok((socket, SocketFile::new(path)?))
}

/// The file of a socket of ours.
pub(crate) struct SocketFile {
    path: PathBuf,
    /// By its device and number, it is still the same.
    id: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: id(&fs::symlink_metadata(path)?) })
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

/// Has `bind` make a file with these permissions from the first moment on: it has those of the socket, without what umask(2)
/// takes away (Linux' net/unix/af_unix.c, `unix_bind_bsd`). Nobody can put another in its place before they are set.
fn with_permissions(
    socket: impl AsFd,
    mode: u32,
    bind: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    rustix::fs::fchmod(socket, Mode::from_raw_mode(mode))?;
    let usual = rustix::process::umask(Mode::empty());
    let outcome = bind();
    rustix::process::umask(usual);
    outcome
}

/// Removes the socket of a process that is gone.
///
/// # Errors
/// It is another's, or something else.
pub(crate) fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let shown = path.display();
    let refused = |reason: &str| Err(ListenError::Other(format!("{shown} {reason}").into()));
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(file) if file.file_type().is_socket() => {}
        Ok(_) => return refused("is there already, and is no socket"),
    }
    match probe(path) {
        // Asked again after a moment: one that was bound just now does not listen yet.
        Err(error) if is_refused(&error) => {
            std::thread::sleep(BOUND_TO_LISTENING);
            if !probe(path).is_err_and(|error| is_refused(&error)) {
                return Err(ListenError::InUse);
            }
            log::info!("{shown} is the socket of a process that is gone: it is replaced");
            fs::remove_file(path).or_else(|error| {
                refused(&format!("is the socket of a process that is gone, and stays: {error}"))
            })
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            refused("is a socket that this process may not connect to, so that it may be another's")
        }
        // Also one of another type, and one whose backlog is full.
        _ => Err(ListenError::InUse),
    }
}

/// How long a socket may be bound before it listens.
const BOUND_TO_LISTENING: Duration = Duration::from_millis(50);

/// Connects, without waiting.
fn probe(path: &Path) -> io::Result<()> {
    new_socket()?.connect(&SockAddr::unix(path)?)
}

/// Nobody has it open (unix(7)).
fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
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
    use std::os::unix::fs::PermissionsExt;
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

    /// Between bind and listen it looks as one that was left.
    #[test]
    fn a_socket_that_listens_in_a_moment_is_left_alone() {
        let folder = Folder::new();
        let path = folder.path();
        let other = new_socket().unwrap();
        other.bind(&address(&path).unwrap()).unwrap();
        let listening = std::thread::spawn(move || {
            std::thread::sleep(BOUND_TO_LISTENING / 5);
            other.listen(1).unwrap();
            other
        });
        assert_eq!(listen(&path, 0o600).err(), Some(ListenError::InUse));
        drop(listening.join().unwrap());
    }

    /// Whose backlog is full: connecting would wait.
    #[test]
    fn a_socket_that_accepts_nobody_is_left_alone() {
        let folder = Folder::new();
        let path = folder.path();
        let other = new_socket().unwrap();
        other.bind(&address(&path).unwrap()).unwrap();
        other.listen(0).unwrap();
        let _waiting: Vec<_> = std::iter::from_fn(|| {
            let client = new_socket().unwrap();
            client.connect(&address(&path).unwrap()).is_ok().then_some(client)
        })
        .collect();
        assert_eq!(listen(&path, 0o600).err(), Some(ListenError::InUse));
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
