//! What a stack shows of itself: listeners, connections, what is not delivered, and the ports of another stack.

use bytes::Bytes;
use flow::{Connector, Flow, FlowExt, Listener, Target};
use net::device::{FrameTap, TappedFrame};
use net::{ConnectionId, ConnectionRow, Counter, Limits, ListenerRow, TcpState};
use sim::by_hand::{endpoints, keep, last_from_stack, open, send};
use sim::{Link, Lone, MAC, Offloads, World, WorldConfig, address, check, syn_frame};
use smoltcp::wire::TcpControl;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

fn listeners(world: &World) -> Vec<ListenerRow> {
    let mut rows = Vec::new();
    world.stacks[0].visit_listeners(3, &mut |row| rows.push(row));
    rows
}

fn connections(world: &World) -> Vec<ConnectionRow> {
    let mut rows = Vec::new();
    world.stacks[0].visit_connections(3, &mut |row| rows.push(row));
    rows
}

#[test]
fn listeners_are_shown_with_their_ports_and_what_waits_for_them() {
    let limits = Limits { listen_backlog: 7, ..Limits::default() };
    let config = WorldConfig { limits: [limits, Limits::default()], ..WorldConfig::default() };
    check("listeners", &config, |world| {
        // Nobody accepts at this one.
        let idle = world.stacks[0].listen(80).unwrap();
        world.wire.set_filter(Some(Box::new(|_, _| true)));
        let mut other = world.stacks[0].listen(81).unwrap();
        world.spawner().spawn("accept", async move {
            let _ = other.accept().await;
        });
        world.settle();
        open(world, 5000, 99);
        for port in [5001, 5002] {
            let (from, to) = endpoints(port);
            world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 99));
            world.settle();
        }
        let rows = listeners(world);
        let shown: Vec<_> = rows
            .iter()
            .map(|row| {
                (row.card, row.local.to_string(), row.backlog, row.backlog_max, row.half_open)
            })
            .collect();
        let expected = [("[::]:80", Some(1), Some(2)), ("[::]:81", Some(0), Some(0))];
        let expected = expected
            .map(|(local, backlog, half_open)| (3, local.to_string(), backlog, 7, half_open));
        assert_eq!(shown, expected);
        let waits = rows.iter().map(|row| row.waker.is_some());
        assert_eq!(waits.collect::<Vec<_>>(), [false, true]);
        drop(idle);
        assert_eq!(listeners(world).len(), 1);
    });
}

#[test]
fn connections_are_shown_with_their_names_and_who_waits_for_them() {
    check("connections", &WorldConfig::default(), |world| {
        let flows = keep(world);
        for port in [5000, 5001, 5002] {
            let next = open(world, port, 99);
            send(world, port, TcpControl::Psh, 100, Some(next), b"hello");
        }
        let mut reader = flows.borrow_mut().remove(0);
        world
            .spawner()
            .spawn("read", async move { while let Ok(1..) = reader.read(&mut [0; 9]).await {} });
        let mut writer = flows.borrow_mut().remove(0);
        world.spawner().spawn("drain", async move {
            let _ = writer.write_all(b"answer").await;
            let _ = writer.drained().await;
        });
        let (from, to) = endpoints(5003);
        world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 99));
        world.settle();
        let mut rows = connections(world);
        rows.sort_by_key(|row| row.remote.port());
        let shown =
            rows.iter().map(|row| (row.id, row.state, row.waker.is_some(), row.info.is_some()));
        let half_open = ConnectionId::Closed(3, 80, "10.0.0.2:5003".parse().unwrap());
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                (ConnectionId::Open(3, 1), TcpState::Established, true, true),
                (ConnectionId::Open(3, 2), TcpState::Established, true, true),
                (ConnectionId::Open(3, 3), TcpState::Established, false, true),
                (half_open, TcpState::SynReceived, false, false),
            ]
        );
        let infos: Vec<_> = rows.iter().filter_map(|row| row.info.as_ref()).collect();
        let queues = infos.iter().map(|info| (info.bytes_in, info.receive_queue, info.send_queue));
        assert_eq!(queues.collect::<Vec<_>>(), [(5, 0, 0), (5, 5, 6), (5, 5, 0)]);
        let view = world.stacks[0].view();
        for counter in [Counter::SynsIn, Counter::Accepted, Counter::Closed] {
            assert_eq!(view.count(counter), world.stacks[0].count(counter));
        }
        assert_eq!((view.count(Counter::SynsIn), view.count(Counter::Accepted)), (4, 3));
    });
}

