//! Cap'n Proto RPC over WebSockets, over in-memory flows: our client, a raw peer, and hostile ones.

use endpoints::http::client::{Client, ClientConfig};
use endpoints::http::{Server, ServerConfig};
use endpoints::rpc::websocket::SUBPROTOCOL;
use endpoints::rpc::{Limits, Rpc};
use endpoints::websocket::{
    ClientOptions, ConnectFailed, Host, Limits as SocketLimits, Message, Origins, Refused, Socket,
};
use flow::Target;
use flow::ledger::Ledger;
use flow::memory::MemoryNetwork;
use flow::task::Executor;
use flow::time::Timers;
use rpc_demo::demo::Demo;
use rpc_demo::demo_capnp::demo as schema;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use web::{Request, Routes, Status};

/// The demo's vat at a path of a web server, a client's vat, and what they run on.
struct Lab {
    executor: Executor,
    timers: Timers,
    ledger: Ledger,
    server: Rpc,
    vat: Rpc,
    clients: Host,
    client: Client<MemoryNetwork>,
}

fn target() -> Target {
    "web:80".parse().unwrap()
}

impl Lab {
    /// Over flows that hold so many bytes.
    fn new(capacity_bytes: usize) -> Self {
        Self::with_limits(capacity_bytes, Limits::default())
    }

    fn with_limits(capacity_bytes: usize, limits: Limits) -> Self {
        let executor = Executor::new(|body| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| String::from("boom"))
        });
        let (spawner, timers) = (executor.spawner(), Timers::new());
        let ledger = Ledger::unbounded();
        let weigh = |name| ledger.service(name, ledger.limit_bytes(), ledger.limit_bytes() / 4);
        let host = Host::new(&spawner, &timers, |_| unreachable!(), Some(weigh("websocket")));
        let server = Rpc::new(limits, &spawner, &timers).weighed(weigh("rpc"));
        let demo: schema::Client = server.client(Demo::new(&server, "demo"));
        let vat = server.clone();
        let routes = Routes::new().get("/rpc", move |request: Request| {
            let reply = vat.accept_websocket(&host, &request, Origins::SameHost, {
                let demo = demo.clone();
                |_| Some(demo)
            });
            async move { reply }
        });
        let network = MemoryNetwork::new(capacity_bytes, 64);
        let listener = network.listen(&target()).unwrap();
        let web = Server::new(ServerConfig::default(), &spawner, &timers, routes);
        spawner.spawn("listener", web.serve(listener));
        let client = Client::new(ClientConfig::default(), network, &spawner, &timers);
        let clients = Host::new(&spawner, &timers, |bytes| bytes.fill(7), None);
        let vat = Rpc::new(Limits::default(), &spawner, &timers);
        Self { executor, timers, ledger, server, vat, clients, client }
    }

    fn settle(&self) {
        self.executor.run_until_stalled();
    }

    /// Runs `work` until it waits for something that does not come; its value, if it is done.
    fn run<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> Option<T> {
        let value = Rc::new(Cell::new(None));
        let place = value.clone();
        self.executor.spawner().spawn("work", async move { place.set(Some(work.await)) });
        self.settle();
        value.take()
    }

    fn demo(&self) -> schema::Client {
        let (vat, clients, client) = (self.vat.clone(), self.clients.clone(), self.client.clone());
        self.run(async move { vat.connect_websocket(&clients, &client, &target(), "/rpc").await })
            .expect("an answer")
            .unwrap()
    }

    /// A socket at the vat's path, to say whatever a test wants to.
    fn socket_with(&self, options: ClientOptions) -> Result<Socket, ConnectFailed> {
        let (clients, client) = (self.clients.clone(), self.client.clone());
        self.run(async move {
            let limits = SocketLimits::default();
            clients.connect(&client, &target(), "/rpc", options, limits).await
        })
        .expect("an answer")
    }

    fn socket(&self) -> Socket {
        self.socket_with(ClientOptions::default()).unwrap()
    }

    /// All is as if nobody had come.
    fn is_as_before(&self) {
        self.settle();
        assert_eq!(self.server.connections(), 0);
        assert_eq!(self.ledger.services().iter().map(|it| it.held_bytes()).sum::<usize>(), 0);
    }
}

