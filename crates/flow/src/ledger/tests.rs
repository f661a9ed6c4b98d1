//! The ledger alone, with wakers that count.

use super::*;
use core::task::{Context, Waker};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::vec::Vec;

/// A service of a megabyte, a quarter of it for each peer, in a machine of four.
const LIMIT: usize = 1 << 20;
const PEER: usize = LIMIT / 4;

struct Peer {
    account: Account,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Peer {
    fn new(service: &ServiceLedger) -> Self {
        let peer = Self { account: service.account(), wakes: Arc::default() };
        // As in a turn of its connection.
        assert!(matches!(peer.pressure(), Pressure::None | Pressure::Refuse));
        peer
    }

    fn pressure(&self) -> Pressure {
        let waker = Waker::from(self.wakes.clone());
        self.account.pressure(&Context::from_waker(&waker))
    }

    /// How often it was woken since it was asked last.
    fn wakes(&self) -> usize {
        self.wakes.0.swap(0, Ordering::Relaxed)
    }
}

fn world() -> (Ledger, ServiceLedger) {
    let ledger = Ledger::new(4 * LIMIT);
    let service = ledger.service("test", LIMIT, PEER);
    (ledger, service)
}

/// Peers that hold as much as they may before they are paused on their own account.
fn hogs(service: &ServiceLedger, count: usize) -> Vec<Peer> {
    let hog = |_| {
        let peer = Peer::new(service);
        peer.account.set(PEER / 2 - 1);
        peer
    };
    (0..count).map(hog).collect()
}

#[test]
fn what_is_held_is_the_sum_of_all_parts() {
    let (ledger, service) = world();
    let account = service.account();
    account.set(1000);
    let (body, holder) = (account.take(200), account.holder());
    let reply = holder.take(30);
    assert_eq!(
        (account.held_bytes(), service.held_bytes(), ledger.held_bytes()),
        (1230, 1230, 1230)
    );
    account.set(10);
    drop(body);
    assert_eq!(ledger.held_bytes(), 40);
    drop(account);
    assert_eq!((reply.bytes(), service.held_bytes()), (30, 30));
    drop((reply, holder));
    assert_eq!((service.held_bytes(), ledger.held_bytes()), (0, 0));
}

#[test]
fn a_peer_pauses_at_half_of_its_own_limit_and_ends_above_it() {
    let (_, service) = world();
    let peer = Peer::new(&service);
    peer.account.set(PEER / 2 - 1);
    assert_eq!(peer.pressure(), Pressure::None);
    peer.account.set(PEER / 2);
    assert_eq!((peer.pressure(), peer.wakes()), (Pressure::Pause, 0));
    peer.account.set(PEER / 2 - 1);
    assert_eq!((peer.wakes(), peer.pressure()), (1, Pressure::None));
    let weight = peer.account.take(PEER / 2);
    assert_eq!((peer.wakes(), peer.pressure()), (0, Pressure::Pause));
    drop(weight);
    assert_eq!((peer.wakes(), peer.pressure()), (1, Pressure::None));
    peer.account.set(PEER + 1);
    assert_eq!((peer.wakes(), peer.pressure()), (1, Pressure::End(Overload::Peer)));
    assert_eq!(service.ended(), 1);
}

#[test]
fn hogs_wait_for_each_other_and_small_peers_for_nobody() {
    let (_, service) = world();
    let hogs = hogs(&service, 5);
    let small = Peer::new(&service);
    small.account.set(LIMIT / SHARE);
    let paused = |peers: &[Peer]| {
        peers.iter().map(|peer| peer.pressure() == Pressure::Pause).collect::<Vec<_>>()
    };
    assert_eq!(paused(&hogs), [false, true, true, true, true]);
    assert_eq!(small.pressure(), Pressure::None);
    // Its message is whole and gone: the next one may go on.
    hogs[0].account.set(0);
    assert!(hogs[1..].iter().all(|hog| hog.wakes() == 1));
    let mut hogs = hogs;
    hogs.remove(0);
    hogs.extend(self::hogs(&service, 1));
    assert_eq!(paused(&hogs), [false, true, true, true, true]);
    // One that is gone gives way, too.
    hogs.remove(0);
    assert!(hogs.iter().filter(|hog| hog.wakes() > 0).count() >= 3);
    hogs.extend(self::hogs(&service, 1));
    assert_eq!(paused(&hogs).iter().filter(|paused| **paused).count(), 4);
}

/// Whoever is paused is woken when it could go on, in whichever way room comes.
#[test]
fn no_wake_up_is_lost() {
    type Way = fn(Vec<Peer>) -> Vec<Peer>;
    let ways: [(&str, Way); 4] = [
        ("all give back a little", |peers| {
            peers.iter().for_each(|peer| peer.account.set(PEER / 8));
            peers
        }),
        ("one gives back all", |peers| {
            let paused = peers.iter().find(|peer| peer.pressure() == Pressure::None);
            paused.unwrap().account.set(0);
            peers
        }),
        ("one goes", |mut peers| {
            let at = peers.iter().position(|peer| peer.pressure() == Pressure::None);
            peers.remove(at.unwrap());
            peers
        }),
        ("a weight goes", |peers| {
            drop(peers[4].account.take(PEER / 4));
            peers.iter().skip(1).for_each(|peer| peer.account.set(1));
            peers
        }),
    ];
    for (name, way) in ways {
        let (_, service) = world();
        let peers = hogs(&service, 5);
        let waits =
            |peers: &[Peer]| peers.iter().filter(|peer| peer.pressure() == Pressure::Pause).count();
        assert_eq!(waits(&peers), 4);
        let peers = way(peers);
        let woken = |peer: &&Peer| peer.wakes() > 0 && peer.pressure() == Pressure::None;
        assert!(peers.iter().any(|peer| woken(&peer)), "{name}: nobody is woken");
    }
}

#[test]
fn nothing_new_is_taken_on_above_the_second_mark() {
    let (_, service) = world();
    let hogs = hogs(&service, 7);
    assert!(!service.refuses());
    assert_eq!(hogs[0].pressure(), Pressure::None);
    let small = Peer::new(&service);
    small.account.set(LIMIT / SHARE);
    assert!(service.refuses());
    assert_eq!(small.pressure(), Pressure::Refuse);
    assert!(hogs.iter().all(|hog| hog.pressure() == Pressure::Pause), "not even one goes on");
    small.account.set(0);
    assert_eq!(small.pressure(), Pressure::None);
    assert!(hogs.iter().all(|hog| hog.wakes() == 1), "one of them may go on");
    assert_eq!(hogs[1].pressure(), Pressure::None);
}

#[test]
fn the_greediest_ends_and_nobody_else() {
    let (ledger, service) = world();
    let mut hogs = hogs(&service, 7);
    hogs[3].account.set(PEER / 2 + 1500);
    assert!(hogs.iter().all(|hog| hog.wakes() == 0));
    let small = Peer::new(&service);
    let weight = small.account.take(PEER / 2 - 2000);
    assert!(service.held_bytes() < LIMIT);
    let last = small.account.take(3000);
    let ended: Vec<_> =
        hogs.iter().map(|hog| hog.pressure() == Pressure::End(Overload::Service)).collect();
    assert_eq!(ended, [false, false, false, true, false, false, false]);
    assert_eq!((hogs[3].wakes(), service.ended()), (1, 1));
    // What it held is as good as free, until there is more again.
    hogs[2].account.set(PEER / 2 + 500);
    assert_eq!(service.ended(), 1);
    hogs.remove(3);
    drop((hogs, last, weight, small));
    assert_eq!(ledger.held_bytes(), 0);
}

#[test]
fn who_is_refused_has_the_greediest_make_room_and_no_more_than_that() {
    let (_, service) = world();
    let hogs = hogs(&service, 7);
    hogs[5].account.set(PEER / 2 + 100);
    let small = Peer::new(&service);
    small.account.set(LIMIT / SHARE);
    assert_eq!((small.pressure(), service.ended()), (Pressure::Refuse, 0));
    small.account.make_room();
    small.account.make_room();
    assert_eq!(service.ended(), 1);
    assert_eq!((hogs[5].wakes(), hogs[5].pressure()), (1, Pressure::End(Overload::Service)));
    assert_eq!(small.pressure(), Pressure::Refuse, "it is not gone yet");
    hogs[5].account.set(0);
    assert_eq!(small.pressure(), Pressure::None);
    // Of small ones, nobody has to.
    let (_, service) = world();
    let peers: Vec<_> = (0..2 * SHARE - 8).map(|_| Peer::new(&service)).collect();
    peers.iter().for_each(|peer| peer.account.set(LIMIT / SHARE / 2));
    assert!(service.refuses());
    service.make_room();
    assert_eq!(service.ended(), 0);
}

#[test]
fn of_many_small_peers_the_one_that_asks_for_more_ends() {
    let (_, service) = world();
    let peers: Vec<_> = (0..2 * SHARE).map(|_| Peer::new(&service)).collect();
    peers.iter().for_each(|peer| peer.account.set(LIMIT / SHARE / 2));
    assert_eq!(service.ended(), 0);
    peers[7].account.set(LIMIT / SHARE / 2 + 1);
    assert_eq!(service.ended(), 1);
    assert_eq!((peers[7].wakes(), peers[7].pressure()), (1, Pressure::End(Overload::Service)));
}

#[test]
fn the_machine_has_its_own_limit_over_all_services() {
    let ledger = Ledger::new(LIMIT);
    let (one, two) = (ledger.service("one", LIMIT, LIMIT), ledger.service("two", LIMIT, LIMIT));
    let reserve = ledger.reserve();
    let (first, second) = (Peer::new(&one), Peer::new(&two));
    first.account.set(LIMIT / 4);
    second.account.set(LIMIT / 4 - 1);
    assert_eq!((first.pressure(), second.pressure()), (Pressure::None, Pressure::None));
    reserve.set(LIMIT / 4);
    assert_eq!((first.pressure(), second.pressure()), (Pressure::None, Pressure::Pause));
    reserve.set(0);
    assert_eq!((second.wakes(), second.pressure()), (1, Pressure::None));
    reserve.set(LIMIT);
    assert_eq!((second.pressure(), first.wakes()), (Pressure::End(Overload::Machine), 1));
    assert_eq!(first.pressure(), Pressure::End(Overload::Machine));
    drop((first, second, reserve));
    assert_eq!(ledger.held_bytes(), 0);
}

/// Against a plain model, for as long as memory is not over its limit: sums agree, nobody who could go on is left
/// asleep, and in the end all is given back.
#[test]
fn any_order_of_changes_keeps_the_sums_and_loses_no_wake_up() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % bound as u64) as usize
    };
    let (ledger, service) = world();
    let mut peers: Vec<(Peer, Vec<Weight>, bool)> = Vec::new();
    for step in 0..20_000 {
        let at = random(12);
        if at >= peers.len() {
            peers.push((
                Peer { account: service.account(), wakes: Arc::default() },
                Vec::new(),
                false,
            ));
            continue;
        }
        let (peer, weights, asleep) = &mut peers[at];
        match random(6) {
            0 | 1 => peer.account.set(random(PEER / 2)),
            2 => weights.push(peer.account.take(random(PEER / 4))),
            3 => drop(weights.pop()),
            4 => *asleep = peer.pressure() == Pressure::Pause,
            _ => drop(peers.swap_remove(at)),
        }
        let ending = |peer: &Peer| {
            peer.account.held_bytes() > PEER || matches!(peer.pressure(), Pressure::End(_))
        };
        for (peer, _, asleep) in &mut peers {
            *asleep &= peer.wakes() == 0;
        }
        // All that are awake ask; if then one of the sleeping could go on, it should have been woken.
        for (peer, _, asleep) in peers.iter_mut().filter(|(_, _, asleep)| !asleep) {
            *asleep = peer.pressure() == Pressure::Pause;
        }
        for (peer, _, asleep) in &mut peers {
            assert!(
                !*asleep || peer.wakes() > 0 || peer.pressure() == Pressure::Pause,
                "step {step}"
            );
        }
        peers.retain(|(peer, ..)| !ending(peer));
        let sum: usize = peers.iter().map(|(peer, ..)| peer.account.held_bytes()).sum();
        assert_eq!((service.held_bytes(), ledger.held_bytes()), (sum, sum));
    }
    drop(peers);
    assert_eq!(ledger.held_bytes(), 0);
    assert!(!service.refuses());
}

