//! Appliances that find others by names: by name servers of their own, as three processes that talk by shared memory as long as they
//! can, two replicas, each of which keeps names, too, and one in front that passes requests on; and by a file whose hosts DNS has.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    programs::{self, CURL, DNSMASQ},
};
use lab::{
    harness::{
        Case, GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains, curl, equal,
    },
    link,
};
use rustix::process::Signal;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "names/processes_find_each_other_and_go_on_without_one",
        &[&CURL],
        120,
        three_processes,
    ),
    Case::new("names/a_written_host_is_found_by_dns", &[&CURL, &DNSMASQ], 90, written_and_resolved),
];

/// In the order in which readers have them.
const REPLICAS: [&str; 2] = ["b1", "b2"];
/// For leases to end, and connections to be made again.
const PATIENCE: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(3);

/// The processes, and where they meet.
struct World {
    front: Child,
    replicas: Vec<Child>,
    bundles: Vec<PathBuf>,
    admin: PathBuf,
}

impl World {
    fn start(harness: &mut Harness) -> Result<Self> {
        let servers: Vec<_> = REPLICAS.map(|name| place(harness, name, "rpc")).into();
        let servers: Vec<_> =
            servers.iter().map(|path| format!("\"unix:{}\"", path.display())).collect();
        let names = format!(
            "[names]\nlease_seconds = {}\nretry_seconds = 1\nservers = [{}]\n",
            LEASE.as_secs(),
            servers.join(", ")
        );
        let (mut replicas, mut bundles) = (Vec::new(), Vec::new());
        for name in REPLICAS {
            let at = |what| place(harness, name, what).display().to_string();
            let config = format!(
                "{names}serve = true\n[network]\nhostname = \"{name}\"\n[zmq]\nport = 0\n\
                 [shared_memory]\nhttp_path = \"{}\"\nzmq_path = \"{}\"\n\
                 [unix]\nrpc = \"{}\"\n[rpc]\nstrangers = [\"names\"]\n",
                at("http"),
                at("zmq"),
                at("rpc"),
            );
            bundles.push(harness.bundle(&config, &[("site/who", name.as_bytes())])?);
        }
        for (nth, bundle) in bundles.iter().enumerate() {
            replicas.push(harness.trial_process_at(address(nth), bundle)?);
        }
        let admin = harness.scratch.path("admin");
        let config = format!(
            "{names}[network]\nhostname = \"front\"\n[zmq]\nport = 0\n[unix]\nadmin = \"{}\"\n",
            admin.display()
        );
        // One that is written down, by a name of its host that has to be resolved.
        let written = format!("written here http localhost:{}\n", address(0).port());
        let files = [("site/who", &b"front"[..]), ("names", written.as_bytes())];
        let front = harness.bundle(&config, &files)?;
        let front = harness.trial_process(&front)?;
        Ok(Self { front, replicas, bundles, admin })
    }

    /// Who answers by a service's name; a status of an error otherwise.
    fn who(&self, service: &str) -> Result<String> {
        let url = format!("http://{PROCESS_ADDRESS}/_test/relay/service:%2F%2F{service}/who");
        let answer = curl(&["-w", " %{http_code}", &url])?;
        let (body, status) = answer.rsplit_once(' ').unwrap_or(("", ""));
        Ok(if status == "200" { body.to_owned() } else { status.to_owned() })
    }