#[test]
fn what_the_peer_has_not_acknowledged_is_undelivered_the_end_included() {
    check("undelivered", &WorldConfig::default(), |world| {
        let flows = keep(world);
        let next = open(world, 5000, 99);
        open(world, 5001, 99);
        assert_eq!(world.stacks[0].undelivered(), 0, "idle ones have nothing to deliver");
        let mut flow = flows.borrow_mut().remove(0);
        let handle = Rc::new(RefCell::new(None));
        let kept = handle.clone();
        world.spawner().spawn("write", async move {
            let _ = flow.write_all(b"answer").await;
            *kept.borrow_mut() = Some(flow);
        });
        world.settle();
        assert_eq!(world.stacks[0].undelivered(), 1);
        send(world, 5000, TcpControl::None, 100, Some(next + 6), b"");
        assert_eq!(world.stacks[0].undelivered(), 0);
        handle.borrow_mut().as_mut().unwrap().finish();
        world.settle();
        assert!(last_from_stack(world).flags.1);
        assert_eq!(world.stacks[0].undelivered(), 1, "its end is on its way");
        send(world, 5000, TcpControl::None, 100, Some(next + 7), b"");
        assert_eq!(world.stacks[0].undelivered(), 0, "the peer's own end is its business");
    });
}

#[test]
fn a_device_that_comes_late_gets_the_listeners_of_another() {
    check("late", &WorldConfig::default(), |world| {
        // The listeners of a stack that has no other part in this.
        let mut first = Lone::new(&net::Config::default());
        let mut listener = first.stack.listen(80).unwrap();
        let gone = first.stack.listen(81).unwrap();
        let taken = world.stacks[0].listen(82).unwrap();
        let other = first.stack.listen(82).unwrap();
        drop(gone);
        world.stacks[0].listen_as(&first.stack);
        let ports: Vec<_> = listeners(world).iter().map(|row| row.local.port()).collect();
        assert_eq!(ports, [82, 80]);
        assert!(!world.stacks[0].listen_on(&other) && !world.stacks[0].listen_on(&listener));
        drop(taken);
        assert!(world.stacks[0].listen_on(&other));
        assert!(!world.stacks[0].listen_on(&other), "it listens, whoever did before");
        assert!(world.stacks[0].listen(80).is_none());
        let accepted = Rc::new(RefCell::new(None));
        let (kept, connector) = (accepted.clone(), world.stacks[1].connector());
        world.spawner().spawn("accept", async move {
            *kept.borrow_mut() = listener.accept().await.ok();
        });
        world.spawner().spawn("connect", async move {
            let target = Target::Address(address(0, false, 80));
            let flow = connector.connect(&target).await;
            core::future::pending::<()>().await;
            drop(flow);
        });
        world.pass(Duration::from_millis(50));
        assert!(accepted.borrow().is_some());
    });
}

/// Sees how much of frames with data was copied, and how much left where it was.
#[derive(Default)]
struct Parts(RefCell<Vec<(usize, usize)>>);

impl FrameTap for Parts {
    fn frame(&self, frame: &TappedFrame<'_>) {
        if frame.is_outbound && frame.bytes() > 1_000 {
            self.0.borrow_mut().push((frame.head.len(), frame.tail.len()));
        }
    }
}

#[test]
fn shared_bytes_are_copied_where_they_are_less_than_two_kibibytes_or_the_stack_adds_them_up() {
    for (offloads, length, parts) in [
        (Offloads::Segmentation, 2_047, &[(54 + 2_047, 0)][..]),
        (Offloads::Segmentation, 2_048, &[(54, 2_048)]),
        (Offloads::Segmentation, 9_000, &[(54, 9_000)]),
        (Offloads::None, 2_920, &[(1_514, 0), (1_514, 0)]),
    ] {
        let link = Link { offloads, ..Link::default() };
        check("parts", &WorldConfig { link, ..WorldConfig::default() }, |world| {
            let flows = keep(world);
            open(world, 5000, 99);
            let seen = Rc::new(Parts::default());
            world.stacks[0].view().set_tap(Some(seen.clone()));
            let mut flow = flows.borrow_mut().remove(0);
            world.spawner().spawn("share", async move {
                let mut bytes = Bytes::from(vec![7; length]);
                while !bytes.is_empty() {
                    poll_fn(|cx| flow.poll_write_shared(cx, &mut bytes)).await.unwrap();
                }
                let _ = flow.drained().await;
            });
            world.settle();
            assert_eq!(*seen.0.borrow(), parts, "{offloads:?} {length}");
        });
    }
}
