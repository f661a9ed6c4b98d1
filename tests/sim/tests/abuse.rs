//! Floods, churn, and crowds.

use flow::{Connector, Flow, FlowExt, Listener, Target};
use net::{Counter, Limits, TcpConnector};
use sim::{Link, MAC, Random, World, WorldConfig, address, check, syn_frame};
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

/// Answers every request of one byte with one byte, until the peer ends.
fn serve(world: &mut World, closes_first: bool) {
    let mut listener = world.stacks[0].listen(80).unwrap();
    let spawner = world.spawner();
    world.spawner().spawn("accept", async move {
        while let Ok(mut flow) = listener.accept().await {
            spawner.spawn("serve", async move {
                let mut byte = [0];
                while let Ok(1) = flow.read(&mut byte).await {
                    if flow.write_all(&byte).await.is_err() || closes_first {
                        break;
                    }
                }
                flow.finish();
            });
        }
    });
}

async fn request(connector: &TcpConnector) -> bool {
    let outcome = exchange(connector).await;
    if let Err(step) = &outcome {
        eprintln!("a request failed at {step}");
    }
    outcome.is_ok()
}

async fn exchange(connector: &TcpConnector) -> Result<(), String> {
    let target = Target::Address(address(0, false, 80));
    let mut flow = connector.connect(&target).await.map_err(|error| format!("connect: {error}"))?;
    let mut answer = [0];
    flow.write_all(b"x").await.map_err(|error| format!("write: {error}"))?;
    let read = flow.read(&mut answer).await;
    if read != Ok(1) {
        return Err(format!("answer: {read:?}"));
    }
    flow.finish();
    let end = flow.read(&mut answer).await;
    if end != Ok(0) { Err(format!("end: {end:?}")) } else { Ok(()) }
}

/// `clients` tasks make `requests` connections each; how many succeeded.
fn crowd(world: &mut World, clients: usize, requests: usize) -> usize {
    let done = Rc::new(Cell::new(0));
    let good = Rc::new(Cell::new(0));
    for _ in 0..clients {
        let (connector, done, good) = (world.stacks[1].connector(), done.clone(), good.clone());
        world.spawner().spawn("client", async move {
            for _ in 0..requests {
                let succeeded = request(&connector).await;
                good.set(good.get() + usize::from(succeeded));
            }
            done.set(done.get() + 1);
        });
    }
    assert!(world.run_until(Duration::from_secs(100_000), || done.get() == clients));
    good.get()
}

#[test]
fn a_syn_flood_takes_no_memory_and_locks_nobody_out() {
    check("flood", &WorldConfig::default(), |world| {
        world.wire.log_at_most(1_000);
        serve(world, false);
        let mut random = Random::new(7);
        let mut flood = |world: &mut World, count: usize| {
            for _ in 0..count {
                let from = Ipv4Addr::from_bits(0x0a00_0000 | random.below(1 << 24) as u32 | 0x100);
                let from = SocketAddrV4::new(from, random.below(60_000) as u16 + 1);
                let to = SocketAddrV4::new([10, 0, 0, 1].into(), 80);
                let seq = random.number() as u32;
                world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, seq));
                if random.chance(2) {
                    world.settle();
                }
            }
            world.settle();
        };
        // What the flood asks is answered into the void.
        flood(world, 20_000);
        let gauges = world.stacks[0].gauges();
        // The queue is full, but for buckets that chance left out.
        assert!((4_000..=4_096).contains(&gauges.half_open), "{gauges:?}");
        assert_eq!(gauges.connections, 0);
        // Each SYN is in the queue or answered by a cookie; chance repeats none.
        let cookies = world.stacks[0].count(Counter::CookiesOut);
        assert_eq!(cookies + gauges.half_open as u64, 20_000);
        let done = Rc::new(Cell::new(0));
        for _ in 0..50 {
            let (connector, done) = (world.stacks[1].connector(), done.clone());
            world.spawner().spawn("client", async move {
                assert!(request(&connector).await);
                done.set(done.get() + 1);
            });
        }
        for _ in 0..50 {
            flood(world, 200);
            world.pass(Duration::from_millis(1));
        }
        world.run_until(Duration::from_secs(60), || done.get() == 50);
        assert_eq!(done.get(), 50);
        assert!(world.stacks[0].count(Counter::CookiesIn) > 0);
        world.pass(Duration::from_secs(20));
        let gauges = world.stacks[0].gauges();
        assert_eq!((gauges.connections, gauges.half_open), (0, 0));
    });
}

#[test]
fn churn_leaves_nothing_behind() {
    for closes_first in [false, true] {
        let config = WorldConfig { seed: 3, ..WorldConfig::default() };
        check("churn", &config, |world| {
            world.wire.log_at_most(1_000);
            serve(world, closes_first);
            assert_eq!(crowd(world, 50, 1_000), 50_000);
            world.pass(Duration::from_secs(1));
            for stack in &world.stacks {
                let gauges = stack.gauges();
                assert_eq!((gauges.connections, gauges.half_open, gauges.buffer_bytes), (0, 0, 0));
            }
            // The end that closes first keeps as many as may be; a client opens new ones in place of most of its own (RFC 6191).
            let time_wait = [0, 1].map(|end: usize| world.stacks[end].gauges().time_wait);
            assert_eq!(time_wait, if closes_first { [16_384, 0] } else { [0, 100] });
            assert_eq!(world.executor.spawner().tasks().len(), 1);
            let server = &world.stacks[0];
            assert_eq!(server.count(Counter::Accepted), server.count(Counter::Closed));
        });
    }
}

