//! A server and its clients, over flows in memory.

use crate::gopher::{Config, Server, Shared};
use alloc::rc::Rc;
use core::time::Duration;
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::task::{Executor, TaskHandle, block_on};
use flow::time::Timers;
use flow::{Connector, FlowExt, Target};
use std::string::String;
use std::vec;
use std::vec::Vec;
use web::menu::{ItemType, Menu};
use web::{Content, Handler, Reply, Request, Response, Routes};

struct Lab {
    executor: Executor,
    timers: Timers,
    network: MemoryNetwork,
    server: Server,
}

fn target() -> Target {
    "web:70".parse().unwrap()
}

impl Lab {
    fn new(handler: impl Handler) -> Self {
        let executor = Executor::new(|body: &mut dyn FnMut()| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| String::from("boom"))
        });
        let timers = Timers::new();
        let network = MemoryNetwork::new(500, 64);
        let config = Config { host: "a.example".into(), port: 70, ..Config::default() };
        let (core, handler) = (Shared::new(config), Rc::new(handler));
        let server = Server::sharing(core, None, &executor.spawner(), &timers, handler);
        let listener = network.listen(&target()).unwrap();
        executor.spawner().spawn("listener", server.clone().serve(listener));
        Self { executor, timers, network, server }
    }

    fn run(&self) {
        self.executor.run_until_stalled();
    }

    fn say(&self, request: &[u8]) -> TaskHandle<String> {
        let (network, request) = (self.network.clone(), request.to_vec());
        self.executor.spawner().spawn_joinable("client", async move {
            let mut flow: MemoryFlow = network.connect(&target()).await.unwrap();
            flow.write_all(&request).await.unwrap();
            let mut seen = Vec::new();
            let mut buffer = [0; 300];
            while let Ok(1..) = flow.read(&mut buffer).await.inspect(|&count| {
                seen.extend_from_slice(&buffer[..count]);
            }) {}
            String::from_utf8_lossy(&seen).into_owned()
        })
    }

    fn answer(&self, request: &str) -> String {
        let handle = self.say(request.as_bytes());
        self.run();
        let answer = block_on(handle).unwrap();
        assert_eq!(self.server.connections(), 0, "{request:?}");
        answer
    }
}

fn routes() -> Routes {
    let front =
        async |_: Request| Response::from(Menu::new().item(ItemType::Search, "Find", "/find"));
    let find = async |request: Request| {
        let query = request.query().unwrap_or(b"none").to_vec();
        Response::ok("text/plain", query)
    };
    let stream = async |_: Request| {
        let head = Response::ok("image/gif", "").carrying(Content::Stream(None));
        Reply::stream(head, async |mut writer| {
            for _ in 0..50 {
                writer.write(vec![b'.'; 1_000]).await;
            }
        })
    };
    let panics = async |_: Request| -> Response { panic!("as asked") };
    Routes::new().get("/", front).get("/find", find).get("/stream", stream).get("/panic", panics)
}

#[test]
fn menus_texts_streams_and_errors() {
    let lab = Lab::new(routes());
    assert_eq!(lab.answer("\r\n"), "7Find\t/find\ta.example\t70\r\n.\r\n");
    assert_eq!(lab.answer("/find\ttwo words\r\n"), "q=two%20words\r\n.\r\n");
    assert_eq!(lab.answer("find\n"), "none\r\n.\r\n");
    assert_eq!(lab.answer("/stream\r\n"), ".".repeat(50_000));
    assert_eq!(lab.answer("/nothing\r\n"), "3404 Not Found\t\terror.host\t1\r\n.\r\n");
    assert_eq!(lab.answer("/../\r\n"), "3selector with ..\t\terror.host\t1\r\n.\r\n");
    let failed = "3500 Internal Server Error\t\terror.host\t1\r\n.\r\n";
    assert_eq!(lab.answer("/panic\r\n"), failed);
    assert_eq!(lab.server.requests(), 6);
}

#[test]
fn a_client_that_does_not_ask_is_let_go() {
    let lab = Lab::new(routes());
    let silent = lab.say(b"/fi");
    lab.run();
    assert_eq!(lab.server.connections(), 1);
    lab.timers.advance(Duration::from_secs(10));
    lab.run();
    let said = block_on(silent).unwrap();
    assert_eq!(said, "3client made no progress in time\t\terror.host\t1\r\n.\r\n");
    assert_eq!(lab.server.connections(), 0);
}

#[test]
fn whoever_has_not_asked_when_the_server_goes_down_is_let_go() {
    let lab = Lab::new(routes());
    let silent = lab.say(b"");
    lab.run();
    assert_eq!(lab.server.connections(), 1);
    lab.server.drain();
    lab.run();
    assert_eq!(block_on(silent).unwrap(), "");
    assert_eq!(lab.server.connections(), 0);
}
