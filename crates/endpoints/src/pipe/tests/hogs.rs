//! What callers make a service hold is weighed, and bounded: hogs wait, are refused or end, and small requests are
//! answered beside them.

use super::raw::raw_caller;
use super::*;
use flow::ledger::{Ledger, ServiceLedger};

const KIB: usize = 1 << 10;
const SECOND: Duration = Duration::from_secs(1);
const SHORT: &str = "the memory for requests is used up now";

/// A world whose service has so much for all callers, and half of it for each.
fn weighed(limit_bytes: usize) -> (World, Ledger, ServiceLedger) {
    let mut world = World::new();
    let ledger = Ledger::new(limit_bytes);
    let service = ledger.service("zmq", limit_bytes, limit_bytes / 2);
    world.host.ledger = Some(service.clone());
    (world, ledger, service)
}

/// A client that is not weighed: somebody else's.
fn client(world: &World) -> Shout {
    let host = crate::zmq::Host { ledger: None, ..world.host.clone() };
    make_client(&host, world.connect("a:1"))
}

#[test]
fn a_request_weighs_until_it_is_answered() {
    let (world, _, ledger) = weighed(1024 * KIB);
    serve(&world, world.bind("a:1"));
    let (client, spawner) = (client(&world), world.host.spawner.clone());
    let timers = world.host.timers.clone();
    world.run(async move {
        client.call("x".into(), Compress::No).await.unwrap();
        let idle = ledger.held_bytes();
        assert!(idle < 2 * KIB, "{idle}");
        for compress in [Compress::No, Compress::Both] {
            let text = std::format!("sleep {}3", "0".repeat(10_000));
            let call = client.clone();
            let call =
                spawner.spawn_joinable("call", async move { call.call(text, compress).await });
            timers.sleep(SECOND).await;
            // The text and an object that may be eight times as long, whatever it was on the wire.
            let held = ledger.held_bytes() - idle;
            assert!((9 * 10_000..11 * 10_000).contains(&held), "{held}");
            assert!(call.await.unwrap().is_ok());
            timers.sleep(SECOND).await;
            assert_eq!(ledger.held_bytes(), idle);
        }
        let failed = client.call("panic".into(), Compress::No).await;
        assert!(failed.is_err());
        timers.sleep(SECOND).await;
        assert_eq!(ledger.held_bytes(), idle, "after a panic");
    });
}

#[test]
fn while_memory_is_short_requests_are_refused_with_the_reason_and_peers_are_not_admitted() {
    let (world, ledger, _) = weighed(1024 * KIB);
    let server = serve(&world, world.bind("a:1"));
    let (one, late) = (client(&world), client(&world).timeout(SECOND / 10));
    let reserve = ledger.reserve();
    world.run(async move {
        assert_eq!(one.call("x".into(), Compress::No).await, Ok("X".into()));
        assert_eq!(server.peers(), 2);
        reserve.set(1000 * KIB);
        let refused = one.call("x".into(), Compress::Both).await;
        assert_eq!(refused, Err(CallFailed::Remote(SHORT.into())));
        drop(reserve);
        for client in [&one, &late] {
            assert_eq!(client.call("x".into(), Compress::Both).await, Ok("X".into()));
        }
    });
}

