//! Many clients, endless clients, slow clients, hostile clients: those who behave are served all the while.

use command::{
    failure::{Result, fail},
    programs,
};
use lab::{
    harness::{GUEST_ADDRESS, Harness, Server, Setup},
    http_client, load,
};
use std::time::{Duration, Instant};

const ANSWER_LIMIT: Duration = Duration::from_secs(5);

fn with_guest(harness: &mut Harness, config: &str, check: impl FnOnce() -> Result) -> Result {
    let bundle = harness.bundle(config, &[])?;
    let guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    let result = check();
    Server::Guest(Box::new(guest)).judge(result)
}

fn served() -> Result {
    match http_client::get(GUEST_ADDRESS, "/", ANSWER_LIMIT) {
        Some(answer) if answer.status == 200 => Ok(()),
        Some(answer) => fail!("a client that behaves was answered {}", answer.status),
        None => fail!("a client that behaves was not answered"),
    }
}

pub(super) fn wrk_64(harness: &mut Harness) -> Result {
    with_guest(harness, "", || wrk(&["-c64"]))
}

pub(super) fn wrk_new_connections(harness: &mut Harness) -> Result {
    with_guest(harness, "", || wrk(&["-c16", "-H", "Connection: close"]))
}

/// Five seconds without one error.
pub(super) fn wrk(more: &[&str]) -> Result {
    let mut command = programs::command(&programs::WRK)?;
    command
        .args(["-t1", "-d5s", "--timeout", "5s"])
        .args(more)
        .arg(format!("http://{GUEST_ADDRESS}/"));
    let report = programs::output(&mut command)?;
    let bad = ["Socket errors", "Non-2xx"].iter().any(|sign| report.contains(sign));
    if bad || report.contains(" 0 requests in") { fail!("wrk reports:\n{report}") } else { Ok(()) }
}

/// All open at once; each is asked when it is new, and once more when all are there.
pub(super) fn ten_thousand(harness: &mut Harness) -> Result {
    with_guest(harness, "[http]\nidle_timeout_seconds = 600\naccess_log = false\n", || {
        load::allow_sockets(10_000)?;
        let mut streams = Vec::new();
        for _ in 0..20 {
            let mut more = load::open(GUEST_ADDRESS, 500)?;
            load::ask_each(&mut more, GUEST_ADDRESS, "/")?;
            streams.extend(more);
        }
        load::ask_each(&mut streams, GUEST_ADDRESS, "/")?;
        served()
    })
}

/// Ten seconds of a new connection for each request: nothing runs out.
pub(super) fn churn(harness: &mut Harness) -> Result {
    with_guest(harness, "[http]\naccess_log = false\n", || {
        let answered = load::churn(GUEST_ADDRESS, "/", Duration::from_secs(10))?;
        if answered < 100 { fail!("only {answered} requests in 10 s") } else { Ok(()) }
    })
}

/// Heads that never end are given up after the configured time; others are served before and after.
pub(super) fn slow_clients(harness: &mut Harness) -> Result {
    with_guest(harness, "[http]\nhead_timeout_seconds = 3\n", || {
        let started = Instant::now();
        let mut slow = load::Dawdlers::new(GUEST_ADDRESS, 500)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while slow.step() > 0 {
            served()?;
            if Instant::now() > deadline {
                fail!("{} slow clients are still connected", slow.step());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        // Of the three seconds a hundredth is the clocks'.
        if started.elapsed() < Duration::from_millis(2_970) {
            fail!("all were given up after {:?}, before their time", started.elapsed());
        }
        served()
    })
}

/// Half-open connections by the ten thousand, more than any table has room for.
pub(super) fn syn_flood(harness: &mut Harness) -> Result {
    with_guest(harness, "[tcp]\nhalf_open_max = 256\n", || {
        for _ in 0..20 {
            load::syn_flood(GUEST_ADDRESS.port(), 2_000)?;
            served()?;
        }
        Ok(())
    })
}

/// The connections that fit are served, the next are not, and room that is made is used: by one where one has gone.
pub(super) fn above_the_limit(harness: &mut Harness) -> Result {
    with_guest(harness, "[tcp]\nconnections_max = 50\nlisten_backlog = 8\n", || {
        let mut fit = load::open(GUEST_ADDRESS, 50)?;
        load::ask_each(&mut fit, GUEST_ADDRESS, "/")?;
        for limit in [[1_000; 1].as_slice(), &[20; 50]].concat() {
            if http_client::get(GUEST_ADDRESS, "/", Duration::from_millis(limit)).is_some() {
                fail!("a connection beyond the limit is served");
            }
        }
        load::ask_each(&mut fit, GUEST_ADDRESS, "/")?;
        for gone in [1, 49] {
            fit.drain(..gone);
            let deadline = Instant::now() + Duration::from_secs(20);
            while served().is_err() {
                if Instant::now() > deadline {
                    fail!("nobody is served after {gone} have gone");
                }
            }
            load::ask_each(&mut fit, GUEST_ADDRESS, "/")?;
        }
        Ok(())
    })
}
