//! Network of the measurements: client, relay, router and the two servers, each in its place.
//!
//! ```text
//! client  a ==relay== r  router  t -- the process or the image, our stack
//!                                v -- w  nginx and a sink, the kernel's stack
//! ```
//!
//! The client and Linux's servers have namespaces of their own; the router is the one that we run in, and our appliance's
//! TAP is in it. Neither side of the relay has offloads, so that the router's kernel cuts the long frames of both servers
//! alike.

use super::{
    Control, Kind, Sample, Subject,
    transfer::{self, sink, sockets},
};
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    files,
    paths::Scratch,
};
use image_builder::bundle;
use lab::{
    accel::Accel,
    guest::{Echo, Guest},
    harness::{Server, noise},
    http_client,
    link::ip,
    namespace::Namespace,
    peers,
    qemu::{Machine, Netdev, Spec},
    relay::{Impairments, Relay},
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const START_LIMIT: Duration = Duration::from_secs(20);
const ASK_LIMIT: Duration = Duration::from_millis(500);
/// Beside what is on its way: what a connection that was cut off says last.
const SETTLE: Duration = Duration::from_millis(100);
const OURS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 1, 2)), 80);
const LINUX: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 2, 2)), 80);
const ROUTER: &str = "10.9.1.1";
/// Where Linux takes uploads.
const SINK_PORT: u16 = 81;
const CONFIG: &str = "[http]\naccess_log = false\nbody_bytes_max = 1_073_741_824\n";
/// The image's: the file lies in it.
const MEMORY_MIB: u32 = 512;
/// The TAP of ours.
const TAP: &str = "t";
/// Longer than any window: the relay alone loses frames.
const QUEUE_FRAMES: &str = "20000";

/// All of it; gone when dropped.
pub(super) struct Network {
    control: Control,
    client: Namespace,
    linux: Namespace,
    relay: Relay,
    ours: Option<Server>,
    nginx: Option<Child>,
    is_image: bool,
    bytes: u64,
    _scratch: Scratch,
}

impl Network {
    /// Builds it, and starts the servers, which have a file of so many bytes.
    pub(super) fn start(subject: &Subject, control: Control, bytes: u64) -> Result<Self> {
        let (client, linux, scratch) = (Namespace::new()?, Namespace::new()?, Scratch::new()?);
        let relay = Relay::start(["a", "r"])?;
        route(&client, &linux, control)?;
        let file = noise(usize::try_from(bytes).or_say(|| "the file's length".into())?);
        let bundle = bundle_file(&scratch, control, &file)?;
        let (ours, is_image) = match subject {
            Subject::Process(program) => (on_tap(program, &bundle)?, false),
            Subject::Image(kernel) => (guest(kernel, &bundle)?, true),
        };
        let nginx = Some(nginx(&linux, &scratch, &file)?);
        start_sink(&linux)?;
        let ours = Some(ours);
        let network =
            Self { control, client, linux, relay, ours, nginx, is_image, bytes, _scratch: scratch };
        for server in network.servers() {
            network.answers(server)?;
        }
        Ok(network)
    }

    /// Ours, then Linux.
    #[expect(clippy::unused_self, reason = "they are there while it is")]
    pub(super) fn servers(&self) -> [SocketAddr; 2] {
        [OURS, LINUX]
    }

    /// Of the file, and so of a transfer at most.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn answers(&self, server: SocketAddr) -> Result {
        let deadline = Instant::now() + START_LIMIT;
        while self.client.run(|| http_client::get(server, "/", ASK_LIMIT).is_none())? {
            if Instant::now() > deadline {
                fail!("no answer at {server} within {START_LIMIT:?}");
            }
        }
        Ok(())
    }

    /// Which congestion control is at work, as far as can be seen from outside.
    pub(super) fn describe(&self) -> Result<String> {
        let name = self.control.name();
        let at_work = |namespace: &Namespace, server: SocketAddr, filter: &str| -> Result<bool> {
            let stream = self.client.run(|| std::net::TcpStream::connect(server))?;
            let _stream = stream.or_say(|| format!("a connection to {server}"))?;
            let found = namespace.run(|| sockets(filter))??;
            Ok(found.split_whitespace().any(|word| word == name))
        };
        let client = format!("dport = :{}", LINUX.port());
        let server = format!("sport = :{}", LINUX.port());
        if !at_work(&self.client, LINUX, &client)? || !at_work(&self.linux, LINUX, &server)? {
            fail!("ss does not show {name}: is it among tcp_available_congestion_control?");
        }
        let ours = if self.is_image { "the image, software emulation" } else { "the process" };
        Ok(format!("ours: {ours}; congestion control of all: {name}; MTU 1500"))
    }

    /// One transfer over a path. What was on its way before is gone.
    pub(super) fn transfer(
        &self,
        server: SocketAddr,
        kind: Kind,
        path: Impairments,
        bytes: u64,
        limit: Duration,
    ) -> Result<Sample> {
        let at = match kind {
            Kind::Upload if server == LINUX => SocketAddr::new(server.ip(), SINK_PORT),
            _ => server,
        };
        let delay = path.delay;
        self.relay.set(path);
        let sample = self.client.run(|| transfer::transfer(at, kind, bytes, limit))?;
        std::thread::sleep(delay * 2 + SETTLE);
        sample
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Before the interfaces that they have.
        (self.ours, self.nginx) = (None, None);
    }
}

