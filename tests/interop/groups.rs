//! Groups of appliances, as group files describe them: as processes, and as guests of one network.

use command::{
    failure::{Result, fail},
    files, paths,
    programs::{self, Program},
};
use lab::{
    accel::Accel,
    group::{Bundles, Group, Kind, Running, Start},
    harness::{BOOT_LIMIT, Case, Harness, curl},
    qemu::Machine,
};
use std::time::{Duration, Instant};

const NEEDS: &[&Program] = &[&programs::CURL, &programs::OPENSSL];

pub(crate) const CASES: &[Case] = &[
    Case::new("group/mirrors_process", NEEDS, 120, mirrors_process),
    Case::new("group/mirrors_guest", NEEDS, 240, mirrors_guest),
    Case::new("group/relay_process", NEEDS, 120, relay_process),
    Case::new("group/relay_guest", NEEDS, 240, relay_guest),
];

/// The sample of docs/groups.md.
const MIRRORS: &str = "docs/groups/mirrors.toml";
const RELAY: &str = "docs/groups/relay.toml";
/// Where `inner` of it is served: a port of `gate`.
const RELAYED_PORT: u16 = 8090;
/// For a change to go from one member to another, which tries again each second.
const FOLLOW_LIMIT: Duration = Duration::from_secs(30);

fn mirrors_process(harness: &mut Harness) -> Result {
    let started = Started::new(harness, MIRRORS, Kind::Processes)?;
    // The same keys give the same references, and the same folders the same bundles, but for the second in which pages are made.
    let mut last = started.bundles.bytes()?;
    let mut is_again = |_| -> Result<bool> {
        let again = started.make_again(harness)?.bytes()?;
        Ok(again == std::mem::replace(&mut last, again.clone()))
    };
    if !(0..5).map(&mut is_again).collect::<Result<Vec<_>>>()?.contains(&true) {
        fail!("bundles of the same group differ from one time to the next");
    }
    mirrors(started)
}

fn mirrors_guest(harness: &mut Harness) -> Result {
    mirrors(Started::new(harness, MIRRORS, Kind::Guests)?)
}

/// All serve the origin's site, and two go on when the origin is gone.
fn mirrors(mut started: Started) -> Result {
    let page = files::read_text(&paths::root().join("config/site/index.html"))?;
    for name in ["origin", "east", "west"] {
        started.wait_for(name, "/", |answer| answer == page)?;
    }
    started.running.kill("origin");
    for name in ["east", "west"] {
        started.wait_for(name, "/style.css", |answer| !answer.is_empty())?;
    }
    Ok(())
}

fn relay_process(harness: &mut Harness) -> Result {
    relay(Started::new(harness, RELAY, Kind::Processes)?)
}

fn relay_guest(harness: &mut Harness) -> Result {
    relay(Started::new(harness, RELAY, Kind::Guests)?)
}

/// One serves by the other's network; when that is gone it goes on, and serves there again when it is back.
fn relay(mut started: Started) -> Result {
    let page = files::read_text(&paths::root().join("config/site/index.html"))?;
    let Some(mut relayed) = started.running.address("gate") else { fail!("gate is not reached") };
    relayed.set_port(RELAYED_PORT);
    let url = format!("http://{relayed}/");
    wait_for("inner by gate", &url, |answer| answer == page)?;
    started.wait_for("gate", "/", |answer| answer.contains("This is gate"))?;
    started.running.kill("gate");
    if curl(&["--fail", &url]).is_ok() {
        fail!("a relay that is gone answers");
    }
    if !started.running.newly_ended().is_empty() {
        fail!("who is served by a relay ended with it");
    }
    let Started { group, bundles, start, running, .. } = &mut started;
    running.start_again("gate", group, bundles, start)?;
    wait_for("inner by gate, again", &url, |answer| answer == page)
}

/// A group whose members all answer that are to.
struct Started {
    group: Group,
    kind: Kind,
    bundles: Bundles,
    start: Start,
    running: Running,
}

impl Started {
    fn new(harness: &Harness, file: &str, kind: Kind) -> Result<Self> {
        let group = Group::read(&paths::root().join(file))?;
        let bundles = make(harness, &group, kind)?;
        let start = match kind {
            Kind::Processes => Start::Processes(harness.process_path().to_owned()),
            Kind::Guests => {
                let image = harness.kernel().to_owned();
                let accel = Accel::best(&image, Machine::Microvm)?;
                Start::Guests(vec![image; group.names().count()], accel)
            }
        };
        let mut running = Running::start(&group, &bundles, &start)?;
        running.wait_until_all_answer(BOOT_LIMIT * 2)?;
        Ok(Self { group, kind, bundles, start, running })
    }

    fn make_again(&self, harness: &Harness) -> Result<Bundles> {
        make(harness, &self.group, self.kind)
    }

    /// Waits until a member's answer is as it should be.
    fn wait_for(&self, name: &str, path: &str, is_right: impl Fn(&str) -> bool) -> Result {
        let Some(address) = self.running.address(name) else { fail!("{name} is not reached") };
        wait_for(name, &format!("http://{address}{path}"), is_right)
    }
}

/// Waits until an answer is as it should be.
fn wait_for(what: &str, url: &str, is_right: impl Fn(&str) -> bool) -> Result {
    let deadline = Instant::now() + FOLLOW_LIMIT;
    loop {
        match curl(&["--fail", url]) {
            Ok(answer) if is_right(&answer) => return Ok(()),
            answer if Instant::now() > deadline => {
                fail!("{what}: {url} is not answered as it should be, but {answer:?}")
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn make(harness: &Harness, group: &Group, kind: Kind) -> Result<Bundles> {
    Bundles::make(group, kind, &harness.scratch.path("group"), harness.process_path())
}
