use super::*;
use crate::zmq::tests::{World, target};
use crate::zmq::{Options, SocketType, ZmqSocket};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;
use flow::{Connector, Flow, FlowExt, memory};

mod hogs;
mod panics;
mod raw;

use raw::{hello, raw_caller};

type Shout = Client<String, String>;

fn serve(world: &World, how: impl crate::zmq::Attach) -> Service {
    let timers = world.host.timers.clone();
    let shout = async move |text: String| {
        assert!(text != "panic", "asked to");
        if let Some(seconds) = text.strip_prefix("sleep ") {
            timers.sleep(Duration::from_secs(seconds.parse().unwrap())).await;
        }
        text.to_uppercase()
    };
    make_server(&world.host, shout, how)
}

#[test]
fn a_remote_function_is_called_with_and_without_compression() {
    for client_binds in [false, true] {
        let world = World::new();
        let client: Shout = if client_binds {
            let client = make_client(&world.host, world.bind("a:1"));
            serve(&world, world.connect("a:1"));
            client
        } else {
            serve(&world, world.bind("a:1"));
            make_client(&world.host, world.connect("a:1"))
        };
        world.run(async move {
            for compress in [Compress::No, Compress::Reply, Compress::Both] {
                for text in ["", "water", &"flow".repeat(100_000)] {
                    let reply = client.call(text.to_string(), compress).await;
                    assert!(reply == Ok(text.to_uppercase()), "{compress:?}");
                }
            }
        });
    }
}

#[test]
fn calls_overtake_each_other() {
    let world = World::new();
    serve(&world, world.bind("a:1"));
    let client: Shout = make_client(&world.host, world.connect("a:1"));
    let timers = world.host.timers.clone();
    let spawner = world.host.spawner.clone();
    world.run(async move {
        let calls: Vec<_> = (1..=20)
            .map(|number| {
                let client = client.clone();
                spawner.spawn_joinable("call", async move {
                    client.call(std::format!("sleep {number}"), Compress::No).await.unwrap()
                })
            })
            .collect();
        for (number, call) in (1..=20).zip(calls) {
            assert_eq!(call.await.unwrap(), std::format!("SLEEP {number}"));
        }
        // Not 1 + 2 + .. + 20.
        assert!(timers.now() < Duration::from_secs(22));
    });
}

#[test]
fn a_failing_handler_and_a_slow_one_cost_their_own_call_only() {
    let world = World::new();
    serve(&world, world.bind("a:1"));
    let client: Shout = make_client(&world.host, world.connect("a:1"));
    world.run(async move {
        let failed = client.call("panic".into(), Compress::Both).await;
        assert_eq!(failed, Err(CallFailed::Remote("the handler failed".into())));
        let hasty = client.clone().timeout(Duration::from_secs(1));
        assert_eq!(hasty.call("sleep 60".into(), Compress::No).await, Err(CallFailed::TimedOut));
        assert_eq!(client.call("x".into(), Compress::No).await, Ok("X".into()));
        client.close();
        assert_eq!(hasty.call("x".into(), Compress::No).await, Err(CallFailed::Closed));
    });
}

#[test]
fn connections_close_with_the_last_clone_of_a_client() {
    let world = World::new();
    let server = serve(&world, world.bind("a:1"));
    let client: Shout = make_client(&world.host, world.connect("a:1"));
    let timers = world.host.timers.clone();
    world.run(async move {
        let other = client.clone();
        drop(client);
        assert_eq!(other.call("x".into(), Compress::No).await, Ok("X".into()));
        assert_eq!(server.peers(), 1);
        drop(other);
        timers.sleep(Duration::from_secs(1)).await;
        assert_eq!(server.peers(), 0);
    });
}

#[test]
fn a_service_that_stops_answers_what_it_has_and_takes_no_more() {
    let world = World::new();
    let server = serve(&world, world.bind("a:1"));
    let client: Shout = make_client(&world.host, world.connect("a:1"));
    let (timers, spawner) = (world.host.timers.clone(), world.host.spawner.clone());
    world.run(async move {
        let slow = client.clone();
        let slow = spawner
            .spawn_joinable("call", async move { slow.call("sleep 3".into(), Compress::No).await });
        timers.sleep(Duration::from_secs(1)).await;
        server.drain(Duration::from_secs(10));
        let late = client.clone().timeout(Duration::from_secs(5));
        assert_eq!(late.call("late".into(), Compress::No).await, Err(CallFailed::TimedOut));
        assert_eq!(slow.await.unwrap(), Ok("SLEEP 3".into()));
        assert_eq!(server.peers(), 0);
    });
}

