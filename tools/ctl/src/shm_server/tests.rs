//! Clients over the real kernel, well-behaved and otherwise.

use super::{PEERS_MAX, SEALS, Server};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

const BYTES: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs in a thread of its own until the test's process ends.
fn serve(name: &str, vectors: u16) -> PathBuf {
    let path = path(name);
    let at = path.clone();
    let (tell, is_there) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut server = Server::listen(&at, BYTES, vectors).unwrap();
        tell.send(()).unwrap();
        loop {
            server.turn().unwrap();
        }
    });
    is_there.recv_timeout(PATIENCE).unwrap();
    path
}

fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("aqueductctl-{}-{name}.shm", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn connect(path: &PathBuf) -> UnixStream {
    let socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A message, read to its end; none at the end of all.
fn message(socket: &UnixStream) -> io::Result<Option<(i64, Option<OwnedFd>)>> {
    let mut bytes = [0; 8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)?;
    let mut passed = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            passed.extend(descriptors);
        }
    }
    assert!(passed.len() < 2);
    match received.bytes {
        0 => Ok(None),
        8 => Ok(Some((i64::from_le_bytes(bytes), passed.pop()))),
        bytes => panic!("{bytes} bytes"),
    }
}

fn said(socket: &UnixStream) -> (i64, Option<OwnedFd>) {
    message(socket).unwrap().expect("a message")
}

/// What a client is told at first: its number, the memory, whose bells it has, its own.
fn welcome(socket: &UnixStream, others: usize, vectors: usize) -> (i64, OwnedFd, Vec<i64>) {
    assert!(matches!(said(socket), (0, None)), "the version");
    let (id, None) = said(socket) else { panic!("a descriptor with the number") };
    let (-1, Some(memory)) = said(socket) else { panic!("no memory") };
    let bells: Vec<_> = (0..others * vectors).map(|_| said(socket)).collect();
    assert!(bells.iter().all(|(_, bell)| bell.is_some()));
    for _ in 0..vectors {
        assert!(matches!(said(socket), (own, Some(_)) if own == id));
    }
    (id, memory, bells.into_iter().map(|(id, _)| id).collect())
}

#[test]
fn clients_are_told_of_each_other_and_share_the_memory() {
    let path = serve("two", 2);
    let one = connect(&path);
    let (first, memory, others) = welcome(&one, 0, 2);
    assert!(others.is_empty());
    assert_eq!(rustix::fs::fstat(&memory).unwrap().st_size as u64, BYTES);
    assert_eq!(rustix::fs::fcntl_get_seals(&memory).unwrap(), SEALS);
    let other = connect(&path);
    let (second, same, others) = welcome(&other, 1, 2);
    assert_eq!(others, [first, first]);
    rustix::io::pwrite(&memory, b"hello", 4096).unwrap();
    let mut seen = [0; 5];
    rustix::io::pread(&same, &mut seen, 4096).unwrap();
    assert_eq!(&seen, b"hello");
    let bells = [said(&one), said(&one)];
    assert!(bells.iter().all(|(id, bell)| *id == second && bell.is_some()));
    drop(other);
    assert!(matches!(said(&one), (gone, None) if gone == second));
    let third = connect(&path);
    assert_ne!(welcome(&third, 1, 2).0, second, "a number is not given again at once");
}

/// The bell that a client is given of another is the one that the other hears.
#[test]
fn a_bell_is_heard_by_its_owner() {
    let path = serve("bell", 1);
    let one = connect(&path);
    for _ in 0..3 {
        said(&one);
    }
    let (_, Some(own)) = said(&one) else { panic!("no bell") };
    let other = connect(&path);
    for _ in 0..3 {
        said(&other);
    }
    let (_, Some(others)) = said(&other) else { panic!("no bell") };
    let mut count = [0; 8];
    assert_eq!(rustix::io::read(&own, &mut count), Err(rustix::io::Errno::AGAIN));
    rustix::io::write(&others, &3_u64.to_ne_bytes()).unwrap();
    rustix::io::read(&own, &mut count).unwrap();
    assert_eq!(u64::from_ne_bytes(count), 3);
}

#[test]
fn who_says_something_is_let_go_of_and_the_others_hear_of_it() {
    let path = serve("talks", 1);
    let one = connect(&path);
    welcome(&one, 0, 1);
    let mut hostile = connect(&path);
    let (id, ..) = welcome(&hostile, 1, 1);
    assert!(said(&one).1.is_some());
    hostile.write_all(b"x").unwrap();
    assert!(matches!(said(&one), (gone, None) if gone == id));
    // Closed with what it said unread, its socket may say so (unix(7)).
    assert!(matches!(message(&hostile), Ok(None) | Err(_)));
}

/// One that does not read costs a bounded queue, and then its place.
#[test]
fn who_reads_nothing_is_let_go_of() {
    let path = serve("silent", 1);
    let watcher = connect(&path);
    welcome(&watcher, 0, 1);
    let silent = connect(&path);
    let (id, Some(_)) = said(&watcher) else { panic!("nobody came") };
    for _ in 0..10_000 {
        drop(connect(&path));
        // Who comes and goes is told of; and at last, who does not read.
        let heard = [said(&watcher), said(&watcher)];
        if heard.iter().any(|(gone, bell)| *gone == id && bell.is_none()) {
            drop(silent);
            return;
        }
    }
    panic!("it is kept");
}

#[test]
fn there_are_so_many_clients_at_once() {
    let path = serve("many", 1);
    let clients: Vec<_> = (0..PEERS_MAX)
        .map(|others| {
            let client = connect(&path);
            welcome(&client, others, 1);
            client
        })
        .collect();
    assert!(message(&connect(&path)).unwrap().is_none(), "one more");
    drop(clients);
}

#[test]
fn a_socket_that_was_left_is_replaced_and_one_in_use_is_not() {
    let path = path("left");
    drop(UnixListener::bind(&path).unwrap());
    let server = Server::listen(&path, BYTES, 1).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others than the owner do not reach it");
    assert!(Server::listen(&path, BYTES, 1).is_err());
    drop(server);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "a file").unwrap();
    assert!(Server::listen(&path, BYTES, 1).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    std::fs::remove_file(&path).unwrap();
}
