//! WebSockets over in-memory flows: our server and client, raw peers, and a clock that is moved by hand.

use endpoints::http::client::{Client, ClientConfig};
use endpoints::http::{Server, ServerConfig};
use endpoints::websocket::{
    ClientOptions, CloseCode, ConnectFailed, Deflate, Error, Host, Limits, Message, Options,
    Refused, Socket,
};
use flow::ledger::Ledger;
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::task::Executor;
use flow::time::Timers;
use flow::{Connector, FlowExt, Target};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use web::{Reply, Request, Routes, Status};

const SECOND: Duration = Duration::from_secs(1);
/// What a flow holds in each direction: less than many messages.
const CAPACITY_BYTES: usize = 700;

/// A server with routes, a client, and what they run on.
struct Lab {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    ledger: Ledger,
    /// The server's host, and the client's.
    host: Host,
    clients: Host,
    client: Client<MemoryNetwork>,
}

fn target() -> Target {
    "web:80".parse().unwrap()
}

impl Lab {
    fn new(routes: impl FnOnce(&Host) -> Routes) -> Self {
        Self::with_ledger(Ledger::unbounded(), routes)
    }

    fn with_ledger(ledger: Ledger, routes: impl FnOnce(&Host) -> Routes) -> Self {
        let executor = Executor::new(|body| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| String::from("boom"))
        });
        let (spawner, timers) = (executor.spawner(), Timers::new());
        let count = Cell::new(0);
        let entropy = move |bytes: &mut [u8]| {
            for byte in bytes {
                count.set((count.get() + 1_u8) & 0x7f);
                *byte = count.get();
            }
        };
        let service = ledger.service("websocket", ledger.limit_bytes(), ledger.limit_bytes() / 4);
        let host = Host::new(&spawner, &timers, |_| unreachable!(), Some(service));
        let clients = Host::new(&spawner, &timers, entropy, None);
        let network = MemoryNetwork::new(CAPACITY_BYTES, 64);
        let server = Server::new(ServerConfig::default(), &spawner, &timers, routes(&host));
        let listener = network.listen(&target()).unwrap();
        spawner.spawn("listener", server.serve(listener));
        let client = Client::new(ClientConfig::default(), network.clone(), &spawner, &timers);
        Self { executor, timers, network, ledger, host, clients, client }
    }

    /// With one route, `/`.
    fn with_route<H>(options: Options, handler: H) -> Self
    where
        H: AsyncFn(Socket) -> Result<(), Error> + Clone + 'static,
    {
        Self::new(|host| route(host, options, handler))
    }

    fn settle(&self) {
        self.executor.run_until_stalled();
    }

    fn advance(&self, by: Duration) {
        self.timers.advance(self.timers.now() + by);
        self.settle();
    }

    /// Runs `work` until it waits for something that does not come; its value, if it is done.
    fn run<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> Option<T> {
        let value = Rc::new(Cell::new(None));
        let place = value.clone();
        self.executor.spawner().spawn("work", async move { place.set(Some(work.await)) });
        self.settle();
        value.take()
    }

    fn connect(&self, options: ClientOptions) -> Result<Socket, ConnectFailed> {
        let (clients, client) = (self.clients.clone(), self.client.clone());
        let limits = Limits { ping_interval: None, ..Limits::default() };
        let opening =
            async move { clients.connect(&client, &target(), "/", options, limits).await };
        self.run(opening).expect("an answer")
    }

    fn socket(&self) -> Socket {
        self.connect(ClientOptions::default()).unwrap()
    }

    /// A connection after its handshake, to say whatever a test wants to.
    fn raw(&self) -> MemoryFlow {
        let network = self.network.clone();
        let opening = async move {
            let mut flow = network.connect(&target()).await.unwrap();
            flow.write_all(HANDSHAKE).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                assert_eq!(flow.read(&mut byte).await, Ok(1), "{}", String::from_utf8_lossy(&head));
                head.push(byte[0]);
            }
            assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
            flow
        };
        self.run(opening).expect("an answer")
    }
}

const HANDSHAKE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: web\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn route<H>(host: &Host, options: Options, handler: H) -> Routes
where
    H: AsyncFn(Socket) -> Result<(), Error> + Clone + 'static,
{
    let host = host.clone();
    Routes::new().get("/", move |request: Request| {
        let (host, handler) = (host.clone(), handler.clone());
        async move { host.accept(&request, options, async move |socket| handler(socket).await) }
    })
}

