//! TLS over flows in memory.

use super::*;
use crate::http::client::{Client, ClientConfig, ClientError};
use crate::http::{Server, ServerConfig};
use ::flow::ledger::Ledger;
use ::flow::memory::{MemoryFlow, MemoryListener, MemoryNetwork};
use ::flow::task::{Executor, TaskHandle, block_on};
use ::flow::time::Timers;
use ::flow::{ConnectError, Connector, Flow, FlowError, FlowExt, Listener, Target};
use ::tls::{ClientContext, ClientOptions, Clock, Identity, ServerContext, ServerOptions, Trust};
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use std::rc::Rc;
use std::string::String;
use std::vec;
use std::vec::Vec;
use web::{Request, Response, Status};

const SINCE_1970: Duration = Duration::from_secs(1_800_000_000);

/// One network, with a server's context and a client's that trusts it.
struct Lab {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    server: ServerContext,
    client: ClientContext,
    ledger: Ledger,
}

fn target() -> Target {
    "tls://web.example:443".parse().unwrap()
}

impl Lab {
    /// Whose flows hold so many bytes in each direction.
    fn new(capacity_bytes: usize) -> Self {
        let identity = Identity::self_made(&["web.example"]).unwrap();
        let trust = Trust::fingerprints([identity.fingerprint()]);
        let clock = Clock::new(SINCE_1970);
        let options = ServerOptions::new(vec![identity], clock.clone());
        let catch = |body: &mut dyn FnMut()| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| String::from("boom"))
        };
        Self {
            executor: Executor::new(catch),
            timers: Timers::new(),
            network: MemoryNetwork::new(capacity_bytes, 1000),
            server: ServerContext::new(options).unwrap(),
            client: ClientContext::new(ClientOptions::new(trust, clock)).unwrap(),
            ledger: Ledger::new(1 << 20),
        }
    }

    fn config(&self) -> TlsConfig {
        let ledger = Some(self.ledger.service("https", 1 << 20, 1 << 20));
        TlsConfig { handshakes_max: 8, ledger, ..TlsConfig::default() }
    }

    fn listen(&self) -> TlsListener<MemoryListener> {
        let listener = self.network.listen(&"web.example:443".parse().unwrap()).unwrap();
        let spawner = self.executor.spawner();
        let (context, config) = (self.server.clone(), self.config());
        TlsListener::new("https", listener, context, config, &spawner, &self.timers)
    }

    fn connector(&self) -> TlsConnector<MemoryNetwork> {
        let (network, context) = (self.network.clone(), self.client.clone());
        TlsConnector::new(network, context, TlsConfig::default(), &self.timers)
    }

    /// A flow of each side.
    fn pair(&self) -> (TlsFlow<MemoryFlow>, TlsFlow<MemoryFlow>) {
        let mut listener = self.listen();
        let accepted =
            self.spawn(async move { poll_fn(|cx| listener.poll_accept(cx)).await.unwrap() });
        let connector = self.connector();
        let connected = self.spawn(async move { connector.connect(&target()).await.unwrap() });
        self.run();
        (block_on(connected).unwrap(), block_on(accepted).unwrap())
    }

    fn spawn<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> TaskHandle<T> {
        self.executor.spawner().spawn_joinable("test", work)
    }

    fn run(&self) {
        self.executor.run_until_stalled();
    }
}