/// A bootstrap message with this question's number, in the standard framing: what any client says first.
fn bootstrap(question: u8) -> Vec<u8> {
    let words: [[u8; 8]; 5] = [
        // One segment of 4 words.
        [0, 0, 0, 0, 5, 0, 0, 0],
        // The root: Message has 1 word of data and 1 pointer.
        [0, 0, 0, 0, 1, 0, 1, 0],
        // Message.bootstrap.
        [8, 0, 0, 0, 0, 0, 0, 0],
        // Bootstrap has 1 word of data and 1 pointer.
        [0, 0, 0, 0, 1, 0, 1, 0],
        [question, 0, 0, 0, 0, 0, 0, 0],
    ];
    [words.concat(), vec![0; 8]].concat()
}

/// What comes back until nothing more does, as one stream.
async fn stream_of(socket: &mut Socket, bytes_min: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    while stream.len() < bytes_min {
        let message = socket.next().await.unwrap().expect("more");
        assert!(matches!(message, Message::Binary(_)), "{message:?}");
        stream.extend_from_slice(message.as_bytes());
    }
    stream
}

#[test]
fn calls_callbacks_and_pipelines_go_over_flows_of_any_size() {
    for capacity_bytes in [200, 4096, 65_536] {
        let lab = Lab::new(capacity_bytes);
        let (demo, vat) = (lab.demo(), lab.vat.clone());
        let work = async move {
            let mut request = demo.echo_request();
            request.get().set_data(&[5; 300_000]);
            let echoed = request.send().promise.await.unwrap();
            assert_eq!(echoed.get().unwrap().get_data().unwrap(), &[5; 300_000]);
            // Sent before the child is there.
            let mut request = demo.child_request();
            request.get().set_name("child");
            let child = request.send().pipeline.get_child();
            let named = child.name_request().send().promise.await.unwrap();
            assert_eq!(named.get().unwrap().get_name().unwrap(), "child");
            // The server calls us.
            let own: schema::Client = vat.client(Demo::new(&vat, "ours"));
            let mut request = demo.call_back_request();
            request.get().set_to(own);
            request.get().set_times(3);
            let answer = request.send().promise.await.unwrap();
            assert_eq!(answer.get().unwrap().get_name().unwrap(), "ours");
        };
        assert_eq!(lab.run(work), Some(()), "flows of {capacity_bytes} bytes");
        lab.is_as_before();
        assert_eq!(lab.clients.sockets(), 0);
    }
}

#[test]
fn messages_of_the_socket_are_cut_anywhere() {
    let expected = {
        let lab = Lab::new(4096);
        let mut socket = lab.socket();
        let work = async move {
            let both = [bootstrap(0), bootstrap(1)].concat();
            socket.send(both).await.unwrap();
            // Both answers, each in a message of its own.
            let mut answers = Vec::new();
            for _ in 0..2 {
                let message = socket.next().await.unwrap().expect("an answer");
                let bytes = message.as_bytes();
                assert_eq!(bytes[..4], [0; 4], "one segment");
                let words = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
                assert_eq!(bytes.len(), 8 + 8 * words as usize);
                answers.extend_from_slice(bytes);
            }
            answers
        };
        let expected = lab.run(work).expect("an answer");
        lab.is_as_before();
        expected
    };
    let both = [bootstrap(0), bootstrap(1)].concat();
    for cut in 1..both.len() {
        let lab = Lab::new(4096);
        let (mut socket, both, count) = (lab.socket(), both.clone(), expected.len());
        let work = async move {
            socket.send(both[..cut].to_vec()).await.unwrap();
            // One without contents means nothing.
            socket.send(Vec::new()).await.unwrap();
            socket.send(both[cut..].to_vec()).await.unwrap();
            stream_of(&mut socket, count).await
        };
        assert_eq!(lab.run(work).as_ref(), Some(&expected), "cut at {cut}");
        lab.is_as_before();
    }
}

#[test]
fn the_subprotocol_is_chosen_if_it_is_offered() {
    let lab = Lab::new(4096);
    assert_eq!(lab.socket().protocol(), None);
    let options = ClientOptions { protocols: &["other", SUBPROTOCOL], ..ClientOptions::default() };
    assert_eq!(lab.socket_with(options).unwrap().protocol(), Some("capnp-rpc"));
}

