//! The page's client against the demo's vat, byte for byte over a stream in memory.

use super::*;
use rpc::System;
use rpc_demo::demo::Demo;
use rpc_demo::demo_capnp::demo as demo_schema;

/// What `capnp compile -o-` says of the demo; `cargo xtask codegen` writes it.
const SCHEMA: &[u8] = include_bytes!("../../tests/demo.schema");
const NOW: Duration = Duration::from_secs(1);

/// A client, and the vat that it is connected to.
struct World {
    client: Client,
    server: System,
    conn: ConnId,
    /// Bytes of a piece in which the streams are given.
    piece_bytes: usize,
    events: Vec<Value>,
}

impl World {
    fn new(piece_bytes: usize) -> Self {
        let server = System::new(Limits::default());
        let demo: demo_schema::Client = server.client(Demo::new(&server, "demo"));
        let conn = server.connect(Some(capnp::capability::FromClientHook::into_client_hook(demo)));
        let client = Client::new(Schema::new(SCHEMA).unwrap());
        Self { client, server, conn, piece_bytes, events: Vec::new() }
    }

    /// Lets both sides talk until they have nothing more to say.
    fn settle(&mut self) {
        loop {
            let (mut there, mut back) = (Vec::new(), vec![0; 1 << 20]);
            self.client.poll_transmit(NOW, &mut there);
            for piece in there.chunks(self.piece_bytes) {
                assert_eq!(self.server.handle_input(NOW, self.conn, piece), piece.len());
            }
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            self.server.poll_run(&mut cx);
            let count = self.server.poll_transmit(NOW, self.conn, &mut back);
            for piece in back[..count].chunks(self.piece_bytes) {
                self.client.handle_input(NOW, piece);
            }
            while let Some(event) = self.client.poll_event() {
                self.events.push(event);
            }
            if there.is_empty() && count == 0 {
                return;
            }
        }
    }

    fn ask(&mut self, request: &Value) -> Value {
        let answer = self.client.request(request);
        assert!(answer["error"].is_null(), "{request}: {answer}");
        answer
    }

    fn demo(&mut self) -> u64 {
        number(&self.ask(&json!({ "do": "bootstrap", "interface": "Demo" })))
    }

    fn call(&mut self, cap: u64, method: &str, params: &Value) -> u64 {
        let call = json!({ "do": "call", "cap": cap, "method": method, "params": params });
        self.ask(&call)["call"].as_u64().unwrap()
    }

    fn pipeline(&mut self, call: u64, path: &[&str]) -> u64 {
        number(&self.ask(&json!({ "do": "pipeline", "call": call, "path": path })))
    }

    /// What was told of a call, once.
    fn outcome(&mut self, call: u64) -> Value {
        self.settle();
        let told = |event: &Value| {
            event["call"] == call && (event["event"] == "returned" || event["event"] == "failed")
        };
        let place = self.events.iter().position(told).expect("an outcome");
        self.events.remove(place)
    }

    fn results(&mut self, call: u64) -> Value {
        let outcome = self.outcome(call);
        assert_eq!(outcome["event"], "returned", "{outcome}");
        outcome["results"].clone()
    }
}

fn number(capability: &Value) -> u64 {
    capability["$cap"].as_u64().expect("a capability")
}

#[test]
fn calls_go_out_and_come_back_however_the_streams_are_cut() {
    for piece_bytes in [1, 7, 8, 100, 1 << 20] {
        let mut world = World::new(piece_bytes);
        let demo = world.demo();
        let empty = world.call(demo, "empty", &json!({}));
        let named = world.call(demo, "name", &Value::Null);
        let echoed = world.call(demo, "echo", &json!({ "data": { "$data": "AAEC/w==" } }));
        assert_eq!(world.results(empty), json!({}));
        assert_eq!(world.results(named), json!({ "name": "demo" }));
        assert_eq!(world.results(echoed), json!({ "data": { "$data": "AAEC/w==" } }));
        let counted = world.call(demo, "cancelled", &json!({}));
        assert_eq!(world.results(counted), json!({ "count": 0 }));
    }
}

