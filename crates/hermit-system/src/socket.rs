//! Sockets: TCP over IPv4 that never blocks.
//!
//! What they do other than those of most systems, since the kernel (0.11) does:
//!
//! - An end and a reset look alike, and nothing resets a connection on purpose.
//! - Nothing is read once this side has ended.
//! - A dropped socket is the kernel's until the peer has ended too, with its 128 KiB of buffers: closing it earlier blocks.
//! - There are no keep-alive settings, no linger, and no IPv6.
//! - `TCP_NODELAY` is inverted: the kernel enables Nagle's algorithm when asked to disable it.

use crate::{background, system};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::sync::atomic::{AtomicI32, Ordering};
use hermit_abi::{
    AF_INET, EAGAIN, IPPROTO_TCP, POLLIN, POLLOUT, SHUT_RDWR, SOCK_NONBLOCK, SOCK_STREAM,
    TCP_NODELAY, accept, bind, close, connect, getsockname, listen, poll, pollfd, read, setsockopt,
    shutdown, sockaddr_in, socket, write,
};
use hermit_sync::TicketMutex;

/// Memory that the kernel takes for each socket's buffers, and for each place in a listener's queue.
pub const BUFFER_BYTES: usize = 128 << 10;

/// What a call says when it cannot be done: the kernel's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(pub i32);

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Hermit's error {}", self.0)
    }
}

impl core::error::Error for Error {}

/// A socket; closed when it is dropped.
#[derive(Debug)]
pub struct Socket(i32);

impl Socket {
    /// Listens on a port of all addresses, with room for `backlog` connections that nobody accepted yet; each place takes
    /// [`BUFFER_BYTES`].
    pub fn listen(port: u16, backlog: u16) -> Result<Self, Error> {
        let socket = Self::new()?;
        // What is accepted inherits it.
        socket.send_at_once()?;
        let address = raw(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
        // SAFETY: the address is there until the call is over, and as long as is said.
        done(unsafe { bind(socket.0, (&raw const address).cast(), ADDRESS_BYTES) })?;
        // SAFETY: touches no memory of ours.
        done(unsafe { listen(socket.0, backlog.into()) })?;
        Ok(socket)
    }

    /// The next connection and its peer, of a socket that listens; `None` when there is none yet.
    pub fn accept(&self) -> Result<Option<(Self, SocketAddrV4)>, Error> {
        let (mut address, mut bytes) = (sockaddr_in::default(), ADDRESS_BYTES);
        // SAFETY: there is room for an address, and as much as is said.
        let outcome = unsafe { accept(self.0, (&raw mut address).cast(), &raw mut bytes) };
        match outcome {
            error if error == -EAGAIN => Ok(None),
            error if error < 0 => Err(Error(-error)),
            descriptor => Ok(Some((Self(descriptor), address_of(&address)))),
        }
    }

    /// Begins to connect; an error says that there is no socket for it, or too many connections are being made.
    pub fn connect(to: SocketAddrV4) -> Result<Connecting, Error> {
        let socket = Self::new()?;
        socket.send_at_once()?;
        let outcome = Arc::new(AtomicI32::new(Connecting::UNDER_WAY));
        let (descriptor, result) = (socket.0, outcome.clone());
        let is_begun = background::run(move || {
            if result.load(Ordering::Acquire) == Connecting::GIVEN_UP {
                return drop(Socket(descriptor));
            }
            let address = raw(to);
            // SAFETY: the address is there until the call is over, and as long as is said.
            let code = unsafe { connect(descriptor, (&raw const address).cast(), ADDRESS_BYTES) };
            if result.swap(code, Ordering::AcqRel) == Connecting::GIVEN_UP {
                drop(Socket(descriptor));
            }
        });
        if !is_begun {
            return Err(Error(EAGAIN));
        }
        // The thread owns the socket while it connects.
        core::mem::forget(socket);
        Ok(Connecting { descriptor, outcome })
    }

    /// Reads some of what has arrived; 0 when the peer has finished, or the connection is no more, `None` when nothing
    /// has arrived.
    pub fn read(&self, buffer: &mut [u8]) -> Result<Option<usize>, Error> {
        // SAFETY: there is as much room.
        moved(unsafe { read(self.0, buffer.as_mut_ptr(), buffer.len()) })
    }

    /// Writes some of `bytes`, which are not to be none: how many, 0 when the connection takes no more, `None` when there
    /// is no room.
    pub fn write(&self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        // SAFETY: as many bytes are readable.
        moved(unsafe { write(self.0, bytes.as_ptr(), bytes.len()) })
    }

    /// The address of this end.
    pub fn local(&self) -> Result<SocketAddrV4, Error> {
        let (mut address, mut bytes) = (sockaddr_in::default(), ADDRESS_BYTES);
        // SAFETY: there is room for an address, and as much as is said.
        done(unsafe { getsockname(self.0, (&raw mut address).cast(), &raw mut bytes) })?;
        Ok(address_of(&address))
    }

    fn new() -> Result<Self, Error> {
        // SAFETY: touches no memory of ours.
        let descriptor = unsafe { socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) };
        if descriptor < 0 { Err(Error(-descriptor)) } else { Ok(Self(descriptor)) }
    }

