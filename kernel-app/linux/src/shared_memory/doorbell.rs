//! Doorbell: a byte over the socket by which two processes met.

use crate::sockets::{Observer, Reactor, Registration};
use mio::Interest;
use mio::net::UnixStream;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use shared_ring::{Doorbell, Peer};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

/// This side's end of the doorbell.
pub struct Bell {
    pull: Rc<Pull>,
    _registration: Registration,
}

/// What is rung, and by whom: the reactor looks at it.
pub(super) struct Pull {
    stream: UnixStream,
    peer: RefCell<Option<Peer>>,
    /// Times that it was rung since the bytes were taken off the socket.
    untaken: Cell<usize>,
}

/// So often it may be rung before the bytes are taken off the socket, which is a system call saved each time. A socket has
/// room for some hundred such messages (unix(7)).
const UNTAKEN_MAX: usize = 32;

impl Bell {
    pub(super) fn new(reactor: &Reactor, mut stream: UnixStream) -> io::Result<(Self, Rc<Pull>)> {
        let registration = reactor.register(&mut stream, Interest::READABLE)?;
        let (peer, untaken) = (RefCell::default(), Cell::new(0));
        let pull = Rc::new(Pull { stream, peer, untaken });
        registration.observe(pull.clone());
        Ok((Self { pull: pull.clone(), _registration: registration }, pull))
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
        let mut bytes = [0; 8 * UNTAKEN_MAX];
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
        let untaken = self.untaken.get() + 1;
        let takes = untaken >= UNTAKEN_MAX;
        self.untaken.set(if takes { 0 } else { untaken });
        let is_gone = is_closed || takes && !self.take();
        let peer = self.peer.borrow().clone();
        match peer {
            Some(peer) if is_gone => peer.handle_gone(),
            Some(peer) => peer.handle_notification(),
            None => {}
        }
    }
}
