//! The load generator as a guest, which puts load on another guest: over a network, and by memory that both share. What it says
//! it did is what the other says came.

use super::admin_port;
use command::{
    failure::{Failure, OrSay, Result, fail},
    files, paths,
    programs::{self, CURL},
};
use image_builder::{bundle, image};
use lab::{
    accel::Accel,
    group::{Bundles, Group, Kind, Running, Start},
    guest::{Echo, Guest},
    harness::{BOOT_LIMIT, Case, Harness, Setup, contains, curl, equal},
    process,
    qemu::{Machine, Netdev, Spec, shared_memory_device},
};
use serde_json::Value;
use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("load_image/over_a_network", &[&CURL, &programs::OPENSSL], 240, over_a_network),
    Case::new("load_image/by_shared_memory", &[&CURL], 240, by_shared_memory),
    Case::new("load_image/refusals", &[], 120, refusals),
];

const REQUESTS: u64 = 300;
/// A run of two seconds, on a machine that does much else.
const RUN_LIMIT: Duration = Duration::from_secs(90);
/// The exit code of a guest that says that something failed (`machine::power`).
const FAILED: i32 = 33;

/// Nobody else asks the server: it has no port on this machine but the admin's.
const GROUP: &str = "
[appliances.server]
folder = 'server'
port = 0
ports = [9001]
[appliances.generator]
folder = 'generator'
load = true
";

fn scenario(target: &str, guest: &str) -> String {
    format!(
        "target = '{target}'\nduration_seconds = 2\ntimeout_seconds = 60\nconnections = 8\n\
         [arrivals]\nrate = 150\n[[requests]]\npath = '/page'\nexpect_body = 'a page'\n\
         [guest]\nwait_seconds = 60\n{guest}"
    )
}

/// The runner has built it.
fn image() -> Result<PathBuf> {
    Ok(image::Options::load().image()?.shipped)
}

fn over_a_network(harness: &mut Harness) -> Result {
    // The sample of docs/load.md is one that runs.
    let samples = paths::root().join("docs/groups");
    Group::read(&samples.join("load.toml"))?;
    bundle::pack(&samples.join("load"))?;
    let folder = |name: &str| harness.scratch.path(name);
    for name in ["server/site", "generator"] {
        files::make_folder(&folder(name))?;
    }
    files::write(&folder("server/appliance.toml"), admin_port::config())?;
    files::write(&folder("server/site/page"), "this is a page\n")?;
    let text = scenario("http://10.77.0.2/", "allow = ['10.77.0.0/24']");
    files::write(&folder("generator/load.toml"), text)?;
    files::write(&folder("group.toml"), GROUP)?;
    let group = Group::read(&folder("group.toml"))?;
    let bundles = Bundles::make(&group, Kind::Guests, &folder("state"), harness.process_path())?;
    let images = vec![harness.kernel().to_owned(), image()?];
    let start = Start::Guests(images, Accel::best(harness.kernel(), Machine::Microvm)?);
    let running = Running::start(&group, &bundles, &start)?;
    let Some(generator) = running.address("generator") else { fail!("it is not reached") };
    let results = results(generator)?;
    equal("requests", &results["succeeded"], &REQUESTS.into())?;
    equal("failures", &results["failed"], &0.into())?;
    equal("requests that came", &requests_that_came()?, &REQUESTS)?;
    let page = curl(&["--fail", &format!("http://{generator}/")])?;
    contains("the page", &page, "<h2>Latency over time</h2>")
}

