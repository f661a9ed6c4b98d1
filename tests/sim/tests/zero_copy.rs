//! Zero copy: shared bytes arrive as they are, whatever the wire does, and are let go of when they have.

use bytes::Bytes;
use flow::{Connector, Flow, FlowError, FlowExt, Listener, Target};
use net::{CongestionControl, Counter, Limits, TcpFlow};
use sim::{Faults, Filter, Link, Offloads, World, WorldConfig, address, check, tcp_fields};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

const LENGTH: usize = 700_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// Bytes whose order shows.
fn content(length: usize) -> Bytes {
    Bytes::from_iter((0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8))
}

async fn share(flow: &mut impl Flow, mut bytes: Bytes) -> Result<(), FlowError> {
    while !bytes.is_empty() {
        poll_fn(|cx| flow.poll_write_shared(cx, &mut bytes)).await?;
    }
    Ok(())
}

async fn read(flow: &mut impl Flow, length: usize, chunk: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < length {
        let take = |bytes: &mut [u8]| {
            let count = bytes.len().min(chunk);
            all.extend_from_slice(&bytes[..count]);
            (count, count)
        };
        if flow.read_with(take).await.unwrap() == 0 {
            break;
        }
    }
    all
}

/// Everything a client read, when it is done.
type Received = Rc<RefCell<Option<Vec<u8>>>>;

/// Two stacks; the client of the second asks the first `serve` for something.
fn serve<S, F>(world: &mut World, v6: bool, chunk: usize, serve: S) -> Received
where
    S: FnOnce(TcpFlow) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let mut listener = world.stacks[0].listen(80).unwrap();
    let connector = world.stacks[1].connector();
    world.spawner().spawn("server", async move { serve(listener.accept().await.unwrap()).await });
    let received = Received::default();
    let result = received.clone();
    world.spawner().spawn("client", async move {
        let target = Target::Address(address(0, v6, 80));
        let mut flow = connector.connect(&target).await.unwrap();
        let all = read(&mut flow, usize::MAX, chunk).await;
        *result.borrow_mut() = Some(all);
    });
    received
}

/// A head that is copied, a body that is shared twice, and what follows; delivered by an orphan.
fn transfer(world: &mut World, v6: bool, chunk: usize) {
    let body = content(LENGTH);
    let shared = body.clone();
    let received = serve(world, v6, chunk, move |mut flow| async move {
        flow.write_all(b"head").await.unwrap();
        share(&mut flow, shared.clone()).await.unwrap();
        flow.write_all(b"between").await.unwrap();
        share(&mut flow, shared.slice(100_000..)).await.unwrap();
        flow.finish();
    });
    assert!(world.run_until(HOUR, || received.borrow().is_some()), "at {:?}", world.now());
    let expected = [b"head", &body[..], b"between", &body[100_000..]].concat();
    assert!(received.take().unwrap() == expected, "what arrived is not what was shared");
    world.pass(Duration::from_secs(120));
    assert!(body.is_unique(), "somebody holds on to what was acknowledged");
    let gauges = world.stacks[0].gauges();
    assert_eq!((gauges.connections, gauges.buffer_bytes), (0, 0));
}

fn run(name: &str, seed: u64, link: Link, limits: &Limits) {
    for v6 in [false, true] {
        if v6 && link.mtu < 1_280 {
            continue;
        }
        let config = WorldConfig { link, limits: [limits.clone(), limits.clone()], seed };
        check(name, &config, |world| transfer(world, v6, usize::MAX));
    }
}

const OFFLOADS: [Offloads; 4] =
    [Offloads::None, Offloads::Checksums, Offloads::Segmentation, Offloads::SegmentationSplit];

#[test]
fn a_clean_wire_needs_no_repetition() {
    for offloads in OFFLOADS {
        let link = Link { offloads, ..Link::default() };
        check("zero-copy-clean", &WorldConfig { link, ..WorldConfig::default() }, |world| {
            transfer(world, false, usize::MAX);
            assert_eq!(world.stacks[0].count(Counter::Retransmits), 0);
        });
        run("zero-copy-clean", 1, link, &Limits::default());
    }
}

