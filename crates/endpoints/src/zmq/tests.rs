use super::*;
use alloc::vec;
use core::cell::Cell;
use flow::memory::MemoryNetwork;
use flow::task::Executor;
use flow::{Connector, Flow, FlowExt, Target};

const SECOND: Duration = Duration::from_secs(1);

/// An executor whose clock jumps to the next deadline when nothing else moves.
pub(crate) struct World {
    pub(crate) host: Host,
    pub(crate) network: MemoryNetwork,
    executor: Executor,
}

impl World {
    pub(crate) fn new() -> Self {
        let executor = Executor::new(|body| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).map_err(|_| "panic".into())
        });
        let host = Host {
            spawner: executor.spawner(),
            timers: Timers::new(),
            entropy: Rc::new(|bytes| bytes.fill(7)),
            ledger: None,
        };
        Self { host, network: MemoryNetwork::new(1000, 100), executor }
    }

    /// Runs `main` to its end, in at most an hour of the world's time.
    pub(crate) fn run<T: 'static>(&self, main: impl Future<Output = T> + 'static) -> T {
        let done = Rc::new(Cell::new(None));
        let result = done.clone();
        self.host.spawner.spawn("main", async move {
            result.set(Some(main.await));
        });
        loop {
            self.executor.run_until_stalled();
            if let Some(result) = done.take() {
                return result;
            }
            let next = self.host.timers.next_deadline().expect("everything waits for ever");
            assert!(next < 3600 * SECOND, "nothing happens for an hour");
            self.host.timers.advance(next);
        }
    }

    pub(crate) fn bind(&self, name: &str) -> Bind<flow::memory::MemoryListener> {
        Bind(self.network.listen(&target(name)).unwrap())
    }

    pub(crate) fn connect(&self, name: &str) -> Connect<MemoryNetwork> {
        Connect::new(self.network.clone(), target(name))
    }

    fn socket(&self, socket_type: SocketType, how: impl Attach) -> ZmqSocket {
        let socket = ZmqSocket::new(&self.host, Options::new(socket_type));
        socket.attach(how);
        socket
    }
}

pub(crate) fn target(name: &str) -> Target {
    name.parse().unwrap()
}

#[test]
fn either_side_may_come_first() {
    for binds_first in [true, false] {
        let world = World::new();
        let (push, pull);
        if binds_first {
            pull = world.socket(SocketType::Pull, world.bind("a:1"));
            push = world.socket(SocketType::Push, world.connect("a:1"));
        } else {
            push = world.socket(SocketType::Push, world.connect("a:1"));
            let timers = world.host.timers.clone();
            world.run(async move { timers.sleep(3 * SECOND).await });
            pull = world.socket(SocketType::Pull, world.bind("a:1"));
        }
        world.run(async move {
            push.send("water").await.unwrap();
            assert_eq!(pull.recv().await.unwrap(), Message::new("water"));
        });
    }
}

/// The replicas of a service by their hosts, each with a socket that takes messages.
#[test]
fn messages_go_to_the_places_that_the_registry_knows() {
    use crate::places::tests::{Changing, services};
    let world = World::new();
    let [a, b] = ["a:1", "b:1"].map(|name| world.socket(SocketType::Pull, world.bind(name)));
    let watch = flow::sync::Watch::new(Ok(services("shop a zmtp a:1\nshop b zmtp b:1")));
    let registry = Rc::new(Changing(watch.clone()));
    let ways = flow::registry::Ways::new(Default::default(), &world.host.timers);
    let connector =
        flow::registry::ResolvingConnector::new(world.network.clone(), registry.clone(), ways);
    let query = "shop".parse().unwrap();
    let backoff = Backoff::default();
    let push = world.socket(SocketType::Push, Follow { connector, registry, query, backoff });
    let timers = world.host.timers.clone();
    world.run(async move {
        timers.sleep(SECOND).await;
        for _ in 0..2 {
            push.send("both").await.unwrap();
        }
        assert_eq!(a.recv().await.unwrap(), Message::new("both"));
        assert_eq!(b.recv().await.unwrap(), Message::new("both"));
        // It drains: what it has stays.
        watch.set(Ok(services("shop a zmtp a:1 drains\nshop b zmtp b:1")));
        timers.sleep(SECOND).await;
        for _ in 0..2 {
            push.send("still").await.unwrap();
        }
        assert_eq!(a.recv().await.unwrap(), Message::new("still"));
        assert_eq!(b.recv().await.unwrap(), Message::new("still"));
        watch.set(Ok(services("shop b zmtp b:1")));
        timers.sleep(SECOND).await;
        for _ in 0..4 {
            push.send("one").await.unwrap();
        }
        for _ in 0..4 {
            assert_eq!(b.recv().await.unwrap(), Message::new("one"));
        }
    });
}

