//! ZeroMQ sockets over WebSockets (ZWS 2.0), with a peer of another library.

use super::turns::Turns;
use endpoints::http::client::{Client, ClientConfig};
use endpoints::http::{Server, ServerConfig};
use endpoints::websocket::{self, Origins};
use endpoints::zmq::{
    Bind, Connect, Host, Message, Options, SocketType, WebSocketConnector, WebSockets, ZmqSocket,
};
use flow::Target;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use web::{Request, Routes};

/// Between messages to subscribers, whoever they are.
const PAUSE: Duration = Duration::from_millis(20);

/// Sockets of a process, on the kernel's.
struct Sockets<'a> {
    turns: &'a Turns,
    host: Host,
    web: websocket::Host,
}

impl<'a> Sockets<'a> {
    fn new(turns: &'a Turns) -> Self {
        let (spawner, timers) = (turns.executor.spawner(), turns.timers.clone());
        let web = websocket::Host::new(&spawner, &timers, fill, None);
        let host = Host { spawner, timers, entropy: Rc::new(fill), ledger: None };
        Self { turns, host, web }
    }

    /// A socket that a route leads to.
    fn bound(
        &self,
        socket_type: SocketType,
        routes: Routes,
        path: &'static str,
    ) -> (ZmqSocket, Routes) {
        let options = Options::new(socket_type);
        let doors = WebSockets::new(&self.web, &options.config, Origins::SameHost);
        let socket = ZmqSocket::new(&self.host, options);
        socket.attach(Bind(doors.listener()));
        let routes = routes.get(path, move |request: Request| {
            let reply = doors.accept(&request);
            async move { reply }
        });
        (socket, routes)
    }

    /// A socket that goes to a path of a server.
    fn connected(&self, socket_type: SocketType, server: &Target, path: &str) -> ZmqSocket {
        let Host { spawner, timers, .. } = &self.host;
        let client = Client::new(ClientConfig::default(), self.turns.connector(), spawner, timers);
        let options = Options::new(socket_type);
        let connector = WebSocketConnector::new(&self.web, &client, path, &options.config);
        let socket = ZmqSocket::new(&self.host, options);
        // Its servers take whatever is offered first.
        socket.attach(Connect::new(connector.without_mechanism(), server.clone()));
        socket
    }
}

fn fill(bytes: &mut [u8]) {
    let mut random = std::fs::File::open("/dev/urandom").expect("Linux");
    std::io::Read::read_exact(&mut random, bytes).expect("random bytes");
}

/// Serves a socket of each kind, for ever: `/rep` and `/router` say what they hear, `/push` passes on what `/pull` hears, and
/// `/pub` says the same again and again.
pub(super) fn serve(turns: &Turns, address: SocketAddr) {
    let sockets = Sockets::new(turns);
    let routes = Routes::new();
    let (rep, routes) = sockets.bound(SocketType::Rep, routes, "/rep");
    let (router, routes) = sockets.bound(SocketType::Router, routes, "/router");
    let (pull, routes) = sockets.bound(SocketType::Pull, routes, "/pull");
    let (push, routes) = sockets.bound(SocketType::Push, routes, "/push");
    let (publisher, routes) = sockets.bound(SocketType::Pub, routes, "/pub");
    let Host { spawner, timers, .. } = sockets.host.clone();
    spawner.spawn("rep", pass(rep.clone(), rep));
    spawner.spawn("router", pass(router.clone(), router));
    spawner.spawn("pull", pass(pull, push));
    let server = Server::new(ServerConfig::default(), &spawner, &timers, routes);
    spawner.spawn("listener", server.serve(turns.listen(address)));
    println!("listening");
    turns.run(async move {
        loop {
            for text in ["sports 1:0", "weather sunny"] {
                let _ = publisher.send(text).await;
            }
            timers.sleep(PAUSE).await;
        }
    });
}

/// Says by one socket what another hears.
async fn pass(from: ZmqSocket, to: ZmqSocket) {
    while let Ok(message) = from.recv().await {
        let _ = to.send(message).await;
    }
}

/// Asks sockets of the same kinds: those of a server do what ours do.
pub(super) fn ask(turns: &Turns, server: &Target) {
    let sockets = Sockets::new(turns);
    let connect = |socket_type, path| sockets.connected(socket_type, server, path);
    let req = connect(SocketType::Req, "/rep");
    let dealer = connect(SocketType::Dealer, "/router");
    let push = connect(SocketType::Push, "/pull");
    let pull = connect(SocketType::Pull, "/push");
    let sub = connect(SocketType::Sub, "/pub");
    sub.subscribe("weather");
    turns.run(async move {
        for text in ["hello".to_owned(), String::new(), "x".repeat(100_000)] {
            req.send(text.clone()).await.expect("a peer");
            assert_eq!(req.recv().await.expect("a reply").last(), text.as_bytes());
        }
        for number in 0..100 {
            let mut message = Message::new(format!("{number}"));
            message.push(vec![number, 0xFF]);
            dealer.send(message.clone()).await.expect("a peer");
            let answer = dealer.recv().await.expect("an answer");
            assert!(answer.parts().eq(message.parts()), "{answer:?}");
        }
        for number in 0..100 {
            push.send(format!("{number}")).await.expect("a peer");
            let passed = pull.recv().await.expect("what was pushed");
            assert_eq!(passed.last(), format!("{number}").as_bytes());
        }
        for _ in 0..5 {
            let heard = sub.recv().await.expect("news");
            assert_eq!(heard.last(), &b"weather sunny"[..]);
        }
    });
    println!("done");
}
