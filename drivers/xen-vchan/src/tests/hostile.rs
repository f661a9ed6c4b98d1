//! The other domain means ill.

use super::plain::Client;
use super::{World, carry};
use alloc::format;
use alloc::string::ToString;
use core::pin::pin;
use flow::{ConnectError, Connector, FlowError, FlowExt, Listener, Target};
use machine::xen::event::Port;
use machine::xen::shared_pages::SharedPages;
use shared_ring::control::{GRANTS, LEFT_PRODUCED, ORDERS};
use std::vec::Vec;

/// What a server offers that cannot be joined.
#[test]
fn offers_that_cannot_be_are_not_joined_and_leave_nothing() {
    let orders: [u32; 6] = [0, 10 | 10 << 16, 9 | 12 << 16, 21 | 12 << 16, u32::MAX, 12 | 12 << 16];
    for order in orders {
        let mut world = World::new(4);
        let mut pages = SharedPages::grant(1, 2).unwrap();
        pages.store_word(ORDERS, order);
        let references: Vec<u32> = pages.references().collect();
        // The second ring's page is not granted.
        pages.store_word(GRANTS, references[1]);
        pages.store_word(GRANTS + 4, 0xffff_fff0);
        let port = Port::allocate(1).unwrap();
        world.daemon.set("/local/domain/0/x/ring-ref", &references[0].to_string());
        world.daemon.set("/local/domain/0/x/event-channel", &port.number().to_string());
        let target: Target = "vchan:0/local/domain/0/x".parse().unwrap();
        let connector = world.vchans.connector();
        let mut connecting = pin!(connector.connect(&target));
        assert!(world.run(connecting.as_mut()).is_none(), "{order:#x}");
        assert!(pages.end(), "{order:#x}");
        assert!(!port.has_other_end());
        world.pass(6);
        assert_eq!(world.run(connecting).unwrap().unwrap_err(), ConnectError::TimedOut);
        assert!(world.is_clean());
    }
}

#[test]
fn numbers_that_are_none_are_no_offer() {
    let mut world = World::new(4);
    for (reference, port) in [("x", "1"), ("1", ""), ("4294967296", "1"), ("-1", "1")] {
        world.daemon.set("/local/domain/0/x/ring-ref", reference);
        world.daemon.set("/local/domain/0/x/event-channel", port);
        let outcome = world.connect("vchan:0/local/domain/0/x").unwrap();
        assert_eq!(outcome.unwrap_err(), ConnectError::Unreachable, "{reference} {port}");
    }
    world.settle();
    assert!(world.is_clean());
}

#[test]
fn a_channel_that_somebody_else_has_is_not_joined() {
    let mut world = World::new(4);
    let pages = SharedPages::grant(1, 1).unwrap();
    pages.store_word(ORDERS, 10 | 11 << 16);
    let port = Port::allocate(1).unwrap();
    let _other = Port::bind(1, port.number()).unwrap();
    let reference = pages.references().next().unwrap();
    world.daemon.set("/local/domain/0/x/ring-ref", &reference.to_string());
    world.daemon.set("/local/domain/0/x/event-channel", &port.number().to_string());
    assert!(world.connect("vchan:0/local/domain/0/x").is_none());
    world.settle();
    assert!(world.is_clean());
}

#[test]
fn a_client_that_asks_and_does_not_come_has_a_place_for_a_while_only() {
    let mut world = World::new(16);
    let _listener = world.listen("echo");
    for nth in 0..40 {
        world.daemon.set(&format!("/local/domain/9/data/vchan/to/1/echo-{nth}"), "");
    }
    world.settle();
    // A quarter of what may be asked for at once is one domain's.
    assert_eq!(world.places_taken(), 8);
    for nth in 0..40 {
        world.daemon.set(&format!("/local/domain/8/data/vchan/to/1/echo-{nth}"), "");
    }
    world.settle();
    // Three quarters of the places are one listener's.
    assert_eq!(world.places_taken(), 12);
    world.pass(11);
    assert!(world.is_clean());
    for nth in 0..40 {
        world.daemon.remove(&format!("/local/domain/9/data/vchan/to/1/echo-{nth}"));
    }
    world.settle();
    assert_eq!(world.places_taken(), 0);
    assert!(world.connect("vchan:1/echo").unwrap().is_ok());
}

#[test]
fn requests_to_others_and_by_other_names_are_not_answered() {
    let mut world = World::new(16);
    let _listener = world.listen("echo");
    for node in ["to/2/echo-0", "to/1/other-0", "to/1/echo", "to/1/echo-0/x"] {
        world.daemon.set(&format!("/local/domain/9/data/vchan/{node}"), "");
    }
    world.settle();
    assert_eq!(world.places_taken(), 0);
}

#[test]
fn a_counter_that_lies_ends_its_flow_and_no_other() {
    let mut world = World::new(8);
    let mut listener = world.listen("0/data/vchan/log");
    let mut by_name = world.listen("echo");
    let (mut fair, mut served_fair) = world.join(&mut by_name, "vchan:1/echo");
    let client = Client::come(&world, "data/vchan/log");
    let mut served = world.run(listener.accept()).unwrap().unwrap();
    client.pages.store_word(LEFT_PRODUCED, 4097);
    client.port.notify();
    assert_eq!(world.run(carry(&mut served, 1)), Some(Err(FlowError::Reset)));
    assert_eq!(world.run(fair.write_all(b"x")), Some(Ok(())));
    assert_eq!(world.run(carry(&mut served_fair, 1)), Some(Ok(b"x".to_vec())));
}

/// The connecting domain is 1, and dom0 has called it `one`.
#[test]
fn who_is_not_listed_is_refused_whatever_it_calls_itself() {
    for (listed, is_name_shown, may_come) in [
        ("", true, false),
        ("2 5", true, false),
        ("11", true, false),
        ("one-more", true, false),
        ("2 1", false, true),
        ("two\none\n", true, true),
        ("2 *", false, true),
        ("one", false, false),
    ] {
        let mut world = World::new(8);
        let _listener = world.listen("echo");
        if !is_name_shown {
            world.daemon.hide("/local/domain/1/name");
        }
        world.daemon.set("data/vchan-from/echo", listed);
        let outcome = world.connect("vchan:1/echo").unwrap();
        assert_eq!(
            outcome.map(drop).err(),
            (!may_come).then_some(ConnectError::Exhausted),
            "{listed}"
        );
    }
}

#[test]
fn a_list_is_of_one_name_and_a_word_in_digits_is_a_number() {
    let mut world = World::new(8);
    let _listener = world.listen("echo");
    world.daemon.set("/local/domain/1/name", "7");
    world.daemon.set("data/vchan-from/echo", "7");
    assert!(world.connect("vchan:1/echo").unwrap().is_err());
    world.daemon.set("data/vchan-from/echo", "1");
    world.daemon.set("data/vchan-from/other", "2");
    assert!(world.connect("vchan:1/echo").unwrap().is_ok());
}

/// As it is when a domain is restored: the others' numbers are not what they were.
#[test]
fn a_list_that_is_lost_lets_nobody_come() {
    let mut world = World::new(8);
    world.daemon.set("data/vchan-from/echo", "1");
    let _listener = world.listen("echo");
    world.daemon.remove("data/vchan-from/echo");
    assert!(world.connect("vchan:1/echo").unwrap().is_err());
    world.daemon.set("data/vchan-from/echo", "*");
    assert!(world.connect("vchan:1/echo").unwrap().is_ok());
}
