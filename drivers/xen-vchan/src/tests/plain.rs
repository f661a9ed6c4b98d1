//! The test is a program of libxenvchan's, as `libxenvchan/init.c` has both sides.

use super::{World, carry, number};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::pin::pin;
use core::task::{Context, Waker};
use flow::{Connector, FlowError, FlowExt, Listener, Target};
use machine::xen::event::Port;
use machine::xen::shared_pages::SharedPages;
use shared_ring::control::{
    CLIENT_LIVE, CLIENT_NOTIFY, GRANTS, LEFT_PRODUCED, LIVE_AWAITED, LIVE_CONNECTED, LIVE_GONE,
    NOTIFY_READ, NOTIFY_WRITTEN, ORDERS, RIGHT_PRODUCED, SERVER_LIVE, SERVER_NOTIFY,
};

/// A client: it has mapped what was offered, and is there.
pub(super) struct Client {
    pub(super) pages: SharedPages,
    pub(super) port: Port,
}

impl Client {
    pub(super) fn come(world: &World, path: &str) -> Self {
        let reference = number(world, &format!("{path}/ring-ref")).expect("an offer");
        let port = number(world, &format!("{path}/event-channel")).expect("an offer");
        let port = Port::bind(1, port).unwrap();
        let mut pages = SharedPages::map(1, reference).unwrap();
        assert_eq!(pages.load_word(ORDERS), 12 | 12 << 16);
        let rings: Vec<u32> = (0..2).map(|ring| pages.load_word(GRANTS + 4 * ring)).collect();
        pages.map_more(&rings).unwrap();
        assert_eq!(pages.load_byte(CLIENT_LIVE), LIVE_AWAITED);
        pages.store_byte(CLIENT_LIVE, LIVE_CONNECTED);
        pages.store_byte(SERVER_NOTIFY, NOTIFY_WRITTEN);
        port.notify();
        Self { pages, port }
    }

    /// As the kernel does for a program that is killed, too.
    fn go(self) {
        self.pages.store_byte(CLIENT_LIVE, LIVE_GONE);
        self.port.notify();
    }
}

const PATH: &str = "data/vchan/log";

#[test]
fn a_program_of_the_library_is_served_where_it_looks() {
    let mut world = World::new(4);
    let mut listener = world.listen(&format!("0/{PATH}"));
    for node in ["ring-ref", "event-channel"] {
        let node = format!("/local/domain/1/{PATH}/{node}");
        assert_eq!(world.daemon.permissions(&node), ["n1", "r0"]);
    }
    let client = Client::come(&world, PATH);
    let mut served = world.run(listener.accept()).unwrap().unwrap();
    world.settle();
    assert_eq!(number(&world, &format!("{PATH}/ring-ref")), None, "nobody else is to join it");
    client.pages.copy_in(4096, b"water");
    client.pages.store_word(LEFT_PRODUCED, 5);
    client.port.notify();
    assert_eq!(world.run(carry(&mut served, 5)), Some(Ok(b"water".to_vec())));
    assert_eq!(world.run(served.write_all(b"wine")), Some(Ok(())));
    let mut got = [0; 4];
    world.turn();
    assert_eq!(client.pages.load_word(RIGHT_PRODUCED), 4);
    client.pages.copy_out(8192, &mut got);
    assert_eq!(&got, b"wine");
    assert!(client.port.take());
    // It has no other way to finish than to go.
    client.go();
    assert_eq!(world.run(carry(&mut served, 1)), Some(Err(FlowError::Closed)));
    drop(served);
    world.settle();
    // The next one may come.
    let client = Client::come(&world, PATH);
    assert!(world.run(listener.accept()).is_some());
    drop(listener);
    world.settle();
    client.go();
    world.pass(1);
    assert!(world.is_clean());
    assert_eq!(number(&world, &format!("{PATH}/ring-ref")), None);
}

#[test]
fn one_that_came_and_went_at_once_is_served_what_it_wrote() {
    let mut world = World::new(4);
    let mut listener = world.listen(&format!("0/{PATH}"));
    let client = Client::come(&world, PATH);
    client.pages.copy_in(4096, b"x");
    client.pages.store_word(LEFT_PRODUCED, 1);
    client.go();
    let mut served = world.run(listener.accept()).unwrap().unwrap();
    assert_eq!(world.run(carry(&mut served, 1)), Some(Ok(b"x".to_vec())));
    assert_eq!(world.run(carry(&mut served, 1)), Some(Err(FlowError::Closed)));
}

