//! What operators read of flows: errors, and addresses.

use flow::ledger::Overload;
use flow::registry::{BadDescription, BadLabel, BadLine, BadWay, RegistryError};
use flow::task::{TaskError, TaskState};
use flow::time::Expired;
use flow::{Address, BadUnixPath, ConnectError, FlowError, VsockAddress};
use std::fmt::Display;

#[test]
fn errors_say_what_is_wrong() {
    let errors: [(&dyn Display, &str); 22] = [
        (&FlowError::Reset, "the peer reset the connection"),
        (&FlowError::Closed, "the connection is closed on this side"),
        (&FlowError::TimedOut, "the peer stopped answering"),
        (&FlowError::Down, "the network below is down"),
        (&ConnectError::Refused, "connection refused"),
        (&ConnectError::TimedOut, "no answer in time"),
        (&ConnectError::Unreachable, "no route to the host"),
        (&ConnectError::NotFound, "the name does not resolve"),
        (&ConnectError::NoSuchPath, "there is nothing at that path"),
        (&ConnectError::Unsupported, "no connector for targets of this scheme"),
        (&ConnectError::Untrusted, "no TLS with the other end, as the log says"),
        (&ConnectError::NotAllowed, "not allowed by who connects for us"),
        (&ConnectError::Exhausted, "no local port or connection is free"),
        (&RegistryError::Fixed, "this registry is fixed"),
        (&RegistryError::Denied, "not allowed"),
        (&RegistryError::Unavailable, "no answer"),
        (&BadLabel, "expected 1 to 63 letters, digits, `-`, `_` or `.`"),
        (&TaskError::Panicked("one".into()), "panicked: one"),
        (&TaskError::Cancelled, "cancelled"),
        (&Expired, "the deadline passed"),
        (&Overload::Peer, "more than one peer may"),
        (&Overload::Machine, "the most of all while the machine has no memory left"),
    ];
    for (error, text) in errors {
        assert_eq!(error.to_string(), text);
    }
}

/// What is expected is told, and where it is lacking.
#[test]
fn errors_of_settings_say_what_is_allowed() {
    let (found, allowed) = ("x".to_owned(), "weight=1 to weight=65535");
    let text = "found `x`; allowed: weight=1 to weight=65535";
    let description = BadDescription { found: found.clone(), allowed };
    assert_eq!(description.to_string(), text);
    assert_eq!(BadLine { line: 3, found, allowed }.to_string(), format!("3: {text}"));
    assert!(BadWay.to_string().starts_with("ADDRESS:PORT, HOST:PORT, "));
    assert_eq!(
        BadUnixPath.to_string(),
        "expected an absolute path or @NAME, of at most 107 letters, digits and `/-._~+,=:@`"
    );
}

#[test]
fn states_of_tasks_have_names() {
    let names = [TaskState::Running, TaskState::Ready, TaskState::Waiting].map(TaskState::name);
    assert_eq!(names, ["running", "ready", "waiting"]);
}

#[test]
fn addresses_are_told_with_their_kind() {
    for (address, text, ip) in [
        (Address::Ip("10.0.0.2:80".parse().unwrap()), "10.0.0.2:80", Some("10.0.0.2")),
        (Address::Ip("[fe80::2]:80".parse().unwrap()), "[fe80::2]:80", Some("fe80::2")),
        (Address::Vsock(VsockAddress { cid: 3, port: 9000 }), "vsock:3:9000", None),
        (Address::SharedMemory(4), "shm:4", None),
        (Address::Unix { user: 1000 }, "unix:user=1000", None),
        (Address::Memory(5), "memory:5", None),
    ] {
        assert_eq!(
            (address.to_string(), address.ip()),
            (text.into(), ip.map(|it| it.parse().unwrap()))
        );
    }
}