#[test]
fn every_mtu() {
    for mtu in [576, 1280, 1500, 9000] {
        for offloads in OFFLOADS {
            let link = Link { mtu, offloads, ..Link::default() };
            let limits = Limits { mtu_bytes: mtu, ..Limits::default() };
            run("zero-copy-mtu", mtu as u64, link, &limits);
        }
    }
}

#[test]
fn loss_reordering_and_duplication() {
    let faults = Faults { loss: 5, reorder: 20, duplicate: 5, corrupt: 0 };
    for seed in 0..4 {
        for offloads in OFFLOADS {
            run(
                "zero-copy-faults",
                seed,
                Link { faults, offloads, ..Link::default() },
                &Limits::default(),
            );
        }
        // One kind at a time, and so little that connections stay on the fast path for a while.
        for faults in [
            Faults { loss: 1, ..Faults::default() },
            Faults { reorder: 1, ..Faults::default() },
            Faults { duplicate: 1, ..Faults::default() },
            Faults { corrupt: 1, ..Faults::default() },
        ] {
            run("zero-copy-fault", seed, Link { faults, ..Link::default() }, &Limits::default());
        }
    }
}

#[test]
fn tiny_windows() {
    let limits = Limits {
        receive_buffer_initial_bytes: 700,
        receive_buffer_max_bytes: 700,
        ..Limits::default()
    };
    for offloads in OFFLOADS {
        run("zero-copy-tiny", 1, Link { offloads, ..Link::default() }, &limits);
    }
}

#[test]
fn a_slow_reader_closes_the_window_again_and_again() {
    for offloads in [Offloads::None, Offloads::Segmentation] {
        let link = Link { offloads, ..Link::default() };
        check("zero-copy-slow", &WorldConfig { link, ..WorldConfig::default() }, |world| {
            let body = content(LENGTH);
            let (shared, expected) = (body.clone(), body.clone());
            let mut listener = world.stacks[0].listen(80).unwrap();
            world.spawner().spawn("server", async move {
                let mut flow = listener.accept().await.unwrap();
                share(&mut flow, shared).await.unwrap();
                flow.finish();
                // Until the client is done: else the flow is an orphan, for which peers have little time.
                read(&mut flow, 1, 1).await;
            });
            let (connector, timers) = (world.stacks[1].connector(), world.timers.clone());
            let done = Rc::new(Cell::new(false));
            let finished = done.clone();
            world.spawner().spawn("client", async move {
                let target = Target::Address(address(0, false, 80));
                let mut flow = connector.connect(&target).await.unwrap();
                let mut all = Vec::new();
                while all.len() < LENGTH {
                    timers.sleep(Duration::from_secs(15)).await;
                    all.extend(read(&mut flow, 50_000, 50_000).await);
                }
                assert!(all == expected);
                finished.set(true);
            });
            assert!(world.run_until(HOUR, || done.get()));
        });
    }
}

#[test]
fn a_peer_that_vanishes_in_mid_body_frees_what_was_shared() {
    for offloads in [Offloads::None, Offloads::Segmentation] {
        let link = Link { offloads, delay: Duration::from_millis(1), ..Link::default() };
        // The client is the one to find out nothing.
        let patient = Limits { keep_alive: None, ..Limits::default() };
        let limits = [Limits::default(), patient];
        check("zero-copy-gone", &WorldConfig { link, limits, ..WorldConfig::default() }, |world| {
            let body = content(10_000_000);
            let shared = body.clone();
            let received = serve(world, false, usize::MAX, move |mut flow| async move {
                assert_eq!(share(&mut flow, shared).await, Err(FlowError::TimedOut));
            });
            world.run_until(Duration::from_millis(15), || false);
            let info = &world.stacks[0].connections()[0];
            assert!(info.in_flight > 0 && info.send_queue > info.in_flight as usize);
            world.wire.set_filter(Some(Box::new(|_, _| true)));
            world.pass(Duration::from_secs(200));
            assert!(received.borrow().is_none() && body.is_unique());
            let gauges = world.stacks[0].gauges();
            assert_eq!((gauges.connections, gauges.buffer_bytes), (0, 0));
        });
    }
}