#[test]
fn calls_on_results_are_sent_before_those_are_there() {
    let mut world = World::new(1 << 20);
    let demo = world.demo();
    let child = world.call(demo, "child", &json!({ "name": "first" }));
    let inside = world.pipeline(child, &["child"]);
    let grandchild = world.call(inside, "child", &json!({ "name": "second" }));
    let inside = world.pipeline(grandchild, &["child"]);
    let named = world.call(inside, "name", &json!({}));
    // Not a byte came back until now.
    assert!(world.events.is_empty());
    assert_eq!(world.results(named), json!({ "name": "second" }));
}

#[test]
fn capabilities_come_in_lists_and_go_there() {
    let mut world = World::new(1 << 20);
    let demo = world.demo();
    let many = world.call(demo, "many", &json!({ "count": 3 }));
    let caps = world.results(many)["caps"].clone();
    assert_eq!(caps.as_array().map(Vec::len), Some(3));
    let counted = world.call(demo, "count", &json!({ "caps": caps }));
    assert_eq!(world.results(counted), json!({ "count": 3 }));
}

#[test]
fn the_server_calls_an_object_of_the_pages() {
    let mut world = World::new(1 << 20);
    let demo = world.demo();
    let own = world.ask(&json!({ "do": "export", "object": 7, "interface": "Demo" }));
    let params = json!({ "to": own, "times": 2 });
    let calling = world.call(demo, "callBack", &params);
    for answer in ["once", "twice"] {
        world.settle();
        let call = world.events.pop().expect("a call");
        assert_eq!((&call["event"], &call["object"]), (&json!("call"), &json!(7)));
        assert_eq!((&call["method"], &call["params"]), (&json!("name"), &json!({})));
        world.ask(&json!({ "do": "reply", "call": call["call"], "results": { "name": answer } }));
    }
    assert_eq!(world.results(calling), json!({ "name": "twice" }));
    // Nobody has it any more: the page is told.
    world.ask(&json!({ "do": "finish", "call": calling }));
    world.ask(&json!({ "do": "release", "cap": number(&own) }));
    world.settle();
    assert_eq!(world.events, [json!({ "event": "released", "object": 7 })]);
}

#[test]
fn what_the_page_fails_with_is_what_the_server_gets() {
    let mut world = World::new(1 << 20);
    let demo = world.demo();
    for kind in ["failed", "overloaded", "disconnected", "unimplemented"] {
        let own = world.ask(&json!({ "do": "export", "object": 1, "interface": "Demo" }));
        let calling = world.call(demo, "tail", &json!({ "to": own }));
        world.settle();
        let call = world.events.pop().expect("a call");
        world.ask(&json!({ "do": "fail", "call": call["call"], "kind": kind, "reason": "no" }));
        let outcome = world.outcome(calling);
        assert_eq!(outcome["kind"], kind);
        assert!(outcome["reason"].as_str().unwrap().contains("no"), "{outcome}");
    }
}

#[test]
fn exceptions_come_with_their_kinds() {
    let mut world = World::new(1 << 20);
    let demo = world.demo();
    let kinds = ["failed", "overloaded", "disconnected", "unimplemented"];
    for (number, kind) in kinds.into_iter().enumerate() {
        let call = world.call(demo, "fail", &json!({ "kind": number }));
        assert_eq!(world.outcome(call)["kind"], kind);
    }
}

#[test]
fn a_call_that_is_given_up_is_cancelled_at_either_end() {
    let mut world = World::new(1 << 20);
    let demo = world.demo();
    let call = world.call(demo, "never", &json!({}));
    world.settle();
    world.ask(&json!({ "do": "finish", "call": call }));
    world.settle();
    let counted = world.call(demo, "cancelled", &json!({}));
    assert_eq!(world.results(counted), json!({ "count": 1 }));
    // The server gives one up when the call goes that it was made for.
    let own = world.ask(&json!({ "do": "export", "object": 1, "interface": "Demo" }));
    let calling = world.call(demo, "callBack", &json!({ "to": own, "times": 1 }));
    world.settle();
    let received = world.events.pop().expect("a call")["call"].clone();
    world.ask(&json!({ "do": "finish", "call": calling }));
    world.settle();
    assert_eq!(world.events[0], json!({ "event": "cancelled", "call": received }));
    // Too late, and of no effect.
    world.ask(&json!({ "do": "reply", "call": received, "results": { "name": "late" } }));
}

