//! ZeroMQ over WebSockets, over in-memory flows: our sockets on both sides, and a raw peer.

use endpoints::http::client::{Client, ClientConfig};
use endpoints::http::{Server, ServerConfig};
use endpoints::websocket::{
    self, ClientOptions, ConnectFailed, Message as WebMessage, Origins, Refused, Socket,
};
use endpoints::zmq::{
    Authority, Bind, Connect, CurveClient, CurveServer, Host, Message, Options, PLAIN_SUBPROTOCOL,
    Security, SocketType, WebSocketConnector, WebSockets, ZmqSocket, public_key,
};
use flow::Target;
use flow::memory::MemoryNetwork;
use flow::task::Executor;
use flow::time::Timers;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use web::{Request, Routes, Status};

/// A socket at a path of a web server, and what a client needs.
struct Lab {
    executor: Executor,
    timers: Timers,
    host: Host,
    server: ZmqSocket,
    clients: websocket::Host,
    client: Client<MemoryNetwork>,
}

fn target() -> Target {
    "web:80".parse().unwrap()
}

struct Door;

impl Authority for Door {
    fn admits_password(&self, username: &[u8], password: &[u8]) -> bool {
        (username, password) == (b"ada", b"1815")
    }

    fn admits_key(&self, key: &[u8; 32]) -> bool {
        *key == public_key(&[7; 32])
    }
}

impl Lab {
    fn new(socket_type: SocketType, security: Security) -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let (spawner, timers) = (executor.spawner(), Timers::new());
        let seed = Cell::new(1_u8);
        let entropy = Rc::new(move |bytes: &mut [u8]| {
            for byte in bytes {
                seed.set(seed.get().wrapping_mul(13).wrapping_add(7));
                *byte = seed.get();
            }
        });
        let host = Host { spawner: spawner.clone(), timers: timers.clone(), entropy, ledger: None };
        let mut options = Options::new(socket_type);
        options.config.security = security;
        let sockets = websocket::Host::new(&spawner, &timers, |_| unreachable!(), None);
        let doors = WebSockets::new(&sockets, &options.config, Origins::SameHost);
        let server = ZmqSocket::new(&host, options);
        server.attach(Bind(doors.listener()));
        let routes = Routes::new().get("/zmq", move |request: Request| {
            let reply = doors.accept(&request);
            async move { reply }
        });
        let network = MemoryNetwork::new(4096, 64);
        let listener = network.listen(&target()).unwrap();
        let web = Server::new(ServerConfig::default(), &spawner, &timers, routes);
        spawner.spawn("listener", web.serve(listener));
        let client = Client::new(ClientConfig::default(), network, &spawner, &timers);
        let clients = websocket::Host::new(&spawner, &timers, |bytes| bytes.fill(7), None);
        Self { executor, timers, host, server, clients, client }
    }

    fn socket(&self, socket_type: SocketType, security: Security) -> ZmqSocket {
        let mut options = Options::new(socket_type);
        options.config.security = security;
        let config = options.config.clone();
        let connector = WebSocketConnector::new(&self.clients, &self.client, "/zmq", &config);
        let socket = ZmqSocket::new(&self.host, options);
        socket.attach(Connect::new(connector, target()));
        socket
    }

    /// What comes of it, at once or after reconnections.
    fn block_on<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        let done = Rc::new(RefCell::new(None));
        let slot = done.clone();
        self.executor.spawner().spawn("test", async move {
            let value = future.await;
            slot.replace(Some(value));
        });
        for _ in 0..100 {
            self.executor.run_until_stalled();
            if let Some(value) = done.take() {
                return value;
            }
            self.timers.advance(self.timers.now() + Duration::from_millis(100));
        }
        panic!("it goes on for ever");
    }

    fn raw(&self, options: ClientOptions) -> Result<Socket, ConnectFailed> {
        let (clients, client) = (self.clients.clone(), self.client.clone());
        self.block_on(async move {
            clients.connect(&client, &target(), "/zmq", options, websocket::Limits::default()).await
        })
    }
}