/// Addresses and routes; congestion control hangs on the routes.
fn route(client: &Namespace, linux: &Namespace, control: Control) -> Result {
    let run = |lines: &[&str]| -> Result {
        lines.iter().try_for_each(|line| ip(&line.split_whitespace().collect::<Vec<_>>()).map(drop))
    };
    let queue = format!("txqueuelen {QUEUE_FRAMES}");
    run(&[
        &format!("link set dev a address 02:00:00:00:00:0a {queue} netns {}", client.process()),
        &format!("link set dev r address 02:00:00:00:00:0b {queue} up"),
        "addr add 10.9.0.2/24 dev r",
        // Lost questions for addresses are no part of what is measured.
        "neigh replace 10.9.0.1 lladdr 02:00:00:00:00:0a nud permanent dev r",
        &format!("tuntap add dev {TAP} mode tap"),
        &format!("link set dev {TAP} {queue} up"),
        &format!("addr add {ROUTER}/24 dev {TAP}"),
        &format!("link add v type veth peer name w netns {}", linux.process()),
        &format!("link set dev v {queue} up"),
        "addr add 10.9.2.1/24 dev v",
    ])?;
    set("ip_forward", "1")?;
    let control = control.name();
    client.run(|| -> Result {
        run(&[
            "link set dev a up",
            "addr add 10.9.0.1/24 dev a",
            "neigh replace 10.9.0.2 lladdr 02:00:00:00:00:0b nud permanent dev a",
            &format!("route add default via 10.9.0.2 congctl {control}"),
        ])?;
        // One measurement knows nothing of the last.
        set("tcp_no_metrics_save", "1")
    })??;
    linux.run(|| -> Result {
        run(&[
            &format!("link set dev w {queue} up"),
            "addr add 10.9.2.2/24 dev w",
            &format!("route add default via 10.9.2.1 congctl {control}"),
        ])?;
        set("tcp_no_metrics_save", "1")
    })?
}

/// A setting of IPv4 in the namespace of the calling thread.
fn set(name: &str, value: &str) -> Result {
    let file = format!("/proc/sys/net/ipv4/{name}");
    std::fs::write(&file, value).or_say(|| format!("cannot write {file}"))
}

fn bundle_file(scratch: &Scratch, control: Control, file: &[u8]) -> Result<PathBuf> {
    let config = format!("{CONFIG}[tcp]\ncongestion_control = \"{}\"\n", control.name());
    let files: [(&str, &[u8]); 3] = [
        (config::CONFIG_FILE, config.as_bytes()),
        ("site/index.html", b"hello, world\n"),
        ("site/big", file),
    ];
    let path = scratch.path("bundle.cpio");
    files::write(&path, bundle::of(&files)?)?;
    Ok(path)
}

fn on_tap(program: &Path, bundle: &Path) -> Result<Server> {
    let mut command = Command::new(program);
    command.arg("--bundle").arg(bundle).args(["--log", "warn", "--tap", TAP]);
    command.args(["--ip", &format!("{}/24", OURS.ip()), "--gw", ROUTER]);
    Ok(Server::Process(Box::new(start(&command)?)))
}

fn guest(kernel: &Path, bundle: &Path) -> Result<Server> {
    let spec = Spec {
        machine: Machine::Q35,
        accel: Accel::Tcg,
        memory_mib: MEMORY_MIB,
        kernel: kernel.to_owned(),
        initrd: Some(bundle.to_owned()),
        append: format!("ip={}/24 gw={ROUTER} log=warn", OURS.ip()),
        netdev: Netdev::Tap { name: TAP.into(), offloads: true },
        without: &[],
        entropy: true,
        more: Vec::new(),
    };
    Ok(Server::Guest(Box::new(Guest::start(&spec, &Echo::No)?)))
}

fn nginx(linux: &Namespace, scratch: &Scratch, file: &[u8]) -> Result<Child> {
    let folder = scratch.path("");
    let www = scratch.path("www");
    files::make_folder(&www)?;
    files::write(&www.join("index.html"), b"hello, world\n")?;
    files::write(&www.join("big"), file)?;
    let config = format!(
        "daemon off; user root; pid pid; error_log stderr error; worker_processes 1;
        events {{}}
        http {{
            access_log off; sendfile on; client_body_temp_path temp; proxy_temp_path temp;
            fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
            server {{ listen {LINUX}; location / {{ root www; }} }}
        }}"
    );
    files::write(&folder.join("nginx.conf"), config)?;
    let program = peers::nginx()?;
    let mut command = linux.command(program.get_program())?;
    command.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.arg("-p").arg(&folder).args(["-c", "nginx.conf", "-e", "stderr"]);
    start(&command)
}

fn start(command: &Command) -> Result<Child> {
    Child::start(command, |command| {
        command.stdin(Stdio::null());
    })
}

/// The thread ends with this process.
fn start_sink(linux: &Namespace) -> Result {
    let address = SocketAddr::new(LINUX.ip(), SINK_PORT);
    let listener = linux.run(|| TcpListener::bind(address))?;
    let listener = listener.or_say(|| format!("cannot listen at {address}"))?;
    std::thread::spawn(move || sink(&listener));
    Ok(())
}
