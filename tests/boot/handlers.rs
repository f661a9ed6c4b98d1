//! Failing handlers: a panic or a failed allocation ends one request, not the machine.

use command::failure::{Result, fail};
use lab::{
    harness::{
        BOOT_LIMIT, GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains, curl, equal,
    },
    http_client, load,
};
use std::{net::SocketAddr, time::Duration};

const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// More than there are tasks or connections in any table, so that a leak of one shows.
const PANICS: usize = 2000;
/// Half a minute under software emulation. A leak of one byte each would show.
const PANICS_INSIDE: i64 = 250_000;
const PANICS_LIMIT: Duration = Duration::from_secs(500);

pub(super) fn a_panic_ends_one_request(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("[tcp]\nconnections_max = 100\n", &[])?;
    let mut guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::trial() })?;
    let mut bystander = load::open(GUEST_ADDRESS, 1)?;
    load::ask_each(&mut bystander, GUEST_ADDRESS, "/")?;
    for number in 0..PANICS {
        let status = http_client::get(GUEST_ADDRESS, "/_test/panic", ANSWER_LIMIT)
            .map(|answer| answer.status);
        if status != Some(500) {
            fail!(
                "panic {number} was answered {status:?}; the guest's last lines:\n{}",
                guest.tail()
            );
        }
    }
    load::ask_each(&mut bystander, GUEST_ADDRESS, "/")?;
    match guest.ended() {
        Some(status) => fail!("the guest ended ({status})"),
        None => Ok(()),
    }
}

/// Many more panics than requests could bring, in the guest itself; none may keep a byte.
pub(super) fn panics_leave_nothing(harness: &mut Harness) -> Result {
    /// What the log, the list of last panics and the request itself may hold more than before.
    const SLACK_BYTES: i64 = 128 << 10;
    let bundle = harness.bundle("", &[])?;
    let mut guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::trial() })?;
    let mut bystander = load::open(GUEST_ADDRESS, 1)?;
    let path = format!("/_test/panics/{PANICS_INSIDE}");
    std::thread::scope(|scope| -> Result {
        let asking = scope.spawn(|| http_client::get(GUEST_ADDRESS, &path, PANICS_LIMIT));
        while !asking.is_finished() {
            load::ask_each(&mut bystander, GUEST_ADDRESS, "/")?;
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    })?;
    let caught = format!("caught {PANICS_INSIDE} ");
    guest.wait_for(&caught, BOOT_LIMIT)?;
    // The first one's backtrace is in the log, by name.
    let serial = guest.serial();
    contains("the log", &serial, "trial_bare::faults::")?;
    let line = serial.lines().find(|line| line.contains(&caught)).unwrap_or_default();
    let numbers: Vec<i64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [.., before, after] if after - before < SLACK_BYTES => Ok(()),
        _ => fail!("the guest says `{line}`; its last lines:\n{}", guest.tail()),
    }
}

/// A task that asks for more memory than there is panics alone, and what it held is free again.
pub(super) fn out_of_memory(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let setup = Setup { memory_mib: 16, bundle: Some(bundle), ..Setup::trial() };
    let mut guest = harness.boot(&setup)?;
    for _ in 0..5 {
        let status = http_client::get(GUEST_ADDRESS, "/_test/exhaust", ANSWER_LIMIT)
            .map(|answer| answer.status);
        if status != Some(500) {
            fail!("the status is {status:?}; the last lines:\n{}", guest.tail());
        }
        let answer = curl(&[&format!("http://{GUEST_ADDRESS}/_test/memory")])?;
        let used = answer.split_whitespace().nth(1).and_then(|word| word.parse::<usize>().ok());
        if used.is_none_or(|used| used > 8 << 20) {
            fail!("after the panic memory is: {answer}");
        }
    }
    guest.wait_for("no memory for", ANSWER_LIMIT)
}

/// What ships has none of the trial appliance's routes: a page that is not there is asked for.
pub(super) fn no_test_routes(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let _guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    no_test_routes_at(GUEST_ADDRESS)
}

/// The process that ships has none either.
pub(super) fn no_test_routes_process(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let child = harness.process(&bundle)?;
    let result = no_test_routes_at(PROCESS_ADDRESS);
    Server::Process(Box::new(child)).judge(result)
}

fn no_test_routes_at(server: SocketAddr) -> Result {
    for path in [
        "/_test/echo",
        "/_test/sink",
        "/_test/panic",
        "/_test/relay/10.9.0.1:80/",
        "/_test/transform/transform",
        "/_test/zmq",
        "/_test/panics/1",
        "/_test/fault/null",
        "/_test/memory",
    ] {
        let status = http_client::get(server, path, ANSWER_LIMIT).map(|answer| answer.status);
        equal(path, &status, &Some(404))?;
    }
    Ok(())
}
