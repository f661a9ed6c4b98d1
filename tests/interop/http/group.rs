//! Sessions of a group: a guest and processes behind nginx, which spreads requests evenly. Sessions stay whole under load,
//! one of the group is killed, and one is added.

use super::nginx::{NGINX, Nginx};
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
};
use lab::{
    harness::{GUEST_ADDRESS, Harness, Setup, curl, equal},
    link,
};
use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, thread};

const VISITORS: usize = 12;
const VISITS: usize = 8;
const KEY: &str = "000102030405060708090a0b0c0d0e0f";

const ALPHA: Member = Member { name: "alpha", address: GUEST_ADDRESS };
const BETA: Member = Member { name: "beta", address: at(8181) };
const GAMMA: Member = Member { name: "gamma", address: at(8182) };
/// It comes later.
const DELTA: Member = Member { name: "delta", address: at(8183) };

#[derive(Clone, Copy)]
struct Member {
    name: &'static str,
    address: SocketAddr,
}

const fn at(port: u16) -> SocketAddr {
    SocketAddr::new(link::HOST_IPV4, port)
}

pub(super) fn sessions(harness: &mut Harness) -> Result {
    let setup = Setup { bundle: Some(bundle(harness, ALPHA)?), ..Setup::trial() };
    let _alpha = harness.boot(&setup)?;
    let beta = start(harness, BETA)?;
    let gamma = start(harness, GAMMA)?;
    let mut nginx = balance(harness, &[ALPHA, BETA, GAMMA])?;

    let mut visitors: Vec<_> = (0..VISITORS).map(|index| Visitor::new(harness, index)).collect();
    load(&mut visitors)?;
    let owners: BTreeSet<_> = visitors.iter().map(|it| it.owner.as_str()).collect();
    equal("owners of sessions", &owners, &["alpha", "beta", "gamma"].into())?;

    loops_are_refused(&mut visitors)?;

    drop(gamma);
    for visitor in &mut visitors {
        visitor.has_lost_session = visitor.owner == GAMMA.name;
    }
    load(&mut visitors)?;
    equal("sessions at a dead owner", &owned_by(&visitors, GAMMA), &0)?;

    nginx.stop();
    let _delta = start(harness, DELTA)?;
    let _nginx = balance(harness, &[ALPHA, BETA, DELTA])?;
    let mut newcomers: Vec<_> =
        (0..VISITORS).map(|index| Visitor::new(harness, VISITORS + index)).collect();
    visitors.append(&mut newcomers);
    load(&mut visitors)?;
    if owned_by(&visitors, DELTA) == 0 {
        fail!("who was added has no session");
    }
    drop(beta);
    Ok(())
}

/// Who says that his request has been at a member before is told so, and nobody else's session is lost by it.
fn loops_are_refused(visitors: &mut [Visitor]) -> Result {
    let Some(visitor) = visitors.iter_mut().find(|visitor| visitor.owner == ALPHA.name) else {
        fail!("nobody is at alpha");
    };
    let jar = visitor.jar.display().to_string();
    let url = format!("http://{}/_test/session", BETA.address);
    let status =
        curl(&["-b", &jar, "-H", "CDN-Loop: beta", "-o", "/dev/null", "-w", "%{http_code}", &url])?;
    equal("a loop", &status.as_str(), &"508")?;
    let count = format!("{}\n200", visitor.visits + 1);
    visitor.visits += 1;
    let answer = curl(&["-b", &jar, "-w", "%{http_code}", &url])?;
    equal("a visit by way of beta", &answer, &format!("{} {count}", visitor.number))
}

fn bundle(harness: &Harness, member: Member) -> Result<PathBuf> {
    let names: String = [ALPHA, BETA, GAMMA, DELTA]
        .iter()
        .map(|Member { name, address }| format!("http {name} http {address}\n"))
        .collect();
    let config = format!(
        "[network]\nhostname = \"{}\"\n[rpc]\nport = 0\n[zmq]\nport = 0\n[affinity]\nkey = \"{KEY}\"\n",
        member.name
    );
    harness.bundle(&config, &[(config::NAMES_FILE, names.as_bytes())])
}

fn start(harness: &Harness, member: Member) -> Result<Child> {
    harness.trial_process_at(member.address, &bundle(harness, member)?)
}

fn balance(harness: &Harness, members: &[Member]) -> Result<Nginx> {
    let servers: String =
        members.iter().map(|member| format!("server {}; ", member.address)).collect();
    let location = "location / {
        proxy_pass http://group; proxy_http_version 1.1; proxy_set_header Connection '';
        proxy_set_header Host $http_host;
    }";
    Nginx::start_with(harness, &format!("upstream group {{ {servers} }}"), location)
}

fn owned_by(visitors: &[Visitor], member: Member) -> usize {
    visitors.iter().filter(|visitor| visitor.owner == member.name).count()
}

/// All visit at once, each some times.
fn load(visitors: &mut [Visitor]) -> Result {
    thread::scope(|scope| {
        let visits: Vec<_> = visitors
            .chunks_mut(VISITORS / 4)
            .map(|some| {
                scope.spawn(|| {
                    for _ in 0..VISITS {
                        some.iter_mut().try_for_each(Visitor::visit)?;
                    }
                    Ok(())
                })
            })
            .collect();
        visits.into_iter().try_for_each(|visit| visit.join().expect("it does not panic"))
    })
}

/// One with a cookie jar.
struct Visitor {
    jar: PathBuf,
    visits: usize,
    /// Its session's number, at its owner.
    number: String,
    owner: String,
    /// It does not know yet.
    has_lost_session: bool,
}

impl Visitor {
    fn new(harness: &Harness, index: usize) -> Self {
        let jar = harness.scratch.path(&format!("jar-{index}"));
        let (number, owner) = (String::new(), String::new());
        Self { jar, visits: 0, number, owner, has_lost_session: true }
    }

    /// Visits, and expects to be known.
    fn visit(&mut self) -> Result {
        let jar = self.jar.display().to_string();
        let url = format!("http://{NGINX}/_test/session");
        let answer = curl(&["-b", &jar, "-c", &jar, "-w", "%{http_code}", &url])?;
        let Some((number, visits)) = answer.split_once(' ') else {
            fail!("a visit is answered {answer:?}");
        };
        if std::mem::take(&mut self.has_lost_session) {
            self.visits = 0;
            self.number = number.into();
            self.owner = owner(&self.jar)?;
        }
        self.visits += 1;
        let expected = format!("{}\n200", self.visits);
        equal(
            &format!("a visit at {}", self.owner),
            &(number, visits),
            &(&*self.number, &*expected),
        )
    }
}

/// Whose name stands in the cookie.
fn owner(jar: &std::path::Path) -> Result<String> {
    let text = std::fs::read_to_string(jar).or_say(|| "no cookie jar".into())?;
    let value = text.lines().filter_map(|line| line.split('\t').nth(6)).next_back();
    match value.and_then(|value| value.split('.').nth(1)) {
        Some(owner) => Ok(owner.into()),
        None => fail!("no owner in {text}"),
    }
}