/// Waits until the run is over.
fn results(generator: SocketAddr) -> Result<Value> {
    let deadline = Instant::now() + RUN_LIMIT;
    let url = format!("http://{generator}/results.json");
    loop {
        match curl(&["--fail", &url]) {
            Ok(text) => return serde_json::from_str(&text).or_say(|| "no JSON".into()),
            Err(_) if Instant::now() > deadline => {
                fail!("no results within {RUN_LIMIT:?}, but {:?}", curl(&[&url]))
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// As the server counts them.
fn requests_that_came() -> Result<u64> {
    let url = format!("http://127.0.0.1:{}/metrics", admin_port::PORT);
    let metrics = curl(&["--fail", "-H", &admin_port::bearer(), &url])?;
    let sample = "aqueduct_web_requests_total{service=\"http\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(sample)?.parse().ok());
    count.ok_or_else(|| Failure(format!("no {sample}in {metrics}")))
}

fn by_shared_memory(harness: &mut Harness) -> Result {
    let socket = harness.scratch.path("shm");
    let _memory = process::serve_shared_memory(&socket, 8)?;
    let config = format!("{}[shared_memory]\nhttp_path = \"http\"\n", admin_port::config());
    let bundle = harness.bundle(&config, &[("site/page", b"this is a page\n")])?;
    let spec = |machine, kernel: PathBuf, bundle, forwards| -> Result<Spec> {
        Ok(Spec {
            machine,
            accel: Accel::best(&kernel, machine)?,
            memory_mib: 256,
            kernel,
            initrd: Some(bundle),
            append: "ip=10.0.2.15/24".into(),
            netdev: Netdev::User { forwards },
            without: &[],
            entropy: true,
            more: shared_memory_device(&socket),
        })
    };
    let (port, kernel) = (admin_port::PORT, harness.kernel().to_owned());
    let mut server =
        Guest::start(&spec(Machine::MicrovmPcie, kernel, bundle, vec![(port, port)])?, &Echo::No)?;
    server.wait_for("http by shared memory at http", BOOT_LIMIT)?;
    let text = scenario("http://elsewhere.example/", "via = 'shm:http'\npower_off = true\n");
    let bundle = harness.pack(&[("load.toml", text.as_bytes())])?;
    let mut generator =
        Guest::start(&spec(Machine::Q35, image()?, bundle, Vec::new())?, &Echo::No)?;
    let code = generator.wait_end(BOOT_LIMIT + RUN_LIMIT)?;
    if code != 0 {
        fail!("the generator ended with {code}:\n{}", generator.tail());
    }
    let said = generator.serial();
    contains("the console", &said, "http://elsewhere.example:80 by shm:http: open loop, 150 per")?;
    contains("the console", &said, "300 made, 300 answered as expected")?;
    equal("requests that came", &requests_that_came()?, &REQUESTS)
}

/// What is not allowed stops the boot, and a run that fails ends the machine with a failure, if that is wanted.
fn refusals(harness: &mut Harness) -> Result {
    let kernel = Some(image()?);
    let mut said_of = |files: &[(&str, &[u8])]| -> Result<String> {
        let bundle = Some(harness.pack(files)?);
        let setup = Setup { kernel: kernel.clone(), bundle, ..Setup::default() };
        let mut guest = harness.start(&setup)?;
        let code = guest.wait_end(BOOT_LIMIT)?;
        let said = guest.serial();
        if code != FAILED {
            fail!("a refusal ended with {code}: {said}");
        }
        Ok(said)
    };
    for (text, part) in [
        (scenario("http://192.0.2.1/", ""), "192.0.2.1 is not this machine"),
        (scenario("http://192.0.2.1/", ""), "allow in [guest] of load.toml, as 192.0.2.1/32"),
        (scenario("http://127.0.0.1/", "colour = 1"), "load.toml:12: found `colour`; allowed: via"),
        // Nobody listens at the port after HTTP's.
        (
            scenario("http://127.0.0.1:81/", "power_off = true").replace("= 60", "= 1"),
            "no run: no connection to http://127.0.0.1:81",
        ),
    ] {
        contains("a refusal", &said_of(&[("load.toml", text.as_bytes())])?, part)?;
    }
    contains(
        "a refusal",
        &said_of(&[("site/index.html", b"")])?,
        "load.toml of the bundle: there is none",
    )?;
    // A name that leads elsewhere than is allowed.
    let text = scenario("http://x.example/", "via = 'service://http@x'\npower_off = true\n");
    let names = b"http x http 192.0.2.1:80\n";
    let said = said_of(&[("load.toml", text.as_bytes()), ("names", names)])?;
    contains("a refusal", &said, "192.0.2.1 is not this machine")
}
