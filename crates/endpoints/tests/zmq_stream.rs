//! A message of 1 GiB passes through two sockets. Alone in its process: the allocator counts all.

use endpoints::pipe::{AsyncSink, Fault, NodeExt, Piece, ZmqSource, map, skip, transfer};
use endpoints::zmq::{Bind, Connect, Host, Options, SocketType, ZmqSocket};
use flow::memory::MemoryNetwork;
use flow::task::Executor;
use flow::time::Timers;
use peak_alloc::PeakAlloc;
use std::cell::Cell;
use std::rc::Rc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;
const PIECE_BYTES: usize = 64 << 10;

/// Adds up what comes, and ends with its message.
struct Count {
    bytes: u64,
    wrong: u64,
    seen: Rc<Cell<(u64, u64)>>,
}

impl AsyncSink<Piece> for Count {
    async fn put(&mut self, piece: Piece) -> Result<(), Fault> {
        // Byte n is n / 2^16, so that a lost or doubled piece shows.
        let wrong = |(at, byte): (u64, &u8)| *byte != (at >> 16) as u8;
        self.wrong +=
            (self.bytes..).zip(&piece.bytes[..]).step_by(251).filter(|it| wrong(*it)).count()
                as u64;
        self.bytes += piece.bytes.len() as u64;
        self.seen.set((self.bytes, self.wrong));
        if piece.last { Err(Fault::Source("done")) } else { Ok(()) }
    }

    async fn end(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

#[test]
fn one_gib_is_one_message_and_never_in_memory_whole() {
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let host = Host {
        spawner: executor.spawner(),
        timers: Timers::new(),
        entropy: Rc::new(|bytes| bytes.fill(7)),
        ledger: None,
    };
    let network = MemoryNetwork::new(256 << 10, 1);
    let target: flow::Target = "a:1".parse().unwrap();
    let mut options = Options::new(SocketType::Pull);
    (options.stream_over_bytes, options.receive_bytes_max) = (Some(PIECE_BYTES), MIB);
    // The mark before the body makes it longer than the default.
    options.config.limits.frame_bytes_max = GIB + 1;
    let pull = ZmqSocket::new(&host, options);
    pull.attach(Bind(network.listen(&target).unwrap()));
    let mut options = Options::new(SocketType::Push);
    options.send_bytes_max = MIB;
    let push = ZmqSocket::new(&host, options);
    push.attach(Connect::new(network, target));
    host.spawner.spawn("send", async move {
        let mut rest = push.send_start("1", GIB).await.unwrap();
        for number in 0..GIB / PIECE_BYTES as u64 {
            rest.send(vec![number as u8; PIECE_BYTES]).await.unwrap();
        }
        assert_eq!(rest.left(), 0);
        push.close(core::time::Duration::from_secs(60)).await;
    });
    let seen = Rc::new(Cell::default());
    let count = Count { bytes: 0, wrong: 0, seen: seen.clone() };
    let node = skip(b"1").then(map(|piece: Piece| piece));
    host.spawner.spawn("receive", async move {
        let over = transfer(ZmqSource::new(pull), node, count).await;
        assert_eq!(over, Err(Fault::Source("done")));
    });
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    executor.run_until_stalled();
    assert_eq!(seen.get(), (GIB, 0));
    let peak = MEMORY.peak_usage() - before;
    // 1 MiB waits to be sent, 1 MiB to be received; the rest is the pipeline's edges and the flow.
    assert!(peak < 4 * MIB, "{peak} bytes at the peak");
}
