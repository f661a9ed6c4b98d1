//! A tap sees each frame of its stack, as it is on the wire, and nothing once it is gone.

use bytes::Bytes;
use flow::{Connector, Flow, FlowExt, Listener, Target};
use net::device::{FrameTap, TappedFrame};
use sim::{Link, MAC, Offloads, World, WorldConfig, address, check};
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

#[derive(Default)]
struct Seen(RefCell<Vec<(bool, Vec<u8>)>>);

impl FrameTap for Seen {
    fn frame(&self, frame: &TappedFrame<'_>) {
        let bytes = [frame.head, frame.tail].concat();
        assert_eq!(bytes.len(), frame.bytes());
        self.0.borrow_mut().push((frame.is_outbound, bytes));
    }
}

impl Seen {
    fn of(&self, is_outbound: bool) -> Vec<Vec<u8>> {
        let seen = self.0.borrow();
        let chosen = seen.iter().filter(|(outbound, _)| *outbound == is_outbound);
        chosen.map(|(_, frame)| frame.clone()).collect()
    }
}

/// A client of the second stack gets bytes of the first that are written, and others that are shared.
fn fetch(world: &mut World, port: u16) {
    let mut listener = world.stacks[0].listen(port).unwrap();
    let connector = world.stacks[1].connector();
    world.spawner().spawn("server", async move {
        let mut flow = listener.accept().await.unwrap();
        flow.write_all(b"written").await.unwrap();
        let mut shared = Bytes::from(vec![7; 100_000]);
        while !shared.is_empty() {
            poll_fn(|cx| flow.poll_write_shared(cx, &mut shared)).await.unwrap();
        }
        flow.finish();
    });
    let received = Rc::new(RefCell::new(None));
    let result = received.clone();
    world.spawner().spawn("client", async move {
        let target = Target::Address(address(0, false, port));
        let mut flow = connector.connect(&target).await.unwrap();
        let mut count = 0;
        loop {
            match flow.read_with(|bytes| (bytes.len(), bytes.len())).await.unwrap() {
                0 => break,
                more => count += more,
            }
        }
        result.replace(Some(count));
    });
    assert!(world.run_until(Duration::from_secs(60), || received.borrow().is_some()));
    assert_eq!(received.take(), Some(100_007));
}

/// TCP's over IPv4 is the device's to write, if that has offloads.
fn without_checksum(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame[12..14] == [8, 0] {
        frame[50..52].fill(0);
    }
    frame
}

#[test]
fn a_tap_sees_what_is_on_the_wire() {
    for offloads in [Offloads::None, Offloads::Segmentation] {
        let link = Link { offloads, ..Link::default() };
        check("tap", &WorldConfig { link, ..WorldConfig::default() }, |world| {
            let seen = Rc::new(Seen::default());
            let view = world.stacks[0].view();
            view.set_tap(Some(seen.clone()));
            fetch(world, 80);
            world.pass(Duration::from_secs(1));
            let log = world.wire.log();
            for (end, is_outbound) in [(0, true), (1, false)] {
                let sent = log.iter().filter(|(_, frame)| frame[6..12] == MAC[end]);
                let mut sent: Vec<_> = sent.map(|(_, frame)| frame.clone()).collect();
                // What passed before the tap was set.
                let seen = seen.of(is_outbound);
                assert!(seen.len() > 4 && sent.len() <= seen.len() + 4);
                sent.drain(..sent.len() - seen.len());
                let differs = sent
                    .iter()
                    .zip(seen)
                    .position(|(sent, seen)| without_checksum(sent) != without_checksum(&seen));
                assert_eq!(differs, None, "{offloads:?}: another frame than end {end} sent");
            }
            view.set_tap(None);
            let before = seen.0.borrow().len();
            fetch(world, 81);
            assert_eq!(seen.0.borrow().len(), before);
            assert_eq!(Rc::strong_count(&seen), 1);
        });
    }
}
