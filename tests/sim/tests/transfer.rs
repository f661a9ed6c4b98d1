//! Bytes arrive as they were sent, whatever the wire does.

use flow::{Connector, Flow, FlowExt, Listener, Target};
use net::Limits;
use sim::{Faults, Link, Offloads, World, WorldConfig, address, check};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// The byte at `position` of the stream that `salt` names.
fn byte(position: usize, salt: u8) -> u8 {
    (position ^ (position >> 8) ^ (position >> 16)) as u8 ^ salt
}

async fn send(flow: &mut impl Flow, total: usize, salt: u8, chunk: usize) {
    let mut sent = 0;
    while sent < total {
        let count = flow
            .write_with(|space| {
                let count = space.len().min(total - sent).min(chunk);
                for (at, place) in space[..count].iter_mut().enumerate() {
                    *place = byte(sent + at, salt);
                }
                (count, count)
            })
            .await
            .expect("the flow takes bytes");
        sent += count;
    }
}

async fn receive(flow: &mut impl Flow, total: usize, salt: u8, chunk: usize) {
    let mut received = 0;
    loop {
        let count = flow
            .read_with(|bytes| {
                let count = bytes.len().min(chunk);
                for (at, value) in bytes[..count].iter().enumerate() {
                    assert_eq!(*value, byte(received + at, salt), "at {}", received + at);
                }
                (count, count)
            })
            .await
            .expect("the flow gives bytes");
        if count == 0 {
            break;
        }
        received += count;
    }
    assert_eq!(received, total);
}

/// What is transferred: bytes from the client, bytes from the server, chunk sizes.
#[derive(Clone, Copy, Debug)]
struct Load {
    up: usize,
    down: usize,
    write_chunk: usize,
    read_chunk: usize,
    v6: bool,
}

/// The client sends all, half-closes, and gets the answer.
fn transfer(world: &mut World, load: Load) {
    let mut listener = world.stacks[0].listen(80).unwrap();
    let connector = world.stacks[1].connector();
    let done = Rc::new(Cell::new(0));
    let (server_done, client_done) = (done.clone(), done.clone());
    world.spawner().spawn("server", async move {
        let mut flow = listener.accept().await.unwrap();
        receive(&mut flow, load.up, 1, load.read_chunk).await;
        send(&mut flow, load.down, 2, load.write_chunk).await;
        flow.finish();
        flow.drained().await.unwrap();
        server_done.set(server_done.get() + 1);
    });
    world.spawner().spawn("client", async move {
        let target = Target::Address(address(0, load.v6, 80));
        let mut flow = connector.connect(&target).await.unwrap();
        send(&mut flow, load.up, 1, load.write_chunk).await;
        flow.finish();
        receive(&mut flow, load.down, 2, load.read_chunk).await;
        client_done.set(client_done.get() + 1);
    });
    let both = || done.get() == 2;
    assert!(world.run_until(Duration::from_secs(3_600), both), "{load:?} at {:?}", world.now());
}

const LOAD: Load =
    Load { up: 300_000, down: 700_000, write_chunk: 1 << 20, read_chunk: 1 << 20, v6: false };

fn run(name: &str, seed: u64, link: Link, limits: Limits, load: Load) {
    let config = WorldConfig { link, limits: [limits.clone(), limits], seed };
    check(name, &config, |world| transfer(world, load));
}

#[test]
fn a_clean_wire() {
    for offloads in
        [Offloads::None, Offloads::Checksums, Offloads::Segmentation, Offloads::SegmentationSplit]
    {
        for v6 in [false, true] {
            let link = Link { offloads, ..Link::default() };
            run("clean", 1, link, Limits::default(), Load { v6, ..LOAD });
        }
    }
}

#[test]
fn every_mtu() {
    for mtu in [576, 1280, 1500, 9000] {
        for v6 in [false, true] {
            if v6 && mtu < 1280 {
                continue;
            }
            let link = Link { mtu, ..Link::default() };
            let limits = Limits { mtu_bytes: mtu, ..Limits::default() };
            run("mtu", mtu as u64, link, limits, Load { v6, ..LOAD });
        }
    }
}

