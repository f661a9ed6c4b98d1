//! Server of QEMU's inter-VM shared memory (`ivshmem`), whose protocol is in QEMU's `docs/specs/ivshmem-spec`: guests of one
//! host are given the same memory, and an eventfd for each interrupt of each other.
//!
//! A client is told of all this and says nothing. One that says something, or does not read what it is told, is let go of;
//! what can be queued for it is bounded. The memory is sealed at its size: no client can take it away from under the others.

mod peer;
#[cfg(test)]
mod tests;

use crate::admin::Failure;
use clap::Args;
use peer::{Message, Peer};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{MemfdFlags, Mode, SealFlags};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The words of `aqueductctl shm-server`.
#[derive(Args)]
pub(crate) struct Words {
    /// The Unix socket at which QEMU finds it: `-chardev socket,id=shm,path=PATH -device ivshmem-doorbell,chardev=shm,vectors=N`
    path: PathBuf,
    /// The memory, a power of two
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096))]
    megabytes: u64,
    /// Interrupts of each client, as QEMU's `vectors` says; an appliance uses the first
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8))]
    vectors: u16,
}

/// Serves until the process ends.
pub(crate) fn run(words: &Words) -> Result<(), Failure> {
    let Words { path, megabytes, vectors } = words;
    if !megabytes.is_power_of_two() {
        return Err(Failure(format!("--megabytes {megabytes}; allowed: a power of two")));
    }
    let mut server = Server::listen(path, megabytes << 20, *vectors)
        .map_err(|error| Failure(format!("listening at {}: {error}", path.display())))?;
    println!("{megabytes} MiB for guests at {}", path.display());
    loop {
        server.turn().map_err(|error| Failure(format!("waiting for guests: {error}")))?;
    }
}

/// The memory, and who has it.
struct Server {
    listener: UnixListener,
    memory: Rc<OwnedFd>,
    vectors: u16,
    peers: BTreeMap<u16, Peer>,
    next_id: u16,
}

/// Clients at once: as many as an appliance's table in the memory has room for. With the most vectors that is half of the
/// descriptors that a process usually may have.
const PEERS_MAX: usize = 64;
/// Connections that nobody accepted yet.
const BACKLOG: i32 = 16;
/// The version of the protocol, the first thing that is said.
const PROTOCOL_VERSION: i64 = 0;
/// What comes with the memory.
const MEMORY: i64 = -1;
/// No side can change the memory's size, nor what is sealed.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

impl Server {
    fn listen(path: &Path, bytes: u64, vectors: u16) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = rustix::fs::memfd_create("aqueduct-ivshmem", flags)?;
        rustix::fs::ftruncate(&memory, bytes)?;
        rustix::fs::fcntl_add_seals(&memory, SEALS)?;
        let listener = bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, memory: Rc::new(memory), vectors, peers: BTreeMap::new(), next_id: 0 })
    }

    /// Waits until something happens, and does what is to be done then.
    fn turn(&mut self) -> io::Result<()> {
        let (has_client, ready) = self.wait()?;
        for id in ready {
            if let Some(peer) = self.peers.get_mut(&id)
                && let Err(why) = peer.handle_ready()
            {
                self.leave(id, &why);
            }
        }
        if has_client {
            self.accept();
        }
        Ok(())
    }

    /// Whether there is a client to accept, and at whose sockets something happened.
    fn wait(&self) -> io::Result<(bool, Vec<u16>)> {
        let mut polled = vec![PollFd::new(&self.listener, PollFlags::IN)];
        for peer in self.peers.values() {
            let wants = if peer.is_owed() { PollFlags::OUT } else { PollFlags::empty() };
            polled.push(PollFd::new(&peer.socket, PollFlags::IN | wants));
        }
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |polled: &PollFd<'_>| !polled.revents().is_empty();
        let ready = self.peers.keys().zip(&polled[1..]).filter(|(_, polled)| is_ready(polled));
        Ok((is_ready(&polled[0]), ready.map(|(id, _)| *id).collect()))
    }

    fn accept(&mut self) {
        let socket = match self.listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => return eprintln!("a guest is not accepted: {error}"),
        };
        if self.peers.len() == PEERS_MAX {
            return eprintln!("a guest is refused: there are {PEERS_MAX}");
        }
        if let Err(error) = self.join(socket) {
            eprintln!("a guest is refused: {error}");
        }
    }

    /// Tells a new client of all, and all of it.
    fn join(&mut self, socket: UnixStream) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let bells = (0..self.vectors).map(|_| bell()).collect::<io::Result<Vec<_>>>()?;
        let id = self.free_id();
        // Twice what all clients together can be told of: who has read nothing by then reads nothing.
        let messages_max = 3 + 2 * (PEERS_MAX + 1) * (usize::from(self.vectors) + 1);
        let mut peer = Peer::new(socket, bells, messages_max);
        peer.tell(Message::plain(PROTOCOL_VERSION));
        peer.tell(Message::plain(id.into()));
        peer.tell(Message::with(MEMORY, &self.memory));
        for (other, bells) in self.peers.iter().map(|(id, other)| (*id, other.bells())) {
            bells.iter().for_each(|bell| peer.tell(Message::with(other.into(), bell)));
        }
        let bells = peer.bells().to_vec();
        bells.iter().for_each(|bell| peer.tell(Message::with(id.into(), bell)));
        println!("guest {id} came");
        self.tell_all(|| bells.iter().map(|bell| Message::with(id.into(), bell)));
        self.peers.insert(id, peer);
        // It is sent in the next turn, as its socket is writable then.
        Ok(())
    }

    fn leave(&mut self, id: u16, why: &str) {
        self.peers.remove(&id);
        println!("guest {id} left: {why}");
        self.tell_all(|| [Message::plain(id.into())].into_iter());
    }

    fn tell_all<M: Iterator<Item = Message>>(&mut self, messages: impl Fn() -> M) {
        for peer in self.peers.values_mut() {
            messages().for_each(|message| peer.tell(message));
        }
    }

    /// A number that nobody has, and that nobody had for as long as can be: who rings a client that is gone rings no other.
    fn free_id(&mut self) -> u16 {
        loop {
            let id = self.next_id;
            self.next_id = id.wrapping_add(1);
            if !self.peers.contains_key(&id) {
                return id;
            }
        }
    }
}

/// Its two ends are one file description. It is made so that who rings does not wait; nobody here rings.
fn bell() -> io::Result<Rc<OwnedFd>> {
    Ok(Rc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
}

/// Binds the socket, for its owner alone; one that a server which is gone left there is replaced.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if is_stale(path) {
        std::fs::remove_file(path)?;
    }
    // From the start, since a socket that is there can be connected to.
    let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Whether there is a socket that nobody listens at.
fn is_stale(path: &Path) -> bool {
    // A file that is no socket refuses, too.
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket
        && matches!(UnixStream::connect(path), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}
