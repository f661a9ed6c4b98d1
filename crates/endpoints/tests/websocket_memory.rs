//! What idle WebSockets cost in bytes. Alone in its process: the allocator counts all.

use endpoints::websocket::{Agreed, Deflate, Error, Host, Limits, Options, Socket};
use flow::FlowExt;
use flow::memory::{MemoryFlow, pair};
use flow::task::Executor;
use flow::time::Timers;
use peak_alloc::PeakAlloc;
use web::RequestHead;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const MANY: usize = 1000;
/// What a flow in memory holds in each direction: its own, and not the socket's.
const CAPACITY_BYTES: usize = 64;

async fn echo(mut socket: Socket) -> Result<(), Error> {
    while let Some(message) = socket.next().await? {
        socket.send(message).await?;
    }
    Ok(())
}

/// What was agreed with a client that would have its messages compressed, keeping its context.
fn agreed(host: &Host, deflate: Option<Deflate>) -> Agreed {
    let fields = [
        ("Upgrade", &b"websocket"[..]),
        ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", b"13"),
        ("Sec-WebSocket-Extensions", b"permessage-deflate"),
    ];
    let mut head = RequestHead::new("GET", "/", fields);
    head.parts_mut().unwrap().upgrade = true;
    host.negotiate(&head, &Options { deflate, ..Options::default() }).unwrap().1
}

/// Bytes for each of many sockets that have echoed a message.
fn bytes_each(deflate: Option<Deflate>) -> usize {
    let executor = Executor::new(|body| {
        body();
        Ok::<(), String>(())
    });
    let host = Host::new(&executor.spawner(), &Timers::new(), |bytes| bytes.fill(1), None);
    let agreed = agreed(&host, deflate);
    let mut peers = Vec::with_capacity(MANY);
    let flows: Vec<(MemoryFlow, MemoryFlow)> = (0..MANY).map(|_| pair(CAPACITY_BYTES)).collect();
    let before = MEMORY.current_usage();
    let mut given = 0;
    for (here, mut there) in flows {
        // As the HTTP driver has it; the box is the flow's.
        given += size_of_val(&here);
        let running = host.clone().run(Box::new(here), agreed.clone(), Limits::default(), echo);
        executor.spawner().spawn("websocket", running);
        executor.run_until_stalled();
        flow::task::block_on(async {
            // A compressed text where that is agreed.
            let hello: &[u8] = match agreed.deflate {
                Some(_) => b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00",
                None => b"\x81\x85\0\0\0\0Hello",
            };
            there.write_all(hello).await.unwrap();
            executor.run_until_stalled();
            let mut echo = [0; 32];
            assert!(there.read(&mut echo).await.unwrap() >= 7);
        });
        executor.run_until_stalled();
        peers.push(there);
    }
    assert_eq!(host.sockets(), MANY);
    let now = MEMORY.current_usage();
    drop(peers);
    (now - before - given) / MANY
}

#[test]
fn idle_sockets_are_small_and_contexts_cost_what_is_said() {
    a_compressors_weight_is_right();
    unread_echoes_weigh_what_is_sent();
    let plain = bytes_each(None);
    println!("{plain} bytes for each of {MANY} idle sockets");
    assert!(plain < 2048, "{plain} bytes");
    // Without contexts, compression costs while a message is under way.
    let compressed = bytes_each(Some(Deflate::default()));
    println!("{compressed} bytes with compression");
    assert!(compressed < 2048 + 500, "{compressed} bytes");
    let peers_context = Deflate { lets_peer_keep_context: true, ..Deflate::default() };
    let with_window = bytes_each(Some(peers_context));
    println!("{with_window} bytes with the peer's context");
    assert!((40_000..48_000).contains(&(with_window - compressed)), "{with_window} bytes");
}

/// Echoes of long messages that are short when they are compressed, for a peer that reads none of them.
fn unread_echoes_weigh_what_is_sent() {
    let deflate = Deflate { message_bytes_min: 0, ..Deflate::default() };
    let agreed = websocket::AgreedDeflate {
        deflate,
        keeps_own_context: false,
        peer_keeps_context: false,
        own_window_bits: 15,
    };
    let session = websocket::Session {
        role: websocket::Role::Server,
        deflate: Some((agreed, websocket::SharedCompressor::default())),
        limits: Limits::default(),
    };
    let now = core::time::Duration::ZERO;
    let mut connection = websocket::Connection::new(session, now);
    connection.send(now, "x".into()).unwrap();
    let used = MEMORY.current_usage();
    let mut sent = 0;
    while connection.send(now, vec![0; 60_000].into()).is_ok() {
        sent += 1;
    }
    let taken = MEMORY.current_usage() - used;
    assert!(sent > 100 && taken < 400_000, "{taken} bytes for {sent} messages");
    assert!(connection.held_bytes() > taken / 2, "{} bytes are said", connection.held_bytes());
}

/// What the ledger is told of a compressor of one's own is what it takes.
fn a_compressors_weight_is_right() {
    let own = Deflate { keeps_own_context: true, message_bytes_min: 0, ..Deflate::default() };
    let agreed = websocket::AgreedDeflate {
        deflate: own,
        keeps_own_context: true,
        peer_keeps_context: false,
        own_window_bits: 15,
    };
    let session = websocket::Session {
        role: websocket::Role::Server,
        deflate: Some((agreed, websocket::SharedCompressor::default())),
        limits: Limits::default(),
    };
    let mut connection = websocket::Connection::new(session, core::time::Duration::ZERO);
    let (held, used) = (connection.held_bytes(), MEMORY.current_usage());
    connection.send(core::time::Duration::ZERO, "x".into()).unwrap();
    while connection.wants_transmit() {
        connection.poll_transmit(core::time::Duration::ZERO, &mut [0; 100]);
    }
    let said = connection.held_bytes() - held;
    let taken = MEMORY.current_usage() - used;
    assert!(taken <= said && said < taken + 40_000, "{said} bytes are said of {taken}");
}
