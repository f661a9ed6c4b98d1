//! RPC and ZeroMQ against real peers: the C++ and Python libraries of Cap'n Proto, libzmq. The engines first, each side
//! in turn being the server; then the appliance's own services, as a Linux process and as a guest.

pub(crate) mod rpc;
pub(crate) mod vats;
pub(crate) mod zmq;

use command::{
    child::Child,
    failure::{Result, fail},
    programs::{self, Program},
};
use lab::{
    harness::{Case, Harness, Server, Setup, contains},
    peers::{CAPNP, CAPNP_HEADERS, CXX, PIP, PYTHON},
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Any case has all peers of its kind made.
pub(crate) const RPC: &[&Program] = &[&CAPNP, &CAPNP_HEADERS, &CXX, &PYTHON, &PIP];
pub(crate) const SECURE_RPC: &[&Program] =
    &[&CAPNP, &CAPNP_HEADERS, &CXX, &PYTHON, &PIP, &programs::OPENSSL];
pub(crate) const SECURE_RPC_BY_HTTP: &[&Program] =
    &[&CAPNP, &CAPNP_HEADERS, &CXX, &PYTHON, &PIP, &programs::OPENSSL, &programs::CURL];
const STUNNEL: &[&Program] = &[
    &CAPNP,
    &CAPNP_HEADERS,
    &CXX,
    &PYTHON,
    &PIP,
    &programs::OPENSSL,
    &programs::CURL,
    &programs::STUNNEL,
];
pub(crate) const ZMQ: &[&Program] = &[&PYTHON, &PIP];

pub(crate) const CASES: &[Case] = &[
    Case::new("rpc/cpp_calls_us", RPC, 120, rpc::cpp_calls_us),
    Case::new("rpc/we_call_cpp", RPC, 120, rpc::we_call_cpp),
    Case::new("rpc/python_calls_us", RPC, 120, rpc::python_calls_us),
    Case::new("rpc/we_call_python", RPC, 120, rpc::we_call_python),
    Case::new("rpc/appliance_process", RPC, 180, rpc::appliance_process),
    Case::new("rpc/appliance_guest", RPC, 300, rpc::appliance_guest),
    Case::new("rpc/relaying_process", RPC, 180, rpc::relaying_process),
    Case::new("rpc/relaying_guest", RPC, 300, rpc::relaying_guest),
    Case::new("rpc/secure_process", SECURE_RPC, 180, vats::python_calls_process),
    Case::new("rpc/secure_guest", SECURE_RPC, 300, vats::python_calls_guest),
    Case::new("rpc/we_call_secure", SECURE_RPC_BY_HTTP, 180, vats::we_call_python),
    Case::new("rpc/cpp_calls_by_stunnel", STUNNEL, 180, vats::cpp_calls_by_stunnel),
    Case::new("rpc/we_call_cpp_by_stunnel", STUNNEL, 180, vats::we_call_cpp_by_stunnel),
    Case::new("zmq/patterns_and_mechanisms", ZMQ, 600, zmq::patterns_and_mechanisms),
    Case::new("zmq/patterns_process", ZMQ, 600, zmq::patterns_process),
    Case::new("zmq/patterns_guest", ZMQ, 900, zmq::patterns_guest),
    Case::new("zws/jszmq", &[&programs::NODE], 120, zmq::jszmq),
    Case::new("zmq/service_process", ZMQ, 180, zmq::service_process),
    Case::new("zmq/service_guest", ZMQ, 300, zmq::service_guest),
    Case::new(
        "zmq/appliances_call_each_other",
        &[&programs::CURL, &PYTHON, &PIP],
        120,
        zmq::appliances_call_each_other,
    ),
];

/// What checks print when nothing is left to check.
const ALL_CHECKED: &str = "all checked";
/// Where a peer serves, in the test's namespace.
const PEER_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9000);
const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Starts a peer that serves at [`PEER_ADDRESS`], and waits until it does.
fn serving(command: Command) -> Result<Child> {
    serving_at(command, PEER_ADDRESS)
}

/// Starts a peer that serves at an address, and waits until it does.
fn serving_at(mut command: Command, address: SocketAddr) -> Result<Child> {
    command.arg("serve").arg(address.to_string());
    waiting_for(&mut command, || TcpStream::connect(address).is_ok())
}

/// Starts a program, and waits until it serves.
pub(crate) fn waiting_for(command: &mut Command, serves: impl Fn() -> bool) -> Result<Child> {
    let mut child = Child::start(command, |command| {
        command.stdin(Stdio::null());
    })?;
    let deadline = Instant::now() + START_LIMIT;
    while !serves() {
        if let Some(status) = child.ended() {
            fail!("the server ended ({status}) before it served");
        }
        if Instant::now() > deadline {
            fail!("the server did not serve within {START_LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(child)
}

/// Runs a check to its end; it must say that it checked everything.
pub(crate) fn checked(command: &mut Command) -> Result {
    contains("the check's output", &programs::output(command)?, ALL_CHECKED)
}

/// Checks the services of the Linux process, which must then stop as it should.
fn on_process(harness: &mut Harness, check: fn(IpAddr) -> Result) -> Result {
    let bundle = harness.bundle(rpc::OPEN, &[])?;
    on_process_with(harness, &bundle, check)
}

/// The same, of one with this bundle.
fn on_process_with(
    harness: &Harness,
    bundle: &Path,
    check: impl FnOnce(IpAddr) -> Result,
) -> Result {
    let child = harness.process(bundle)?;
    let mut server = Server::Process(Box::new(child));
    let result = check(lab::harness::PROCESS_ADDRESS.ip());
    server.judge(result)?;
    server.stop(STOP_LIMIT)
}

/// Checks the services of a guest, which must then stop as it should.
fn on_guest(harness: &mut Harness, check: fn(IpAddr) -> Result) -> Result {
    let bundle = harness.bundle(rpc::OPEN, &[])?;
    on_guest_with(harness, &bundle, check)
}

/// The same, of one with this bundle.
fn on_guest_with(
    harness: &mut Harness,
    bundle: &Path,
    check: impl FnOnce(IpAddr) -> Result,
) -> Result {
    let guest = harness.boot(&Setup { bundle: Some(bundle.to_owned()), ..Setup::default() })?;
    let mut server = Server::Guest(Box::new(guest));
    let result = check(lab::harness::GUEST_ADDRESS.ip());
    server.judge(result)?;
    server.stop(STOP_LIMIT)
}