#[test]
fn places_of_a_service_get_messages_by_their_weights() {
    use crate::places::tests::{Changing, services};
    let world = World::new();
    let [a, b] = ["a:1", "b:1"].map(|at| world.socket(SocketType::Pull, world.bind(at)));
    let watch = flow::sync::Watch::new(Ok(services("shop a zmtp a:1 weight=3\nshop b zmtp b:1")));
    let registry = Rc::new(Changing(watch.clone()));
    let ways = flow::registry::Ways::new(Default::default(), &world.host.timers);
    let connector =
        flow::registry::ResolvingConnector::new(world.network.clone(), registry.clone(), ways);
    let (query, backoff) = ("shop".parse().unwrap(), Backoff::default());
    let push = world.socket(SocketType::Push, Follow { connector, registry, query, backoff });
    let timers = world.host.timers.clone();
    world.run(async move {
        // The weight changes while the connection stays.
        for shares in [[6, 2], [4, 4]] {
            timers.sleep(SECOND).await;
            for _ in 0..8 {
                push.send("one").await.unwrap();
            }
            for (pull, share) in [&a, &b].into_iter().zip(shares) {
                for _ in 0..share {
                    pull.recv().await.unwrap();
                }
            }
            watch.set(Ok(services("shop a zmtp a:1\nshop b zmtp b:1")));
        }
    });
}

#[test]
fn a_slow_receiver_holds_the_sender_back_and_nothing_is_lost() {
    let world = World::new();
    let mut options = Options::new(SocketType::Push);
    (options.send_messages_max, options.receive_messages_max) = (10, 10);
    let push = ZmqSocket::new(&world.host, options.clone());
    options.config.socket_type = SocketType::Pull;
    let pull = ZmqSocket::new(&world.host, options);
    pull.attach(world.bind("a:1"));
    push.attach(world.connect("a:1"));
    let sent = Rc::new(Cell::new(0_u64));
    let count = sent.clone();
    world.host.spawner.spawn("sender", async move {
        for number in 0..1000_u64 {
            push.send(Bytes::copy_from_slice(&number.to_be_bytes())).await.unwrap();
            count.set(number + 1);
        }
        push.close(SECOND).await;
    });
    world.run(async move {
        for number in 0..1000_u64 {
            let message = pull.recv().await.unwrap();
            assert_eq!(message.first()[..], number.to_be_bytes());
            // 10 here, 10 there, and what 1,000 bytes of flow hold.
            assert!(sent.get() < number + 150, "{} sent, {number} received", sent.get());
        }
    });
}

#[test]
fn a_lost_peer_is_reached_again_after_backoff() {
    let world = World::new();
    let req = world.socket(SocketType::Req, world.connect("a:1"));
    let rep = world.socket(SocketType::Rep, world.bind("a:1"));
    let (asking, answering) = (req.clone(), rep.clone());
    world.run(async move {
        asking.send("1").await.unwrap();
        answering.recv().await.unwrap();
        answering.close(Duration::ZERO).await;
        assert_eq!(asking.recv().await, Err(RecvFailed::Refused(RecvError::PeerLost)));
    });
    drop(rep);
    let rep = world.socket(SocketType::Rep, world.bind("a:1"));
    world.run(async move {
        req.send("2").await.unwrap();
        assert_eq!(rep.recv().await.unwrap(), Message::new("2"));
        rep.send("3").await.unwrap();
        assert_eq!(req.recv().await.unwrap(), Message::new("3"));
    });
}

#[test]
fn a_closed_socket_sends_what_it_has_and_says_so() {
    let world = World::new();
    let pull = world.socket(SocketType::Pull, world.bind("a:1"));
    let push = world.socket(SocketType::Push, world.connect("a:1"));
    world.run(async move {
        for _ in 0..100 {
            push.send(vec![1; 500]).await.unwrap();
        }
        let closed = push.clone();
        let waiting = closed.clone();
        push.close(60 * SECOND).await;
        assert_eq!(closed.send("x").await, Err(SendFailed::Closed));
        assert_eq!(waiting.recv().await, Err(RecvFailed::Closed));
        for _ in 0..100 {
            assert_eq!(pull.recv().await.unwrap().body_bytes(), 500);
        }
    });
}

#[test]
fn linger_ends_at_its_deadline() {
    let world = World::new();
    let mut options = Options::new(SocketType::Pull);
    options.receive_messages_max = 1;
    let pull = ZmqSocket::new(&world.host, options);
    pull.attach(world.bind("a:1"));
    let push = world.socket(SocketType::Push, world.connect("a:1"));
    let timers = world.host.timers.clone();
    world.run(async move {
        for _ in 0..20 {
            push.send(vec![1; 500]).await.unwrap();
        }
        push.close(2 * SECOND).await;
        assert_eq!(timers.now(), 2 * SECOND);
        drop(pull);
    });
}