/// Neither those sent nor those asked for (RFC 9293 section 3.7.1: the segment size).
#[test]
fn packets_are_no_longer_than_the_limits_say() {
    let narrow = Limits { mtu_bytes: 600, ..Limits::default() };
    let limits = [narrow, Limits::default()];
    check("mtu-limit", &WorldConfig { limits, ..WorldConfig::default() }, |world| {
        let mut listener = world.stacks[0].listen(80).unwrap();
        let connector = world.stacks[1].connector();
        world.spawner().spawn("server", async move {
            let mut flow = listener.accept().await.unwrap();
            receive(&mut flow, 10, 1, 10).await;
        });
        world.spawner().spawn("client", async move {
            let target = Target::Address(address(0, false, 80));
            let _flow = connector.connect(&target).await.unwrap();
            std::future::pending::<()>().await;
        });
        world.pass(Duration::from_secs(1));
        for stack in &world.stacks {
            assert_eq!(stack.connections()[0].mss, 560);
        }
    });
}

#[test]
fn loss_reordering_duplication_and_corruption() {
    let faults = Faults { loss: 5, reorder: 20, duplicate: 5, corrupt: 1 };
    for seed in 0..10 {
        for v6 in [false, true] {
            let link = Link { faults, ..Link::default() };
            run("faults", seed, link, Limits::default(), Load { v6, ..LOAD });
        }
    }
}

#[test]
fn loss_and_reordering_with_segmentation() {
    let faults = Faults { loss: 5, reorder: 20, duplicate: 5, corrupt: 0 };
    for seed in 0..10 {
        for offloads in [Offloads::Segmentation, Offloads::SegmentationSplit] {
            let link = Link { faults, offloads, ..Link::default() };
            run("faults-tso", seed, link, Limits::default(), Load { v6: seed % 2 == 1, ..LOAD });
        }
    }
}

#[test]
fn tiny_windows() {
    let limits = Limits {
        receive_buffer_initial_bytes: 64,
        receive_buffer_max_bytes: 64,
        send_buffer_initial_bytes: 50,
        send_buffer_max_bytes: 50,
        ..Limits::default()
    };
    let load = Load { up: 3_000, down: 3_000, write_chunk: 17, read_chunk: 13, v6: false };
    for seed in 0..5 {
        let faults = Faults { loss: seed, reorder: 4 * seed, duplicate: seed, corrupt: 0 };
        run("tiny", seed, Link { faults, ..Link::default() }, limits.clone(), load);
    }
}

#[test]
fn a_device_that_is_often_full() {
    let link = Link { queue: 3, ..Link::default() };
    run("full", 1, link, Limits::default(), LOAD);
}

#[test]
fn a_reader_that_sleeps_for_minutes_loses_nothing() {
    for loss in [0, 5] {
        let link = Link { faults: Faults { loss, ..Faults::default() }, ..Link::default() };
        let config = WorldConfig { link, seed: loss, ..WorldConfig::default() };
        check("zero-window", &config, |world| {
            let mut listener = world.stacks[0].listen(80).unwrap();
            let (connector, timers) = (world.stacks[1].connector(), world.timers.clone());
            let done = Rc::new(Cell::new(false));
            let finished = done.clone();
            world.spawner().spawn("sleeper", async move {
                let mut flow = listener.accept().await.unwrap();
                timers.sleep(Duration::from_secs(300)).await;
                receive(&mut flow, 100_000, 1, 1 << 20).await;
                finished.set(true);
            });
            world.spawner().spawn("writer", async move {
                let target = Target::Address(address(0, false, 80));
                let mut flow = connector.connect(&target).await.unwrap();
                send(&mut flow, 100_000, 1, 1 << 20).await;
                flow.finish();
                flow.drained().await.unwrap();
            });
            assert!(world.run_until(Duration::from_secs(3_600), || done.get()));
        });
    }
}