#[test]
fn an_aborted_flow_gives_back_at_once_and_tells_the_peer() {
    let link = Link { delay: Duration::from_millis(1), ..Link::default() };
    check("zero-copy-abort", &WorldConfig { link, ..WorldConfig::default() }, |world| {
        let body = content(10_000_000);
        let shared = body.clone();
        let mut listener = world.stacks[0].listen(80).unwrap();
        let timers = world.timers.clone();
        world.spawner().spawn("server", async move {
            let mut flow = listener.accept().await.unwrap();
            let mut shared = shared;
            poll_fn(|cx| flow.poll_write_shared(cx, &mut shared)).await.unwrap();
            timers.sleep(Duration::from_millis(5)).await;
            flow.abort();
        });
        let connector = world.stacks[1].connector();
        let outcome = Rc::new(Cell::new(None));
        let result = outcome.clone();
        world.spawner().spawn("client", async move {
            let target = Target::Address(address(0, false, 80));
            let mut flow = connector.connect(&target).await.unwrap();
            let mut last = Ok(1);
            while let Ok(1..) = last {
                last = flow.read_with(|bytes| (bytes.len(), bytes.len())).await;
            }
            result.set(Some(last));
        });
        world.pass(Duration::from_secs(1));
        assert_eq!(outcome.take(), Some(Err(FlowError::Reset)));
        assert!(body.is_unique());
        assert_eq!(world.stacks[0].gauges().buffer_bytes, 0);
    });
}

#[test]
fn the_budget_of_all_buffers_is_kept() {
    let limits = Limits { buffers_max_bytes: 300_000, ..Limits::default() };
    let config = WorldConfig { limits: [limits.clone(), limits], ..WorldConfig::default() };
    check("zero-copy-budget", &config, |world| {
        let mut listener = world.stacks[0].listen(80).unwrap();
        let spawner = world.spawner();
        world.spawner().spawn("server", async move {
            while let Ok(mut flow) = listener.accept().await {
                spawner.spawn("serve", async move {
                    share(&mut flow, content(LENGTH)).await.unwrap();
                    flow.finish();
                });
            }
        });
        let done = Rc::new(Cell::new(0));
        for _ in 0..5 {
            let (connector, done) = (world.stacks[1].connector(), done.clone());
            world.spawner().spawn("client", async move {
                let target = Target::Address(address(0, false, 80));
                let mut flow = connector.connect(&target).await.unwrap();
                assert!(read(&mut flow, usize::MAX, usize::MAX).await == content(LENGTH));
                done.set(done.get() + 1);
            });
        }
        let mut most = 0;
        while done.get() < 5 {
            world.pass(Duration::from_millis(1));
            most = most.max(world.stacks[0].gauges().buffer_bytes);
            assert!(world.now() < HOUR);
        }
        assert!((200_000..=300_000).contains(&most), "{most} bytes of buffers");
    });
}

/// Takes away the segments with data that stack 0 sends for which `lost` is true, by their number.
fn lose(mut lost: impl FnMut(usize) -> bool + 'static) -> Filter {
    let mut number = 0;
    Box::new(move |from, frame| {
        let is_data = from == 0 && tcp_fields(frame).is_some_and(|fields| fields.data > 0);
        number += usize::from(is_data);
        is_data && lost(number)
    })
}

#[test]
fn one_lost_segment_is_repaired_without_a_timeout_and_little_is_sent_twice() {
    for first in [30, 150, 400] {
        // A first window of one segment: with another, flights end elsewhere, and a loss at their end
        // repeats what follows it.
        let narrow = Limits { receive_buffer_initial_bytes: 1_536, ..Limits::default() };
        let limits = [Limits::default(), narrow];
        check("zero-copy-loss", &WorldConfig { limits, ..WorldConfig::default() }, |world| {
            world.wire.set_filter(Some(lose(move |number| number == first)));
            let body = content(LENGTH);
            let shared = body.clone();
            let received = serve(world, false, usize::MAX, move |mut flow| async move {
                share(&mut flow, shared).await.unwrap();
                flow.drained().await.unwrap();
                flow.finish();
            });
            let in_time =
                world.run_until(Duration::from_millis(150), || received.borrow().is_some());
            assert!(in_time, "segment {first}");
            assert!(received.take().unwrap() == body);
            let repeated = world.stacks[0].count(Counter::Retransmits);
            assert!((1..=3).contains(&repeated), "segment {first}: {repeated} sent again");
        });
    }
}

