//! Both sides in one process, over the real kernel: two reactors, or one side that is the test.

use super::{Mapping, SharedMemory, SharedMemoryFlow, SharedMemoryListener, meeting};
use crate::sockets::Reactor;
use aqueduct::platform::ListenError;
use aqueduct::settings::network::SocketSettings;
use aqueduct::settings::shared_memory::SharedMemorySettings;
use flow::time::Timers;
use flow::{ConnectError, Connector, Flow, FlowError, Listener, Target};
use rustix::fs::MemfdFlags;
use rustix::net::{SendFlags, send};
use shared_ring::Ring;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
const TURN: Duration = Duration::from_millis(1);

/// One process as far as this goes: a loop and what it shares.
struct Side {
    reactor: Reactor,
    memory: SharedMemory,
    timers: Timers,
}

impl Side {
    fn new(connections_max: usize) -> Self {
        let reactor = Reactor::new(SocketSettings::new(&config::Tcp::default())).unwrap();
        let section = config::SharedMemory {
            connections_max,
            ring_bytes: 4096,
            ..config::SharedMemory::default()
        };
        let settings = SharedMemorySettings::new(&section, usize::MAX);
        let timers = Timers::new();
        let memory = SharedMemory::new(&reactor, settings, &timers);
        Self { reactor, memory, timers }
    }

    /// A turn of the loop.
    fn turn(&self) {
        self.memory.notify();
        self.memory.wait(Some(TURN), |timeout| self.reactor.wait(timeout)).unwrap();
    }
}

/// Has both sides run until `poll` is ready.
fn until<R>(sides: &[&Side], mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>) -> R {
    let start = Instant::now();
    loop {
        if let Poll::Ready(result) = poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        assert!(start.elapsed() < PATIENCE, "nothing comes");
        sides.iter().for_each(|side| side.turn());
    }
}

/// A path of this test's own, where nothing is.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("aqueduct-{}-{name}.shm", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn target(path: &Path) -> Target {
    Target::SharedMemory(path.to_str().unwrap().into())
}

fn connect(sides: &[&Side], path: &Path) -> Result<SharedMemoryFlow, ConnectError> {
    let (connector, target) = (sides[0].memory.connector(), target(path));
    let mut connecting = pin!(connector.connect(&target));
    until(&sides[..1], |cx| connecting.as_mut().poll(cx))
}

/// Both ends of a flow.
fn join(
    client: &Side,
    server: &Side,
    listener: &mut SharedMemoryListener,
) -> (SharedMemoryFlow, SharedMemoryFlow) {
    let (connector, target) = (client.memory.connector(), target(&listener.path));
    let mut connecting = pin!(connector.connect(&target));
    let (mut near, mut far) = (None, None);
    until(&[client, server], |cx| {
        if near.is_none()
            && let Poll::Ready(flow) = connecting.as_mut().poll(cx)
        {
            near = Some(flow.unwrap());
        }
        if far.is_none()
            && let Poll::Ready(flow) = listener.poll_accept(cx)
        {
            far = Some(flow.unwrap());
        }
        if near.is_some() && far.is_some() { Poll::Ready(()) } else { Poll::Pending }
    });
    (near.unwrap(), far.unwrap())
}