#[test]
fn what_a_lost_peer_left_lingers_until_a_peer_comes_back() {
    for (comes_after, arrives) in [(3, true), (20, false)] {
        let world = World::new();
        let mut options = Options::new(SocketType::Pull);
        options.receive_messages_max = 1;
        let pull = ZmqSocket::new(&world.host, options);
        pull.attach(world.bind("a:1"));
        let push = world.socket(SocketType::Push, world.connect("a:1"));
        let (timers, spawner) = (world.host.timers.clone(), world.host.spawner.clone());
        world.run(async move {
            for number in 0..20_u8 {
                push.send(vec![number; 500]).await.unwrap();
            }
            timers.sleep(SECOND).await;
            // With messages in its connection's queue.
            pull.shut();
            timers.sleep(SECOND).await;
            spawner.spawn("closes", push.close(10 * SECOND));
            timers.sleep(comes_after * SECOND).await;
        });
        let timers = world.host.timers.clone();
        let pull = world.socket(SocketType::Pull, world.bind("a:1"));
        world.run(async move {
            let last = timers.before(timers.now() + 60 * SECOND, async {
                loop {
                    let message = pull.recv().await.unwrap();
                    if message.first()[0] == 19 {
                        return;
                    }
                }
            });
            assert_eq!(last.await.is_ok(), arrives);
        });
    }
}

#[test]
fn handover_ends_the_superseded_connection() {
    let world = World::new();
    let mut options = Options::new(SocketType::Router);
    options.router_handover = true;
    let router = ZmqSocket::new(&world.host, options);
    router.attach(world.bind("a:1"));
    let mut named = Options::new(SocketType::Dealer);
    named.config.identity = "anna".into();
    let old = ZmqSocket::new(&world.host, named.clone());
    // It does not come back at once, or it would take the name over again.
    let mut connect = world.connect("a:1");
    connect.backoff.first = 1000 * SECOND;
    old.attach(connect);
    let timers = world.host.timers.clone();
    let (host, connect) = (world.host.clone(), world.connect("a:1"));
    world.run(async move {
        old.send("one").await.unwrap();
        old.send("two").await.unwrap();
        timers.sleep(SECOND).await;
        let new = ZmqSocket::new(&host, named);
        new.attach(connect);
        timers.sleep(5 * SECOND).await;
        assert_eq!((old.ready_peers(), new.ready_peers(), router.ready_peers()), (0, 1, 1));
        // What it sent before is received, and answered to whom has the name now.
        for text in ["one", "two"] {
            let parts: Vec<_> = router.recv().await.unwrap().into_parts().collect();
            assert_eq!(parts, ["anna", text].map(Bytes::from));
        }
        router.send(Message::from_parts(["anna".into(), "x".into()]).unwrap()).await.unwrap();
        assert_eq!(new.recv().await.unwrap(), Message::new("x"));
    });
}

#[test]
fn rubbish_ends_one_connection_only() {
    let world = World::new();
    let pull = world.socket(SocketType::Pull, world.bind("a:1"));
    let push = world.socket(SocketType::Push, world.connect("a:1"));
    let network = world.network.clone();
    world.run(async move {
        for rubbish in [&b"GET / HTTP/1.1\r\n"[..], &[0xFF; 100], b""] {
            let mut raw = network.connect(&target("a:1")).await.unwrap();
            raw.write_all(rubbish).await.unwrap();
            raw.finish();
            while raw.read(&mut [0; 64]).await.unwrap() > 0 {}
            push.send("fine").await.unwrap();
            assert_eq!(pull.recv().await.unwrap(), Message::new("fine"));
        }
        assert_eq!(pull.ready_peers(), 1);
    });
}

#[test]
fn a_mismatch_is_told_to_the_peer() {
    let world = World::new();
    let _pull = world.socket(SocketType::Pull, world.bind("a:1"));
    let network = world.network.clone();
    let heard = world.run(async move {
        let mut raw = network.connect(&target("a:1")).await.unwrap();
        let mut hello = vec![0; 64];
        (hello[0], hello[9], hello[10], hello[11]) = (0xFF, 0x7F, 3, 1);
        hello[12..16].copy_from_slice(b"NULL");
        hello.extend_from_slice(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB");
        raw.write_all(&hello).await.unwrap();
        let mut heard = vec![];
        loop {
            let mut buffer = [0; 64];
            match raw.read(&mut buffer).await.unwrap() {
                0 => return heard,
                count => heard.extend_from_slice(&buffer[..count]),
            }
        }
    });
    assert!(heard.ends_with(b"\x05ERROR\x13invalid socket type"), "{heard:?}");
}

#[test]
fn heartbeats_go_on_while_nothing_else_happens() {
    let world = World::new();
    let mut options = Options::new(SocketType::Pull);
    options.config.heartbeat = Some(Heartbeat::default());
    let pull = ZmqSocket::new(&world.host, options);
    pull.attach(world.bind("a:1"));
    let push = world.socket(SocketType::Push, world.connect("a:1"));
    let timers = world.host.timers.clone();
    world.run(async move {
        push.send("first").await.unwrap();
        pull.recv().await.unwrap();
        timers.sleep(300 * SECOND).await;
        assert_eq!((push.ready_peers(), pull.ready_peers()), (1, 1));
    });
}
