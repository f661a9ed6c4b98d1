//! The console: told in time, and never in the way.

use command::failure::{OrSay, Result, fail};
use lab::{
    harness::{GUEST_ADDRESS, Harness, Setup, contains, equal},
    http_client, link,
};
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::Duration;

const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// For a handler that stalls for five seconds, on a busy machine.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// How long a message may take on its way.
const SYSLOG_LIMIT: Duration = Duration::from_secs(10);
/// More than the console keeps.
const FLOOD_LINES: usize = 5000;

/// What does not fit is dropped, line by line, and told; the server goes on meanwhile, and the last line comes.
pub(super) fn flood(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let mut guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::trial() })?;
    let path = format!("/_test/log/{FLOOD_LINES}");
    let status = http_client::get(GUEST_ADDRESS, &path, ANSWER_LIMIT).map(|answer| answer.status);
    equal("the flood's status", &status, &Some(200))?;
    let status = http_client::get(GUEST_ADDRESS, "/", ANSWER_LIMIT).map(|answer| answer.status);
    equal("the next status", &status, &Some(200))?;
    guest.wait_for("line 1 of 5000", ANSWER_LIMIT)?;
    // What was dropped is told as soon as there is something to tell after it.
    guest.wait_until("told loss", Duration::from_secs(20), |guest| {
        let _ = http_client::get(GUEST_ADDRESS, "/_test/log/1", ANSWER_LIMIT);
        guest.serial().contains("bytes lost]")
    })?;
    guest.qmp()?.power_button()?;
    let code = guest.wait_end(Duration::from_secs(15))?;
    equal("the exit code", &code, &0)?;
    guest.wait_until("last line", ANSWER_LIMIT, |guest| guest.serial().contains("stopped;"))?;
    // Lines are dropped whole.
    let serial = guest.serial();
    match serial.lines().find(|line| line.contains(": line ") && !line.ends_with("asked for")) {
        Some(cut) => fail!("a line was cut: {cut}"),
        None => Ok(()),
    }
}

/// The command line's level holds from the first line on: what is beyond it is not written, and all else is.
pub(super) fn level(harness: &mut Harness) -> Result {
    for (level, written) in
        [("error", [false; 2]), ("warn", [false; 2]), ("info", [true, false]), ("debug", [true; 2])]
    {
        let bundle = harness.bundle("[http]\nconnections_per_client_max = 1\n", &[])?;
        let words = format!("{} log={level}", link::guest_words());
        let setup = Setup { words, bundle: Some(bundle), ..Setup::default() };
        let mut guest = harness.boot(&setup)?;
        turned_away()?;
        if written[1] {
            guest.wait_for("] DEBUG ", ANSWER_LIMIT)?;
        }
        let serial = guest.serial();
        let found = ["] INFO ", "] DEBUG "].map(|part| serial.contains(part));
        equal(&format!("INFO and DEBUG by log={level}"), &found, &written)?;
    }
    Ok(())
}

/// One connection too many, whatever became of the harness's own, of which the log has a line, at a level that is off as a rule.
fn turned_away() -> Result {
    let connect = || TcpStream::connect(GUEST_ADDRESS).or_say(|| "no connection".into());
    let (_first, _second, mut third) = (connect()?, connect()?, connect()?);
    third.set_read_timeout(Some(ANSWER_LIMIT)).or_say(|| "no time-out".into())?;
    let is_refused = match third.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    equal("whether a connection too many is turned away", &is_refused, &true)
}

/// What somebody else's command line says does no harm: it is named, and passed over.
pub(super) fn unknown_words(harness: &mut Harness) -> Result {
    let words = format!("console=ttyS0 quiet {} panic=-1", link::guest_words());
    let mut guest = harness.boot(&Setup { words, ..Setup::default() })?;
    for word in ["console=ttyS0", "quiet", "panic=-1"] {
        let line = format!("`{word}` means nothing here and is ignored");
        guest.wait_for(&line, ANSWER_LIMIT)?;
    }
    Ok(())
}

/// Where the machine is.
pub(super) fn addresses(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let mut guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    for address in [link::GUEST_IPV4, link::GUEST_IPV6] {
        guest.wait_for(&format!("address {address}/"), ANSWER_LIMIT)?;
    }
    Ok(())
}

/// A handler keeps the loop for too long: the log says so once, and where all tasks wait, and the rest goes on.
pub(super) fn stall(harness: &mut Harness) -> Result {
    let mut guest = harness.boot(&Setup::trial())?;
    let status = |path| http_client::get(GUEST_ADDRESS, path, STALL_LIMIT).map(|it| it.status);
    equal("the status", &status("/_test/stall"), &Some(200))?;
    guest.wait_for("the loop made no turn for 5 s", ANSWER_LIMIT)?;
    guest.wait_for("tasks: ", ANSWER_LIMIT)?;
    equal("the next status", &status("/samples"), &Some(200))?;
    equal("how often it is told", &guest.serial().matches("made no turn").count(), &1)
}

/// RFC 5426: each line is a datagram, from the first line on.
pub(super) fn syslog_by_udp(harness: &mut Harness) -> Result {
    let collector = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).or_say(|| "no port".into())?;
    let port = collector.local_addr().or_say(|| "no port".into())?.port();
    collector.set_read_timeout(Some(SYSLOG_LIMIT)).or_say(|| "no time limit".into())?;
    let config = format!("[log]\nsyslog = \"udp://{}:{port}\"\n", link::HOST_IPV4);
    let bundle = harness.bundle(&config, &[])?;
    let _guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    let (mut message, mut count) = ([0; 2048], 0);
    loop {
        let received = collector.recv_from(&mut message);
        let (bytes, from) = received.or_say(|| format!("after {count} messages none came"))?;
        let text = String::from_utf8_lossy(&message[..bytes]);
        count += 1;
        equal("who sends", &from.ip(), &link::GUEST_IPV4)?;
        contains("a message", &text, &format!(" [meta sequenceId=\"{count}\"] "))?;
        // RFC 5424 section 6: priority and version.
        if !text.starts_with("<30>1 ") && !text.starts_with("<28>1 ") {
            fail!("a message has another head: {text}");
        }
        if text.ends_with("http on port 80") {
            return Ok(());
        }
    }
}
