//! Listener: a path at which other processes come to share memory.

use super::{Mapping, SharedMemory, SharedMemoryFlow, meeting};
use crate::sockets::Registration;
use crate::sockets::unix::{self, SocketFile};
use aqueduct::platform::ListenError;
use flow::{Address, FlowError, Listener};
use mio::Interest;
use mio::net::{UnixListener, UnixStream};
use shared_ring::{Geometry, Ring};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Listens at a path. Whoever may write there may connect: its owner and group.
pub struct SharedMemoryListener {
    memory: SharedMemory,
    socket: UnixListener,
    registration: Registration,
    /// Its clones are those of the connections.
    places: Rc<()>,
    pub(super) path: PathBuf,
    /// Removed with the listener.
    _file: SocketFile,
}

/// Of the socket's file: others than owner and group do not reach it.
const MODE: u32 = 0o770;

impl SharedMemory {
    /// Listens at `path`, with room for `backlog` connections that nobody accepted yet. What a process that is gone left there
    /// is replaced.
    ///
    /// # Errors
    /// Somebody listens there, or it is no place for a socket, as the kernel says.
    pub fn listen(&self, path: &Path, backlog: usize) -> Result<SharedMemoryListener, ListenError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse,
            _ => ListenError::Other(format!("listening at {}: {error}", path.display()).into()),
        };
        unix::remove_stale(path)?;
        let (socket, file) = unix::listen_at(path, MODE).map_err(failed)?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(failed)?;
        let mut socket = UnixListener::from_std(socket.into());
        let registration =
            self.0.reactor.register(&mut socket, Interest::READABLE).map_err(failed)?;
        let (memory, places, path) = (self.clone(), Rc::default(), path.to_owned());
        Ok(SharedMemoryListener { memory, socket, registration, places, path, _file: file })
    }
}

impl Listener for SharedMemoryListener {
    type Flow = SharedMemoryFlow;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<SharedMemoryFlow, FlowError>> {
        while self.registration.poll_readable(cx) {
            match self.socket.accept() {
                // Closing is the answer to those for whom there is no place: they may come by another way.
                Ok(_) if !self.memory.has_place_at(&self.places) => {
                    log::warn!(
                        "shared memory: no room for another connection at {}",
                        self.path.display()
                    );
                }
                Ok((stream, _)) => match self.memory.serve(stream, self.places.clone()) {
                    Ok(flow) => return Poll::Ready(Ok(flow)),
                    Err(error) => log::warn!("shared memory: a connection is refused: {error}"),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.registration.await_readable(cx);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.memory.0.reactor.wait_for_descriptor(cx, &error);
                    break;
                }
            }
        }
        Poll::Pending
    }

    fn local(&self) -> Address {
        Address::SharedMemory(0)
    }
}

impl SharedMemory {
    /// Makes the memory of a connection and passes it.
    fn serve(&self, stream: UnixStream, place: Rc<()>) -> io::Result<SharedMemoryFlow> {
        let geometry = Geometry::within(self.0.settings.ring_bytes);
        let (mapping, file) = Mapping::create(geometry)?;
        let ring = Ring::serve(mapping, geometry).map_err(io::Error::other)?;
        meeting::pass(&stream, &file)?;
        self.open(ring, stream, Some(place))
    }
}