/// All that comes up to the end, `piece` bytes at most at a time, or why there is none.
async fn read_all(flow: &mut impl Flow, piece: usize) -> (Vec<u8>, Result<(), FlowError>) {
    let (mut seen, mut buffer) = (Vec::new(), vec![0; piece]);
    loop {
        match flow.read(&mut buffer).await {
            Ok(0) => return (seen, Ok(())),
            Ok(count) => seen.extend_from_slice(&buffer[..count]),
            Err(error) => return (seen, Err(error)),
        }
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn bytes_go_both_ways_whatever_the_room_below_and_the_pieces_above() {
    for capacity_bytes in [1, 2, 5, 29, 30, 31, 534, 535, 700, 4096, 40_000] {
        let lab = Lab::new(capacity_bytes);
        let (mut here, mut there) = lab.pair();
        let sent = pattern(if capacity_bytes < 100 { 3000 } else { 70_000 });
        let (data, answer) = (sent.clone(), sent.clone());
        let client = lab.spawn(async move {
            here.write_all(&data).await.unwrap();
            here.finish();
            poll_fn(|cx| here.poll_flushed(cx)).await.unwrap();
            let answer = read_all(&mut here, 777).await;
            // Kept until all is sent.
            (answer, here)
        });
        let server = lab.spawn(async move {
            let question = read_all(&mut there, 1 + capacity_bytes % 1000).await;
            there.write_all(&answer).await.unwrap();
            there.finish();
            poll_fn(|cx| there.poll_flushed(cx)).await.unwrap();
            (question, there)
        });
        lab.run();
        let ((question, how), _there) = block_on(server).unwrap();
        assert!(question == sent && how.is_ok(), "{capacity_bytes}: {} {how:?}", question.len());
        let ((answer, how), _here) = block_on(client).unwrap();
        assert!(answer == sent && how.is_ok(), "{capacity_bytes}: {} {how:?}", answer.len());
    }
}

#[test]
fn data_is_shown_where_it_lies_and_what_is_not_consumed_again() {
    let lab = Lab::new(40_000);
    let (mut here, mut there) = lab.pair();
    block_on(async {
        here.write_all(b"one two").await.unwrap();
        here.write_all(b"three").await.unwrap();
        // Changed where it lies, and left there.
        let shown = there.read_with(|bytes| {
            bytes[..3].copy_from_slice(b"ONE");
            (0, bytes.to_vec())
        });
        assert_eq!(shown.await.unwrap(), b"ONE two");
        assert_eq!(there.read_with(|bytes| (4, bytes.to_vec())).await.unwrap(), b"ONE two");
        assert_eq!(there.read_with(|bytes| (3, bytes.to_vec())).await.unwrap(), b"two");
        assert_eq!(there.read_with(|bytes| (5, bytes.to_vec())).await.unwrap(), b"three");
        assert_eq!(there.buffer_bytes(), 0);
    });
}

#[test]
fn an_end_without_close_notify_is_a_reset_and_one_with_it_an_end() {
    let lab = Lab::new(4096);
    for is_told in [true, false] {
        let (mut here, mut there) = lab.pair();
        block_on(async {
            here.write_all(b"last").await.unwrap();
            match is_told {
                true => here.finish(),
                // As somebody on the way does, who cuts the connection.
                false => here.below().finish(),
            }
            let (seen, how) = read_all(&mut there, 100).await;
            let expected = if is_told { Ok(()) } else { Err(FlowError::Reset) };
            assert_eq!((&seen[..], how), (&b"last"[..], expected));
            // The other direction is open still after an end.
            assert_eq!(there.write_all(b"x").await.is_ok(), is_told);
        });
    }
}

#[test]
fn what_is_written_after_the_end_is_refused_and_the_end_told_once() {
    let lab = Lab::new(4096);
    let (mut here, mut there) = lab.pair();
    block_on(async {
        here.finish();
        here.finish();
        assert_eq!(here.write_all(b"x").await, Err(FlowError::Closed));
        assert_eq!(read_all(&mut there, 100).await, (vec![], Ok(())));
        // Read again, it is the end again.
        assert_eq!(read_all(&mut there, 100).await, (vec![], Ok(())));
    });
}

#[test]
fn a_peer_that_breaks_the_protocol_gets_an_alert_and_the_reader_a_reset() {
    let lab = Lab::new(4096);
    let (mut here, mut there) = lab.pair();
    block_on(async {
        here.below().write_all(&[23, 3, 3, 0, 20]).await.unwrap();
        here.below().write_all(&[7; 20]).await.unwrap();
        assert_eq!(read_all(&mut there, 100).await, (vec![], Err(FlowError::Reset)));
        assert_eq!(there.write_all(b"x").await, Err(FlowError::Reset));
        // bad_record_mac, on which the reader says the same.
        assert_eq!(read_all(&mut here, 100).await, (vec![], Err(FlowError::Reset)));
        // And then the end below.
        assert_eq!(here.below().read(&mut [0; 10]).await, Ok(0));
    });
}

#[test]
fn an_abort_resets_the_flow_below() {
    let lab = Lab::new(4096);
    let (mut here, mut there) = lab.pair();
    here.abort();
    block_on(async {
        assert_eq!(here.read(&mut [0; 10]).await, Err(FlowError::Closed));
        assert_eq!(read_all(&mut there, 100).await, (vec![], Err(FlowError::Reset)));
    });
}

#[test]
fn a_flow_that_is_dropped_without_an_end_is_not_taken_for_ended() {
    let lab = Lab::new(4096);
    let (here, mut there) = lab.pair();
    drop(here);
    assert_eq!(block_on(read_all(&mut there, 100)), (vec![], Err(FlowError::Reset)));
}

#[test]
fn an_idle_connection_holds_no_buffers() {
    let lab = Lab::new(700);
    let (mut here, mut there) = lab.pair();
    let sent = pattern(20_000);
    let data = sent.clone();
    let writing = lab.spawn(async move {
        here.write_all(&data).await.unwrap();
        poll_fn(|cx| here.poll_flushed(cx)).await.unwrap();
        here
    });
    let reading = lab.spawn(async move {
        let mut seen = 0;
        while seen < 20_000 {
            seen += there.read(&mut [0; 500]).await.unwrap();
        }
        there
    });
    lab.run();
    let (here, there) = (block_on(writing).unwrap(), block_on(reading).unwrap());
    for flow in [&here, &there] {
        assert_eq!(flow.buffer_bytes(), 0);
    }
    // One of them is weighed: its keys.
    assert_eq!(lab.ledger.held_bytes(), size_of::<::tls::Session>());
    drop((here, there));
    assert_eq!(lab.ledger.held_bytes(), 0);
}

#[test]
fn first_records_are_small_and_later_ones_large() {
    let lab = Lab::new(200_000);
    let (mut here, mut there) = lab.pair();
    block_on(async {
        here.write_all(&pattern(60_000)).await.unwrap();
        let mut sizes = Vec::new();
        let mut left = 60_000;
        while left > 0 {
            let count = there.read_with(|bytes| (bytes.len(), bytes.len())).await.unwrap();
            sizes.push(count);
            left -= count;
        }
        assert_eq!(sizes[..5], [4096, 4096, 4096, 4096, 16_384]);
        // The peer's turn over, it begins again.
        there.write_all(b"more").await.unwrap();
        here.read(&mut [0; 10]).await.unwrap();
        here.write_all(&pattern(5000)).await.unwrap();
        assert_eq!(there.read_with(|bytes| (0, bytes.len())).await, Ok(4096));
    });
}

#[test]
fn a_silent_stranger_is_given_up_in_time_and_holds_nobody_up() {
    let lab = Lab::new(4096);
    let mut listener = lab.listen();
    let accepted = Rc::new(Cell::new(0));
    let count = accepted.clone();
    lab.spawn(async move {
        loop {
            poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
            count.set(count.get() + 1);
        }
    });
    let network = lab.network.clone();
    let strangers = Rc::new(RefCell::new(Vec::new()));
    let seen = strangers.clone();
    lab.spawn(async move {
        // More than there may be at once.
        for _ in 0..20 {
            let flow = network.connect(&"web.example:443".parse().unwrap()).await.unwrap();
            seen.borrow_mut().push(flow);
        }
    });
    lab.run();
    let at_work = || {
        let tasks = lab.executor.spawner().tasks();
        tasks.iter().filter(|task| task.name == "TLS handshake").count()
    };
    assert_eq!(at_work(), 8);
    let connector = lab.connector();
    let connected = lab.spawn(async move { connector.connect(&target()).await });
    lab.run();
    let connected = block_on(connected).unwrap();
    assert_eq!((connected.is_ok(), accepted.get()), (true, 1));
    assert_eq!(at_work(), 7);
    lab.timers.advance(Duration::from_secs(9));
    lab.run();
    assert_eq!(at_work(), 7);
    lab.timers.advance(Duration::from_secs(11));
    lab.run();
    assert_eq!(at_work(), 0);
    drop(strangers);
}

#[test]
fn what_is_not_tls_ends_and_a_bad_hello_gets_its_alert() {
    for (sent, expected) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], &[][..]),
        (&[22, 3, 1, 0xff, 0xff], &[21, 3, 3, 0, 2, 2, 22]),
    ] {
        let lab = Lab::new(4096);
        let mut listener = lab.listen();
        lab.spawn(async move { poll_fn(|cx| listener.poll_accept(cx)).await.map(drop) });
        let network = lab.network.clone();
        let stranger = lab.spawn(async move {
            let mut flow = network.connect(&"web.example:443".parse().unwrap()).await.unwrap();
            flow.write_all(sent).await.unwrap();
            read_all(&mut flow, 100).await
        });
        lab.run();
        assert_eq!(block_on(stranger).unwrap(), (expected.to_vec(), Ok(())));
    }
}