async fn echo(mut socket: Socket) -> Result<(), Error> {
    while let Some(message) = socket.next().await? {
        socket.send(message).await?;
    }
    Ok(())
}

/// A masked frame, with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

/// All that comes until the connection ends, or nothing more does.
async fn read_all(flow: &mut MemoryFlow) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 1000]);
    while let Ok(count @ 1..) = flow.read(&mut buffer).await {
        all.extend_from_slice(&buffer[..count]);
    }
    all
}

#[test]
fn messages_come_back_compressed_or_not() {
    let deflate = Some(Deflate::default());
    for (server, client) in [(None, None), (deflate, None), (None, deflate), (deflate, deflate)] {
        let lab = Lab::with_route(Options { deflate: server, ..Options::default() }, echo);
        let mut socket =
            lab.connect(ClientOptions { deflate: client, ..ClientOptions::default() }).unwrap();
        let messages: Vec<Message> = vec![
            "".into(),
            "\u{20ac}".into(),
            vec![0xff, 0].into(),
            "long and longer ".repeat(20_000).into(),
            vec![7; 300_000].into(),
        ];
        let expected = messages.clone();
        let talk = async move {
            let mut answers = Vec::new();
            for message in messages {
                socket.send(message).await.unwrap();
                answers.push(socket.next().await.unwrap().unwrap());
            }
            socket.close(CloseCode::NORMAL, "");
            assert_eq!(socket.next().await, Ok(None));
            answers
        };
        assert_eq!(lab.run(talk), Some(expected));
        assert_eq!((lab.host.sockets(), lab.clients.sockets()), (0, 0));
        assert_eq!(lab.ledger.held_bytes(), 0);
    }
}

#[test]
fn a_subprotocol_is_agreed_and_known_on_both_sides() {
    let handler = async |socket: Socket| {
        assert_eq!(socket.protocol(), Some("echo"));
        echo(socket).await
    };
    let lab = Lab::with_route(Options { protocols: &["echo"], ..Options::default() }, handler);
    let options = ClientOptions { protocols: &["other", "echo"], ..ClientOptions::default() };
    assert_eq!(lab.connect(options).unwrap().protocol(), Some("echo"));
}

#[test]
fn who_asks_for_something_else_is_refused() {
    let lab = Lab::with_route(Options::default(), echo);
    let options =
        ClientOptions { origin: Some("https://evil.example"), ..ClientOptions::default() };
    let refused = lab.connect(options).err();
    assert_eq!(refused, Some(ConnectFailed::Refused(Refused::Status(Status::FORBIDDEN))));
    let network = lab.network.clone();
    let get = async move {
        let mut flow = network.connect(&target()).await.unwrap();
        flow.write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n").await.unwrap();
        flow.finish_writing();
        String::from_utf8(read_all(&mut flow).await).unwrap()
    };
    let answer = lab.run(get).unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("\r\nUpgrade: websocket\r\n"), "{answer}");
    assert!(answer.contains("\r\nConnection: ") && answer.contains("upgrade\r\n"), "{answer}");
}

trait FinishWriting {
    fn finish_writing(&mut self);
}

impl FinishWriting for MemoryFlow {
    fn finish_writing(&mut self) {
        flow::Flow::finish(self);
    }
}

/// The close code that a client gets from this handler.
fn code_of<H>(handler: H) -> u16
where
    H: AsyncFn(Socket) -> Result<(), Error> + Clone + 'static,
{
    let lab = Lab::with_route(Options::default(), handler);
    let mut flow = lab.raw();
    let talk = async move {
        flow.write_all(&frame(0x81, b"go")).await.unwrap();
        let (mut wire, mut buffer) = (Vec::new(), [0; 100]);
        while wire.len() < 4 {
            let count = flow.read(&mut buffer).await.unwrap();
            assert!(count > 0, "it ended after {wire:x?}");
            wire.extend_from_slice(&buffer[..count]);
        }
        flow.write_all(&frame(0x88, &wire[2..4])).await.unwrap();
        assert!(read_all(&mut flow).await.is_empty());
        assert_eq!(wire[..2], [0x88, 2]);
        u16::from_be_bytes([wire[2], wire[3]])
    };
    let code = lab.run(talk).unwrap();
    assert_eq!((lab.host.sockets(), lab.ledger.held_bytes()), (0, 0));
    code
}

