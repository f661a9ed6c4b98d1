//! What one request costs in `net`, in instructions.
//!
//! `valgrind --tool=callgrind --toggle-collect='*server_turn*' target/release/examples/instructions
//! keep-alive 10000` counts the server's side only: its stack, the executor's turn and an echo task.
//! The difference of two runs with different counts is the steady cost. Modes: `keep-alive`, `new`
//! (a connection each), `idle N` (10,000 requests beside N idle connections), `bulk N` (N MiB in one
//! answer, with segmentation offload).

use flow::task::Executor;
use flow::{Connector, Flow, FlowExt, Listener, Target};
use net::device::{Capabilities, NetDevice, RxFrame, Transmit, TxFrame};
use net::{Config, Limits, Stack};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

/// Frames under way to one side, and spare ones.
#[derive(Default)]
struct Lane {
    frames: VecDeque<(Vec<u8>, usize)>,
    spare: Vec<Vec<u8>>,
}

struct End {
    incoming: Rc<RefCell<Lane>>,
    outgoing: Outgoing,
}

struct Outgoing(Rc<RefCell<Lane>>);

impl NetDevice for End {
    fn receive(&mut self, handle: &mut dyn FnMut(RxFrame<'_>, &mut dyn Transmit)) -> bool {
        let next = self.incoming.borrow_mut().frames.pop_front();
        let Some((mut frame, len)) = next else { return false };
        handle(RxFrame::Lent(&mut frame[..len]), &mut self.outgoing);
        self.incoming.borrow_mut().spare.push(frame);
        true
    }

    fn transmitter(&mut self) -> &mut dyn Transmit {
        &mut self.outgoing
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transmit_checksums: true,
            receive_checksums: true,
            segmentation_ipv4: NonZeroUsize::new(65_535),
            ..Capabilities::new(1500)
        }
    }
}

impl Transmit for Outgoing {
    fn is_ready(&mut self) -> bool {
        true
    }

    fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
        let spare = self.0.borrow_mut().spare.pop();
        let mut bytes = spare.unwrap_or_else(|| vec![0; 66_000]);
        let len = frame.bytes();
        frame.write(build, &mut bytes[..len]);
        self.0.borrow_mut().frames.push_back((bytes, len));
        true
    }
}

#[inline(never)]
fn server_turn(stack: &mut Stack, executor: &Executor, now: Duration) {
    stack.ingress(now);
    executor.run(100);
    stack.egress(now);
}

fn stack(incoming: &Rc<RefCell<Lane>>, outgoing: &Rc<RefCell<Lane>>, host: u8) -> Stack {
    let device = End { incoming: incoming.clone(), outgoing: Outgoing(outgoing.clone()) };
    let limits = Limits { listen_backlog: 100_000, connections_max: 200_000, ..Limits::default() };
    let addresses = (0..4).map(|n| ([10, 0, n, host].into(), 8)).collect();
    let config = Config { addresses, dhcp: false, slaac: false, limits, ..Config::default() };
    Stack::new(device, &config, [2, 0, 0, 0, 0, host], [host; 64], Duration::ZERO)
}

/// Answers every piece with as many bytes, or with `bulk` if that is more.
async fn echo(mut flow: net::TcpFlow, bulk: usize) {
    while let Ok(length @ 1..) = flow.read_with(|bytes| (bytes.len(), bytes.len())).await {
        let mut left = length.max(bulk);
        while left > 0 {
            let answer = |space: &mut [u8]| {
                let length = left.min(space.len());
                space[..length].fill(b'x');
                (length, length)
            };
            match flow.write_with(answer).await {
                Ok(written) => left -= written,
                Err(_) => return,
            }
        }
    }
    flow.finish();
}

fn main() {
    let mut words = std::env::args().skip(1);
    let mode = words.next().unwrap_or_default();
    let count: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(1000);
    let idle = if mode == "idle" { count } else { 0 };
    let bulk = if mode == "bulk" { (count << 20) as usize } else { 0 };
    let requests = match mode.as_str() {
        "idle" => 10_000,
        "bulk" => 1,
        _ => count,
    };
    let lanes = [(); 2].map(|()| Rc::new(RefCell::new(Lane::default())));
    let mut server = stack(&lanes[0], &lanes[1], 1);
    let mut client = stack(&lanes[1], &lanes[0], 2);
    let catch = |body: &mut dyn FnMut()| {
        body();
        Ok(())
    };
    let (server_tasks, client_tasks) = (Executor::new(catch), Executor::new(catch));
    let mut listener = server.listen(80).unwrap();
    let spawner = server_tasks.spawner();
    server_tasks.spawner().spawn("accept", async move {
        while let Ok(flow) = listener.accept().await {
            spawner.spawn("echo", echo(flow, bulk));
        }
    });
    let connector = client.connector();
    let done = Rc::new(Cell::new(false));
    let finished = done.clone();
    let fresh = mode == "new";
    client_tasks.spawner().spawn("client", async move {
        let target = |n: u64| Target::Address(([10, 0, (n % 4) as u8, 1], 80).into());
        let mut sleeping = Vec::new();
        for n in 0..idle {
            sleeping.push(connector.connect(&target(n)).await.unwrap());
        }
        let mut flow = connector.connect(&target(0)).await.unwrap();
        for _ in 0..requests {
            flow.write_all(&[b'q'; 100]).await.unwrap();
            let mut left = bulk.max(100);
            while left > 0 {
                left -= flow.read_with(|bytes| (bytes.len(), bytes.len())).await.unwrap();
            }
            if fresh {
                flow.finish();
                while flow.read_with(|bytes| (bytes.len(), bytes.len())).await.unwrap() > 0 {}
                flow = connector.connect(&target(0)).await.unwrap();
            }
        }
        finished.set(true);
        drop(sleeping);
    });
    let mut now = Duration::from_secs(1);
    while !done.get() {
        now += Duration::from_micros(50);
        client.ingress(now);
        client_tasks.run(100);
        client.egress(now);
        server_turn(&mut server, &server_tasks, now);
    }
    let accepted = server.count(net::Counter::Accepted);
    println!("{requests} requests, {accepted} connections, {idle} idle, clock {now:?}");
}
