//! Calls everything a demo has, on whatever implementation serves it.

use crate::wire::Wire;
use capnp::ErrorKind;
use capnp::capability::FromClientHook;
use rpc_demo::demo::Demo;
use rpc_demo::demo_capnp::demo;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes of the large message: more than a default buffer of any peer.
const LARGE_BYTES: usize = 10 << 20;
const MANY_CAPS: u32 = 1000;

/// Panics at the first difference; prints one line for each part.
/// A server in Python can raise only one kind of error: then `failed_only`.
pub(crate) fn check(connect: impl Fn() -> TcpStream, failed_only: bool) {
    let mut wire = Wire::new(connect(), "client");
    let demo: demo::Client = wire.system.bootstrap(wire.conn);
    echo(&mut wire, &demo);
    pipelining(&mut wire, &demo);
    callbacks(&mut wire, &demo);
    errors(&mut wire, &demo, failed_only);
    cancellation(&mut wire, &demo);
    capabilities(&mut wire, &demo);
    streaming(&mut wire, &demo);
    tail_call(&mut wire, &demo);
    our_end_in_mid_call(&mut wire, &demo, connect());
    their_end_in_mid_call(&mut wire, &demo);
    println!("all checked");
}

fn echo(wire: &mut Wire, demo: &demo::Client) {
    for length in [0, 1, 1000, LARGE_BYTES] {
        let data: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let mut request = demo.echo_request();
        request.get().set_data(&data);
        let response = wire.run(request.send().promise).expect("an echo");
        assert!(response.get().unwrap().get_data().unwrap() == data, "echo of {length} bytes");
    }
    println!("echo: ok");
}

fn name_of(wire: &mut Wire, demo: &demo::Client) -> String {
    let response = wire.run(demo.name_request().send().promise).expect("a name");
    response.get().unwrap().get_name().unwrap().to_string().unwrap()
}

/// Ten levels deep without waiting once.
fn pipelining(wire: &mut Wire, demo: &demo::Client) {
    let mut at = demo.clone();
    for level in 0..10 {
        let mut request = at.child_request();
        request.get().set_name(format!("child {level}"));
        at = request.send().pipeline.get_child();
    }
    assert_eq!(name_of(wire, &at), "child 9");
    println!("pipelining: ok");
}

fn callbacks(wire: &mut Wire, demo: &demo::Client) {
    let ours: demo::Client = wire.system.client(Demo::new(&wire.system, "called back"));
    let mut request = demo.call_back_request();
    request.get().set_to(ours);
    request.get().set_times(5);
    let response = wire.run(request.send().promise).expect("an answer");
    assert_eq!(response.get().unwrap().get_name().unwrap(), "called back");
    println!("callbacks: ok");
}

fn errors(wire: &mut Wire, demo: &demo::Client, failed_only: bool) {
    let kinds = [
        ErrorKind::Failed,
        ErrorKind::Overloaded,
        ErrorKind::Disconnected,
        ErrorKind::Unimplemented,
    ];
    for (number, kind) in (0..).zip(kinds) {
        let mut request = demo.fail_request();
        request.get().set_kind(number);
        let error = wire.run(request.send().promise).err().expect("an error");
        let expected = if failed_only { ErrorKind::Failed } else { kind };
        assert_eq!(error.kind, expected, "{}", error.extra);
    }
    println!("errors: ok");
}

fn cancelled(wire: &mut Wire, demo: &demo::Client) -> u32 {
    let response = wire.run(demo.cancelled_request().send().promise).expect("a count");
    response.get().unwrap().get_count()
}

fn cancellation(wire: &mut Wire, demo: &demo::Client) {
    let before = cancelled(wire, demo);
    let call = demo.never_request().send();
    name_of(wire, demo);
    drop(call);
    assert_eq!(cancelled(wire, demo), before + 1);
    println!("cancellation: ok");
}

fn capabilities(wire: &mut Wire, demo: &demo::Client) {
    let mut request = demo.many_request();
    request.get().set_count(MANY_CAPS);
    let response = wire.run(request.send().promise).expect("capabilities");
    let caps = response.get().unwrap().get_caps().unwrap();
    assert_eq!(caps.len(), MANY_CAPS);
    let mut request = demo.count_request();
    let mut list = request.get().init_caps(2 * MANY_CAPS);
    for index in 0..MANY_CAPS {
        list.set(index, caps.get(index).unwrap().into_client_hook());
        let ours = Demo::new(&wire.system, "ours");
        list.set(MANY_CAPS + index, wire.system.client::<demo::Client, _>(ours).into_client_hook());
    }
    let counted = wire.run(request.send().promise).expect("a count");
    assert_eq!(counted.get().unwrap().get_count(), 2 * MANY_CAPS);
    println!("capabilities: ok");
}

fn streaming(wire: &mut Wire, demo: &demo::Client) {
    let chunk = vec![7; 8 << 10];
    let before = wire.run(demo.pushed_request().send().promise).expect("a count");
    let before = before.get().unwrap().get_bytes();
    for _ in 0..100 {
        let mut request = demo.push_request();
        request.get().set_data(&chunk);
        wire.run(request.send()).expect("room");
    }
    let after = wire.run(demo.pushed_request().send().promise).expect("a count");
    assert_eq!(after.get().unwrap().get_bytes() - before, 100 * (8 << 10));
    println!("streaming: ok");
}

fn tail_call(wire: &mut Wire, demo: &demo::Client) {
    let ours: demo::Client = wire.system.client(Demo::new(&wire.system, "our own"));
    let mut request = demo.tail_request();
    request.get().set_to(ours);
    let response = wire.run(request.send().promise).expect("an answer");
    assert_eq!(response.get().unwrap().get_name().unwrap(), "our own");
    println!("tail call: ok");
}

/// A connection of ours breaks while the server is at work for it: it must notice.
fn our_end_in_mid_call(wire: &mut Wire, demo: &demo::Client, other: TcpStream) {
    let before = cancelled(wire, demo);
    let mut short = Wire::new(other, "client");
    let there: demo::Client = short.system.bootstrap(short.conn);
    let call = there.never_request().send();
    name_of(&mut short, &there);
    short.end();
    let deadline = Instant::now() + Duration::from_secs(20);
    while cancelled(wire, demo) == before {
        assert!(Instant::now() < deadline, "the server works on for a client that is gone");
    }
    drop((call, there));
    println!("our end in mid-call: ok");
}

/// The server breaks while it is at work for us: all calls must end.
fn their_end_in_mid_call(wire: &mut Wire, demo: &demo::Client) {
    let never = demo.never_request().send();
    name_of(wire, demo);
    let last = demo.hang_up_request().send();
    for call in [wire.run(never.promise).err(), wire.run(last.promise).err()] {
        assert_eq!(call.expect("no answer").kind, ErrorKind::Disconnected);
    }
    let late = wire.run(demo.name_request().send().promise).err().expect("no answer");
    assert_eq!(late.kind, ErrorKind::Disconnected);
    println!("their end in mid-call: ok");
}