#[test]
fn a_domain_that_vanishes_without_a_word_is_missed_within_a_second() {
    let mut world = World::new(4);
    let mut listener = world.listen(&format!("0/{PATH}"));
    let Client { pages, port } = Client::come(&world, PATH);
    let mut served = world.run(listener.accept()).unwrap().unwrap();
    world.pass(2);
    assert!(world.run(carry(&mut served, 1)).is_none());
    drop(port);
    {
        let mut read = pin!(carry(&mut served, 1));
        world.settle();
        assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        world.pass(1);
        // A program of the library's tells of no ends: to be gone is its end.
        assert_eq!(world.run(read), Some(Err(FlowError::Closed)));
    }
    assert_eq!(world.run(served.write_all(b"x")), Some(Err(FlowError::Reset)));
    // Its memory is still mapped there: nobody else may have it, and its place is taken.
    drop(served);
    world.pass(3);
    assert_eq!(world.places_taken(), 1);
    assert_eq!(number(&world, &format!("{PATH}/ring-ref")), None, "one connection after another");
    drop(pages);
    world.pass(1);
    assert_eq!(world.places_taken(), 1, "the next offer's");
    assert!(number(&world, &format!("{PATH}/ring-ref")).is_some());
}

/// libxenvchan's client unmaps before it notifies: its place is another's at once.
#[test]
fn a_client_that_says_that_it_has_let_go_is_not_waited_for() {
    let mut world = World::new(4);
    let mut listener = world.listen(&format!("0/{PATH}"));
    let Client { pages, port } = Client::come(&world, PATH);
    drop(world.run(listener.accept()).unwrap().unwrap());
    world.settle();
    assert_eq!(number(&world, &format!("{PATH}/ring-ref")), None);
    drop(pages);
    world.settle();
    assert_eq!(number(&world, &format!("{PATH}/ring-ref")), None, "nobody has looked");
    port.notify();
    world.settle();
    assert!(number(&world, &format!("{PATH}/ring-ref")).is_some());
}

/// A server of the library's, with rings within the control page.
struct Server {
    pages: SharedPages,
    port: Port,
}

impl Server {
    fn offer(world: &mut World) -> Self {
        let pages = SharedPages::grant(1, 1).unwrap();
        pages.store_word(ORDERS, 10 | 11 << 16);
        pages.store_byte(CLIENT_LIVE, LIVE_AWAITED);
        pages.store_byte(SERVER_LIVE, LIVE_CONNECTED);
        pages.store_byte(CLIENT_NOTIFY, NOTIFY_WRITTEN);
        let port = Port::allocate(1).unwrap();
        let reference = pages.references().next().unwrap();
        world.daemon.set("/local/domain/0/x/ring-ref", &reference.to_string());
        world.daemon.set("/local/domain/0/x/event-channel", &port.number().to_string());
        Self { pages, port }
    }
}

#[test]
fn a_server_of_the_library_is_waited_for_and_joined() {
    let mut world = World::new(4);
    let target: Target = "vchan:0/local/domain/0/x".parse().unwrap();
    let connector = world.vchans.connector();
    let mut connecting = pin!(connector.connect(&target));
    assert!(world.run(connecting.as_mut()).is_none());
    // What is left of one that is gone is not taken.
    let Server { pages, port } = Server::offer(&mut world);
    drop((pages, port));
    assert!(world.run(connecting.as_mut()).is_none());
    let Server { pages, port } = Server::offer(&mut world);
    let mut flow = world.run(connecting).unwrap().unwrap();
    world.turn();
    assert!(port.take());
    assert_eq!(pages.load_byte(CLIENT_LIVE), LIVE_CONNECTED);
    assert_eq!(world.run(flow.write_all(b"water")), Some(Ok(())));
    let mut got = [0; 5];
    pages.copy_out(1024, &mut got);
    assert_eq!(&got, b"water");
    // More than there is room for waits until it has read: it is asked to tell.
    {
        let mut writing = pin!(flow.write_all(&[7; 1024]));
        assert!(world.run(writing.as_mut()).is_none());
        assert_ne!(pages.load_byte(SERVER_NOTIFY) & NOTIFY_READ, 0);
        pages.store_word(0, 5);
        port.notify();
        assert_eq!(world.run(writing), Some(Ok(())));
    }
    pages.store_byte(SERVER_LIVE, LIVE_GONE);
    port.notify();
    assert_eq!(world.run(carry(&mut flow, 1)), Some(Err(FlowError::Closed)));
    drop(flow);
    world.settle();
    assert_eq!(pages.load_byte(CLIENT_LIVE), LIVE_GONE);
    assert!(world.is_clean());
    let mut pages = pages;
    assert!(pages.end(), "nothing of it is mapped");
}