fn read(flow: &mut SharedMemoryFlow, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, FlowError>> {
    let mut read = Vec::new();
    let taken = flow.poll_read_with(cx, &mut |bytes| {
        read = bytes.to_vec();
        bytes.len()
    });
    taken.map_ok(|_| read)
}

#[test]
fn bytes_go_both_ways_through_rings_that_are_smaller() {
    let (client, server) = (Side::new(9), Side::new(9));
    let mut listener = server.memory.listen(&path("both"), 8).unwrap();
    let (mut near, mut far) = join(&client, &server, &mut listener);
    let bytes: Vec<u8> = (0..300_000).map(|place| (place % 251) as u8).collect();
    let (mut sent, mut echoed, mut back) = (0, 0, Vec::new());
    until(&[&client, &server], |cx| {
        if sent < bytes.len()
            && let Poll::Ready(count) = near.poll_write(cx, &bytes[sent..])
        {
            sent += count.unwrap();
            if sent == bytes.len() {
                near.finish();
            }
        }
        if echoed < bytes.len() {
            // Only as much as there is room for is taken.
            let mut taken = Vec::new();
            let room = far.poll_write_with(cx, &mut |space| {
                taken.resize(space.len(), 0);
                0
            });
            if room.is_ready()
                && let Poll::Ready(got) = far.poll_read_with(cx, &mut |shown| {
                    let count = shown.len().min(taken.len());
                    taken[..count].copy_from_slice(&shown[..count]);
                    count
                })
            {
                let got = got.unwrap();
                assert_eq!(far.poll_write(cx, &taken[..got]), Poll::Ready(Ok(got)));
                echoed += got;
            }
        } else {
            far.finish();
        }
        match read(&mut near, cx) {
            Poll::Ready(Ok(some)) if some.is_empty() => return Poll::Ready(()),
            Poll::Ready(some) => back.extend(some.unwrap()),
            Poll::Pending => {}
        }
        Poll::Pending
    });
    assert!(back == bytes, "{} bytes came back", back.len());
}

#[test]
fn a_sleeping_side_is_woken_and_an_awake_one_is_left_alone() {
    let (client, server) = (Side::new(9), Side::new(9));
    let mut listener = server.memory.listen(&path("wake"), 8).unwrap();
    let (mut near, mut far) = join(&client, &server, &mut listener);
    // More often than the doorbell's socket has room for, were its bytes never taken.
    for round in 0..2000 {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(read(&mut far, &mut cx).is_pending());
        assert!(server.memory.rings().may_sleep());
        assert_eq!(near.poll_write(&mut cx, b"one"), Poll::Ready(Ok(3)));
        client.memory.notify();
        server.reactor.wait(Some(PATIENCE)).unwrap();
        assert_eq!(read(&mut far, &mut cx), Poll::Ready(Ok(b"one".to_vec())), "{round}");
        server.memory.notify();
    }
}

#[test]
fn a_side_that_is_dropped_after_its_end_loses_nothing() {
    let (client, server) = (Side::new(9), Side::new(9));
    let mut listener = server.memory.listen(&path("end"), 8).unwrap();
    let (mut near, mut far) = join(&client, &server, &mut listener);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(far.poll_write(&mut cx, b"answer"), Poll::Ready(Ok(6)));
    far.finish();
    drop(far);
    server.turn();
    client.turn();
    assert_eq!(read(&mut near, &mut cx), Poll::Ready(Ok(b"answer".to_vec())));
    assert_eq!(read(&mut near, &mut cx), Poll::Ready(Ok(Vec::new())));
    assert_eq!(near.poll_write(&mut cx, b"x"), Poll::Ready(Err(FlowError::Reset)));
}

#[test]
fn a_socket_that_closes_cuts_off_whoever_had_not_finished() {
    let side = Side::new(9);
    let path = path("cut");
    let listener = UnixListener::bind(&path).unwrap();
    let mut far = None;
    let peer = std::thread::spawn(move || listener.accept().unwrap().0);
    let (connector, target) = (side.memory.connector(), target(&path));
    let mut connecting = pin!(connector.connect(&target));
    let geometry = shared_ring::Geometry::new(12, 12).unwrap();
    let (mapping, file) = Mapping::create(geometry).unwrap();
    let mut ring = Ring::serve(mapping, geometry).unwrap();
    assert!(connecting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let socket = peer.join().unwrap();
    meeting::pass(&socket, &file).unwrap();
    let mut near = until(&[&side], |cx| connecting.as_mut().poll(cx)).unwrap();
    assert_eq!(ring.write(b"half"), Ok(4));
    // As a process that is killed: its descriptors close, and nothing is written any more.
    drop(far.insert(socket).shutdown(std::net::Shutdown::Both));
    far.take();
    let outcome = until(&[&side], |cx| match read(&mut near, cx) {
        Poll::Ready(Ok(bytes)) if bytes == b"half" => read(&mut near, cx),
        outcome => outcome,
    });
    assert_eq!(outcome, Err(FlowError::Reset));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_passes_for_a_server_and_is_none_is_refused() {
    let side = Side::new(9);
    for (name, passes) in [("nothing", false), ("unsealed", true)] {
        let path = path(name);
        let listener = UnixListener::bind(&path).unwrap();
        let peer = std::thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            if passes {
                let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
                rustix::fs::ftruncate(&file, 12288).unwrap();
                meeting::pass(&socket, &file).unwrap();
            }
        });
        let outcome = connect(&[&side], &path);
        peer.join().unwrap();
        let expected = if passes { ConnectError::Unreachable } else { ConnectError::Exhausted };
        assert_eq!(outcome.err(), Some(expected), "{name}");
        std::fs::remove_file(path).unwrap();
    }
    assert_eq!(side.memory.rings().flows(), 0);
}

#[test]
fn nobody_is_reached_where_nobody_listens() {
    let side = Side::new(9);
    let path = path("nobody");
    assert_eq!(connect(&[&side], &path).err(), Some(ConnectError::NoSuchPath));
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(connect(&[&side], &path).err(), Some(ConnectError::Refused));
    let target = "10.0.0.1:80".parse().unwrap();
    let connector = side.memory.connector();
    let mut connecting = pin!(connector.connect(&target));
    let outcome = until(&[&side], |cx| connecting.as_mut().poll(cx));
    assert_eq!(outcome.err(), Some(ConnectError::Unsupported));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn connections_beyond_the_most_are_refused_at_once() {
    let (client, server) = (Side::new(9), Side::new(2));
    let mut listener = server.memory.listen(&path("most"), 8).unwrap();
    let first = join(&client, &server, &mut listener);
    let _second = join(&client, &server, &mut listener);
    let (connector, target) = (client.memory.connector(), target(&listener.path));
    let mut third = pin!(connector.connect(&target));
    let outcome = until(&[&client, &server], |cx| {
        assert!(listener.poll_accept(cx).is_pending());
        third.as_mut().poll(cx)
    });
    assert_eq!(outcome.err(), Some(ConnectError::Exhausted));
    drop(first);
    client.turn();
    server.turn();
    let _again = join(&client, &server, &mut listener);
}

#[test]
fn who_does_not_accept_is_waited_for_so_long_and_counts_as_long() {
    let client = Side::new(2);
    let silent = path("silent");
    let _listener = UnixListener::bind(&silent).unwrap();
    let (connector, target) = (client.memory.connector(), target(&silent));
    let cx = &mut Context::from_waker(Waker::noop());
    let mut first = pin!(connector.connect(&target));
    assert!(first.as_mut().poll(cx).is_pending());
    {
        let mut second = pin!(connector.connect(&target));
        assert!(second.as_mut().poll(cx).is_pending());
        let third = until(&[&client], |cx| pin!(connector.connect(&target)).poll(cx));
        assert_eq!(third.err(), Some(ConnectError::Exhausted));
    }
    // The one that was given up has its place again.
    let mut second = pin!(connector.connect(&target));
    assert!(second.as_mut().poll(cx).is_pending());
    let limit = config::SharedMemory::default().connect_timeout;
    client.timers.advance(limit - Duration::from_millis(1));
    assert!(first.as_mut().poll(cx).is_pending());
    client.timers.advance(limit);
    let outcome = until(&[&client], |cx| first.as_mut().poll(cx));
    assert_eq!(outcome.err(), Some(ConnectError::TimedOut));
    assert_eq!(client.memory.0.meetings.get(), 1);
    std::fs::remove_file(silent).unwrap();
}

#[test]
fn a_path_is_one_listeners_and_what_was_left_there_is_replaced() {
    let side = Side::new(9);
    let path = path("path");
    // A process that was killed leaves its socket behind.
    drop(UnixListener::bind(&path).unwrap());
    let listener = side.memory.listen(&path, 8).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o770);
    assert_eq!(side.memory.listen(&path, 8).err(), Some(ListenError::InUse));
    drop(listener);
    assert!(!path.exists());
    // What somebody else put in its place is his.
    let listener = side.memory.listen(&path, 8).unwrap();
    std::fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(listener);
    UnixStream::connect(&path).unwrap();
    drop(other);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "a file").unwrap();
    let said = side.memory.listen(&path, 8).err().unwrap().to_string();
    assert!(said.ends_with("is there already, and is no socket"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    std::fs::remove_file(&path).unwrap();
    let nowhere = side.memory.listen(&path.join("below"), 8).err().unwrap().to_string();
    assert!(nowhere.contains("listening at"), "{nowhere}");
}

/// Of four connections three may be one path's, so that who comes there does not keep others from theirs.
#[test]
fn one_path_does_not_get_all_connections() {
    let (client, server) = (Side::new(9), Side::new(4));
    let mut listener = server.memory.listen(&path("greedy"), 8).unwrap();
    let mut other = server.memory.listen(&path("modest"), 8).unwrap();
    let mut flows: Vec<_> = (0..3).map(|_| join(&client, &server, &mut listener)).collect();
    let (connector, target) = (client.memory.connector(), target(&listener.path));
    let mut connecting = pin!(connector.connect(&target));
    let outcome = until(&[&client, &server], |cx| {
        assert!(listener.poll_accept(cx).is_pending());
        connecting.as_mut().poll(cx)
    });
    assert_eq!(outcome.err(), Some(ConnectError::Exhausted));
    let _fourth = join(&client, &server, &mut other);
    // Who goes makes room at his path, once there is some at all.
    flows.pop();
    server.turn();
    let _again = join(&client, &server, &mut listener);
}

/// A bell that nobody asked for costs room in the socket, which must come back, or no bell is heard any more.
#[test]
fn who_rings_unasked_is_heard_still() {
    let server = Side::new(9);
    let mut listener = server.memory.listen(&path("rings"), 8).unwrap();
    let socket = UnixStream::connect(&listener.path).unwrap();
    let mut flow = until(&[&server], |cx| listener.poll_accept(cx)).unwrap();
    let memory = Mapping::open(meeting::take(&socket).unwrap()).unwrap();
    let mut ring = Ring::join(memory).unwrap();
    let ring_bell = || send(&socket, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    for _ in 0..3 {
        while ring_bell().is_ok() {}
        server.turn();
        ring_bell().expect("room for a bell");
    }
    ring.write(b"hello").unwrap();
    assert_eq!(until(&[&server], |cx| read(&mut flow, cx)), Ok(b"hello".to_vec()));
}

#[test]
fn who_says_nothing_after_meeting_costs_nobody_else() {
    let (client, server) = (Side::new(9), Side::new(9));
    let mut listener = server.memory.listen(&path("silent"), 8).unwrap();
    let silent = UnixStream::connect(&listener.path).unwrap();
    let mut flow = until(&[&server], |cx| listener.poll_accept(cx)).unwrap();
    assert!(read(&mut flow, &mut Context::from_waker(Waker::noop())).is_pending());
    let _others = join(&client, &server, &mut listener);
    drop(silent);
    let outcome = until(&[&server], |cx| read(&mut flow, cx));
    assert_eq!(outcome, Ok(Vec::new()), "it never said that it tells its ends");
}
