//! Web sessions with curl's cookie jar: who keeps the cookie goes on, who loses it begins anew, one's death is his own.

use super::curl;
use command::failure::{Result, fail};
use lab::harness::{Harness, contains, curl, equal};
use std::net::SocketAddr;

pub(super) fn on_guest(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[("site/page", b"page")])?;
    curl::on_trial_guest(harness, bundle, check)
}

pub(super) fn on_process(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[("site/page", b"page")])?;
    curl::on_trial_process(harness, &bundle, check)
}

fn check(harness: &Harness, appliance: SocketAddr) -> Result {
    let jar = |name: &str| harness.scratch.path(name).display().to_string();
    let visit = |visitor: &str, path: &str| -> Result<String> {
        let jar = jar(visitor);
        let url = format!("http://{appliance}/_test/session{path}");
        curl(&["-b", &jar, "-c", &jar, "-w", "%{http_code}", &url])
    };
    let first = visit("one", "")?;
    let Some((number, "1\n200")) = first.split_once(' ') else {
        fail!("a first visit is answered {first:?}");
    };
    contains(
        "the cookie jar",
        &std::fs::read_to_string(jar("one")).unwrap_or_default(),
        "#HttpOnly_",
    )?;
    equal("a second visit", &visit("one", "")?, &format!("{number} 2\n200"))?;
    equal("a slow answer", &visit("one", "/slow")?, &format!("{number} 3\n200"))?;
    let other = visit("other", "")?;
    if other.starts_with(&format!("{number} ")) || !other.ends_with(" 1\n200") {
        fail!("another visitor is answered {other:?}");
    }
    let death = visit("one", "/die")?;
    if !death.ends_with("500") {
        fail!("the death of a session is answered {death:?}");
    }
    let after = visit("one", "")?;
    if after.starts_with(&format!("{number} ")) || !after.ends_with(" 1\n200") {
        fail!("after its death a visitor is answered {after:?}");
    }
    equal("the other one", &visit("other", "")?, &other.replace(" 1\n", " 2\n"))
}
