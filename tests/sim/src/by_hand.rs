//! A peer made by hand, frame by frame, against stack 0 of a world.

use crate::frames::{TcpFields, reply_frame, syn_frame, tcp_fields};
use crate::world::{MAC, World};
use flow::{Flow, FlowError, Listener};
use smoltcp::wire::TcpControl;
use std::cell::RefCell;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The flows that stack 0 has accepted.
pub type Flows = Rc<RefCell<Vec<net::TcpFlow>>>;

/// The peer's end, with that port, and the stack's.
pub fn endpoints(port: u16) -> (SocketAddrV4, SocketAddrV4) {
    (SocketAddrV4::new([10, 0, 0, 2].into(), port), SocketAddrV4::new([10, 0, 0, 1].into(), 80))
}

/// The last TCP frame that stack 0 sent.
///
/// # Panics
///
/// It has sent none.
pub fn last_from_stack(world: &World) -> TcpFields {
    let log = world.wire.log();
    let own = log.iter().rev().filter(|(_, frame)| frame[6..12] == MAC[0]);
    let mut tcp = own.filter_map(|(_, frame)| tcp_fields(frame));
    tcp.next().expect("the stack has sent a segment")
}

/// A segment of the peer's, and what follows from it.
pub fn send(
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

/// A handshake by hand; the stack's first sequence number.
///
/// # Panics
///
/// It is not answered.
pub fn open(world: &mut World, port: u16, seq: u32) -> u32 {
    let (from, to) = endpoints(port);
    world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, seq));
    world.settle();
    let syn_ack = last_from_stack(world);
    assert_eq!((syn_ack.flags, syn_ack.ack), ((true, false, false, true), seq.wrapping_add(1)));
    let next = syn_ack.seq.wrapping_add(1);
    send(world, port, TcpControl::None, seq.wrapping_add(1), Some(next), b"");
    next
}

/// Stack 0 accepts and keeps flows; stack 1 hears nothing.
///
/// # Panics
///
/// The port is taken.
pub fn keep(world: &mut World) -> Flows {
    world.wire.set_filter(Some(Box::new(|_, _| true)));
    let mut listener = world.stacks[0].listen(80).unwrap();
    let flows = Flows::default();
    let kept = flows.clone();
    world.spawner().spawn("accept", async move {
        while let Ok(flow) = listener.accept().await {
            kept.borrow_mut().push(flow);
        }
    });
    world.settle();
    flows
}

/// What a read gives now.
pub fn read(flow: &mut net::TcpFlow) -> Poll<Result<Vec<u8>, FlowError>> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut bytes = Vec::new();
    loop {
        let taken = flow.poll_read_with(&mut cx, &mut |piece| {
            bytes.extend_from_slice(piece);
            piece.len()
        });
        match taken {
            Poll::Ready(Ok(1..)) => {}
            _ if !bytes.is_empty() => return Poll::Ready(Ok(bytes)),
            other => return other.map(|taken| taken.map(|_| bytes)),
        }
    }
}
