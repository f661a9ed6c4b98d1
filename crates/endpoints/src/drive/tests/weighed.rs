//! Connections that are weighed: what they hold is the ledger's to know, and they do as it says.

use super::*;
use flow::ledger::{Ledger, ServiceLedger};

/// What all peers may hold here, and each of them.
const LIMIT: usize = 6400;
const PEER: usize = 3200;

fn service() -> (Ledger, ServiceLedger) {
    let ledger = Ledger::new(LIMIT);
    let service = ledger.service("test", LIMIT, PEER);
    (ledger, service)
}

/// A connection that has read `count` bytes, and keeps them.
fn peer(service: &ServiceLedger, core: Fake, count: usize) -> (MemoryFlow, World<MemoryFlow>) {
    let (mut there, here) = memory::pair(PEER);
    let mut world = World::new(here, core);
    world.connection = world.connection.weighed(Some(service.account()));
    write(&mut there, &[7].repeat(count));
    assert!(!world.turn());
    assert_eq!(world.connection.core().input.len(), count);
    (there, world)
}

#[test]
fn what_the_core_holds_is_weighed_each_turn_and_given_back_at_the_end() {
    let (ledger, service) = service();
    let (mut there, mut world) = peer(&service, Fake::default(), 100);
    assert_eq!(service.held_bytes(), 100);
    world.connection.core_mut().input.clear();
    write(&mut there, b"abc");
    assert!(!world.turn());
    assert_eq!(service.held_bytes(), 3);
    drop(world);
    assert_eq!(ledger.held_bytes(), 0);
}

#[test]
fn what_others_queue_for_a_peer_that_takes_nothing_is_weighed() {
    let (_, service) = service();
    let (_there, mut world) = peer(&service, Fake::default(), 100);
    world.connection.core_mut().input.extend_from_slice(&[7; 50]);
    assert!(!world.turn());
    assert_eq!(service.held_bytes(), 150);
}

#[test]
fn what_others_queue_is_weighed_too_while_the_core_takes_none_of_the_input_it_wants() {
    let (_, service) = service();
    let core = Fake { input_at_once: Some(0), ..Fake::default() };
    let (mut there, mut world) = peer(&service, core, 0);
    write(&mut there, b"waits");
    world.connection.core_mut().input.extend_from_slice(&[7; 50]);
    assert!(!world.turn());
    assert_eq!(service.held_bytes(), 50);
}

#[test]
fn a_paused_connection_is_not_read_until_there_is_room() {
    let (_, service) = service();
    let (mut there, mut world) = peer(&service, Fake::default(), PEER / 2);
    assert_eq!(world.connection.core().pressures, [Pressure::Pause]);
    write(&mut there, b"more");
    assert!(!world.turn());
    assert_eq!(world.connection.core().input.len(), PEER / 2);
    world.connection.core_mut().input.clear();
    assert!(!world.turn());
    assert_eq!(world.connection.core().input, b"more");
    assert_eq!(world.connection.core().pressures, [Pressure::Pause, Pressure::None]);
}

#[test]
fn a_connection_that_waits_for_others_is_woken_when_they_have_gone() {
    let (_, service) = service();
    let (_first_there, first) = peer(&service, Fake::default(), PEER / 2 - 100);
    let (mut there, mut world) = peer(&service, Fake::default(), PEER / 2 - 100);
    let (_third_there, third) = peer(&service, Fake::default(), 300);
    // With the third, half of the limit is held: one goes on, which is the third.
    write(&mut there, b"more");
    assert!(!world.turn());
    assert_eq!(world.connection.core().input.len(), PEER / 2 - 100);
    world.wakes();
    drop((first, third));
    assert_eq!(world.wakes(), 1);
    assert!(!world.turn());
    assert!(world.connection.core().input.ends_with(b"more"));
}

#[test]
fn a_core_that_must_be_told_what_is_released_reads_on() {
    let (_, service) = service();
    let core = Fake { reads_while_paused: true, ..Fake::default() };
    let (mut there, mut world) = peer(&service, core, PEER / 2);
    write(&mut there, b"release");
    assert!(!world.turn());
    assert!(world.connection.core().input.ends_with(b"release"));
}

#[test]
fn the_core_hears_that_it_is_to_refuse_what_is_new() {
    let (ledger, service) = service();
    let (mut there, mut world) = peer(&service, Fake::default(), 1);
    let reserve = ledger.reserve();
    reserve.set(LIMIT - 2);
    write(&mut there, b"2");
    assert!(!world.turn());
    assert_eq!(world.connection.core().pressures, [Pressure::Refuse]);
    drop(reserve);
    write(&mut there, b"3");
    assert!(!world.turn());
    assert_eq!(world.connection.core().pressures, [Pressure::Refuse, Pressure::None]);
    assert_eq!(world.connection.core().input.len(), 3);
}

#[test]
fn the_greediest_connection_is_reset_and_gives_all_back() {
    let (ledger, service) = service();
    let (mut there, mut world) = peer(&service, Fake::default(), PEER / 2 - 1);
    let (_small_there, mut small) = peer(&service, Fake::default(), 10);
    let reserve = ledger.reserve();
    world.wakes();
    reserve.set(LIMIT - PEER / 2);
    assert_eq!(world.wakes(), 1);
    assert!(world.turn());
    assert_eq!(read(&mut there), Some(Err(FlowError::Reset)));
    assert!(!small.turn());
    drop((world, reserve));
    assert_eq!(ledger.held_bytes(), 10);
}