#[test]
fn rfc6455_10_2_pages_of_other_hosts_are_refused() {
    let lab = Lab::new(4096);
    for origin in ["https://evil.example", "null", "http://web.evil.example"] {
        let options = ClientOptions { origin: Some(origin), ..ClientOptions::default() };
        let refused = lab.socket_with(options).err();
        assert_eq!(refused, Some(ConnectFailed::Refused(Refused::Status(Status::FORBIDDEN))));
    }
    let options = ClientOptions { origin: Some("http://web"), ..ClientOptions::default() };
    assert!(lab.socket_with(options).is_ok());
    lab.is_as_before();
}

#[test]
fn text_closes_the_socket_and_nobody_elses() {
    let lab = Lab::new(4096);
    let bystander = lab.demo();
    let mut socket = lab.socket();
    let work = async move {
        socket.send("{}").await.unwrap();
        socket.next().await
    };
    assert_eq!(lab.run(work), Some(Ok(None)));
    let named = async move { bystander.name_request().send().promise.await.is_ok() };
    assert_eq!(lab.run(named), Some(true));
    lab.is_as_before();
}

#[test]
fn what_is_no_message_gets_an_abort_and_a_close() {
    // More segments than there may be, and a root that leads nowhere.
    let many_segments = vec![0xff; 8];
    let mut astray = bootstrap(0);
    astray[8..16].fill(0xff);
    for bytes in [many_segments, astray] {
        let lab = Lab::new(4096);
        let mut socket = lab.socket();
        let work = async move {
            socket.send(bytes).await.unwrap();
            let abort = socket.next().await.unwrap().expect("an abort").as_bytes().to_vec();
            (abort, socket.next().await)
        };
        let (abort, end) = lab.run(work).expect("an end");
        // Message.abort is 1 (rpc.capnp).
        assert_eq!(abort[16..18], [1, 0], "{abort:x?}");
        assert_eq!(end, Ok(None));
        lab.is_as_before();
    }
}

#[test]
fn a_longer_message_than_the_vat_takes_is_refused_by_its_length() {
    let limits = Limits { message_words_max: 100, segments_max: 2, ..Limits::default() };
    // A table of segments and the words.
    let longest = 16 + 800;
    let lab = Lab::with_limits(4096, limits);
    let mut socket = lab.socket();
    let work = async move {
        socket.send(vec![0; longest]).await.unwrap();
        socket.next().await
    };
    // Zeros are messages without a meaning, but short enough to be looked at.
    assert!(matches!(lab.run(work), Some(Ok(Some(_)))));
    let lab = Lab::with_limits(4096, limits);
    let mut socket = lab.socket();
    let work = async move {
        socket.send(vec![0; longest + 1]).await.unwrap();
        socket.next().await
    };
    assert_eq!(lab.run(work), Some(Ok(None)));
    lab.is_as_before();
}

#[test]
fn half_a_message_that_does_not_go_on_ends_at_the_limit_of_time() {
    let lab = Lab::new(4096);
    let mut socket = lab.socket();
    let work = async move {
        socket.send(bootstrap(0)[..11].to_vec()).await.unwrap();
        while socket.next().await.is_ok_and(|message| message.is_some()) {}
    };
    assert_eq!(lab.run(work), None);
    assert_eq!(lab.server.connections(), 1);
    for _ in 0..30 {
        lab.timers.advance(lab.timers.now() + Duration::from_secs(5));
        lab.settle();
    }
    lab.is_as_before();
}

#[test]
fn who_goes_without_a_word_leaves_nothing() {
    let lab = Lab::new(4096);
    let mut socket = lab.socket();
    let work = async move {
        socket.send(bootstrap(0)).await.unwrap();
        stream_of(&mut socket, 1).await;
        drop(socket);
    };
    assert_eq!(lab.run(work), Some(()));
    lab.is_as_before();
    assert_eq!(lab.server.live().1, 0);
}

#[test]
fn a_vat_that_drains_lets_calls_end_and_nobody_in() {
    let lab = Lab::new(4096);
    let demo = lab.demo();
    let (asking, waits) = (demo.clone(), demo.never_request().send().promise);
    assert!(lab.run(async move { asking.name_request().send().promise.await.is_ok() }).unwrap());
    lab.server.drain();
    lab.settle();
    let refused = lab.socket_with(ClientOptions::default()).err();
    let unavailable = ConnectFailed::Refused(Refused::Status(Status::SERVICE_UNAVAILABLE));
    assert_eq!(refused, Some(unavailable));
    // Its call is under way.
    assert_eq!(lab.server.connections(), 1);
    drop(waits);
    lab.is_as_before();
}