    fn wait_for(&self, service: &str, who: &str) -> Result {
        let start = Instant::now();
        loop {
            let found = self.who(service)?;
            if found == who {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                fail!("{service} is answered by {found}, not {who}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the front shows of the ways that are in use to a host.
    fn ways(&self, host: &str) -> Result<String> {
        let socket = self.admin.display().to_string();
        let table = curl(&["--fail", "--unix-socket", &socket, "http://localhost/api/v1/ways"])?;
        let rows = table.split('{').filter(|row| row.contains(&format!("\"{host}\"")));
        Ok(rows.filter(|row| row.contains("\"is_in_use\":true")).collect())
    }
}

/// A guest's file `names` says a host by its name, which a server of DNS has: its service is that host's. A host that DNS has not is told as such.
fn written_and_resolved(harness: &mut Harness) -> Result {
    const NAMES: &[u8] = b"page here http far.example:8081\nlost here http nowhere.example:8081\n";
    harness.tap()?;
    let site = harness.bundle("[zmq]\nport = 0\n", &[("site/who", b"far away")])?;
    let behind = harness.trial_process_at(SocketAddr::new(link::HOST_IPV4, 8081), &site)?;
    let mut dns = programs::command(&DNSMASQ)?;
    dns.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv"]);
    dns.args(["--bind-interfaces", "--user=root", "--group=root", "--log-facility=-"]);
    dns.arg(format!("--listen-address={}", link::HOST_IPV4));
    dns.arg(format!("--host-record=far.example,{}", link::HOST_IPV4));
    dns.arg("--local=/example/");
    let _dns = Child::start(&dns, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    })?;
    let config = format!("[network]\ndns = [\"{}\"]\n", link::HOST_IPV4);
    let bundle = Some(harness.bundle(&config, &[("names", NAMES)])?);
    let mut guest = harness.boot(&Setup { bundle, ..Setup::trial() })?;
    let ask = |service: &str| {
        let url = format!("http://{GUEST_ADDRESS}/_test/relay/service:%2F%2F{service}/who");
        curl(&["-w", " %{http_code}", &url])
    };
    let result = (|| {
        equal("who answers", &ask("page")?.as_str(), &"far away 200")?;
        let lost = ask("lost")?;
        equal("the status of what nobody has", &lost.rsplit(' ').next(), &Some("502"))?;
        guest.wait_for("nowhere.example", PATIENCE)
    })();
    let result = Server::Guest(Box::new(guest)).judge(result);
    Server::Process(Box::new(behind)).judge(result)
}

fn address(nth: usize) -> SocketAddr {
    SocketAddr::new(PROCESS_ADDRESS.ip(), 8081 + nth as u16)
}

fn place(harness: &Harness, name: &str, what: &str) -> PathBuf {
    harness.scratch.path(&format!("{name}.{what}"))
}

fn three_processes(harness: &mut Harness) -> Result {
    let mut world = World::start(harness)?;
    for name in REPLICAS {
        world.wait_for(&format!("http@{name}"), name)?;
        contains("the way", &world.ways(name)?, "shm:")?;
        let url = format!("http://{PROCESS_ADDRESS}/_test/transform/transform@{name}");
        let answer = curl(&["--fail", "--data-binary", "water flows", &url])?;
        equal("what ZeroMQ's service made of it", &answer.as_str(), &"WATER FLOWS")?;
    }
    equal("who answers", &world.who("http")?.as_str(), &"b1")?;
    equal("who is written down", &world.who("written")?.as_str(), &"b1")?;
    // A replica and name server dies: the other one is asked, and stays known by the server that is left.
    let killed = &mut world.replicas[0];
    killed.signal(Signal::KILL);
    equal("whether it is dead", &killed.wait(PATIENCE).is_some(), &true)?;
    world.wait_for("http", "b2")?;
    // Nobody offers the dead one any more, and the living one is known.
    std::thread::sleep(LEASE + LEASE);
    equal("the dead one", &world.who("http@b1")?.as_str(), &"502")?;
    equal("the living one", &world.who("http@b2")?.as_str(), &"b2")?;
    // It comes back, and has no shared memory: it is reached by TCP.
    world.replicas[0] = harness.trial_process_at(address(0), &world.bundles[0])?;
    fs::remove_file(place(harness, "b1", "http")).or_say(|| "no socket to remove".into())?;
    world.wait_for("http@b1", "b1")?;
    contains("the way", &world.ways("b1")?, &address(0).to_string())?;
    drop(world.front);
    Ok(())
}