#[test]
fn a_service_is_known_by_its_name_and_keeps_its_limits() {
    let (ledger, service) = world();
    let (again, other) = (ledger.service("test", 7, 7), ledger.service("other", 70, 16));
    service.account().take(100);
    let held = again.account().take(100);
    assert_eq!((service.held_bytes(), other.held_bytes(), ledger.held_bytes()), (100, 0, 100));
    assert_eq!((again.name(), again.limit_bytes()), ("test", 1 << 20));
    assert_eq!((other.name(), other.limit_bytes(), ledger.limit_bytes()), ("other", 70, 4 << 20));
    // Three eighths of what a peer may make us hold.
    assert_eq!((again.message_bytes_max(), other.message_bytes_max()), (98_304, 6));
    assert_eq!(std::format!("{ledger:?}"), "Ledger(100 of 4194304 bytes)");
    assert_eq!(std::format!("{again:?}"), "ServiceLedger(test: 100 of 1048576 bytes)");
    assert_eq!(std::format!("{held:?}"), "Weight(100 bytes)");
    assert_eq!(std::format!("{:?}", again.account()), "Account(test: 0 bytes)");
    // Of those that are gone nothing is left.
    for name in ["one", "two", "three", "four"] {
        ledger.service(name, 1, 1);
    }
    let names: Vec<_> = ledger.services().iter().map(ServiceLedger::name).collect();
    assert_eq!((names, ledger.0.services.borrow().len()), (["test", "other"].into(), 3));
}