#[test]
fn what_is_not_in_the_schema_is_refused_by_name_and_leaves_nothing() {
    let mut world = World::new(1 << 20);
    let demo = world.demo();
    let call = |method: &str, params: Value| json!({ "do": "call", "cap": demo, "method": method, "params": params });
    for (request, problem) in [
        (
            json!({ "do": "bootstrap", "interface": "Dem" }),
            "no interface Dem in the schema, but Demo",
        ),
        (call("nothing", json!({})), "Demo has no method nothing"),
        (call("echo", json!({ "dat": null })), "there is no field dat"),
        (call("echo", json!({ "data": "text" })), "data: \"text\" are no bytes"),
        (call("fail", json!({ "kind": 65_536 })), "kind: 65536 is no whole number that fits"),
        (call("fail", json!({ "kind": -1 })), "kind: -1 is no whole number that fits"),
        (call("fail", json!({ "kind": 0.5 })), "kind: 0.5 is no whole number that fits"),
        (call("child", json!({ "name": 3 })), "name: 3 is no text"),
        (call("tail", json!({ "to": { "$cap": 99 } })), "capability 99 was released"),
        (call("tail", json!({ "to": 5 })), "to: 5 is no capability"),
        (call("count", json!({ "caps": {} })), "caps: {} is no list"),
        (json!({ "do": "dance" }), "nothing is called dance"),
        (json!({}), "do is no text"),
    ] {
        assert_eq!(world.client.request(&request)["error"], problem, "{request}");
    }
    let named = world.call(demo, "name", &json!({}));
    assert_eq!(world.results(named), json!({ "name": "demo" }));
}

#[test]
fn an_end_fails_what_is_under_way() {
    let mut world = World::new(1 << 20);
    let demo = world.demo();
    let call = world.call(demo, "never", &json!({}));
    world.settle();
    world.client.handle_end("the line was cut");
    assert_eq!(world.outcome(call)["kind"], "disconnected");
    let told = world.events.iter().find(|event| event["event"] == "closed").expect("the end");
    assert!(told["reason"].as_str().unwrap().contains("the line was cut"));
}

#[test]
fn bytes_that_are_no_message_end_the_connection_and_no_more() {
    for bytes in [&[0xff; 8][..], &[0; 8], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let mut world = World::new(1 << 20);
        let demo = world.demo();
        let call = world.call(demo, "name", &json!({}));
        world.client.handle_input(NOW, bytes);
        world.client.handle_end("over");
        let mut rest = Vec::new();
        world.client.poll_transmit(NOW, &mut rest);
        while let Some(event) = world.client.poll_event() {
            world.events.push(event);
        }
        assert_eq!(world.outcome(call)["kind"], "disconnected");
    }
}

#[test]
fn a_schema_that_is_none_is_refused() {
    for bytes in [&b""[..], &SCHEMA[..100], &[0xff; 64]] {
        assert!(Schema::new(bytes).is_err());
    }
}

#[test]
fn after_all_is_let_go_the_vat_holds_nothing() {
    let mut world = World::new(1 << 20);
    let demo = world.demo();
    let child = world.call(demo, "child", &json!({ "name": "one" }));
    let inside = world.pipeline(child, &["child"]);
    let own = world.ask(&json!({ "do": "export", "object": 1, "interface": "Demo" }));
    let cast = world.ask(&json!({ "do": "as", "cap": inside, "interface": "Demo" }));
    let results = world.results(child);
    for cap in [demo, inside, number(&own), number(&cast), number(&results["child"])] {
        world.ask(&json!({ "do": "release", "cap": cap }));
    }
    world.ask(&json!({ "do": "finish", "call": child }));
    world.settle();
    assert_eq!(world.client.vat.live(), (0, 0));
    assert!(world.client.capabilities.is_empty() && world.client.calls.is_empty());
    assert!(world.client.objects.is_empty());
}