/// What a hog sends, and what it then sends again and again.
type Hog = (&'static str, fn() -> Vec<u8>, fn() -> Vec<u8>);

const LIMIT: usize = 1024 * KIB;

const HOGS: [Hog; 4] = [
    ("empty parts", Vec::new, || [&b"\x01\0".repeat(900)[..], b"\0\0"].concat()),
    ("parts of one byte", Vec::new, || [&b"\x01\x01x".repeat(900)[..], b"\0\0"].concat()),
    ("half a part", || [&b"\x02\0\0\0\0\0\x02\xFF\0"[..], &[7; 0x2_FE00]].concat(), Vec::new),
    // Replies that it does not read.
    ("requests", Vec::new, || [&b"\x01\0\x00\xF3p\x78\xF0"[..], &[b'a'; 240]].concat()),
];

/// Connects, sends, and stays.
async fn hog(network: memory::MemoryNetwork, (_, first, then): Hog) {
    let mut raw = raw_caller(&network, b"DEALER").await;
    let mut outcome = raw.write(&first()).await;
    let then = then();
    while outcome.is_ok() && !then.is_empty() {
        outcome = raw.write(&then).await;
    }
    if outcome.is_ok() {
        core::future::pending::<()>().await;
    }
}

#[test]
fn small_requests_are_answered_beside_hogs_and_afterwards_all_memory_is_back() {
    for count in [1, 20] {
        for kind in HOGS {
            let what = kind.0;
            let (world, _, ledger) = weighed(LIMIT);
            let limits =
                ServiceLimits { message_bytes_max: LIMIT / 2 / 8 * 3, ..ServiceLimits::default() };
            let shout = async |text: String| text.to_uppercase();
            let server = make_server_within(&world.host, shout, world.bind("a:1"), limits);
            let other = client(&world);
            let (network, spawner) = (world.network.clone(), world.host.spawner.clone());
            let timers = world.host.timers.clone();
            let peak = world.run(async move {
                other.call("x".into(), Compress::No).await.unwrap();
                let idle = ledger.held_bytes();
                let hogs: Vec<_> =
                    (0..count).map(|_| spawner.spawn("hog", hog(network.clone(), kind))).collect();
                let mut peak = 0;
                for _ in 0..500 {
                    let answer = other.call("x".into(), Compress::No).await;
                    let refused = Err(CallFailed::Remote(SHORT.into()));
                    assert!(answer == Ok("X".into()) || count > 1 && answer == refused, "{what}");
                    peak = peak.max(ledger.held_bytes());
                    timers.sleep(SECOND / 100).await;
                }
                for hog in hogs {
                    spawner.cancel(hog);
                }
                // Those of which half a message is there are not read, so that nobody sees that they
                // are gone; until they should have sent the rest.
                timers.sleep(61 * SECOND).await;
                assert_eq!(other.call("x".into(), Compress::No).await, Ok("X".into()), "{what}");
                timers.sleep(SECOND).await;
                assert_eq!((server.peers(), server.requests()), (1, 0), "{what}");
                assert_eq!(ledger.held_bytes(), idle, "{what}");
                peak
            });
            assert!((50 * KIB..LIMIT).contains(&peak), "{count} times {what}: {peak}");
        }
    }
}

#[test]
fn one_caller_does_not_take_all_places() {
    let world = World::new();
    let timers = world.host.timers.clone();
    let sleep = async move |seconds: u64| timers.sleep(Duration::from_secs(seconds)).await;
    let limits = ServiceLimits { requests_max: 8, ..ServiceLimits::default() };
    let server = make_server_within(&world.host, sleep, world.bind("a:1"), limits);
    let [greedy, other, third]: [Client<u64, ()>; 3] =
        [(); 3].map(|()| make_client(&world.host, world.connect("a:1")));
    let (timers, spawner) = (world.host.timers.clone(), world.host.spawner.clone());
    world.run(async move {
        let calls = |client: &Client<u64, ()>| {
            let client = client.clone().timeout(1000 * SECOND);
            spawner.spawn_joinable("call", async move { client.call(10, Compress::No).await })
        };
        let slow: Vec<_> = (0..20).map(|_| calls(&greedy)).collect();
        timers.sleep(SECOND).await;
        assert_eq!(server.requests(), 4, "half of the places");
        let slow: Vec<_> = slow.into_iter().chain((0..20).map(|_| calls(&other))).collect();
        timers.sleep(SECOND).await;
        assert_eq!(server.requests(), 6, "half of those left");
        // Nobody else waits.
        let now = timers.now();
        assert_eq!(third.call(0, Compress::No).await, Ok(()));
        assert!(timers.now() < now + SECOND);
        for call in slow {
            assert_eq!(call.await.unwrap(), Ok(()));
        }
        assert_eq!(server.requests(), 0);
        // Two callers, six places: not one call after the other.
        assert!(timers.now() < 120 * SECOND, "{:?}", timers.now());
    });
}
