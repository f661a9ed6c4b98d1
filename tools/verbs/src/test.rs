//! `cargo xtask test` of an appliance: its unit tests, then its process and, where wanted, its image, each asked for a page.

use command::{
    cargo,
    child::Child,
    failure::{Result, fail},
    programs::{self, Install},
};
use image_builder::{
    bundle,
    image::{self, Profile},
};
use lab::{
    accel::Accel,
    guest::{Echo, Guest},
    http_client, link,
    qemu::{Machine, Netdev, Spec},
    run::Application,
};
use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

/// Runs the unit tests, starts the process and asks it for a page
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --image --path /greet/you"
)]
pub struct Words {
    /// Boots the image, too, and asks it the same; it is compiled as --profile dev
    #[arg(long)]
    image: bool,
    /// What is asked for: anything but status 200 fails
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: String,
}

/// A start under software emulation, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
const ASK_LIMIT: Duration = Duration::from_secs(2);
const ASK_EVERY: Duration = Duration::from_millis(20);
const MEMORY_MIB: u32 = 128;
/// What has a port of its own beside HTTP.
const OTHER_SERVICES: [&str; 7] =
    ["https", "rpc", "rpc-secure", "zmq", "fastcgi", "gopher", "admin"];

/// Tests an application.
///
/// # Errors
///
/// A test fails, it does not start, or it answers otherwise than with status 200.
pub fn main(words: &Words, application: &Application, install: Install) -> Result<ExitCode> {
    if !words.path.starts_with('/') {
        fail!("--path {}: a path begins with `/`", words.path);
    }
    cargo::build(cargo::command().arg("test"), "a unit test fails, or")?;
    let application = application.clone().with_profile(Profile::Dev);
    let bundle = bundle::file(&application.bundle)?;
    let result = ask_both(words, &application, &bundle, install);
    let _ = std::fs::remove_file(&bundle);
    result.map(|()| ExitCode::SUCCESS)
}

fn ask_both(words: &Words, application: &Application, bundle: &Path, install: Install) -> Result {
    let program = application.process.build()?;
    let server = link::free_address()?;
    let mut command = Command::new(program);
    command.arg("--bundle").arg(bundle).args(["--http", &server.to_string()]);
    // Others may have these ports.
    for service in OTHER_SERVICES {
        command.args([format!("--{service}-port"), "0".into()]);
    }
    let mut process = Child::start(&command, |command| {
        command.stdin(Stdio::null());
    })?;
    ask(server, &words.path, "the process", || process.ended().is_some())?;
    drop(process);
    if !words.image {
        return Ok(());
    }
    programs::need(&[&programs::QEMU], install)?;
    let image = image::build(&application.image, install)?;
    let server = link::free_address()?;
    let spec = Spec {
        machine: Machine::Microvm,
        accel: Accel::Tcg,
        memory_mib: MEMORY_MIB,
        kernel: image.shipped,
        initrd: Some(bundle.to_owned()),
        append: String::new(),
        netdev: Netdev::User { forwards: vec![(server.port(), 80)] },
        without: &[],
        entropy: true,
        more: Vec::new(),
    };
    let mut guest = Guest::start(&spec, &Echo::ToTerminal)?;
    ask(server, &words.path, "the image", || guest.ended().is_some())
}

fn ask(server: SocketAddr, path: &str, who: &str, mut ended: impl FnMut() -> bool) -> Result {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        match http_client::get(server, path, ASK_LIMIT) {
            Some(answer) if answer.status == 200 => {
                eprintln!("xtask: {who} answers {path} with {} bytes", answer.body_bytes);
                return Ok(());
            }
            Some(answer) => fail!("{who} answers {path} with status {}", answer.status),
            None if ended() => fail!("{who} has ended; what it said is above"),
            None if Instant::now() > deadline => fail!("{who} does not answer {path} in time"),
            None => std::thread::sleep(ASK_EVERY),
        }
    }
}
