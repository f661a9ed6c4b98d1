//! Sessions that outlive restarts: a process, then a guest, then a process again, and nginx keeps what they save.

use super::nginx::{NGINX, Nginx};
use command::{
    failure::{OrSay, Result, fail},
    files,
};
use lab::harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains, curl, equal};
use std::{net::SocketAddr, time::Duration};

const STOP_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn sessions(harness: &mut Harness) -> Result {
    // For the address at which nginx listens.
    harness.tap()?;
    let www = harness.scratch.path("www");
    files::make_folder(&www)?;
    let _nginx = Nginx::start(harness, "location / { root www; dav_methods PUT; }")?;
    let config = format!(
        "[rpc]\nport = 0\n[zmq]\nport = 0\n[sessions]\ncarry_over = \"http://{NGINX}/saved\"\n"
    );
    let bundle = harness.bundle(&config, &[])?;

    let mut process = Server::Process(Box::new(harness.trial_process(&bundle)?));
    equal("the first visit", &visit(harness, PROCESS_ADDRESS)?, &1)?;
    equal("the second visit", &visit(harness, PROCESS_ADDRESS)?, &2)?;
    process.stop(STOP_LIMIT)?;
    let saved = std::fs::read_to_string(www.join("saved")).or_say(|| "nothing was saved".into())?;
    contains("what was saved", &saved, "\"/_test/session\"")?;

    let setup = Setup { bundle: Some(bundle.clone()), ..Setup::trial() };
    let mut guest = Server::Guest(Box::new(harness.boot(&setup)?));
    equal("a visit after the restart", &visit(harness, GUEST_ADDRESS)?, &3)?;
    guest.stop(STOP_LIMIT)?;

    let mut process = Server::Process(Box::new(harness.trial_process(&bundle)?));
    equal("a visit after both", &visit(harness, PROCESS_ADDRESS)?, &4)?;
    process.stop(STOP_LIMIT)
}

/// How many visits the session has had. The cookie is shown by hand: the servers have other names.
pub(crate) fn visit(harness: &Harness, server: SocketAddr) -> Result<u32> {
    let jar = harness.scratch.path("cookie");
    let shown = std::fs::read_to_string(&jar).unwrap_or_default();
    let url = format!("http://{server}/_test/session");
    let answer = curl(&["-i", "-H", &format!("Cookie: {shown}"), &url])?;
    let set = answer.lines().find_map(|line| line.strip_prefix("Set-Cookie: "));
    if let Some(cookie) = set.and_then(|set| set.split(';').next()) {
        std::fs::write(&jar, cookie).or_say(|| "cannot keep a cookie".into())?;
    }
    match answer.trim_end().rsplit(' ').next().and_then(|count| count.parse().ok()) {
        Some(count) => Ok(count),
        None => fail!("a visit is answered {answer:?}"),
    }
}