#[test]
fn a_service_that_stops_waits_for_its_limit_only() {
    let world = World::new();
    let server = serve(&world, world.bind("a:1"));
    let client: Shout = make_client(&world.host, world.connect("a:1"));
    let timers = world.host.timers.clone();
    world.run(async move {
        let call = client.call("sleep 100".into(), Compress::No);
        assert!(timers.before(Duration::from_secs(1), call).await.is_err());
        server.drain(Duration::from_secs(10));
        timers.sleep(Duration::from_secs(9)).await;
        assert_eq!(server.peers(), 1);
        timers.sleep(Duration::from_secs(2)).await;
        assert_eq!(server.peers(), 0);
    });
}

#[test]
fn a_bad_message_costs_nothing_but_itself() {
    let mut codec = Codec::new(|| Box::new(zlib::inflate().then(cbor::decode::<u32>())));
    let mut writer = Codec::new(|| Box::new(cbor::encode::<u32>().then(zlib::deflate(1))));
    let good = writer.write(7).unwrap();
    assert_eq!(codec.read(good.clone()), Ok(7));
    assert_eq!(codec.read(good.slice(..3)), Err(Fault::Truncated));
    assert_eq!(codec.read(good), Ok(7));
}

/// Requests that cannot be read, and the causes that their senders are told.
fn unreadable() -> Vec<(Vec<u8>, &'static str)> {
    let mut deflate = Codec::new(|| Box::new(zlib::deflate(9)));
    let bomb = deflate.write(Piece::last(vec![0; 64 << 20])).unwrap();
    let mut packed = Codec::new(|| Box::new(cbor::encode::<&str>().then(zlib::deflate(9))));
    let packed = packed.write("water").unwrap();
    let marked = |mark: &[u8], body: &[u8]| [mark, body].concat();
    vec![
        (b"?".to_vec(), "unknown prefix byte 0x3f"),
        (b"".to_vec(), "prefix missing"),
        (b"p".to_vec(), "input ends in the middle"),
        (b"p\x01".to_vec(), "cbor of another shape than expected"),
        (b"p\x1c".to_vec(), "not valid cbor"),
        (marked(b"p", &[0x81; 100]), "cbor of another shape than expected"),
        (b"zxyz".to_vec(), "not valid zlib"),
        (marked(b"z", &packed[..packed.len() - 5]), "input ends in the middle"),
        (marked(b"z", &bomb), "expands beyond the limit"),
    ]
}

#[test]
fn an_unreadable_request_is_answered_with_its_cause_and_ends_that_call_only() {
    let world = World::new();
    let server = serve(&world, world.bind("a:1"));
    let other: Shout = make_client(&world.host, world.connect("a:1"));
    let network = world.network.clone();
    world.run(async move {
        let mut raw = raw_caller(&network, b"REQ").await;
        for (request, why) in unreadable() {
            let heard = raw.ask(&request).await;
            assert!(heard.starts_with(b"e") && heard.ends_with(why.as_bytes()), "{why}: {heard:?}");
            assert_eq!(raw.ask(b"p\x61x").await, b"p\x61X", "on the same connection");
            assert_eq!(other.call("x".into(), Compress::No).await, Ok("X".into()));
            assert_eq!((server.peers(), server.requests()), (2, 0));
        }
    });
}

#[test]
fn an_unreadable_reply_fails_its_call_only() {
    let world = World::new();
    let rep = ZmqSocket::new(&world.host, Options::new(SocketType::Rep));
    rep.attach(world.bind("a:1"));
    let client: Shout = make_client(&world.host, world.connect("a:1"));
    world.host.spawner.spawn("service", async move {
        for reply in [&b"?"[..], b"p\x61X"] {
            rep.recv().await.unwrap();
            rep.send(reply).await.unwrap();
        }
        core::future::pending::<()>().await;
    });
    world.run(async move {
        let failed = client.call("x".into(), Compress::No).await;
        assert_eq!(failed, Err(CallFailed::Reply(Fault::UnknownPrefix(Some(b'?')))));
        // On the same connection.
        assert_eq!(client.call("x".into(), Compress::No).await, Ok("X".into()));
    });
}

#[test]
fn a_reply_is_taken_from_whom_was_asked_only() {
    let world = World::new();
    let client: Shout = make_client(&world.host, world.bind("a:1"));
    let peers = [(); 2].map(|()| {
        let peer = ZmqSocket::new(&world.host, Options::new(SocketType::Dealer));
        peer.attach(world.connect("a:1"));
        peer
    });
    let (timers, spawner) = (world.host.timers.clone(), world.host.spawner.clone());
    world.run(async move {
        timers.sleep(Duration::from_secs(1)).await;
        for number in 1..=2_u64 {
            let caller = client.clone();
            let call = spawner
                .spawn_joinable("call", async move { caller.call("x".into(), Compress::No).await });
            timers.sleep(Duration::from_secs(1)).await;
            let reply = |text: &'static [u8]| {
                let id = Bytes::copy_from_slice(&number.to_be_bytes());
                ::zmq::Message::from_parts([id, Bytes::new(), text.into()]).unwrap()
            };
            // In turn: which one is asked this time?
            let (asked, other) = if number == 1 { (0, 1) } else { (1, 0) };
            peers[other].send(reply(b"p\x65false")).await.unwrap();
            timers.sleep(Duration::from_secs(1)).await;
            assert_eq!(peers[asked].recv().await.unwrap().first()[..], number.to_be_bytes());
            peers[asked].send(reply(b"p\x64true")).await.unwrap();
            assert_eq!(call.await.unwrap(), Ok("true".into()));
        }
    });
}