#[test]
fn the_end_of_what_was_shared_waits_for_no_acknowledgement() {
    let wide = Limits { receive_buffer_initial_bytes: 16_384, ..Limits::default() };
    let config = WorldConfig { limits: [Limits::default(), wide], ..WorldConfig::default() };
    check("zero-copy-end", &config, |world| {
        let mut listener = world.stacks[0].listen(80).unwrap();
        let connector = world.stacks[1].connector();
        let shared = Rc::new(Cell::new(false));
        let done = shared.clone();
        world.spawner().spawn("server", async move {
            let mut flow = listener.accept().await.unwrap();
            share(&mut flow, content(5_000)).await.unwrap();
            done.set(true);
            flow.drained().await.unwrap();
        });
        world.spawner().spawn("client", async move {
            let target = Target::Address(address(0, false, 80));
            read(&mut connector.connect(&target).await.unwrap(), 5_000, 5_000).await;
        });
        assert!(world.run_until(HOUR, || shared.get()));
        assert_eq!(world.stacks[0].connections()[0].in_flight, 5_000);
    });
}

/// RFC 6928's first flight, or all that the peer's window takes.
#[test]
fn without_congestion_control_the_first_flight_is_the_peers_window() {
    for (congestion_control, most) in
        [(CongestionControl::Reno, 10..=14_600), (CongestionControl::Off, 50_000..=65_535)]
    {
        let link = Link { delay: Duration::from_millis(50), ..Link::default() };
        let sender = Limits { congestion_control, ..Limits::default() };
        let wide = Limits { receive_buffer_initial_bytes: 65_535, ..Limits::default() };
        let config = WorldConfig { link, limits: [sender, wide], ..WorldConfig::default() };
        check("zero-copy-control", &config, |world| {
            let mut listener = world.stacks[0].listen(80).unwrap();
            let connector = world.stacks[1].connector();
            world.spawner().spawn("server", async move {
                let mut flow = listener.accept().await.unwrap();
                share(&mut flow, content(400_000)).await.unwrap();
                std::future::pending::<()>().await;
            });
            world.spawner().spawn("client", async move {
                let target = Target::Address(address(0, false, 80));
                let mut flow = connector.connect(&target).await.unwrap();
                read(&mut flow, 100_000, 100_000).await;
            });
            let in_flight = |world: &World| {
                world.stacks[0].connections().first().map_or(0, |info| info.in_flight as usize)
            };
            while in_flight(world) == 0 {
                world.pass(Duration::from_millis(10));
                assert!(world.now() < HOUR);
            }
            let in_flight = in_flight(world);
            assert!(most.contains(&in_flight), "{congestion_control:?}: {in_flight}");
        });
    }
}

#[test]
fn a_window_that_grew_stays_and_is_forgotten_after_a_pause() {
    let link = Link { delay: Duration::from_millis(5), ..Link::default() };
    check("zero-copy-pause", &WorldConfig { link, ..WorldConfig::default() }, |world| {
        let mut listener = world.stacks[0].listen(80).unwrap();
        let timers = world.timers.clone();
        world.spawner().spawn("server", async move {
            let mut flow = listener.accept().await.unwrap();
            for pause in [0, 1, 2_000] {
                timers.sleep(Duration::from_millis(pause)).await;
                share(&mut flow, content(400_000)).await.unwrap();
                flow.drained().await.unwrap();
            }
        });
        let connector = world.stacks[1].connector();
        let (times, timers) = (Rc::new(RefCell::new(Vec::new())), world.timers.clone());
        let noted = times.clone();
        world.spawner().spawn("client", async move {
            let target = Target::Address(address(0, false, 80));
            let mut flow = connector.connect(&target).await.unwrap();
            for _ in 0..3 {
                read(&mut flow, 1, 1).await;
                let start = timers.now();
                read(&mut flow, 399_999, usize::MAX).await;
                noted.borrow_mut().push(timers.now() - start);
            }
        });
        assert!(world.run_until(Duration::from_secs(60), || times.borrow().len() == 3));
        let times = times.take();
        assert!(times[1] * 2 < times[0] && times[1] * 2 < times[2], "{times:?}");
    });
}
