//! Peer: one client, and what it is still to be told.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

/// A client.
pub(super) struct Peer {
    pub(super) socket: UnixStream,
    /// What rings at it, by vector.
    bells: Vec<Rc<OwnedFd>>,
    queue: VecDeque<Message>,
    messages_max: usize,
    has_overflown: bool,
}

/// A number of eight bytes, with a descriptor or without.
pub(super) struct Message {
    value: i64,
    descriptor: Option<Rc<OwnedFd>>,
}

impl Message {
    pub(super) fn plain(value: i64) -> Self {
        Self { value, descriptor: None }
    }

    pub(super) fn with(value: i64, descriptor: &Rc<OwnedFd>) -> Self {
        Self { value, descriptor: Some(descriptor.clone()) }
    }
}

impl Peer {
    pub(super) fn new(socket: UnixStream, bells: Vec<Rc<OwnedFd>>, messages_max: usize) -> Self {
        let queue = VecDeque::new();
        Self { socket, bells, queue, messages_max, has_overflown: false }
    }

    pub(super) fn bells(&self) -> &[Rc<OwnedFd>] {
        &self.bells
    }

    /// Queues a message. Of one that is too many, [`handle_ready`](Self::handle_ready) tells.
    pub(super) fn tell(&mut self, message: Message) {
        if self.queue.len() < self.messages_max {
            self.queue.push_back(message);
        } else {
            self.has_overflown = true;
            // So that it is noticed whether the client reads or not.
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Whether there is something to tell.
    pub(super) fn is_owed(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Sends what there is room for, and looks whether the client is there.
    ///
    /// # Errors
    /// It is to be let go of, for this reason.
    pub(super) fn handle_ready(&mut self) -> Result<(), String> {
        if self.has_overflown {
            return Err("it does not read what it is told".into());
        }
        match recv(&self.socket, &mut [0; 8], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err("its socket closed".into()),
            Ok(_) => return Err("it said something, which no client does".into()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
        while let Some(message) = self.queue.front() {
            match self.send(message) {
                Ok(()) => self.queue.pop_front(),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.to_string()),
            };
        }
        Ok(())
    }

    fn send(&self, message: &Message) -> rustix::io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptor = message.descriptor.as_ref().map(|descriptor| [descriptor.as_fd()]);
        if let Some(descriptor) = &descriptor {
            let pushed = ancillary.push(SendAncillaryMessage::ScmRights(descriptor));
            assert!(pushed, "there is space for one");
        }
        let bytes = message.value.to_le_bytes();
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut ancillary, flags)? {
            sent if sent == bytes.len() => Ok(()),
            // A stream socket takes so few bytes at once or not at all (unix(7)); the rest would want its descriptor again.
            _ => Err(Errno::MSGSIZE),
        }
    }
}