#[test]
fn those_above_an_even_share_are_shown() {
    let (_, service) = world();
    let peers: Vec<_> = (0..3).map(|_| Peer::new(&service)).collect();
    for (peer, bytes) in peers.iter().zip([LIMIT / SHARE, LIMIT / SHARE + 1, 50_000]) {
        peer.account.set(bytes);
    }
    let unknown = service.account();
    unknown.set(60_000);
    let mut shown = Vec::new();
    service.visit_large(&mut |waker, held| shown.push((waker, held)));
    let waker = |peer: &Peer| WakerKey::of(&Waker::from(peer.wakes.clone()));
    assert_eq!(shown, [(waker(&peers[1]), LIMIT / SHARE + 1), (waker(&peers[2]), 50_000)]);
}

#[test]
fn a_service_may_ask_for_room_itself() {
    let (_, service) = world();
    let hogs = hogs(&service, 7);
    hogs[5].account.set(PEER / 2 + 100);
    hogs[6].account.set(PEER / 2 + 50);
    service.make_room();
    assert_eq!((service.ended(), hogs[5].pressure()), (1, Pressure::End(Overload::Service)));
}

#[test]
fn a_service_at_rest_learns_at_once_how_the_machine_is() {
    let ledger = Ledger::new(LIMIT);
    let (one, two) = (ledger.service("one", LIMIT, LIMIT), ledger.service("two", LIMIT, LIMIT));
    let (large, small) = (Peer::new(&one), Peer::new(&two));
    assert!(small.account.is_calm());
    large.account.set(LIMIT - LIMIT / 8);
    assert!(!small.account.is_calm());
    assert_eq!(small.pressure(), Pressure::Refuse);
    large.account.set(0);
    assert!(small.account.is_calm());
    assert_eq!(small.pressure(), Pressure::None);
}