#[test]
fn a_full_backlog_delays_and_does_not_refuse() {
    let limits = Limits { listen_backlog: 4, ..Limits::default() };
    let config = WorldConfig { limits: [limits, Limits::default()], ..WorldConfig::default() };
    check("backlog", &config, |world| {
        let mut listener = world.stacks[0].listen(80).unwrap();
        let (timers, spawner) = (world.timers.clone(), world.spawner());
        world.spawner().spawn("slow accept", async move {
            loop {
                timers.sleep(Duration::from_millis(50)).await;
                let mut flow = listener.accept().await.unwrap();
                spawner.spawn("serve", async move {
                    let mut byte = [0];
                    flow.read(&mut byte).await.unwrap();
                    flow.write_all(&byte).await.unwrap();
                    flow.finish();
                });
            }
        });
        assert_eq!(crowd(world, 20, 1), 20);
        assert!(world.stacks[0].count(Counter::BacklogFull) > 0);
        assert_eq!(world.stacks[0].gauges().half_open, 0);
    });
}

#[test]
fn connections_max_is_a_limit_for_both_sides() {
    let limits = Limits {
        connections_max: 10,
        connect_timeout: Duration::from_secs(3),
        ..Limits::default()
    };
    let config = WorldConfig { limits: [limits.clone(), limits], ..WorldConfig::default() };
    check("connections-max", &config, |world| {
        let mut listener = world.stacks[0].listen(80).unwrap();
        let held = Rc::new(std::cell::RefCell::new(Vec::new()));
        let kept = held.clone();
        world.spawner().spawn("keep", async move {
            while let Ok(flow) = listener.accept().await {
                kept.borrow_mut().push(flow);
            }
        });
        let outcomes = Rc::new(std::cell::RefCell::new(Vec::new()));
        for _ in 0..15 {
            let (connector, outcomes) = (world.stacks[1].connector(), outcomes.clone());
            world.spawner().spawn("client", async move {
                let flow = connector.connect(&Target::Address(address(0, false, 80))).await;
                outcomes.borrow_mut().push(flow);
            });
        }
        world.pass(Duration::from_secs(10));
        let outcomes = outcomes.borrow();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10);
        let exhausted = |o: &&Result<_, _>| matches!(o, Err(flow::ConnectError::Exhausted));
        assert_eq!(outcomes.iter().filter(exhausted).count(), 5);
        assert_eq!(held.borrow().len(), 10);
        assert_eq!(world.stacks[0].gauges().connections, 10);
    });
}

#[test]
fn silence_ends_orphans_and_dead_peers() {
    let limits = Limits { keep_alive: Some(Duration::from_secs(30)), ..Limits::default() };
    let config = WorldConfig { limits: [limits, Limits::default()], ..WorldConfig::default() };
    check("silence", &config, |world| {
        let mut listener = world.stacks[0].listen(80).unwrap();
        let ends = Rc::new(std::cell::RefCell::new(Vec::new()));
        let (spawner, seen) = (world.spawner(), ends.clone());
        world.spawner().spawn("accept", async move {
            let mut number = 0;
            while let Ok(mut flow) = listener.accept().await {
                let seen = seen.clone();
                number += 1;
                spawner.spawn("serve", async move {
                    match number {
                        // An idle reader, a writer, and one that finishes and goes away.
                        1 => {
                            let end = flow.read(&mut [0]).await.unwrap_err();
                            seen.borrow_mut().push(end);
                        }
                        2 => {
                            flow.write_all(b"lost").await.unwrap();
                            let end = flow.drained().await.unwrap_err();
                            seen.borrow_mut().push(end);
                        }
                        _ => {
                            flow.write_all(b"lost").await.unwrap();
                            flow.finish();
                        }
                    }
                });
            }
        });
        let clients = Rc::new(std::cell::RefCell::new(Vec::new()));
        let (connector, kept) = (world.stacks[1].connector(), clients.clone());
        world.spawner().spawn("clients", async move {
            for _ in 0..3 {
                let flow =
                    connector.connect(&Target::Address(address(0, false, 80))).await.unwrap();
                kept.borrow_mut().push(flow);
            }
        });
        // The wire is cut once all three handshakes are through, before any data arrives.
        let mut cut = false;
        world.wire.set_filter(Some(Box::new(move |from, frame| {
            let data = sim::tcp_fields(frame).is_some_and(|tcp| tcp.data > 0);
            cut |= from == 0 && data;
            cut && from == 0
        })));
        world.run_until(Duration::from_secs(2), || clients.borrow().len() == 3);
        world.wire.set_filter(Some(Box::new(|_, _| true)));
        world.pass(Duration::from_secs(200));
        assert_eq!(*ends.borrow(), [flow::FlowError::TimedOut; 2]);
        assert_eq!(world.stacks[0].gauges().connections, 0);
    });
}

#[test]
fn a_link_with_room_for_few_frames_serves_a_crowd() {
    let link = Link { queue: 8, ..Link::default() };
    check("narrow", &WorldConfig { link, ..WorldConfig::default() }, |world| {
        serve(world, true);
        assert_eq!(crowd(world, 100, 20), 2_000);
    });
}