    /// Segments leave without waiting for the acknowledgement of those before.
    fn send_at_once(&self) -> Result<(), Error> {
        // "On" would mean that they wait.
        let no_delay = 0_i32;
        let bytes = size_of::<i32>() as u32;
        // SAFETY: the value is there until the call is over, and as long as is said.
        done(unsafe {
            setsockopt(self.0, IPPROTO_TCP, TCP_NODELAY, (&raw const no_delay).cast(), bytes)
        })
    }
}

impl Drop for Socket {
    /// Sends the end, and closes the socket when the peer has sent its own.
    fn drop(&mut self) {
        // SAFETY: touches no memory of ours. One that was never connected has nothing to send.
        let _ = unsafe { shutdown(self.0, SHUT_RDWR) };
        CLOSING.lock().push(self.0);
    }
}

/// Sockets that nobody knows of any more, and whose peers have not all ended.
static CLOSING: TicketMutex<Vec<i32>> = TicketMutex::new(Vec::new());

/// Closes a socket if that does not block; whether it did.
fn close_ended(descriptor: i32) -> bool {
    let mut unread = [0; 512];
    // SAFETY: there is as much room. What arrives late is nobody's.
    let has_ended = unsafe { read(descriptor, unread.as_mut_ptr(), unread.len()) } == 0;
    if has_ended {
        // SAFETY: nobody else knows of the socket.
        let _ = unsafe { close(descriptor) };
    }
    has_ended
}

/// A connection that is being made; dropping it gives up.
#[derive(Debug)]
pub struct Connecting {
    descriptor: i32,
    outcome: Arc<AtomicI32>,
}

impl Connecting {
    const UNDER_WAY: i32 = i32::MAX;
    const GIVEN_UP: i32 = i32::MAX - 1;
    /// The socket has another owner.
    const TAKEN: i32 = i32::MAX - 2;

    /// The connection, or why there is none; `None` while it is being made.
    pub fn take(&mut self) -> Option<Result<Socket, Error>> {
        let code = self.outcome.load(Ordering::Acquire);
        if code == Self::UNDER_WAY || code == Self::TAKEN {
            return None;
        }
        self.outcome.store(Self::TAKEN, Ordering::Release);
        let socket = Socket(self.descriptor);
        Some(done(code).map(|()| socket))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        match self.outcome.swap(Self::GIVEN_UP, Ordering::AcqRel) {
            Self::UNDER_WAY | Self::TAKEN => {}
            _ => drop(Socket(self.descriptor)),
        }
    }
}

/// Sockets that somebody waits for, and which of them need not be waited for any more.
#[derive(Default)]
pub struct Poller(Vec<pollfd>);

impl Poller {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Watches a socket, other than one that listens.
    pub fn add(&mut self, socket: &Socket, reading: bool, writing: bool) {
        let events = if reading { POLLIN } else { 0 } | if writing { POLLOUT } else { 0 };
        self.0.push(pollfd { fd: socket.0, events, revents: 0 });
    }

    /// Lets the kernel send and take in, then looks at the sockets: which of them, in the order in which they were added,
    /// may be read, and which may be written. Does not wait.
    pub fn poll(&mut self) -> impl Iterator<Item = (bool, bool)> {
        // The kernel looks at the sockets first, and moves frames after that. Its waiting is of no use: with a time limit
        // it waits for that long since its own start, and without one until a socket of these is ready.
        for _ in 0..2 {
            // SAFETY: as many entries are there until the call is over.
            unsafe { poll(self.0.as_mut_ptr(), self.0.len(), 0) };
        }
        self.0.iter().map(|entry| {
            // What is over is told to whoever waits for either.
            let is_over = entry.revents & !(POLLIN | POLLOUT) != 0;
            (entry.revents & POLLIN != 0 || is_over, entry.revents & POLLOUT != 0 || is_over)
        })
    }
}

/// Closes sockets whose peers have ended, and lets threads go on that connect.
pub fn attend() {
    CLOSING.lock().retain(|&descriptor| !close_ended(descriptor));
    background::start_waiting();
    if background::count() > 0 {
        system::give_way();
    }
}

/// Sockets that nobody knows of any more and whose peers have not ended.
pub fn closing() -> usize {
    CLOSING.lock().len()
}

const ADDRESS_BYTES: u32 = size_of::<sockaddr_in>() as u32;

fn raw(address: SocketAddrV4) -> sockaddr_in {
    sockaddr_in {
        sin_len: ADDRESS_BYTES as u8,
        sin_family: AF_INET as u8,
        sin_port: address.port().to_be(),
        sin_addr: hermit_abi::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        ..sockaddr_in::default()
    }
}

fn address_of(address: &sockaddr_in) -> SocketAddrV4 {
    let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
    SocketAddrV4::new(ip, u16::from_be(address.sin_port))
}

fn done(code: i32) -> Result<(), Error> {
    if code < 0 { Err(Error(-code)) } else { Ok(()) }
}

fn moved(count: isize) -> Result<Option<usize>, Error> {
    match usize::try_from(count) {
        Ok(count) => Ok(Some(count)),
        Err(_) if count == -(EAGAIN as isize) => Ok(None),
        Err(_) => Err(Error(-(count as i32))),
    }
}
