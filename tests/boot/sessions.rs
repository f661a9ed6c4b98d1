//! A panic ends a session, not the machine.

use crate::{
    failure::{Result, fail},
    http,
    lab::{GUEST_ADDRESS, Lab, Setup, equal},
    link, load,
};
use std::time::Duration;

const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// More than there are tasks or connections in any table, so that a leak of one shows.
const PANICS: usize = 2000;

pub(super) fn panic_ends_one_session(lab: &mut Lab) -> Result {
    let bundle = lab.bundle("[tcp]\nconnections_max = 100\n", &[])?;
    let words = format!("{} debug", link::guest_words());
    let mut guest = lab.boot(&Setup { words, bundle: Some(bundle), ..Setup::default() })?;
    let mut bystander = load::open(GUEST_ADDRESS, 1)?;
    load::ask_each(&mut bystander, GUEST_ADDRESS, "/")?;
    for number in 0..PANICS {
        let status =
            http::get(GUEST_ADDRESS, "/_test/panic", ANSWER_LIMIT).map(|answer| answer.status);
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

pub(super) fn test_endpoints_are_off(lab: &mut Lab) -> Result {
    let bundle = lab.bundle("", &[])?;
    let _guest = lab.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    for path in ["/_test/echo", "/_test/panic"] {
        let status = http::get(GUEST_ADDRESS, path, ANSWER_LIMIT).map(|answer| answer.status);
        equal(path, &status, &Some(404))?;
    }
    Ok(())
}
