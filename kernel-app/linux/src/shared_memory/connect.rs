//! Connector: opens flows to processes that listen at a path.

use super::{Inner, Mapping, SharedMemory, SharedMemoryFlow, meeting};
use flow::{ConnectError, Connector, Target};
use mio::Interest;
use mio::net::UnixStream;
use shared_ring::Ring;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

/// Opens flows through memory that is shared with another process.
#[derive(Clone)]
pub struct SharedMemoryConnector(SharedMemory);

impl SharedMemory {
    /// What opens flows to targets of the scheme `shm`.
    pub fn connector(&self) -> SharedMemoryConnector {
        SharedMemoryConnector(self.clone())
    }
}

impl Connector for SharedMemoryConnector {
    type Flow = SharedMemoryFlow;

    /// Waits for the memory, which the other process makes when it accepts.
    ///
    /// # Errors
    /// `NoSuchPath` where there is no socket, `Refused` where nobody is at it, `NotAllowed` where its permissions say so,
    /// `Exhausted` where either process has no place left, `TimedOut` if it does not accept within the limit of
    /// `connect_timeout`, `Unreachable` if it is none of ours.
    async fn connect(&self, target: &Target) -> Result<SharedMemoryFlow, ConnectError> {
        let Target::SharedMemory(path) = target else { return Err(ConnectError::Unsupported) };
        if !self.0.has_place() {
            return Err(ConnectError::Exhausted);
        }
        let failed = |error: io::Error| {
            log::debug!("{target}: {error}");
            meaning(&error)
        };
        let _meeting = Meeting::begin(&self.0);
        let mut stream = UnixStream::connect(path).map_err(failed)?;
        let Inner { timers, settings, .. } = &*self.0.0;
        let memory = self.memory(&mut stream);
        let memory = timers.before(timers.now() + settings.connect_timeout, memory).await;
        let file = memory.map_err(|_| ConnectError::TimedOut)?.map_err(failed)?;
        let mapping = Mapping::open(file).map_err(failed)?;
        let ring = Ring::join(mapping).map_err(|error| failed(io::Error::other(error)))?;
        self.0.open(ring, stream, None).map_err(failed)
    }
}

/// A connection that is being made, which counts among those that there may be.
struct Meeting<'a>(&'a SharedMemory);

impl<'a> Meeting<'a> {
    fn begin(memory: &'a SharedMemory) -> Self {
        memory.0.meetings.set(memory.0.meetings.get() + 1);
        Self(memory)
    }
}

impl Drop for Meeting<'_> {
    fn drop(&mut self) {
        let meetings = &self.0.0.meetings;
        meetings.set(meetings.get() - 1);
    }
}

impl SharedMemoryConnector {
    /// What the other process passes.
    async fn memory(&self, stream: &mut UnixStream) -> io::Result<OwnedFd> {
        let reactor = &self.0.0.reactor;
        let registration = reactor.register(stream, Interest::READABLE)?;
        let take = |cx: &mut Context<'_>| {
            while registration.poll_readable(cx) {
                match meeting::take(&*stream) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        registration.await_readable(cx);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    outcome => return Poll::Ready(outcome),
                }
            }
            Poll::Pending
        };
        let outcome = poll_fn(take).await;
        // The doorbell is registered anew, with a slot of its own.
        let _ = reactor.registry().deregister(stream);
        outcome
    }
}

fn meaning(error: &io::Error) -> ConnectError {
    match error.kind() {
        // A path that is no socket's, or a socket that nobody is at.
        io::ErrorKind::NotFound => ConnectError::NoSuchPath,
        io::ErrorKind::ConnectionRefused => ConnectError::Refused,
        io::ErrorKind::PermissionDenied => ConnectError::NotAllowed,
        // A full backlog (connect(2)), or an end instead of memory: there is no place at the other process.
        io::ErrorKind::WouldBlock | io::ErrorKind::UnexpectedEof => ConnectError::Exhausted,
        io::ErrorKind::ConnectionReset => ConnectError::Exhausted,
        _ => ConnectError::Unreachable,
    }
}