#[test]
fn how_a_handler_ends_says_the_close_code() {
    assert_eq!(code_of(async |_| Ok(())), 1000);
    assert_eq!(code_of(async |mut socket| socket.next().await.map(drop)), 1000);
    assert_eq!(code_of(async |_| Err(Error::Closed)), 1011);
    assert_eq!(code_of(async |_| panic!("at once")), 1011);
    let later = async |mut socket: Socket| {
        socket.next().await?;
        panic!("later")
    };
    assert_eq!(code_of(later), 1011);
    let own = async |socket: Socket| {
        socket.close(CloseCode::new(4001).unwrap(), "");
        Ok(())
    };
    assert_eq!(code_of(own), 4001);
    let forgets = async |socket: Socket| {
        drop(socket);
        std::future::pending().await
    };
    assert_eq!(code_of(forgets), 1000);
}

#[test]
fn a_panic_ends_one_socket_and_no_other() {
    let handler = async |mut socket: Socket| {
        while let Some(message) = socket.next().await? {
            assert_ne!(message, "panic".into());
            socket.send(message).await?;
        }
        Ok(())
    };
    let lab = Lab::with_route(Options::default(), handler);
    let (mut one, mut other) = (lab.socket(), lab.socket());
    let talk = async move {
        one.send("panic").await.unwrap();
        assert_eq!(one.next().await, Ok(None));
        other.send("still there").await.unwrap();
        other.next().await
    };
    assert_eq!(lab.run(talk), Some(Ok(Some("still there".into()))));
}

/// A handler learns of its peer's end, and goes on as long as it likes.
#[test]
fn a_handler_goes_on_after_the_peer_has_gone() {
    thread_local! {
        static STEPS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }
    let say = |text: String| STEPS.with_borrow_mut(|steps| steps.push(text));
    let timers = Timers::new();
    let waiting = timers.clone();
    let handler = async move |mut socket: Socket| {
        say(format!("{:?}", socket.next().await));
        waiting.sleep(SECOND).await;
        say(format!("{:?}", socket.send("x").await));
        say(format!("{:?}", socket.next().await));
        panic!("in the end");
    };
    let lab = Lab::with_route(Options::default(), handler);
    drop(lab.raw());
    lab.settle();
    assert_eq!(lab.host.sockets(), 0);
    timers.advance(2 * SECOND);
    lab.settle();
    let broken = "Err(Flow(Reset))";
    STEPS.with_borrow(|steps| assert_eq!(steps[..], [broken, broken, broken]));
}

#[test]
fn draining_closes_sockets_and_refuses_new_ones() {
    let lab = Lab::with_route(Options::default(), echo);
    let mut flow = lab.raw();
    lab.host.drain();
    lab.settle();
    let talk = async move {
        let mut close = [0; 4];
        flow.read(&mut close).await.unwrap();
        flow.write_all(&frame(0x88, &close[2..])).await.unwrap();
        (close, read_all(&mut flow).await)
    };
    assert_eq!(lab.run(talk), Some(([0x88, 2, 0x03, 0xe9], Vec::new())));
    assert_eq!(lab.host.sockets(), 0);
    let refused = lab.connect(ClientOptions::default()).err();
    let unavailable = Refused::Status(Status::SERVICE_UNAVAILABLE);
    assert_eq!(refused, Some(ConnectFailed::Refused(unavailable)));
}

#[test]
fn a_silent_peer_is_pinged_and_then_left() {
    let lab = Lab::with_route(Options::default(), echo);
    let mut flow = lab.raw();
    lab.advance(31 * SECOND);
    let ping = async move {
        let mut ping = [0; 2];
        flow.read(&mut ping).await.unwrap();
        (ping, flow)
    };
    let (ping, flow) = lab.run(ping).unwrap();
    assert_eq!(ping, [0x89, 0]);
    let mut answering = flow;
    let answer = async move {
        answering.write_all(&frame(0x8a, b"")).await.unwrap();
        answering
    };
    let _flow = lab.run(answer).unwrap();
    lab.advance(29 * SECOND);
    assert_eq!(lab.host.sockets(), 1);
    lab.advance(2 * SECOND);
    lab.advance(21 * SECOND);
    assert_eq!((lab.host.sockets(), lab.ledger.held_bytes()), (0, 0));
}