#[test]
fn a_call_that_moves_to_another_peer_takes_the_reply_from_there() {
    let world = World::new();
    let client: Shout = make_client(&world.host, world.bind("a:1"));
    let (timers, spawner) = (world.host.timers.clone(), world.host.spawner.clone());
    let (network, host, connect) =
        (world.network.clone(), world.host.clone(), world.connect("a:1"));
    world.run(async move {
        // Takes a start of the first call, and is lost.
        let deaf = raw_caller(&network, b"ROUTER").await;
        timers.sleep(Duration::from_secs(1)).await;
        let calls = ["x".repeat(5000), "y".into()].map(|text| {
            let caller = client.clone().timeout(Duration::from_secs(20));
            spawner.spawn_joinable("call", async move { caller.call(text, Compress::No).await })
        });
        timers.sleep(Duration::from_secs(1)).await;
        drop(deaf);
        let shout = async |text: String| text.to_uppercase();
        make_server(&host, shout, connect);
        let [first, second] = calls;
        assert_eq!(second.await.unwrap(), Ok("Y".into()));
        assert_eq!(first.await.unwrap(), Err(CallFailed::TimedOut), "half of it was sent");
    });
}

#[test]
fn a_caller_that_reads_no_replies_holds_back_nobody_else() {
    let world = World::new();
    serve(&world, world.bind("a:1"));
    let other: Shout = make_client(&world.host, world.connect("a:1"));
    let network = world.network.clone();
    let spawner = world.host.spawner.clone();
    let written = Rc::new(Cell::new(0));
    let count = written.clone();
    world.run(async move {
        spawner.spawn("greedy", async move {
            let mut raw = network.connect(&target("a:1")).await.unwrap();
            let mut request = b"\x01\0\x02".to_vec();
            request.extend_from_slice(&10_004_u64.to_be_bytes());
            request.extend_from_slice(b"p\x79\x27\x10");
            request.extend_from_slice(&[b'a'; 10_000]);
            raw.write_all(&hello(b"DEALER")).await.unwrap();
            loop {
                raw.write_all(&request).await.unwrap();
                count.set(count.get() + 1);
            }
        });
        for _ in 0..5_000 {
            assert_eq!(other.call("x".into(), Compress::No).await, Ok("X".into()));
        }
    });
    // Some 4 MiB of replies and 4 MiB of requests wait; then it is read no further.
    assert!((400..1100).contains(&written.get()), "{} taken", written.get());
}

#[test]
fn flows_and_sockets_are_sources_and_drains() {
    let world = World::new();
    let pull = ZmqSocket::new(&world.host, Options::new(SocketType::Pull));
    pull.attach(world.bind("a:1"));
    let push = ZmqSocket::new(&world.host, Options::new(SocketType::Push));
    push.attach(world.connect("a:1"));
    let (mut ours, theirs) = memory::pair(100);
    let body: Vec<u8> = (0..100_000_u32).map(|at| (at / 7) as u8).collect();
    let sent = body.clone();
    world.host.spawner.spawn("compress", async move {
        let node = zlib::deflate(6).then(prepend(b"z"));
        transfer(FlowSource::new(theirs), node, ZmqSink::new(push)).await.unwrap();
    });
    let (back, mut end) = memory::pair(100);
    world.host.spawner.spawn("expand", async move {
        let node = skip(b"z").then(zlib::inflate());
        let over = transfer(ZmqSource::new(pull), node, FlowSink(back)).await;
        assert_eq!(over, Err(Fault::Source("connection lost")));
    });
    let received = world.run(async move {
        let write = async {
            ours.write_all(&sent).await.unwrap();
            ours.finish();
        };
        let mut write = core::pin::pin!(write);
        let mut received = vec![];
        let mut written = false;
        while received.len() < 100_000 {
            let mut buffer = [0; 64];
            let read = core::future::poll_fn(|cx| {
                written = written || write.as_mut().poll(cx).is_ready();
                end.poll_read_with(cx, &mut |bytes| {
                    let count = bytes.len().min(64);
                    buffer[..count].copy_from_slice(&bytes[..count]);
                    count
                })
            });
            let count = read.await.unwrap();
            received.extend_from_slice(&buffer[..count]);
        }
        let _ = target("a:1");
        received
    });
    assert!(received == body);
}

