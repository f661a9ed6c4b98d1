//! ZeroMQ.

use super::{checked, on_guest, on_process};
use crate::{
    failure::Result,
    lab::{GUEST_ADDRESS, Lab, Server, Setup, curl, equal},
    link, peers, tools,
};
use std::net::{IpAddr, SocketAddr};

const PORT: u16 = 5555;

/// Every pattern and mechanism against libzmq, bind and connect on either side.
pub(super) fn patterns_and_mechanisms(_: &mut Lab) -> Result {
    let test = peers::source("tests/interop/zmq/test_zmq.py");
    tools::output(peers::python()?.arg(test).arg(peers::zmq())).map(drop)
}

pub(super) fn service_process(lab: &mut Lab) -> Result {
    on_process(lab, service)
}

pub(super) fn service_guest(lab: &mut Lab) -> Result {
    on_guest(lab, service)
}

fn service(host: IpAddr) -> Result {
    checked(
        peers::python()?
            .arg(peers::source("tests/interop/zmq/test_service.py"))
            .arg(format!("{host}:{PORT}")),
    )
}

/// A session of a guest calls the process's service, and the other way around.
pub(super) fn appliances_call_each_other(lab: &mut Lab) -> Result {
    let bundle = lab.bundle("", &[])?;
    let words = format!("{} debug", link::guest_words());
    let guest = lab.boot(&Setup { words, bundle: Some(bundle.clone()), ..Setup::default() })?;
    let here = SocketAddr::new(link::HOST_IPV4, 8080);
    let child = lab.process_at(here, &bundle, &["--debug-endpoints"])?;
    let result = transformed(GUEST_ADDRESS, link::HOST_IPV4)
        .and_then(|()| transformed(here, link::GUEST_IPV4));
    let result = Server::Process(Box::new(child)).judge(result);
    Server::Guest(Box::new(guest)).judge(result)
}

/// `asked` has the ZeroMQ service at `service` put a text in capitals.
fn transformed(asked: SocketAddr, service: IpAddr) -> Result {
    let page = format!("http://{asked}/_test/transform/{service}:{PORT}");
    for _ in 0..10 {
        let answer = curl(&["--fail", "--data-binary", "water flows", &page])?;
        equal("the answer", &answer.as_str(), &"WATER FLOWS")?;
    }
    Ok(())
}