#[test]
fn nobody_is_woken_who_could_not_go_on_or_does_already() {
    let (_, service) = world();
    let hogs = hogs(&service, 6);
    let small = Peer::new(&service);
    small.account.set(100);
    assert_eq!(hogs[0].pressure(), Pressure::None);
    assert!(hogs[1..].iter().all(|hog| hog.pressure() == Pressure::Pause));
    // One goes on, so that others wait for it, however much room is left.
    small.account.set(50);
    assert!(hogs.iter().chain([&small]).all(|peer| peer.wakes() == 0));
    hogs[1].account.set(0);
    hogs[2].account.set(0);
    // Below half of the limit all may.
    let woken: Vec<_> = hogs.iter().map(Peer::wakes).collect();
    assert_eq!(woken, [0, 1, 1, 0, 0, 0]);
    hogs[5].account.set(0);
    let woken: Vec<_> = hogs.iter().map(Peer::wakes).collect();
    assert_eq!(woken, [0, 0, 0, 1, 1, 1]);
}

#[test]
fn a_peer_may_hold_its_limit_and_is_at_rest_as_long_as_nothing_changes() {
    let (_, service) = world();
    let peer = Peer::new(&service);
    assert_eq!(peer.account.service_name(), "test");
    assert!(peer.account.is_calm() && peer.account.is_at_rest(0));
    peer.account.holder().set(500);
    assert_eq!(peer.account.held_bytes(), 500);
    assert!(peer.account.is_at_rest(500) && !peer.account.is_at_rest(0));
    peer.account.set(PEER);
    assert!(!peer.account.is_calm() && !peer.account.is_at_rest(PEER));
    assert_eq!((peer.wakes(), peer.pressure()), (0, Pressure::Pause));
    assert!(!peer.account.is_at_rest(PEER) && !peer.account.is_at_rest(0));
}
