//! What operators see of a guest of Xen.

use super::{ANSWER_LIMIT, FETCHED_BYTES, PATIENT, SAVE_AND_RESTORE, Site, url};
use crate::interop::admin_port;
use command::failure::{Result, fail};
use lab::harness::{Harness, curl};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// The timer of the guest's local APIC samples what runs, also after another Xen has taken the guest over.
pub(super) fn is_sampled(harness: &mut Harness) -> Result {
    let config = format!("{PATIENT}{}", admin_port::config());
    let site = Site::with(harness, &config, 128, FETCHED_BYTES)?;
    let guest = site.guest()?;
    sample()?;
    site.host.must(SAVE_AND_RESTORE)?;
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
    sample()
}

/// Samples while a file is fetched, over and over.
fn sample() -> Result {
    let is_over = AtomicBool::new(false);
    let folded = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // It may be cut off: what is asked for is load.
                let _ = curl(&["-o", "/dev/null", &url("/big")]);
            }
        });
        let port = admin_port::PORT;
        let profile =
            format!("http://{}:{port}/api/v1/profile?seconds=5&hertz=200", super::ADDRESS);
        let folded = curl(&["--fail", "-H", &admin_port::bearer(), &profile]);
        is_over.store(true, Ordering::Relaxed);
        folded
    })?;
    let is_deep = |line: &str| line.split(';').count() >= 4;
    if !folded.lines().any(|line| is_deep(line) && line.contains("net::")) {
        fail!("no sample in net:\n{folded}");
    }
    Ok(())
}