#[test]
fn handshakes_are_weighed_and_refused_while_memory_is_short() {
    let lab = Lab::new(4096);
    let _others = lab.ledger.service("others", 1 << 20, 1 << 20).account();
    _others.set((1 << 20) - 10);
    let mut listener = lab.listen();
    lab.spawn(async move { poll_fn(|cx| listener.poll_accept(cx)).await.map(drop) });
    let connector = lab.connector();
    let connected = lab.spawn(async move { connector.connect(&target()).await.err() });
    lab.run();
    assert_eq!(block_on(connected), Ok(Some(ConnectError::Untrusted)));
}

async fn echo(mut request: Request) -> Response {
    match request.body().collect(1 << 20).await {
        Ok(body) => Response::ok("text/plain", body),
        Err(_) => Response::plain(Status::BAD_REQUEST),
    }
}

#[test]
fn a_client_s_pool_keeps_tls_connections() {
    let lab = Lab::new(700);
    let spawner = lab.executor.spawner();
    let server = Server::new(ServerConfig::default(), &spawner, &lab.timers, echo);
    spawner.spawn("listener", server.clone().serve(lab.listen()));
    let client = Client::new(ClientConfig::default(), lab.connector(), &spawner, &lab.timers);
    let asking = client.clone();
    let asked = lab.spawn(async move {
        for _ in 0..3 {
            let request = crate::http::client::Request::new(web::Method::Post, "web.example", "/")?;
            let request = request.with_content("text/plain", pattern(30_000));
            let mut answer = asking.send(&target(), request).await?;
            assert_eq!(answer.collect(1 << 20).await?, pattern(30_000));
        }
        Ok::<_, ClientError>(())
    });
    lab.run();
    assert_eq!(block_on(asked), Ok(Ok(())));
    assert_eq!((server.requests(), server.connections()), (3, 1));
    drop(client);
    lab.run();
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_server_that_is_not_who_it_should_be_is_refused() {
    let lab = Lab::new(4096);
    let mut listener = lab.listen();
    lab.spawn(async move { poll_fn(|cx| listener.poll_accept(cx)).await.map(drop) });
    let stranger = Lab::new(1);
    let connector = TlsConnector::new(
        lab.network.clone(),
        stranger.client.clone(),
        TlsConfig::default(),
        &lab.timers,
    );
    let connected = lab.spawn(async move { connector.connect(&target()).await.err() });
    lab.run();
    assert_eq!(block_on(connected), Ok(Some(ConnectError::Untrusted)));
}
