//! Guests that are saved, restored and moved: connections outlive it.

use super::{ANSWER_LIMIT, MIGRATE, SAVE_AND_RESTORE, Site, expect_reason, outside, url};
use command::failure::{OrSay, Result, fail};
use lab::{
    harness::{Harness, contains, equal},
    http_client, load,
    xen::{Domain, Host},
};
use std::net::TcpStream;

pub(super) fn restored(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    let guest = site.guest()?;
    let mut connection = Connection::open()?;
    for _ in 0..2 {
        site.host.must(SAVE_AND_RESTORE)?;
        connection.ask("after a restoration", &guest, &site.host)?;
        // What stood in the old domain's folder stands in the new one's.
        for (node, expected) in [
            ("control/feature-suspend", "1"),
            ("data/aqueduct/state", "running"),
            ("data/os_distro", "aqueduct"),
            ("data/services/http", "one http 10.0.2.20:80"),
        ] {
            let read = format!(
                "d=/local/domain/$(xl domid one); n=0; until xenstore-read $d/{node} 2>/dev/null || \
                [ $n = 300 ]; do sleep 0.1; n=$((n+1)); done"
            );
            equal(node, &site.host.must(&read)?.trim(), &expected)?;
        }
    }
    // In the middle of a transfer.
    site.fetch_while(SAVE_AND_RESTORE)?;
    contains("the console", &guest.console(&site.host)?, "restored; xenstore")?;
    site.host.must("xl shutdown one")?;
    expect_reason(&guest, &site.host, 0)
}

/// A copy is saved of a guest that goes on, and it moves to the same host, which needs room for both.
pub(super) fn moved(harness: &mut Harness) -> Result {
    let site = Site::with(harness, super::PATIENT, 192, super::FETCHED_BYTES)?;
    let guest = site.guest()?;
    // dom0 has little room for files.
    site.host.must("rm /guests/bundle")?;
    let mut connection = Connection::open()?;
    site.fetch_while("xl save -c one /tmp/saved")?;
    connection.ask("after a checkpoint", &guest, &site.host)?;
    contains("the console", &guest.console(&site.host)?, "resumed where it was")?;
    // No room to save it in: it goes on.
    let failed = site.host.run("rm /tmp/saved; xl save one /dev/full")?;
    equal("whether the save failed", &(failed.code != 0), &true)?;
    connection.ask("after a failed save", &guest, &site.host)?;
    site.fetch_while(MIGRATE)?;
    connection.ask("after a migration", &guest, &site.host)?;
    site.host.must("xl save -c one /tmp/saved; xl destroy one; xl restore /tmp/saved")?;
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)
}

/// A connection from outside of the host, over which each answer is the guest's second sign of life.
struct Connection(TcpStream);

impl Connection {
    fn open() -> Result<Self> {
        let Some(stream) = load::open(outside()?, 1)?.pop() else { fail!("no connection") };
        stream.set_read_timeout(Some(ANSWER_LIMIT)).or_say(|| "cannot set a time limit".into())?;
        let mut new = Self(stream);
        match new.answer()? {
            Some(200) => Ok(new),
            other => fail!("the first answer was {other:?}"),
        }
    }

    fn ask(&mut self, when: &str, guest: &Domain, host: &Host) -> Result {
        match self.answer()? {
            Some(200) => Ok(()),
            other => fail!("{when} the answer was {other:?}; console:\n{}", guest.console(host)?),
        }
    }

    fn answer(&mut self) -> Result<Option<u16>> {
        let answer = http_client::get_again(&mut self.0, outside()?, "/");
        Ok(answer.map(|answer| answer.status))
    }
}
