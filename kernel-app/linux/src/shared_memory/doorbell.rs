//! Doorbell: a byte over the socket by which two processes met.

use crate::sockets::{Observer, Reactor, Registration};
use mio::Interest;
use mio::net::UnixStream;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use shared_ring::{Doorbell, Peer};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// This side's end of the doorbell.
pub struct Bell {
    pull: Rc<Pull>,
    _registration: Registration,
    /// The connection is one of so many at its path.
    _place: Option<Rc<()>>,
}

/// What is rung, and by whom: the reactor looks at it.
pub(super) struct Pull {
    stream: UnixStream,
    peer: RefCell<Option<Peer>>,
}

/// Bytes that are taken off the socket at once: more than it has room for messages of one (unix(7)), so that once is enough. All
/// are taken each time: one event may stand for any number of them, and a socket that fills up rings no more.
const TAKEN_MAX: usize = 1024;

impl Bell {
    pub(super) fn new(
        reactor: &Reactor,
        mut stream: UnixStream,
        place: Option<Rc<()>>,
    ) -> io::Result<(Self, Rc<Pull>)> {
        let registration = reactor.register(&mut stream, Interest::READABLE)?;
        let pull = Rc::new(Pull { stream, peer: RefCell::default() });
        registration.observe(pull.clone());
        Ok((Self { pull: pull.clone(), _registration: registration, _place: place }, pull))
    }
}

impl Doorbell for Bell {
    fn ring(&self) {
        // No room: the other side was rung often enough, and has not looked yet. No other side: an event tells of that.
        let _ = send(&self.pull.stream, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}

impl Pull {
    /// Has the other side's doings told to this one's flow.
    pub(super) fn attach(&self, peer: Peer) {
        self.peer.replace(Some(peer));
    }

    /// Takes the bytes off the socket; whether the other side is still there.
    fn take(&self) -> bool {
        let mut bytes = [0; TAKEN_MAX];
        loop {
            match recv(&self.stream, &mut bytes, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return false,
                Ok((count, _)) if count < bytes.len() => return true,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
    }
}

impl Observer for Pull {
    fn handle_ready(&self, is_closed: bool) {
        let is_gone = !self.take() || is_closed;
        let peer = self.peer.borrow().clone();
        match peer {
            Some(peer) if is_gone => peer.handle_gone(),
            Some(peer) => peer.handle_notification(),
            None => {}
        }
    }
}