#[test]
fn a_request_nested_too_deep_is_answered_with_its_cause() {
    #[derive(serde::Deserialize)]
    struct Nest(Vec<Nest>);
    let world = World::new();
    let count = async |nest: Nest| nest.0.len();
    make_server(&world.host, count, world.bind("a:1"));
    let network = world.network.clone();
    let heard = world.run(async move {
        let deep = [&b"p"[..], &[0x81; 100_000], &[0x80]].concat();
        raw_caller(&network, b"REQ").await.ask(&deep).await
    });
    assert!(heard.ends_with(b"nested too deep"), "{heard:?}");
}

/// Messages go to a peer in the middle of a pipeline, and what it makes of them goes on, in order and to the last one.
#[test]
fn a_peer_in_the_middle_of_a_pipeline() {
    struct Lines(Vec<&'static [u8]>);
    impl Source for Lines {
        type Item = Piece;

        async fn next(&mut self) -> Result<Option<(Piece, usize)>, Fault> {
            Ok(self.0.pop().map(|line| (Piece::last(Bytes::from_static(line)), line.len())))
        }
    }
    struct Kept(Rc<core::cell::RefCell<Vec<Bytes>>>);
    impl AsyncSink<Bytes> for Kept {
        async fn put(&mut self, item: Bytes) -> Result<(), Fault> {
            self.0.borrow_mut().push(item);
            Ok(())
        }

        async fn end(&mut self) -> Result<(), Fault> {
            self.0.borrow_mut().push("end".into());
            Ok(())
        }
    }
    for lines in [vec![&b"c"[..], b"b", b"", b"a"], vec![]] {
        let world = World::new();
        let peer = ZmqSocket::new(&world.host, Options::new(SocketType::Dealer));
        peer.attach(world.bind("a:1"));
        let socket = ZmqSocket::new(&world.host, Options::new(SocketType::Dealer));
        socket.attach(world.connect("a:1"));
        let timers = world.host.timers.clone();
        world.host.spawner.spawn("peer", async move {
            // Two parts, so that the pieces of an answer are told from its end.
            while let Ok(message) = peer.recv().await {
                timers.sleep(Duration::from_secs(1)).await;
                let answer = [message.first().clone(), "!".into()];
                peer.send(::zmq::Message::from_parts(answer).unwrap()).await.unwrap();
            }
        });
        let kept = Rc::default();
        let sink = Kept(Rc::clone(&kept));
        let expected =
            if lines.is_empty() { vec![] } else { vec![">a", "!", ">", "!", ">b", "!", ">c", "!"] };
        world.run(async move {
            let there = ZmqThrough::new(Lines(lines), prepend(b">"), socket);
            transfer(there, map(|piece: Piece| piece.bytes), sink).await.unwrap();
        });
        let kept: Vec<_> =
            kept.borrow().iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect();
        assert_eq!(kept, [&expected[..], &["end"]].concat());
    }
}

/// A service whose requests are text behind `?`, and whose errors begin with `!`.
#[test]
fn a_format_of_ones_own() {
    fn text(piece: Piece) -> Result<String, Fault> {
        String::from_utf8(piece.bytes.into()).map_err(|_| Fault::Corrupt("text"))
    }
    fn whole(text: String) -> Piece {
        Piece::last(text.into_bytes())
    }
    let world = World::new();
    let shout = async |text: String| {
        assert!(text != "panic", "asked to");
        text.to_uppercase()
    };
    let server = make_server_with(
        &world.host,
        shout,
        world.bind("a:1"),
        ServiceLimits::default(),
        || Box::new(skip(b"?").then(try_map(text))),
        || {
            Box::new(map(|reply: Result<String, String>| {
                whole(reply.unwrap_or_else(|why| "!".to_string() + &why))
            }))
        },
    );
    let client: Shout = make_client_with(
        &world.host,
        world.connect("a:1"),
        || Box::new(map(whole).then(prepend(b"?"))),
        || {
            let failed = skip(b"!").then(try_map(text)).then(map(Err));
            Box::new(cond().when(starts_with(b"!"), failed).otherwise(try_map(text).then(map(Ok))))
        },
    );
    let network = world.network.clone();
    world.run(async move {
        assert_eq!(client.call("x".into(), Compress::Both).await, Ok("X".into()));
        let failed = client.call("panic".into(), Compress::No).await;
        assert_eq!(failed, Err(CallFailed::Remote("the handler failed".into())));
        let mut raw = raw_caller(&network, b"REQ").await;
        assert_eq!(raw.ask(b"x").await, b"!unknown prefix byte 0x78");
        assert_eq!(raw.ask(b"?\xff").await, b"!not valid text");
        assert_eq!(raw.ask(b"?y").await, b"Y");
        assert_eq!(server.peers(), 2);
    });
}