#[test]
fn every_mechanism_carries_requests_and_replies() {
    let keys = CurveClient { server_public_key: public_key(&[9; 32]), secret_key: [7; 32] };
    let server_keys = CurveServer { secret_key: [9; 32], authority: Arc::new(Door) };
    let (username, password) = ("ada".into(), "1815".into());
    for (client, server) in [
        (Security::Null, Security::Null),
        (Security::PlainClient { username, password }, Security::PlainServer(Arc::new(Door))),
        (Security::CurveClient(keys), Security::CurveServer(server_keys)),
    ] {
        let lab = Lab::new(SocketType::Rep, server);
        let req = lab.socket(SocketType::Req, client.clone());
        let server = lab.server.clone();
        for length in [0, 1, 300, 200_000] {
            let (req, server) = (req.clone(), server.clone());
            let (asked, answered) = lab.block_on(async move {
                req.send(vec![3; length]).await.unwrap();
                let asked = server.recv().await.unwrap();
                server.send(vec![4; length + 1]).await.unwrap();
                (asked, req.recv().await.unwrap())
            });
            assert!(*asked.last() == vec![3; length], "{client:?} {length}");
            assert!(*answered.last() == vec![4; length + 1], "{client:?} {length}");
        }
    }
}

#[test]
fn a_wrong_password_gets_nowhere() {
    let lab = Lab::new(SocketType::Rep, Security::PlainServer(Arc::new(Door)));
    let (username, password) = ("ada".into(), "1816".into());
    let req = lab.socket(SocketType::Req, Security::PlainClient { username, password });
    for _ in 0..20 {
        lab.executor.run_until_stalled();
        lab.timers.advance(lab.timers.now() + Duration::from_secs(1));
    }
    assert_eq!((req.ready_peers(), lab.server.ready_peers()), (0, 0));
}

#[test]
fn subscribers_hear_what_they_asked_for() {
    let lab = Lab::new(SocketType::Pub, Security::Null);
    let sub = lab.socket(SocketType::Sub, Security::Null);
    sub.subscribe("b");
    let (server, hearing) = (lab.server.clone(), sub.clone());
    let timers = lab.timers.clone();
    let heard = lab.block_on(async move {
        timers.sleep(Duration::from_millis(500)).await;
        for topic in ["a1", "b1", "b2"] {
            server.send(topic).await.unwrap();
        }
        [hearing.recv().await.unwrap(), hearing.recv().await.unwrap()]
    });
    assert_eq!(heard.map(|message| message.last().to_vec()), [b"b1", b"b2"]);
}

#[test]
fn rfc45_a_page_sends_its_identity_and_then_messages() {
    let lab = Lab::new(SocketType::Router, Security::Null);
    let options = ClientOptions { protocols: &[PLAIN_SUBPROTOCOL], ..ClientOptions::default() };
    let mut page = lab.raw(options).unwrap();
    assert_eq!(page.protocol(), Some(PLAIN_SUBPROTOCOL));
    let server = lab.server.clone();
    let (received, answers) = lab.block_on(async move {
        for message in [&b"\0page"[..], b"\x01", b"\0hello"] {
            page.send(WebMessage::Binary(message.into())).await.unwrap();
        }
        let received = server.recv().await.unwrap();
        let mut answer = Message::new("page");
        answer.push("");
        answer.push("welcome");
        server.send(answer).await.unwrap();
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(page.next().await.unwrap());
        }
        (received, answers)
    });
    assert_eq!((received.part_count(), &received.last()[..]), (3, &b"hello"[..]));
    let expected = [&b"\0"[..], b"\x01", b"\0welcome"];
    assert_eq!(answers, expected.map(|bytes| Some(WebMessage::Binary(bytes.into()))));
}

#[test]
fn what_is_no_zws_is_refused() {
    let lab = Lab::new(SocketType::Rep, Security::Null);
    let refused = |options| match lab.raw(options) {
        Err(ConnectFailed::Refused(Refused::Status(status))) => status,
        other => panic!("{other:?}"),
    };
    let zws = ClientOptions { protocols: &[PLAIN_SUBPROTOCOL], ..ClientOptions::default() };
    // RFC 45: if none of the protocols is supported, 400.
    assert_eq!(refused(ClientOptions::default()), Status::BAD_REQUEST);
    let other =
        ClientOptions { protocols: &["ZWS1.0", "ZWS2.0/CURVE"], ..ClientOptions::default() };
    assert_eq!(refused(other), Status::BAD_REQUEST);
    let elsewhere = ClientOptions { origin: Some("https://evil.example"), ..zws.clone() };
    assert_eq!(refused(elsewhere), Status::FORBIDDEN);
    // A message without flags.
    let mut page = lab.raw(zws.clone()).unwrap();
    let end = lab.block_on(async move {
        page.send(WebMessage::Binary(Vec::new().into())).await.unwrap();
        loop {
            match page.next().await {
                Ok(Some(_)) => {}
                end => return end,
            }
        }
    });
    assert!(matches!(end, Ok(None)), "{end:?}");
    // Nobody is there any more.
    lab.server.shut();
    lab.executor.run_until_stalled();
    assert_eq!(refused(zws), Status::SERVICE_UNAVAILABLE);
}