/// Neither a handler that takes nothing nor a peer that takes nothing makes the other side's messages pile up.
#[test]
fn backpressure_goes_both_ways() {
    let lab = Lab::with_route(Options::default(), async |socket: Socket| {
        let _kept = socket;
        std::future::pending().await
    });
    let sent = Rc::new(Cell::new(0));
    let (count, socket) = (sent.clone(), lab.socket());
    lab.run(async move {
        loop {
            socket.send(vec![1; 10_000]).await.unwrap();
            count.set(count.get() + 1);
        }
    });
    assert!(sent.get() < 20, "{} messages were taken", sent.get());
    assert!(lab.ledger.held_bytes() < 200_000, "{} bytes", lab.ledger.held_bytes());

    let sent = Rc::new(Cell::new(0));
    let count = sent.clone();
    let lab = Lab::with_route(Options::default(), async move |socket: Socket| {
        loop {
            socket.send(vec![1; 10_000]).await?;
            count.set(count.get() + 1);
        }
    });
    let mut flow = lab.raw();
    lab.settle();
    let before = sent.get();
    assert!(before < 20, "{before} messages were taken");
    assert!(lab.ledger.held_bytes() < 200_000);
    // It goes on where the peer takes something.
    lab.run(async move {
        for _ in 0..200 {
            flow.read(&mut [0; 500]).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    assert!(sent.get() > before);
}

/// RFC 6455 section 5.5.2: a peer that sends pings and takes nothing is not read any more, and is cut off in the end.
#[test]
fn a_flood_of_pings_of_a_peer_that_reads_nothing_is_bounded() {
    let lab = Lab::with_route(Options::default(), echo);
    let mut flow = lab.raw();
    let sent = Rc::new(Cell::new(0_usize));
    let count = sent.clone();
    lab.run(async move {
        while flow.write_all(&frame(0x89, &[b'p'; 125])).await.is_ok() {
            count.set(count.get() + 1);
        }
    });
    assert!(sent.get() * 131 < 2 * CAPACITY_BYTES + 4096, "{} pings", sent.get());
    assert!(lab.ledger.held_bytes() < 8192, "{} bytes", lab.ledger.held_bytes());
    lab.advance(61 * SECOND);
    assert_eq!((lab.host.sockets(), lab.ledger.held_bytes()), (0, 0));
}

#[test]
fn the_halves_of_a_socket_wait_for_themselves() {
    let lab = Lab::new(|host| {
        let handler = async |socket: Socket| {
            let (mut reader, writer) = socket.split();
            let other = writer.clone();
            let send = async {
                writer.send("unasked").await?;
                writer.closed().await;
                Ok(())
            };
            let receive = async {
                while let Some(message) = reader.next().await? {
                    other.send(message).await?;
                }
                Ok(())
            };
            let (mut send, mut receive) = (std::pin::pin!(send), std::pin::pin!(receive));
            let (mut sent, mut received) = (None, None);
            std::future::poll_fn(|cx| {
                use std::task::Poll;
                if sent.is_none()
                    && let Poll::Ready(how) = send.as_mut().poll(cx)
                {
                    sent = Some(how);
                }
                if received.is_none()
                    && let Poll::Ready(how) = receive.as_mut().poll(cx)
                {
                    received = Some(how);
                }
                match (sent, received) {
                    (Some(sent), Some(received)) => Poll::Ready(sent.and(received)),
                    _ => Poll::Pending,
                }
            })
            .await
        };
        route(host, Options::default(), handler)
    });
    let mut socket = lab.socket();
    let talk = async move {
        assert_eq!(socket.next().await, Ok(Some("unasked".into())));
        socket.send("asked").await.unwrap();
        assert_eq!(socket.next().await, Ok(Some("asked".into())));
        socket.close(CloseCode::NORMAL, "");
        socket.next().await
    };
    assert_eq!(lab.run(talk), Some(Ok(None)));
    assert_eq!(lab.host.sockets(), 0);
}

/// A socket that another task uses, as a web session does: messages wake that task, and what it sends the carrier.
#[test]
fn a_socket_is_used_by_another_task_than_the_connections() {
    let sockets = Rc::new(RefCell::new(Vec::new()));
    let place = sockets.clone();
    let lab = Lab::new(move |host| {
        let host = host.clone();
        Routes::new().get("/", move |request: Request| {
            let (host, place) = (host.clone(), place.clone());
            async move {
                match host.negotiate(&request, &Options::default()) {
                    Err(refusal) => Reply::from(refusal),
                    Ok((response, agreed)) => Reply::upgrade(response, move |flow| {
                        let (socket, driving) = host.open(flow, agreed, Limits::default());
                        place.borrow_mut().push(socket);
                        driving
                    }),
                }
            }
        })
    });
    let mut socket = lab.socket();
    let theirs = sockets.borrow_mut().pop().unwrap();
    lab.executor.spawner().spawn("other", async move { echo(theirs).await.unwrap() });
    lab.settle();
    let talk = async move {
        for n in 0..100 {
            socket.send(format!("{n}")).await.unwrap();
            assert_eq!(socket.next().await, Ok(Some(format!("{n}").into())));
        }
        // More than its flow and our queues hold, while it sends as much back.
        for _ in 0..20 {
            socket.send(vec![1; 20_000]).await.unwrap();
            assert!(socket.next().await.unwrap().is_some());
        }
        socket.close(CloseCode::NORMAL, "");
        socket.next().await
    };
    assert_eq!(lab.run(talk), Some(Ok(None)));

    // Whoever forgets it, or panics, does not close it by accident.
    let mut flow = lab.raw();
    let theirs = sockets.borrow_mut().pop().unwrap();
    drop(theirs);
    let close = async move {
        let mut close = [0; 4];
        flow.read(&mut close).await.unwrap();
        close
    };
    assert_eq!(lab.run(close), Some([0x88, 2, 0x03, 0xf3]));
}

#[test]
fn memory_is_weighed_and_while_it_is_short_sockets_are_refused() {
    let lab = Lab::with_ledger(Ledger::new(1 << 20), |host| route(host, Options::default(), echo));
    let flow = lab.raw();
    let idle = lab.ledger.held_bytes();
    assert_eq!(idle, 2048);
    // A message that is not whole: of what the peer's share allows.
    let mut hog = flow;
    let reached = Rc::new(Cell::new(0_usize));
    let count = reached.clone();
    lab.run(async move {
        let length = (90_000_u64).to_be_bytes();
        let head = [&[0x82, 0xff][..], &length, &[0; 4]].concat();
        hog.write_all(&head).await.unwrap();
        while count.get() < 89_000 && hog.write_all(&[0; 1000]).await.is_ok() {
            count.set(count.get() + 1000);
        }
        std::future::pending::<()>().await;
    });
    assert_eq!(reached.get(), 89_000);
    assert!(lab.ledger.held_bytes() > idle + 89_000 && lab.ledger.held_bytes() < idle + 200_000);
    // Longer than the ledger lets a message be: 3/8 of a peer's quarter.
    let mut long = lab.raw();
    let talk = async move {
        let length = (100_000_u64).to_be_bytes();
        long.write_all(&[&[0x82, 0xff][..], &length, &[0; 4]].concat()).await.unwrap();
        let mut close = [0; 4];
        long.read(&mut close).await.unwrap();
        (close[0], u16::from_be_bytes([close[2], close[3]]))
    };
    assert_eq!(lab.run(talk), Some((0x88, 1009)));
    let service = lab.ledger.service("other", usize::MAX, usize::MAX);
    let account = service.account();
    account.set((1 << 20) * 9 / 10);
    let refused = lab.connect(ClientOptions::default()).err();
    let unavailable = Refused::Status(Status::SERVICE_UNAVAILABLE);
    assert_eq!(refused, Some(ConnectFailed::Refused(unavailable)));
    account.set(0);
    assert!(lab.connect(ClientOptions::default()).is_ok());
}

/// What is fed byte by byte, with pauses, comes to the same.
#[test]
fn frames_in_any_pieces() {
    let lab = Lab::with_route(Options::default(), echo);
    let mut flow = lab.raw();
    let input = [
        frame(0x01, b"he"),
        frame(0x89, b"ping"),
        frame(0x80, b"llo"),
        frame(0x82, b""),
        frame(0x88, b"\x03\xe8"),
    ];
    let expected =
        [&b"\x8a\x04ping"[..], b"\x81\x05hello", b"\x82\x00", b"\x88\x02\x03\xe8"].concat();
    let talk = async move {
        for byte in input.concat() {
            flow.write_all(&[byte]).await.unwrap();
            flow.drained().await.unwrap();
        }
        read_all(&mut flow).await
    };
    assert_eq!(lab.run(talk), Some(expected));
}
