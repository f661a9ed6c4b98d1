//! What an interface can do, by what its backend offers and what there is memory for.

use super::*;
use bench::{SETTINGS, open_with};

#[test]
fn all_that_a_backend_offers_is_used() {
    let card = Bench::new().card;
    assert_eq!(card.driver(), "xen-netfront");
    let capabilities = card.capabilities();
    assert!(capabilities.transmit_checksums && capabilities.receive_checksums);
    assert_eq!(capabilities.segmentation_ipv4.map(|bytes| bytes.get()), Some(65_535));
    assert_eq!((capabilities.segmentation_ipv6, capabilities.mtu_bytes), (None, 1500));
}

/// A long frame lies in several pages, its headers' checksums are the backend's, too, and there has to be memory for one.
#[test]
fn segmentation_takes_all_that_it_rests_on() {
    let none = Settings { transmit_runs: 0, ..SETTINGS };
    let one = Settings { transmit_runs: 1, ..SETTINGS };
    for (name, node, value, settings, segments) in [
        ("nothing is missing", "feature-sg", "1", one, true),
        ("no scattering", "feature-sg", "0", one, false),
        ("no segmentation", "feature-gso-tcpv4", "0", one, false),
        ("an unknown word for it", "feature-gso-tcpv4", "2", one, false),
        ("no checksums", "feature-no-csum-offload", "1", one, false),
        ("no memory", "feature-sg", "1", none, false),
    ] {
        let (store, mut daemon) = fake::connect();
        make_interface(&mut daemon);
        daemon.set(&format!("{BACK}/{node}"), value);
        let (card, _frontend) = open_with(&store, &mut daemon, &settings);
        let longest = card.capabilities().segmentation_ipv4.map(|bytes| bytes.get());
        assert_eq!(longest, segments.then_some(65_535), "{name}");
    }
    // Nor is there room for a packet of more than a page.
    let (store, mut daemon) = fake::connect();
    make_interface(&mut daemon);
    daemon.set(&format!("{FRONT}/mtu"), "9000");
    let (card, _frontend) = open_with(&store, &mut daemon, &none);
    assert_eq!(card.capabilities().mtu_bytes, 4082);
}

#[test]
fn a_backend_with_few_features_gets_plain_frames() {
    let (store, mut daemon) = fake::connect();
    make_interface(&mut daemon);
    for (name, value) in [
        ("feature-sg", "0"),
        ("feature-no-csum-offload", "1"),
        ("feature-split-event-channels", "0"),
        ("feature-nothing", "9000000"),
    ] {
        daemon.set(&format!("{BACK}/{name}"), value);
    }
    let (card, _) = open_one(&store, &mut daemon);
    let capabilities = card.capabilities();
    assert!(capabilities.segmentation_ipv4.is_none());
    assert!(!capabilities.transmit_checksums && capabilities.receive_checksums);
    assert_eq!(capabilities.mtu_bytes, 1500);
    assert!(daemon.get(&format!("{FRONT}/event-channel")).is_some());
}

/// The toolstack's word is in the frontend's folder (io/netif.h), and leave to send no more than pages carry.
#[test]
fn the_mtu_is_the_frontends_as_far_as_pages_carry_it() {
    for (mtu, scatters, expected) in [
        ("", "1", 1500),
        ("9000", "1", 9000),
        ("100000", "1", 65_521),
        ("9000", "0", 4082),
        ("1280", "0", 1280),
        ("576", "1", 1500),
        ("large", "1", 1500),
    ] {
        let (store, mut daemon) = fake::connect();
        make_interface(&mut daemon);
        daemon.set(&format!("{FRONT}/mtu"), mtu);
        daemon.set(&format!("{BACK}/mtu"), "1400");
        daemon.set(&format!("{BACK}/feature-sg"), scatters);
        let (card, _frontend) = open_one(&store, &mut daemon);
        assert_eq!(card.capabilities().mtu_bytes, expected, "{mtu} {scatters}");
    }
}

/// A packet of such an MTU goes out over several pages, and is not cut.
#[test]
fn a_large_packet_is_sent_whole() {
    let (store, mut daemon) = fake::connect();
    make_interface(&mut daemon);
    daemon.set(&format!("{FRONT}/mtu"), "9000");
    let (card, frontend) = open_one(&store, &mut daemon);
    let mut bench = Bench::of(store, daemon, card, frontend);
    let mut backend = bench.connect();
    let frame = tcp_frame(8960);
    bench.send(&frame, None);
    let sent = backend.take().expect("a frame");
    // All but the sum of the pseudo-header, which is the driver's.
    assert!(sent.bytes.len() == frame.len() && sent.bytes.ends_with(&frame[54..]));
    assert_eq!(sent.segment, None);
}
