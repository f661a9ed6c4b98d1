//! A conversation with the demo's vat, byte for byte, as `golden.json` has it. `golden.mjs` lets the module of WebAssembly have
//! the same one in Node. `AQUEDUCT_WRITE_GOLDEN=1 cargo test -p aqueduct-wasm --test golden` writes it anew.

use aqueduct_wasm::{Client, Schema};
use base64ct::{Base64, Encoding};
use capnp::capability::FromClientHook;
use rpc::{ConnId, Limits, System};
use rpc_demo::demo::Demo;
use rpc_demo::demo_capnp::demo;
use serde_json::{Value, json};
use std::path::Path;
use std::task::{Context, Waker};
use std::time::Duration;

const SCHEMA: &[u8] = include_bytes!("demo.schema");
const GOLDEN: &str = "tests/golden.json";
const NOW: Duration = Duration::from_secs(1);

#[test]
fn the_conversation_is_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("AQUEDUCT_WRITE_GOLDEN").is_some() {
        let text = serde_json::to_string(&record()).unwrap().replace("},{\"do\"", "},\n{\"do\"");
        std::fs::write(&path, text + "\n").unwrap();
    }
    let steps: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut client = Client::new(Schema::new(SCHEMA).unwrap());
    for step in &steps {
        assert_eq!(replay(&mut client, step), step["gives"], "{step}");
    }
}

/// Does a step; what it gives.
fn replay(client: &mut Client, step: &Value) -> Value {
    match step["does"].as_str().unwrap() {
        "request" => client.request(&step["request"]),
        "transmit" => {
            let mut bytes = Vec::new();
            client.poll_transmit(NOW, &mut bytes);
            Base64::encode_string(&bytes).into()
        }
        "receive" => {
            let bytes = Base64::decode_vec(step["bytes"].as_str().unwrap()).unwrap();
            client.handle_input(NOW, &bytes);
            events(client)
        }
        other => panic!("{other}"),
    }
}

fn events(client: &mut Client) -> Value {
    std::iter::from_fn(|| client.poll_event()).collect()
}

/// Has the conversation with a real vat.
fn record() -> Vec<Value> {
    let server = System::new(Limits::default());
    let demo: demo::Client = server.client(Demo::new(&server, "demo"));
    let conn = server.connect(Some(demo.into_client_hook()));
    let mut client = Client::new(Schema::new(SCHEMA).unwrap());
    let mut steps = Vec::new();
    for request in requests() {
        let mut step = json!({ "does": "request", "request": request });
        step["gives"] = replay(&mut client, &step);
        steps.push(step);
        while let Some(bytes) = exchange(&mut client, &server, conn, &mut steps) {
            let mut step = json!({ "does": "receive", "bytes": Base64::encode_string(&bytes) });
            step["gives"] = replay(&mut client, &step);
            steps.push(step);
        }
    }
    steps
}

/// Takes what the client says to the server; what that answers, if anything.
fn exchange(
    client: &mut Client,
    server: &System,
    conn: ConnId,
    steps: &mut Vec<Value>,
) -> Option<Vec<u8>> {
    loop {
        let mut step = json!({ "does": "transmit" });
        step["gives"] = replay(client, &step);
        let said = Base64::decode_vec(step["gives"].as_str().unwrap()).unwrap();
        steps.push(step);
        if said.is_empty() {
            break;
        }
        assert_eq!(server.handle_input(NOW, conn, &said), said.len());
    }
    server.poll_run(&mut Context::from_waker(Waker::noop()));
    let mut answer = vec![0; 1 << 20];
    let count = server.poll_transmit(NOW, conn, &mut answer);
    answer.truncate(count);
    (!answer.is_empty()).then_some(answer)
}

/// Numbers count up from 1, whatever they are of.
fn requests() -> Vec<Value> {
    vec![
        json!({ "do": "bootstrap", "interface": "Demo" }),
        json!({ "do": "call", "cap": 1, "method": "echo", "params": { "data": { "$data": "AAEC/w==" } } }),
        json!({ "do": "call", "cap": 1, "method": "child", "params": { "name": "kind" } }),
        json!({ "do": "pipeline", "call": 3, "path": ["child"] }),
        json!({ "do": "call", "cap": 5, "method": "name", "params": {} }),
        json!({ "do": "call", "cap": 1, "method": "fail", "params": { "kind": 1 } }),
        json!({ "do": "call", "cap": 1, "method": "many", "params": { "count": 2 } }),
        json!({ "do": "call", "cap": 1, "method": "nothing", "params": {} }),
        json!({ "do": "export", "object": 1, "interface": "Demo" }),
        json!({ "do": "release", "cap": 1 }),
        json!({ "do": "close" }),
    ]
}
