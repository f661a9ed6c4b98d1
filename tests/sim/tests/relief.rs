//! Buffer memory is used up: who is reset, so that others go on.

use flow::{Address, Flow, FlowExt, Listener};
use net::{Counter, Limits};
use sim::by_hand::endpoints;
use sim::{MAC, TcpFields, World, WorldConfig, check, reply_frame, syn_frame, tcp_fields};
use smoltcp::wire::TcpControl;
use std::time::Duration;

/// What stack 0 has sent to a port.
fn sent_to(world: &World, port: u16) -> Vec<TcpFields> {
    let log = world.wire.log();
    let own = log.iter().filter(|(_, frame)| frame[6..12] == MAC[0]);
    let tcp = own.filter_map(|(_, frame)| tcp_fields(frame));
    tcp.filter(|fields| fields.ports.1 == port).collect()
}

/// Opens a connection and sends a request in segments, of which no answer is acknowledged.
fn ask(world: &mut World, port: u16, request: &[u8]) {
    let (from, to) = endpoints(port);
    world.wire.inject(0, syn_frame((MAC[1], MAC[0]), from, to, 99));
    world.settle();
    let next = sent_to(world, port).last().expect("a SYN-ACK").seq.wrapping_add(1);
    for (index, data) in request.chunks(1_000).enumerate() {
        let seq = 100 + 1_000 * index as u32;
        let control = TcpControl::Psh;
        let frame = reply_frame((MAC[1], MAC[0]), from, to, control, seq, Some(next), data);
        world.wire.inject(0, frame);
        world.settle();
    }
}

/// Answers the first byte of a request with so many hundred bytes and reads no more before they are acknowledged.
fn serve(world: &mut World) {
    world.wire.set_filter(Some(Box::new(|_, _| true)));
    let mut listener = world.stacks[0].listen(80).unwrap();
    let spawner = world.spawner();
    world.spawner().spawn("accept", async move {
        while let Ok(mut flow) = listener.accept().await {
            spawner.spawn("serve", async move {
                let mut size = [0];
                let _ = flow.read(&mut size).await;
                let _ = flow.write_all(&vec![b'x'; 100 * usize::from(size[0])]).await;
                let _ = flow.drained().await;
            });
        }
    });
    world.settle();
}

/// Reads nothing of what the hogs send, and all of what others do, which it sends back.
fn echo_to_others(world: &mut World) {
    world.wire.set_filter(Some(Box::new(|_, _| true)));
    let mut listener = world.stacks[0].listen(80).unwrap();
    let spawner = world.spawner();
    world.spawner().spawn("accept", async move {
        while let Ok(mut flow) = listener.accept().await {
            let is_hog = matches!(flow.peer(), Address::Ip(peer) if peer.port() < 2_000);
            spawner.spawn("echo", async move {
                if is_hog {
                    return core::future::pending().await;
                }
                let mut bytes = [0; 1_000];
                while let Ok(count @ 1..) = flow.read(&mut bytes).await {
                    let _ = flow.write_all(&bytes[..count]).await;
                }
            });
        }
    });
    world.settle();
}

/// Sends a first segment of data, or sends it again.
fn say(world: &mut World, port: u16, data: &[u8]) {
    let (from, to) = endpoints(port);
    let next = sent_to(world, port).first().expect("a SYN-ACK").seq.wrapping_add(1);
    let control = TcpControl::Psh;
    let frame = reply_frame((MAC[1], MAC[0]), from, to, control, 100, Some(next), data);
    world.wire.inject(0, frame);
    world.settle();
}

/// As uploads that a service does not read while its memory is short.
#[test]
fn who_sends_little_is_heard_beside_those_whom_nobody_reads() {
    let limits = Limits { buffers_max_bytes: 1 << 20, ..Limits::default() };
    let config = WorldConfig { limits: [limits, Limits::default()], ..WorldConfig::default() };
    check("unread", &config, |world| {
        echo_to_others(world);
        let is_heard =
            |world: &World, port| sent_to(world, port).iter().any(|sent| sent.ack == 105);
        let is_answered =
            |world: &World, port| sent_to(world, port).iter().any(|sent| sent.data == 5);
        for port in 1_000..1_040 {
            ask(world, port, &[1; 40_000]);
        }
        assert!(world.stacks[0].count(Counter::NoBufferMemory) > 0, "there is no memory left");
        for port in 5_000..5_010 {
            ask(world, port, b"hello");
            assert!(is_heard(world, port), "{port} is heard at once");
        }
        // Hogs by the hundred take the last of it, too: one after the other goes, until there is room again.
        for port in 1_040..1_240 {
            ask(world, port, &[1; 4_000]);
        }
        ask(world, 6_000, b"hello");
        assert!(!is_heard(world, 6_000));
        let rounds = (1..20).find(|_| {
            world.pass(Duration::from_millis(500));
            say(world, 6_000, b"hello");
            is_heard(world, 6_000)
        });
        assert!(rounds.is_some(), "it is heard in the end");
        assert!(world.stacks[0].count(Counter::Relieved) > 0);
        world.pass(Duration::from_secs(5));
        for port in (5_000..5_010).chain([6_000]) {
            assert!(is_answered(world, port), "{port} is answered");
            assert!(sent_to(world, port).iter().all(|sent| !sent.flags.2), "{port} is not reset");
        }
    });
}

/// Hogs fill their receive buffers and are answered in few bytes; who waits for a longer answer holds less than they.
#[test]
fn who_holds_the_most_is_reset_whether_sent_or_received() {
    const PATIENT: u16 = 4_000;
    const LATE: u16 = 5_000;
    let limits = Limits { buffers_max_bytes: 1 << 20, ..Limits::default() };
    let config = WorldConfig { limits: [limits, Limits::default()], ..WorldConfig::default() };
    check("relief", &config, |world| {
        serve(world);
        ask(world, PATIENT, &[14]);
        for port in 1_000..1_040 {
            ask(world, port, &[1; 40_000]);
        }
        world.pass(Duration::from_secs(5));
        ask(world, LATE, &[1]);
        assert!(sent_to(world, LATE).iter().any(|sent| sent.data > 0), "it is answered");
        assert!(world.stacks[0].count(Counter::Relieved) > 0);
        for port in [PATIENT, LATE] {
            assert!(sent_to(world, port).iter().all(|sent| !sent.flags.2), "{port} is not reset");
        }
    });
}
