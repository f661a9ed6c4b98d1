//! Many clients, endless clients, slow clients, hostile clients: those who behave are served all the while.

use crate::{
    failure::{Failure, Result, fail},
    http,
    lab::{GUEST_ADDRESS, Lab, Server, Setup},
    load, tools,
};
use std::time::{Duration, Instant};

const ANSWER_LIMIT: Duration = Duration::from_secs(5);

fn with_guest(lab: &mut Lab, config: &str, check: impl FnOnce() -> Result) -> Result {
    let bundle = lab.bundle(config, &[])?;
    let guest = lab.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    let result = check();
    Server::Guest(Box::new(guest)).judge(result)
}

fn served() -> Result {
    match http::get(GUEST_ADDRESS, "/", ANSWER_LIMIT) {
        Some(answer) if answer.status == 200 => Ok(()),
        Some(answer) => fail!("a client that behaves was answered {}", answer.status),
        None => fail!("a client that behaves was not answered"),
    }
}

pub(super) fn wrk_64(lab: &mut Lab) -> Result {
    with_guest(lab, "", || wrk(&["-c64"]))
}

pub(super) fn wrk_new_connections(lab: &mut Lab) -> Result {
    with_guest(lab, "", || wrk(&["-c16", "-H", "Connection: close"]))
}

/// Ten seconds without one error.
pub(super) fn wrk(more: &[&str]) -> Result {
    let mut command = tools::command(&tools::WRK)?;
    command
        .args(["-t1", "-d10s", "--timeout", "5s"])
        .args(more)
        .arg(format!("http://{GUEST_ADDRESS}/"));
    let report = tools::output(&mut command)?;
    let bad = ["Socket errors", "Non-2xx"].iter().any(|sign| report.contains(sign));
    if bad || report.contains(" 0 requests in") { fail!("wrk reports:\n{report}") } else { Ok(()) }
}

/// All open at once; each is asked when it is new, and once more when all are there.
pub(super) fn ten_thousand(lab: &mut Lab) -> Result {
    with_guest(lab, "[http]\nidle_timeout_seconds = 600\naccess_log = false\n", || {
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

/// Sixty seconds of a new connection for each request: nothing runs out.
pub(super) fn churn(lab: &mut Lab) -> Result {
    with_guest(lab, "[http]\naccess_log = false\n", || {
        let answered = load::churn(GUEST_ADDRESS, "/", Duration::from_secs(60))?;
        if answered < 100 { fail!("only {answered} requests in a minute") } else { Ok(()) }
    })
}

/// Heads that never end are given up after the configured time; others are served before and after.
pub(super) fn slow_clients(lab: &mut Lab) -> Result {
    with_guest(lab, "[http]\nhead_timeout_seconds = 3\n", || {
        let mut slow = load::Dawdlers::new(GUEST_ADDRESS, 500)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while slow.step() > 0 {
            served()?;
            if Instant::now() > deadline {
                fail!("{} slow clients are still connected", slow.step());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        served()
    })
}

/// Half-open connections by the ten thousand, more than any table has room for.
pub(super) fn syn_flood(lab: &mut Lab) -> Result {
    with_guest(lab, "[tcp]\nhalf_open_max = 256\n", || {
        for _ in 0..20 {
            load::syn_flood(GUEST_ADDRESS.port(), 2_000)?;
            served()?;
        }
        Ok(())
    })
}

/// The connections that fit are served, the next are refused or wait, and room that is made is used.
pub(super) fn above_the_limit(lab: &mut Lab) -> Result {
    with_guest(lab, "[tcp]\nconnections_max = 50\nlisten_backlog = 8\n", || {
        let mut fit = load::open(GUEST_ADDRESS, 50)?;
        load::ask_each(&mut fit, GUEST_ADDRESS, "/")?;
        for _ in 0..100 {
            let _ = http::get(GUEST_ADDRESS, "/", Duration::from_millis(20));
        }
        load::ask_each(&mut fit, GUEST_ADDRESS, "/")?;
        drop(fit);
        let deadline = Instant::now() + Duration::from_secs(20);
        while served().is_err() {
            if Instant::now() > deadline {
                return Err(Failure::new("nobody is served after all have gone"));
            }
        }
        Ok(())
    })
}
