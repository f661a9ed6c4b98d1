//! A peer made by hand, against one stack.

use flow::{Flow, FlowExt, Listener};
use sim::{MAC, TcpFields, World, WorldConfig, check, reply_frame, syn_frame, tcp_fields};
use smoltcp::wire::TcpControl;
use std::net::SocketAddrV4;
use std::time::Duration;

fn endpoints(port: u16) -> (SocketAddrV4, SocketAddrV4) {
    (SocketAddrV4::new([10, 0, 0, 2].into(), port), SocketAddrV4::new([10, 0, 0, 1].into(), 80))
}

/// The last TCP frame that stack 0 sent.
fn last_from_stack(world: &World) -> TcpFields {
    let log = world.wire.log();
    let own = |frame: &&(Duration, Vec<u8>)| frame.1[6..12] == MAC[0];
    let (_, frame) = log.iter().rev().find(own).expect("the stack has said something");
    tcp_fields(frame).expect("it was TCP")
}

fn send(
    world: &mut World,
    port: u16,
    control: TcpControl,
    seq: u32,
    ack: Option<u32>,
    data: &[u8],
) {
    let (from, to) = endpoints(port);
    world.wire.inject(0, reply_frame((MAC[1], MAC[0]), from, to, control, seq, ack, data));
    world.settle();
}

/// An echo server on stack 0; stack 1 hears nothing.
fn echo(world: &mut World) {
    world.wire.set_filter(Some(Box::new(|_, _| true)));
    let mut listener = world.stacks[0].listen(80).unwrap();
    let spawner = world.spawner();
    world.spawner().spawn("accept", async move {
        while let Ok(mut flow) = listener.accept().await {
            spawner.spawn("echo", async move {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = flow.read(&mut buffer).await {
                    flow.write_all(&buffer[..count]).await.unwrap();
                }
                flow.finish();
            });
        }
    });
    world.settle();
}

#[test]
fn a_handshake_carries_data_and_the_answer_rides_with_its_acknowledgement() {
    check("handshake", &WorldConfig::default(), |world| {
        echo(world);
        let (from, to) = endpoints(5000);
        world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 999));
        world.settle();
        let syn_ack = last_from_stack(world);
        assert_eq!((syn_ack.flags, syn_ack.ack), ((true, false, false, true), 1000));
        let before = world.wire.sent();
        send(world, 5000, TcpControl::None, 1000, Some(syn_ack.seq + 1), b"");
        send(world, 5000, TcpControl::Psh, 1000, Some(syn_ack.seq + 1), b"hello");
        assert_eq!(world.wire.sent(), before + 1);
        let answer = last_from_stack(world);
        assert_eq!((answer.data, answer.ack), (5, 1005));
        assert_eq!(answer.seq, syn_ack.seq + 1);
        send(world, 5000, TcpControl::Fin, 1005, Some(answer.seq + 5), b"");
        let fin = last_from_stack(world);
        assert!(fin.flags.1, "{fin:?}");
        send(world, 5000, TcpControl::None, 1006, Some(fin.seq + 1), b"");
        assert_eq!(world.stacks[0].count(net::Count::Closed), 1);
    });
}