#[test]
fn windows_follow_a_long_path_and_memory_is_held_only_for_bytes() {
    let delay = Duration::from_millis(25);
    let link = Link { offloads: Offloads::Segmentation, delay, ..Link::default() };
    check("growth", &WorldConfig { link, ..WorldConfig::default() }, |world| {
        let mut listener = world.stacks[0].listen(80).unwrap();
        let connector = world.stacks[1].connector();
        let received = Rc::new(Cell::new(0));
        let count = received.clone();
        world.spawner().spawn("reader", async move {
            let mut flow = listener.accept().await.unwrap();
            while let Ok(more @ 1..) = flow.read_with(|bytes| (bytes.len(), bytes.len())).await {
                count.set(count.get() + more);
            }
        });
        world.spawner().spawn("writer", async move {
            let target = Target::Address(address(0, false, 80));
            let mut flow = connector.connect(&target).await.unwrap();
            send(&mut flow, 50_000_000, 1, 1 << 20).await;
            std::future::pending::<()>().await;
        });
        // A window of 64 KiB would take 38 s.
        assert!(world.run_until(Duration::from_secs(3), || received.get() == 50_000_000));
        let receiver = &world.stacks[0].connections()[0];
        assert!(receiver.receive_limit > 2_000_000, "{receiver:?}");
        world.pass(Duration::from_secs(1));
        for stack in &world.stacks {
            assert_eq!((stack.gauges().connections, stack.gauges().buffer_bytes), (1, 0));
        }
    });
}

#[test]
fn the_budget_of_all_buffers_is_kept() {
    let limits = Limits { buffers_max_bytes: 20_000, ..Limits::default() };
    let config = WorldConfig { limits: [limits.clone(), limits], ..WorldConfig::default() };
    check("budget", &config, |world| {
        transfer(world, LOAD);
        assert!(world.stacks[0].gauges().buffer_bytes <= 20_000);
    });
}

#[test]
fn nobody_listening_refuses() {
    check("refused", &WorldConfig::default(), |world| {
        for v6 in [false, true] {
            let (connector, outcome) = (world.stacks[1].connector(), Rc::new(Cell::new(None)));
            let result = outcome.clone();
            world.spawner().spawn("client", async move {
                let flow = connector.connect(&Target::Address(address(0, v6, 81))).await;
                result.set(flow.err());
            });
            world.pass(Duration::from_millis(100));
            assert_eq!(outcome.take(), Some(flow::ConnectError::Refused));
        }
    });
}

#[test]
fn rfc_9293_both_ends_open_at_once() {
    let limits = Limits { ephemeral_ports: (80, 80), ..Limits::default() };
    let config = WorldConfig { limits: [limits.clone(), limits], ..WorldConfig::default() };
    check("simultaneous-open", &config, |world| {
        // Each must know the other's hardware address, or one SYN waits for it and is late.
        let done = Rc::new(Cell::new(0));
        for round in 0..2 {
            for end in 0..2 {
                let (connector, done) = (world.stacks[end].connector(), done.clone());
                world.spawner().spawn("opens", async move {
                    let target = Target::Address(address(1 - end, false, 80));
                    let flow = connector.connect(&target).await;
                    if round == 1 {
                        let mut flow = flow.unwrap();
                        flow.write_all(b"both").await.unwrap();
                        flow.finish();
                        receive_exactly(&mut flow, b"both").await;
                        done.set(done.get() + 1);
                    }
                });
            }
            world.pass(Duration::from_secs(70));
        }
        assert_eq!(done.get(), 2);
    });
}

async fn receive_exactly(flow: &mut impl Flow, expected: &[u8]) {
    let mut all = Vec::new();
    while flow
        .read_with(|bytes| {
            all.extend_from_slice(bytes);
            (bytes.len(), bytes.len())
        })
        .await
        .unwrap()
        > 0
    {}
    assert_eq!(all, expected);
}

#[test]
fn one_listener_serves_two_interfaces() {
    check("two-interfaces", &WorldConfig::default(), |world| {
        let mut listener = world.stacks[0].listen(80).unwrap();
        assert!(world.stacks[1].listen_on(&listener));
        assert!(!world.stacks[1].listen_on(&listener) && world.stacks[0].listen(80).is_none());
        let accepted = Rc::new(Cell::new(0));
        let count = accepted.clone();
        world.spawner().spawn("accept", async move {
            while listener.accept().await.is_ok() {
                count.set(count.get() + 1);
            }
        });
        for end in 0..2 {
            let connector = world.stacks[1 - end].connector();
            world.spawner().spawn("client", async move {
                let target = Target::Address(address(end, false, 80));
                connector.connect(&target).await.unwrap().finish();
            });
        }
        world.pass(Duration::from_secs(1));
        assert_eq!(accepted.get(), 2);
    });
}
