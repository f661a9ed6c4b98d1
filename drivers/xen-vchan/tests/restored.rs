//! A domain that is restored has none of what it shared: its flows end with an error, and others may come anew. It is all of a
//! process that is restored, so that this test has one of its own.

#[path = "../src/tests/world.rs"]
mod world;

use flow::{FlowError, FlowExt};
use world::{RING_BYTES, World};
use xen_vchan::{Settings, VchanFlow, VchanListener, Vchans};

#[test]
fn flows_end_and_others_may_come() {
    let mut world = World::with_rings(8, RING_BYTES);
    let mut listener = world.listen("echo");
    let _at_path = world.vchans.listen("0/data/vchan/log", 8).unwrap();
    world.settle();
    let offered = world.daemon.get("data/vchan/log/event-channel").unwrap();
    let (mut client, mut server) = world.join(&mut listener, "vchan:1/echo");
    machine::xen::suspend_fake::restore_next();
    machine::xen::suspend().unwrap();
    // Another xenstore, which knows nothing of what the old one was told.
    world.daemon.reset();
    world.daemon.remove("data");
    world.daemon.set("domid", "1");
    world.store.restored();
    for flow in [&mut client, &mut server] {
        let read = flow.read_with(|bytes| (bytes.len(), bytes.len()));
        assert_eq!(world.run(read), Some(Err(FlowError::Reset)));
        assert_eq!(world.run(flow.write_all(b"x")), Some(Err(FlowError::Reset)));
    }
    drop((client, server));
    world.settle();
    // What is offered is offered anew, by another channel, and who listens says so.
    let again = world.daemon.get("data/vchan/log/event-channel").unwrap();
    assert_ne!(again, offered);
    assert!(world.daemon.get("data/services/vchan-echo").is_some());
    let (mut client, mut server) = world.join(&mut listener, "vchan:1/echo");
    assert_eq!(world.run(client.write_all(b"water")), Some(Ok(())));
    let read = server.read_with(|bytes| (bytes.len(), bytes.len()));
    assert_eq!(world.run(read), Some(Ok(5)));
}
