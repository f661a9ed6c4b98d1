//! Meeting: one message over a Unix socket, from who was connected to, by which the memory is passed.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// What it says: which protocol this is, and its version.
const HELLO: [u8; 8] = *b"shring\x00\x01";

/// Passes the memory. It is the first that is sent, so that there is room for it.
pub(super) fn pass(socket: impl AsFd, memory: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let memory = [memory.as_fd()];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&memory)), "there is space for one");
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match sendmsg(socket, &[IoSlice::new(&HELLO)], &mut ancillary, flags)? {
        sent if sent == HELLO.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Takes the memory that the other side passes.
///
/// # Errors
/// It has not come yet (`WouldBlock`); the other side has gone (`UnexpectedEof`) or is none of ours (`InvalidData`).
pub(super) fn take(socket: impl AsFd) -> io::Result<OwnedFd> {
    // More than one is closed again.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut said = [0; HELLO.len()];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut said)], &mut ancillary, flags)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut passed = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            passed.extend(descriptors);
        }
    }
    match passed.pop() {
        Some(memory) if said == HELLO && passed.is_empty() => Ok(memory),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no shared rings of this version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::send;
    use std::os::unix::net::UnixStream;

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }

    fn memory() -> OwnedFd {
        rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap()
    }

    fn kind(outcome: io::Result<OwnedFd>) -> io::ErrorKind {
        outcome.unwrap_err().kind()
    }

    #[test]
    fn memory_is_passed() {
        let (one, other) = pair();
        assert_eq!(kind(take(&other)), io::ErrorKind::WouldBlock);
        pass(&one, &memory()).unwrap();
        let taken = take(&other).unwrap();
        let flags = rustix::io::fcntl_getfd(&taken).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        drop(one);
        assert_eq!(kind(take(&other)), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let (one, other) = pair();
        send(&one, b"HTTP/1.1 400", SendFlags::empty()).unwrap();
        assert_eq!(kind(take(&other)), io::ErrorKind::InvalidData);
        let (one, other) = pair();
        send(&one, &HELLO, SendFlags::empty()).unwrap();
        assert_eq!(kind(take(&other)), io::ErrorKind::InvalidData, "no memory");
        let (one, other) = pair();
        let (first, second) = (memory(), memory());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let both = [first.as_fd(), second.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&both)));
        sendmsg(&one, &[IoSlice::new(&HELLO)], &mut ancillary, SendFlags::empty()).unwrap();
        assert_eq!(kind(take(&other)), io::ErrorKind::InvalidData, "too much memory");
    }
}
